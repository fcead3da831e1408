/*
 * src/engine/train/held_out.c
 *
 * The choice of the validation rows (engine/held_out.h has the rule):
 *
 *   1. cut texts that are too long, where they are most of the corpus;
 *   2. mark the groups to learn: frequent ones, and one of each prompt of several rows and of
 *      each label;
 *   3. fill: take groups in the order of keys until there are enough rows;
 *   4. exchange, where the bytes are then too few or too many: rows for longer or shorter ones.
 */
#include "train/row_groups.h"

#define FLAG_LEARNT 8
#define FLAG_SHARED 16 /* its prompt has several rows */
#define GIVEN_FLAGS LM_GROUP_ELSEWHERE

#define LEAST 0.5
#define MOST 1.5
/* distance from both that is kept at first, because tokens are not spread exactly as bytes */
#define MARGIN 0.25
#define LEAST_CUT 256 /* bytes that are cut off, where there are several rows */
#define USEFUL_ROWS 10 /* fewer, if more were asked for, measure nothing */
#define ROUNDING 1e-9

typedef struct Choice
{
	LmRowGroup *groups;
	size_t n;
	const LmHoldOut *asked;
	const LmHost *host;
	double wanted_rows; /* of the rows that are not cut */
	double wanted_bytes;
	uint64_t goal; /* rows */
	uint64_t most_rows;
	/* rows with a prompt of their own are held out first, rather than the others */
	bool own_prompts;
	uint64_t n_rows; /* held out so far */
	double n_bytes;
} Choice;

static void cut_long(Choice *choice, LmHeldOut *held);
static void mark_frequent(Choice *choice);
static bool mark_prompts(Choice *choice);
static bool mark_labels(Choice *choice, LmError *error);
static void set_goal(Choice *choice, LmHeldOut *held);
static void fill(Choice *choice);
static bool balance(Choice *choice);
static void settle(Choice *choice, LmHeldOut *held);

bool
lm_held_out_choose(LmHeldOut *held, LmRowGroup *groups, size_t n, const LmHoldOut *asked,
				   const LmHost *host, LmError *error)
{
	Choice choice = {groups,
					 n,
					 asked,
					 host,
					 asked->fraction * (double) asked->n_rows,
					 asked->fraction * (double) asked->n_bytes};

	*held = (LmHeldOut){LM_HELD_OUT_AS_ASKED};
	for (size_t i = 0; i < n; i++)
		groups[i].flags &= GIVEN_FLAGS;
	cut_long(&choice, held);
	mark_frequent(&choice);
	if (asked->prompted && !mark_prompts(&choice))
		return lm_fail(error, LM_ERR_STOPPED, -1, "choosing the validation rows was stopped");
	if (asked->n_labels > 0 && !mark_labels(&choice, error))
		return false;
	set_goal(&choice, held);
	if (!lm_row_groups_sort(groups, n, lm_compare_keys, host))
		return lm_fail(error, LM_ERR_STOPPED, -1, "choosing the validation rows was stopped");
	fill(&choice);
	if (!balance(&choice))
		return lm_fail(error, LM_ERR_STOPPED, -1, "choosing the validation rows was stopped");
	settle(&choice, held);
	return true;
}

static double
bytes_of(const LmRowGroup *group)
{
	return (double) group->size * group->n_rows;
}

/* ---- 1. ----------------------------------------------------------------- */

static bool
is_too_long(const LmRowGroup *group, const LmHoldOut *asked)
{
	if (group->n_rows > 1 || asked->prompted || asked->whole || asked->n_labels > 0 ||
		asked->fraction <= 0)
		return false;
	return asked->n_rows == 1 ||
		   ((double) group->size > MOST * asked->fraction * (double) asked->n_bytes &&
			group->size * asked->fraction >= LEAST_CUT);
}

