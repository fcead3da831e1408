/*
 * src/sql/report_quality.c
 *
 * The section of what was measured: metrics with their intervals, the confusion matrix, the
 * calibration, and numbers against those that the model expects.
 */
#include "postgres.h"

#include <math.h>

#include "core/html.h"
#include "sql/report.h"

#define MOST_METRICS 40
#define MOST_LABELS 64
#define MOST_PARTS 64
#define MOST_PAIRS 2000
#define NAMED_COLUMNS 8 /* of a confusion matrix: wider ones have numbers */
#define SHADES 5 /* of CSS classes h1 .. h5 */

static void put_metrics(StringInfo html, const GptReport *report);
static void put_confusion(StringInfo html, const GptJson *confusion);
static void put_calibration(StringInfo html, const GptJson *calibration);
static void put_numbers(StringInfo html, const GptJson *pairs);

void
gpt_report_quality(StringInfo html, const GptReport *report)
{
	const GptJson *evaluation = report->evaluation;

	put_metrics(html, report);
	put_confusion(html, gpt_json_field(evaluation, "confusion"));
	put_calibration(html, gpt_json_field(evaluation, "calibration"));
	put_numbers(html, gpt_json_field(evaluation, "pairs"));
}

/* ---- Metrics ------------------------------------------------------------ */

static const char *
where_measured(const GptReport *report)
{
	double rows = gpt_report_number(report->evaluation, "rows");
	const char *n = isnan(rows) ? "the" : gpt_report_count(rows);

	if (report->query != NULL)
		return psprintf("Measured now, on %s rows of the query of this report.", n);
	return psprintf("Measured by the training's job at its end, on %s held-out rows.", n);
}

static void
put_metrics(StringInfo html, const GptReport *report)
{
	static const char *const names[] = {"metric", "value", "95 % interval"};
	GptReportMetric metrics[MOST_METRICS];
	int n = gpt_report_metrics(metrics, report->evaluation, MOST_METRICS);

	if (report->query != NULL)
		gpt_code(html, report->query);
	if (n == 0)
	{
		gpt_paragraph(html, "class=\"missing\"", gpt_report_why_no_evaluation(report->facts));
		return;
	}
	gpt_paragraph(html, NULL, where_measured(report));
	gpt_table_begin(html, "class=\"metrics\"", "Metrics");
	gpt_table_head(html, names, lengthof(names));
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(html, "<tr><th scope=\"row\">");
		gpt_html_text(html, metrics[i].title);
		if (metrics[i].meaning != NULL)
			gpt_html_element(html, "span", "class=\"note\"", metrics[i].meaning);
		appendStringInfoString(html, "</th>");
		gpt_table_number(html, gpt_report_value(metrics[i].value));
		gpt_table_number(html, isnan(metrics[i].low)
								   ? NULL
								   : psprintf("%s to %s", gpt_report_value(metrics[i].low),
											  gpt_report_value(metrics[i].high)));
		gpt_table_row_end(html);
	}
	gpt_table_end(html);
}

/* ---- The confusion matrix ----------------------------------------------- */

/* Labels and counts of a confusion matrix [n][n]; false where it is none. */
static bool
read_confusion(const char **labels, double *counts, int *n, const GptJson *confusion)
{
	const GptJson *names = gpt_json_field(confusion, "labels");
	const GptJson *rows = gpt_json_field(confusion, "counts");
	int at = 0;

	if (names == NULL || rows == NULL || rows->type != GPT_JSON_ARRAY || names->count == 0 ||
		names->count > MOST_LABELS || rows->count != names->count)
		return false;
	*n = names->count;
	for (const GptJson *name = names->first; name != NULL; name = name->next)
		labels[at++] = name->text != NULL ? name->text : "";
	at = 0;
	for (const GptJson *row = rows->first; row != NULL; row = row->next)
	{
		if (row->type != GPT_JSON_ARRAY || row->count != *n)
			return false;
		for (const GptJson *count = row->first; count != NULL; count = count->next)
			counts[at++] = count->type == GPT_JSON_NUMBER ? strtod(count->text, NULL) : 0;
	}
	return true;
}

/* The pair of labels that is confused most often. */
static const char *
describe_confusion(const char *const *labels, const double *counts, int n)
{
	double right = 0;
	double all = 0;
	int most = -1;

	for (int i = 0; i < n * n; i++)
	{
		all += counts[i];
		if (i / n == i % n)
			right += counts[i];
		else if (counts[i] > 0 && (most < 0 || counts[i] > counts[most]))
			most = i;
	}
	if (most < 0)
		return psprintf("All %s rows have the label that the model gives.", gpt_report_count(all));
	return psprintf("%s of %s rows are on the diagonal, where label and answer agree. The most "
					"frequent confusion: \"%s\" is taken for \"%s\" (rows: %s).",
					gpt_report_count(right), gpt_report_count(all), labels[most / n],
					labels[most % n], gpt_report_count(counts[most]));
}

