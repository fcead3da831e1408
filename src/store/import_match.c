/*
 * src/store/import_match.c
 *
 * The parameters of a configuration and the tensors of files in, a plan out: the place, type and
 * order of the bytes of each part of each parameter.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/bridge.h"
#include "store/import.h"
#include "store/import_parts.h"
#include "store/import_plan.h"
#include "store/weights.h"

#define PIECE_SIZE 65536
#define NAME_SIZE (LM_FILE_TENSOR_NAME + 1)

static void match_part(GptImportPlan *plan, const LmParam *param, int number, GptImportType type);
static GptImportTensor *find_tensor(const GptImportPlan *plan, const LmParam *param, int number);
static GptImportTensor *find_renamed(const GptImport *import, const char *name);
static const char *head_name(const LmParamTable *table);
static void set_order(GptImportPart *out, const GptImport *import, const LmConfig *config);
static void check_shape(const GptImportPart *part, const LmConfig *config);
static const LmBlockType *kept_type(const GptImportPart *part, GptImportType type);
static void check_left_over(GptImportPlan *plan);
static void check_ngrams(const GptImportPlan *plan);
static bool is_tied_head(GptImportPlan *plan, GptImportTensor *tensor);
static bool same_bytes(GptImportTensor *a, GptImportTensor *b);

GptImportPlan *
gpt_import_match(GptImport *import, const LmParamTable *table, GptImportType type)
{
	GptImportPlan *plan = palloc0(sizeof(GptImportPlan));

	plan->import = import;
	plan->table = table;
	plan->parts = palloc0(table->n_tensors * sizeof(GptImportPart));
	plan->types = palloc0(table->n_tensors * sizeof(LmBlockType *));
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++)
		{
			CHECK_FOR_INTERRUPTS();
			match_part(plan, &table->params[i], part, type);
		}
	check_left_over(plan);
	check_ngrams(plan);
	return plan;
}

static void
match_part(GptImportPlan *plan, const LmParam *param, int number, GptImportType type)
{
	GptImportPart *out = &plan->parts[plan->n_parts];

	out->param = param;
	out->part = &param->parts[number];
	out->tensor = find_tensor(plan, param, number);
	out->tensor->used = true;
	if (out->tensor->tensor.type == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("tensor \"%s\" has type \"%s\"", out->tensor->tensor.name,
							   out->tensor->tensor.type_name),
						errdetail("Supported are F32, F16 and BF16.")));
	set_order(out, plan->import, &plan->table->config);
	check_shape(out, &plan->table->config);
	out->type = kept_type(out, type);
	plan->types[plan->n_parts++] = out->type;
}

/*
 * By its name, or one of its other names; where one matrix is both embedding and head, also by the
 * head's.
 */
static GptImportTensor *
find_tensor(const GptImportPlan *plan, const LmParam *param, int number)
{
	const GptImport *import = plan->import;
	char name[NAME_SIZE];
	GptImportTensor *found;

	if (!gpt_import_name(name, sizeof(name), import, param, number))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s has no name for \"%s\"", gpt_import_format_name(import->format),
							   param->name)));
	found = gpt_import_find(import, name);
	if (found == NULL && import->format == GPT_IMPORT_SAFETENSORS)
		found = find_renamed(import, name);
	if (found == NULL && param->kind == LM_TOKEN_EMBEDDING && plan->table->config.tie_embeddings &&
		import->format == GPT_IMPORT_SAFETENSORS)
		found = gpt_import_find(import, head_name(plan->table));
	if (found == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("tensor \"%s\" is missing", name),
						errdetail("The configuration has %d tensors, the files have %d.",
								  plan->table->n_tensors, import->n_tensors)));
	return found;
}

/*
 * The other names under which models have tensors: OpenAI's files of GPT-2 and others lack the name
 * of the base model, and Gemma 3 with a place for images has its text model inside.
 */
