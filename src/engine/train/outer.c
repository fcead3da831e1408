/*
 * src/engine/train/outer.c
 *
 * DiLoCo: from common and local parameters to packed differences and updates, and back.
 *
 * Loops over a block have a constant number of turns, so that the compiler makes vectors of them;
 * the last block is filled up with zeros. The magnitude of a float orders as its bits do, so the
 * largest of a block is an integer maximum, which also finds what is not finite.
 */
#include <math.h>
#include <string.h>

#include "engine/outer.h"
#include "kernels/pieces.h"

#define BLOCK LM_OUTER_BLOCK
#define PIECE_BLOCKS (LM_PIECE_ELEMENTS / BLOCK)
#define SCALE_SIZE 4
/* Blocks whose values are all below it are zeros: the reciprocal of their scale would overflow. */
#define LEAST 1e-30f
/* Added to a float below 2^22, rounds it to the nearest integer, which is then in its low bits. */
#define ROUNDER 12582912.0f /* 1.5 x 2^23 */

/* One pass over blocks; the function that reads or writes a block, and its arrays. */
typedef struct Outer
{
	void (*block)(struct Outer *outer, size_t block, size_t first, int n);
	uint8_t *out;
	const uint8_t *in;
	float *left;
	float *momentum;
	float *sum;
	const float *a;
	const float *b;
	float share;
	float rates;
	size_t count;
	int bits;
	int64_t fault; /* some block that is not as it should be; -1: none */
} Outer;

static void run(LmEngine *engine, Outer *outer);
static void run_piece(void *work, int piece, int thread);
static size_t block_size(int n, int bits);
static void difference_block(Outer *outer, size_t block, size_t first, int n);
static void finite_block(Outer *outer, size_t block, size_t first, int n);
static void update_block(Outer *outer, size_t block, size_t first, int n);
static void check_block(Outer *outer, size_t block, size_t first, int n);
static void add_block(Outer *outer, size_t block, size_t first, int n);
static void apply_block(Outer *outer, size_t block, size_t first, int n);
static void pack(Outer *outer, const float *x, size_t block, size_t first, int n);
static void unpack(float *x, const Outer *outer, size_t block, int n);
static float largest(const float *x, bool *finite);
static float load_scale(const uint8_t *at);
static void store_scale(uint8_t *at, float scale);

size_t
lm_outer_size(size_t count, int bits)
{
	size_t n_blocks = count / BLOCK, size;

	if ((bits != 8 && bits != 4) || !lm_size_multiply(&size, n_blocks, block_size(BLOCK, bits)) ||
		!lm_size_add(&size, size, block_size(count % BLOCK, bits)))
		return 0;
	return size;
}

/* Bytes of a block of n values; none of no values. */
static size_t
block_size(int n, int bits)
{
	return n == 0 ? 0 : SCALE_SIZE + ((size_t) n * (size_t) bits + 7) / 8;
}

