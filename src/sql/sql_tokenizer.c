/*
 * src/sql/sql_tokenizer.c
 *
 * gpt_import_tokenizer, gpt_train_tokenizer, gpt_drop_tokenizer: named tokenizers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/extension.h"
#include "core/settings.h"
#include "corpus/source.h"
#include "sql/arguments.h"
#include "store/catalog.h"
#include "store/tokenizer_pieces.h"

#define MIN_VOCABULARY 257 /* all bytes and the end */
#define DEFAULT_VOCABULARY 4096

PG_FUNCTION_INFO_V1(gpt_import_tokenizer);
PG_FUNCTION_INFO_V1(gpt_train_tokenizer);
PG_FUNCTION_INFO_V1(gpt_drop_tokenizer);

typedef struct Training
{
	MemoryContext context; /* everything of the trainer */
	MemoryContextCallback release;
	LmBpeTrainer *trainer;
	int64 size; /* bytes of text */
	int64 n_rows;
} Training;

static void store(const char *name, const LmTokenizerSpec *spec);
static bool read_normalize(FunctionCallInfo fcinfo, int number);
static char *read_option(FunctionCallInfo fcinfo, int number, const char *function,
						 const char *name);
static Training *start_training(bool normalize_nfc);
static void add_row(void *context, const GptSourceRow *row);
static void release_trainer(void *arg);
static const LmTokenizerSpec *finish_training(Training *training, int vocabulary);

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
 * gpt_train_tokenizer(name text, query text, vocabulary integer DEFAULT 4096, options jsonb DEFAULT
 * '{}') RETURNS integer
 *
 * Options: "normalize": "NFC". Reads the query at once, as the current role, under the statement's
 * snapshot.
 */
Datum
gpt_train_tokenizer(PG_FUNCTION_ARGS)
{
	const LmTokenizerSpec *spec;
	Training *training;
	int vocabulary;
	char *name;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "name");
	gpt_argument_required(fcinfo, 1, "query");
	PreventCommandIfReadOnly("gpt_train_tokenizer()");
	(void) gpt_extension_oid();
	gpt_bridge_check_encoding();
	name = gpt_argument_text(fcinfo, 0);
	gpt_catalog_check_name(name);
	gpt_catalog_check_tokenizer_name(name);
	vocabulary = gpt_argument_integer(fcinfo, 2, "vocabulary", DEFAULT_VOCABULARY, MIN_VOCABULARY,
									  LM_MAX_VOCABULARY);
	training = start_training(read_normalize(fcinfo, 3));

	/* Now do the work. */
	gpt_source_read(gpt_argument_text(fcinfo, 1), GPT_SOURCE_TOKENIZER, add_row, training);
	spec = finish_training(training, vocabulary);
	store(name, spec);
	MemoryContextDelete(training->context);
	PG_RETURN_INT32(vocabulary);
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

/* Reads the only option, "normalize": true for NFC. */
static bool
read_normalize(FunctionCallInfo fcinfo, int number)
{
	char *normalize = read_option(fcinfo, number, "gpt_train_tokenizer", "normalize");

	if (normalize != NULL && strcmp(normalize, "NFC") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"normalize\" must be \"NFC\" or null")));
	return normalize != NULL;
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

/* ICU's part of the trainer is outside of memory contexts, so the context releases it. */
static Training *
start_training(bool normalize_nfc)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training",
												  ALLOCSET_DEFAULT_SIZES);
	Training *training = MemoryContextAllocZero(context, sizeof(Training));
	LmBpeOptions options = {
		.normalize_nfc = normalize_nfc, .min_count = 3, .whole_characters = true};
	LmError error;

	training->context = context;
	training->trainer = lm_bpe_trainer_create(gpt_bridge_host(context), &options, &error);
	if (training->trainer == NULL)
		gpt_bridge_raise(&error);
	training->release.func = release_trainer;
	training->release.arg = training;
	MemoryContextRegisterResetCallback(context, &training->release);
	return training;
}

/* Callback of the query: counts the words of a row for the training. */
static void
add_row(void *context, const GptSourceRow *row)
{
	Training *training = context;
	LmError error;

	if (row->text == NULL || row->size == 0)
		return;
	training->n_rows++;
	training->size += row->size;
	if (training->size > (int64) gpt_max_corpus_size * 1024 * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the texts of the query have more than %d MB, which is gpt.max_corpus_size",
						gpt_max_corpus_size)));
	if (!lm_bpe_trainer_add(training->trainer, row->text, row->size, &error))
		gpt_bridge_raise_row(&error, "query", row->number);
	gpt_bridge_check_memory(lm_bpe_trainer_memory(training->trainer));
}

static void
release_trainer(void *arg)
{
	lm_bpe_trainer_free(((Training *) arg)->trainer);
}

/* The trained tokenizer; raises an error if the texts have too few pairs for the vocabulary. */
static const LmTokenizerSpec *
finish_training(Training *training, int vocabulary)
{
	const LmTokenizerSpec *spec;
	LmError error;
	int n_reached;

	if (training->n_rows == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errmsg("the query returned no text")));
	while ((spec = lm_bpe_trainer_finish(training->trainer, vocabulary, &n_reached, &error)) ==
		   NULL)
		gpt_bridge_retry(&error);
	if (n_reached < vocabulary)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vocabulary of %d tokens is larger than the texts can support, which is %d",
						vocabulary, n_reached),
				 errhint("Choose a smaller vocabulary, or more texts.")));
	return spec;
}
