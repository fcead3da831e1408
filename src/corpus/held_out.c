/*
 * src/corpus/held_out.c
 *
 * Counts of rows go in, what is held out comes out, with a note where that is not what was asked
 * for. The rule is the engine's (engine/held_out.h).
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/held_out.h"

#define LEAST 0.5 /* of the fraction, ... */
#define MOST 1.5 /* ... as the rule has it */

GptHeldOut *
gpt_held_out_create(double fraction, const GptTask *task)
{
	GptHeldOut *held = palloc0(sizeof(GptHeldOut));

	held->fraction = fraction;
	held->prompted = task->prompted;
	held->labelled = task->labelled;
	held->whole = task->measured || gpt_task_has(task, GPT_TEXT_OTHER);
	held->counts = gpt_row_counts_create();
	return held;
}

void
gpt_held_out_free(GptHeldOut *held)
{
	gpt_row_counts_free(held->counts);
	if (held->learnt_labels != NULL)
		pfree(held->learnt_labels);
	pfree(held);
}

void
gpt_held_out_add(GptHeldOut *held, uint64 hash, uint64 prompt, uint32 size, uint32 label)
{
	gpt_row_counts_add(held->counts, lm_row_mix(hash), prompt, size, label);
}

/*
 * The key of everything that is trained of a row. label: its number in the sorted table, which does
 * not depend on the order of the rows.
 */
static uint64
key_of(const GptHeldOut *held, uint64 text_key, uint32 label)
{
	return held->labelled ? lm_row_mix(text_key + label + 1) : text_key;
}

/* ---- Choosing ----------------------------------------------------------- */

static int64
count_repeated(const GptRowCounts *counts)
{
	double counted = 0;

	for (size_t i = 0; i < counts->n; i++)
		counted += counts->groups[i].n_rows;
	return counted > 0
			   ? (int64) rint((counted - (double) counts->n) / counted * (double) counts->n_rows)
			   : 0;
}

bool
gpt_held_out_sort(GptHeldOut *held, const GptLabels *labels)
{
	GptRowCounts *counts = held->counts;
	bool some;

	gpt_row_counts_finish(counts);
	held->repeated = count_repeated(counts);
	some = counts->below != PG_UINT64_MAX && (held->prompted || held->labelled);
	if (some && held->labelled)
		held->learnt_labels =
			MemoryContextAllocZero(GetMemoryChunkContext(held), labels->n * sizeof(bool));
	while (some && held->prompted &&
		   !lm_row_groups_by_prompt(counts->groups, counts->n, counts->host))
		CHECK_FOR_INTERRUPTS();
	return some;
}

void
gpt_held_out_elsewhere(GptHeldOut *held, uint64 hash, uint64 prompt, uint32 label,
					   const GptLabels *labels)
{
	GptRowCounts *counts = held->counts;
	uint64_t n = 1;
	const uint32_t *members = &label;

	if (lm_row_mix(hash) <= counts->below)
		return;
	if (held->prompted)
		lm_row_groups_elsewhere(counts->groups, counts->n, prompt);
	if (!held->labelled)
		return;
	if (labels->sets.n_sets > 0)
		members = lm_label_set(&n, &labels->sets, label);
	for (uint64_t i = 0; i < n; i++)
		held->learnt_labels[members[i]] = true;
}

void
gpt_held_out_choose(GptHeldOut *held, GptLabelTable *table, const GptLabels *labels)
{
	GptRowCounts *counts = held->counts;
	LmHoldOut asked = {
		.fraction = held->fraction,
		.n_rows = counts->n_rows,
		.n_bytes = counts->n_bytes,
		.prompted = held->prompted,
		.whole = held->whole,
		.learnt_labels = held->learnt_labels,
	};
	LmError error;

	if (held->labelled)
	{
		asked.n_labels = (uint32) labels->n;
		asked.sets = labels->sets;
		for (size_t i = 0; i < counts->n; i++)
		{
			LmRowGroup *group = &counts->groups[i];

			group->label = gpt_label_table_number(table, group->label);
			group->key = key_of(held, group->key, group->label);
		}
	}
	held->all_equal = counts->n == 1 && counts->below == PG_UINT64_MAX;
	while (
		!lm_held_out_choose(&held->chosen, counts->groups, counts->n, &asked, counts->host, &error))
		gpt_bridge_retry(&error);
	gpt_row_counts_keep(counts, LM_GROUP_HELD_OUT | LM_GROUP_CUT);
}

