/*
 * src/sql/sql_merge.c
 *
 * gpt_merge: an adapter goes in, and a version with all its weights comes out: those of its base,
 * with the adapter folded in.
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
static int32 merge(const GptVersion *adapter, const GptVersion *base);
static float *allocate(size_t total, const GptVersion *version);
static void fold(float *block, const LmParamTable *table, const float *adapter,
				 const LmParamTable *adapter_table);
static int32 publish(const GptVersion *adapter, const LmParamTable *table, const float *block);
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

/* Adds the low-rank products to the base's weights and publishes the sum as a full version. */
static int32
merge(const GptVersion *adapter, const GptVersion *base)
{
	LmConfig config = lm_config_base(&adapter->config);
	LmParamTable *adapter_table = gpt_weights_table(&adapter->config);
	LmParamTable *table;
	float *adapter_block;
	float *block;

	lm_config_copy(&config, &adapter->config, LM_PART_HEAD);
	lm_config_copy(&config, &base->config, LM_PART_START);
	lm_config_copy(&config, &base->config, LM_PART_TRAINING);
	table = gpt_weights_table(&config);
	gpt_bridge_check_memory(((uint64) table->total + adapter_table->total) * sizeof(float));
	block = allocate(table->total, adapter);
	adapter_block = allocate(adapter_table->total, adapter);

	/* A classifier's head comes last, and is the adapter's. */
	gpt_weights_read(block, gpt_weights_table(&base->config), base);
	gpt_weights_read(adapter_block, adapter_table, adapter);
	fold(block, table, adapter_block, adapter_table);
	pfree(adapter_block);
	return publish(adapter, table, block);
}

static float *
allocate(size_t total, const GptVersion *version)
{
	float *block = MemoryContextAllocExtended(CurrentMemoryContext, total * sizeof(float),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

	if (block == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("The weights of model \"%s\" need %zu MB.", version->model,
								  total * sizeof(float) >> 20)));
	return block;
}

static void
fold(float *block, const LmParamTable *table, const float *adapter,
	 const LmParamTable *adapter_table)
{
	LmEngine *engine = gpt_bridge_training_engine(gpt_threads);

	for (int layer = 0; layer < table->config.layers; layer++)
	{
		CHECK_FOR_INTERRUPTS();
		lm_adapter_merge(engine, block, table, adapter, adapter_table, layer);
	}
	lm_adapter_copy_head(block, table, adapter, adapter_table);
}

/* The losses are those of the adapter, which says the same. */
static int32
publish(const GptVersion *adapter, const LmParamTable *table, const float *block)
{
	GptPublication publication = {.model = adapter->model,
								  .table = table,
								  .block = block,
								  .may_exist = true,
								  .must_exist = true};
	GptStatement statement;
	char *column = NULL;
	int32 number;

	publication.run_id = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
	memcpy(publication.tokenizer, adapter->tokenizer, GPT_SHA256_SIZE);
	publication.labels = joined_labels(adapter);
	publication.extras = adapter->extras;
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
		"validation_bits_per_byte = a.validation_bits_per_byte, job = a.job, task = a.task, "
		"query_sha256 = a.query_sha256, options = a.options FROM %1$s.gpt_version a WHERE n.model "
		"= $1 AND n.version = $2 AND a.model = $1 AND a.version = $3");
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