/* Marks texts too long to hold out whole, so that only their ends are, if most bytes are theirs. */
static void
cut_long(Choice *choice, LmHeldOut *held)
{
	const LmHoldOut *asked = choice->asked;
	uint64_t n = 0, bytes = 0;

	for (size_t i = 0; i < choice->n; i++)
	{
		bool too_long = is_too_long(&choice->groups[i], asked);

		n += too_long;
		bytes += too_long ? choice->groups[i].size : 0;
	}
	if (2 * bytes <= asked->n_bytes)
		return;
	for (size_t i = 0; i < choice->n; i++)
		if (is_too_long(&choice->groups[i], asked))
			choice->groups[i].flags |= LM_GROUP_CUT | FLAG_LEARNT;
	held->n_cut = n;
	held->cut_bytes = bytes;
	choice->wanted_rows -= asked->fraction * (double) n;
	choice->wanted_bytes -= asked->fraction * (double) bytes;
}

/* ---- 2. ----------------------------------------------------------------- */

static void
mark_frequent(Choice *choice)
{
	for (size_t i = 0; i < choice->n; i++)
	{
		LmRowGroup *group = &choice->groups[i];
		double share = group->n_rows > 1 ? LEAST : MOST;

		if (bytes_of(group) > share * choice->wanted_bytes ||
			(group->n_rows > 1 && group->n_rows > LEAST * choice->wanted_rows))
			group->flags |= FLAG_LEARNT;
	}
}

/*
 * Whether a group is the better one to learn: the one with more rows or, among equals, with the
 * larger key, which would be tried last.
 */
static bool
is_better_kept(const LmRowGroup *group, const LmRowGroup *other)
{
	return group->n_rows != other->n_rows ? group->n_rows > other->n_rows : group->key > other->key;
}

/* Marks the groups of one prompt. Returns 1 for a single row that has its prompt alone, else 0. */
static uint64_t
mark_prompt(LmRowGroup *groups, size_t n)
{
	LmRowGroup *kept = &groups[0];
	bool is_kept = false;

	if (n == 1 && groups[0].n_rows == 1 && !(groups[0].flags & LM_GROUP_ELSEWHERE))
		return 1;
	for (size_t i = 0; i < n; i++)
	{
		is_kept = is_kept || (groups[i].flags & (FLAG_LEARNT | LM_GROUP_ELSEWHERE));
		kept = is_better_kept(&groups[i], kept) ? &groups[i] : kept;
		groups[i].flags |= FLAG_SHARED;
	}
	if (!is_kept)
		kept->flags |= FLAG_LEARNT;
	return 0;
}

/* Marks the groups of each prompt; *choice learns whether most rows have a prompt of their own. */
static bool
mark_prompts(Choice *choice)
{
	LmRowGroup *groups = choice->groups;
	uint64_t n_rows = 0, n_own = 0;
	size_t first = 0;

	if (!lm_row_groups_sort(groups, choice->n, lm_compare_prompts, choice->host))
		return false;
	for (size_t i = 0; i < choice->n; i++)
	{
		n_rows += groups[i].n_rows;
		if (i + 1 < choice->n && groups[i + 1].prompt == groups[i].prompt)
			continue;
		n_own += mark_prompt(groups + first, i + 1 - first);
		first = i + 1;
	}
	choice->own_prompts = 2 * n_own >= n_rows;
	return true;
}

static void
keep_label(const LmRowGroup **kept, const LmRowGroup *group, uint32_t label)
{
	if (!kept[label] || (group->flags & FLAG_LEARNT) > (kept[label]->flags & FLAG_LEARNT) ||
		((group->flags & FLAG_LEARNT) == (kept[label]->flags & FLAG_LEARNT) &&
		 is_better_kept(group, kept[label])))
		kept[label] = group;
}

