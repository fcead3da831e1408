/*
 * src/store/weights_write.c
 *
 * A parameter block, or the bytes of tensors of any type, to a safetensors file in a large object.
 * The format is drawn in weights.h; https://github.com/huggingface/safetensors describes it:
 * offsets count from the end of the header, tensors cover the rest of the file without gaps.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "store/model_config.h"
#include "store/model_extras.h"
#include "store/weights.h"
#include "store/weights_header.h"

#define ALIGNMENT 64
#define PIECE_COUNT (256 * 1024) /* floats */

struct GptWeightsWriter
{
	GptBlob *blob;
	uint64 missing; /* bytes of tensors that have not come */
	const LmParamTable *table;
	const LmBlockType *const *types; /* NULL: F32 */
	/* of _append_values: the tensor that comes next, and what it lacks */
	int tensor;
	int param;
	int part;
	size_t left;
	float *values; /* [PIECE_COUNT] */
	char *bytes; /* of so many values */
};

/* What a header is made of. */
typedef struct Content
{
	const LmParamTable *table;
	const LmBlockType *const *types;
	const GptWeightsNotes *notes;
} Content;

static char *make_header(const Content *content, uint64 *data_size);
static void append_metadata(StringInfo header, const Content *content);
static void append_blocks(StringInfo header, const Content *content);
static void append_tensor(StringInfo header, const LmParam *param, const LmFilePart *part,
						  const LmBlockType *type, uint64 *offset);

void
gpt_weights_write(GptBlob *blob, const LmParamTable *table, const float *block,
				  const GptWeightsNotes *notes)
{
	GptWeightsWriter *writer = gpt_weights_begin(blob, table, NULL, notes);

#ifdef WORDS_BIGENDIAN
#error "weights are written as little-endian floats"
#endif
	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];

		gpt_weights_append_rows(writer, param, param->rows, block + param->offset);
	}
	gpt_weights_end(writer);
}

GptWeightsWriter *
gpt_weights_begin(GptBlob *blob, const LmParamTable *table, const LmBlockType *const *types,
				  const GptWeightsNotes *notes)
{
	const Content content = {table, types, notes};
	GptWeightsWriter *writer = palloc0(sizeof(GptWeightsWriter));
	char *header = make_header(&content, &writer->missing);
	uint64 size = strlen(header);

	writer->blob = blob;
	writer->table = table;
	writer->types = types;
	writer->tensor = -1;
	writer->part = -1;
	writer->values = palloc(PIECE_COUNT * sizeof(float));
	writer->bytes = palloc(PIECE_COUNT * sizeof(float));
	gpt_blob_write(blob, &size, sizeof(size));
	gpt_blob_write(blob, header, size);
	pfree(header);
	return writer;
}

void
gpt_weights_append(GptWeightsWriter *writer, const void *bytes, size_t size)
{
	if (size > writer->missing)
		elog(ERROR, "%zu bytes of weights, " UINT64_FORMAT " are wanted", size, writer->missing);
	gpt_blob_write(writer->blob, bytes, size);
	writer->missing -= size;
}

/* The tensor that values come for. */
static void
next_tensor(GptWeightsWriter *writer)
{
	const LmParam *params = writer->table->params;

	writer->tensor++;
	if (++writer->part == params[writer->param].n_parts)
	{
		writer->param++;
		writer->part = 0;
	}
	if (writer->param == writer->table->n_params)
		elog(ERROR, "more weights than parameters");
	writer->left =
		lm_part_count(&params[writer->param], &params[writer->param].parts[writer->part]);
}

void
gpt_weights_append_values(GptWeightsWriter *writer, const float *values, size_t count)
{
	const LmBlockType *f32 = lm_block_type_named("F32");

	while (count > 0)
	{
		const LmBlockType *type;
		size_t n, size;

		while (writer->left == 0)
			next_tensor(writer);
		type = writer->types != NULL ? writer->types[writer->tensor] : f32;
		n = Min(Min(count, writer->left), PIECE_COUNT);
		if (type->encode == NULL || !lm_block_size(&size, type, n))
			elog(ERROR, "%zu values cannot be written as %s", n, type->name);
		if (type == f32)
			gpt_weights_append(writer, values, size);
		else
		{
			lm_block_encode(writer->bytes, type, values, n);
			gpt_weights_append(writer, writer->bytes, size);
		}
		writer->left -= n;
		values += n;
		count -= n;
	}
}

void
gpt_weights_append_rows(GptWeightsWriter *writer, const LmParam *param, int n_rows,
						const float *rows)
{
	bool whole = n_rows == param->rows;
	LmParam here = *param; /* rows are a block with nothing else */
	size_t count = (size_t) n_rows * param->columns;

	here.offset = 0;
	if (!whole && param->file_offset != 0)
		elog(ERROR, "parameter \"%s\" comes in pieces", param->name);
	if (!whole)
	{
		gpt_weights_append_values(writer, rows, count);
		return;
	}
	for (size_t first = 0; first < count; first += PIECE_COUNT)
	{
		size_t n = Min(count - first, PIECE_COUNT);

		lm_param_get(writer->values, rows, &here, first, n);
		gpt_weights_append_values(writer, writer->values, n);
	}
}

