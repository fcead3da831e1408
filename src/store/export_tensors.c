/*
 * src/store/export_tensors.c
 *
 * A tensor of a version goes in, the bytes of the same tensor in another file come out: in another
 * type, or with its rows in another order. It passes through in pieces.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/words.h"
#include "store/export.h"
#include "store/export_parts.h"

#define PIECE_COUNT ((size_t) 256 * 1024) /* elements */

/* Rows that are in memory together. */
typedef struct Piece
{
	const GptExportTensor *tensor;
	size_t n_rows;
	char *bytes; /* as they are read */
	char *ordered; /* rows in their new order; NULL where they keep it */
	float *values; /* NULL where the type stays */
	float *turned; /* of a matrix that is transposed, as the next ones */
	char *encoded;
} Piece;

static void *allocate(size_t count, size_t size);
static void pass(const Piece *piece, GptExportTake take, void *into);
static size_t source_row(const GptExportTensor *tensor, size_t row, size_t n_rows);

GPT_WORDS(
	gpt_export_type_name, [GPT_EXPORT_AUTO] = "auto", [GPT_EXPORT_KEEP] = "keep",
	[GPT_EXPORT_FLOAT32] = "float32", [GPT_EXPORT_FLOAT16] = "float16",
	[GPT_EXPORT_BFLOAT16] = "bfloat16", [GPT_EXPORT_Q8_0] = "q8_0", [GPT_EXPORT_Q4_0] = "q4_0");

const LmBlockType *
gpt_export_block_type(GptExportType type)
{
	switch (type)
	{
		case GPT_EXPORT_AUTO:
		case GPT_EXPORT_KEEP:
			break;
		case GPT_EXPORT_FLOAT32:
			return lm_block_type_named("F32");
		case GPT_EXPORT_FLOAT16:
			return lm_block_type_named("F16");
		case GPT_EXPORT_BFLOAT16:
			return lm_block_type_named("BF16");
		case GPT_EXPORT_Q8_0:
			return lm_block_type_named("Q8_0");
		case GPT_EXPORT_Q4_0:
			return lm_block_type_named("Q4_0");
	}
	return NULL;
}

void
gpt_export_check(const GptVersion *version)
{
	if (version->config.architecture != LM_DECODER)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model \"%s\" cannot be exported: its architecture is \"%s\"",
						version->model, lm_architecture_name((int) version->config.architecture)),
				 errdetail("No class of Transformers and no architecture of llama.cpp "
						   "computes what it does."),
				 errhint("gpt_copy_model copies it within a database, pg_dump to another one. To "
						 "export a model, train it with \"architecture\": \"decoder\".")));
	if (version->config.labels > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model \"%s\" is a classifier, which other programs do not know",
						version->model),
				 errhint("gpt_copy_model copies it within a database, pg_dump to another one.")));
	if (version->config.embedding > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model \"%s\" has a trained embedding, which other programs do not know",
						version->model),
				 errhint("gpt_copy_model copies it within a database, pg_dump to another one.")));
}

GptBlob *
gpt_export_create(void)
{
	return gpt_blob_create(GetUserId());
}

Oid
gpt_export_finish(GptBlob *blob, const GptVersion *version, const char *format)
{
	Oid object = gpt_blob_finish(blob, NULL, NULL);

	gpt_blob_comment(object,
					 psprintf("gpt: model %s@%d as %s", version->model, version->version, format));
	return object;
}

/* The rows that must be in memory together. */
static size_t
rows_of_piece(const GptExportTensor *tensor)
{
	switch (tensor->order)
	{
		case GPT_EXPORT_IN_ORDER:
			return Min(Max(PIECE_COUNT / tensor->columns, 1), tensor->rows);
		case GPT_EXPORT_INTERLEAVED:
			return tensor->head_size;
		case GPT_EXPORT_BY_KIND:
		case GPT_EXPORT_TRANSPOSED:
			break;
	}
	return tensor->rows;
}

