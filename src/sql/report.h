/*
 * src/sql/report.h
 *
 * The report of a version as one HTML file, and the parts of which it is made. All functions append
 * to html; constant texts are markup, everything else is escaped by core/html.h.
 */
#ifndef GPT_REPORT_H
#define GPT_REPORT_H

#include "lib/stringinfo.h"

#include "core/options.h"
#include "sql/report_facts.h"

/* A text that the model has written. */
typedef struct GptReportSample
{
	const char *prompt; /* NULL: without one */
	const char *text;
} GptReportSample;

#define GPT_REPORT_MOST_SAMPLES 20

/* A token or a word of a row. */
typedef struct GptReportToken
{
	const char *text;
	size_t size;
	double weight; /* surprise in bits, or what it adds to the answer; NaN: none */
	const char *expected; /* what the model expected, or NULL */
} GptReportToken;

/* The parts of a row. */
typedef struct GptReportHeat
{
	GptReportToken *tokens;
	int n;
	bool is_signed; /* weights are for or against an answer */
} GptReportHeat;

#define GPT_REPORT_MOST_HEATS 5

/* What a report shows. */
typedef struct GptReport
{
	const GptJson *facts;
	const GptJson *evaluation; /* as gpt_versions has it: kept, or of the query; or NULL */
	const char *query; /* whose rows were measured; NULL: the evaluation was kept */
	const char *title; /* NULL: the model's name */
	int64 seed;
	const char *why_no_samples; /* a sentence; NULL: there are some */
	GptReportSample samples[GPT_REPORT_MOST_SAMPLES];
	int n_samples;
	bool prompts_are_kept; /* those of the surprising rows */
	GptReportHeat heats[GPT_REPORT_MOST_HEATS]; /* of the surprising rows; without tokens: none */
} GptReport;

/* The whole file, palloc'd. */
extern char *gpt_report_html(const GptReport *report);

/* ---- src/sql/report_run.c: what is asked of the model now -------------------------- */

/*
 * Measures the first max_rows rows of the query in the options, as the caller, and keeps their
 * first prompts as those of samples. Errors of queries and models as gpt_evaluate has them.
 */
extern void gpt_report_evaluate(GptReport *report, const GptVersion *version,
								const GptTrainOptions *options);

/* Fills the samples, or why there are none. */
extern void gpt_report_write_samples(GptReport *report, const GptTrainOptions *options);

/* ---- src/sql/report_heat.c ----------------------------------------------------------- */

/*
 * Weighs the tokens of the surprising rows of a language model, or the words of those of a
 * classifier or a regression model.
 */
extern void gpt_report_score_rows(GptReport *report);

/* ---- src/sql/report_style.c ---------------------------------------------------------- */

extern const char gpt_report_style[];

/* ---- src/sql/report_parts.c ---------------------------------------------------------- */

/* A table; attributes: of its element, or NULL. The caption is escaped. */
extern void gpt_table_begin(StringInfo html, const char *attributes, const char *caption);
extern void gpt_table_head(StringInfo html, const char *const *names, int n);
extern void gpt_table_end(StringInfo html);
/* A row: _begin, a header cell, cells, _end. A NULL text is an empty cell. */
extern void gpt_table_row(StringInfo html, const char *header);
extern void gpt_table_cell(StringInfo html, const char *text);
extern void gpt_table_number(StringInfo html, const char *text);
extern void gpt_table_row_end(StringInfo html);

/* <details> with an escaped summary, which the caller ends with </details>. */
extern void gpt_details_begin(StringInfo html, const char *summary);

/* A paragraph; a text of a row; code. */
extern void gpt_paragraph(StringInfo html, const char *attributes, const char *text);
extern void gpt_row_text(StringInfo html, const char *text);
extern void gpt_code(StringInfo html, const char *text);

/* A list of names and values. */
extern void gpt_pairs(StringInfo html, const GptReportPair *pairs, int n);

/* ---- src/sql/report_plot.c ----------------------------------------------------------- */

/* A chart as inline SVG; positions are shares of its plot, so that it fits any width. */
typedef struct GptPlot
{
	StringInfo html;
	const char *id; /* of its elements, constant */
	const char *title;
	const char *description;
	const char *x_name;
	const char *y_name;
	double x_low, x_high, y_low, y_high; /* _begin widens y to its ticks */
	bool square; /* both axes are as long, and unless fixed have the same ends */
	bool fixed; /* the axes end where they are told to */
} GptPlot;

typedef struct GptPlotPoint
{
	double x, y; /* NaN: none */
	double size; /* of a point: its radius in pixels */
} GptPlotPoint;

extern void gpt_plot_begin(GptPlot *plot);
extern void gpt_plot_line(const GptPlot *plot, const char *class_name, const GptPlotPoint *points,
						  int n);
extern void gpt_plot_points(const GptPlot *plot, const char *class_name, const GptPlotPoint *points,
							int n);
extern void gpt_plot_end(const GptPlot *plot);

/* What lines and points mean: pairs of class and text. */
extern void gpt_plot_legend(StringInfo html, const char *const (*items)[2], int n);

/* ---- src/sql/report_curve.c, report_quality.c: sections ------------------------------ */

extern void gpt_report_curve(StringInfo html, const GptReport *report);
extern void gpt_report_quality(StringInfo html, const GptReport *report);
extern void gpt_report_surprising(StringInfo html, const GptReport *report);

#endif /* GPT_REPORT_H */
