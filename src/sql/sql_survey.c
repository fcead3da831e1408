/*
 * src/sql/sql_survey.c
 *
 * gpt_survey: a query goes in, what a common model needs to know of its rows comes out. gpt_agree:
 * the surveys of several servers go in, their tokenizer and what they agree on come out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/options.h"
#include "corpus/agreement.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "store/tokenizer_json.h"

PG_FUNCTION_INFO_V1(gpt_survey);
PG_FUNCTION_INFO_V1(gpt_agree);

static GptTrainOptions *parse_options(FunctionCallInfo fcinfo, int number);
static int64 word_floor(FunctionCallInfo fcinfo, int number);
static GptSurvey **read_surveys(FunctionCallInfo fcinfo, int *n);
static LmTokenizer *named_tokenizer(const GptTrainOptions *options);

/*
 * gpt_survey(query text, options jsonb DEFAULT '{}', word_floor bigint DEFAULT 5) -> bytea
 *
 * The query runs read-only as the caller, here and now; nothing is stored. NULL query is an error,
 * other NULLs are the defaults.
 */
Datum
gpt_survey(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext old_context;
	GptTrainOptions *options;
	GptSourceShape shape;
	GptProgress progress;
	LmTokenizer *tokenizer;
	GptSpool *spool;
	bytea *survey;
	char *query;
	int64 floor;
	bool normalizes;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "query");
	query = gpt_argument_text(fcinfo, 0);
	options = parse_options(fcinfo, 1);
	floor = word_floor(fcinfo, 2);
	gpt_bridge_check_encoding();
	gpt_submit_check_training(&shape, query, options);

	/* Now do the work. */
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt survey", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	gpt_progress_start(&progress, GPT_NO_JOB);
	tokenizer = named_tokenizer(options);
	normalizes = tokenizer != NULL ? lm_tokenizer_spec(tokenizer)->normalize_nfc
								   : options->normalize == GPT_NORMALIZE_NFC;
	spool = gpt_corpus_part_read(query, options, NULL, normalizes);
	survey = gpt_survey_write(options, spool, floor, tokenizer, &progress);
	gpt_spool_free(spool);
	MemoryContextSwitchTo(old_context);
	survey = memcpy(palloc(VARSIZE(survey)), survey, VARSIZE(survey));
	MemoryContextDelete(context);
	PG_RETURN_BYTEA_P(survey);
}

/*
 * gpt_agree(surveys bytea[], servers text[] DEFAULT NULL, options jsonb DEFAULT '{}',
 *           OUT tokenizer text, OUT agreement jsonb)
 *
 * NULL servers are numbered. NULL surveys, or a NULL among them, are an error.
 */
Datum
gpt_agree(PG_FUNCTION_ARGS)
{
	Datum values[2];
	bool nulls[2] = {false, false};
	MemoryContext context;
	MemoryContext old_context;
	GptTrainOptions *options;
	GptAgreement *agreement;
	GptProgress progress;
	GptSurvey **surveys;
	TupleDesc descriptor;
	size_t size;
	char *json;
	int n;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "surveys");
	options = parse_options(fcinfo, 2);
	gpt_bridge_check_encoding();
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "gpt_agree is declared with another result");

	/* Now do the work. */
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt agreement", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	gpt_progress_start(&progress, GPT_NO_JOB);
	surveys = read_surveys(fcinfo, &n);
	agreement = gpt_agree_on(options, NULL, named_tokenizer(options), surveys, n, &progress);
	json = gpt_tokenizer_to_json(lm_tokenizer_spec(agreement->tokenizer), &size);
	MemoryContextSwitchTo(old_context);
	values[0] = PointerGetDatum(cstring_to_text_with_len(json, (int) size));
	values[1] = JsonbPGetDatum(
		memcpy(palloc(VARSIZE(agreement->json)), agreement->json, VARSIZE(agreement->json)));
	lm_tokenizer_free(agreement->tokenizer);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls)));
}

static GptTrainOptions *
parse_options(FunctionCallInfo fcinfo, int number)
{
	Jsonb *json = PG_ARGISNULL(number)
					  ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
					  : PG_GETARG_JSONB_P(number);

	return gpt_options_parse(json, GPT_FUNCTION_TRAIN);
}

static int64
word_floor(FunctionCallInfo fcinfo, int number)
{
	int64 floor = PG_ARGISNULL(number) ? GPT_WORD_FLOOR : PG_GETARG_INT64(number);

	if (floor < 1 || floor > GPT_LARGEST_WORD_FLOOR)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("word_floor must be between 1 and %d, not " INT64_FORMAT,
							   GPT_LARGEST_WORD_FLOOR, floor)));
	return floor;
}

/* The names of servers where they are given. */
static Datum *
read_names(FunctionCallInfo fcinfo, int n)
{
	Datum *names;
	bool *nulls;
	int n_names;

	if (PG_ARGISNULL(1))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls,
					  &n_names);
	for (int i = 0; i < n_names; i++)
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("servers must not contain null")));
	if (n_names != n)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("servers has %d elements, surveys has %d", n_names, n)));
	return names;
}

static GptSurvey **
read_surveys(FunctionCallInfo fcinfo, int *n)
{
	GptSurvey **surveys;
	Datum *values;
	Datum *names;
	bool *nulls;
	uint64 size = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), BYTEAOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  n);
	if (*n < 1 || *n > GPT_MOST_SURVEYS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("surveys has %d elements, not 1 to %d", *n, GPT_MOST_SURVEYS)));
	names = read_names(fcinfo, *n);
	surveys = palloc(*n * sizeof(GptSurvey *));
	for (int i = 0; i < *n; i++)
	{
		const char *name = names != NULL ? TextDatumGetCString(names[i]) : psprintf("%d", i + 1);
		const bytea *bytes;

		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("surveys must not contain null")));
		bytes = DatumGetByteaPP(values[i]);
		size += VARSIZE_ANY(bytes);
		gpt_bridge_check_memory(size);
		surveys[i] = gpt_survey_read(name, (LmBytes){VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)});
	}
	return surveys;
}

/* The stored tokenizer that the options name; NULL: one is trained. */
static LmTokenizer *
named_tokenizer(const GptTrainOptions *options)
{
	uint8 sha256[GPT_SHA256_SIZE];
	bool stored;

	return gpt_corpus_tokenizer_stored(options, sha256, &stored);
}
