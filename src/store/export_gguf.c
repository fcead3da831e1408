/*
 * src/store/export_gguf.c
 *
 * A version goes in, a GGUF file for llama.cpp comes out: keys of the architecture and the
 * tokenizer, then the tensors, some of them with rows in another order than Hugging Face's files
 * have.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/chat.h"
#include "store/export.h"
#include "store/export_gguf.h"
#include "store/export_parts.h"
#include "store/gguf_config.h"
#include "store/import_parts.h"
#include "store/model_extras.h"

/* The most bytes that the writer has between two flushes, with room for its own buffer. */
#define MOST_WAITING ((size_t) 4 << 20)
#define PIECE_SIZE ((size_t) 1 << 20)
#define MAX_NAME 128

/* Numbers of llama.cpp's "general.file_type", by the type of most matrices. */
typedef struct FileType
{
	const char *type;
	int number;
} FileType;

static const FileType file_types[] = {
	{"F32", 0}, {"F16", 1}, {"Q4_0", 2}, {"Q8_0", 7}, {"BF16", 32}};

/* The file that is made. */
typedef struct Export
{
	const GptVersion *version;
	const LmParamTable *table;
	GptWeightsReader *reader;
	GptExportTensor *tensors; /* [table->n_tensors] */
	GptGgufValues *values;
	GptGgufOutput output;
} Export;

static bool keep(void *context, const void *bytes, size_t size);
static void plan(Export *export, GptExportType type);
static GptExportTensor plan_tensor(const Export *export, const LmParam *param, int part,
								   const LmBlockType *from, GptExportType type);
static GptExportOrder order_of(const LmConfig *config, const LmParam *param, int part);
static const LmBlockType *type_of(const LmParam *param, const LmBlockType *from, size_t columns,
								  GptExportType type);
static void write_keys(Export *export, const LmTokenizerSpec *spec);
static int write_chat(LmGgufWriter *writer, const GptVersion *version, const LmTokenizerSpec *spec);
static void write_value(LmGgufWriter *writer, const GptGgufValue *value);
static void write_entries(Export *export);
static void write_entry(Export *export, LmFileTensor *entry);
static void write_data(Export *export);

Oid
gpt_export_gguf(const GptVersion *version, GptExportType type)
{
	LmConfig network = lm_config_base(&version->config);
	LmParamTable *all = gpt_weights_table(&version->config);
	Export export = {.version = version, .table = gpt_weights_table(&network)};
	LmTokenizerSpec *spec = gpt_catalog_read_tokenizer(version->tokenizer);
	int n_keys;
	GptBlob *blob;

	gpt_export_check(version);
	export.values = gpt_gguf_config_write(&network);
	n_keys =
		export.values->n + 3 + gpt_gguf_tokenizer(NULL, spec) + write_chat(NULL, version, spec);
	export.reader = gpt_weights_open(version, all);
	plan(&export, type);
	blob = gpt_export_create();
	gpt_gguf_start(&export.output, blob, n_keys,
				   export.table->n_tensors + (export.values->n_factors > 0));
	write_keys(&export, spec);
	write_entries(&export);
	write_data(&export);
	gpt_gguf_end(&export.output);
	gpt_export_skip_ngrams(export.reader, all);
	gpt_weights_close(export.reader);
	return gpt_export_finish(blob, version, "GGUF");
}

/* ---- Output ------------------------------------------------------------- */

void
gpt_gguf_start(GptGgufOutput *output, GptBlob *blob, uint64 n_keys, uint64 n_tensors)
{
	output->blob = blob;
	output->waiting = palloc(MOST_WAITING);
	output->n_waiting = 0;
	lm_gguf_writer_start(&output->writer, keep, output, n_keys, n_tensors);
}

/* Called by the engine's writer. */
static bool
keep(void *context, const void *bytes, size_t size)
{
	GptGgufOutput *output = context;

	if (size > MOST_WAITING - output->n_waiting)
		return false;
	memcpy(output->waiting + output->n_waiting, bytes, size);
	output->n_waiting += size;
	return true;
}

