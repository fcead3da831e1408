/*
 * include/corpus/label_table.h
 *
 * Labels by name, and what rows have of them: one each, or a set. A table fills while rows are
 * read; sorted, it gives numbers that do not depend on the order of the rows.
 */
#ifndef GPT_LABEL_TABLE_H
#define GPT_LABEL_TABLE_H

#include "engine/ops.h"

/* The labels of a corpus after sorting. */
typedef struct GptLabels
{
	int n;
	const char *const *names; /* [n], in the order of their bytes unless they were given */
	LmLabelSets sets; /* n_sets 0: each row has one label */
	uint64 n_members; /* of all sets together */
} GptLabels;

/* Collects the labels of rows and gives them numbers. */
typedef struct GptLabelTable GptLabelTable;

/*
 * When two labels are the same: if they are equal as values of the type, which is stored like text,
 * under the collation. InvalidOid: if their bytes are equal.
 */
typedef struct GptLabelEquality
{
	Oid type;
	Oid collation;
} GptLabelEquality;

/* The equality of labels, and the labels that rows may have. */
typedef struct GptLabelOptions
{
	/* [n] the only labels, or with `grows` the first ones, in their final order ... */
	const char *const *names;
	int n; /* ... 0: the labels of the rows */
	bool grows; /* rows may have further labels */
	bool is_part; /* fewer than two labels are no error: other tables have more */
	bool sets; /* rows have sets of labels */
	bool normalize_nfc; /* labels with the same NFC form are one, as for the tokenizer */
	GptLabelEquality equality;
} GptLabelOptions;

/*
 * In the current memory context. Equal spellings are one label. Its name is the given one, else the
 * spelling (in NFC if that is wanted) that most rows have; among equally frequent ones the first by
 * bytes. So names do not depend on the order of the rows. Raises an error if given names are equal
 * as values of the type.
 */
extern GptLabelTable *gpt_label_table_create(const GptLabelOptions *options);
extern void gpt_label_table_free(GptLabelTable *table);

/*
 * The number of a label before the table is sorted; -1 if there is no such label. Only for tables
 * with given names.
 */
extern int gpt_label_table_find(GptLabelTable *table, const char *name);

/*
 * The number of a row's label, or of its set of n labels in any order, with or without repetitions.
 * Errors: a label is not a given one; there are more than LM_MAX_LABELS; the sets need more than
 * gpt.max_memory.
 */
extern uint32 gpt_label_table_add(GptLabelTable *table, const char *const *names, int n);

/*
 * Sets the final numbers and returns the labels, which live as long as the table. Nothing is added
 * afterwards. Raises an error if there are fewer than two labels.
 */
extern const GptLabels *gpt_label_table_sort(GptLabelTable *table);

/* The final number of a label, or of a set, that gpt_label_table_add returned. */
extern uint32 gpt_label_table_number(const GptLabelTable *table, uint32 added);

#endif /* GPT_LABEL_TABLE_H */