bool
lm_outer_difference(uint8_t *packed, float *left, const float *common, const float *local,
					size_t count, int bits, LmEngine *engine, LmError *error)
{
	Outer outer = {.block = difference_block,
				   .out = packed,
				   .left = left,
				   .a = common,
				   .b = local,
				   .count = count,
				   .bits = bits};

	run(engine, &outer);
	if (lm_engine_stopped(engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "training was stopped");
	return outer.fault < 0 ||
		   lm_fail(error, LM_ERR_NUMERIC, outer.fault, "parameters are not finite");
}

static void
difference_block(Outer *outer, size_t block, size_t first, int n)
{
	const float *common = outer->a + first, *local = outer->b + first, *left = outer->left + first;
	float x[BLOCK] = {0};

	if (n == BLOCK)
		for (int i = 0; i < BLOCK; i++)
			x[i] = common[i] - local[i] + left[i];
	else
		for (int i = 0; i < n; i++)
			x[i] = common[i] - local[i] + left[i];
	pack(outer, x, block, first, n);
}

bool
lm_outer_update(uint8_t *packed, float *momentum, float *left, const float *gradient, float rates,
				size_t count, int bits, LmEngine *engine, LmError *error)
{
	Outer outer = {.block = finite_block,
				   .out = packed,
				   .left = left,
				   .momentum = momentum,
				   .a = gradient,
				   .rates = rates,
				   .count = count,
				   .bits = bits};

	lm_engine_hold(engine, true);
	run(engine, &outer);
	if (outer.fault < 0)
	{
		outer.block = update_block;
		run(engine, &outer);
	}
	lm_engine_hold(engine, false);
	return outer.fault < 0 ||
		   lm_fail(error, LM_ERR_NUMERIC, outer.fault, "the difference of members is not finite");
}

/* What update_block adds up stays finite where these sums of magnitudes do. */
static void
finite_block(Outer *outer, size_t block, size_t first, int n)
{
	const float *gradient = outer->a + first, *momentum = outer->momentum + first;
	const float *left = outer->left + first;
	float x[BLOCK] = {0};
	bool finite;

	for (int i = 0; i < n; i++)
	{
		float m = fabsf(momentum[i]) + fabsf(gradient[i]) / outer->rates;

		x[i] = fmaxf(m, 2 * (fabsf(gradient[i]) + outer->rates * m) + fabsf(left[i]));
	}
	(void) largest(x, &finite);
	if (!finite)
		__atomic_store_n(&outer->fault, (int64_t) block, __ATOMIC_RELAXED);
}

static void
update_block(Outer *outer, size_t block, size_t first, int n)
{
	const float *gradient = outer->a + first, *left = outer->left + first;
	float *momentum = outer->momentum + first;
	const float rate = 1 / (1 + LM_OUTER_MOMENTUM);
	float x[BLOCK] = {0};

	for (int i = 0; i < n; i++)
	{
		float m = LM_OUTER_MOMENTUM * momentum[i] + gradient[i] / outer->rates;

		momentum[i] = m;
		x[i] = (gradient[i] + LM_OUTER_MOMENTUM * outer->rates * m) * rate + left[i];
	}
	pack(outer, x, block, first, n);
}

bool
lm_outer_check(const uint8_t *packed, size_t size, size_t count, int bits, LmEngine *engine,
			   LmError *error)
{
	Outer outer = {.block = check_block, .in = packed, .count = count, .bits = bits};
	size_t expected = lm_outer_size(count, bits);

	if (size != expected || (size == 0 && count > 0))
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "%zu parameters of %d bits have %zu bytes, but %zu came", count, bits,
					   expected, size);
	run(engine, &outer);
	if (lm_engine_stopped(engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "training was stopped");
	return outer.fault < 0 || lm_fail(error, LM_ERR_FORMAT, outer.fault,
									  "block %lld of the parameters has a value out of range",
									  (long long) outer.fault);
}

static void
check_block(Outer *outer, size_t block, size_t first, int n)
{
	const uint8_t *at = outer->in + block * block_size(BLOCK, outer->bits);
	float scale = load_scale(at);
	int n_bytes = (int) block_size(n, outer->bits) - SCALE_SIZE;
	bool bad = !isfinite(scale) || signbit(scale);

	at += SCALE_SIZE;
	if (outer->bits == 8)
		for (int i = 0; i < n_bytes; i++)
			bad |= at[i] == 0x80;
	else
	{
		for (int i = 0; i < n_bytes; i++)
			bad |= (at[i] & 0x0f) == 0x08 || (at[i] & 0xf0) == 0x80;
		bad |= n % 2 == 1 && at[n_bytes - 1] >> 4 != 0;
	}
	/* A value of a full range must be finite too. */
	bad |= !isfinite(scale * 127);
	if (bad)
		__atomic_store_n(&outer->fault, (int64_t) block, __ATOMIC_RELAXED);
}

double
lm_outer_square(const uint8_t *packed, size_t count, int bits)
{
	double sum = 0;

	for (size_t first = 0; first < count; first += BLOCK)
	{
		int n = (int) lm_piece_size(first, count, BLOCK);
		int n_bytes = (int) block_size(n, bits) - SCALE_SIZE;
		double scale = load_scale(packed);
		int32_t squares = 0;

		packed += SCALE_SIZE;
		for (int i = 0; i < n_bytes; i++)
		{
			int low = bits == 8 ? (int8_t) packed[i] : (int8_t) (uint8_t) (packed[i] << 4) >> 4;
			int high = bits == 8 ? 0 : (int8_t) packed[i] >> 4;

			squares += low * low + high * high;
		}
		packed += n_bytes;
		sum += scale * scale * squares;
	}
	return sum;
}

void
lm_outer_add(float *sum, const uint8_t *packed, float share, size_t count, int bits,
			 LmEngine *engine)
{
	Outer outer = {
		.block = add_block, .in = packed, .sum = sum, .share = share, .count = count, .bits = bits};

	run(engine, &outer);
}

static void
add_block(Outer *outer, size_t block, size_t first, int n)
{
	float *sum = outer->sum + first, share = outer->share;
	float x[BLOCK];

	unpack(x, outer, block, n);
	for (int i = 0; i < n; i++)
		sum[i] += share * x[i];
}

void
lm_outer_apply(float *common, float *local, const uint8_t *packed, size_t count, int bits,
			   LmEngine *engine)
{
	Outer outer = {.block = apply_block,
				   .in = packed,
				   .sum = common,
				   .momentum = local,
				   .count = count,
				   .bits = bits};

	lm_engine_hold(engine, true);
	run(engine, &outer);
	lm_engine_hold(engine, false);
}

static void
apply_block(Outer *outer, size_t block, size_t first, int n)
{
	float *common = outer->sum + first;
	float x[BLOCK];

	unpack(x, outer, block, n);
	for (int i = 0; i < n; i++)
		common[i] -= x[i];
	if (outer->momentum)
		memcpy(outer->momentum + first, common, (size_t) n * sizeof(float));
}

static void
run(LmEngine *engine, Outer *outer)
{
	outer->fault = -1;
	lm_engine_run(engine, run_piece, outer, lm_divide_up(outer->count, LM_PIECE_ELEMENTS));
}

static void
run_piece(void *work, int piece, int thread)
{
	Outer *outer = work;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;
	size_t end = first + lm_piece_size(first, outer->count, LM_PIECE_ELEMENTS);

	for (size_t block = (size_t) piece * PIECE_BLOCKS; first < end; block++, first += BLOCK)
		outer->block(outer, block, first, (int) lm_piece_size(first, end, BLOCK));
}

/* The block's scale and integers, and what rounding leaves of x [BLOCK], zeros after n. */
static void
pack(Outer *outer, const float *x, size_t block, size_t first, int n)
{
	uint8_t *at = outer->out + block * block_size(BLOCK, outer->bits);
	float most = outer->bits == 8 ? 127.0f : 7.0f, scale, inverse;
	float left[BLOCK];
	uint8_t q[BLOCK];
	bool finite;
	float top = largest(x, &finite);

	if (!finite)
		__atomic_store_n(&outer->fault, (int64_t) block, __ATOMIC_RELAXED);
	if (!finite || top < LEAST)
		top = 0;
	scale = top / most;
	inverse = top > 0 ? most / top : 0;
	for (int i = 0; i < BLOCK; i++)
	{
		float rounded = x[i] * inverse + ROUNDER;
		uint32_t bits;

		memcpy(&bits, &rounded, sizeof bits);
		q[i] = (uint8_t) bits;
		left[i] = x[i] - (rounded - ROUNDER) * scale;
	}
	store_scale(at, scale);
	at += SCALE_SIZE;
	if (outer->bits == 8)
		memcpy(at, q, (size_t) n);
	else
		for (int i = 0, half = (n + 1) / 2; i < half; i++)
			at[i] = (uint8_t) ((q[i] & 0x0f) | (i + half < n ? q[i + half] << 4 : 0));
	memcpy(outer->left + first, left, (size_t) n * sizeof(float));
}

/* The n values of a block; the others of x [BLOCK] are not set, or zeros. */
static void
unpack(float *x, const Outer *outer, size_t block, int n)
{
	const uint8_t *at = outer->in + block * block_size(BLOCK, outer->bits);
	int8_t q[BLOCK] = {0};
	float scale = load_scale(at);

	at += SCALE_SIZE;
	if (outer->bits == 8)
		memcpy(q, at, (size_t) n);
	else
		for (int i = 0, half = (n + 1) / 2; i < half; i++)
		{
			q[i] = (int8_t) ((int8_t) (uint8_t) (at[i] << 4) >> 4);
			if (i + half < n)
				q[i + half] = (int8_t) ((int8_t) at[i] >> 4);
		}
	for (int i = 0; i < BLOCK; i++)
		x[i] = scale * (float) q[i];
}

/* The largest magnitude of x [BLOCK], of use only where all are finite. */
static float
largest(const float *x, bool *finite)
{
	const int32_t infinity = 0x7f800000;
	int32_t most = 0;
	float top;

	for (int i = 0; i < BLOCK; i++)
	{
		int32_t bits;

		memcpy(&bits, &x[i], sizeof bits);
		bits &= INT32_MAX;
		most = bits > most ? bits : most;
	}
	*finite = most < infinity;
	memcpy(&top, &most, sizeof top);
	return top;
}

static float
load_scale(const uint8_t *at)
{
	uint32_t bits = 0;
	float scale;

	for (int i = 0; i < SCALE_SIZE; i++)
		bits |= (uint32_t) at[i] << (8 * i);
	memcpy(&scale, &bits, sizeof scale);
	return scale;
}

static void
store_scale(uint8_t *at, float scale)
{
	uint32_t bits;

	memcpy(&bits, &scale, sizeof bits);
	for (int i = 0; i < SCALE_SIZE; i++)
		at[i] = (uint8_t) (bits >> (8 * i));
}
