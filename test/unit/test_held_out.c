/*
 * test/unit/test_held_out.c
 *
 * What is held out, by rule and not by example: every number of distinct texts, prompts and labels
 * with every fraction and skew.
 */
#include "engine/held_out.h"
#include "tap.h"

#define MOST_ROWS 20000
#define MOST_VALUES 1001

typedef enum Kind
{
	TEXTS, /* k of them, each in many rows */
	PROMPTS, /* k of them, with completions of their own in all rows */
	ANSWERED, /* k of them, each with one completion */
	LABELS, /* k of them, of texts that differ */
	KINDS
} Kind;

static const char *const kind_names[] = {"texts", "prompts", "answered prompts", "labels"};

typedef struct Corpus
{
	LmRowGroup rows[MOST_ROWS];
	size_t n;
	LmRowGroup groups[MOST_ROWS];
	size_t n_groups;
	LmHoldOut asked;
	LmHeldOut held;
} Corpus;

static Corpus corpus;
static TapHost tap;
static LmHost host;

/* Mixed numbers are as good as hashes of texts. */
static void
add_row(Kind kind, uint64_t value, uint32_t size)
{
	uint64_t row = corpus.n;
	LmRowGroup *group = &corpus.rows[corpus.n++];

	*group = (LmRowGroup){.size = size, .n_rows = 1};
	if (kind == TEXTS)
		group->key = lm_row_mix(value + 1);
	else if (kind == ANSWERED)
		group->key = group->prompt = lm_row_mix(value + 1);
	else
		group->key = lm_row_mix(row + 1);
	if (kind == PROMPTS)
		group->prompt = lm_row_mix(value + 1000003);
	if (kind == LABELS)
		group->label = (uint32_t) value;
	corpus.asked.n_rows++;
	corpus.asked.n_bytes += size;
}

static void
begin(Kind kind, uint32_t k, double fraction)
{
	corpus.n = 0;
	corpus.asked = (LmHoldOut){.fraction = fraction,
							   .prompted = kind == PROMPTS || kind == ANSWERED,
							   .n_labels = kind == LABELS ? k : 0};
}

/* In another order of rows for each order; fails the test where it fails. */
static void
choose(uint64_t order)
{
	LmError error;

	for (size_t i = 0; i < corpus.n; i++)
		corpus.groups[i] = corpus.rows[i];
	for (size_t i = corpus.n; order > 0 && i > 1; i--)
	{
		size_t j = lm_row_mix(order * 7919 + i) % i;
		LmRowGroup other = corpus.groups[i - 1];

		corpus.groups[i - 1] = corpus.groups[j];
		corpus.groups[j] = other;
	}
	corpus.n_groups = lm_row_groups_merge(corpus.groups, corpus.n, &host);
	if (!lm_held_out_choose(&corpus.held, corpus.groups, corpus.n_groups, &corpus.asked, &host,
							&error))
		ok(false, "%s", error.message);
}

/* ---- What must hold ----------------------------------------------------- */

static bool
is_share(double held, double all, double fraction)
{
	return held >= 0.5 * fraction * all - 1e-6 && held <= 1.5 * fraction * all + 1e-6;
}

static bool
sums_are_right(void)
{
	uint64_t n_rows = 0, n_bytes = 0;

	for (size_t i = 0; i < corpus.n_groups; i++)
	{
		const LmRowGroup *group = &corpus.groups[i];

		if (i > 0 && group[-1].key >= group->key)
			return false;
		if (group->flags & LM_GROUP_HELD_OUT)
		{
			n_rows += group->n_rows;
			n_bytes += (uint64_t) group->n_rows * group->size;
		}
	}
	return n_rows == corpus.held.n_rows && n_bytes == corpus.held.n_bytes &&
		   n_rows < corpus.asked.n_rows;
}

/* Half to one and a half of rows and bytes, or a reason; never more. */
static bool
share_is_kept(void)
{
	const LmHeldOut *held = &corpus.held;
	double fraction = corpus.asked.fraction;
	double bytes = (double) held->n_bytes + fraction * (double) held->cut_bytes;

	if (bytes > 1.5 * fraction * (double) corpus.asked.n_bytes + 1e-6 ||
		(double) held->n_rows > 1.5 * fraction * (double) corpus.asked.n_rows + 1e-6)
		return false;
	if (held->reason != LM_HELD_OUT_AS_ASKED)
		return true;
	return is_share(bytes, (double) corpus.asked.n_bytes, fraction) &&
		   (held->n_cut > 0 ||
			is_share((double) held->n_rows, (double) corpus.asked.n_rows, fraction));
}

