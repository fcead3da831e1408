/*
 * src/sql/report_parts.c
 *
 * The parts that sections of a report share: tables, lists, paragraphs, code.
 */
#include "postgres.h"

#include "core/html.h"
#include "sql/report.h"

void
gpt_table_begin(StringInfo html, const char *attributes, const char *caption)
{
	appendStringInfo(html, "<table%s%s>", attributes != NULL ? " " : "",
					 attributes != NULL ? attributes : "");
	gpt_html_element(html, "caption", NULL, caption);
}

void
gpt_table_head(StringInfo html, const char *const *names, int n)
{
	appendStringInfoString(html, "<thead><tr>");
	for (int i = 0; i < n; i++)
		gpt_html_element(html, "th", "scope=\"col\"", names[i]);
	appendStringInfoString(html, "</tr></thead><tbody>\n");
}

void
gpt_table_end(StringInfo html)
{
	appendStringInfoString(html, "</tbody></table>\n");
}

void
gpt_table_row(StringInfo html, const char *header)
{
	appendStringInfoString(html, "<tr>");
	gpt_html_element(html, "th", "scope=\"row\" dir=\"auto\"", header);
}

void
gpt_table_cell(StringInfo html, const char *text)
{
	gpt_html_element(html, "td", "dir=\"auto\"", text);
}

void
gpt_table_number(StringInfo html, const char *text)
{
	gpt_html_element(html, "td", "class=\"n\"", text);
}

void
gpt_table_row_end(StringInfo html)
{
	appendStringInfoString(html, "</tr>\n");
}

void
gpt_details_begin(StringInfo html, const char *summary)
{
	appendStringInfoString(html, "<details>");
	gpt_html_element(html, "summary", NULL, summary);
}

void
gpt_paragraph(StringInfo html, const char *attributes, const char *text)
{
	gpt_html_element(html, "p", attributes, text);
	appendStringInfoChar(html, '\n');
}

void
gpt_row_text(StringInfo html, const char *text)
{
	appendStringInfoString(html, "<pre class=\"text\" dir=\"auto\">");
	gpt_html_row(html, text, strlen(text));
	appendStringInfoString(html, "</pre>\n");
}

void
gpt_code(StringInfo html, const char *text)
{
	appendStringInfoString(html, "<pre class=\"code\"><code>");
	gpt_html_row(html, text, strlen(text));
	appendStringInfoString(html, "</code></pre>\n");
}

void
gpt_pairs(StringInfo html, const GptReportPair *pairs, int n)
{
	appendStringInfoString(html, "<dl class=\"pairs\">\n");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(html, "<div>");
		gpt_html_element(html, "dt", NULL, pairs[i].name);
		gpt_html_element(html, "dd", "dir=\"auto\"", pairs[i].value);
		appendStringInfoString(html, "</div>\n");
	}
	appendStringInfoString(html, "</dl>\n");
}
