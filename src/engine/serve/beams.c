/*
 * src/engine/serve/beams.c
 *
 * The texts of a beam search, and the choice among their continuations.
 */
#include <math.h>
#include <string.h>

#include "serve/beam_tree.h"
#include "serve/beams.h"

/* Each text has so many choices for each beam: as many may end as stay. */
#define CHOICES 2

typedef struct Seat
{
	LmGeneration *text;
	double logprob;
	int node; /* of the text's tokens */
	bool goes_on;
	bool observed;
	LmBeamChoice *choices; /* [CHOICES * beams], sorted */
	int n_choices;
	int next; /* of the choices, while texts are compared */
	bool stays; /* a continuation has taken the seat */
} Seat;

/* A text with its next token. */
typedef struct Continuation
{
	int from; /* the seat of the text ... */
	int to; /* ... and that of the continuation */
	int32_t id;
	double logprob;
} Continuation;

struct LmBeams
{
	LmSession *session;
	int n; /* beams */
	int max_tokens;
	double length_penalty;
	Seat *seats; /* [n] */
	int *order; /* [n] the seats whose texts go on, as they were chosen */
	int n_live;
	Continuation *continuations; /* [n] */
	LmGeneration *whole; /* becomes the best text at the end */
	int length; /* tokens of each text */

	LmBeamTree tree;

	int n_ended;
	int best; /* the node of the best text that has ended */
	int best_length;
	double best_score;
	bool ended;
	int32_t *tokens; /* [best_length] */
	int n_given;
};

static void lay_out(LmBeams *beams, LmArena *arena, int n);
static bool create_texts(LmBeams *beams, const LmTokens *prompt, size_t n_prefix,
						 const LmSampling *sampling, bool *truncated, LmError *error);
static bool heal(LmBeams *beams, LmError *error);
static void compare(LmBeams *beams, int *n);
static int best_seat(const LmBeams *beams);
static void give_seats(LmBeams *beams, int n, LmBeamMove *moves, int *n_moves);
static bool go_on(LmBeams *beams, int n, LmError *error);
static void end_text(LmBeams *beams, int node, int length, double logprob);
static double score_of(const LmBeams *beams, double logprob, int length);
static bool is_decided(const LmBeams *beams);

bool
lm_beams_memory(size_t *bytes, const LmConfig *config, const LmSampling *sampling)
{
	LmBeams counted;
	LmArena arena = {0};
	size_t n = (size_t) sampling->beams, tokens = (size_t) sampling->max_tokens, tree;

	lay_out(&counted, &arena, sampling->beams);
	return !arena.overflow && lm_beam_tree_memory(&tree, n, tokens) &&
		   lm_size_add(bytes, arena.used, tree) &&
		   lm_size_add(bytes, *bytes, tokens * sizeof(int32_t)) &&
		   lm_size_add(bytes, *bytes, (n + 1) * lm_generation_size(config));
}

static void
lay_out(LmBeams *beams, LmArena *arena, int n)
{
	size_t count = (size_t) n;
	LmBeamChoice *choices;

	lm_arena_take(arena, 1, sizeof *beams);
	beams->seats = lm_arena_take(arena, count, sizeof(Seat));
	beams->order = lm_arena_take(arena, count, sizeof(int));
	beams->continuations = lm_arena_take(arena, count, sizeof(Continuation));
	choices = lm_arena_take(arena, count * CHOICES * count, sizeof(LmBeamChoice));
	for (int i = 0; arena->base && i < n; i++)
		beams->seats[i].choices = choices + (size_t) i * CHOICES * count;
}

LmBeams *
lm_beams_create(LmSession *session, const LmTokens *prompt, size_t n_prefix,
				const LmSampling *sampling, bool *truncated, LmError *error)
{
	LmBeams counted, *beams;
	LmArena arena = {0};

	lay_out(&counted, &arena, sampling->beams);
	arena.base = arena.overflow ? NULL : lm_allocate(lm_engine_host(session->engine), arena.used);
	if (!arena.base)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d beams", sampling->beams);
		return NULL;
	}
	beams = (LmBeams *) arena.base;
	arena.used = 0;
	lay_out(beams, &arena, sampling->beams);
	beams->session = session;
	beams->n = sampling->beams;
	beams->max_tokens = sampling->max_tokens;
	beams->length_penalty = sampling->length_penalty;
	beams->tree.free = beams->best = LM_BEAM_ROOT;
	if (create_texts(beams, prompt, n_prefix, sampling, truncated, error))
		return beams;
	lm_beams_free(beams);
	return NULL;
}