/* Marks a group to learn for each label: one that is learnt already, where such a group exists. */
static bool
mark_labels(Choice *choice, LmError *error)
{
	const LmHoldOut *asked = choice->asked;
	LmRowGroup **kept = lm_allocate(choice->host, asked->n_labels * sizeof *kept);

	if (!kept)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
	for (size_t i = 0; i < choice->n; i++)
	{
		LmRowGroup *group = &choice->groups[i];
		uint64_t n = 1;
		const uint32_t *labels =
			asked->sets.n_sets > 0 ? lm_label_set(&n, &asked->sets, group->label) : &group->label;

		for (uint64_t j = 0; j < n; j++)
			keep_label((const LmRowGroup **) kept, group, labels[j]);
	}
	for (uint32_t label = 0; label < asked->n_labels; label++)
		if (kept[label] && !(asked->learnt_labels && asked->learnt_labels[label]))
			kept[label]->flags |= FLAG_LEARNT;
	lm_free(choice->host, kept);
	return true;
}

/* ---- 3. ----------------------------------------------------------------- */

/*
 * Sets the number of rows: as near as possible to the wanted one, and at most half of the rows
 * whose group is not frequent.
 */
static void
set_goal(Choice *choice, LmHeldOut *held)
{
	double least = LEAST * choice->wanted_rows, most = MOST * choice->wanted_rows;
	uint64_t n_frequent = 0;
	uint64_t n_possible;

	for (size_t i = 0; i < choice->n; i++)
	{
		const LmRowGroup *group = &choice->groups[i];

		if ((group->flags & LM_GROUP_CUT) ||
			(group->n_rows > 1 && group->n_rows > LEAST * choice->wanted_rows))
			n_frequent += group->n_rows;
	}
	n_possible = (choice->asked->n_rows - n_frequent) / 2;
	choice->most_rows = (uint64_t) (most + ROUNDING);
	if ((double) choice->most_rows < least - ROUNDING || choice->most_rows == 0)
	{
		choice->most_rows = 0;
		held->reason = LM_HELD_OUT_FEW_ROWS;
	}
	else if (n_possible < choice->most_rows)
		choice->most_rows = n_possible;
	choice->goal = (uint64_t) (choice->wanted_rows + 0.5);
	if ((double) choice->goal < least - ROUNDING)
		choice->goal++;
	if (choice->goal > choice->most_rows)
		choice->goal = choice->most_rows;
}

static void
take(Choice *choice, LmRowGroup *group)
{
	group->flags |= LM_GROUP_HELD_OUT;
	choice->n_rows += group->n_rows;
	choice->n_bytes += bytes_of(group);
}

static void
give_back(Choice *choice, LmRowGroup *group)
{
	group->flags &= ~LM_GROUP_HELD_OUT;
	choice->n_rows -= group->n_rows;
	choice->n_bytes -= bytes_of(group);
}

/* Takes groups whose flag is as asked, in the order of keys, up to the goal and most_bytes. */
static void
fill_from(Choice *choice, uint32_t flag, bool flagged, double most_bytes)
{
	for (size_t i = 0; i < choice->n && choice->n_rows < choice->goal; i++)
	{
		LmRowGroup *group = &choice->groups[i];

		if ((group->flags & (FLAG_LEARNT | LM_GROUP_HELD_OUT)) ||
			((group->flags & flag) != 0) != flagged)
			continue;
		if (choice->n_rows + group->n_rows <= choice->most_rows &&
			choice->n_bytes + bytes_of(group) <= most_bytes * choice->wanted_bytes)
			take(choice, group);
	}
}

static void
fill(Choice *choice)
{
	if (choice->asked->prompted)
	{
		fill_from(choice, FLAG_SHARED, !choice->own_prompts, MOST - MARGIN);
		fill_from(choice, FLAG_SHARED, !choice->own_prompts, MOST);
	}
	fill_from(choice, 0, false, MOST - MARGIN);
	fill_from(choice, 0, false, MOST);
}

/* ---- 4. ----------------------------------------------------------------- */

