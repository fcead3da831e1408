/*
 * src/store/weights.c
 *
 * A safetensors file in a large object to parameters: into a block, or in pieces. The format is
 * drawn in weights.h.
 *
 * Nothing of the file is believed before it is known to be the file that was published: the
 * header's tensors must be exactly the table's, in its order, and the hash over all bytes that of
 * the catalog. It is read once, so values are passed on before the hash is known, and are worthless
 * until it is.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/bridge.h"
#include "engine/weight_type.h"
#include "store/catalog.h"
#include "store/weights.h"
#include "store/weights_header.h"

#define PIECE_COUNT (256 * 1024) /* floats */
/* of a file, which contain the metadata: one row of pg_largeobject */
#define BEGINNING_SIZE 2048

#define UUID_TEXT_SIZE 36

/*
 * Two random ids differ in about 28 of their 36 characters, hardly ever in fewer than 16; a damaged
 * one in few.
 */
#define MAX_DAMAGE 8

struct GptWeightsReader
{
	const GptVersion *version;
	const LmParamTable *table;
	GptBlob *blob;
	GptWeightsHeader *header;
};

/* A walk through all parameters. */
typedef struct WeightsScan
{
	GptWeightsReader *reader;
	GptTakeRows take;
	void *into;
	char *bytes; /* rows of the file */
	float *values; /* the same as floats */
	size_t count; /* floats for which there is room */
	int held; /* rows at the beginning of values that are not a panel yet */
	float *whole; /* of a parameter that goes on as one: the whole of it; else NULL */
} WeightsScan;

static void take_rows(void *into, const LmParam *param, int first_row, int n_rows,
					  const float *rows);
static GptWeightsReader *open_reader(const GptVersion *version, const LmParamTable *table,
									 bool hashed);
static void free_reader(GptWeightsReader *reader);
static char *read_header(size_t *size, GptWeightsReader *reader);
static void check_header(const GptWeightsReader *reader, size_t size);
static void scan_param(WeightsScan *scan, const LmParam *param, int tensor);
static void scan_part(WeightsScan *scan, const LmParam *param, const LmFilePart *part,
					  const LmBlockType *type);
static void make_room(WeightsScan *scan, size_t count, size_t held);
static void decode(float *values, const char *bytes, const LmBlockType *type, size_t count,
				   float offset);
static void pass_on(WeightsScan *scan, const LmParam *param, const LmFilePart *part, int first,
					int n);
static void pass_on_in_order(WeightsScan *scan, const LmParam *param, int row, int n);
static void pass_on_runs(WeightsScan *scan, const LmParam *param, const LmFilePart *part, int first,
						 int n);
static void transpose(float *matrix, const LmParam *param, const float *values, int first, int n);
static int place_of_row(int *n, const LmParam *param, const LmFilePart *part, int row);
static void *allocate(size_t count, const char *what);
static int count_differences(const char *a, const char *b, int size);

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

/* ---- A block ------------------------------------------------------------ */

void
gpt_weights_read(float *block, const LmParamTable *table, const GptVersion *version)
{
	gpt_weights_scan(version, table, take_rows, block);
}

static void
take_rows(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	float *block = into;

	memcpy(block + param->offset + (size_t) first_row * param->columns, rows,
		   (size_t) n_rows * param->columns * sizeof(float));
}

/* ---- The file ----------------------------------------------------------- */

GptWeightsReader *
gpt_weights_open(const GptVersion *version, const LmParamTable *table)
{
	return open_reader(version, table, true);
}

static GptWeightsReader *
open_reader(const GptVersion *version, const LmParamTable *table, bool hashed)
{
	GptWeightsReader *reader = palloc0(sizeof(GptWeightsReader));
	char *json;
	size_t size;

	reader->version = version;
	reader->table = table;
	reader->blob = gpt_blob_open(version->weights, hashed);
	if (reader->blob == NULL)
		gpt_weights_corrupt(version, "The large object does not exist.");
	json = read_header(&size, reader);
	reader->header = gpt_weights_parse(json, size, version);
	check_header(reader, size);
	pfree(json);
	return reader;
}