static void
put_confusion_row(StringInfo html, const char *label, const double *counts, int n, int row)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += counts[i];
	gpt_table_row(html, n > NAMED_COLUMNS ? psprintf("%d. %s", row + 1, label) : label);
	for (int i = 0; i < n; i++)
	{
		int shade = sum > 0 ? (int) ceil(counts[i] / sum * SHADES) : 0;

		appendStringInfo(html, "<td class=\"n h%d%s\">%s</td>", Min(shade, SHADES),
						 i == row		  ? " right"
						 : counts[i] == 0 ? " none"
										  : "",
						 gpt_report_count(counts[i]));
	}
	gpt_table_row_end(html);
}

static void
put_confusion(StringInfo html, const GptJson *confusion)
{
	const char **labels = palloc(MOST_LABELS * sizeof(char *));
	double *counts = palloc(MOST_LABELS * MOST_LABELS * sizeof(double));
	int n;

	if (!read_confusion(labels, counts, &n, confusion))
		return;
	appendStringInfoString(html, "<h3 id=\"confusion\">Confusion matrix</h3>\n");
	gpt_paragraph(html, NULL, describe_confusion(labels, counts, n));
	appendStringInfoString(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
								 "aria-labelledby=\"confusion\">");
	gpt_table_begin(html, n > NAMED_COLUMNS ? "class=\"confusion many\"" : "class=\"confusion\"",
					"Lines: labels of the rows. Columns: labels that the model gives.");
	appendStringInfoString(html, "<thead><tr><th scope=\"col\">label</th>");
	for (int i = 0; i < n; i++)
		gpt_html_element(html, "th", "scope=\"col\" class=\"n\" dir=\"auto\"",
						 n > NAMED_COLUMNS ? psprintf("%d", i + 1) : labels[i]);
	appendStringInfoString(html, "</tr></thead><tbody>\n");
	for (int i = 0; i < n; i++)
		put_confusion_row(html, labels[i], counts + i * n, n, i);
	gpt_table_end(html);
	appendStringInfoString(html, "</div>\n");
}

/* ---- Calibration -------------------------------------------------------- */

typedef struct Part
{
	double rows, confidence, accuracy;
} Part;

/* The parts that have rows; returns how many. */
static int
read_calibration(Part *parts, double *rows, const GptJson *calibration)
{
	int n = 0;

	*rows = 0;
	if (calibration == NULL || calibration->type != GPT_JSON_ARRAY)
		return 0;
	for (const GptJson *json = calibration->first; json != NULL && n < MOST_PARTS;
		 json = json->next)
	{
		Part part = {gpt_report_number(json, "rows"), gpt_report_number(json, "confidence"),
					 gpt_report_number(json, "accuracy")};

		if (!(part.rows > 0) || isnan(part.confidence) || isnan(part.accuracy))
			continue;
		*rows += part.rows;
		parts[n++] = part;
	}
	return n;
}

static void
put_calibration_table(StringInfo html, const Part *parts, int n)
{
	static const char *const names[] = {"mean confidence", "share that is right", "rows"};

	gpt_details_begin(html, "The calibration as a table");
	gpt_table_begin(html, "class=\"numbers\"", "Calibration");
	gpt_table_head(html, names, lengthof(names));
	for (int i = 0; i < n; i++)
	{
		gpt_table_row(html, gpt_report_share(parts[i].confidence));
		gpt_table_number(html, gpt_report_share(parts[i].accuracy));
		gpt_table_number(html, gpt_report_count(parts[i].rows));
		gpt_table_row_end(html);
	}
	gpt_table_end(html);
	appendStringInfoString(html, "</details>\n");
}

