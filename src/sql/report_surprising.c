/*
 * src/sql/report_surprising.c
 *
 * The section of the rows that surprise the model most.
 */
#include "postgres.h"

#include <math.h>

#include "core/html.h"
#include "sql/report.h"

#define MOST_ROWS 20

static const char *
unit_of(const GptJson *facts)
{
	switch (gpt_report_kind(facts))
	{
		case GPT_REPORT_LABELS:
			return "bits for its label";
		case GPT_REPORT_NUMBER:
			return "absolute error";
		case GPT_REPORT_TEXT:
		case GPT_REPORT_COMPLETION:
		case GPT_REPORT_CHAT:
		case GPT_REPORT_PREFERENCE:
		case GPT_REPORT_RETRIEVAL:
			break;
	}
	return "bits per byte";
}

static const char *
why_missing(const GptReport *report)
{
	if (report->evaluation == NULL || gpt_json_field(report->evaluation, "metrics") == NULL)
		return gpt_report_why_no_evaluation(report->facts);
	if (report->query == NULL && !gpt_report_true(report->facts, "is_member"))
		return psprintf("Texts of held-out rows are shown only to members of the owner, %s.",
						gpt_report_text(report->facts, "owner"));
	return "No row was kept.";
}

/* 0 .. SHADES by the bits of a token. */
static int
shade_of(double bits)
{
	static const double bounds[] = {1, 2.5, 5, 8, 12};
	int shade = 0;

	while (shade < lengthof(bounds) && bits >= bounds[shade])
		shade++;
	return shade;
}

static void
put_heat(StringInfo html, const GptReportHeat *heat)
{
	appendStringInfoString(html, "<pre class=\"text heat\" dir=\"auto\">");
	for (int i = 0; i < heat->n; i++)
	{
		const GptReportToken *token = &heat->tokens[i];
		int shade = shade_of(token->bits);

		if (shade > 0)
			appendStringInfo(html, "<span class=\"t%d\">", shade);
		gpt_html_row(html, token->text, token->size);
		appendStringInfoString(html, shade > 0 ? "</span>" : "");
	}
	appendStringInfoString(html, "</pre>\n");
}

/* The most surprising tokens, in words. */
static void
put_tokens(StringInfo html, const GptReportHeat *heat, int number)
{
	static const char *const names[] = {"place", "token", "bits", "expected"};

	gpt_details_begin(html, psprintf("Surprising tokens of row %d as a table", number));
	gpt_table_begin(html, NULL, psprintf("Tokens of row %d that cost 2.5 bits or more", number));
	gpt_table_head(html, names, lengthof(names));
	for (int i = 0; i < heat->n; i++)
	{
		const GptReportToken *token = &heat->tokens[i];

		if (!(token->bits >= 2.5))
			continue;
		gpt_table_row(html, psprintf("%d", i + 1));
		appendStringInfoString(html, "<td class=\"token\" dir=\"auto\">");
		gpt_html_row(html, token->text, token->size);
		appendStringInfoString(html, "</td>");
		gpt_table_number(html, psprintf("%.1f", token->bits));
		appendStringInfoString(html, "<td class=\"token\" dir=\"auto\">");
		if (token->expected != NULL)
			gpt_html_row(html, token->expected, strlen(token->expected));
		appendStringInfoString(html, "</td>");
		gpt_table_row_end(html);
	}
	gpt_table_end(html);
	appendStringInfoString(html, "</details>\n");
}

static const char *
answer_of(const GptJson *row)
{
	const char *label = gpt_report_text(row, "label");
	const char *predicted = gpt_report_text(row, "predicted");

	if (label == NULL || predicted == NULL)
		return "";
	if (gpt_json_field(row, "label")->type == GPT_JSON_NUMBER)
		return psprintf(": it is %s, predicted %s", gpt_report_value(strtod(label, NULL)),
						gpt_report_value(strtod(predicted, NULL)));
	return strcmp(label, predicted) == 0
			   ? psprintf(", labelled \"%s\", as the model does", label)
			   : psprintf(", labelled \"%s\", the model says \"%s\"", label, predicted);
}

static void
put_row(StringInfo html, const GptReport *report, const GptJson *row, int number)
{
	const GptReportHeat *heat = number <= GPT_REPORT_MOST_HEATS ? &report->heats[number - 1] : NULL;
	const char *text = gpt_report_text(row, "text");
	const char *prompt = gpt_report_text(row, "prompt");

	appendStringInfoString(html, "<li>");
	gpt_html_element(html, "p", "class=\"score\"",
					 psprintf("%s %s%s", gpt_report_value(gpt_report_number(row, "score")),
							  unit_of(report->facts), answer_of(row)));
	if (prompt != NULL)
	{
		gpt_html_element(html, "p", "class=\"score\"", "Prompt:");
		gpt_row_text(html, prompt);
		gpt_html_element(html, "p", "class=\"score\"", "Completion:");
	}
	if (heat != NULL && heat->n > 0)
	{
		put_heat(html, heat);
		put_tokens(html, heat, number);
	}
	else
		gpt_row_text(html, text != NULL ? text : "");
	appendStringInfoString(html, "</li>\n");
}

static void
put_scale(StringInfo html)
{
	appendStringInfoString(html,
						   "<p class=\"scale\">The darker a token, the less the model expected it: "
						   "<span class=\"t1\">1 bit</span> "
						   "<span class=\"t2\">2.5</span> <span class=\"t3\">5</span> "
						   "<span class=\"t4\">8</span> "
						   "<span class=\"t5\">12 bits</span> or more.</p>\n");
}

void
gpt_report_surprising(StringInfo html, const GptReport *report)
{
	const GptJson *rows = gpt_json_field(report->evaluation, "surprising");
	int n = 0;

	if (rows == NULL || rows->type != GPT_JSON_ARRAY || rows->count == 0)
	{
		gpt_paragraph(html, "class=\"missing\"", why_missing(report));
		return;
	}
	gpt_paragraph(html, NULL,
				  "The measured rows that the model expected least, the first 400 "
				  "bytes of each.");
	if (report->heats[0].n > 0)
		put_scale(html);
	appendStringInfoString(html, "<ol class=\"rows\">\n");
	for (const GptJson *row = rows->first; row != NULL && n < MOST_ROWS; row = row->next)
		put_row(html, report, row, ++n);
	appendStringInfoString(html, "</ol>\n");
}
