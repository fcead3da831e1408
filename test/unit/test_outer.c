/*
 * test/unit/test_outer.c
 *
 * The meeting of members in DiLoCo: packed differences, error feedback, the outer update, and that
 * everybody has the same common parameters.
 */
#include "engine/outer.h"
#include "train_support.h"

#define COUNT 70001 /* more than a piece, and a short last block of an odd number of values */
#define MEMBERS 3

static float *
numbers(size_t count, float size, uint64_t *state)
{
	float *x = malloc(count * sizeof *x);

	for (size_t i = 0; i < count; i++)
		x[i] = size * (float) ((int32_t) (test_random(state) % 2001) - 1000) / 1000.0f;
	return x;
}

static float *
zeros(size_t count)
{
	return calloc(count, sizeof(float));
}

/* A packed value, read one at a time. */
static TAP_TWIN float
value_of(const uint8_t *packed, size_t i, size_t count, int bits)
{
	const uint8_t *block = packed + i / 256 * (bits == 8 ? 260 : 132);
	size_t n = count - i / 256 * 256 < 256 ? count - i / 256 * 256 : 256, at = i % 256;
	size_t half = (n + 1) / 2;
	float scale;
	int q;

	memcpy(&scale, block, sizeof scale);
	if (bits == 8)
		q = (int8_t) block[4 + at];
	else
	{
		q = at < half ? block[4 + at] & 15 : block[4 + at - half] >> 4;
		q = q > 7 ? q - 16 : q;
	}
	return scale * (float) q;
}

static void
test_rounding(LmEngine *engine, int bits)
{
	uint64_t state = 3;
	float *common = numbers(COUNT, 1, &state), *local = numbers(COUNT, 1, &state);
	float *left = zeros(COUNT);
	size_t size = lm_outer_size(COUNT, bits);
	uint8_t *packed = malloc(size);
	bool bounded = true, whole = true;
	double square = 0;
	LmError error;

	local[COUNT - 1] = common[COUNT - 1] + 0.5f;
	ok(lm_outer_difference(packed, left, common, local, COUNT, bits, engine, &error) &&
		   lm_outer_check(packed, size, COUNT, bits, engine, &error),
	   "a difference is packed into %zu bytes of %d bits", size, bits);
	for (size_t i = 0; i < COUNT; i++)
	{
		float value = value_of(packed, i, COUNT, bits), difference = common[i] - local[i];

		square += (double) value * value;
		bounded &= fabsf(left[i]) <= 2.0f / (bits == 8 ? 127 : 7) / 2 * 1.0001f;
		whole &= fabsf(value + left[i] - difference) <= 3e-7f;
	}
	ok(fabs(lm_outer_square(packed, COUNT, bits) / square - 1) < 1e-6,
	   "the sum of squares of %d bits is that of their values", bits);
	ok(bounded, "rounding to %d bits takes away at most half of the block's scale", bits);
	ok(whole, "the rest of %d bits is the difference without what travels", bits);
	free(common), free(local), free(left), free(packed);
}

/* Over many rounds, what was sent and what is left is what there was to send. */
static void
test_feedback(LmEngine *engine, int bits)
{
	enum
	{
		N = 300,
		ROUNDS = 40
	};
	uint64_t state = 4;
	float *left = zeros(N), *sent = zeros(N), *zero = zeros(N);
	uint8_t *packed = malloc(lm_outer_size(N, bits));
	double truth[N] = {0}, worst = 0;
	LmError error;

	for (int round = 0; round < ROUNDS; round++)
	{
		float *difference = numbers(N, 0.01f, &state);

		/* One large value, beside which the others are less than a scale of 4 bits. */
		difference[7] = 1;
		lm_outer_difference(packed, left, difference, zero, N, bits, engine, &error);
		lm_outer_add(sent, packed, 1, N, bits, engine);
		for (int i = 0; i < N; i++)
			truth[i] += difference[i];
		free(difference);
	}
	for (int i = 0; i < N; i++)
		worst = fmax(worst, fabs(truth[i] - sent[i]));
	ok(worst < 1.2 / (bits == 8 ? 127 : 7) / 2 + 1e-4,
	   "after %d rounds of %d bits, sums are off by one rounding (%g)", ROUNDS, bits, worst);
	free(left), free(sent), free(zero), free(packed);
}

typedef struct Member
{
	float *common;
	float *local;
	float *left;
} Member;

/*
 * Each member minimises its own |x - target|² by plain steps; together they reach the mean of the
 * targets. Returns the largest distance from it, and whether all have the same bits.
 */
static double
meet(bool *same, LmEngine *engine, int bits, int rounds)
{
	enum
	{
		N = 1000
	};
	uint64_t state = 5;
	size_t size = lm_outer_size(N, bits), bytes = N * sizeof(float);
	float *targets[MEMBERS], *momentum = zeros(N), *left = zeros(N), *sum = zeros(N);
	uint8_t *packed = malloc(size);
	Member members[MEMBERS];
	double worst = 0;
	LmError error;

	for (int k = 0; k < MEMBERS; k++)
	{
		targets[k] = numbers(N, 1, &state);
		members[k] = (Member){zeros(N), zeros(N), zeros(N)};
	}
	*same = true;
	for (int round = 0; round < rounds; round++)
	{
		memset(sum, 0, bytes);
		for (int k = 0; k < MEMBERS; k++)
		{
			for (int i = 0; i < N; i++)
				members[k].local[i] += 0.5f * (targets[k][i] - members[k].local[i]);
			lm_outer_difference(packed, members[k].left, members[k].common, members[k].local, N,
								bits, engine, &error);
			lm_outer_add(sum, packed, 1.0f / MEMBERS, N, bits, engine);
		}
		*same &= lm_outer_update(packed, momentum, left, sum, 1, N, bits, engine, &error);
		for (int k = 0; k < MEMBERS; k++)
		{
			lm_outer_apply(members[k].common, members[k].local, packed, N, bits, engine);
			*same &= memcmp(members[k].common, members[0].common, bytes) == 0 &&
					 memcmp(members[k].local, members[0].common, bytes) == 0;
		}
	}
	for (int i = 0; i < N; i++)
	{
		double mean = ((double) targets[0][i] + targets[1][i] + targets[2][i]) / MEMBERS;

		worst = fmax(worst, fabs(members[0].common[i] - mean));
	}
	for (int k = 0; k < MEMBERS; k++)
		free(targets[k]), free(members[k].common), free(members[k].local), free(members[k].left);
	free(momentum), free(left), free(sum), free(packed);
	return worst;
}

