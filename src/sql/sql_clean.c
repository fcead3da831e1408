/*
 * src/sql/sql_clean.c
 *
 * gpt_clean: a dirty text to a clean one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/clean_options.h"
#include "core/compat.h"
#include "sql/arguments.h"

/* What a call site keeps: the cleaner of the options that it saw last. */
typedef struct CleanCall
{
	Jsonb *options; /* a copy; NULL: there were none */
	GptCleaner *cleaner;
} CleanCall;

PG_FUNCTION_INFO_V1(gpt_clean);

static GptCleaner *find_cleaner(FunctionCallInfo fcinfo, Jsonb *options);

/*
 * gpt_clean(input text, options jsonb DEFAULT NULL) RETURNS text
 *
 * NULL for a NULL input, and for a result that is shorter than the option "min_length". NULL as
 * options means all defaults, as JSON's true does; JSON's false and null leave the text as it is.
 *
 * Immutable as lower() and to_tsvector() are: the result depends on the version of ICU, and where a
 * stop list is named, on its file.
 */
Datum
gpt_clean(PG_FUNCTION_ARGS)
{
	GptCleaner *cleaner;
	LmCleaned cleaned;
	text *input;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	cleaner = find_cleaner(fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	input = PG_GETARG_TEXT_PP(0);
	if (cleaner == NULL)
		PG_RETURN_TEXT_P(input);

	/* Now do the work. */
	gpt_cleaner_run(cleaner, &cleaned, (LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)}, 0);
	if (cleaned.too_short)
		PG_RETURN_NULL();
	if (!cleaned.changed)
		PG_RETURN_TEXT_P(input);
	if (cleaned.text.size > MaxAllocSize - VARHDRSZ)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("cleaned text has %zu bytes, a text has at most %zu",
							   cleaned.text.size, (size_t) MaxAllocSize - VARHDRSZ)));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(cleaned.text.data, cleaned.text.size));
}

/* A cleaner is made once for a call site, as long as its options stay the same; NULL: none. */
static GptCleaner *
find_cleaner(FunctionCallInfo fcinfo, Jsonb *options)
{
	CleanCall *call = fcinfo->flinfo->fn_extra;
	MemoryContext old_context;
	char *json;

	if (call != NULL && call->cleaner != NULL && (options == NULL) == (call->options == NULL) &&
		(options == NULL || (VARSIZE(options) == VARSIZE(call->options) &&
							 memcmp(options, call->options, VARSIZE(options)) == 0)))
		return call->cleaner;
	json = gpt_clean_keep_jsonb(options);
	old_context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = palloc0(sizeof(CleanCall));
	gpt_cleaner_free(call->cleaner);
	call->cleaner = NULL;
	if (call->options != NULL)
		pfree(call->options);
	call->options = NULL;
	call->cleaner = gpt_cleaner_create(json);
	if (options != NULL)
	{
		call->options = palloc(VARSIZE(options));
		memcpy(call->options, options, VARSIZE(options));
	}
	MemoryContextSwitchTo(old_context);
	return call->cleaner;
}
