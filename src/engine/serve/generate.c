/*
 * src/engine/serve/generate.c
 *
 * From a prompt to text, a token at a time. Bytes come out as whole characters, and only when they
 * can no longer be the beginning of a stop string.
 *
 *   text   | given out last | held back or new |
 */
#include <math.h>
#include <string.h>

#include "serve/generation.h"
#include "serve/reading.h"
#include "serve/speculation.h"
#include "serve/stops.h"

struct LmGeneration
{
	LmSession *session;
	LmSampling sampling; /* with stops of its own */
	int32_t *window; /* [context] the tokens that the next one is predicted from */
	int n_window;
	int n_prefix; /* of the window */
	int n_tokens; /* produced */
	int32_t last; /* the last of them, -1 where the text ended without one */
	uint8_t *seen; /* [V] occurs in prompt or output */
	LmUtf8State state; /* at the end of the text */
	LmHealing healing; /* of a depth until the first token */
	bool strips; /* the text has no prompt, and loses the space in front of it */
	bool finished;
	uint32_t *matched; /* [n_stops] bytes of each that the text ends with */
	uint32_t **failures; /* [n_stops] of lm_stop_prepare */
	char *text;
	size_t size;
	size_t given;
	size_t block_size; /* of the memory of all this, which begins here */
	LmSpeculation *speculation; /* NULL: nothing runs ahead */
};

static bool check_sampling(const LmSampling *sampling, LmError *error);
static void lay_out(LmGeneration *generation, LmArena *arena, const LmSampling *sampling,
					const LmConfig *config);
static LmGeneration *create_normalized(LmSession *session, const LmSampling *sampling,
									   LmError *error);
static LmGeneration *create(LmSession *session, const LmSampling *sampling, LmError *error);
static bool fill_window(LmGeneration *generation, const LmTokens *prompt, size_t n_prefix,
						bool *truncated, LmError *error);
static bool plan_healing(LmGeneration *generation, LmError *error);
static bool run_ahead(LmGeneration *generation, LmError *error);
static void give(LmGeneration *generation, LmBytes *text, bool *done);
static int32_t heal(LmGeneration *generation, int32_t id, size_t *size);
static void take_token(LmGeneration *generation, int32_t id, size_t n_given);
static void append_to_window(LmGeneration *generation, int32_t id);
static void append_text(LmGeneration *generation, LmBytes bytes);
static size_t longest_stop(const LmSampling *sampling);
static size_t stop_at_end(LmGeneration *generation, char byte);
static size_t held_back(const LmGeneration *generation);
static size_t whole_characters(const char *text, size_t size);

LmGeneration *
lm_generation_start(LmSession *session, const char *prompt, size_t size, const LmSampling *sampling,
					bool *truncated, LmError *error)
{
	LmRequest request = {.task = LM_TASK_GENERATE, .prompt = {prompt, size}, .sampling = *sampling};
	LmTokens tokens = {0};
	LmGeneration *generation = NULL;

	*truncated = false;
	if (lm_continued_encode(session, &tokens, request.prompt, sampling->marked, error))
		generation = lm_generation_create(session, &tokens,
										  lm_request_prefix(session, &request, tokens.count),
										  sampling, truncated, error);
	lm_tokens_free(lm_engine_host(session->engine), &tokens);
	return generation;
}

LmGeneration *
lm_generation_create(LmSession *session, const LmTokens *prompt, size_t n_prefix,
					 const LmSampling *sampling, bool *truncated, LmError *error)
{
	LmGeneration *generation;

	*truncated = false;
	if (!check_sampling(sampling, error))
		return NULL;
	lm_session_classify(session);
	if (lm_tokenizer_spec(session->tokenizer)->normalize_nfc)
		generation = create_normalized(session, sampling, error);
	else
		generation = create(session, sampling, error);
	if (generation)
		generation->strips =
			prompt->count == 0 && lm_tokenizer_spec(session->tokenizer)->strip_space;
	if (generation && (!fill_window(generation, prompt, n_prefix, truncated, error) ||
					   !plan_healing(generation, error) || !run_ahead(generation, error)))
	{
		lm_generation_free(generation);
		return NULL;
	}
	return generation;
}

