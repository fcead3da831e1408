/*
 * src/store/weights.c
 *
 * A parameter block to a safetensors file in a large object, and back. The format is drawn in
 * weights.h; https://github.com/huggingface/safetensors describes it: offsets count from the end of
 * the header, tensors cover the rest of the file without gaps.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/uuid.h"

#include "core/bridge.h"
#include "store/catalog.h"
#include "store/model_config.h"
#include "store/weights.h"
#include "store/weights_header.h"

#define ALIGNMENT 64
#define PIECE_COUNT (256 * 1024) /* floats */
/* of a file, which contain the metadata: one row of pg_largeobject */
#define BEGINNING_SIZE 2048

#define UUID_TEXT_SIZE 36

/*
 * Two random ids differ in about 28 of their 36 characters, hardly ever in fewer than 16; a damaged
 * one in few.
 */
#define MAX_DAMAGE 8

static char *make_header(const LmParamTable *table, const char *labels, const pg_uuid_t *run_id);
static void append_metadata(StringInfo header, const LmParamTable *table, const char *labels,
							const pg_uuid_t *run_id);
static void append_tensor(StringInfo header, const LmParam *param, const LmFilePart *part,
						  uint64 *offset);
static void write_param(GptBlob *blob, float *values, const float *block, const LmParam *param);
static char *read_header(GptBlob *blob, size_t *size, const GptVersion *version);
static void check_header(const char *header, size_t size, const LmParamTable *table,
						 const GptVersion *version);
static void read_param(float *block, float *values, GptBlob *blob, const LmParam *param,
					   const GptVersion *version);
static int count_differences(const char *a, const char *b, int size);
static char *uuid_text(const pg_uuid_t *uuid);

LmParamTable *
gpt_weights_table(const LmConfig *config)
{
	LmError error;
	LmParamTable *table =
		lm_param_table_create(gpt_bridge_host(CurrentMemoryContext), config, &error);

	if (table == NULL)
		gpt_bridge_raise(&error);
	return table;
}

void
gpt_weights_write(GptBlob *blob, const LmParamTable *table, const float *block, const char *labels,
				  const pg_uuid_t *run_id)
{
	char *header = make_header(table, labels, run_id);
	uint64 size = strlen(header);
	float *values = palloc(PIECE_COUNT * sizeof(float));

#ifdef WORDS_BIGENDIAN
#error "weights are written as little-endian floats"
#endif
	gpt_blob_write(blob, &size, sizeof(size));
	gpt_blob_write(blob, header, size);
	for (int i = 0; i < table->n_params; i++)
		write_param(blob, values, block, &table->params[i]);
	pfree(values);
	pfree(header);
}

/*
 * Nothing of the file is believed before it is known to be the file that was published: the
 * header's tensors must be exactly the table's, in its order, and the hash over all bytes that of
 * the catalog. The block is filled on the way, and worthless until this returns.
 */
void
gpt_weights_read(float *block, const LmParamTable *table, const GptVersion *version)
{
	gpt_weights_read_parts(block, table->total, NULL, table, version);
}

void
gpt_weights_read_parts(float *block, size_t first, float *tail, const LmParamTable *table,
					   const GptVersion *version)
{
	GptBlob *blob = gpt_blob_open(version->weights, true);
	float *values = palloc(PIECE_COUNT * sizeof(float));
	uint8 sha256[GPT_SHA256_SIZE];
	char *header;
	char beyond;
	size_t size;

	if (blob == NULL)
		gpt_weights_corrupt(version, "The large object does not exist.");
	header = read_header(blob, &size, version);
	check_header(header, size, table, version);
	for (int i = 0; i < table->n_params; i++)
	{
		LmParam param = table->params[i];

		if (param.offset < first)
			read_param(block, values, blob, &param, version);
		else
		{
			param.offset -= first;
			read_param(tail, values, blob, &param, version);
		}
	}
	if (gpt_blob_read(blob, &beyond, 1) != 0)
		gpt_weights_corrupt(version, "The large object is longer than its header says.");
	if (gpt_blob_close(blob, sha256) != version->size ||
		memcmp(sha256, version->sha256, GPT_SHA256_SIZE) != 0)
		gpt_weights_corrupt(version, "The content hash differs from that of the catalog.");
	pfree(values);
	pfree(header);
}

/* The metadata are at the beginning of the file. */
GptBelonging
gpt_weights_belonging(Oid object, const pg_uuid_t *run_id)
{
	static const char mark[] = "\"" GPT_WEIGHTS_RUN_ID "\":\"";
	char beginning[BEGINNING_SIZE + 1];
	GptBlob *blob = gpt_blob_open(object, false);
	const char *place;
	int n_different;
	size_t size;

	if (blob == NULL)
		return GPT_WEIGHTS_GONE;
	size = gpt_blob_read(blob, beginning, BEGINNING_SIZE);
	gpt_blob_close(blob, NULL);
	beginning[size] = '\0';
	place = size > sizeof(uint64) ? strstr(beginning + sizeof(uint64), mark) : NULL;
	if (place == NULL || strlen(place) < sizeof(mark) - 1 + UUID_TEXT_SIZE)
		return GPT_WEIGHTS_ALTERED;
	n_different = count_differences(place + sizeof(mark) - 1, uuid_text(run_id), UUID_TEXT_SIZE);
	if (n_different == 0)
		return GPT_WEIGHTS_OURS;
	return n_different <= MAX_DAMAGE ? GPT_WEIGHTS_ALTERED : GPT_WEIGHTS_GONE;
}

