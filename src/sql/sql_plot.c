/*
 * src/sql/sql_plot.c
 *
 * The log of a training goes in, a chart of text comes out.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/chart.h"
#include "core/compat.h"
#include "core/statement.h"
#include "sql/arguments.h"
#include "sql/visible_job.h"

#define DEFAULT_METRIC "loss"
#define DEFAULT_WIDTH 76 /* with psql's borders, 80 */
#define DEFAULT_HEIGHT 20
#define MOST_POINTS 2048 /* of a series: a longer log is averaged over so many parts */

PG_FUNCTION_INFO_V1(gpt_plot);

/* Two columns of the log, or two measures. */
typedef struct PlotMetric
{
	const char *name;
	const char *line; /* or NULL */
	const char *marks; /* or NULL */
	int best; /* of the marks: -1 the lowest, 1 the highest, 0 neither */
	bool is_measure; /* line and marks are names in gpt_job_log.measures, not of its columns */
} PlotMetric;

static const PlotMetric metrics[] = {
	{"loss", "loss", "validation_loss", -1},
	{"bits_per_byte", NULL, "validation_bits_per_byte", -1},
	{"learning_rate", "learning_rate", NULL, 0},
	{"grad_norm", "grad_norm", NULL, 0},
	{"tokens_per_second", "tokens_per_second", NULL, 0},
};

/* The metric of a task, as gpt_train_log shows it: the first that the log has. */
static const char *const task_metrics[] = {"token_accuracy",	  "micro_f1",	"accuracy", "r2",
										   "preference_accuracy", "recall_at_1"};

static char *plot(const GptJob *job, const char *name, int width, int height);
static bool choose(PlotMetric *metric, const GptJob *job, const char *name);
static const char *task_metric(List *measures);
static int best_of(const char *measure);
static List *read_measures(int64 job);
static bool has_measure(List *measures, const char *name);
pg_noreturn static void raise_unknown(const char *name, List *measures);
static void read_series(GptChartSeries *series, int64 job, const PlotMetric *metric);
static char *legend_of(const GptChart *chart, const PlotMetric *metric, bool with_best);
static char *title_of(const GptJob *job, const GptChart *chart);
static char *say_nothing(const GptJob *job, const char *name);

/*
 * gpt_plot(job bigint, metric text DEFAULT 'loss', width integer DEFAULT 76, height integer DEFAULT
 * 20) -> text
 * gpt_plot(model text, ...) -> text
 *
 * A chart of the log of a job, or of the newest job of a model that the caller may see. NULL is the
 * default.
 */
Datum
gpt_plot(PG_FUNCTION_ARGS)
{
	const char *metric = DEFAULT_METRIC;
	int64 number;
	int width;
	int height;

	gpt_argument_check_call(fcinfo);
	number = gpt_visible_job_argument(fcinfo);
	if (!PG_ARGISNULL(1))
		metric = gpt_argument_text(fcinfo, 1);
	width = gpt_argument_integer(fcinfo, 2, "width", DEFAULT_WIDTH, GPT_CHART_LEAST_WIDTH,
								 GPT_CHART_MOST_WIDTH);
	height = gpt_argument_integer(fcinfo, 3, "height", DEFAULT_HEIGHT, GPT_CHART_LEAST_HEIGHT,
								  GPT_CHART_MOST_HEIGHT);
	gpt_bridge_check_encoding();

	/* Now do the work. */
	PG_RETURN_TEXT_P(cstring_to_text(plot(gpt_visible_job(number), metric, width, height)));
}

static char *
plot(const GptJob *job, const char *name, int width, int height)
{
	GptChart chart = {.width = width, .height = height, .x_name = "step"};
	PlotMetric metric;

	chart.series[1].has_marks = true;
	if (!choose(&metric, job, name))
		return say_nothing(job, name);
	read_series(chart.series, job->number, &metric);
	if (chart.series[0].n == 0 && chart.series[1].n == 0)
		return say_nothing(job, name);
	chart.legend = legend_of(&chart, &metric, true);
	if (pg_mbstrlen(chart.legend) > width)
		chart.legend = legend_of(&chart, &metric, false);
	chart.title = title_of(job, &chart);
	return gpt_chart_draw(&chart);
}