static LmGeneration *
create_normalized(LmSession *session, const LmSampling *sampling, LmError *error)
{
	LmSampling normal;
	LmGeneration *generation;

	if (!lm_stops_create(&normal, session, sampling, error))
		return NULL;
	generation = create(session, &normal, error);
	lm_stops_free(&normal, session);
	return generation;
}

/* Checks the ranges that lm_generation_create promises; NaN fails each of them. */
static bool
check_sampling(const LmSampling *sampling, LmError *error)
{
	if (!(sampling->temperature >= 0) || !isfinite(sampling->temperature))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "temperature %g is below 0",
					   sampling->temperature);
	if (!(sampling->top_p >= 0 && sampling->top_p <= 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "top_p %g is outside 0 .. 1", sampling->top_p);
	if (!(sampling->min_p >= 0 && sampling->min_p <= 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "min_p %g is outside 0 .. 1", sampling->min_p);
	if (!(sampling->repetition_penalty > 0) || !isfinite(sampling->repetition_penalty))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "repetition_penalty %g is not above 0",
					   sampling->repetition_penalty);
	if (sampling->beams < 0 || sampling->beams > LM_MAX_BEAMS)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "%d beams are not within 1 .. %d",
					   sampling->beams, LM_MAX_BEAMS);
	if (!(sampling->length_penalty >= 0) || !isfinite(sampling->length_penalty))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "length_penalty %g is below 0",
					   sampling->length_penalty);
	return true;
}

static void
lay_out(LmGeneration *generation, LmArena *arena, const LmSampling *sampling,
		const LmConfig *config)
{
	lm_arena_take(arena, 1, sizeof *generation);
	generation->window = lm_arena_take(arena, (size_t) config->context, sizeof(int32_t));
	generation->seen = lm_arena_take(arena, (size_t) config->vocabulary, 1);
	/* Held back: less than a stop string and less than a character; then comes one token. */
	generation->text = lm_arena_take(arena, longest_stop(sampling) + 4 + LM_MAX_TOKEN_SIZE, 1);
	generation->sampling.stops = lm_arena_take(arena, (size_t) sampling->n_stops, sizeof(LmBytes));
	generation->matched = lm_arena_take(arena, (size_t) sampling->n_stops, sizeof(uint32_t));
	generation->failures = lm_arena_take(arena, (size_t) sampling->n_stops, sizeof(uint32_t *));
}

/* Allocates a generation with copies of the stop strings in one block, sized by a first pass. */
static LmGeneration *
create(LmSession *session, const LmSampling *sampling, LmError *error)
{
	LmGeneration counted, *generation;
	LmArena arena = {0};

	lay_out(&counted, &arena, sampling, &session->config);
	for (int i = 0; i < sampling->n_stops; i++)
	{
		lm_arena_take(&arena, sampling->stops[i].size, 1);
		lm_arena_take(&arena, sampling->stops[i].size, sizeof(uint32_t));
	}
	arena.base = arena.overflow ? NULL : lm_allocate(lm_engine_host(session->engine), arena.used);
	if (!arena.base)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for generating text");
		return NULL;
	}
	generation = (LmGeneration *) arena.base;
	generation->session = session;
	generation->sampling = *sampling;
	generation->block_size = arena.used;
	arena.used = 0;
	lay_out(generation, &arena, sampling, &session->config);
	for (int i = 0; i < sampling->n_stops; i++)
	{
		LmBytes *stop = (LmBytes *) &generation->sampling.stops[i];
		size_t size = sampling->stops[i].size;

		*stop = (LmBytes){lm_arena_take(&arena, size, 1), size};
		memcpy((char *) stop->data, sampling->stops[i].data, size);
		generation->failures[i] = lm_arena_take(&arena, size, sizeof(uint32_t));
		if (!lm_stop_prepare(lm_engine_host(session->engine), generation->failures[i], *stop,
							 error))
		{
			lm_generation_free(generation);
			return NULL;
		}
	}
	return generation;
}

