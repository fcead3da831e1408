/*
 * test/unit/test_loss_sample.c
 *
 * What a validation loss can tell: pieces, and how often chance is taken for a difference.
 */
#include "engine/loss_sample.h"
#include "tap.h"

#define MOST_TOKENS 20000

static int32_t targets[MOST_TOKENS], positions[MOST_TOKENS];
static float weights[MOST_TOKENS], nll[MOST_TOKENS];
static LmBatch batch = {.targets = targets, .positions = positions, .weights = weights};

static uint64_t state = 1;

/* Of a normal distribution, about. */
static double
normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
	{
		state = state * 6364136223846793005u + 1442695040888963407u;
		sum += (double) (state >> 11) / 9007199254740992.0;
	}
	return sum - 6;
}

/* Windows of so many tokens, the first of which are a prompt's. */
static void
make_batch(int n_windows, int length, int prompt)
{
	batch.n_tokens = 0;
	for (int i = 0; i < n_windows * length; i++)
	{
		int row = batch.n_tokens++;

		positions[row] = i % length;
		targets[row] = i % length < prompt ? -1 : 7;
		weights[row] = i % length < prompt ? 0 : 1;
	}
}

/* A loss of each window of its own, the same in both samples but for a rise and a noise. */
static void
make_samples(LmLossSample *first, LmLossSample *second, double rise, double noise)
{
	float loss = 0, other = 0;

	memset(first, 0, sizeof *first);
	memset(second, 0, sizeof *second);
	for (int row = 0; row < batch.n_tokens; row++)
	{
		if (positions[row] == 0)
			loss = 3 + (float) normal();
		nll[row] = loss;
	}
	lm_loss_sample_add(first, &batch, nll, false);
	for (int row = 0; row < batch.n_tokens; row++)
	{
		if (positions[row] == 0)
			other = (float) (rise + noise * normal());
		nll[row] += other;
	}
	lm_loss_sample_add(second, &batch, nll, false);
}

static int64_t
pieces_of(int n_windows, int length, int prompt, bool one_text)
{
	LmLossSample sample = {0};

	make_batch(n_windows, length, prompt);
	lm_loss_sample_add(&sample, &batch, nll, one_text);
	return sample.n_pieces;
}

static void
test_pieces(void)
{
	LmLossSample sample = {0};

	is_int(pieces_of(5, 20, 0, true), 5, "each short window is a piece");
	is_int(pieces_of(5, 20, 19, false), 5, "after a prompt too");
	is_int(pieces_of(2, 512, 0, false), 2, "so is a long one");
	is_int(pieces_of(1, 512, 0, true), 8, "of a single text it is one for every 64 tokens");
	is_int(pieces_of(1, 512, 400, true), 2, "a prompt is none");
	make_batch(9, 10, 0);
	lm_loss_sample_add(&sample, &batch, nll, false);
	ok(!lm_loss_sample_tells(&sample), "nine rows tell nothing");
	make_batch(1, 10, 0);
	lm_loss_sample_add(&sample, &batch, nll, false);
	ok(lm_loss_sample_tells(&sample), "ten do, in two batches");
}

/*
 * How many of a thousand pairs of validations differ by more than so many standard errors.
 */
static int
told_apart(int n_windows, double rise, double errors)
{
	LmLossSample first, second;
	int n = 0;

	make_batch(n_windows, 7, 2);
	for (int i = 0; i < 1000; i++)
	{
		make_samples(&first, &second, rise, 0.1);
		n += lm_loss_sample_rise(&second, &first) > errors;
	}
	return n;
}

static void
test_chance(void)
{
	int few = told_apart(12, 0, 2), many = told_apart(200, 0, 2), sure = told_apart(30, 0, 3);

	/*
	 * One-sided: 2.3 % of a normal distribution is beyond two standard errors, 3.5 % of Student's t
	 * with 11 degrees of freedom; 0.3 % of that with 29 beyond three.
	 */
	ok(few > 15 && few < 60, "of twelve rows chance is beyond two errors in about 35 of 1,000 (%d)",
	   few);
	ok(many > 8 && many < 45, "of 200 rows in about 23 (%d)", many);
	ok(sure < 10, "of thirty rows hardly ever beyond three (%d)", sure);
	ok(told_apart(200, 0.05, 3) > 990, "a rise of half the noise is told of 200 rows");
	ok(told_apart(12, 0.5, 3) > 990, "and of five times the noise of twelve");
	ok(told_apart(12, -0.5, 0) == 0, "a fall is none");
}

static void
test_equal(void)
{
	LmLossSample first, second;

	make_batch(20, 5, 0);
	make_samples(&first, &second, 0, 0);
	ok(lm_loss_sample_rise(&second, &first) == 0, "equal losses do not differ");
	make_batch(1, 5, 0);
	make_samples(&first, &second, 1, 0);
	ok(lm_loss_sample_rise(&second, &first) == 0, "of one piece nothing can be said");
}

int
main(void)
{
	test_pieces();
	test_chance();
	test_equal();
	return done_testing();
}