/* False where the job may yet measure it. */
static bool
choose(PlotMetric *metric, const GptJob *job, const char *name)
{
	bool is_task = strcmp(name, "metric") == 0;
	const char *measure = name;
	List *measures;

	for (int i = 0; i < lengthof(metrics); i++)
	{
		*metric = metrics[i];
		if (strcmp(name, metrics[i].name) == 0)
			return true;
	}
	measures = read_measures(job->number);
	if (is_task)
		measure = task_metric(measures);
	if (measure == NULL || (measures == NIL && !gpt_visible_job_has_ended(job)))
		return false;
	if (!has_measure(measures, measure))
		raise_unknown(name, measures);
	*metric =
		(PlotMetric){measure, measure, psprintf("validation_%s", measure), best_of(measure), true};
	return true;
}

/* ---- The log ------------------------------------------------------------ */

/* Names of measures in the job's log, in their order. */
static List *
read_measures(int64 job)
{
	List *names = NIL;
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(job));
	n = gpt_statement_run(
		&statement, "SELECT DISTINCT m FROM %s.gpt_job_log l, jsonb_object_keys(l.measures) m "
					"WHERE l.job = $1 ORDER BY 1");
	for (uint64 i = 0; i < n; i++)
	{
		char *name = gpt_statement_text(&statement, i, 1);
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);

		names = lappend(names, name);
		MemoryContextSwitchTo(spi);
	}
	gpt_statement_end(&statement);
	return names;
}

/* Whether the log has it, of training or of validation rows. */
static bool
has_measure(List *measures, const char *name)
{
	const char *of_validation = psprintf("validation_%s", name);
	ListCell *cell;

	foreach (cell, measures)
	{
		if (strcmp(lfirst(cell), name) == 0 || strcmp(lfirst(cell), of_validation) == 0)
			return true;
	}
	return false;
}

static const char *
task_metric(List *measures)
{
	for (int i = 0; i < lengthof(task_metrics); i++)
		if (has_measure(measures, task_metrics[i]))
			return task_metrics[i];
	return NULL;
}

static void
raise_unknown(const char *name, List *measures)
{
	StringInfoData names;
	ListCell *cell;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(metrics); i++)
		appendStringInfo(&names, "%s, ", metrics[i].name);
	appendStringInfoString(&names, "metric");
	foreach (cell, measures)
	{
		if (strncmp(lfirst(cell), "validation_", strlen("validation_")) != 0)
			appendStringInfo(&names, ", %s", (char *) lfirst(cell));
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("metric \"%s\" does not exist, or the job does not measure it", name),
					errhint("Metrics of this job are %s.", names.data)));
}

/* An expression for the values of a column of gpt_job_log, or of the measure $number; or NULL. */
static const char *
expression_of(GptStatement *statement, const char *name, bool is_measure)
{
	if (name == NULL)
		return "CAST(NULL AS double precision)";
	if (!is_measure)
		return name;
	gpt_statement_add_text(statement, name);
	return psprintf("CAST(measures ->> $%d AS double precision)", statement->n);
}

/*
 * The values of line and marks by step, from one look at the log, which a job that starts again
 * cuts. Rows without a value, or with NaN or an infinity, are left out.
 */
