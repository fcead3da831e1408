/*
 * src/engine/train/newton_schulz.h
 *
 * Newton-Schulz iterations that make matrices nearly orthogonal, on several matrices at once, in
 * tiles (Keller Jordan 2024). Five times
 *
 *   A = X X';  B = b A + c A A;  X = a X + B X
 *
 * from X = u / |u| take the singular values that are not tiny to within 0.7 and 1.2 of 1. A matrix
 * with more rows than columns uses A = X' X and X = a X + X B. A and B are symmetric: only tiles on
 * and above the diagonal are computed, the others are their mirror images. The iterations go back
 * and forth between x and result, where the fifth one ends.
 *
 * Tiles are cut by shape, so the result does not depend on the number of threads.
 */
#ifndef LM_NEWTON_SCHULZ_H
#define LM_NEWTON_SCHULZ_H

#include "kernels/bf16.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"
#include "base/arena.h"

#define LM_NS_A 3.4445f
#define LM_NS_B (-4.7750f)
#define LM_NS_C 2.0315f
#define LM_NS_TILE 192 /* rows and columns of a piece of a product */
#define LM_NS_MATRICES 16

/* One matrix of the set, its scratch and its result. */
typedef struct LmNsMatrix
{
	int rows;
	int columns;
	int side; /* the smaller of the two */
	bool tall; /* more rows than columns */
	float *x; /* [rows, columns] at first u; scratch */
	float *result; /* [rows, columns] */
	float inverse_norm; /* 1 / |u| */
	float *gram; /* [side, side] A */
	float *polynomial; /* [side, side] B */
	/* Packed operands, where products are in bfloat16. */
	uint16_t *gram_a; /* of A = X X': X by rows */
	uint16_t *gram_b;
	uint16_t *factor; /* X in the last product */
	uint16_t *square_a; /* A; later B where it stands on the left */
	uint16_t *square_b; /* A; later B where it stands on the right */
} LmNsMatrix;

/* Matrices that go through the iterations together. */
typedef struct LmNsSet
{
	LmEngine *engine;
	const LmSimd *simd;
	const LmTiles *bf16; /* NULL: float32 */
	int n;
	LmNsMatrix matrices[LM_NS_MATRICES];
	int iteration;
} LmNsSet;

/* Whether bfloat16 kernels take a matrix: they compute whole tiles. */
bool lm_ns_fits_bf16(int rows, int columns);

/* Slices for a matrix of that shape; result and inverse_norm are the caller's to set. */
void lm_ns_layout(LmNsMatrix *matrix, LmArena *arena, int rows, int columns, bool bf16);

/* From x and inverse_norm to result; undefined when the engine was stopped. */
void lm_newton_schulz(LmNsSet *set);

/* ---- Parts of it -------------------------------------------------------- */

/* How many pieces a pass cuts a matrix into. */
typedef int (*LmNsCount)(const LmNsMatrix *matrix);

/* A part of a matrix, which one piece computes. */
typedef struct LmNsTile
{
	int row;
	int column;
	int n_rows;
	int n_columns;
} LmNsTile;

/*
 * Runs a pass over all matrices; a piece finds its matrix, and its number within it, with
 * lm_ns_matrix.
 */
void lm_ns_run(LmNsSet *set, LmPiece piece, LmNsCount count);
const LmNsMatrix *lm_ns_matrix(const LmNsSet *set, int *piece, LmNsCount count);

/* The number of tiles, and tile `number`: of A and B (square), and of X. */
int lm_ns_square_tiles(const LmNsMatrix *matrix);
LmNsTile lm_ns_square_tile(const LmNsMatrix *matrix, int number);
int lm_ns_tiles(const LmNsMatrix *matrix);
LmNsTile lm_ns_tile(const LmNsMatrix *matrix, int number);

/* Copies a tile of y [side, side] to the other side of the diagonal. */
void lm_ns_mirror(float *y, const LmNsMatrix *matrix, LmNsTile tile);

/*
 * The X of this iteration, the place of the next X, and the factor by which X must still be
 * multiplied.
 */
const float *lm_ns_source(const LmNsSet *set, const LmNsMatrix *matrix);
float *lm_ns_target(const LmNsSet *set, const LmNsMatrix *matrix);
float lm_ns_scale(const LmNsSet *set, const LmNsMatrix *matrix);

/* One iteration with operands of products in bfloat16. */
void lm_ns_iterate_bf16(LmNsSet *set);

#endif /* LM_NEWTON_SCHULZ_H */