static bool
frequent_are_learnt(void)
{
	double share = corpus.asked.fraction * (double) corpus.asked.n_rows;

	for (size_t i = 0; i < corpus.n_groups; i++)
		if ((corpus.groups[i].flags & LM_GROUP_HELD_OUT) && corpus.groups[i].n_rows > 1 &&
			corpus.groups[i].n_rows > share / 2)
			return false;
	return true;
}

/* Every prompt of several rows, and every label, has a row that is learnt. */
static bool
all_keep_rows(Kind kind)
{
	static uint32_t n_rows[MOST_VALUES], n_learnt[MOST_VALUES];
	static uint64_t prompts[MOST_VALUES];
	size_t n_prompts = 0;

	memset(n_rows, 0, sizeof n_rows);
	memset(n_learnt, 0, sizeof n_learnt);
	for (size_t i = 0; i < corpus.n_groups; i++)
	{
		const LmRowGroup *group = &corpus.groups[i];
		size_t value = group->label;

		if (corpus.asked.prompted)
		{
			for (value = 0; value < n_prompts && prompts[value] != group->prompt; value++)
				;
			if (value == n_prompts)
				prompts[n_prompts++] = group->prompt;
		}
		n_rows[value] += group->n_rows;
		n_learnt[value] += group->flags & LM_GROUP_HELD_OUT ? 0 : group->n_rows;
	}
	for (size_t value = 0; value < MOST_VALUES; value++)
		if (n_rows[value] > 0 && n_learnt[value] == 0 &&
			(kind == LABELS || (corpus.asked.prompted && n_rows[value] > 1)))
			return false;
	return true;
}

/* Which keys are held out or cut, as one number. */
static uint64_t
sides(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < corpus.n_groups; i++)
		if (corpus.groups[i].flags & (LM_GROUP_HELD_OUT | LM_GROUP_CUT))
			sum = lm_row_mix(sum ^ corpus.groups[i].key) + corpus.groups[i].n_rows;
	return sum;
}

static bool
order_does_not_matter(void)
{
	uint64_t before = sides();

	for (uint64_t order = 1; order <= 1; order++)
	{
		choose(order);
		if (sides() != before)
			return false;
	}
	return true;
}

/* ---- Every number of values with every fraction and skew ---------------- */

static uint32_t
size_of(uint64_t row, bool even)
{
	/* From 8 bytes to some thousands. */
	return even ? 20 : (uint32_t) (8 * exp((double) (lm_row_mix(row + 77) % 1000) / 160));
}

static void
fill_corpus(Kind kind, uint32_t k, size_t n_rows, size_t skew, double fraction, bool even)
{
	begin(kind, k, fraction);
	for (size_t row = 0; row < n_rows; row++)
	{
		/* Value 0 in skew rows for one of the others; the first k rows have each of them once. */
		uint64_t value = row < k							 ? row
						 : skew > 0 && row % (skew + 1) != 0 ? 0
															 : lm_row_mix(row) % k;

		/* Equal rows are of equal length. */
		add_row(kind, value, size_of(kind == TEXTS || kind == ANSWERED ? value : row, even));
	}
}

static void
test_kind(Kind kind)
{
	static const uint32_t values[] = {1, 2, 3, 5, 20, 40, 1000};
	static const double fractions[] = {0.001, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5};
	static const size_t numbers[] = {1, 2, 3, 5, 10, 13, 14, 20, 40, 100, 1000};
	static const size_t skews[] = {0, 1, 9, 99, 999};
	int n = 0, wrong_sums = 0, wrong_share = 0, wrong_frequent = 0, wrong_kept = 0, wrong_order = 0,
		as_asked = 0;

	for (size_t a = 0; a < sizeof values / sizeof *values; a++)
		for (size_t b = 0; b < sizeof fractions / sizeof *fractions; b++)
			for (size_t c = 0; c < sizeof numbers / sizeof *numbers; c++)
				for (size_t d = 0; d < 2 * sizeof skews / sizeof *skews; d++)
				{
					fill_corpus(kind, values[a], numbers[c], skews[d / 2], fractions[b], d % 2);
					choose(0);
					n++;
					wrong_sums += !sums_are_right();
					wrong_share += !share_is_kept();
					wrong_frequent += !frequent_are_learnt();
					wrong_kept += !all_keep_rows(kind);
					as_asked += corpus.held.reason == LM_HELD_OUT_AS_ASKED;
					wrong_order += !order_does_not_matter();
				}
	ok(wrong_sums == 0, "%s: sums are those of the groups, and something is learnt",
	   kind_names[kind]);
	ok(wrong_share == 0,
	   "%s: half to one and a half of rows and bytes are held out, or there is a reason",
	   kind_names[kind]);
	ok(wrong_frequent == 0, "%s: what is frequent is learnt", kind_names[kind]);
	ok(wrong_kept == 0, "%s: every prompt and label keeps a row to learn", kind_names[kind]);
	ok(wrong_order == 0, "%s: the order of rows does not matter", kind_names[kind]);
	printf("# %d corpora, %d as asked\n", n, as_asked);
}

