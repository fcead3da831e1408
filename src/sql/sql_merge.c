/*
 * src/sql/sql_merge.c
 *
 * gpt_merge: an adapter goes in, and a version with all its weights comes out: those of its base,
 * with the adapter folded in. They pass through in pieces, so that the adapter and one matrix are
 * in memory.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "core/statement.h"
#include "engine/config_field.h"
#include "engine/model.h"
#include "sql/arguments.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/catalog_model.h"
#include "store/weights.h"

PG_FUNCTION_INFO_V1(gpt_merge);

static GptVersion *adapter_of(const char *reference);
/* A merge that is being written. */
typedef struct Merge
{
	const GptVersion *base;
	LmParamTable *base_table;
	LmParamTable *adapter_table;
	LmParamTable *table; /* of the merged version */
	char *labels;
	const char *extras;
	float *adapter; /* block */
	LmEngine *engine;
	GptWeightsWriter *writer;
	float *matrix; /* that the adapter adds to [matrix_count] */
	size_t matrix_count;
	int n_rows; /* of it that were read */
} Merge;

static GptVersion *adapter_of(const char *reference);
static int32 merge(const GptVersion *adapter, const GptVersion *base);
static float *allocate(size_t total, const GptVersion *version);
static void write_merged(GptBlob *blob, void *context, const pg_uuid_t *run_id);
static const LmBlockType **types_of(const Merge *merge);
static void take_rows(void *into, const LmParam *param, int first_row, int n_rows,
					  const float *rows);
static int32 publish(const GptVersion *adapter, Merge *merge);
static char *joined_labels(const GptVersion *version);

/*
 * gpt_merge(model text) RETURNS integer
 *
 * The model may be name@version. Returns the number of the new version, which is current.
 */
Datum
gpt_merge(PG_FUNCTION_ARGS)
{
	GptVersion *adapter;
	int32 number;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	PreventCommandIfReadOnly("gpt_merge()");
	adapter = adapter_of(gpt_argument_text(fcinfo, 0));

	/* Now do the work. */
	number = merge(adapter, gpt_catalog_base(adapter));
	PopActiveSnapshot();
	PG_RETURN_INT32(number);
}

/* The adapter to merge; checks ownership, use and that it is an adapter. */
static GptVersion *
look_at(const char *reference)
{
	GptVersion *version = gpt_catalog_version(reference, false);

	if (!has_privs_of_role(GetUserId(), gpt_blob_owner(version->weights)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", version->model)));
	gpt_catalog_check_use(version);
	if (version->base == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\", version %d, is not an adapter", version->model,
						version->version),
				 errdetail("It has all its weights already, so there is nothing to merge.")));
	return version;
}

/*
 * The adapter, read under a snapshot that stays active, after jobs and renames of the model are
 * locked out.
 */
static GptVersion *
adapter_of(const char *reference)
{
	gpt_model_check_unused(list_make1(look_at(reference)->model));
	PushActiveSnapshot(GetLatestSnapshot());
	return look_at(reference);
}

/* Publishes the base's weights with the low-rank products added, as a full version. */
static int32
merge(const GptVersion *adapter, const GptVersion *base)
{
	Merge merge = {.base = base, .adapter_table = gpt_weights_table(&adapter->config)};
	LmConfig config = lm_config_base(&adapter->config);
	LmParamTable *base_table = gpt_weights_table(&base->config);
	uint64 memory;

	lm_config_copy(&config, &adapter->config, LM_PART_HEAD);
	lm_config_copy(&config, &base->config, LM_PART_START);
	lm_config_copy(&config, &base->config, LM_PART_TRAINING);
	merge.table = gpt_weights_table(&config);
	merge.base_table = base_table;
	merge.engine = gpt_bridge_training_engine(gpt_threads);
	for (int i = 0; i < merge.table->n_params; i++)
	{
		const LmParam *param = &merge.table->params[i];

		if (lm_adapter_merge_param(merge.engine, NULL, param, NULL, merge.adapter_table))
			merge.matrix_count = Max(merge.matrix_count, param->count);
	}
	memory = gpt_weights_memory(base_table) +
			 ((uint64) merge.matrix_count + merge.adapter_table->total) * sizeof(float);
	gpt_bridge_check_memory(memory);
	merge.adapter = allocate(merge.adapter_table->total, adapter);
	merge.matrix = allocate(merge.matrix_count, adapter);
	merge.labels = joined_labels(adapter);
	gpt_weights_read(merge.adapter, merge.adapter_table, adapter);
	return publish(adapter, &merge);
}

static float *
allocate(size_t total, const GptVersion *version)
{
	float *block = MemoryContextAllocExtended(CurrentMemoryContext, Max(total, 1) * sizeof(float),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

	if (block == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("The weights of model \"%s\" need %zu MB.", version->model,
								  total * sizeof(float) >> 20)));
	return block;
}