static GptImportTensor *
find_renamed(const GptImport *import, const char *name)
{
	static const struct
	{
		const char *from;
		const char *to;
	} beginnings[] = {{"transformer.", ""},
					  {"gpt_neox.", ""},
					  {"model.", ""},
					  {"model.", "model.language_model."},
					  {"", "language_model."}};
	GptImportTensor *found = NULL;

	for (int i = 0; i < lengthof(beginnings) && found == NULL; i++)
	{
		size_t size = strlen(beginnings[i].from);

		if (strncmp(name, beginnings[i].from, size) == 0)
			found = gpt_import_find(import, psprintf("%s%s", beginnings[i].to, name + size));
	}
	return found;
}

/* The name of the output matrix, which a configuration with tied embeddings does not have. */
static const char *
head_name(const LmParamTable *table)
{
	return table->config.model_type == LM_GPT_NEOX ? "embed_out.weight" : "lm_head.weight";
}

/*
 * The order of rows that turns into that of the version's file. llama.cpp and llama2.c rotate
 * neighbours, so their files have the two halves of each head interleaved; llama.cpp's have the
 * rows of GPT-NeoX by query, key and value, the matrices of GPT-2 not transposed, and the norms of
 * Gemma with their 1.
 */
static void
set_order(GptImportPart *out, const GptImport *import, const LmConfig *config)
{
	const LmParam *param = out->param;
	bool is_qkv = param->kind == LM_ATTENTION_WEIGHT || param->kind == LM_ATTENTION_BIAS;
	bool is_value = out->part == &param->parts[param->n_parts - 1];

	if (import->format == GPT_IMPORT_SAFETENSORS)
		return;
	if (is_qkv && param->n_parts > 1 && !is_value &&
		(config->model_type == LM_LLAMA || config->model_type == LM_MISTRAL ||
		 config->model_type == LM_SMOLLM3))
		out->order = GPT_IMPORT_INTERLEAVED;
	if (is_qkv && out->part->order == LM_ROWS_BY_HEAD)
		out->order = GPT_IMPORT_BY_KIND;
	if (param->transposed)
		out->order = GPT_IMPORT_TRANSPOSED;
	out->offset = -param->file_offset;
}

static void
check_shape(const GptImportPart *part, const LmConfig *config)
{
	const LmFileTensor *tensor = &part->tensor->tensor;
	int shape[2];
	int n = lm_part_shape(shape, part->param, part->part);
	bool fits = tensor->n_dimensions == n;
	bool longer = part->param->kind == LM_POSITION_EMBEDDING; /* the first ones are taken */

	if (part->order == GPT_IMPORT_TRANSPOSED)
	{
		int rows = shape[0];

		shape[0] = shape[1];
		shape[1] = rows;
	}
	fits = fits && (longer ? tensor->shape[0] >= shape[0] : tensor->shape[0] == shape[0]) &&
		   (n == 1 || tensor->shape[1] == shape[1]);
	if (fits)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tensor \"%s\" does not have the shape of the configuration", tensor->name),
			 n == 1
				 ? errdetail("It has %d dimensions and %llu rows, the configuration has 1 "
							 "dimension and %d rows.",
							 tensor->n_dimensions, (unsigned long long) tensor->shape[0], shape[0])
				 : errdetail("It has the shape [%llu, %llu], the configuration has [%d, %d].",
							 (unsigned long long) tensor->shape[0],
							 (unsigned long long) tensor->shape[1], shape[0], shape[1])));
}

/* The type in the version's file: the tensor's own, where its values are kept as they are. */
static const LmBlockType *
kept_type(const GptImportPart *part, GptImportType type)
{
	const LmBlockType *float32 = lm_block_type_named("F32");
	const LmBlockType *own = part->tensor->tensor.type;

	if (type == GPT_IMPORT_FLOAT32 || part->offset != 0)
		return float32;
	if (own->elements > 1 &&
		(part->param->vector || part->order == GPT_IMPORT_TRANSPOSED || part->param->transposed))
		return float32;
	if (type == GPT_IMPORT_BFLOAT16 && !part->param->vector)
		return lm_block_type_named("BF16");
	return own;
}