static int
count_differences(const char *a, const char *b, int size)
{
	int n = 0;

	for (int i = 0; i < size; i++)
		n += a[i] != b[i];
	return n;
}

/* Padded with spaces, so that the data begin at a multiple of ALIGNMENT. */
static char *
make_header(const LmParamTable *table, const char *labels, const pg_uuid_t *run_id)
{
	StringInfoData header;
	uint64 offset = 0;

	initStringInfo(&header);
	appendStringInfoChar(&header, '{');
	append_metadata(&header, table, labels, run_id);
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++)
			append_tensor(&header, &table->params[i], &table->params[i].parts[part], &offset);
	appendStringInfoChar(&header, '}');
	while ((sizeof(uint64) + header.len) % ALIGNMENT != 0)
		appendStringInfoChar(&header, ' ');
	return header.data;
}

/* Values are strings, as the format wants; the run's id comes first, for gpt_weights_belonging. */
static void
append_metadata(StringInfo header, const LmParamTable *table, const char *labels,
				const pg_uuid_t *run_id)
{
	appendStringInfo(header,
					 "\"__metadata__\":{\"format\":\"pt\",\"" GPT_WEIGHTS_RUN_ID
					 "\":\"%s\",\"" GPT_WEIGHTS_CONFIG "\":",
					 uuid_text(run_id));
	escape_json(header, gpt_config_to_json(&table->config, labels));
	appendStringInfoChar(header, '}');
}

/* Writes the header's entry of one tensor and moves *offset past its data. */
static void
append_tensor(StringInfo header, const LmParam *param, const LmFilePart *part, uint64 *offset)
{
	uint64 end = *offset + (uint64) lm_part_count(param, part) * sizeof(float);
	int shape[2];

	appendStringInfoString(header, ",");
	escape_json(header, part->name);
	appendStringInfoString(header, ":{\"dtype\":\"F32\",\"shape\":[");
	if (lm_part_shape(shape, param, part) == 1)
		appendStringInfo(header, "%d", shape[0]);
	else
		appendStringInfo(header, "%d,%d", shape[0], shape[1]);
	appendStringInfo(header, "],\"data_offsets\":[" UINT64_FORMAT "," UINT64_FORMAT "]}", *offset,
					 end);
	*offset = end;
}

static void
write_param(GptBlob *blob, float *values, const float *block, const LmParam *param)
{
	for (size_t first = 0; first < param->count; first += PIECE_COUNT)
	{
		size_t count = Min(param->count - first, PIECE_COUNT);

		lm_param_get(values, block, param, first, count);
		gpt_blob_write(blob, values, count * sizeof(float));
	}
}

/* Reads the JSON header, palloc'd with a NUL after it; errors name the version. */
static char *
read_header(GptBlob *blob, size_t *size, const GptVersion *version)
{
	uint64 header_size;
	char *header;

	if (gpt_blob_read(blob, &header_size, sizeof(header_size)) != sizeof(header_size))
		gpt_weights_corrupt(version, "The large object is too short.");
	if (header_size > GPT_WEIGHTS_MAX_HEADER ||
		(int64) (header_size + sizeof(header_size)) > version->size)
		gpt_weights_corrupt(
			version, psprintf("Its header would have " UINT64_FORMAT " bytes.", header_size));
	header = palloc(header_size + 1);
	if (gpt_blob_read(blob, header, header_size) != header_size)
		gpt_weights_corrupt(version, "The large object ends in its header.");
	header[header_size] = '\0';
	*size = header_size;
	return header;
}

/*
 * Our own files hold the table's tensors in the table's order: so offsets are a running sum,
 * without gaps.
 */
static void
check_header(const char *header, size_t size, const LmParamTable *table, const GptVersion *version)
{
	GptWeightsHeader *parsed = gpt_weights_parse(header, size, version);
	uint64 offset = 0;
	int n = 0;

	if (parsed->n_tensors != table->n_tensors)
		gpt_weights_corrupt(version, psprintf("It has %d tensors, the configuration has %d.",
											  parsed->n_tensors, table->n_tensors));
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++)
		{
			const LmParam *param = &table->params[i];
			const LmFilePart *wanted = &param->parts[part];
			const GptTensor *tensor = &parsed->tensors[n];
			uint64 end = offset + (uint64) lm_part_count(param, wanted) * sizeof(float);
			int shape[2], n_dimensions = lm_part_shape(shape, param, wanted);
			bool fits = tensor->n_dimensions == n_dimensions && tensor->shape[0] == shape[0] &&
						(n_dimensions == 1 || tensor->shape[1] == shape[1]);

			if (strcmp(tensor->name, wanted->name) != 0 || strcmp(tensor->type, "F32") != 0 ||
				!fits || tensor->begin != offset || tensor->end != end)
				gpt_weights_corrupt(version,
									psprintf("Tensor %d does not fit \"%s\" of the configuration.",
											 n, wanted->name));
			offset = end;
			n++;
		}
	if ((uint64) version->size != sizeof(uint64) + size + offset)
		gpt_weights_corrupt(version, "The tensors do not cover the file.");
}

static void
read_param(float *block, float *values, GptBlob *blob, const LmParam *param,
		   const GptVersion *version)
{
	for (size_t first = 0; first < param->count; first += PIECE_COUNT)
	{
		size_t count = Min(param->count - first, PIECE_COUNT);

		if (gpt_blob_read(blob, values, count * sizeof(float)) != count * sizeof(float))
			gpt_weights_corrupt(version, "The large object is shorter than its header says.");
		if (block != NULL)
			lm_param_set(block, values, param, first, count);
	}
}

static char *
uuid_text(const pg_uuid_t *uuid)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
}