/*
 * The window at first: the token in front and the prompt, or the last tokens of a prompt that is
 * too long, with nothing in front.
 */
static bool
fill_window(LmGeneration *generation, const LmTokens *prompt, size_t n_prefix, bool *truncated,
			LmError *error)
{
	LmSession *session = generation->session;
	bool has_front = session->front >= 0 && !generation->sampling.marked;
	size_t context = (size_t) session->config.context;
	size_t room = context > 1 ? context - 1 : 1, first = 0, lost = 0;

	*truncated = prompt->count > room;
	if (*truncated)
	{
		first = prompt->count - room;
		lost = first + (has_front ? 1 : 0);
	}
	else if (has_front)
		append_to_window(generation, session->front);
	generation->n_prefix = n_prefix > lost ? (int) (n_prefix - lost) : 0;
	for (size_t i = first; i < prompt->count; i++)
	{
		append_to_window(generation, prompt->ids[i]);
		generation->seen[prompt->ids[i]] = 1;
	}
	if (generation->n_window == 0)
		return lm_fail(
			error, LM_ERR_ARGUMENT, -1,
			"a prompt is needed: the tokenizer has neither a BOS token nor an end-of-text token");
	return true;
}

/*
 * Plans healing. Its logits are a block of their own, because their number depends on the prompt.
 */
static bool
plan_healing(LmGeneration *generation, LmError *error)
{
	LmSession *session = generation->session;
	LmHealing *healing = &generation->healing;

	/* A prefix ends where the model has learnt that prompts end. */
	if (!generation->sampling.heal || generation->n_prefix > 0)
		return true;
	if (!lm_tokenizer_sort(session->tokenizer, error))
		return false;
	lm_healing_plan(healing, session, generation->window, (size_t) generation->n_window, 1);
	if (healing->depth == 0)
		return true;
	healing->logits =
		lm_allocate(lm_engine_host(session->engine), (size_t) healing->n * sizeof(float));
	return healing->logits ||
		   lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for generating text");
}

/* A twin of the generation runs ahead where that is wanted. */
static bool
run_ahead(LmGeneration *generation, LmError *error)
{
	const LmSampling *sampling = &generation->sampling;

	if (sampling->beams > 1 || (!sampling->draft && !sampling->lookup))
		return true;
	generation->speculation =
		lm_speculation_create(generation, generation->session, sampling->draft, error);
	return generation->speculation != NULL;
}

bool
lm_generation_finished(const LmGeneration *generation)
{
	return generation->finished || generation->n_tokens >= generation->sampling.max_tokens;
}

const int32_t *
lm_generation_window(const LmGeneration *generation, int *n)
{
	*n = generation->n_window;
	return generation->window;
}

int
lm_generation_prefix(const LmGeneration *generation)
{
	return generation->n_prefix;
}

void
lm_generation_take(LmGeneration *generation, int32_t id, LmBytes *text, bool *done)
{
	generation->size -= generation->given;
	memmove(generation->text, generation->text + generation->given, generation->size);
	generation->given = 0;
	generation->last = -1;
	if (lm_generation_finished(generation))
		generation->finished = true;
	else
	{
		size_t n_given = 0;

		id = heal(generation, id, &n_given);
		take_token(generation, id, n_given);
	}
	give(generation, text, done);
}

static void
give(LmGeneration *generation, LmBytes *text, bool *done)
{
	size_t end = generation->size - (generation->finished ? 0 : held_back(generation));

	generation->given = whole_characters(generation->text, end);
	*text = (LmBytes){generation->text, generation->given};
	*done = generation->finished;
}

int
lm_generation_depth(const LmGeneration *generation)
{
	return generation->healing.depth;
}

void
lm_generation_observe(LmGeneration *generation, int number, const float *logits)
{
	lm_healing_observe(&generation->healing, number, generation->session, logits);
}

