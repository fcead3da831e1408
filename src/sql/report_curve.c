/*
 * src/sql/report_curve.c
 *
 * The section of the training's curve: losses and learning rate by step.
 */
#include "postgres.h"

#include <math.h>

#include "core/html.h"
#include "sql/report.h"

#define LEAST_STEPS 10 /* on the axis: of fewer, ticks would not be whole */

/* A column of a row of the log. */
typedef enum LogColumn
{
	LOG_STEP,
	LOG_LOSS,
	LOG_VALIDATION_LOSS,
	LOG_LEARNING_RATE,
	LOG_METRIC,
	LOG_COLUMNS
} LogColumn;

typedef struct Log
{
	double (*rows)[LOG_COLUMNS];
	int n;
} Log;

static Log
read_log(const GptJson *facts)
{
	const GptJson *json = gpt_json_field(facts, "log");
	Log log = {NULL, 0};

	if (json == NULL || json->type != GPT_JSON_ARRAY)
		return log;
	log.rows = palloc(Max(json->count, 1) * sizeof(*log.rows));
	for (const GptJson *row = json->first; row != NULL; row = row->next, log.n++)
	{
		const GptJson *value = row->first;

		for (int i = 0; i < LOG_COLUMNS; i++)
		{
			log.rows[log.n][i] =
				value != NULL && value->type == GPT_JSON_NUMBER ? strtod(value->text, NULL) : NAN;
			value = value != NULL ? value->next : NULL;
		}
	}
	return log;
}

static int
points_of(GptPlotPoint *points, const Log *log, LogColumn column)
{
	int n = 0;

	for (int i = 0; i < log->n; i++)
	{
		if (isfinite(log->rows[i][column]))
			points[n++] = (GptPlotPoint){log->rows[i][LOG_STEP], log->rows[i][column], 3};
	}
	return n;
}

static void
widen(GptPlot *plot, const GptPlotPoint *points, int n)
{
	for (int i = 0; i < n; i++)
	{
		plot->x_low = fmin(plot->x_low, points[i].x);
		plot->x_high = fmax(plot->x_high, points[i].x);
		plot->y_low = fmin(plot->y_low, points[i].y);
		plot->y_high = fmax(plot->y_high, points[i].y);
	}
}

/* A line of one point would be invisible. */
static void
draw_line(const GptPlot *plot, const char *class_name, const GptPlotPoint *points, int n)
{
	if (n == 1)
		gpt_plot_points(plot, class_name, points, n);
	else
		gpt_plot_line(plot, class_name, points, n);
}

/* What a reader who does not see the chart should know. */
static const char *
describe_losses(const GptPlotPoint *train, int n_train, const GptPlotPoint *validation,
				int n_validation)
{
	int best = 0;
	const char *text =
		n_train == 1 ? psprintf("The training loss is %s at step %s.", gpt_report_value(train[0].y),
								gpt_report_count(train[0].x))
		: n_train > 1 ? psprintf("The training loss goes from %s at step %s to %s at "
								 "step %s.",
								 gpt_report_value(train[0].y), gpt_report_count(train[0].x),
								 gpt_report_value(train[n_train - 1].y),
								 gpt_report_count(train[n_train - 1].x))
					  : "";

	for (int i = 1; i < n_validation; i++)
	{
		if (validation[i].y < validation[best].y)
			best = i;
	}
	if (n_validation > 0)
		text = psprintf("%s%sThe validation loss is lowest at step %s, %s, and ends at %s.", text,
						*text != '\0' ? " " : "", gpt_report_count(validation[best].x),
						gpt_report_value(validation[best].y),
						gpt_report_value(validation[n_validation - 1].y));
	return text;
}

static void
plot_losses(StringInfo html, const Log *log)
{
	static const char *const legend[][2] = {{"s1", "training"}, {"s2", "validation"}};
	GptPlotPoint *train = palloc(log->n * sizeof(GptPlotPoint));
	GptPlotPoint *validation = palloc(log->n * sizeof(GptPlotPoint));
	int n_train = points_of(train, log, LOG_LOSS);
	int n_validation = points_of(validation, log, LOG_VALIDATION_LOSS);
	GptPlot plot = {.html = html,
					.id = "loss",
					.title = "Losses by step",
					.x_name = "step",
					.y_name = "loss, nats",
					.x_low = 0,
					.x_high = LEAST_STEPS,
					.y_low = INFINITY,
					.y_high = -INFINITY};

	plot.description = describe_losses(train, n_train, validation, n_validation);
	widen(&plot, train, n_train);
	widen(&plot, validation, n_validation);
	appendStringInfoString(html, "<figure><figcaption>");
	gpt_html_element(html, "p", NULL, plot.description);
	gpt_plot_legend(html, legend, n_validation > 0 ? 2 : 1);
	appendStringInfoString(html, "</figcaption>");
	gpt_plot_begin(&plot);
	draw_line(&plot, "s1", train, n_train);
	gpt_plot_line(&plot, "s2", validation, n_validation);
	gpt_plot_points(&plot, "s2", validation, n_validation);
	gpt_plot_end(&plot);
	appendStringInfoString(html, "</figure>\n");
}