void
gpt_export_tensor(GptWeightsReader *reader, const GptExportTensor *tensor, GptExportTake take,
				  void *into)
{
	bool changes =
		tensor->from != tensor->to || tensor->offset != 0 || tensor->order == GPT_EXPORT_TRANSPOSED;
	size_t n_rows = rows_of_piece(tensor), row_size;
	Piece piece = {.tensor = tensor};

	if (!lm_block_size(&row_size, tensor->from, tensor->columns))
		elog(ERROR, "tensor \"%s\" has no whole blocks", tensor->name);
	piece.bytes = allocate(n_rows, row_size);
	if (tensor->order != GPT_EXPORT_IN_ORDER && tensor->order != GPT_EXPORT_TRANSPOSED)
		piece.ordered = allocate(n_rows, row_size);
	if (changes)
	{
		piece.values = allocate(n_rows, tensor->columns * sizeof(float));
		piece.encoded = allocate(n_rows, tensor->columns * sizeof(float));
	}
	if (tensor->order == GPT_EXPORT_TRANSPOSED)
		piece.turned = allocate(n_rows, tensor->columns * sizeof(float));
	for (size_t row = 0; row < tensor->rows; row += n_rows)
	{
		CHECK_FOR_INTERRUPTS();
		piece.n_rows = Min(n_rows, tensor->rows - row);
		gpt_weights_raw(reader, piece.bytes, piece.n_rows * row_size);
		pass(&piece, take, into);
	}
	pfree(piece.bytes);
	if (piece.ordered != NULL)
		pfree(piece.ordered);
	if (changes)
	{
		pfree(piece.values);
		pfree(piece.encoded);
	}
	if (piece.turned != NULL)
		pfree(piece.turned);
}

/* Memory for count times size bytes, within gpt.max_memory. */
static void *
allocate(size_t count, size_t size)
{
	size_t bytes;
	void *memory;

	if (!lm_size_multiply(&bytes, count, size))
		elog(ERROR, "a tensor exceeds the address space");
	gpt_bridge_check_memory(bytes);
	memory = MemoryContextAllocExtended(CurrentMemoryContext, Max(bytes, 1),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A tensor needs %zu MB.", bytes >> 20)));
	return memory;
}

/* Rows in their new order, then in their new type. */
static void
pass(const Piece *piece, GptExportTake take, void *into)
{
	const GptExportTensor *tensor = piece->tensor;
	size_t count = piece->n_rows * tensor->columns, row_size, size;
	const char *bytes = piece->bytes;
	const float *values = piece->values;

	if (!lm_block_size(&row_size, tensor->from, tensor->columns) ||
		!lm_block_size(&size, tensor->to, count))
		elog(ERROR, "tensor \"%s\" has no whole blocks", tensor->name);
	for (size_t row = 0; piece->ordered != NULL && row < piece->n_rows; row++)
		memcpy(piece->ordered + row * row_size,
			   bytes + source_row(tensor, row, piece->n_rows) * row_size, row_size);
	if (piece->ordered != NULL)
		bytes = piece->ordered;
	if (piece->values == NULL)
	{
		take(into, bytes, size);
		return;
	}
	lm_block_decode(piece->values, tensor->from, bytes, count);
	for (size_t i = 0; tensor->offset != 0 && i < count; i++)
		piece->values[i] += tensor->offset;
	for (size_t row = 0; piece->turned != NULL && row < piece->n_rows; row++)
		for (size_t column = 0; column < tensor->columns; column++)
			piece->turned[column * piece->n_rows + row] =
				piece->values[row * tensor->columns + column];
	if (piece->turned != NULL)
		values = piece->turned;
	lm_block_encode(piece->encoded, tensor->to, values, count);
	take(into, piece->encoded, size);
}

/* The row of the version's piece that becomes row `row` of the file's. */
static size_t
source_row(const GptExportTensor *tensor, size_t row, size_t n_rows)
{
	size_t size = tensor->head_size, half = size / 2;
	size_t head, n_heads;

	if (tensor->order == GPT_EXPORT_INTERLEAVED)
		return row % 2 * half + row / 2;
	n_heads = n_rows / size / 3;
	head = row / size;
	return (head % n_heads * 3 + head / n_heads) * size + row % size;
}

void
gpt_export_skip_ngrams(GptWeightsReader *reader, const LmParamTable *all)
{
	char piece[8192];

	for (int i = 0; i < all->n_params; i++)
	{
		const LmParam *param = &all->params[i];
		size_t left = lm_param_of_ngrams(param) ? param->count * sizeof(float) : 0;

		for (size_t size; left > 0; left -= size)
		{
			CHECK_FOR_INTERRUPTS();
			size = Min(left, sizeof(piece));
			gpt_weights_raw(reader, piece, size);
		}
	}
}