void
gpt_gguf_flush(GptGgufOutput *output)
{
	if (output->n_waiting < PIECE_SIZE)
		return;
	CHECK_FOR_INTERRUPTS();
	gpt_blob_write(output->blob, output->waiting, output->n_waiting);
	output->n_waiting = 0;
}

void
gpt_gguf_take(void *into, const void *bytes, size_t size)
{
	GptGgufOutput *output = into;

	for (size_t first = 0; first < size; first += PIECE_SIZE)
	{
		lm_gguf_write_data(&output->writer, (const char *) bytes + first,
						   Min(size - first, PIECE_SIZE));
		gpt_gguf_flush(output);
	}
}

void
gpt_gguf_end(GptGgufOutput *output)
{
	LmError error;

	if (!lm_gguf_writer_end(&output->writer, &error))
		gpt_bridge_raise(&error);
	gpt_blob_write(output->blob, output->waiting, output->n_waiting);
	pfree(output->waiting);
}

/* ---- Tensors ------------------------------------------------------------ */

static void
plan(Export *export, GptExportType type)
{
	const LmParamTable *table = export->table;
	int n = 0;

	export->tensors = palloc0(table->n_tensors * sizeof(GptExportTensor));
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
			export->tensors[n] = plan_tensor(export, &table->params[i], part,
											 gpt_weights_type(export->reader, n), type);
}

static GptExportTensor
plan_tensor(const Export *export, const LmParam *param, int part, const LmBlockType *from,
			GptExportType type)
{
	char name[MAX_NAME];
	GptExportTensor tensor = {.from = from, .head_size = param->head_size};
	int shape[2];

	tensor.vector = lm_part_shape(shape, param, &param->parts[part]) == 1;
	tensor.rows = shape[0];
	tensor.columns = tensor.vector ? 1 : shape[1];
	tensor.order = order_of(&export->version->config, param, part);
	tensor.offset = param->file_offset; /* llama.cpp has the sum in its files */
	tensor.to = type_of(param, from, param->transposed ? tensor.rows : tensor.columns, type);
	if (!gpt_gguf_tensor_name(name, sizeof(name), param, part))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("GGUF has no name for tensor \"%s\"", param->parts[part].name)));
	tensor.name = pstrdup(name);
	return tensor;
}

/* llama.cpp rotates pairs of neighbours in "llama", which Mistral has too, and in "smollm3". */
static GptExportOrder
order_of(const LmConfig *config, const LmParam *param, int part)
{
	bool is_qkv = param->kind == LM_ATTENTION_WEIGHT || param->kind == LM_ATTENTION_BIAS;
	bool is_llama = config->model_type == LM_LLAMA || config->model_type == LM_MISTRAL ||
					config->model_type == LM_SMOLLM3;

	if (param->transposed)
		return GPT_EXPORT_TRANSPOSED;
	if (is_qkv && param->parts[part].order == LM_ROWS_BY_HEAD)
		return GPT_EXPORT_BY_KIND;
	if (is_qkv && is_llama && part < 2)
		return GPT_EXPORT_INTERLEAVED;
	return GPT_EXPORT_IN_ORDER;
}

/* columns: of the file's matrix. */
static const LmBlockType *
type_of(const LmParam *param, const LmBlockType *from, size_t columns, GptExportType type)
{
	const LmBlockType *f32 = lm_block_type_named("F32");
	const LmBlockType *wanted = gpt_export_block_type(type);

	if (param->vector || param->kind == LM_POSITION_EMBEDDING)
		return f32;
	if (wanted == NULL)
		wanted = param->transposed && from->encode == NULL ? f32 : from;
	return columns % wanted->elements == 0 ? wanted : f32;
}

/* ---- The file ----------------------------------------------------------- */

