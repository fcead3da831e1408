/*
 * src/engine/serve/draft.c
 *
 * From tokens to the logits of a smaller model, in the room that its session has for one text.
 */
#include <math.h>
#include <string.h>

#include "kernels/panels.h"
#include "serve/draft.h"
#include "serve/image.h"
#include "serve/many.h"

static void move_start(int *start, int n, int context);
static bool read_some(LmMany *alone, LmSession *draft, const int32_t *ids, int n, LmError *error);
static double weights_size(const LmModel *model);

bool
lm_draft_check(const LmSession *draft, const LmSession *session, LmError *error)
{
	if (draft == session)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a model cannot be a draft for itself");
	if (draft->tokenizer != session->tokenizer)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the draft has another tokenizer");
	if (draft->config.labels > 0 || draft->config.architecture != LM_DECODER)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "the draft is not a language model of architecture \"decoder\"");
	if (!draft->alone)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the draft has no room for a text");
	return true;
}

bool
lm_draft_logits(float *logits, int *start, LmSession *draft, const int32_t *ids, int n,
				int vocabulary, LmError *error)
{
	LmMany *alone = draft->alone;
	int V = draft->config.vocabulary, most = V < vocabulary ? V : vocabulary, n_read;

	if (!alone)
		return lm_fail(error, LM_ERR_MEMORY, -1, "the draft has no room for a text");
	if (alone->sequences[0].model != draft->model)
		lm_sequence_truncate(&alone->sequences[0], alone->pages, 0);
	alone->sequences[0].model = draft->model;
	move_start(start, n, draft->config.context);
	ids += *start;
	n -= *start;
	n_read = lm_sequence_agree(&alone->sequences[0], alone->pages, alone->slots[0].past, ids, n);
	while (n_read < n)
	{
		if (!read_some(alone, draft, ids, n, error))
			return false;
		n_read = alone->sequences[0].n_positions;
	}
	if (draft->model->ngram.n > 0)
		lm_ngram_mix(alone->output, V, &draft->model->ngram, ids, (size_t) n);
	memcpy(logits, alone->output, (size_t) most * sizeof *logits);
	for (int i = most; i < vocabulary; i++)
		logits[i] = -INFINITY;
	return true;
}

/* When the draft's context is full, its later half begins a new one, as a generation's does. */
static void
move_start(int *start, int n, int context)
{
	if (*start >= n || n - *start > context)
		*start = n > context ? n - (context + 1) / 2 : 0;
}

/* The next tokens of the text, with the logits of the last one. */
static bool
read_some(LmMany *alone, LmSession *draft, const int32_t *ids, int n, LmError *error)
{
	LmSequence *sequence = &alone->sequences[0];
	int at = sequence->n_positions, n_rows = n - at < alone->n_rows ? n - at : alone->n_rows;

	for (int i = 0; i < n_rows; i++)
		alone->inputs[i] = (LmInput){ids[at + i], 0, at + i, at + i == n - 1};
	if (!lm_infer(alone->output, draft->engine, draft->model, alone->pages, sequence, 1,
				  alone->inputs, n_rows, alone->workspace, error))
		return false;
	memcpy(alone->slots[0].past + at, ids + at, (size_t) n_rows * sizeof *ids);
	alone->counts.tokens += n_rows;
	return true;
}

double
lm_draft_cost(const LmSession *draft, const LmSession *session)
{
	return weights_size(draft->model) / weights_size(session->model);
}

static double
panels_size(const LmLinear *linear)
{
	return linear->panels ? (double) lm_panel_size(linear->type, linear->n_in) * linear->n_out : 0;
}

/* Up to a factor that all models share. */
static double
weights_size(const LmModel *model)
{
	double size = panels_size(&model->head);

	for (int i = 0; i < model->config.layers; i++)
	{
		const LmImageBlock *block = &model->blocks[i];

		size += panels_size(&block->attention) + panels_size(&block->projection) +
				panels_size(&block->up) + panels_size(&block->down);
	}
	return size;
}