/* Each tensor of the files is a parameter, or known to be none. */
static void
check_left_over(GptImportPlan *plan)
{
	GptImport *import = plan->import;

	for (int i = 0; i < import->n_tensors; i++)
	{
		GptImportTensor *tensor = &import->tensors[i];

		CHECK_FOR_INTERRUPTS();
		if (tensor->used || gpt_import_ignores(import, tensor->tensor.name) ||
			is_tied_head(plan, tensor))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tensor \"%s\" does not belong to the configuration", tensor->tensor.name),
				 errdetail("A model of model_type \"%s\" with this configuration has no such "
						   "parameter.",
						   lm_model_type_name((int) plan->table->config.model_type))));
	}
}

/* N-grams are vectors of indexes: a value out of range would be found when the model is used. */
static void
check_ngrams(const GptImportPlan *plan)
{
	for (int i = 0; i < plan->n_parts; i++)
	{
		const GptImportPart *part = &plan->parts[i];
		const LmFileTensor *tensor = &part->tensor->tensor;
		size_t count = part->param->count;
		char *bytes;
		float *values;
		long wrong;
		int limit;

		if (!lm_param_of_ngrams(part->param))
			continue;
		bytes = palloc(tensor->size);
		values = palloc(count * sizeof(float));
		gpt_import_read(part->tensor->file, tensor->offset, bytes, tensor->size);
		lm_block_decode(values, tensor->type, bytes, count);
		wrong = lm_param_unsound(&limit, part->param, &plan->table->config, values);
		if (wrong >= 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
							errmsg("tensor \"%s\" has a value out of range", tensor->name),
							limit > 0 ? errdetail("Element %ld is %g; it must be from 0 to %d.",
												  wrong, (double) values[wrong], limit - 1)
									  : errdetail("Element %ld is %g; it must be finite.", wrong,
												  (double) values[wrong])));
		pfree(bytes);
		pfree(values);
	}
}

/* Whether a tensor is a second copy of the embedding; the head of another content is an error. */
static bool
is_tied_head(GptImportPlan *plan, GptImportTensor *tensor)
{
	const char *name =
		plan->import->format == GPT_IMPORT_GGUF ? "output.weight" : head_name(plan->table);

	if (!plan->table->config.tie_embeddings || strcmp(tensor->tensor.name, name) != 0)
		return false;
	for (int i = 0; i < plan->n_parts; i++)
	{
		if (plan->parts[i].param->kind != LM_TOKEN_EMBEDDING)
			continue;
		if (same_bytes(tensor, plan->parts[i].tensor))
			return true;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tensor \"%s\" differs from the token embeddings", name),
			 errdetail("The configuration has \"tie_word_embeddings\": true, so that both are one "
					   "matrix.")));
}

static bool
same_bytes(GptImportTensor *a, GptImportTensor *b)
{
	uint64 size = a->tensor.size;
	char *bytes = palloc(2 * PIECE_SIZE);
	bool same = a->tensor.type == b->tensor.type && size == b->tensor.size;

	for (uint64 done = 0; same && done < size; done += PIECE_SIZE)
	{
		size_t n = Min(size - done, PIECE_SIZE);

		gpt_import_read(a->file, a->tensor.offset + done, bytes, n);
		gpt_import_read(b->file, b->tensor.offset + done, bytes + PIECE_SIZE, n);
		same = memcmp(bytes, bytes + PIECE_SIZE, n) == 0;
	}
	pfree(bytes);
	return same;
}

GptImageType
gpt_import_image_type(const GptImportPlan *plan)
{
	return gpt_image_type_for(plan->table, plan->types);
}

/* By bytes of matrices. */
const char *
gpt_import_types(const GptImportPlan *plan)
{
	const LmBlockType *most = NULL;
	uint64 most_size = 0;
	bool mixed = false;

	for (int i = 0; i < lm_block_type_count(); i++)
	{
		const LmBlockType *type = lm_block_type(i);
		uint64 size = 0;

		for (int part = 0; part < plan->n_parts; part++)
			if (plan->types[part] == type && !plan->parts[part].param->vector)
				size += plan->parts[part].tensor->tensor.size;
		mixed = mixed || (size > 0 && most_size > 0);
		if (size > most_size)
		{
			most = type;
			most_size = size;
		}
	}
	return most == NULL ? "F32" : mixed ? psprintf("%s, mixed", most->name) : most->name;
}
