/*
 * src/sql/sql_options.c
 *
 * gpt_options: the table of options that training functions take.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/extension.h"
#include "core/number.h"
#include "core/options.h"
#include "sql/arguments.h"

PG_FUNCTION_INFO_V1(gpt_options);

/*
 * gpt_options(function text DEFAULT 'gpt_train') -> setof (option, type, default_value, minimum,
 * maximum, description)
 *
 * The options that a function takes; NULL in default_value means chosen by the job.
 */
Datum
gpt_options(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int number = 0;
	char *function;

	gpt_argument_check_call(fcinfo);
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"function\" must not be null")));
	(void) gpt_extension_oid();
	function = text_to_cstring(PG_GETARG_TEXT_PP(0));
	while (number < GPT_OPTION_FUNCTIONS && strcmp(function, gpt_options_function(number)) != 0)
		number++;
	if (number == GPT_OPTION_FUNCTIONS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("gpt_options does not list options of \"%s\"", function),
						errhint("It lists those of gpt_train, gpt_finetune, gpt_evaluate, "
								"gpt_compare, gpt_train_tokenizer, gpt_report and gpt_maintain.")));

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < gpt_options_count(); i++)
	{
		GptOptionRow row;
		Datum values[6];
		bool nulls[6] = {false};

		if (!gpt_options_row(&row, (GptTrainFunction) number, i))
			continue;
		nulls[2] = row.default_value == NULL;
		nulls[3] = nulls[4] = !row.ranged;
		values[0] = CStringGetTextDatum(row.name);
		values[1] = CStringGetTextDatum(row.type);
		values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(row.default_value);
		values[3] = CStringGetTextDatum(gpt_number_text(row.minimum));
		values[4] = CStringGetTextDatum(gpt_number_text(row.maximum));
		values[5] = CStringGetTextDatum(row.description);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