/* Where rows differ and there are enough of them there is no excuse. */
static void
test_possible(Kind kind)
{
	static const double fractions[] = {0.001, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5};
	int n = 0, missed = 0;

	for (uint32_t k = 1; k <= 1000; k = k < 10 ? k + 1 : 2 * k)
		for (size_t b = 0; b < sizeof fractions / sizeof *fractions; b++)
			for (size_t n_rows = 20; n_rows <= 4000; n_rows = n_rows * 3 / 2)
			{
				size_t kept = k + 1;

				if (fractions[b] * (double) n_rows < 1 || 4 * kept > n_rows)
					continue;
				fill_corpus(kind, k, n_rows, 9, fractions[b], false);
				choose(0);
				n++;
				missed += corpus.held.reason != LM_HELD_OUT_AS_ASKED || corpus.held.n_rows == 0;
			}
	ok(n > 300 && missed == 0,
	   "%s: where rows differ, as many are held out as was asked for (%d corpora)",
	   kind_names[kind], n);
}

/* ---- By example --------------------------------------------------------- */

static void
test_examples(void)
{
	begin(PROMPTS, 0, 0.05);
	for (int i = 0; i < 500; i++)
		add_row(PROMPTS, i % 5, 20);
	choose(0);
	is_int((long long) corpus.held.n_rows, 25,
		   "of five prompts of 100 rows a twentieth of the rows is held out");

	begin(PROMPTS, 0, 0.05);
	for (int i = 0; i < 1000; i++)
		add_row(PROMPTS, i == 0, 20);
	choose(0);
	is_int((long long) corpus.held.n_rows, 50,
		   "of two prompts, of 999 rows and of one, 50 rows are held out");
	ok(!(lm_row_groups_find(corpus.groups, corpus.n_groups, lm_row_mix(1))->flags &
		 LM_GROUP_HELD_OUT),
	   "the row of the rare prompt is learnt");

	begin(PROMPTS, 0, 0.05);
	for (int i = 0; i < 1000; i++)
		add_row(PROMPTS, i < 600 ? i : 600 + i % 4, 20);
	choose(0);
	{
		int shared = 0;

		for (size_t i = 0; i < corpus.n_groups; i++)
			for (size_t j = 0; j < corpus.n_groups; j++)
				shared += corpus.groups[i].prompt == corpus.groups[j].prompt && i != j &&
						  (corpus.groups[i].flags & LM_GROUP_HELD_OUT);
		ok(corpus.held.n_rows == 50 && shared == 0,
		   "where most prompts have one row, prompts that are measured are not learnt");
	}

	begin(TEXTS, 0, 0.05);
	for (int i = 0; i < 1000; i++)
		add_row(TEXTS, i % 5 < 3 ? 0 : i + 1, 20);
	choose(0);
	is_int((long long) corpus.held.n_rows, 50,
		   "beside a text that is in 60 % of the rows a twentieth of the rows is held out");

	begin(TEXTS, 0, 0.05);
	for (int i = 0; i < 6; i++)
		add_row(TEXTS, i, i == 0 ? 14000 : 8);
	choose(0);
	ok(corpus.held.n_cut == 1 && corpus.held.cut_bytes == 14000 && corpus.held.n_rows == 0,
	   "one long row among notes is cut");

	begin(TEXTS, 0, 0.05);
	for (int i = 0; i < 1001; i++)
		add_row(TEXTS, i, i == 0 ? 1000000 : 100);
	choose(0);
	ok(corpus.held.n_cut == 1 && corpus.held.n_rows == 50,
	   "where a row with most of the text is cut, a twentieth of the others is held out");

	begin(TEXTS, 0, 0.05);
	for (int i = 0; i < 5; i++)
		add_row(TEXTS, i, 100000 + i);
	choose(0);
	ok(corpus.held.n_cut == 5, "each of five books is cut");

	begin(TEXTS, 0, 0.05);
	for (int i = 0; i < 5; i++)
		add_row(TEXTS, i, 20);
	choose(0);
	ok(corpus.held.n_cut == 0 && corpus.held.n_rows == 0 &&
		   corpus.held.reason == LM_HELD_OUT_FEW_ROWS,
	   "five lines are learnt");

	begin(TEXTS, 0, 0.05);
	add_row(TEXTS, 0, 20);
	choose(0);
	ok(corpus.held.n_cut == 1, "a single text is cut");

	begin(PROMPTS, 0, 0.05);
	add_row(PROMPTS, 0, 20);
	choose(0);
	ok(corpus.held.n_cut == 0 && corpus.held.n_rows == 0, "a single row with a prompt is learnt");
}