static void
put_calibration(StringInfo html, const GptJson *calibration)
{
	static const char *const legend[][2] = {{"s1", "this model"}, {"s4", "perfectly calibrated"}};
	static const GptPlotPoint diagonal[] = {{0, 0, 0}, {1, 1, 0}};
	Part parts[MOST_PARTS];
	GptPlotPoint points[MOST_PARTS];
	double rows;
	double error = 0;
	int n = read_calibration(parts, &rows, calibration);
	GptPlot plot = {.html = html,
					.id = "calibration",
					.title = "Calibration",
					.x_name = "confidence of the model",
					.y_name = "share that is right",
					.x_high = 1,
					.y_high = 1,
					.square = true,
					.fixed = true};

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		error += parts[i].rows / rows * fabs(parts[i].confidence - parts[i].accuracy);
		points[i] = (GptPlotPoint){parts[i].confidence, parts[i].accuracy,
								   3 + 7 * sqrt(parts[i].rows / rows)};
	}
	plot.description =
		psprintf("Confidence and the share of right answers differ by %s on average (expected "
				 "calibration error). Larger points stand for more rows.",
				 gpt_report_share(error));
	appendStringInfoString(html, "<h3>Calibration</h3>\n<figure><figcaption>");
	gpt_html_element(html, "p", NULL, plot.description);
	gpt_plot_legend(html, legend, lengthof(legend));
	appendStringInfoString(html, "</figcaption>");
	gpt_plot_begin(&plot);
	gpt_plot_line(&plot, "s4", diagonal, 2);
	gpt_plot_line(&plot, "s1", points, n);
	gpt_plot_points(&plot, "s1", points, n);
	gpt_plot_end(&plot);
	appendStringInfoString(html, "</figure>\n");
	put_calibration_table(html, parts, n);
}

/* ---- Numbers ------------------------------------------------------------ */

/* Pairs [MOST_PAIRS] of the number of a row and that of the model. */
static int
read_pairs(GptPlotPoint *points, const GptJson *pairs)
{
	int n = 0;

	if (pairs == NULL || pairs->type != GPT_JSON_ARRAY)
		return 0;
	for (const GptJson *pair = pairs->first; pair != NULL && n < MOST_PAIRS; pair = pair->next)
	{
		if (pair->type != GPT_JSON_ARRAY || pair->count != 2 ||
			pair->first->type != GPT_JSON_NUMBER || pair->last->type != GPT_JSON_NUMBER)
			continue;
		points[n++] =
			(GptPlotPoint){strtod(pair->first->text, NULL), strtod(pair->last->text, NULL), 3};
	}
	return n;
}

static void
put_numbers_table(StringInfo html, const GptPlotPoint *points, int n)
{
	gpt_details_begin(html, "The numbers as a table");
	appendStringInfoString(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
								 "aria-label=\"The numbers as a table\">");
	gpt_table_begin(html, "class=\"numbers\"", "Numbers of rows and of the model");
	gpt_table_head(html, (const char *const[]){"number of the row", "predicted"}, 2);
	for (int i = 0; i < n; i++)
	{
		gpt_table_row(html, gpt_report_value(points[i].x));
		gpt_table_number(html, gpt_report_value(points[i].y));
		gpt_table_row_end(html);
	}
	gpt_table_end(html);
	appendStringInfoString(html, "</div></details>\n");
}

static void
put_numbers(StringInfo html, const GptJson *pairs)
{
	static const char *const legend[][2] = {{"s1 dots", "a row"}, {"s4", "predicted as it is"}};
	GptPlotPoint *points = palloc(MOST_PAIRS * sizeof(GptPlotPoint));
	GptPlotPoint diagonal[2];
	int n = read_pairs(points, pairs);
	GptPlot plot = {.html = html,
					.id = "numbers",
					.title = "Predicted against true numbers",
					.x_name = "number of the row",
					.y_name = "predicted",
					.x_low = INFINITY,
					.x_high = -INFINITY,
					.square = true};

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		plot.x_low = fmin(plot.x_low, fmin(points[i].x, points[i].y));
		plot.x_high = fmax(plot.x_high, fmax(points[i].x, points[i].y));
	}
	plot.y_low = plot.x_low;
	plot.y_high = plot.x_high;
	plot.description = psprintf("%s rows: the closer to the diagonal, the better the model "
								"predicts them.",
								gpt_report_count(n));
	appendStringInfoString(html, "<h3>Predicted against true</h3>\n<figure><figcaption>");
	gpt_html_element(html, "p", NULL, plot.description);
	gpt_plot_legend(html, legend, lengthof(legend));
	appendStringInfoString(html, "</figcaption>");
	gpt_plot_begin(&plot);
	diagonal[0] = (GptPlotPoint){plot.y_low, plot.y_low, 0};
	diagonal[1] = (GptPlotPoint){plot.y_high, plot.y_high, 0};
	gpt_plot_line(&plot, "s4", diagonal, 2);
	gpt_plot_points(&plot, "s1", points, n);
	gpt_plot_end(&plot);
	appendStringInfoString(html, "</figure>\n");
	put_numbers_table(html, points, n);
}
