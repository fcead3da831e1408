/*
 * src/engine/serve/many_rows.c
 *
 * The work on a step's rows of logits: scores of tokens that are read, draws of tokens that follow.
 * A draw changes its row, so the row is copied before where the drawn token wants a score.
 */
#include <string.h>

#include "serve/image.h"
#include "serve/many.h"
#include "text/array.h"

static void mix_ngrams(float *logits, const LmSession *session, const LmSlot *slot, int position);
static void score_row(LmManyRow *row, float *logits, int vocabulary, const LmSlot *slot,
					  const LmItem *item);
static void score_healed(LmTokenScore *score, const LmGeneration *generation, int candidate,
						 int vocabulary);

bool
lm_rows_create(LmMany *many, LmError *error)
{
	const LmSession *session = many->session;
	size_t n_threads = many->is_alone ? 1 : (size_t) lm_engine_threads(session->engine);

	for (int i = 0; i < many->n; i++)
		if (many->requests[i].task == LM_TASK_GENERATE && many->requests[i].each)
		{
			many->raw = lm_array_allocate(lm_engine_host(session->engine),
										  n_threads * (size_t) session->config.vocabulary,
										  sizeof *many->raw, error);
			return many->raw != NULL;
		}
	return true;
}

/* The work on one row of logits: scores its target, observes it for healing, or draws a token. */
void
lm_row_compute(void *work, int piece, int thread)
{
	LmMany *many = work;
	LmManyRow *row = &many->rows[piece];
	size_t V = (size_t) many->session->config.vocabulary;
	float *logits = many->output + (size_t) piece * V;
	const LmSlot *slot = &many->slots[row->slot];
	const LmRequest *request = &many->requests[slot->request];
	const LmSession *session = lm_request_session(many, request);
	LmBeams *beams = many->items[slot->request].beams;

	if (session->model->ngram.n > 0 && !request->bare)
		mix_ngrams(logits, session, slot, row->position);
	if (row->target >= 0)
		score_row(row, logits, (int) V, slot, &many->items[slot->request]);
	else if (slot->n_ahead > 0)
		return; /* one row's token decides whether the next row counts: lm_many_judge */
	else if (row->position < slot->n - 1)
		lm_generation_observe(slot->generation, slot->n - 1 - row->position, logits);
	else if (beams)
		row->good = lm_beams_observe(beams, slot->seat, logits, &row->error);
	else if (lm_generation_depth(slot->generation) == 0)
		row->good = lm_row_draw(row, many, slot, thread, logits);
}

/* Scores a row's target; logits are overwritten where its token wants a score of its own. */
static void
score_row(LmManyRow *row, float *logits, int vocabulary, const LmSlot *slot, const LmItem *item)
{
	size_t target = slot->reading.start + (size_t) row->position + 1;

	row->logprob = lm_logprob_of(logits, row->target, vocabulary);
	if (item->each)
		lm_token_score(&item->each[target - item->n_skipped], row->logprob, logits, vocabulary);
}

/* The text before a row: all of a text that is read; the window of one that is continued. */
static void
mix_ngrams(float *logits, const LmSession *session, const LmSlot *slot, int position)
{
	const int32_t *ids = slot->generation ? slot->ids : slot->reading.ids;
	size_t n = (size_t) position + 1 + (slot->generation ? 0 : slot->reading.start);

	lm_ngram_mix(logits, session->config.vocabulary, &session->model->ngram, ids, n);
}

bool
lm_row_draw(LmManyRow *row, LmMany *many, const LmSlot *slot, int thread, float *logits)
{
	int V = many->session->config.vocabulary;
	size_t place = many->is_alone ? 0 : (size_t) thread * (size_t) V;
	float *raw = many->raw ? many->raw + place : NULL;
	bool scores = many->requests[slot->request].each;

	if (scores)
		memcpy(raw, logits, (size_t) V * sizeof *raw);
	if (!lm_generation_draw(&row->id, slot->generation, many->candidates + place, logits,
							&row->error))
		return false;
	if (!scores || row->id < 0)
		return true;
	if (row->id >= V)
	{
		score_healed(&row->score, slot->generation, row->id - V, V);
		return true;
	}
	row->score.id = row->id;
	lm_token_score(&row->score, lm_logprob_of(raw, row->id, V), raw, V);
	return true;
}

/* Of its row only what healing keeps of it is known. */
static void
score_healed(LmTokenScore *score, const LmGeneration *generation, int candidate, int vocabulary)
{
	LmDraw wanted = lm_generation_circumstances(generation);
	int number;

	*score = (LmTokenScore){.expected = vocabulary};
	score->id = lm_healing_token(&number, wanted.healing, wanted.session, candidate);
	score->logprob =
		(double) wanted.healing->logits[candidate] - wanted.healing->boundaries[number].normaliser;
}

bool
lm_row_keep(LmMany *many, LmSlot *slot, const LmManyRow *row, LmError *error)
{
	LmItem *item = &many->items[slot->request];
	LmRequest *request = &many->requests[slot->request];

	if (!request->each || row->id < 0)
		return true;
	if (item->n_drawn == 0)
		request->n_given = lm_generation_given(slot->generation, row->id);
	if (!lm_array_reserve(lm_engine_host(many->session->engine), &item->drawn,
						  &item->drawn_capacity, item->n_drawn + 1, sizeof *item->drawn, error))
		return false;
	item->drawn[item->n_drawn++] = row->score;
	return true;
}

bool
lm_rows_read(bool *decided, LmMany *many, LmSlot *slot, LmError *error)
{
	size_t C = (size_t) many->session->config.channels;

	*decided = false;
	for (int i = slot->first_row; i < slot->first_row + slot->n_wanted && !*decided; i++)
	{
		if (slot->reading.task != LM_TASK_SCORE)
			lm_reading_add_hidden(&slot->reading, many->output + (size_t) i * C);
		else if (!lm_reading_add_logprob(&slot->reading, many->rows[i].logprob, error))
			return false;
		*decided = lm_reading_is_decided(&slot->reading);
	}
	return !*decided || lm_reading_finish(&slot->reading, &many->requests[slot->request], error);
}
