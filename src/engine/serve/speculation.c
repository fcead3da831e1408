/*
 * src/engine/serve/speculation.c
 *
 * From a generation to tokens that it may take next, and from the model's logits after them to
 * those that it does take.
 */
#include "engine/many.h"
#include "serve/draft.h"
#include "serve/speculation.h"

/*
 * A row more in a pass costs this share of a pass of one row: 0.11 of bfloat16, 0.14 of int8 for 7
 * rows more of 124 million weights on a thread (bench/decode.c, decode 1 and 8).
 */
#define ROW_COST 0.13
/* A proposal by lookup or draft costs its draw too, a few hundredths of a pass of a small model. */
#define DRAW_COST 0.02
#define MEMORY 0.9 /* of trust: the last 10 proposals count */
#define BEGIN_RIGHT 1.4 /* as if 2 proposals had been made, of which this share was right */
#define BEGIN_OFFERED 2.0
/* Bytes that lm_allocate adds to a block: slack for alignment and the host's pointer. */
#define BLOCK_OVERHEAD (64 + sizeof(void *))
#define PAUSE 16 /* tokens, at first; twice as many each time that another attempt fails */
#define LONGEST_PAUSE 256

static void look_up(LmSpeculation *speculation, const int32_t *ids, int n, int most);
static int plan(LmSpeculation *speculation, int kind, double cost, int most);
static bool draft(LmSpeculation *speculation, LmCandidate *candidates, float *logits,
				  LmError *error);
static void learn(LmTrust *trust, int n_right, bool one_wrong);

LmSpeculation *
lm_speculation_create(const LmGeneration *generation, LmSession *session, LmSession *draft,
					  LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	LmSpeculation *speculation;

	if (draft && !lm_draft_check(draft, session, error))
		return NULL;
	speculation = lm_allocate(host, sizeof *speculation);
	if (!speculation)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for generating text");
		return NULL;
	}
	speculation->draft = draft;
	speculation->cost = draft ? lm_draft_cost(draft, session) : 0;
	for (int i = 0; i < LM_SPECULATION_KINDS; i++)
		speculation->trust[i] = (LmTrust){BEGIN_RIGHT, BEGIN_OFFERED, 0, PAUSE};
	speculation->ahead = lm_generation_twin(generation, error);
	if (speculation->ahead)
		return speculation;
	lm_speculation_free(speculation, host);
	return NULL;
}

size_t
lm_speculation_memory(const LmConfig *config)
{
	return lm_generation_size(config) + sizeof(LmSpeculation) + BLOCK_OVERHEAD;
}

void
lm_speculation_free(LmSpeculation *speculation, const LmHost *host)
{
	if (!speculation)
		return;
	lm_generation_free(speculation->ahead);
	lm_free(host, speculation);
}

bool
lm_speculation_propose(LmSpeculation *speculation, const LmGeneration *generation, int most,
					   LmCandidate *candidates, float *logits, LmError *error)
{
	if (!speculation->is_proposing)
	{
		const int32_t *ids;
		int n;

		speculation->n_proposals = 0;
		most = most < LM_SPECULATION_MOST ? most : LM_SPECULATION_MOST;
		if (most <= 0)
			return true;
		lm_generation_copy(speculation->ahead, generation);
		ids = lm_generation_window(speculation->ahead, &n);
		if (!speculation->draft)
		{
			look_up(speculation, ids, n, most);
			return true;
		}
		if (n < speculation->n_window)
			speculation->draft_start = 0;
		speculation->n_window = n;
		speculation->kind = 0;
		speculation->wanted = plan(speculation, 0, speculation->cost, most);
		speculation->is_proposing = true;
	}
	if (!draft(speculation, candidates, logits, error))
		return false;
	speculation->is_proposing = false;
	return true;
}

/* What followed the last tokens before. A token that no text may have ends the proposals. */
static void
look_up(LmSpeculation *speculation, const int32_t *ids, int n, int most)
{
	int next, length = lm_lookup(&next, ids, n), number;

	if (length == 0)
		return;
	speculation->kind = length < 4 ? length - 2 : length < 8 ? 2 : 3;
	most = plan(speculation, speculation->kind, 0, most);
	for (number = 0; number < most && next + number < n; number++)
		speculation->proposals[number] = ids[next + number];
	speculation->n_proposals =
		lm_generation_foresee(speculation->ahead, speculation->proposals, number);
}

