/*
 * src/sql/card_markdown.c
 *
 * The facts about a version as a model card in Markdown (Mitchell et al. 2019, "Model cards for
 * model reporting"). Texts of users are escaped, or stand as code between fences that they do not
 * have.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"

#include "core/visible.h"
#include "sql/report_facts.h"

#define MOST_METRICS 40

/*
 * Whether the byte means something there: lists, headings and lines below headings begin a text; an
 * address becomes a link by itself.
 */
static bool
is_markup(const char *text, size_t at)
{
	if (strchr("\\`*_[]|~$", text[at]) != NULL)
		return true;
	return at == 0 ? strchr("#+-=", text[at]) != NULL : text[at] == ':' && text[at + 1] == '/';
}

/* A text on one line: marks of Markdown and of HTML lose their meaning. */
static void
append_text(StringInfo card, const char *text)
{
	size_t size = strlen(text);

	for (size_t at = 0; at < size;)
	{
		char mark[GPT_VISIBLE_MARK];
		int length = gpt_visible(mark, text + at, size - at);
		char byte = text[at];

		if (mark[0] == '[')
			appendStringInfo(card, "\\[%.*s\\]", (int) strlen(mark) - 2, mark + 1);
		else if (mark[0] != '\0')
			appendStringInfoString(card, mark);
		else if (byte == '\n' || byte == '\t')
			appendStringInfoChar(card, ' ');
		else if (byte == '<' || byte == '>' || byte == '&')
			appendStringInfo(card, "&%s;", byte == '<' ? "lt" : byte == '>' ? "gt" : "amp");
		else if (is_markup(text, at))
			appendStringInfo(card, "\\%c", byte);
		else
			appendBinaryStringInfo(card, text + at, length);
		at += length;
	}
}

/* A block of code, whose fence is longer than any run of backquotes in the text. */
static void
append_fenced(StringInfo card, const char *language, const char *text)
{
	size_t size = strlen(text);
	int longest = 2;
	int run = 0;
	StringInfoData fence;

	for (size_t i = 0; i < size; i++)
	{
		run = text[i] == '`' ? run + 1 : 0;
		longest = Max(longest, run);
	}
	initStringInfo(&fence);
	for (int i = 0; i <= longest; i++)
		appendStringInfoChar(&fence, '`');
	appendStringInfo(card, "%s%s\n", fence.data, language);
	for (size_t at = 0; at < size;)
	{
		char mark[GPT_VISIBLE_MARK];
		int length = gpt_visible(mark, text + at, size - at);

		if (mark[0] != '\0')
			appendStringInfoString(card, mark);
		else
			appendBinaryStringInfo(card, text + at, length);
		at += length;
	}
	appendStringInfo(card, "\n%s\n", fence.data);
}

/*
 * A cell of a table; a number needs no escaping, but names and texts do. A plain paragraph is
 * written by the same.
 */
static void
append_cell(StringInfo card, const char *text)
{
	appendStringInfoString(card, " ");
	append_text(card, text != NULL ? text : "");
	appendStringInfoString(card, " |");
}

static void
append_paragraph(StringInfo card, const char *text)
{
	append_text(card, text);
	appendStringInfoString(card, "\n");
}

static void
append_pairs(StringInfo card, const GptReportPair *pairs, int n)
{
	appendStringInfoString(card, "| | |\n|---|---|\n");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoChar(card, '|');
		append_cell(card, pairs[i].name);
		append_cell(card, pairs[i].value);
		appendStringInfoChar(card, '\n');
	}
}

