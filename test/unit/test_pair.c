/*
 * test/unit/test_pair.c
 *
 * What two texts share, and the features of both.
 */
#include "model/pair.h"
#include "tap.h"

static void
test_overlaps(void)
{
	static const int32_t same[] = {5, 6, 7, 8, 9, 5, 6, 7, 8, 9}, apart[] = {1, 2, 3, 4, 5, 6},
						 part[] = {1, 2, 3, 2, 3, 9, 8};
	double overlaps[LM_PAIR_OVERLAPS];
	bool equal = true, none = true;

	lm_pair_overlaps(overlaps, same, 5, 10);
	for (int i = 1; i < LM_PAIR_OVERLAPS; i++)
		equal = equal && overlaps[i] == overlaps[0] && overlaps[0] > 0;
	ok(equal, "equal texts share everything");
	lm_pair_overlaps(overlaps, apart, 3, 6);
	for (int i = 0; i < LM_PAIR_OVERLAPS; i++)
		none = none && overlaps[i] == 0;
	ok(none, "texts without a common token share nothing");
	lm_pair_overlaps(overlaps, part, 3, 7);
	is_near(overlaps[0], 4.0 * 2 / 5, 1e-12, "two of five tokens are in both");
	is_near(overlaps[1], 4.0 * 2 / 3, 1e-12, "two of the three tokens of the shorter");
	is_near(overlaps[2], 4.0 * 1 / 4, 1e-12, "one of four pairs of tokens");
	is_near(overlaps[3], 4.0 * 1 / 2, 1e-12, "one of the two of the shorter");
	lm_pair_overlaps(overlaps, part, 0, 7);
	ok(overlaps[0] == 0 && overlaps[1] == 0, "an empty text shares nothing");
}

static void
test_features(void)
{
	float features[8] = {1, -2, 0.5f, 3}, d[8] = {1, 2, 3, 4, 5, 6, 7, 8}, du[2], dv[2];

	lm_pair_forward(features, 2);
	ok(features[4] == 0.5f && features[5] == 5 && features[6] == 0.5f && features[7] == -6,
	   "difference and product of both means");
	lm_pair_backward(du, dv, d, features, 2);
	ok(du[0] == 1 + 5 + 7 * 0.5f && du[1] == 2 - 6 + 8 * 3, "the gradient of the first");
	ok(dv[0] == 3 - 5 + 7 * 1 && dv[1] == 4 + 6 - 8 * 2, "and of the second");
	lm_pair_backward(features, features + 2, d, features, 2);
	ok(features[0] == du[0] && features[1] == du[1] && features[2] == dv[0] && features[3] == dv[1],
	   "also in their places");
}

int
main(void)
{
	test_overlaps();
	test_features();
	return done_testing();
}
