/*
 * src/engine/serve/generate.c
 *
 * From a prompt to text, a token at a time. Bytes come out as whole characters, and only when they
 * can no longer be the beginning of a stop string.
 *
 *   text   | given out last | held back or new |
 */
#include <string.h>

#include "serve/generation_private.h"
#include "serve/reading.h"
#include "serve/sampling.h"
#include "serve/speculation.h"
#include "serve/stops.h"

static void lay_out(LmGeneration *generation, LmArena *arena, const LmSampling *sampling,
					const LmConfig *config);
static LmGeneration *create_normalized(LmSession *session, const LmSampling *sampling,
									   LmError *error);
static LmGeneration *create(LmSession *session, const LmSampling *sampling, LmError *error);
static bool ban(LmGeneration *generation, const LmSampling *sampling, LmError *error);
static bool fill_window(LmGeneration *generation, const LmTokens *prompt, size_t n_prefix,
						bool *truncated, LmError *error);
static bool plan_healing(LmGeneration *generation, LmError *error);
static bool run_ahead(LmGeneration *generation, LmError *error);
static void give(LmGeneration *generation, LmBytes *text, bool *done);
static int32_t heal(LmGeneration *generation, int32_t id, size_t *size);
static bool strips_space(const LmGeneration *generation, int32_t id, size_t n_given);
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
	if (!lm_sampling_check(sampling, &session->config, error))
		return NULL;
	lm_session_classify(session);
	if (lm_tokenizer_spec(session->tokenizer)->normalize_nfc)
		generation = create_normalized(session, sampling, error);
	else
		generation = create(session, sampling, error);
	if (generation)
		generation->strips =
			sampling->constraint
				? lm_constraint_spaced(sampling->constraint)
				: prompt->count == 0 && lm_tokenizer_spec(session->tokenizer)->strip_space;
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

static void
lay_out(LmGeneration *generation, LmArena *arena, const LmSampling *sampling,
		const LmConfig *config)
{
	lm_arena_take(arena, 1, sizeof *generation);
	generation->window = lm_arena_take(arena, (size_t) config->context, sizeof(int32_t));
	generation->seen = lm_arena_take(arena, (size_t) config->vocabulary, 1);
	generation->counts = NULL;
	if (lm_sampling_counts(sampling))
		generation->counts = lm_arena_take(arena, (size_t) config->vocabulary, sizeof(uint32_t));
	/* Held back: less than a stop string and less than a character; then comes one token. */
	generation->text = lm_arena_take(arena, longest_stop(sampling) + 4 + LM_MAX_TOKEN_SIZE, 1);
	generation->sampling.stops = lm_arena_take(arena, (size_t) sampling->n_stops, sizeof(LmBytes));
	generation->matched = lm_arena_take(arena, (size_t) sampling->n_stops, sizeof(uint32_t));
	generation->failures = lm_arena_take(arena, (size_t) sampling->n_stops, sizeof(uint32_t *));
	generation->banned_matched =
		lm_arena_take(arena, (size_t) sampling->n_banned, sizeof(uint32_t));
	generation->sampling.biases = lm_arena_take(arena, (size_t) sampling->n_biases, sizeof(LmBias));
	generation->follower.bits =
		lm_arena_take(arena, lm_follower_words(sampling->constraint), sizeof(uint64_t));
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
	if (sampling->n_biases > 0)
		memcpy((LmBias *) generation->sampling.biases, sampling->biases,
			   (size_t) sampling->n_biases * sizeof(LmBias));
	if (sampling->n_banned > 0 && !ban(generation, sampling, error))
	{
		lm_generation_free(generation);
		return NULL;
	}
	lm_follower_begin(&generation->follower, sampling->constraint, generation->follower.bits);
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

/* The caller's list is not needed again. */
static bool
ban(LmGeneration *generation, const LmSampling *sampling, LmError *error)
{
	generation->sampling.banned = NULL;
	generation->banned =
		lm_banned_create(generation->session, sampling->banned, sampling->n_banned, error);
	return generation->banned != NULL;
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
	if (generation->follower.constraint)
		healing->allowed = lm_allocate(lm_engine_host(session->engine), (size_t) healing->n);
	return (healing->logits && (healing->allowed || !generation->follower.constraint)) ||
		   lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for generating text");
}

/* A twin of the generation runs ahead where that is wanted. */
static bool
run_ahead(LmGeneration *generation, LmError *error)
{
	const LmSampling *sampling = &generation->sampling;

	if (sampling->beams > 1 || sampling->constraint || (!sampling->draft && !sampling->lookup))
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
	lm_healing_observe(&generation->healing, number, generation->session, generation->banned,
					   logits);
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
	LmDraw wanted = {.session = generation->session,
					 .sampling = &generation->sampling,
					 .seen = generation->seen,
					 .counts = generation->counts,
					 .banned = generation->banned,
					 .matched = generation->banned_matched,
					 .state = generation->state,
					 .position = generation->n_tokens};

	if (generation->healing.depth > 0)
		wanted.healing = &generation->healing;
	if (generation->follower.constraint)
		wanted.follower = &generation->follower;
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

size_t
lm_generation_given(const LmGeneration *generation, int32_t id)
{
	const LmSession *session = generation->session;
	size_t n_given = 0;
	int number;

	if (id >= session->config.vocabulary)
	{
		id = lm_healing_token(&number, &generation->healing, session,
							  id - session->config.vocabulary);
		n_given = generation->healing.boundaries[number].size;
	}
	return n_given + (strips_space(generation, id, n_given) ? 1 : 0);
}

/* Whether the text loses the space with which a token goes on after n_given bytes. */
static bool
strips_space(const LmGeneration *generation, int32_t id, size_t n_given)
{
	LmBytes bytes = lm_tokenizer_bytes(generation->session->tokenizer, id);

	return generation->strips && bytes.size > n_given && bytes.data[n_given] == ' ';
}

/* Appends a drawn token to window and text, or ends the text; n_given bytes are the prompt's. */
static void
take_token(LmGeneration *generation, int32_t id, size_t n_given)
{
	LmSession *session = generation->session;
	size_t n_healed;
	LmBytes bytes;

	if (id < 0 || session->classes[id] == LM_TOKEN_ENDS)
	{
		generation->finished = true;
		return;
	}
	generation->n_tokens++;
	generation->last = id;
	generation->seen[id] = 1;
	if (generation->counts)
		generation->counts[id]++;
	append_to_window(generation, id);
	bytes = lm_tokenizer_bytes(session->tokenizer, id);
	n_healed = n_given;
	n_given += strips_space(generation, id, n_given) ? 1 : 0;
	generation->strips = false;
	append_text(generation, (LmBytes){bytes.data + n_given, bytes.size - n_given});
	lm_generation_follow(generation, (LmBytes){bytes.data + n_healed, bytes.size - n_healed});
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
	if (generation->banned)
		lm_banned_follow(generation->banned_matched, generation->banned, bytes);
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
		   (size_t) config->vocabulary * (2 + sizeof(float)) + sizeof(LmHealing) +
		   LM_MAX_TOKEN_SIZE + 1024;
}

void
lm_generation_free(LmGeneration *generation)
{
	const LmHost *host;

	if (!generation)
		return;
	host = lm_engine_host(generation->session->engine);
	lm_speculation_free(generation->speculation, host);
	lm_follower_end(&generation->follower);
	lm_free(host, generation->healing.logits);
	if (!generation->is_twin)
		lm_banned_free(generation->banned, host);
	lm_free(host, generation->healing.allowed);
	lm_free(host, generation);
}
