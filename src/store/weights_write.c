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
#include "store/weights.h"
#include "store/weights_header.h"

#define ALIGNMENT 64
#define PIECE_COUNT (256 * 1024) /* floats */

struct GptWeightsWriter
{
	GptBlob *blob;
	uint64 missing; /* bytes of tensors that have not come */
};

/* What a header is made of. */
typedef struct Content
{
	const LmParamTable *table;
	const LmBlockType *const *types;
	const char *labels;
	const pg_uuid_t *run_id;
} Content;

static char *make_header(const Content *content, uint64 *data_size);
static void append_metadata(StringInfo header, const Content *content);
static void append_blocks(StringInfo header, const Content *content);
static void append_tensor(StringInfo header, const LmParam *param, const LmFilePart *part,
						  const LmBlockType *type, uint64 *offset);

void
gpt_weights_write(GptBlob *blob, const LmParamTable *table, const float *block, const char *labels,
				  const pg_uuid_t *run_id)
{
	GptWeightsWriter *writer = gpt_weights_begin(blob, table, NULL, labels, run_id);
	float *values = palloc(PIECE_COUNT * sizeof(float));

#ifdef WORDS_BIGENDIAN
#error "weights are written as little-endian floats"
#endif
	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];

		for (size_t first = 0; first < param->count; first += PIECE_COUNT)
		{
			size_t count = Min(param->count - first, PIECE_COUNT);

			lm_param_get(values, block, param, first, count);
			gpt_weights_append(writer, values, count * sizeof(float));
		}
	}
	pfree(values);
	gpt_weights_end(writer);
}

GptWeightsWriter *
gpt_weights_begin(GptBlob *blob, const LmParamTable *table, const LmBlockType *const *types,
				  const char *labels, const pg_uuid_t *run_id)
{
	const Content content = {table, types, labels, run_id};
	GptWeightsWriter *writer = palloc(sizeof(GptWeightsWriter));
	char *header = make_header(&content, &writer->missing);
	uint64 size = strlen(header);

	writer->blob = blob;
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

void
gpt_weights_end(GptWeightsWriter *writer)
{
	if (writer->missing > 0)
		elog(ERROR, UINT64_FORMAT " bytes of weights are missing", writer->missing);
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

/* Values are strings, as the format wants; the run's id comes first, for gpt_weights_belonging. */
static void
append_metadata(StringInfo header, const Content *content)
{
	appendStringInfo(header,
					 "\"__metadata__\":{\"format\":\"pt\",\"" GPT_WEIGHTS_RUN_ID
					 "\":\"%s\",\"" GPT_WEIGHTS_CONFIG "\":",
					 gpt_weights_uuid_text(content->run_id));
	escape_json(header, gpt_config_to_json(&content->table->config, content->labels));
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