static void
write_keys(Export *export, const LmTokenizerSpec *spec)
{
	LmGgufWriter *writer = &export->output.writer;
	const char *model = export->version->model;
	const char *type = "F32";
	size_t largest = 0;
	int number = 0;

	for (int i = 0; i < export->table->n_tensors; i++)
	{
		const GptExportTensor *tensor = &export->tensors[i];

		if (tensor->rows * tensor->columns <= largest)
			continue;
		largest = tensor->rows * tensor->columns;
		type = tensor->to->name;
	}
	for (int i = 0; i < lengthof(file_types); i++)
		if (strcmp(file_types[i].type, type) == 0)
			number = file_types[i].number;
	for (int i = 0; i < export->values->n; i++)
		write_value(writer, &export->values->values[i]);
	lm_gguf_write_string(writer, "general.name", model, strlen(model));
	lm_gguf_write_integer(writer, "general.file_type", LM_GGUF_U32, number);
	lm_gguf_write_integer(writer, "general.quantization_version", LM_GGUF_U32, 2);
	gpt_gguf_tokenizer(&export->output, spec);
	(void) write_chat(writer, export->version, spec);
	gpt_gguf_flush(&export->output);
}

/*
 * Writes how to talk with the model: its chat template in Jinja, and the token that ends a turn
 * where that is not the one that ends a text. Returns the number of keys; writer may be NULL.
 */
static int
write_chat(LmGgufWriter *writer, const GptVersion *version, const LmTokenizerSpec *spec)
{
	char *chat = gpt_extras_chat_json(version->extras);
	int32 *ends;
	int n_ends = gpt_extras_ends(&ends, version->extras);
	int32 turn = -1;

	for (int i = 0; i < n_ends && turn < 0; i++)
		if (ends[i] != spec->end_of_text)
			turn = ends[i];
	if (writer != NULL && chat != NULL)
	{
		char *jinja = gpt_chat_to_jinja(gpt_extras_chat(version->extras), chat);

		lm_gguf_write_string(writer, "tokenizer.chat_template", jinja, strlen(jinja));
	}
	if (writer != NULL && turn >= 0)
		lm_gguf_write_integer(writer, "tokenizer.ggml.eot_token_id", LM_GGUF_U32, turn);
	return (chat != NULL) + (turn >= 0);
}

static void
write_value(LmGgufWriter *writer, const GptGgufValue *value)
{
	switch (value->type)
	{
		case LM_GGUF_STRING:
			lm_gguf_write_string(writer, value->key, value->text, strlen(value->text));
			break;
		case LM_GGUF_F32:
			lm_gguf_write_float(writer, value->key, (float) value->number);
			break;
		default:
			lm_gguf_write_integer(writer, value->key, value->type, (int64) value->number);
			break;
	}
}

static void
write_entries(Export *export)
{
	for (int i = 0; i < export->table->n_tensors; i++)
	{
		const GptExportTensor *tensor = &export->tensors[i];
		bool turned = tensor->order == GPT_EXPORT_TRANSPOSED;
		LmFileTensor entry = {.name = tensor->name,
							  .type = tensor->to,
							  .type_name = tensor->to->name,
							  .n_dimensions = tensor->vector ? 1 : 2,
							  .shape = {turned ? tensor->columns : tensor->rows,
										turned ? tensor->rows : tensor->columns, 1, 1}};

		write_entry(export, &entry);
	}
	if (export->values->n_factors > 0)
	{
		LmFileTensor entry = {.name = "rope_freqs.weight",
							  .type = lm_block_type_named("F32"),
							  .type_name = "F32",
							  .n_dimensions = 1,
							  .shape = {export->values->n_factors, 1, 1, 1}};

		write_entry(export, &entry);
	}
}

static void
write_entry(Export *export, LmFileTensor *entry)
{
	LmError error;

	if (!lm_file_tensor_size(entry, &error))
		gpt_bridge_raise(&error);
	lm_gguf_write_tensor(&export->output.writer, entry);
	gpt_gguf_flush(&export->output);
}

static void
write_data(Export *export)
{
	GptGgufOutput *output = &export->output;

	for (int i = 0; i < export->table->n_tensors; i++)
	{
		gpt_export_tensor(export->reader, &export->tensors[i], gpt_gguf_take, output);
		lm_gguf_write_padding(&output->writer);
	}
	if (export->values->n_factors == 0)
		return;
	gpt_gguf_take(output, export->values->factors, export->values->n_factors * sizeof(float));
	lm_gguf_write_padding(&output->writer);
}