int
lm_lookup(int *next, const int32_t *ids, int n)
{
	int longest = LM_LOOKUP_SHORTEST - 1;

	*next = 0;
	for (int end = n - 1; end >= LM_LOOKUP_SHORTEST && longest < LM_LOOKUP_LONGEST; end--)
	{
		int length = 0;

		while (length < end && length < LM_LOOKUP_LONGEST &&
			   ids[end - 1 - length] == ids[n - 1 - length])
			length++;
		if (length > longest)
		{
			longest = length;
			*next = end;
		}
	}
	return *next > 0 ? longest : 0;
}

/* The number of proposals that are worth it by what came of the last ones. */
static int
plan(LmSpeculation *speculation, int kind, double cost, int most)
{
	LmTrust *trust = &speculation->trust[kind];
	int wanted;

	if (trust->pause > 0)
	{
		trust->pause--;
		return 0;
	}
	wanted = lm_speculation_wanted(trust->right / trust->offered, cost + DRAW_COST, most);
	if (wanted > 0)
		return wanted;
	/* Tries again after a while, as if it were the first time. */
	*trust = (LmTrust){BEGIN_RIGHT, BEGIN_OFFERED, trust->next_pause,
					   trust->next_pause < LONGEST_PAUSE ? 2 * trust->next_pause : LONGEST_PAUSE};
	return 0;
}

/*
 * n proposals of which each is right with probability a, as long as those before it are, give
 * 1 + a + ... + a^n tokens (Leviathan et al. 2023, equation 1).
 */
int
lm_speculation_wanted(double right, double cost, int most)
{
	double tokens = 1, power = 1, best = 1;
	int wanted = 0;

	for (int n = 1; n <= most; n++)
	{
		double gain;

		power *= right;
		tokens += power;
		gain = tokens / (1 + n * (ROW_COST + cost));
		if (gain > best)
		{
			best = gain;
			wanted = n;
		}
	}
	return wanted;
}

/* Lets the draft continue the text, as the generation would: with its sampling and its masks. */
static bool
draft(LmSpeculation *speculation, LmCandidate *candidates, float *logits, LmError *error)
{
	const LmSession *session = lm_generation_session(speculation->ahead);

	while (speculation->n_proposals < speculation->wanted &&
		   !lm_generation_finished(speculation->ahead))
	{
		int32_t id;
		LmBytes text;
		bool done;
		int n;
		const int32_t *ids = lm_generation_window(speculation->ahead, &n);

		if (!lm_draft_logits(logits, &speculation->draft_start, speculation->draft, ids, n,
							 session->config.vocabulary, error))
			return false;
		if (!lm_generation_draw(&id, speculation->ahead, candidates, logits, error) || id < 0 ||
			session->classes[id] == LM_TOKEN_ENDS)
			return true;
		lm_generation_take(speculation->ahead, id, &text, &done);
		speculation->proposals[speculation->n_proposals++] = id;
	}
	return true;
}

bool
lm_speculation_judge(int *n_right, LmSpeculation *speculation, const LmGeneration *generation,
					 LmCandidate *candidates, float *logits, LmError *error)
{
	LmGeneration *ahead = speculation->ahead;
	size_t V = (size_t) lm_generation_session(generation)->config.vocabulary;
	int n = speculation->n_proposals, i = 0;

	lm_generation_copy(ahead, generation);
	speculation->n_drawn = speculation->n_taken = 0;
	for (bool goes_on = true; goes_on; i++)
	{
		LmBytes text;
		bool done;
		int32_t id;

		if (!lm_generation_draw(&id, ahead, candidates, logits + (size_t) i * V, error))
		{
			if (i == 0)
				return false;
			break;
		}
		speculation->drawn[speculation->n_drawn++] = id;
		lm_generation_take(ahead, id, &text, &done);
		goes_on = i < n && id == speculation->proposals[i] && !done;
	}
	*n_right = 0;
	while (*n_right < n && *n_right < speculation->n_drawn &&
		   speculation->drawn[*n_right] == speculation->proposals[*n_right])
		++*n_right;
	learn(&speculation->trust[speculation->kind], *n_right,
		  *n_right < n && *n_right < speculation->n_drawn);
	speculation->n_proposals = 0;
	return true;
}

static void
learn(LmTrust *trust, int n_right, bool one_wrong)
{
	for (int i = 0; i < n_right + one_wrong; i++)
	{
		trust->right = MEMORY * trust->right + (i < n_right ? 1 : 0);
		trust->offered = MEMORY * trust->offered + 1;
	}
	if (n_right > 0)
		trust->next_pause = PAUSE;
}

bool
lm_speculation_next(int32_t *id, LmSpeculation *speculation)
{
	if (!speculation || speculation->n_taken == speculation->n_drawn)
		return false;
	*id = speculation->drawn[speculation->n_taken++];
	return true;
}
