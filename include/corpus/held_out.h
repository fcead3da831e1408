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

typedef struct GptHeldOut
{
	double fraction;
	bool prompted; /* rows have prompts, ... */
	bool labelled; /* ... or labels */
	bool all_equal; /* all rows are */
	GptRowCounts *counts; /* of the rows; once they are chosen, those that are held out or cut */
	bool *learnt_labels; /* those of rows that are not counted; NULL: none */
	LmHeldOut chosen;
} GptHeldOut;

/* In the current memory context. fraction: above 0. */
extern GptHeldOut *gpt_held_out_create(double fraction, bool prompted, bool labelled);
extern void gpt_held_out_free(GptHeldOut *held);

/*
 * A row with that hash of its text, or of prompt and text; the label is the table's number before
 * it is sorted.
 */
extern void gpt_held_out_add(GptHeldOut *held, uint64 hash, uint64 prompt, uint32 size,
							 uint32 label);

/*
 * After the last row, in this order. Where _sort is true, not all rows are counted, and _elsewhere
 * needs all rows once more; labels is the sorted table, NULL where rows have none.
 */
extern bool gpt_held_out_sort(GptHeldOut *held, const GptLabels *labels);
extern void gpt_held_out_elsewhere(GptHeldOut *held, uint64 hash, uint64 prompt, uint32 label,
								   const GptLabels *labels);
extern void gpt_held_out_choose(GptHeldOut *held, GptLabelTable *table, const GptLabels *labels);

/*
 * Of a row: LM_GROUP_HELD_OUT, LM_GROUP_CUT, or 0: it is learnt. Labels have the sorted table's
 * numbers from here on.
 */
extern uint32 gpt_held_out_flags(const GptHeldOut *held, uint64 hash, uint32 label);

/*
 * Of a text of so many bytes that is cut: where. Not more than size, and not yet the beginning of a
 * character.
 */
extern size_t gpt_held_out_cut(const GptHeldOut *held, size_t size);

/* Bytes that are held out. */
extern int64 gpt_held_out_bytes(const GptHeldOut *held);

/*
 * Why what is held out is not the share that was asked for, by rows and tokens, and what is held
 * out instead; NULL where it is. palloc'd. Tokens are those of the file that was made of the rows.
 */
extern char *gpt_held_out_note(const GptHeldOut *held, uint64 validation_tokens,
							   uint64 train_tokens);

#endif /* GPT_HELD_OUT_H */