const LmBlockType *
gpt_weights_base_type(const GptVersion *version)
{
	LmParamTable *table = gpt_weights_table(&version->config);
	GptWeightsReader *reader = open_reader(version, table, false);
	const LmBlockType *f32 = lm_block_type_named("F32");
	const LmBlockType *q8_0 = lm_block_type_named("Q8_0");
	const LmBlockType *common = NULL;

	for (int i = 0, tensor = 0; i < table->n_params; tensor += table->params[i++].n_parts)
	{
		const LmParam *param = &table->params[i];

		if (param->layer < 0 || param->vector)
			continue;
		for (int part = 0; part < param->n_parts; part++)
		{
			const LmBlockType *type = gpt_weights_type(reader, tensor + part);

			if (type->elements > 1)
				type = param->columns % q8_0->elements == 0 ? q8_0 : f32;
			common = common == NULL || common == type ? type : f32;
		}
	}
	gpt_weights_abandon(reader);
	return common != NULL ? common : f32;
}

const LmBlockType *
gpt_weights_type(const GptWeightsReader *reader, int i)
{
	return reader->header->tensors[i].type;
}

void
gpt_weights_raw(GptWeightsReader *reader, void *bytes, size_t size)
{
	if (gpt_blob_read(reader->blob, bytes, size) != size)
		gpt_weights_corrupt(reader->version, "The large object is shorter than its header says.");
}

void
gpt_weights_close(GptWeightsReader *reader)
{
	const GptVersion *version = reader->version;
	uint8 sha256[GPT_SHA256_SIZE];
	char beyond;

	if (gpt_blob_read(reader->blob, &beyond, 1) != 0)
		gpt_weights_corrupt(version, "The large object is longer than its header says.");
	if (gpt_blob_close(reader->blob, sha256) != version->size ||
		memcmp(sha256, version->sha256, GPT_SHA256_SIZE) != 0)
		gpt_weights_corrupt(version, "The content hash differs from that of the catalog.");
	free_reader(reader);
}

void
gpt_weights_abandon(GptWeightsReader *reader)
{
	gpt_blob_close(reader->blob, NULL);
	free_reader(reader);
}

static void
free_reader(GptWeightsReader *reader)
{
	pfree(reader->header->tensors);
	pfree(reader->header);
	pfree(reader);
}