static int
compare_sizes(const LmRowGroup *a, const LmRowGroup *b)
{
	return a->size != b->size ? (a->size > b->size) - (a->size < b->size) : lm_compare_keys(a, b);
}

static int
compare_sizes_down(const LmRowGroup *a, const LmRowGroup *b)
{
	return -compare_sizes(a, b);
}

/*
 * Gives back the last group that is held out before *end, where its rows have another length than
 * the given group's.
 */
static bool
give_back_last(Choice *choice, size_t *end, const LmRowGroup *group)
{
	while (*end > 0 && &choice->groups[*end - 1] > group)
	{
		LmRowGroup *other = &choice->groups[--*end];

		if (!(other->flags & LM_GROUP_HELD_OUT))
			continue;
		if (other->size == group->size)
			return false;
		give_back(choice, other);
		return true;
	}
	return false;
}

/*
 * Exchanges shorter held-out rows for longer ones until so many bytes are held out; with bytes 0,
 * longer ones for shorter until the goal of rows is reached.
 */
static bool
exchange(Choice *choice, double bytes, uint64_t most_rows)
{
	bool longer = bytes > 0;
	size_t end = choice->n;
	size_t i = 0;

	if (!lm_row_groups_sort(choice->groups, choice->n, longer ? compare_sizes_down : compare_sizes,
							choice->host))
		return false;
	while (i < end && (longer ? choice->n_bytes < bytes : choice->n_rows < choice->goal))
	{
		LmRowGroup *group = &choice->groups[i];
		bool rows_fit = choice->n_rows + group->n_rows <= most_rows;
		bool bytes_fit = choice->n_bytes + bytes_of(group) <= MOST * choice->wanted_bytes;

		if (group->flags & (FLAG_LEARNT | LM_GROUP_HELD_OUT))
			i++;
		else if (rows_fit && bytes_fit)
			take(choice, group);
		else if (longer != bytes_fit || !give_back_last(choice, &end, group))
			i++;
	}
	return lm_row_groups_sort(choice->groups, choice->n, lm_compare_keys, choice->host);
}

static void
give_all_back(Choice *choice)
{
	for (size_t i = 0; i < choice->n; i++)
		if (choice->groups[i].flags & LM_GROUP_HELD_OUT)
			give_back(choice, &choice->groups[i]);
}

/* Exchanges groups until bytes and rows are within bounds; false when the engine was stopped. */
static bool
balance(Choice *choice)
{
	double wanted = choice->wanted_bytes;

	if (choice->most_rows == 0)
		return true;
	if (choice->n_bytes < (LEAST + MARGIN) * wanted &&
		!exchange(choice, (LEAST + MARGIN) * wanted, choice->goal))
		return false;
	if (choice->n_bytes < LEAST * wanted && !exchange(choice, LEAST * wanted, choice->most_rows))
		return false;
	if ((double) choice->n_rows < LEAST * choice->wanted_rows && !exchange(choice, 0, choice->goal))
		return false;
	/*
	 * After exchanges in vain, rows in the order of keys are the better choice: they resemble the
	 * rest.
	 */
	if (choice->n_bytes < LEAST * wanted)
		give_all_back(choice);
	fill(choice);
	return true;
}

static void
settle(Choice *choice, LmHeldOut *held)
{
	bool few = (double) choice->n_rows < LEAST * choice->wanted_rows - ROUNDING;

	if (few && choice->n_rows < USEFUL_ROWS)
		give_all_back(choice);
	held->n_rows = choice->n_rows;
	held->n_bytes = (uint64_t) choice->n_bytes;
	if (held->reason == LM_HELD_OUT_AS_ASKED && few)
		held->reason = LM_HELD_OUT_NEEDED;
	else if (held->reason == LM_HELD_OUT_AS_ASKED && choice->n_bytes < LEAST * choice->wanted_bytes)
		held->reason = LM_HELD_OUT_BYTES;
}