static void
read_series(GptChartSeries *series, int64 job, const PlotMetric *metric)
{
	GptStatement statement;
	const char *line;
	const char *marks;
	int n;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(job));
	line = expression_of(&statement, metric->line, metric->is_measure);
	marks = expression_of(&statement, metric->marks, metric->is_measure);
	n = (int) gpt_statement_run(
		&statement,
		psprintf("WITH log AS MATERIALIZED (SELECT step, %s AS line, %s AS marks FROM "
				 "%%s.gpt_job_log WHERE job = $1), ends AS MATERIALIZED (SELECT min(step) AS low, "
				 "max(step) AS high, count(*) AS n FROM log), finite AS (SELECT step, CASE WHEN "
				 "line > '-Infinity' AND line < 'Infinity' THEN line END AS line, CASE WHEN marks "
				 "> '-Infinity' AND marks < 'Infinity' THEN marks END AS marks FROM log) SELECT "
				 "CAST(avg(step) FILTER (WHERE line IS NOT NULL) AS double precision), avg(line), "
				 "CAST(avg(step) FILTER (WHERE marks IS NOT NULL) AS double precision), avg(marks) "
				 "FROM finite, ends GROUP BY CASE WHEN n <= %d THEN step ELSE width_bucket(step, "
				 "low, high, %d) END ORDER BY min(step)",
				 line, marks, MOST_POINTS, MOST_POINTS));
	for (int i = 0; i < GPT_CHART_SERIES; i++)
	{
		GptChartPoint *points =
			MemoryContextAlloc(statement.caller, Max(n, 1) * sizeof(GptChartPoint));

		for (int row = 0; row < n; row++)
		{
			bool is_null;
			double x = DatumGetFloat8(gpt_statement_value(&statement, row, 2 * i + 1, &is_null));
			double y = DatumGetFloat8(gpt_statement_value(&statement, row, 2 * i + 2, &is_null));

			if (!is_null)
				points[series[i].n++] = (GptChartPoint){x, y};
		}
		series[i].points = points;
	}
	gpt_statement_end(&statement);
}

/* ---- Words -------------------------------------------------------------- */

static char *
short_number(double value)
{
	return psprintf(fabs(value) >= 1000 && fabs(value) < 1e15 ? "%.0f" : "%.4g", value);
}

/* The metrics of tasks are better the larger they are; nothing is said of other measures. */
static int
best_of(const char *measure)
{
	for (int i = 0; i < lengthof(task_metrics); i++)
		if (strcmp(measure, task_metrics[i]) == 0)
			return 1;
	return 0;
}

/* The key of a series, its name, its last and its best value. */
static void
add_legend(StringInfo legend, const GptChartSeries *series, const char *name, int best)
{
	const GptChartPoint *points = series->points;
	int place = 0;

	if (series->n == 0)
		return;
	appendStringInfo(legend, "%s%s %s %s", legend->len > 0 ? "   " : "",
					 gpt_chart_key(series->has_marks), name, short_number(points[series->n - 1].y));
	for (int i = 1; i < series->n; i++)
		if (best * points[i].y > best * points[place].y)
			place = i;
	if (best != 0 && series->n > 1)
		appendStringInfo(legend, ", %s %s at step %.0f", best < 0 ? "lowest" : "highest",
						 short_number(points[place].y), points[place].x);
}

static char *
legend_of(const GptChart *chart, const PlotMetric *metric, bool with_best)
{
	StringInfoData legend;

	initStringInfo(&legend);
	add_legend(&legend, &chart->series[0], metric->line, 0);
	add_legend(&legend, &chart->series[1], metric->marks, with_best ? metric->best : 0);
	return legend.data;
}

static const char *
noun_of(const GptJob *job)
{
	return job->model != NULL ? "model" : "tokenizer";
}

static char *
title_of(const GptJob *job, const GptChart *chart)
{
	double step = 0;
	StringInfoData title;

	for (int i = 0; i < GPT_CHART_SERIES; i++)
		if (chart->series[i].n > 0)
			step = Max(step, chart->series[i].points[chart->series[i].n - 1].x);
	initStringInfo(&title);
	appendStringInfo(&title, "job " INT64_FORMAT ", %s, step %.0f", job->number,
					 gpt_job_state_name(job->state), step);
	if (!gpt_visible_job_has_ended(job) && job->steps > 0)
		appendStringInfo(&title, " of " INT64_FORMAT, job->steps);
	appendStringInfo(&title, ": %s %s", noun_of(job),
					 job->model != NULL ? job->model : job->tokenizer);
	return title.data;
}

/* Instead of a chart without points. */
static char *
say_nothing(const GptJob *job, const char *name)
{
	return psprintf("Job " INT64_FORMAT " (%s) has no values of %s in its log%s.", job->number,
					gpt_job_state_name(job->state), name,
					gpt_visible_job_has_ended(job) ? "" : " yet");
}