bool
lm_generation_draw(int32_t *id, const LmGeneration *generation, LmCandidate *candidates,
				   float *logits, LmError *error)
{
	LmDraw wanted = lm_generation_circumstances(generation);

	return lm_sample(id, candidates, logits, &wanted, error);
}

LmDraw
lm_generation_circumstances(const LmGeneration *generation)
{
	LmDraw wanted = {generation->session, &generation->sampling, generation->seen,
					 generation->state, generation->n_tokens};

	if (generation->healing.depth > 0)
		wanted.healing = &generation->healing;
	return wanted;
}

/*
 * Returns the token that was drawn, and in *n_given its bytes that the prompt already has; drops
 * the prompt's tokens after the boundary.
 */
static int32_t
heal(LmGeneration *generation, int32_t id, size_t *n_given)
{
	LmHealing *healing = &generation->healing;
	int number, V = generation->session->config.vocabulary;

	if (healing->depth > 0 && id >= V)
	{
		id = lm_healing_token(&number, healing, generation->session, id - V);
		*n_given = healing->boundaries[number].size;
		generation->n_window -= number;
	}
	healing->depth = 0;
	return id;
}

/* Appends a drawn token to window and text, or ends the text; n_given bytes are the prompt's. */
static void
take_token(LmGeneration *generation, int32_t id, size_t n_given)
{
	LmSession *session = generation->session;
	LmBytes bytes;

	if (id < 0 || session->classes[id] == LM_TOKEN_ENDS)
	{
		generation->finished = true;
		return;
	}
	generation->n_tokens++;
	generation->last = id;
	generation->seen[id] = 1;
	append_to_window(generation, id);
	bytes = lm_tokenizer_bytes(session->tokenizer, id);
	if (generation->strips && bytes.size > 0 && bytes.data[0] == ' ')
		n_given = 1;
	generation->strips = false;
	append_text(generation, (LmBytes){bytes.data + n_given, bytes.size - n_given});
	if (generation->n_tokens >= generation->sampling.max_tokens)
		generation->finished = true;
}

/* When the context is full, its later half begins a new one. */
static void
append_to_window(LmGeneration *generation, int32_t id)
{
	int context = generation->session->config.context;

	if (generation->n_window == context)
	{
		int lost = context - context / 2;

		generation->n_window = context / 2;
		generation->n_prefix = generation->n_prefix > lost ? generation->n_prefix - lost : 0;
		memmove(generation->window, generation->window + lost,
				(size_t) (context / 2) * sizeof(int32_t));
	}
	generation->window[generation->n_window++] = id;
}

int
lm_generation_foresee(LmGeneration *generation, const int32_t *ids, int n)
{
	const LmSession *session = generation->session;
	int i = 0;

	while (i < n && generation->n_window < session->config.context &&
		   session->classes[ids[i]] != LM_TOKEN_NEVER && session->classes[ids[i]] != LM_TOKEN_ENDS)
		generation->window[generation->n_window++] = ids[i++];
	return i;
}

/* Appends byte by byte, so that the text ends at the first stop string however tokens are cut. */
static void
append_text(LmGeneration *generation, LmBytes bytes)
{
	lm_utf8_steps(&generation->state, bytes.data, bytes.size);
	for (size_t i = 0; i < bytes.size && !generation->finished; i++)
	{
		size_t stop;

		generation->text[generation->size++] = bytes.data[i];
		stop = stop_at_end(generation, bytes.data[i]);
		if (stop > 0)
		{
			generation->size -= stop;
			generation->finished = true;
		}
	}
}

static size_t
longest_stop(const LmSampling *sampling)
{
	size_t longest = 0;

	for (int i = 0; i < sampling->n_stops; i++)
		longest = sampling->stops[i].size > longest ? sampling->stops[i].size : longest;
	return longest;
}

/* Size of the longest stop string that the text ends with, after one more byte. */
static size_t
stop_at_end(LmGeneration *generation, char byte)
{
	size_t longest = 0;

	for (int i = 0; i < generation->sampling.n_stops; i++)
	{
		LmBytes stop = generation->sampling.stops[i];

		generation->matched[i] =
			lm_stop_follow(generation->failures[i], stop, generation->matched[i], byte);
		if (generation->matched[i] == stop.size && stop.size > longest)
			longest = stop.size;
	}
	return longest;
}

