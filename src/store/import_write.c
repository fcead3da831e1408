/*
 * src/store/import_write.c
 *
 * A plan in, the file of a version out. Bytes are copied in pieces; rows change places by heads,
 * and a matrix that is transposed is in memory as a whole.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "store/import.h"
#include "store/import_plan.h"
#include "store/weights.h"

#define PIECE_COUNT (256 * 1024) /* elements: a multiple of those of each block */

/* Where a part goes, with room for a piece. */
typedef struct Target
{
	GptWeightsWriter *writer;
	const GptImportPart *part;
	float *values; /* [PIECE_COUNT] */
	char *blocks; /* [PIECE_COUNT] as float32 or smaller */
} Target;

static void write_part(Target *target);
static void copy(const Target *target, size_t count);
static void write_values(const Target *target, const float *values, size_t count);
static void write_elements(const Target *target, const char *bytes, size_t count);
static void write_heads(const Target *target, size_t count);
static size_t source_row(const GptImportPart *part, size_t unit, size_t row, size_t n_rows);
static void write_transposed(const Target *target, size_t count);
static void *allocate(size_t size, const GptImportPart *part);

void
gpt_import_write(GptBlob *blob, GptImportPlan *plan, const GptWeightsNotes *notes)
{
	Target target = {
		.writer = gpt_weights_begin(blob, plan->table, plan->types, notes),
		.values = palloc(PIECE_COUNT * sizeof(float)),
		.blocks = palloc(PIECE_COUNT * sizeof(float)),
	};

	for (int i = 0; i < plan->n_parts; i++)
	{
		CHECK_FOR_INTERRUPTS();
		target.part = &plan->parts[i];
		write_part(&target);
	}
	gpt_weights_end(target.writer);
	pfree(target.values);
	pfree(target.blocks);
}

static void
write_part(Target *target)
{
	size_t count = lm_part_count(target->part->param, target->part->part);

	switch (target->part->order)
	{
		case GPT_IMPORT_IN_ORDER:
			copy(target, count);
			break;
		case GPT_IMPORT_INTERLEAVED:
		case GPT_IMPORT_BY_KIND:
			write_heads(target, count);
			break;
		case GPT_IMPORT_TRANSPOSED:
			write_transposed(target, count);
			break;
	}
}

/* In order, in pieces; rows are whole blocks, so that a piece is one, too. */
static void
copy(const Target *target, size_t count)
{
	const LmFileTensor *tensor = &target->part->tensor->tensor;
	char *bytes = palloc(PIECE_COUNT * sizeof(float));

	for (size_t first = 0; first < count; first += PIECE_COUNT)
	{
		size_t n = Min(count - first, PIECE_COUNT);
		size_t offset, size;

		if (!lm_block_size(&offset, tensor->type, first) || !lm_block_size(&size, tensor->type, n))
			elog(ERROR, "tensor \"%s\" has no whole blocks", tensor->name);
		gpt_import_read(target->part->tensor->file, tensor->offset + offset, bytes, size);
		write_elements(target, bytes, n);
	}
	pfree(bytes);
}

/* Elements in the tensor's type: as they are, or as values in the type of the version's file. */
static void
write_elements(const Target *target, const char *bytes, size_t count)
{
	const GptImportPart *part = target->part;
	const LmBlockType *type = part->tensor->tensor.type;
	size_t offset, size;

	if (type == part->type && part->offset == 0)
	{
		if (!lm_block_size(&size, type, count))
			elog(ERROR, "tensor \"%s\" has no whole blocks", part->tensor->tensor.name);
		gpt_weights_append(target->writer, bytes, size);
		return;
	}
	for (size_t first = 0; first < count; first += PIECE_COUNT)
	{
		size_t n = Min(count - first, PIECE_COUNT);

		if (!lm_block_size(&offset, type, first))
			elog(ERROR, "tensor \"%s\" has no whole blocks", part->tensor->tensor.name);
		lm_block_decode(target->values, type, bytes + offset, n);
		for (size_t i = 0; part->offset != 0 && i < n; i++)
			target->values[i] += part->offset;
		write_values(target, target->values, n);
	}
}

