/*
 * src/store/export_parts.h
 *
 * The tensors of an exported file, and their way from the version's object.
 */
#ifndef GPT_EXPORT_PARTS_H
#define GPT_EXPORT_PARTS_H

#include "store/export.h"
#include "store/weights.h"

/* How the rows of a version's tensor become those of the file. */
typedef enum GptExportOrder
{
	GPT_EXPORT_IN_ORDER,
	GPT_EXPORT_INTERLEAVED, /* the halves of each head alternate: row 2 i, 2 i + 1 */
	GPT_EXPORT_BY_KIND, /* [head][query, key, value] becomes [query, key, value][head] */
	GPT_EXPORT_TRANSPOSED, /* of GPT-2, whose files have matrices transposed */
} GptExportOrder;

/* A tensor of the version, in the order of its file, and what it becomes. */
typedef struct GptExportTensor
{
	const char *name; /* in the new file */
	size_t rows; /* in the version's file; a vector has 1 element a row */
	size_t columns;
	bool vector;
	GptExportOrder order;
	size_t head_size; /* rows of a head; of orders by heads */
	float offset; /* added to each value */
	const LmBlockType *from;
	const LmBlockType *to;
} GptExportTensor;

/* Takes the bytes of the new tensor, in order. */
typedef void (*GptExportTake)(void *into, const void *bytes, size_t size);

/* Reads the next tensor of the reader and gives it to take. Memory: a few MB, or a whole matrix. */
extern void gpt_export_tensor(GptWeightsReader *reader, const GptExportTensor *tensor,
							  GptExportTake take, void *into);

/*
 * Reads over the n-grams of a version, which come last and which no other project knows. all is the
 * version's table.
 */
extern void gpt_export_skip_ngrams(GptWeightsReader *reader, const LmParamTable *all);

/* A new large object of the current role. */
extern GptBlob *gpt_export_create(void);
extern Oid gpt_export_finish(GptBlob *blob, const GptVersion *version, const char *format);

/* Raises ERRCODE_FEATURE_NOT_SUPPORTED for a classifier. */
extern void gpt_export_check(const GptVersion *version);

/* The type of most of the exported matrices, as config.json spells it: "bfloat16". */
extern const char *gpt_export_file_type(const GptVersion *version);

/* src/store/export_card.c: the model card, a text of Markdown, palloc'd. */
extern char *gpt_export_card(const GptVersion *version);

#endif /* GPT_EXPORT_PARTS_H */
