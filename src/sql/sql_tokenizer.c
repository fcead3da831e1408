/*
 * src/sql/sql_tokenizer.c
 *
 * gpt_import_tokenizer, gpt_drop_tokenizer: named tokenizers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "sql/arguments.h"
#include "store/catalog.h"
#include "store/tokenizer_pieces.h"

PG_FUNCTION_INFO_V1(gpt_import_tokenizer);
PG_FUNCTION_INFO_V1(gpt_drop_tokenizer);

static void store(const char *name, const LmTokenizerSpec *spec);
static char *read_option(FunctionCallInfo fcinfo, int number, const char *function,
						 const char *name);

/*
 * gpt_import_tokenizer(name text, "json" text) RETURNS integer
 * gpt_import_tokenizer(name text, object oid, options jsonb DEFAULT '{}') RETURNS integer
 *
 * Returns the size of the vocabulary. A name that the current role owns is bound to the new
 * tokenizer. The large object has a tokenizer.json, a tokenizer.model, the ranks of tiktoken, or a
 * GGUF file. Options: "split".
 */
Datum
gpt_import_tokenizer(PG_FUNCTION_ARGS)
{
	bool from_object = PG_NARGS() == 3;
	LmTokenizerSpec *spec;
	char *split = NULL;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "name");
	gpt_argument_required(fcinfo, 1, from_object ? "object" : "json");
	PreventCommandIfReadOnly("gpt_import_tokenizer()");
	gpt_bridge_check_encoding();
	gpt_catalog_check_name(gpt_argument_text(fcinfo, 0));
	if (from_object)
		split = read_option(fcinfo, 2, "gpt_import_tokenizer", "split");

	/* Now do the work. An object that the same statement has made is seen, too. */
	PushActiveSnapshot(GetLatestSnapshot());
	if (from_object)
		spec = gpt_tokenizer_from_object(PG_GETARG_OID(1), split);
	else
	{
		text *json = PG_GETARG_TEXT_PP(1);

		spec = gpt_tokenizer_from_file(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), NULL);
	}
	PopActiveSnapshot();
	store(gpt_argument_text(fcinfo, 0), spec);
	PG_RETURN_INT32(spec->n_tokens);
}

/*
 * gpt_drop_tokenizer(name text) RETURNS void
 */
Datum
gpt_drop_tokenizer(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "name");
	PreventCommandIfReadOnly("gpt_drop_tokenizer()");
	gpt_catalog_drop_tokenizer(gpt_argument_text(fcinfo, 0));
	PG_RETURN_VOID();
}

/* Checks that the engine accepts the tokenizer before it is stored. */
static void
store(const char *name, const LmTokenizerSpec *spec)
{
	uint8 sha256[GPT_SHA256_SIZE];
	LmTokenizer *tokenizer;
	LmError error;

	while ((tokenizer = lm_tokenizer_create(gpt_bridge_host(CurrentMemoryContext), spec, &error)) ==
		   NULL)
		gpt_bridge_retry(&error);
	lm_tokenizer_free(tokenizer);
	gpt_catalog_store_tokenizer(sha256, spec);
	gpt_catalog_name_tokenizer(name, sha256);
}

/* The only option of a function: a string, palloc'd; NULL where it is missing or null. */
static char *
read_option(FunctionCallInfo fcinfo, int number, const char *function, const char *name)
{
	Jsonb *options = PG_ARGISNULL(number) ? NULL : PG_GETARG_JSONB_P(number);
	char *option = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *key;

	if (options == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		if (strcmp(key, name) != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" does not exist", key),
							errhint("The option of %s is \"%s\".", function, name)));
		JsonbIteratorNext(&iterator, &value, true);
		if (value.type == jbvString)
			option = pnstrdup(value.val.string.val, value.val.string.len);
		else if (value.type != jbvNull)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" must be a string or null", name)));
	}
	return option;
}