static void
plot_rate(StringInfo html, const Log *log)
{
	GptPlotPoint *points = palloc(log->n * sizeof(GptPlotPoint));
	int n = points_of(points, log, LOG_LEARNING_RATE);
	GptPlot plot = {.html = html,
					.id = "rate",
					.title = "Learning rate by step",
					.x_name = "step",
					.y_name = "learning rate",
					.x_low = 0,
					.x_high = LEAST_STEPS,
					.y_low = 0,
					.y_high = -INFINITY};

	if (n == 0)
		return;
	widen(&plot, points, n);
	plot.description = psprintf("The learning rate reaches %s and ends at %s.",
								gpt_report_value(plot.y_high), gpt_report_value(points[n - 1].y));
	appendStringInfoString(html, "<figure><figcaption>");
	gpt_html_element(html, "p", NULL, plot.description);
	appendStringInfoString(html, "</figcaption>");
	gpt_plot_begin(&plot);
	draw_line(&plot, "s3", points, n);
	gpt_plot_end(&plot);
	appendStringInfoString(html, "</figure>\n");
}

static void
plot_metric(StringInfo html, const Log *log, const char *name)
{
	GptPlotPoint *points = palloc(log->n * sizeof(GptPlotPoint));
	int n = points_of(points, log, LOG_METRIC);
	GptPlot plot = {.html = html,
					.id = "metric",
					.title = "Metric of the task by step",
					.x_name = "step",
					.x_low = 0,
					.x_high = LEAST_STEPS,
					.y_low = INFINITY,
					.y_high = -INFINITY};

	if (n == 0 || name == NULL)
		return;
	plot.y_name = gpt_report_metric_title(name);
	widen(&plot, points, n);
	plot.description = psprintf("%s on the validation rows reaches %s and ends at %s.", plot.y_name,
								gpt_report_value(plot.y_high), gpt_report_value(points[n - 1].y));
	appendStringInfoString(html, "<figure><figcaption>");
	gpt_html_element(html, "p", NULL, plot.description);
	appendStringInfoString(html, "</figcaption>");
	gpt_plot_begin(&plot);
	gpt_plot_line(&plot, "s2", points, n);
	gpt_plot_points(&plot, "s2", points, n);
	gpt_plot_end(&plot);
	appendStringInfoString(html, "</figure>\n");
}

/* The numbers of the charts. */
static void
put_table(StringInfo html, const Log *log)
{
	static const char *const names[] = {"step", "training loss", "validation loss", "learning rate",
										"metric"};

	gpt_details_begin(html, "The curve as a table");
	appendStringInfoString(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
								 "aria-label=\"The curve as a table\">");
	gpt_table_begin(html, "class=\"numbers\"", "Losses and learning rate by step");
	gpt_table_head(html, names, lengthof(names));
	for (int i = 0; i < log->n; i++)
	{
		gpt_table_row(html, gpt_report_count(log->rows[i][LOG_STEP]));
		for (int k = LOG_LOSS; k < LOG_COLUMNS; k++)
			gpt_table_number(html,
							 isnan(log->rows[i][k]) ? NULL : gpt_report_value(log->rows[i][k]));
		gpt_table_row_end(html);
	}
	gpt_table_end(html);
	appendStringInfoString(html, "</div></details>\n");
}

void
gpt_report_curve(StringInfo html, const GptReport *report)
{
	const GptJson *measures = gpt_json_field(report->facts, "measures");
	Log log = read_log(report->facts);

	if (log.n == 0)
	{
		gpt_paragraph(html, "class=\"missing\"", gpt_report_why_no_log(report->facts));
		return;
	}
	appendStringInfoString(html, "<div class=\"charts\">\n");
	plot_losses(html, &log);
	plot_metric(html, &log, gpt_report_text(report->facts, "metric"));
	plot_rate(html, &log);
	appendStringInfoString(html, "</div>\n");
	if (measures != NULL && measures->type == GPT_JSON_OBJECT)
	{
		gpt_table_begin(html, NULL, "Last measures of the training's task");
		gpt_table_head(html, (const char *const[]){"measure", "value"}, 2);
		for (const GptJson *field = measures->first; field != NULL; field = field->next)
		{
			gpt_table_row(html, field->name);
			gpt_table_number(html, field->type == GPT_JSON_NUMBER
									   ? gpt_report_value(strtod(field->text, NULL))
									   : NULL);
			gpt_table_row_end(html);
		}
		gpt_table_end(html);
	}
	put_table(html, &log);
}
