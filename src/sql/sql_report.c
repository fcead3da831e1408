/*
 * src/sql/sql_report.c
 *
 * gpt_report, gpt_model_card: facts about a model for people.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/bridge.h"
#include "core/options.h"
#include "sql/arguments.h"
#include "sql/report.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(gpt_report);
PG_FUNCTION_INFO_V1(gpt_model_card);

static const GptVersion *
version_of(FunctionCallInfo fcinfo)
{
	const GptVersion *version = gpt_catalog_version(gpt_argument_text(fcinfo, 0), false);

	gpt_catalog_check_use(version);
	return version;
}

/*
 * gpt_report(model text, options jsonb DEFAULT '{}') RETURNS text
 *
 * The model may be name@version. A NULL model is an error, NULL options are the defaults. The query
 * in the options runs read-only as the caller, here and now.
 */
Datum
gpt_report(PG_FUNCTION_ARGS)
{
	GptReport *report = palloc0(sizeof(GptReport));
	const GptTrainOptions *options;
	const GptVersion *version;
	Jsonb *json;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_bridge_check_encoding();
	json = PG_ARGISNULL(1) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
						   : PG_GETARG_JSONB_P(1);
	options = gpt_options_parse(json, GPT_FUNCTION_REPORT);
	version = version_of(fcinfo);

	/* Now do the work. */
	report->facts = gpt_report_parse(gpt_report_facts(version));
	report->title = options->title;
	if (options->query != NULL)
		gpt_report_evaluate(report, version, options);
	else
		report->evaluation = gpt_json_field(report->facts, "evaluation");
	gpt_report_score_rows(report);
	gpt_report_write_samples(report, options);
	PG_RETURN_TEXT_P(cstring_to_text(gpt_report_html(report)));
}

/*
 * gpt_model_card(model text, format text DEFAULT 'markdown') RETURNS text
 *
 * The model may be name@version; NULLs are errors.
 */
Datum
gpt_model_card(PG_FUNCTION_ARGS)
{
	const GptVersion *version;
	const char *format;
	char *facts;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "format");
	gpt_bridge_check_encoding();
	format = gpt_argument_text(fcinfo, 1);
	if (strcmp(format, "markdown") != 0 && strcmp(format, "json") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("format \"%s\" is not known", format),
						errhint("Formats are \"markdown\" and \"json\".")));
	version = version_of(fcinfo);
	facts = gpt_report_facts(version);
	if (strcmp(format, "json") == 0)
		PG_RETURN_DATUM(DirectFunctionCall1(jsonb_pretty,
											DirectFunctionCall1(jsonb_in, CStringGetDatum(facts))));
	PG_RETURN_TEXT_P(cstring_to_text(gpt_report_markdown(gpt_report_parse(facts))));
}
