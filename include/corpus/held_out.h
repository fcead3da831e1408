/*
 * include/corpus/held_out.h
 *
 * The rows of a corpus that are held out: chosen when all have been read, looked up by each row's
 * key, and explained to the user.
 */
#ifndef GPT_HELD_OUT_H
#define GPT_HELD_OUT_H

#include "corpus/label_table.h"
#include "corpus/row_counts.h"
#include "corpus/source_task.h"

/* Which rows are held out for validation; groups of equal rows share one decision. */
typedef struct GptHeldOut
{
	double fraction;
	bool prompted; /* rows have prompts, ... */
	bool labelled; /* ... or labels, ... */
	bool whole; /* ... or lose their meaning if they are cut */
	bool all_equal; /* all rows have the same text */
	GptRowCounts *counts; /* of all rows; after _choose only of those that are held out or cut */
	bool *learnt_labels; /* [labels] has a row that is not counted; NULL: no label has */
	LmHeldOut chosen;
	/* rows that equal an earlier one, after _sort; an estimate where not all rows are counted */
	int64 repeated;
} GptHeldOut;

/* In the current memory context. fraction: above 0, below 1. */
extern GptHeldOut *gpt_held_out_create(double fraction, const GptTask *task);
extern void gpt_held_out_free(GptHeldOut *held);

/*
 * Counts a row. hash: of all its text; prompt: of its prompt, or of its text; size: bytes of both;
 * label: its number before the table is sorted.
 */
extern void gpt_held_out_add(GptHeldOut *held, uint64 hash, uint64 prompt, uint32 size,
							 uint32 label);

/*
 * Called after the last row, in this order. If _sort returns true, memory did not suffice to count
 * all rows, and _elsewhere must see all rows once more. labels: the sorted table, or NULL if rows
 * have no labels.
 */
extern bool gpt_held_out_sort(GptHeldOut *held, const GptLabels *labels);
extern void gpt_held_out_elsewhere(GptHeldOut *held, uint64 hash, uint64 prompt, uint32 label,
								   const GptLabels *labels);
extern void gpt_held_out_choose(GptHeldOut *held, GptLabelTable *table, const GptLabels *labels);

/*
 * What happens to a row: LM_GROUP_HELD_OUT, LM_GROUP_CUT, or 0: it is trained on. label: its number
 * in the sorted table.
 */
extern uint32 gpt_held_out_flags(const GptHeldOut *held, uint64 hash, uint32 label);

/*
 * The offset at which a text of size bytes is cut, at most size. The caller moves it to the
 * beginning of a character.
 */
extern size_t gpt_held_out_cut(const GptHeldOut *held, size_t size);

/* Bytes of text that are held out, cut ends included. */
extern int64 gpt_held_out_bytes(const GptHeldOut *held);

/*
 * Why the held-out share, by rows or tokens, is not the one that was asked for, and what is held
 * out instead. palloc'd; NULL if it is the wanted share. The arguments count tokens of the token
 * file.
 */
extern char *gpt_held_out_note(const GptHeldOut *held, uint64 validation_tokens,
							   uint64 train_tokens);

#endif /* GPT_HELD_OUT_H */
