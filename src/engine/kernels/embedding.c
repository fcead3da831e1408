/*
 * src/engine/kernels/embedding.c
 *
 * Token and position embeddings, and the table of sinusoids.
 */
#include <math.h>
#include <string.h>

#include "kernels/pieces.h"
#include "kernels/simd.h"

/* Channels in a piece of the backward pass: two cache lines, which no other piece touches. */
#define SLICE 32

typedef struct EmbeddingWork
{
	const LmSimd *simd;
	float *y;
	float *dwte;
	float *dwpe;
	const float *dy;
	const int32_t *tokens;
	const int32_t *positions;
	const float *wte;
	const float *wpe;
	float scale;
	int n_rows;
	int C;
} EmbeddingWork;

static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);

void
lm_embedding_forward(LmEngine *engine, float *y, const int32_t *tokens, const int32_t *positions,
					 const float *wte, const float *wpe, float scale, int n_rows, int C)
{
	EmbeddingWork work = {lm_simd(), y,	  NULL, NULL,  NULL,   tokens,
						  positions, wte, wpe,	scale, n_rows, C};

	lm_engine_run(engine, forward_piece, &work,
				  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows(C)));
}

/* y = scale wte[token] + wpe[position], or scale wte[token] alone, for the rows of one piece. */
static void
forward_piece(void *argument, int piece, int thread)
{
	const EmbeddingWork *work = argument;
	size_t C = (size_t) work->C;
	int first = piece * lm_piece_rows(work->C);
	int last = first + lm_smaller(lm_piece_rows(work->C), work->n_rows - first);

	for (int i = first; i < last; i++)
	{
		float *y = work->y + (size_t) i * C;
		const float *token = work->wte + (size_t) work->tokens[i] * C;

		if (work->scale != 1)
			work->simd->blend(y, work->scale, token, work->wpe ? 1 : 0,
							  work->wpe ? work->wpe + (size_t) work->positions[i] * C : token, C);
		else if (work->wpe)
			work->simd->add_to(y, token, work->wpe + (size_t) work->positions[i] * C, C);
		else
			memcpy(y, token, C * sizeof *y);
	}
}

void
lm_embedding_backward(LmEngine *engine, float *dwte, float *dwpe, const float *dy,
					  const int32_t *tokens, const int32_t *positions, float scale, int n_rows,
					  int C)
{
	EmbeddingWork work = {lm_simd(), NULL, dwte, dwpe,	dy,		tokens,
						  positions, NULL, NULL, scale, n_rows, C};

	lm_engine_run(engine, backward_piece, &work, lm_divide_up((size_t) C, SLICE));
}

/* All rows in order, a slice of the channels. */
static void
backward_piece(void *argument, int piece, int thread)
{
	const EmbeddingWork *work = argument;
	size_t C = (size_t) work->C, channel = (size_t) piece * SLICE;
	size_t n = lm_piece_size(channel, C, SLICE);

	for (int i = 0; i < work->n_rows; i++)
	{
		const float *dy = work->dy + (size_t) i * C + channel;

		float *dwte = work->dwte + (size_t) work->tokens[i] * C + channel;

		if (work->scale != 1)
			work->simd->blend(dwte, work->scale, dy, 1, dwte, n);
		else
			work->simd->add(dwte, dy, n);
		if (work->dwpe)
			work->simd->add(work->dwpe + (size_t) work->positions[i] * C + channel, dy, n);
	}
}

void
lm_sinusoid(float *table, int context, int C)
{
	for (int position = 0; position < context; position++)
		for (int c = 0; c < C; c++)
		{
			double angle = position / pow(10000, (double) (c - c % 2) / C);

			*table++ = (float) (c % 2 ? cos(angle) : sin(angle));
		}
}