/* Reads the JSON header, palloc'd with a NUL after it; errors name the version. */
static char *
read_header(size_t *size, GptWeightsReader *reader)
{
	const GptVersion *version = reader->version;
	uint64 header_size;
	char *header;

	if (gpt_blob_read(reader->blob, &header_size, sizeof(header_size)) != sizeof(header_size))
		gpt_weights_corrupt(version, "The large object is too short.");
	if (header_size > GPT_WEIGHTS_MAX_HEADER ||
		(int64) (header_size + sizeof(header_size)) > version->size)
		gpt_weights_corrupt(
			version, psprintf("Its header would have " UINT64_FORMAT " bytes.", header_size));
	header = palloc(header_size + 1);
	if (gpt_blob_read(reader->blob, header, header_size) != header_size)
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
check_header(const GptWeightsReader *reader, size_t size)
{
	const LmParamTable *table = reader->table;
	const GptVersion *version = reader->version;
	uint64 offset = 0;
	int n = 0;

	if (reader->header->n_tensors != table->n_tensors)
		gpt_weights_corrupt(version, psprintf("It has %d tensors, the configuration has %d.",
											  reader->header->n_tensors, table->n_tensors));
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
		{
			const LmParam *param = &table->params[i];
			const LmFilePart *wanted = &param->parts[part];
			const GptTensor *tensor = &reader->header->tensors[n];
			int shape[2], n_dimensions = lm_part_shape(shape, param, wanted);
			bool fits = tensor->n_dimensions == n_dimensions &&
						tensor->shape[0] == (uint64) shape[0] &&
						(n_dimensions == 1 || tensor->shape[1] == (uint64) shape[1]);
			size_t row_size, part_size = 0;

			fits =
				fits && gpt_weights_part_size(&part_size, &row_size, param, wanted, tensor->type);
			if (strcmp(tensor->name, wanted->name) != 0 || !fits || tensor->begin != offset ||
				tensor->end != offset + part_size)
				gpt_weights_corrupt(version,
									psprintf("Tensor %d does not fit \"%s\" of the configuration.",
											 n, wanted->name));
			offset += part_size;
		}
	if ((uint64) version->size != sizeof(uint64) + size + offset)
		gpt_weights_corrupt(version, "The tensors do not cover the file.");
}

/* ---- In pieces ---------------------------------------------------------- */

void
gpt_weights_scan(const GptVersion *version, const LmParamTable *table, GptTakeRows take, void *into)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt weights", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	WeightsScan scan = {.reader = gpt_weights_open(version, table), .take = take, .into = into};

	for (int i = 0, tensor = 0; i < table->n_params; tensor += table->params[i++].n_parts)
		scan_param(&scan, &table->params[i], tensor);
	gpt_weights_close(scan.reader);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Whether a parameter is assembled before it is passed on. */
static bool
is_whole(const LmParam *param)
{
	return param->vector || param->transposed ||
		   (param->parts[0].order != LM_ROWS_IN_ORDER && param->head_size % LM_PANEL != 0);
}

size_t
gpt_weights_memory(const LmParamTable *table)
{
	size_t whole = 0;
	size_t rows = 1; /* floats of as many rows as are read at once */

	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];

		if (is_whole(param))
			whole = Max(whole, param->count);
		if (param->vector)
			rows = Max(rows, param->count);
		else
			rows = Max(rows,
					   2 * LM_PANEL * (size_t) (param->transposed ? param->rows : param->columns));
	}
	/* rows of the file, the same as floats, and a header */
	return (whole + 2 * (PIECE_COUNT + rows)) * sizeof(float) +
		   (size_t) table->n_tensors * 2 * sizeof(GptTensor);
}

/* Passes on a parameter, whose tensors begin with number tensor. */
static void
scan_param(WeightsScan *scan, const LmParam *param, int tensor)
{
	scan->held = 0;
	scan->whole = is_whole(param) ? allocate(param->count, param->name) : NULL;
	for (int part = 0; part < param->n_parts; part++)
		scan_part(scan, param, &param->parts[part], gpt_weights_type(scan->reader, tensor + part));
	if (scan->whole == NULL)
		return;
	scan->take(scan->into, param, 0, param->rows, scan->whole);
	pfree(scan->whole);
}

/* Reads a part by rows of the file; a vector is one row. */
static void
scan_part(WeightsScan *scan, const LmParam *param, const LmFilePart *part, const LmBlockType *type)
{
	size_t row_size, size;
	int shape[2], rows, columns, step;

	if (!gpt_weights_part_size(&size, &row_size, param, part, type))
		elog(ERROR, "tensor \"%s\" cannot have type %s", part->name, type->name);
	lm_part_shape(shape, param, part);
	rows = param->vector ? 1 : shape[0];
	columns = param->vector ? shape[0] : shape[1];
	step = Max(1, PIECE_COUNT / columns / LM_PANEL) * LM_PANEL;
	step = Min(rows, step);
	make_room(scan, (size_t) step * columns, (size_t) scan->held * columns);
	for (int first = 0; first < rows; first += step)
	{
		int n = Min(step, rows - first);

		gpt_weights_raw(scan->reader, scan->bytes, (size_t) n * row_size);
		decode(scan->values + (size_t) scan->held * columns, scan->bytes, type,
			   (size_t) n * columns, param->file_offset);
		pass_on(scan, param, part, first, n);
	}
}

/*
 * Room for so many floats of a part beside those that are held; in no type do they take more in the
 * file.
 */