static bool
create_texts(LmBeams *beams, const LmTokens *prompt, size_t n_prefix, const LmSampling *sampling,
			 bool *truncated, LmError *error)
{
	LmGeneration *first =
		lm_generation_create(beams->session, prompt, n_prefix, sampling, truncated, error);

	beams->seats[0].text = first;
	if (!first || !(beams->whole = lm_generation_twin(first, error)))
		return false;
	for (int i = 1; i < beams->n; i++)
		if (!(beams->seats[i].text = lm_generation_twin(first, error)))
			return false;
	beams->seats[0].node = LM_BEAM_ROOT;
	beams->seats[0].goes_on = true;
	beams->n_live = 1;
	if (lm_generation_finished(first))
		end_text(beams, LM_BEAM_ROOT, 0, 0);
	beams->ended = lm_generation_finished(first);
	return true;
}

void
lm_beams_free(LmBeams *beams)
{
	const LmHost *host;

	if (!beams)
		return;
	host = lm_engine_host(beams->session->engine);
	for (int i = 0; i < beams->n; i++)
		lm_generation_free(beams->seats[i].text);
	lm_generation_free(beams->whole);
	lm_beam_tree_free(&beams->tree, host);
	lm_free(host, beams->tokens);
	lm_free(host, beams);
}

LmGeneration *
lm_beams_generation(const LmBeams *beams, int seat)
{
	return beams->seats[seat].goes_on ? beams->seats[seat].text : NULL;
}

bool
lm_beams_observe(LmBeams *beams, int number, float *logits, LmError *error)
{
	Seat *seat = &beams->seats[number];
	LmDraw wanted = lm_generation_circumstances(seat->text);

	return lm_beam_choices(seat->choices, &seat->n_choices, CHOICES * beams->n, logits, &wanted,
						   error);
}

bool
lm_beams_observed(LmBeams *beams, int seat)
{
	beams->seats[seat].observed = true;
	for (int i = 0; i < beams->n_live; i++)
		if (!beams->seats[beams->order[i]].observed)
			return false;
	return true;
}

/* ---- The choice --------------------------------------------------------- */

bool
lm_beams_choose(LmBeams *beams, LmBeamMove *moves, int *n_moves, LmError *error)
{
	int n;

	*n_moves = 0;
	if (beams->length == 0 && !heal(beams, error))
		return false;
	compare(beams, &n);
	give_seats(beams, n, moves, n_moves);
	if (!go_on(beams, n, error))
		return false;
	beams->length++;
	beams->ended = is_decided(beams);
	for (int i = 0; beams->ended && i < beams->n; i++)
		beams->seats[i].goes_on = false;
	return true;
}

static bool
heal(LmBeams *beams, LmError *error)
{
	Seat *seat = &beams->seats[0];
	LmDraw wanted = lm_generation_circumstances(seat->text);

	return !wanted.healing ||
		   lm_beam_heal(seat->choices, &seat->n_choices, CHOICES * beams->n, &wanted, error);
}

/*
 * The most probable continuations, in order: merges the sorted choices of all texts. Those that end
 * are counted, the others become *n continuations.
 */
static void
compare(LmBeams *beams, int *n)
{
	*n = 0;
	for (int i = 0; i < beams->n_live; i++)
	{
		Seat *seat = &beams->seats[beams->order[i]];

		seat->next = 0;
		/* No token may follow: the text ends as it is. */
		if (seat->n_choices == 0)
			end_text(beams, seat->node, beams->length, seat->logprob);
	}
	for (int rank = 0; rank < CHOICES * beams->n && *n < beams->n; rank++)
	{
		int from = best_seat(beams), V = beams->session->config.vocabulary;
		Seat *seat;
		LmBeamChoice choice;
		double logprob;

		if (from < 0)
			return;
		seat = &beams->seats[from];
		choice = seat->choices[seat->next++];
		logprob = seat->logprob + choice.logprob;
		if (choice.id < V && beams->session->classes[choice.id] == LM_TOKEN_ENDS)
		{
			if (rank < beams->n)
				end_text(beams, seat->node, beams->length + 1, logprob);
		}
		else
			beams->continuations[(*n)++] =
				(Continuation){.from = from, .id = choice.id, .logprob = logprob};
	}
}

/* The text whose next choice is the most probable, the first of equals; -1: no choice is left. */
static int
best_seat(const LmBeams *beams)
{
	double most = -INFINITY;
	int best = -1;

	for (int i = 0; i < beams->n_live; i++)
	{
		const Seat *seat = &beams->seats[beams->order[i]];
		double logprob;

		if (seat->next == seat->n_choices)
			continue;
		logprob = seat->logprob + seat->choices[seat->next].logprob;
		if (best < 0 || logprob > most)
		{
			most = logprob;
			best = beams->order[i];
		}
	}
	return best;
}

