/*
 * include/label_table.h
 *
 * Labels by name, and what rows have of them: one each, or a set. A table fills while rows are read; sorted, it gives numbers that
 * do not depend on the order of the rows.
 */
#ifndef GPT_LABEL_TABLE_H
#define GPT_LABEL_TABLE_H

#include "engine/ops.h"

/* What a corpus has of labels. */
typedef struct GptLabels
{
	int n;
	const char *const *names; /* [n], in the order of their bytes unless they were given */
	LmLabelSets sets; /* n_sets 0: each row has one label */
	uint64 n_members; /* of all sets together */
} GptLabels;

typedef struct GptLabelTable GptLabelTable;

/*
 * In the current memory context. n names are the only ones, and keep their order; 0: those of the rows. sets: rows have sets of
 * labels.
 */
extern GptLabelTable *gpt_label_table_create(const char *const *names, int n, bool sets);
extern void gpt_label_table_free(GptLabelTable *table);

/* A label's number while the table is not sorted; -1 where there is no such label. */
extern int gpt_label_table_find(const GptLabelTable *table, const char *name);

/*
 * The number of what a row has: of its one label, or of the set of n of them, in any order and possibly several times. Errors: a
 * label is not one of those that were given; there are more than LM_MAX_LABELS; the sets need more than gpt.max_memory.
 */
extern uint32 gpt_label_table_add(GptLabelTable *table, const char *const *names, int n);

/*
 * Gives labels and sets their final numbers. Error where there are too few labels to tell apart. Afterwards nothing is added. What it
 * returns lives as long as the table.
 */
extern const GptLabels *gpt_label_table_sort(GptLabelTable *table);

/* From a number of gpt_label_table_add to that among the labels, or among the sets, of the sorted table. */
extern uint32 gpt_label_table_number(const GptLabelTable *table, uint32 added);

#endif /* GPT_LABEL_TABLE_H */