static void
test_meeting(LmEngine *engine, int bits)
{
	bool same;
	double first = meet(&same, engine, bits, 1), last = meet(&same, engine, bits, 200);

	ok(same, "all members have the same bits of the common parameters, with %d bits", bits);
	ok(last < first / (bits == 8 ? 20 : 3),
	   "members of %d bits reach the mean of what each wants: %g, before %g", bits, last, first);
}

/* The equations, in double precision. */
static void
test_nesterov(LmEngine *engine)
{
	float gradient[2] = {0.5f, -0.25f}, momentum[2] = {0}, left[2] = {0}, common[2] = {1, 1};
	const float rates[] = {0.5f, 1, 0.25f, 0.001f};
	double m[2] = {0}, x[2] = {1, 1}, worst = 0;
	uint8_t packed[6];
	LmError error;

	for (int round = 0; round < 4; round++)
	{
		lm_outer_update(packed, momentum, left, gradient, rates[round], 2, 8, engine, &error);
		lm_outer_apply(common, NULL, packed, 2, 8, engine);
		for (int i = 0; i < 2; i++)
		{
			double ratio = round == 0 ? 1 : rates[round] / rates[round - 1];

			/* The momentum of the round before, as much smaller as the rates are. */
			m[i] = 0.5 * m[i] * ratio + gradient[i];
			x[i] -= (gradient[i] + 0.5 * m[i]) / 1.5;
			worst = fmax(worst, fabs(x[i] - common[i] + left[i]));
		}
	}
	ok(worst < 1e-6, "the update is Nesterov's, with momentum as the rates are (%g)", worst);
}

static void
test_threads(const LmHost *host)
{
	LmEngine *engines[] = {start_engine(host, 1), start_engine(host, 3)};
	size_t size = lm_outer_size(COUNT, 8);
	uint8_t *packed[2] = {malloc(size), malloc(size)};
	LmError error;

	for (int i = 0; i < 2; i++)
	{
		uint64_t state = 6;
		float *common = numbers(COUNT, 1, &state), *local = numbers(COUNT, 1, &state);
		float *left = zeros(COUNT);

		lm_outer_difference(packed[i], left, common, local, COUNT, 8, engines[i], &error);
		free(common), free(local), free(left);
	}
	ok(memcmp(packed[0], packed[1], size) == 0, "1 and 3 threads pack the same bytes");
	for (int i = 0; i < 2; i++)
	{
		free(packed[i]);
		lm_engine_stop(engines[i]);
	}
}

static bool
refused(const uint8_t *packed, size_t size, size_t count, int bits, LmEngine *engine)
{
	LmError error = {0};

	return !lm_outer_check(packed, size, count, bits, engine, &error) &&
		   error.code == LM_ERR_FORMAT;
}

static void
test_refusals(LmEngine *engine)
{
	uint8_t packed[260 + 5] = {0};
	float common[2] = {1, NAN}, local[2] = {0}, left[2] = {0}, momentum[2] = {1, 2};
	LmError error = {0};

	ok(!refused(packed, 265, 257, 8, engine), "zeros are packed values");
	ok(refused(packed, 264, 257, 8, engine), "a size that is not that of the values is refused");
	ok(refused(packed, 265, 257, 5, engine), "5 bits are refused");
	packed[264] = 0x80;
	ok(refused(packed, 265, 257, 8, engine), "an integer out of range is refused");
	packed[264] = 0;
	memcpy(packed + 260, &(float){-1}, 4);
	ok(refused(packed, 265, 257, 8, engine), "a negative scale is refused");
	memcpy(packed + 260, &(float){NAN}, 4);
	ok(refused(packed, 265, 257, 8, engine), "a scale that is not a number is refused");
	memcpy(packed + 260, &(float){3e38f}, 4);
	ok(refused(packed, 265, 257, 8, engine), "a scale whose values overflow is refused");
	memset(packed, 0, sizeof packed);
	packed[5] = 0x10;
	ok(refused(packed, 6, 3, 4, engine), "bits beyond the last value are refused");
	ok(!lm_outer_difference(packed, left, common, local, 2, 8, engine, &error) &&
		   error.code == LM_ERR_NUMERIC,
	   "a difference that is not finite is an error");
	ok(!lm_outer_update(packed, momentum, local, common, 1, 2, 8, engine, &error) &&
		   error.code == LM_ERR_NUMERIC && momentum[0] == 1 && local[0] == 0,
	   "a gradient that is not finite changes nothing");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	for (int bits = 8; bits >= 4; bits -= 4)
	{
		test_rounding(engine, bits);
		test_feedback(engine, bits);
		test_meeting(engine, bits);
	}
	test_nesterov(engine);
	test_threads(&host);
	test_refusals(engine);
	lm_engine_stop(engine);
	return done_testing();
}