/*
 * Writes the object while the base is read. A tensor that stays keeps its type where its values can
 * be written in it; the others are F32, so that nothing of the sum is lost.
 */
static void
write_merged(GptBlob *blob, void *context, const pg_uuid_t *run_id)
{
	Merge *merge = context;
	const LmBlockType **types = types_of(merge);
	const GptWeightsNotes notes = {merge->labels, merge->extras, run_id};

	merge->writer = gpt_weights_begin(blob, merge->table, types, &notes);
	gpt_weights_scan(merge->base, merge->base_table, take_rows, merge);
	/* A classifier's head comes last, and is the adapter's. */
	for (int i = 0; i < merge->adapter_table->n_params; i++)
	{
		const LmParam *param = &merge->adapter_table->params[i];

		if (lm_param_in_head(param))
			gpt_weights_append_rows(merge->writer, param, param->rows,
									merge->adapter + param->offset);
	}
	gpt_weights_end(merge->writer);
	pfree(types);
}

/* The types of the tensors of the merged version. */
static const LmBlockType **
types_of(const Merge *merge)
{
	GptWeightsReader *reader = gpt_weights_open(merge->base, merge->base_table);
	const LmBlockType *f32 = lm_block_type_named("F32");
	const LmBlockType **types = palloc(merge->table->n_tensors * sizeof(const LmBlockType *));

	/* Both tables have the same parameters in front of a head. */
	for (int i = 0, n = 0; i < merge->table->n_params; i++)
		for (int part = 0; part < merge->table->params[i].n_parts; part++, n++)
		{
			const LmParam *param = &merge->table->params[i];
			const LmBlockType *type = lm_param_in_head(param) ? f32 : gpt_weights_type(reader, n);
			bool changes =
				lm_adapter_merge_param(merge->engine, NULL, param, NULL, merge->adapter_table);

			types[n] = changes || type->elements > 1 ? f32 : type;
		}
	gpt_weights_abandon(reader);
	return types;
}

/* A GptTakeRows: collects a matrix that the adapter adds to, and passes all else on. */
static void
take_rows(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	Merge *merge = into;

	if (lm_param_in_head(param))
		return;
	if (!lm_adapter_merge_param(merge->engine, NULL, param, NULL, merge->adapter_table))
	{
		gpt_weights_append_rows(merge->writer, param, n_rows, rows);
		return;
	}
	memcpy(merge->matrix + (size_t) first_row * param->columns, rows,
		   (size_t) n_rows * param->columns * sizeof(float));
	merge->n_rows += n_rows;
	if (merge->n_rows < param->rows)
		return;
	(void) lm_adapter_merge_param(merge->engine, merge->matrix, param, merge->adapter,
								  merge->adapter_table);
	gpt_weights_append_rows(merge->writer, param, param->rows, merge->matrix);
	merge->n_rows = 0;
}

/* The losses are those of the adapter, which says the same. */
static int32
publish(const GptVersion *adapter, Merge *merge)
{
	GptPublication publication = {.model = adapter->model,
								  .table = merge->table,
								  .write = write_merged,
								  .write_context = merge,
								  .may_exist = true,
								  .must_exist = true};
	GptStatement statement;
	char *column = NULL;
	int32 number;

	publication.run_id = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
	memcpy(publication.tokenizer, adapter->tokenizer, GPT_SHA256_SIZE);
	publication.labels = merge->labels;
	publication.extras = merge->extras = adapter->extras;
	publication.watermark = gpt_catalog_watermark(&column, adapter);
	publication.watermark_column = column;
	publication.loss = publication.validation_loss = publication.validation_bits_per_byte =
		get_float8_nan();
	number = gpt_catalog_publish(&publication);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, adapter->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(number));
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(adapter->version));
	gpt_statement_change(
		&statement, 1,
		"UPDATE %1$s.gpt_version n SET loss = a.loss, validation_loss = a.validation_loss, "
		"validation_bits_per_byte = a.validation_bits_per_byte, (" GPT_KEPT_COLUMNS
		") = ROW (" GPT_KEPT_VALUES("true") ") FROM %1$s.gpt_version a WHERE n.model = $1 AND "
											"n.version = $2 AND a.model = $1 AND a.version = $3");
	gpt_statement_end(&statement);
	return number;
}

/* One after another, each with its 0. */
static char *
joined_labels(const GptVersion *version)
{
	StringInfoData joined;

	initStringInfo(&joined);
	for (int i = 0; i < version->config.labels; i++)
		appendBinaryStringInfo(&joined, version->labels[i], (int) strlen(version->labels[i]) + 1);
	return joined.data;
}
