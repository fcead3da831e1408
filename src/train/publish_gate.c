/*
 * src/train/publish_gate.c
 *
 * Two versions of a model go in, whether the newer one may be current comes out. gpt_evaluate
 * measures both, so that every task and every architecture has the metrics that users know. It is
 * called by SQL, as the job's owner, in a transaction like that in which the rows were read.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "core/extension.h"
#include "core/transaction.h"
#include "corpus/corpus.h"
#include "store/catalog.h"
#include "train/publish_gate.h"

/* One transaction's measurements: of the current version, and of a new one where there is one. */
typedef struct Measuring
{
	const GptJob *job;
	const GptTrainOptions *options;
	double beta; /* 0: the rows are no preferences, or their beta is not known yet */
	int32 numbers[2]; /* 0: none */
	double values[2];
} Measuring;

static int32 current_version(const GptJob *job);
static void measure(void *argument);
static double value_of(const Measuring *measuring, int32 number);

void
gpt_gate_begin(GptGate *gate, const GptJob *job, const GptTrainOptions *options,
			   GptProgress *progress)
{
	Measuring measuring = {job, options};

	*gate = (GptGate){.passes = true};
	if (options->publish_if == GPT_PUBLISH_ALWAYS)
		return;
	gate->current = current_version(job);
	if (gate->current == 0)
		return;
	gpt_progress_phase(progress, "measuring the current version");
	measuring.numbers[0] = gate->current;
	gpt_corpus_query(job, measure, &measuring);
	gate->current_value = measuring.values[0];
}

void
gpt_gate_decide(GptGate *gate, const GptJob *job, const GptTrainOptions *options, double beta,
				int32 made, GptProgress *progress)
{
	double tolerance = options->publish_tolerance;
	Measuring measuring = {job, options, beta};

	gate->current = current_version(job);
	gate->passes = true;
	if (gate->current == 0)
		return;
	gpt_progress_phase(progress, "comparing with the current version");
	measuring.numbers[0] = gate->current;
	measuring.numbers[1] = made;
	gpt_corpus_query(job, measure, &measuring);
	gate->current_value = measuring.values[0];
	gate->new_value = measuring.values[1];
	gate->passes = options->publish_metric >= GPT_METRIC_ACCURACY
					   ? gate->new_value >= gate->current_value - tolerance
					   : gate->new_value <= gate->current_value + tolerance;
}

/* 0: the model has no version yet. */
static int32
current_version(const GptJob *job)
{
	GptTransaction transaction;
	const GptVersion *version;
	int32 number;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	version = gpt_catalog_version(job->model, true);
	number = version != NULL ? version->version : 0;
	gpt_transaction_commit(&transaction);
	return number;
}

static void
measure(void *argument)
{
	Measuring *measuring = argument;

	for (int i = 0; i < lengthof(measuring->numbers) && measuring->numbers[i] > 0; i++)
		measuring->values[i] = value_of(measuring, measuring->numbers[i]);
}

/*
 * Options of gpt_evaluate. Both versions are measured with the beta of this job, though another one
 * may be kept with the current version.
 */
static const char *
options_of(const Measuring *measuring)
{
	bool generates = measuring->options->publish_metric >= GPT_METRIC_EXACT_MATCH;
	const char *beta = "";

	if (measuring->beta > 0)
		beta = psprintf(", \"beta\": %s", double_to_shortest_decimal(measuring->beta));
	return psprintf("{\"resamples\": 0, \"generate\": %s%s}", generates ? "true" : "false", beta);
}

/* The metric of a version of the job's model; an error if the rows do not have it. */
static double
value_of(const Measuring *measuring, int32 number)
{
	const GptTrainOptions *options = measuring->options;
	const char *metric = gpt_metric_name((int) options->publish_metric);
	char *reference = psprintf("%s@%d", measuring->job->model, number);
	const char *query =
		options->publish_query != NULL ? options->publish_query : options->validation_query;
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(reference), CStringGetTextDatum(query),
					  CStringGetTextDatum(metric), CStringGetTextDatum(options_of(measuring))};
	char *command =
		psprintf("SELECT value FROM %s.gpt_evaluate($1, $2, $4::pg_catalog.jsonb) WHERE metric "
				 "OPERATOR(pg_catalog.=) $3 AND label IS NULL",
				 gpt_extension_schema());
	double value;
	bool is_null = true;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, lengthof(types), types, values, NULL, true, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not evaluate model \"%s\"", reference);
	value = SPI_processed == 1 ? DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0],
															  SPI_tuptable->tupdesc, 1, &is_null))
							   : get_float8_nan();
	SPI_finish();
	if (is_null || isnan(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("gpt_evaluate gives no \"%s\" of model \"%s\" on the rows of "
						"option \"%s\"",
						metric, reference,
						options->publish_query != NULL ? "publish_query" : "validation_query"),
				 errhint("Option \"publish_metric\" takes a metric that gpt_evaluate "
						 "returns for these rows.")));
	return value;
}

char *
gpt_gate_note(const GptGate *gate, const GptJob *job, const GptTrainOptions *options, int32 made)
{
	const char *metric = gpt_metric_name((int) options->publish_metric);

	if (gate->passes)
		return psprintf("published: %s is %.6g, that of version %d is %.6g on the same rows",
						metric, gate->new_value, gate->current, gate->current_value);
	return psprintf("kept as a candidate: %s is %.6g, that of version %d, which stays current, is "
					"%.6g on the same rows; gpt_rollback(%s, %d) makes the candidate current",
					metric, gate->new_value, gate->current, gate->current_value,
					quote_literal_cstr(job->model), made);
}

void
gpt_gate_report(GptJsonWriter *json, const GptGate *gate, const GptTrainOptions *options)
{
	gpt_json_begin(json, "publish_if");
	gpt_json_put_text(json, "metric", gpt_metric_name((int) options->publish_metric));
	gpt_json_put_number(json, "value", gate->new_value);
	gpt_json_put_integer(json, "current_version", gate->current);
	gpt_json_put_number(json, "current_value", gate->current_value);
	gpt_json_put_boolean(json, "published", gate->passes);
	gpt_json_end(json);
}
