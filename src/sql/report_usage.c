/*
 * src/sql/report_usage.c
 *
 * How a model is used: a few statements, by its task.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/visible.h"
#include "sql/report_facts.h"

/* U&'...' needs standard_conforming_strings, which is on unless somebody turns it off. */
char *
gpt_report_literal(const char *text)
{
	size_t size = strlen(text);
	StringInfoData literal;

	if (!gpt_visible_has_marks(text))
		return quote_literal_cstr(text);
	initStringInfo(&literal);
	appendStringInfoString(&literal, "U&'");
	for (size_t at = 0; at < size;)
	{
		char mark[GPT_VISIBLE_MARK];
		int length = gpt_visible(mark, text + at, size - at);
		pg_wchar character = utf8_to_unicode((const unsigned char *) text + at);

		if (mark[0] != '\0' && character > 0xFFFF)
			appendStringInfo(&literal, "\\+%06X", (unsigned int) character);
		else if (mark[0] != '\0')
			appendStringInfo(&literal, "\\%04X", (unsigned int) character);
		else if (text[at] == '\'' || text[at] == '\\')
			appendStringInfo(&literal, "%c%c", text[at], text[at]);
		else
			appendBinaryStringInfo(&literal, text + at, length);
		at += length;
	}
	appendStringInfoChar(&literal, '\'');
	return literal.data;
}

typedef struct UseText
{
	const char *sentence;
	const char *sql; /* %s: the model */
} UseText;

static const UseText text_uses[] = {
	{"Continue a text", "SELECT gpt_generate(%s, 'The beginning of a text', seed => 1);"},
	{"Score rows: the higher, the more surprising",
	 "SELECT body, gpt_score(%s, body) FROM review ORDER BY 2 DESC LIMIT 20;"},
	{NULL, NULL}};
static const UseText completion_uses[] = {
	{"Complete a prompt", "SELECT gpt_generate(%s, 'A prompt', temperature => 0);"},
	{"Score a completion", "SELECT gpt_logprob(%s, 'A prompt', 'A completion');"},
	{NULL, NULL}};
static const UseText chat_uses[] = {{"Answer a message", "SELECT gpt_chat(%s, '\"A message\"');"},
									{NULL, NULL}};
static const UseText retrieval_uses[] = {
	{"Embed a text, for a vector index", "SELECT gpt_embed(%s, 'A text');"},
	{"Compare two texts", "SELECT gpt_similarity(%s, 'A text', 'Another one');"},
	{NULL, NULL}};
static const UseText label_uses[] = {
	{"Label rows", "SELECT body, gpt_classify(%s, body) FROM review;"},
	{"All labels of a text with their probabilities",
	 "SELECT * FROM gpt_classify_probs(%s, 'A text');"},
	{NULL, NULL}};
static const UseText pair_uses[] = {
	{"Label pairs of texts", "SELECT gpt_classify(%s, 'A text', 'Another one');"}, {NULL, NULL}};
static const UseText number_uses[] = {
	{"Predict numbers", "SELECT body, gpt_predict(%s, body) FROM review;"}, {NULL, NULL}};
static const UseText number_pair_uses[] = {
	{"Predict a number of two texts", "SELECT gpt_predict(%s, 'A text', 'Another one');"},
	{NULL, NULL}};

static const UseText *
uses_of(const GptJson *facts)
{
	switch (gpt_report_kind(facts))
	{
		case GPT_REPORT_TEXT:
			return text_uses;
		case GPT_REPORT_COMPLETION:
		case GPT_REPORT_PREFERENCE:
			return completion_uses;
		case GPT_REPORT_CHAT:
			return chat_uses;
		case GPT_REPORT_RETRIEVAL:
			return retrieval_uses;
		case GPT_REPORT_LABELS:
			return gpt_report_is_pair(facts) ? pair_uses : label_uses;
		case GPT_REPORT_NUMBER:
			return gpt_report_is_pair(facts) ? number_pair_uses : number_uses;
	}
	return text_uses;
}

/* A version that is not the current one is named with its number. */
int
gpt_report_uses(GptReportUse *uses, const GptJson *facts)
{
	const UseText *texts = uses_of(facts);
	const char *name = gpt_report_true(facts, "current") ? gpt_report_text(facts, "model")
														 : gpt_report_reference(facts);
	const char *literal = gpt_report_literal(name);
	int n = 0;

	for (; texts[n].sentence != NULL && n < GPT_REPORT_USES - 1; n++)
	{
		const char *place = strstr(texts[n].sql, "%s");

		uses[n].sentence = texts[n].sentence;
		uses[n].sql =
			psprintf("%.*s%s%s", (int) (place - texts[n].sql), texts[n].sql, literal, place + 2);
	}
	uses[n].sentence = "Its measures, by the task";
	uses[n++].sql = psprintf("SELECT * FROM gpt_evaluate(%s);", literal);
	return n;
}