/* At most PIECE_COUNT floats. */
static void
write_values(const Target *target, const float *values, size_t count)
{
	size_t size;

	if (!lm_block_size(&size, target->part->type, count))
		elog(ERROR, "tensor \"%s\" has no whole blocks", target->part->part->name);
	lm_block_encode(target->blocks, target->part->type, values, count);
	gpt_weights_append(target->writer, target->blocks, size);
}

/* The rows of one head after the other, which are together in memory. */
static void
write_heads(const Target *target, size_t count)
{
	const GptImportPart *part = target->part;
	const LmFileTensor *tensor = &part->tensor->tensor;
	size_t head = part->param->head_size;
	size_t n_rows = part->part->n_rows;
	size_t row_count = count / n_rows;
	size_t row_size;
	char *rows, *ordered;

	if (!lm_block_size(&row_size, tensor->type, row_count))
		elog(ERROR, "tensor \"%s\" has no whole blocks", tensor->name);
	rows = allocate(head * row_size, part);
	ordered = allocate(head * row_size, part);
	for (size_t unit = 0; unit < n_rows / head; unit++)
	{
		size_t first = source_row(part, unit, 0, n_rows);

		gpt_import_read(part->tensor->file, tensor->offset + first * row_size, rows,
						head * row_size);
		for (size_t row = 0; row < head; row++)
			memcpy(ordered + row * row_size,
				   rows + (source_row(part, unit, row, n_rows) - first) * row_size, row_size);
		write_elements(target, ordered, head * row_count);
	}
	pfree(rows);
	pfree(ordered);
}

/*
 * The tensor's row that becomes row `row` of head number `unit`. Interleaved, element i of the
 * first half stands at 2 i and that of the second at 2 i + 1. By kind, head h and kind k (query,
 * key, value) stand in place k n_heads + h, and go to 3 h + k.
 */
static size_t
source_row(const GptImportPart *part, size_t unit, size_t row, size_t n_rows)
{
	size_t head = part->param->head_size;
	size_t half = head / 2;
	size_t n_heads = n_rows / head / 3;

	if (part->order == GPT_IMPORT_INTERLEAVED)
		return unit * head + (row < half ? 2 * row : 2 * (row - half) + 1);
	return (unit % 3 * n_heads + unit / 3) * head + row;
}

/* [rows, columns] becomes [columns, rows]. */
static void
write_transposed(const Target *target, size_t count)
{
	const GptImportPart *part = target->part;
	const LmFileTensor *tensor = &part->tensor->tensor;
	size_t columns = part->param->columns, rows = count / columns;
	char *bytes = allocate(tensor->size, part);
	float *values = allocate(count * sizeof(float), part);
	float *column = allocate(rows * sizeof(float), part);

	gpt_import_read(part->tensor->file, tensor->offset, bytes, tensor->size);
	lm_block_decode(values, tensor->type, bytes, count);
	for (size_t i = 0; i < columns; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (size_t row = 0; row < rows; row++)
			column[row] = values[row * columns + i];
		for (size_t first = 0; first < rows; first += PIECE_COUNT)
			write_values(target, column + first, Min(rows - first, PIECE_COUNT));
	}
	pfree(bytes);
	pfree(values);
	pfree(column);
}

/* Memory for a matrix or the rows of a head, within gpt.max_memory. */
static void *
allocate(size_t size, const GptImportPart *part)
{
	void *memory;

	gpt_bridge_check_memory(size);
	memory = MemoryContextAllocExtended(CurrentMemoryContext, Max(size, 1),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				 errdetail("Tensor \"%s\" needs %zu MB.", part->tensor->tensor.name, size >> 20)));
	return memory;
}