static void
append_data(StringInfo card, const GptJson *facts)
{
	GptReportPair pairs[GPT_REPORT_PAIRS];
	const GptJson *options = gpt_json_field(facts, "options");
	const GptJson *warnings = gpt_json_field(gpt_json_field(facts, "report"), "warnings");
	const char *query = gpt_report_text(facts, "query");
	int n = gpt_report_data_pairs(pairs, facts);

	appendStringInfoString(card, "\n## Data\n\n");
	if (query != NULL)
		append_fenced(card, "sql", query);
	else
		append_paragraph(card, gpt_report_why_no_query(facts));
	appendStringInfoChar(card, '\n');
	if (n > 0)
		append_pairs(card, pairs, n);
	for (const GptJson *warning = warnings != NULL ? warnings->first : NULL; warning != NULL;
		 warning = warning->next)
	{
		appendStringInfoString(card, "\n");
		append_paragraph(card, warning->text);
	}
	if (options == NULL)
		return;
	appendStringInfoString(card, "\nOptions of the training:\n\n");
	append_fenced(card, "json", gpt_report_json(options));
}

static void
append_metrics(StringInfo card, const GptJson *facts)
{
	GptReportMetric metrics[MOST_METRICS];
	int n = gpt_report_metrics(metrics, gpt_json_field(facts, "evaluation"), MOST_METRICS);

	appendStringInfoString(card, "\n## Metrics\n\n");
	if (n == 0)
	{
		append_paragraph(card, gpt_report_why_no_evaluation(facts));
		return;
	}
	appendStringInfoString(card, "On held-out rows, measured by the training's job.\n\n"
								 "| metric | value | 95 % interval | rows |\n|---|---|---|---|\n");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoChar(card, '|');
		append_cell(card, metrics[i].title);
		append_cell(card, gpt_report_value(metrics[i].value));
		append_cell(card, isnan(metrics[i].low)
							  ? ""
							  : psprintf("%s to %s", gpt_report_value(metrics[i].low),
										 gpt_report_value(metrics[i].high)));
		append_cell(card, isnan(metrics[i].rows) ? "" : gpt_report_count(metrics[i].rows));
		appendStringInfoChar(card, '\n');
	}
}

static void
append_versions(StringInfo card, const GptJson *facts)
{
	const GptJson *versions = gpt_json_field(facts, "versions");

	appendStringInfoString(card, "\n## Versions\n\n| version | state | published | by | task | "
								 "validation loss |\n|---|---|---|---|---|---|\n");
	for (const GptJson *row = versions != NULL ? versions->first : NULL; row != NULL;
		 row = row->next)
	{
		double loss = gpt_report_number(row, "validation_loss");

		appendStringInfoChar(card, '|');
		append_cell(card, psprintf("%s%s", gpt_report_text(row, "version"),
								   gpt_report_true(row, "current") ? ", current" : ""));
		append_cell(card, gpt_report_text(row, "state"));
		append_cell(card, gpt_report_text(row, "created_at"));
		append_cell(card, gpt_report_text(row, "published_by"));
		append_cell(card, gpt_report_text(row, "task"));
		append_cell(card, isnan(loss) ? NULL : gpt_report_value(loss));
		appendStringInfoChar(card, '\n');
	}
}

char *
gpt_report_markdown(const GptJson *facts)
{
	GptReportPair pairs[GPT_REPORT_PAIRS];
	GptReportUse uses[GPT_REPORT_USES];
	StringInfoData card;
	int n;

	initStringInfo(&card);
	appendStringInfoString(&card, "# ");
	append_text(&card, gpt_report_text(facts, "model"));
	appendStringInfo(&card, "\n\nVersion %s, as gpt %s in PostgreSQL saw it on %s.\n\n## Model\n\n",
					 gpt_report_text(facts, "version"), gpt_report_text(facts, "made_by"),
					 gpt_report_text(facts, "made_at"));
	n = gpt_report_model_pairs(pairs, facts);
	append_pairs(&card, pairs, n);
	append_data(&card, facts);
	append_metrics(&card, facts);
	append_versions(&card, facts);
	appendStringInfoString(&card, "\n## Use\n");
	n = gpt_report_uses(uses, facts);
	for (int i = 0; i < n; i++)
	{
		appendStringInfo(&card, "\n%s:\n\n", uses[i].sentence);
		append_fenced(&card, "sql", uses[i].sql);
	}
	return card.data;
}