uint32
gpt_held_out_flags(const GptHeldOut *held, uint64 hash, uint32 label)
{
	const LmRowGroup *group = lm_row_groups_find(held->counts->groups, held->counts->n,
												 key_of(held, lm_row_mix(hash), label));

	return group != NULL ? group->flags & (LM_GROUP_HELD_OUT | LM_GROUP_CUT) : 0;
}

size_t
gpt_held_out_cut(const GptHeldOut *held, size_t size)
{
	return (size_t) ((1 - held->fraction) * (double) size);
}

int64
gpt_held_out_bytes(const GptHeldOut *held)
{
	const LmHeldOut *chosen = &held->chosen;

	return (int64) chosen->n_bytes +
		   (int64) (chosen->cut_bytes - (1 - held->fraction) * (double) chosen->cut_bytes);
}

/* ---- The note ----------------------------------------------------------- */

static const char *
percent(double part, double whole)
{
	return psprintf("%.3g %%", 100 * part / Max(whole, 1));
}

/* A phrase for the job's note: why the held-out share is not the one that was asked for. */
static const char *
reason(const GptHeldOut *held)
{
	switch (held->chosen.reason)
	{
		case LM_HELD_OUT_FEW_ROWS:
			return psprintf("%s of " INT64_FORMAT " rows is less than one",
							percent(held->fraction, 1), held->counts->n_rows);
		case LM_HELD_OUT_BYTES:
			return "a few long rows have most of the text";
		case LM_HELD_OUT_AS_ASKED:
			return "their tokens are shorter or longer than those of the other rows";
		case LM_HELD_OUT_NEEDED:
			break;
	}
	if (held->all_equal)
		return "all rows are equal";
	if (held->prompted)
		return "frequent rows train the model, and every prompt of several rows keeps a training "
			   "row";
	return held->labelled ? "frequent rows train the model, and every label keeps a training row"
						  : "frequent rows train the model";
}

/* The job's note where the ends of long rows are held out instead of whole rows only. */
static char *
note_of_cut(const GptHeldOut *held)
{
	const LmHeldOut *chosen = &held->chosen;
	const char *rows;
	const char *others;

	if (held->counts->n_rows == 1)
		return psprintf("the job holds out the last %s of the text", percent(held->fraction, 1));
	rows = chosen->n_cut == 1
			   ? "the longest row"
			   : psprintf("each of the " UINT64_FORMAT " longest rows", chosen->n_cut);
	others = chosen->n_rows == 0 ? "no other row"
								 : psprintf(UINT64_FORMAT " of the other rows", chosen->n_rows);
	return psprintf("the job holds out the last %s of %s (%s of the text) and %s",
					percent(held->fraction, 1), rows,
					percent(chosen->cut_bytes, held->counts->n_bytes), others);
}

char *
gpt_held_out_note(const GptHeldOut *held, uint64 validation_tokens, uint64 train_tokens)
{
	const LmHeldOut *chosen = &held->chosen;
	double tokens =
		(double) validation_tokens / Max((double) (validation_tokens + train_tokens), 1);

	if (chosen->n_cut > 0)
		return note_of_cut(held);
	if (chosen->n_rows == 0)
		return psprintf("the job holds out no row and measures no validation loss: %s; option "
						"\"validation_query\" gives rows to measure on",
						reason(held));
	if (chosen->reason == LM_HELD_OUT_AS_ASKED && tokens >= LEAST * held->fraction &&
		tokens <= MOST * held->fraction)
		return NULL;
	return psprintf("the job holds out " UINT64_FORMAT
					" rows (%s), with %s of the tokens, instead of %s: %s",
					chosen->n_rows, percent(chosen->n_rows, held->counts->n_rows),
					percent(tokens, 1), percent(held->fraction, 1), reason(held));
}