/* Rows that are in no group count, and are learnt. */
static void
test_elsewhere(void)
{
	static const bool learnt[] = {true, false};

	begin(PROMPTS, 0, 0.05);
	for (int i = 0; i < 200; i++)
	{
		add_row(PROMPTS, i, 20);
		corpus.rows[i].flags = LM_GROUP_ELSEWHERE;
	}
	corpus.asked.n_rows = 2000;
	corpus.asked.n_bytes = 40000;
	choose(0);
	is_int((long long) corpus.held.n_rows, 100,
		   "a sample gives as many rows as the corpus asks for");

	begin(LABELS, 2, 0.5);
	for (int i = 0; i < 2; i++)
		add_row(LABELS, i, 20);
	corpus.asked.learnt_labels = learnt;
	choose(0);
	ok(corpus.held.n_rows == 1 &&
		   (lm_row_groups_find(corpus.groups, 2, corpus.rows[0].key)->flags & LM_GROUP_HELD_OUT),
	   "a label that has rows elsewhere needs none of the sample");
}

static void
test_sets(void)
{
	static const uint64_t ends[] = {0, 1, 3, 4};
	static const uint32_t members[] = {0, 0, 1, 2};
	int wrong = 0;

	for (int n_rows = 4; n_rows < 60; n_rows++)
	{
		bool kept[3] = {false};

		begin(LABELS, 3, 0.5);
		for (int i = 0; i < n_rows; i++)
			add_row(LABELS, i < 4 ? i : i % 2, 20);
		corpus.asked.sets = (LmLabelSets){4, ends, members};
		choose(0);
		for (size_t i = 0; i < corpus.n_groups; i++)
		{
			uint64_t n;
			const uint32_t *set = lm_label_set(&n, &corpus.asked.sets, corpus.groups[i].label);

			for (uint64_t j = 0; j < n; j++)
				kept[set[j]] = kept[set[j]] || !(corpus.groups[i].flags & LM_GROUP_HELD_OUT);
		}
		wrong += !kept[0] || !kept[1] || !kept[2];
	}
	ok(wrong == 0, "every label of a set keeps a row to learn");
}

static void
test_hosts(void)
{
	LmError error = {0};

	fill_corpus(PROMPTS, 50, 20000, 0, 0.1, false);
	choose(0);
	tap.stop = true;
	ok(!lm_held_out_choose(&corpus.held, corpus.groups, corpus.n_groups, &corpus.asked, &host,
						   &error) &&
		   error.code == LM_ERR_STOPPED,
	   "it can be stopped");
	ok(lm_row_groups_merge(corpus.groups, corpus.n_groups, &host) == 0, "merging too");
	tap.stop = false;
	ok(lm_held_out_choose(&corpus.held, corpus.groups, corpus.n_groups, &corpus.asked, &host,
						  &error) &&
		   corpus.held.n_rows == 2000,
	   "and goes on");

	fill_corpus(LABELS, 50, 1000, 0, 0.1, false);
	corpus.n_groups = 0;
	tap.fail_after = 0;
	ok(!lm_held_out_choose(&corpus.held, corpus.groups, 0, &corpus.asked, &host, &error) &&
		   error.code == LM_ERR_MEMORY,
	   "no memory is an error");
	tap.fail_after = -1;
	is_int(tap.live, 0, "nothing is left allocated");
}

int
main(void)
{
	host = tap_host(&tap);
	for (int kind = 0; kind < KINDS; kind++)
		test_kind(kind);
	test_possible(PROMPTS);
	test_possible(LABELS);
	test_examples();
	test_elsewhere();
	test_sets();
	test_hosts();
	return done_testing();
}