void
gpt_weights_end(GptWeightsWriter *writer)
{
	if (writer->missing > 0)
		elog(ERROR, UINT64_FORMAT " bytes of weights are missing", writer->missing);
	pfree(writer->values);
	pfree(writer->bytes);
	pfree(writer);
}

bool
gpt_weights_part_size(size_t *size, size_t *row_size, const LmParam *param, const LmFilePart *part,
					  const LmBlockType *type)
{
	int shape[2];
	bool vector = lm_part_shape(shape, param, part) == 1;

	return (!vector || type->elements == 1) &&
		   lm_block_size(row_size, type, (size_t) (vector ? shape[0] : shape[1])) &&
		   lm_size_multiply(size, *row_size, vector ? 1 : (size_t) shape[0]);
}

/*
 * Padded with spaces, so that the data begin at a multiple of ALIGNMENT. Sets the size of the data.
 */
static char *
make_header(const Content *content, uint64 *data_size)
{
	const LmParamTable *table = content->table;
	StringInfoData header;
	int n = 0;

	*data_size = 0;
	initStringInfo(&header);
	appendStringInfoChar(&header, '{');
	append_metadata(&header, content);
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
			append_tensor(&header, &table->params[i], &table->params[i].parts[part],
						  content->types != NULL ? content->types[n] : NULL, data_size);
	appendStringInfoChar(&header, '}');
	while ((sizeof(uint64) + header.len) % ALIGNMENT != 0)
		appendStringInfoChar(&header, ' ');
	return header.data;
}

/*
 * Values are strings, as the format wants; the run's id comes first, for gpt_weights_belonging. An
 * export has none: it belongs to no version.
 */
static void
append_metadata(StringInfo header, const Content *content)
{
	const GptWeightsNotes *notes = content->notes;
	char *texts = gpt_extras_of_texts(notes->extras);

	appendStringInfoString(header, "\"__metadata__\":{\"format\":\"pt\",");
	if (notes->run_id != NULL)
		appendStringInfo(header, "\"" GPT_WEIGHTS_RUN_ID "\":\"%s\",",
						 gpt_weights_uuid_text(notes->run_id));
	appendStringInfoString(header, "\"" GPT_WEIGHTS_CONFIG "\":");
	escape_json(header, gpt_config_to_json(&content->table->config, notes->labels));
	if (texts != NULL)
	{
		appendStringInfoString(header, ",\"" GPT_WEIGHTS_EXTRAS "\":");
		escape_json(header, texts);
	}
	append_blocks(header, content);
	appendStringInfoChar(header, '}');
}

/* Appends the names of the types that safetensors does not have, if there are any. */
static void
append_blocks(StringInfo header, const Content *content)
{
	const LmParamTable *table = content->table;
	StringInfoData blocks;
	int n = 0;

	if (content->types == NULL)
		return;
	initStringInfo(&blocks);
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
			if (content->types[n]->elements > 1)
			{
				appendStringInfoString(&blocks, blocks.len == 0 ? "{" : ",");
				escape_json(&blocks, table->params[i].parts[part].name);
				appendStringInfo(&blocks, ":\"%s\"", content->types[n]->name);
			}
	if (blocks.len > 0)
	{
		appendStringInfoChar(&blocks, '}');
		appendStringInfoString(header, ",\"" GPT_WEIGHTS_BLOCKS "\":");
		escape_json(header, blocks.data);
	}
	pfree(blocks.data);
}

/* Writes the header's entry of one tensor and moves *offset past its data. type NULL: F32. */
static void
append_tensor(StringInfo header, const LmParam *param, const LmFilePart *part,
			  const LmBlockType *type, uint64 *offset)
{
	const LmBlockType *own = type != NULL ? type : lm_block_type_named("F32");
	bool in_blocks = own->elements > 1;
	size_t row_size;
	size_t size;
	int shape[2];

	if (!gpt_weights_part_size(&size, &row_size, param, part, own))
		elog(ERROR, "tensor \"%s\" cannot have type %s", part->name, own->name);
	appendStringInfoString(header, ",");
	escape_json(header, part->name);
	appendStringInfo(header, ":{\"dtype\":\"%s\",\"shape\":[",
					 in_blocks ? GPT_WEIGHTS_BYTES : own->name);
	if (lm_part_shape(shape, param, part) == 1)
		appendStringInfo(header, "%d", shape[0]);
	else
		appendStringInfo(header, "%d,%zu", shape[0], in_blocks ? row_size : (size_t) shape[1]);
	appendStringInfo(header, "],\"data_offsets\":[" UINT64_FORMAT "," UINT64_FORMAT "]}", *offset,
					 *offset + size);
	*offset += size;
}