/*
 * The first continuation of a text stays on its seat; the others get the seats of texts that have
 * none, to which the text is copied.
 */
static void
give_seats(LmBeams *beams, int n, LmBeamMove *moves, int *n_moves)
{
	int free_seat = 0;

	for (int i = 0; i < beams->n; i++)
		beams->seats[i].stays = false;
	for (int i = 0; i < n; i++)
	{
		Continuation *continuation = &beams->continuations[i];
		Seat *seat = &beams->seats[continuation->from];

		continuation->to = seat->stays ? -1 : continuation->from;
		seat->stays = true;
	}
	for (int i = 0; i < n; i++)
	{
		Continuation *continuation = &beams->continuations[i];

		if (continuation->to >= 0)
			continue;
		while (beams->seats[free_seat].stays)
			free_seat++;
		continuation->to = free_seat++;
		moves[(*n_moves)++] = (LmBeamMove){continuation->to, continuation->from};
		lm_generation_copy(beams->seats[continuation->to].text,
						   beams->seats[continuation->from].text);
	}
}

/* Each continuation takes its token; those that end with it leave their seats. */
static bool
go_on(LmBeams *beams, int n, LmError *error)
{
	bool good = true;

	/* New nodes first: they keep the old ones, which the texts that do not go on release. */
	for (int i = 0; i < n && good; i++)
	{
		Continuation *continuation = &beams->continuations[i];
		int node = LM_BEAM_ROOT;

		good = lm_beam_tree_add(&beams->tree, lm_engine_host(beams->session->engine), &node,
								beams->seats[continuation->from].node, continuation->id, error);
		continuation->from = node;
	}
	if (!good)
		return false;
	for (int i = 0; i < beams->n; i++)
	{
		if (beams->seats[i].goes_on)
			lm_beam_tree_release(&beams->tree, beams->seats[i].node);
		beams->seats[i].goes_on = beams->seats[i].observed = false;
	}
	beams->n_live = 0;
	for (int i = 0; i < n; i++)
	{
		const Continuation *continuation = &beams->continuations[i];
		Seat *seat = &beams->seats[continuation->to];
		LmBytes text;
		bool done;

		seat->node = continuation->from;
		seat->logprob = continuation->logprob;
		lm_generation_take(seat->text, continuation->id, &text, &done);
		if (done)
		{
			end_text(beams, seat->node, beams->length + 1, seat->logprob);
			lm_beam_tree_release(&beams->tree, seat->node);
			continue;
		}
		seat->goes_on = true;
		beams->order[beams->n_live++] = continuation->to;
	}
	return true;
}

/* Counts a text that has ended, and keeps it where it is the best. */
static void
end_text(LmBeams *beams, int node, int length, double logprob)
{
	double score = score_of(beams, logprob, length);

	if (beams->n_ended++ > 0 && !(score > beams->best_score))
		return;
	lm_beam_tree_keep(&beams->tree, node);
	if (beams->n_ended > 1)
		lm_beam_tree_release(&beams->tree, beams->best);
	beams->best = node;
	beams->best_score = score;
}

/* Wu et al. 2016, "Google's neural machine translation system", section 7, equation 14. */
static double
score_of(const LmBeams *beams, double logprob, int length)
{
	return logprob / pow((5.0 + length) / 6, beams->length_penalty);
}

static bool
is_decided(const LmBeams *beams)
{
	if (beams->n_live == 0 || beams->n_ended >= beams->n)
		return true;
	if (beams->n_ended == 0)
		return false;
	for (int i = 0; i < beams->n_live; i++)
		if (score_of(beams, beams->seats[beams->order[i]].logprob, beams->max_tokens) >
			beams->best_score)
			return false;
	return true;
}

/* ---- The result --------------------------------------------------------- */

bool
lm_beams_ended(const LmBeams *beams)
{
	return beams->ended;
}

bool
lm_beams_give(LmBeams *beams, LmBytes *text, bool *done, LmError *error)
{
	if (!beams->tokens)
		beams->tokens = lm_beam_tree_tokens(&beams->tree, lm_engine_host(beams->session->engine),
											&beams->best_length, beams->best, error);
	if (!beams->tokens)
		return false;
	if (beams->n_given < beams->best_length)
		lm_generation_take(beams->whole, beams->tokens[beams->n_given++], text, done);
	else
	{
		/* The end token, or no token. */
		lm_generation_take(beams->whole, -1, text, done);
		*done = true;
	}
	return true;
}

int
lm_beams_tokens(const LmBeams *beams)
{
	return lm_generation_tokens(beams->whole);
}
