/*
 * src/sql/report_html.c
 *
 * A report as one HTML file: no scripts, no parts from elsewhere, and a policy that forbids both.
 */
#include "postgres.h"

#include <math.h>

#include "core/html.h"
#include "sql/report.h"

#define MOST_METRICS 40
#define MOST_TILES 4

static void put_head(StringInfo html, const GptReport *report);
static void put_header(StringInfo html, const GptReport *report);
static void put_contents(StringInfo html);
static void put_model(StringInfo html, const GptReport *report);
static void put_data(StringInfo html, const GptReport *report);
static void put_samples(StringInfo html, const GptReport *report);
static void put_versions(StringInfo html, const GptReport *report);
static void put_uses(StringInfo html, const GptReport *report);

/* The sections, in their order. */
static const struct
{
	const char *id;
	const char *title;
	void (*put)(StringInfo html, const GptReport *report);
} sections[] = {{"model", "Model", put_model},
				{"data", "Data", put_data},
				{"training", "Training", gpt_report_curve},
				{"quality", "Quality", gpt_report_quality},
				{"surprising", "Most surprising rows", gpt_report_surprising},
				{"samples", "Samples", put_samples},
				{"versions", "Versions", put_versions},
				{"use", "How to use it", put_uses}};

char *
gpt_report_html(const GptReport *report)
{
	StringInfoData html;

	initStringInfo(&html);
	put_head(&html, report);
	appendStringInfoString(&html, "<body>\n<a class=\"skip\" href=\"#main\">Skip to the "
								  "report</a>\n");
	put_header(&html, report);
	appendStringInfoString(&html, "<div class=\"columns\">\n");
	put_contents(&html);
	appendStringInfoString(&html, "<main id=\"main\" tabindex=\"-1\">\n");
	for (int i = 0; i < lengthof(sections); i++)
	{
		appendStringInfo(&html, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n",
						 sections[i].id, sections[i].id, sections[i].title);
		sections[i].put(&html, report);
		appendStringInfoString(&html, "</section>\n");
	}
	appendStringInfoString(&html, "</main>\n</div>\n<footer>");
	gpt_paragraph(&html, NULL,
				  psprintf("Made by gpt %s in PostgreSQL, %s.",
						   gpt_report_text(report->facts, "made_by"),
						   gpt_report_text(report->facts, "made_at")));
	appendStringInfoString(&html, "</footer>\n</body>\n</html>\n");
	return html.data;
}

/* The icon is empty, because browsers ask the server for one where there is none. */
static void
put_head(StringInfo html, const GptReport *report)
{
	appendStringInfoString(
		html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
			  "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
			  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			  "<meta name=\"color-scheme\" content=\"light dark\">\n"
			  "<meta name=\"referrer\" content=\"no-referrer\">\n"
			  "<link rel=\"icon\" href=\"data:,\">\n");
	gpt_html_element(html, "title", NULL,
					 report->title != NULL
						 ? report->title
						 : psprintf("Model %s", gpt_report_text(report->facts, "model")));
	appendStringInfo(html, "\n<style>\n%s</style>\n</head>\n", gpt_report_style);
}

/* ---- The header --------------------------------------------------------- */

static void
put_tile(StringInfo html, const char *name, const char *value, const char *note)
{
	appendStringInfoString(html, "<div>");
	gpt_html_element(html, "dt", NULL, name);
	appendStringInfoString(html, "<dd>");
	gpt_html_element(html, "span", "class=\"value\"", value);
	if (note != NULL)
		gpt_html_element(html, "span", "class=\"note\"", note);
	appendStringInfoString(html, "</dd></div>\n");
}

/* The first two metrics, and what the model is. */
static void
put_tiles(StringInfo html, const GptReport *report)
{
	GptReportMetric metrics[MOST_METRICS];
	const GptJson *rows = gpt_json_field(report->facts, "report");
	int n = gpt_report_metrics(metrics, report->evaluation, MOST_METRICS);
	double loss = gpt_report_number(report->facts, "validation_loss");
	double documents = gpt_report_number(rows, "documents");
	double size = gpt_report_number(report->facts, "size");

	appendStringInfoString(html, "<dl class=\"tiles\">\n");
	for (int i = 0; i < Min(n, 2); i++)
		put_tile(html, metrics[i].title, gpt_report_value(metrics[i].value),
				 isnan(metrics[i].low)
					 ? NULL
					 : psprintf("95 %% interval %s to %s", gpt_report_value(metrics[i].low),
								gpt_report_value(metrics[i].high)));
	if (n == 0 && !isnan(loss))
		put_tile(html, "Validation loss", gpt_report_value(loss), NULL);
	put_tile(html, "Parameters",
			 gpt_report_parameters(gpt_report_number(report->facts, "parameters")),
			 psprintf("%s of weights", gpt_report_size(size)));
	if (!isnan(documents))
		put_tile(html, "Documents", gpt_report_count(documents),
				 psprintf("%s of text", gpt_report_size(gpt_report_number(rows, "bytes"))));
	appendStringInfoString(html, "</dl>\n");
}

