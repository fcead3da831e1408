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

void
gpt_report_surprising(StringInfo html, const GptReport *report)
{
	const GptJson *rows = gpt_json_field(report->evaluation, "surprising");
	const char *unit = unit_of(report->facts);
	int n = 0;

	if (rows == NULL || rows->type != GPT_JSON_ARRAY || rows->count == 0)
	{
		gpt_paragraph(html, "class=\"missing\"", why_missing(report));
		return;
	}
	gpt_paragraph(html, NULL,
				  "The measured rows that the model expected least, the first 400 "
				  "bytes of each.");
	appendStringInfoString(html, "<ol class=\"rows\">\n");
	for (const GptJson *row = rows->first; row != NULL && n < MOST_ROWS; row = row->next, n++)
	{
		const char *text = gpt_report_text(row, "text");

		appendStringInfoString(html, "<li>");
		gpt_html_element(
			html, "p", "class=\"score\"",
			psprintf("%s %s", gpt_report_value(gpt_report_number(row, "score")), unit));
		gpt_row_text(html, text != NULL ? text : "");
		appendStringInfoString(html, "</li>\n");
	}
	appendStringInfoString(html, "</ol>\n");
}
