/*
 * src/job_settings.c
 *
 * Settings of the submitting session go into a jsonb object, and out of it into the worker.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "job_settings.h"

/*
 * What decides the meaning of a query's text and rows, and the limits that the submitter was under; those
 * cannot be raised by who may not set them.
 */
static const char *const setting_names[] = {
	"search_path",
	"TimeZone",
	"DateStyle",
	"IntervalStyle",
	"extra_float_digits",
	"bytea_output",
	"row_security",
	"gpt.max_memory",
	"gpt.train_threads",
	"gpt.read_timeout",
	"gpt.max_corpus_size",
};

/* Temporary schemas belong to a session; the worker has its own, which is empty. */
static char *
without_temporary_schema(const char *search_path)
{
	List *schemas;
	ListCell *cell;
	StringInfoData kept;

	initStringInfo(&kept);
	if (!SplitIdentifierString(pstrdup(search_path), ',', &schemas))
		return pstrdup(search_path);
	foreach (cell, schemas)
	{
		const char *schema = lfirst(cell);

		if (strcmp(schema, "pg_temp") != 0)
			appendStringInfo(&kept, "%s%s", kept.len > 0 ? ", " : "", quote_identifier(schema));
	}
	return kept.data;
}

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = pstrdup(string);
	value.val.string.len = strlen(string);
	pushJsonbValue(state, token, &value);
}

Jsonb *
gpt_job_settings_capture(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(setting_names); i++)
	{
		const char *value = GetConfigOption(setting_names[i], false, false);

		if (i == 0)
			value = without_temporary_schema(value);
		push_text(&state, WJB_KEY, setting_names[i]);
		push_text(&state, WJB_VALUE, value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

void
gpt_job_settings_apply(Jsonb *settings)
{
	/* Checking a search_path or a time zone reads catalogs and files. */
	StartTransactionCommand();
	for (int i = 0; i < lengthof(setting_names); i++)
	{
		JsonbValue value;

		if (getKeyJsonValueFromContainer(&settings->root, setting_names[i], strlen(setting_names[i]), &value) != NULL &&
			value.type == jbvString)
			SetConfigOption(setting_names[i], pnstrdup(value.val.string.val, value.val.string.len), PGC_SUSET, PGC_S_SESSION);
	}
	CommitTransactionCommand();
}
