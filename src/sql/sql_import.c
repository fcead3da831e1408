/*
 * src/sql/sql_import.c
 *
 * gpt_import: model files of other projects in large objects go in, and a version of a model comes
 * out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "core/bridge.h"
#include "sql/arguments.h"
#include "sql/import_options.h"
#include "store/catalog.h"
#include "store/catalog_model.h"
#include "store/hf_config.h"
#include "store/import.h"
#include "store/import_tokenizer.h"
#include "store/weights.h"

PG_FUNCTION_INFO_V1(gpt_import);

/* What gpt_catalog_publish writes. */
typedef struct Source
{
	GptImportPlan *plan;
	const char *extras;
} Source;

static bool takes_list(FunctionCallInfo fcinfo);
static Oid *read_objects(FunctionCallInfo fcinfo, int *n);
static Datum import_model(FunctionCallInfo fcinfo, const Oid *objects, int n);
static void read_config(LmConfig *config, GptImport *import, const GptImportOptions *options);
static const LmTokenizerSpec *store_tokenizer(uint8 *sha256, GptImport *import,
											  const LmConfig *config,
											  const GptImportOptions *options);
static int32 publish(const char *model, GptImport *import, const LmParamTable *table,
					 GptImportPlan *plan, const uint8 *tokenizer, const LmTokenizerSpec *spec,
					 const GptImportOptions *options);
static void write_object(GptBlob *blob, void *context, const pg_uuid_t *run_id);

/*
 * gpt_import(model text, objects oid[], options jsonb DEFAULT '{}') RETURNS integer
 * gpt_import(model text, object oid, options jsonb DEFAULT '{}') RETURNS integer
 *
 * The objects are safetensors files that are parts of one model, or one file of any format. Returns
 * the number of the new version, which is current.
 */
Datum
gpt_import(PG_FUNCTION_ARGS)
{
	Oid object;
	Oid *objects = &object;
	int n = 1;
	bool is_list;

	gpt_argument_check_call(fcinfo);
	is_list = takes_list(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, is_list ? "objects" : "object");
	if (is_list)
		objects = read_objects(fcinfo, &n);
	else
		object = PG_GETARG_OID(1);
	return import_model(fcinfo, objects, n);
}

/* Whether the function that is called is the one with a list of objects. */
static bool
takes_list(FunctionCallInfo fcinfo)
{
	Oid *types;
	int n;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &n);
	return types[1] == OIDARRAYOID;
}

/* One dimension, without NULLs, each once. */
static Oid *
read_objects(FunctionCallInfo fcinfo, int *n)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	Oid *objects;

	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("objects must be a list of large objects, without null")));
	objects = (Oid *) ARR_DATA_PTR(array);
	*n = ARR_DIMS(array)[0];
	if (*n > GPT_IMPORT_MAX_FILES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("model has %d files, the limit is %d", *n, GPT_IMPORT_MAX_FILES)));
	for (int i = 0; i < *n; i++)
		for (int j = 0; j < i; j++)
			if (objects[i] == objects[j])
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("large object %u is given twice", objects[i])));
	return objects;
}

/*
 * The lock on the model's name comes first: nobody submits a job for it meanwhile. The row of the
 * model is locked by the publication, at the end.
 */
static Datum
import_model(FunctionCallInfo fcinfo, const Oid *objects, int n)
{
	char *model = gpt_argument_text(fcinfo, 0);
	uint8 tokenizer[GPT_SHA256_SIZE];
	GptImportOptions options;
	GptImport *import;
	GptImportPlan *plan;
	LmParamTable *table;
	const LmTokenizerSpec *spec;
	LmConfig config;
	int32 version;

	PreventCommandIfReadOnly("gpt_import()");
	gpt_bridge_check_encoding();
	gpt_catalog_refuse_version(model, NULL);
	gpt_catalog_check_name(model);
	gpt_import_options_parse(&options, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	gpt_model_check_unused(list_make1(model));
	gpt_catalog_check_model_name(model);

	/* Now do the work. An object that the same statement has made is seen, too. */
	PushActiveSnapshot(GetLatestSnapshot());
	import = gpt_import_open(objects, n);
	read_config(&config, import, &options);
	table = gpt_weights_table(&config);
	plan = gpt_import_match(import, table, options.type);
	spec = store_tokenizer(tokenizer, import, &config, &options);
	version = publish(model, import, table, plan, tokenizer, spec, &options);
	gpt_import_close(import);
	PopActiveSnapshot();
	PG_RETURN_INT32(version);
}

/* That of option "config", else the file's. */
static void
read_config(LmConfig *config, GptImport *import, const GptImportOptions *options)
{
	if (options->config != NULL)
		gpt_hf_config_read(config, options->config, options->context);
	else if (!gpt_import_config(config, import, options->context))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the configuration of the model is missing"),
						errdetail("A safetensors file holds only tensors."),
						errhint("Give the text of config.json as option \"config\".")));
	if (config->labels > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("a classifier cannot be imported"),
				 errhint("gpt_copy_model copies one within a database.")));
	/* The catalog would not know that it has learnt prompts, and its encoder would never run. */
	if (config->architecture != LM_DECODER)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a model of architecture \"%s\" cannot be imported",
							   lm_architecture_name((int) config->architecture)),
						errhint("gpt_copy_model copies one within a database.")));
}

/* That of option "tokenizer", else the file's, with as many tokens as the model. */
static const LmTokenizerSpec *
store_tokenizer(uint8 *sha256, GptImport *import, const LmConfig *config,
				const GptImportOptions *options)
{
	LmTokenizerSpec *spec = NULL;

	if (options->tokenizer != NULL)
		spec = gpt_import_tokenizer_given(options->tokenizer);
	else if (OidIsValid(options->tokenizer_object))
		spec = gpt_import_tokenizer_stored(options->tokenizer_object);
	else
		spec = gpt_import_tokenizer_of_file(import);
	if (spec == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the tokenizer of the model is missing"),
				 errhint("Give the text of tokenizer.json, the name of a tokenizer or model, "
						 "or the number of a large object with tokenizer.model or "
						 "tokenizer.bin, as option \"tokenizer\".")));
	gpt_import_tokenizer_ends(spec, options->config, options->generation_config,
							  options->tokenizer_config);
	gpt_import_tokenizer_fit(spec, config->vocabulary);
	gpt_import_tokenizer_check(spec);
	gpt_catalog_store_tokenizer(sha256, spec);
	return spec;
}

static int32
publish(const char *model, GptImport *import, const LmParamTable *table, GptImportPlan *plan,
		const uint8 *tokenizer, const LmTokenizerSpec *spec, const GptImportOptions *options)
{
	Source source = {.plan = plan};
	GptPublication publication = {.model = model,
								  .table = table,
								  .write = write_object,
								  .write_context = &source,
								  .may_exist = true};
	int32 version;

	publication.run_id = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
	publication.extras = source.extras = gpt_import_extras(import, plan, options, spec);
	memcpy(publication.tokenizer, tokenizer, GPT_SHA256_SIZE);
	publication.loss = publication.validation_loss = publication.validation_bits_per_byte =
		get_float8_nan();
	version = gpt_catalog_publish(&publication);
	if (version == 1)
		gpt_catalog_set_image_type(model, gpt_import_image_type(plan));
	return version;
}

static void
write_object(GptBlob *blob, void *context, const pg_uuid_t *run_id)
{
	const Source *source = context;
	const GptWeightsNotes notes = {.extras = source->extras, .run_id = run_id};

	gpt_import_write(blob, source->plan, &notes);
}
