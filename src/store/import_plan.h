/*
 * src/store/import_plan.h
 *
 * The plan of an import: what import_match.c finds and import_write.c carries out.
 */
#ifndef GPT_IMPORT_PLAN_H
#define GPT_IMPORT_PLAN_H

#include "store/import.h"

/* How the rows of a tensor become those of the version's file. */
typedef enum GptImportOrder
{
	GPT_IMPORT_IN_ORDER,
	GPT_IMPORT_INTERLEAVED, /* the first and second halves of each head alternate */
	GPT_IMPORT_BY_KIND, /* [query, key, value][head][element] becomes [head][...][element] */
	GPT_IMPORT_TRANSPOSED, /* a matrix of GPT-2, which the version's file has transposed */
} GptImportOrder;

/* The source of one part of a parameter. */
typedef struct GptImportPart
{
	const LmParam *param;
	const LmFilePart *part;
	GptImportTensor *tensor;
	GptImportOrder order;
	float offset; /* added to each value */
	const LmBlockType *type; /* in the version's file */
} GptImportPart;

struct GptImportPlan
{
	GptImport *import;
	const LmParamTable *table;
	int n_parts;
	GptImportPart *parts; /* [table->n_tensors] in table order */
	const LmBlockType **types; /* the same for gpt_weights_begin */
};

#endif /* GPT_IMPORT_PLAN_H */
