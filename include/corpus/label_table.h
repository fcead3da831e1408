/*
 * include/corpus/label_table.h
 *
 * Labels by name, and what rows have of them: one each, or a set. A table fills while rows are
 * read; sorted, it gives numbers that do not depend on the order of the rows.
 */
#ifndef GPT_LABEL_TABLE_H
#define GPT_LABEL_TABLE_H

#include "engine/ops.h"

/* The labels of a corpus. */
typedef struct GptLabels
{
	int n;
	const char *const *names; /* [n], in the order of their bytes unless they were given */
	LmLabelSets sets; /* n_sets 0: each row has one label */
	uint64 n_members; /* of all sets together */
} GptLabels;

typedef struct GptLabelTable GptLabelTable;

/*
 * Labels that are equal as values of a type which is kept as text is, under a collation.
 * InvalidOid: those whose bytes are equal.
 */
typedef struct GptLabelEquality
{
	Oid type;
	Oid collation;
} GptLabelEquality;

/* The equality of labels, and the labels that are possible. */
typedef struct GptLabelOptions
{
	const char *const *names; /* the only ones, which keep their order ... */
	int n; /* ... 0: those of the rows */
	bool sets; /* rows have sets of labels */
	bool normalize_nfc; /* as the model's tokenizer does: what has the same NFC form is one label */
	GptLabelEquality equality;
} GptLabelOptions;

/*
 * In the current memory context. Spellings that are equal are one label. It has the name that is
 * given, else that of the spelling (in NFC where that is wanted) that most rows have, of several
 * the first by its bytes: so names do not depend on the order of the rows either. Error where names
 * that are given are equal as values of the type.
 */
extern GptLabelTable *gpt_label_table_create(const GptLabelOptions *options);
extern void gpt_label_table_free(GptLabelTable *table);

/*
 * A label's number while the table is not sorted; -1 where there is no such label. Names were
 * given.
 */
extern int gpt_label_table_find(GptLabelTable *table, const char *name);

/*
 * The number of what a row has: of its one label, or of the set of n of them, in any order and
 * possibly several times. Errors: a label is not one of those that were given; there are more than
 * LM_MAX_LABELS; the sets need more than gpt.max_memory.
 */
extern uint32 gpt_label_table_add(GptLabelTable *table, const char *const *names, int n);

/*
 * Gives labels and sets their final numbers. Error where there are fewer than two labels.
 * Afterwards nothing is added. The result lives as long as the table.
 */
extern const GptLabels *gpt_label_table_sort(GptLabelTable *table);

/*
 * From a number of gpt_label_table_add to that among the labels, or among the sets, of the sorted
 * table.
 */
extern uint32 gpt_label_table_number(const GptLabelTable *table, uint32 added);

#endif /* GPT_LABEL_TABLE_H */