static void
put_header(StringInfo html, const GptReport *report)
{
	const GptJson *facts = report->facts;
	const char *task = gpt_report_text(facts, "task");

	appendStringInfoString(html, "<header>\n");
	gpt_paragraph(html, "class=\"kind\"",
				  report->title != NULL
					  ? psprintf("Report of model %s", gpt_report_text(facts, "model"))
					  : "Report of a model");
	appendStringInfoString(html, "<h1 dir=\"auto\">");
	gpt_html_text(html, report->title != NULL ? report->title : gpt_report_text(facts, "model"));
	appendStringInfoString(html, "</h1>\n");
	gpt_paragraph(html, "class=\"lead\"",
				  psprintf("Version %s%s%s%s, published %s", gpt_report_text(facts, "version"),
						   gpt_report_true(facts, "current") ? "" : " (not the current one)",
						   task != NULL ? ", " : "", task != NULL ? task : "",
						   gpt_report_text(facts, "created_at")));
	put_tiles(html, report);
	appendStringInfoString(html, "</header>\n");
}

static void
put_contents(StringInfo html)
{
	appendStringInfoString(html, "<nav aria-label=\"Sections\"><ul>\n");
	for (int i = 0; i < lengthof(sections); i++)
		appendStringInfo(html, "<li><a href=\"#%s\">%s</a></li>\n", sections[i].id,
						 sections[i].title);
	appendStringInfoString(html, "</ul></nav>\n");
}

/* ---- Sections ----------------------------------------------------------- */

static void
put_model(StringInfo html, const GptReport *report)
{
	GptReportPair pairs[GPT_REPORT_PAIRS];
	const GptJson *options = gpt_json_field(report->facts, "options");
	int n = gpt_report_model_pairs(pairs, report->facts);

	gpt_pairs(html, pairs, n);
	if (options == NULL)
		return;
	appendStringInfoString(html, "<h3>Options of its training</h3>\n");
	gpt_code(html, gpt_report_json(options));
}

static void
put_data(StringInfo html, const GptReport *report)
{
	GptReportPair pairs[GPT_REPORT_PAIRS];
	const GptJson *warnings = gpt_json_field(gpt_json_field(report->facts, "report"), "warnings");
	const char *query = gpt_report_text(report->facts, "query");
	int n = gpt_report_data_pairs(pairs, report->facts);

	if (query != NULL)
		gpt_code(html, query);
	else
		gpt_paragraph(html, "class=\"missing\"", gpt_report_why_no_query(report->facts));
	if (n > 0)
		gpt_pairs(html, pairs, n);
	if (warnings == NULL || warnings->type != GPT_JSON_ARRAY || warnings->count == 0)
		return;
	appendStringInfoString(html, "<h3>Warnings</h3>\n<ul>\n");
	for (const GptJson *warning = warnings->first; warning != NULL; warning = warning->next)
		gpt_html_element(html, "li", "dir=\"auto\"", warning->text);
	appendStringInfoString(html, "</ul>\n");
}

static void
put_samples(StringInfo html, const GptReport *report)
{
	if (report->n_samples == 0)
	{
		gpt_paragraph(html, "class=\"missing\"", report->why_no_samples);
		return;
	}
	gpt_paragraph(html, NULL,
				  psprintf("Written by the model for this report, not chosen. Seed " INT64_FORMAT
						   " and following.%s",
						   report->seed,
						   report->prompts_are_kept
							   ? " The prompts are those of the most surprising rows."
							   : ""));
	appendStringInfoString(html, "<ol class=\"rows\">\n");
	for (int i = 0; i < report->n_samples; i++)
	{
		const GptReportSample *sample = &report->samples[i];

		appendStringInfoString(html, "<li>");
		if (sample->prompt != NULL)
		{
			gpt_paragraph(html, "class=\"score\"", "Prompt");
			gpt_row_text(html, sample->prompt);
			gpt_paragraph(html, "class=\"score\"", "The model");
		}
		gpt_row_text(html, sample->text);
		appendStringInfoString(html, "</li>\n");
	}
	appendStringInfoString(html, "</ol>\n");
}

static void
put_versions(StringInfo html, const GptReport *report)
{
	static const char *const names[] = {"version", "state", "published",	  "by",
										"task",	   "base",	"validation loss"};
	const GptJson *versions = gpt_json_field(report->facts, "versions");
	double all = gpt_report_number(report->facts, "n_versions");

	appendStringInfoString(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
								 "aria-label=\"Table of versions\">");
	gpt_table_begin(
		html, NULL,
		versions != NULL && all > versions->count
			? psprintf("The newest %d of %s versions", versions->count, gpt_report_count(all))
			: "Versions of the model");
	gpt_table_head(html, names, lengthof(names));
	for (const GptJson *row = versions != NULL ? versions->first : NULL; row != NULL;
		 row = row->next)
	{
		double loss = gpt_report_number(row, "validation_loss");
		const char *note = gpt_report_true(row, "current") ? " (current)" : "";

		gpt_table_row(html, psprintf("%s%s", gpt_report_text(row, "version"), note));
		gpt_table_cell(html, gpt_report_text(row, "state"));
		gpt_table_cell(html, gpt_report_text(row, "created_at"));
		gpt_table_cell(html, gpt_report_text(row, "published_by"));
		gpt_table_cell(html, gpt_report_text(row, "task"));
		gpt_table_cell(html, gpt_report_text(row, "base"));
		gpt_table_number(html, isnan(loss) ? NULL : gpt_report_value(loss));
		gpt_table_row_end(html);
	}
	gpt_table_end(html);
	appendStringInfoString(html, "</div>\n");
}

static void
put_uses(StringInfo html, const GptReport *report)
{
	GptReportUse uses[GPT_REPORT_USES];
	int n = gpt_report_uses(uses, report->facts);

	for (int i = 0; i < n; i++)
	{
		gpt_paragraph(html, "class=\"score\"", uses[i].sentence);
		gpt_code(html, uses[i].sql);
	}
}
