/*
 * src/sql/report_surprising.c
 *
 * The section of the rows that surprise the model most.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "core/html.h"
#include "sql/report.h"

#define MOST_ROWS 20
#define LEAST_BITS 2.0 /* of a token that a table has */

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

/* The class of a token by its bits, or of a word by its share of the largest weight. */
static const char *
class_of(const GptReportHeat *heat, double weight, double largest)
{
	static const double bits[] = {LEAST_BITS / 2, LEAST_BITS, 5, 8, 12};
	static const double shares[] = {0.1, 0.35, 0.7};
	const double *bounds = heat->is_signed ? shares : bits;
	int n = heat->is_signed ? lengthof(shares) : lengthof(bits);
	double size = heat->is_signed ? fabs(weight) / largest : weight;
	int shade = 0;

	while (shade < n && size >= bounds[shade])
		shade++;
	if (shade == 0)
		return NULL;
	return psprintf("%s%d", !heat->is_signed ? "t" : weight > 0 ? "h" : "against t", shade);
}

static double
largest_of(const GptReportHeat *heat)
{
	double largest = DBL_MIN;

	for (int i = 0; i < heat->n; i++)
	{
		if (fabs(heat->tokens[i].weight) > largest)
			largest = fabs(heat->tokens[i].weight);
	}
	return largest;
}

static void
put_heat(StringInfo html, const GptReportHeat *heat)
{
	double largest = largest_of(heat);

	appendStringInfoString(html, "<pre class=\"text heat\" dir=\"auto\">");
	for (int i = 0; i < heat->n; i++)
	{
		const GptReportToken *token = &heat->tokens[i];
		const char *name = class_of(heat, token->weight, largest);

		if (name != NULL)
			appendStringInfo(html, "<span class=\"%s\">", name);
		gpt_html_row(html, token->text, token->size);
		appendStringInfoString(html, name != NULL ? "</span>" : "");
	}
	appendStringInfoString(html, "</pre>\n");
}

static void
put_token_cell(StringInfo html, const char *text, size_t size)
{
	appendStringInfoString(html, "<td class=\"token\" dir=\"auto\">");
	gpt_html_row(html, text, size);
	appendStringInfoString(html, "</td>");
}

/* The same in words: the tokens that surprise, or the words that weigh something. */
static void
put_tokens(StringInfo html, const GptReportHeat *heat, int number)
{
	static const char *const names[] = {"place", "token", "bits", "expected"};
	static const char *const word_names[] = {"place", "word", "weight"};
	double least = heat->is_signed ? largest_of(heat) / 10 : LEAST_BITS;

	gpt_details_begin(html, psprintf("Coloured %s of row %d as a table",
									 heat->is_signed ? "words" : "tokens", number));
	gpt_table_begin(
		html, NULL,
		heat->is_signed
			? psprintf("Words of row %d by how much the answer loses without them", number)
			: psprintf("Tokens of row %d that cost 2 bits or more", number));
	gpt_table_head(html, heat->is_signed ? word_names : names,
				   heat->is_signed ? lengthof(word_names) : lengthof(names));
	for (int i = 0; i < heat->n; i++)
	{
		const GptReportToken *token = &heat->tokens[i];

		if (!(fabs(token->weight) >= least))
			continue;
		gpt_table_row(html, psprintf("%d", i + 1));
		put_token_cell(html, token->text, token->size);
		gpt_table_number(html, psprintf("%.*f", heat->is_signed ? 3 : 1, token->weight));
		if (!heat->is_signed)
			put_token_cell(html, token->expected != NULL ? token->expected : "",
						   token->expected != NULL ? strlen(token->expected) : 0);
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
put_scale(StringInfo html, const GptReportHeat *heat)
{
	appendStringInfoString(
		html, heat->is_signed
				  ? "<p class=\"scale\">Words that pushed the model to its answer are <span "
					"class=\"h2\">blue</span>, words that pushed against it <span "
					"class=\"against t2\">orange and underlined</span>: how much the answer "
					"loses, or gains, without the word.</p>\n"
				  : "<p class=\"scale\">The stronger the colour of a token, the less the model "
					"expected it: <span "
					"class=\"t1\">1 bit</span> <span class=\"t2\">2</span> <span "
					"class=\"t3\">5</span> <span class=\"t4\">8</span> <span class=\"t5\">12 "
					"bits</span> or more.</p>\n");
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
		put_scale(html, &report->heats[0]);
	appendStringInfoString(html, "<ol class=\"rows\">\n");
	for (const GptJson *row = rows->first; row != NULL && n < MOST_ROWS; row = row->next)
		put_row(html, report, row, ++n);
	appendStringInfoString(html, "</ol>\n");
}