/* Size of the longest end of the text that a stop string begins with. */
static size_t
held_back(const LmGeneration *generation)
{
	size_t longest = 0;

	for (int i = 0; i < generation->sampling.n_stops; i++)
		longest = generation->matched[i] > longest ? generation->matched[i] : longest;
	return longest;
}

static size_t
whole_characters(const char *text, size_t size)
{
	LmUtf8State state = {0};
	size_t whole = 0;

	for (size_t i = 0; i < size && lm_utf8_step(&state, (uint8_t) text[i]); i++)
		if (state.left == 0)
			whole = i + 1;
	return whole;
}

int
lm_generation_tokens(const LmGeneration *generation)
{
	return generation->n_tokens;
}

struct LmSpeculation *
lm_generation_speculation(const LmGeneration *generation)
{
	return generation->speculation;
}

const LmSession *
lm_generation_session(const LmGeneration *generation)
{
	return generation->session;
}

int
lm_generation_left(const LmGeneration *generation)
{
	return generation->sampling.max_tokens - generation->n_tokens;
}

int32_t
lm_generation_token(const LmGeneration *generation)
{
	return generation->last;
}

size_t
lm_generation_size(const LmConfig *config)
{
	return (size_t) config->context * sizeof(int32_t) +
		   (size_t) config->vocabulary * (1 + sizeof(float)) + sizeof(LmHealing) +
		   LM_MAX_TOKEN_SIZE + 1024;
}

/* The place in a twin's block of an address in the block of `from`. */
static void *
place_in(const LmGeneration *twin, const LmGeneration *from, const void *address)
{
	return (char *) twin + ((const char *) address - (const char *) from);
}

LmGeneration *
lm_generation_twin(const LmGeneration *from, LmError *error)
{
	const LmHost *host = lm_engine_host(from->session->engine);
	LmGeneration *twin = lm_allocate(host, from->block_size);

	if (!twin)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for generating text");
		return NULL;
	}
	memcpy(twin, from, from->block_size);
	twin->healing.logits = NULL;
	twin->speculation = NULL;
	twin->window = place_in(twin, from, from->window);
	twin->seen = place_in(twin, from, from->seen);
	twin->text = place_in(twin, from, from->text);
	twin->matched = place_in(twin, from, from->matched);
	twin->failures = place_in(twin, from, from->failures);
	twin->sampling.stops = place_in(twin, from, from->sampling.stops);
	for (int i = 0; i < from->sampling.n_stops; i++)
	{
		LmBytes *stop = (LmBytes *) &twin->sampling.stops[i];

		stop->data = place_in(twin, from, from->sampling.stops[i].data);
		twin->failures[i] = place_in(twin, from, from->failures[i]);
	}
	return twin;
}

void
lm_generation_copy(LmGeneration *to, const LmGeneration *from)
{
	to->n_window = from->n_window;
	to->n_prefix = from->n_prefix;
	to->n_tokens = from->n_tokens;
	to->last = from->last;
	to->state = from->state;
	to->healing.depth = from->healing.depth;
	to->strips = from->strips;
	to->finished = from->finished;
	to->size = from->size;
	to->given = from->given;
	memcpy(to->window, from->window, (size_t) from->n_window * sizeof *to->window);
	if (from->sampling.repetition_penalty != 1)
		memcpy(to->seen, from->seen, (size_t) from->session->config.vocabulary);
	if (from->sampling.n_stops > 0)
		memcpy(to->matched, from->matched, (size_t) from->sampling.n_stops * sizeof *to->matched);
	memcpy(to->text, from->text, from->size);
}

void
lm_generation_free(LmGeneration *generation)
{
	const LmHost *host;

	if (!generation)
		return;
	host = lm_engine_host(generation->session->engine);
	lm_speculation_free(generation->speculation, host);
	lm_free(host, generation->healing.logits);
	lm_free(host, generation);
}