static void
make_room(WeightsScan *scan, size_t count, size_t held)
{
	float *old = scan->values;

	if (count + held <= scan->count)
		return;
	if (scan->bytes != NULL)
		pfree(scan->bytes);
	scan->count = Max(count + held, PIECE_COUNT);
	scan->values = allocate(scan->count, "weights");
	if (old != NULL)
	{
		memcpy(scan->values, old, held * sizeof(float));
		pfree(old);
	}
	scan->bytes = allocate(scan->count, "weights");
}

static void
decode(float *values, const char *bytes, const LmBlockType *type, size_t count, float offset)
{
	lm_block_decode(values, type, bytes, count);
	for (size_t i = 0; offset != 0 && i < count; i++)
		values[i] += offset;
}

/* Passes rows first .. first + n - 1 of the file on, or puts them into the whole parameter. */
static void
pass_on(WeightsScan *scan, const LmParam *param, const LmFilePart *part, int first, int n)
{
	if (param->transposed)
		transpose(scan->whole, param, scan->values, first, n);
	else if (part->order == LM_ROWS_IN_ORDER && !param->vector)
		pass_on_in_order(scan, param, part->first_row + first, n);
	else
		pass_on_runs(scan, param, part, first, param->vector ? part->n_rows : n);
}

/* Rows that are not a whole panel wait for the next ones, which may be another part's. */
static void
pass_on_in_order(WeightsScan *scan, const LmParam *param, int row, int n)
{
	int all = scan->held + n;
	int last = row + n == param->rows ? 0 : all % LM_PANEL;
	size_t columns = param->columns;

	if (all > last)
		scan->take(scan->into, param, row - scan->held, all - last, scan->values);
	memmove(scan->values, scan->values + (all - last) * columns, last * columns * sizeof(float));
	scan->held = last;
}

/* The rows, or a vector's elements, in runs that follow each other in the engine too. */
static void
pass_on_runs(WeightsScan *scan, const LmParam *param, const LmFilePart *part, int first, int n)
{
	size_t width = param->vector ? 1 : param->columns;

	for (int done = 0, run; done < n; done += run)
	{
		const float *rows = scan->values + done * width;
		int row = place_of_row(&run, param, part, first + done);

		run = Min(run, n - done);
		if (scan->whole != NULL)
			memcpy(scan->whole + row * width, rows, run * width * sizeof(float));
		else
			scan->take(scan->into, param, row, run, rows);
	}
}

/* Rows of the file are columns of the matrix; a tile's are a cache line of each row there. */
static void
transpose(float *matrix, const LmParam *param, const float *values, int first, int n)
{
	const int tile = 16;
	size_t rows = param->rows, columns = param->columns;

	for (int begin = 0; begin < n; begin += tile)
	{
		int end = Min(begin + tile, n);

		for (size_t row = 0; row < rows; row++)
			for (int i = begin; i < end; i++)
				matrix[row * columns + first + i] = values[i * rows + row];
	}
}

/*
 * The engine's row of a row of a part's tensor (of a vector: element); *n such rows follow each
 * other in both.
 */
static int
place_of_row(int *n, const LmParam *param, const LmFilePart *part, int row)
{
	int size = param->head_size;

	if (part->order == LM_ROWS_IN_ORDER)
	{
		*n = part->n_rows - row;
		return part->first_row + row;
	}
	/* [head][which of three][element] to [which of three][head][element] */
	*n = size - row % size;
	return part->first_row + row / size % 3 * (part->n_rows / 3) + row / (3 * size) * size +
		   row % size;
}

/* Floats for what: they can be more than an ordinary allocation. */
static void *
allocate(size_t count, const char *what)
{
	void *memory = MemoryContextAllocExtended(CurrentMemoryContext, count * sizeof(float),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

	if (memory == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("Reading %s needs %zu MB.", what, count * sizeof(float) >> 20)));
	return memory;
}

/* ---- Whose it is -------------------------------------------------------- */

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
	n_different =
		count_differences(place + sizeof(mark) - 1, gpt_weights_uuid_text(run_id), UUID_TEXT_SIZE);
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
