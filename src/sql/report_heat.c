/*
 * src/sql/report_heat.c
 *
 * What of the most surprising rows a report colours: tokens that a language model did not expect,
 * and words that pushed a classifier or a regression model to its answer.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/extension.h"
#include "serve/token_scores.h"
#include "sql/named_tokenizer.h"
#include "sql/report.h"

typedef void (*ScoreRow)(GptReportHeat *heat, const GptReport *report, const GptServed *served,
						 const char *prompt, const char *text);

static void score_tokens(GptReportHeat *heat, const GptReport *report, const GptServed *served,
						 const char *prompt, const char *text);
static void score_words(GptReportHeat *heat, const GptReport *report, const GptServed *served,
						const char *prompt, const char *text);

/* A function for the kind of model; NULL: nothing is coloured. */
static ScoreRow
score_of(const GptReport *report)
{
	switch (gpt_report_kind(report->facts))
	{
		case GPT_REPORT_TEXT:
		case GPT_REPORT_COMPLETION:
			return score_tokens;
		case GPT_REPORT_LABELS:
		case GPT_REPORT_NUMBER:
			return gpt_report_is_pair(report->facts) ? NULL : score_words;
		case GPT_REPORT_CHAT:
		case GPT_REPORT_PREFERENCE:
		case GPT_REPORT_RETRIEVAL:
			break;
	}
	return NULL;
}

void
gpt_report_score_rows(GptReport *report)
{
	const GptJson *rows = gpt_json_field(report->evaluation, "surprising");
	ScoreRow score = score_of(report);
	const GptServed *served;
	int n = 0;

	if (rows == NULL || rows->type != GPT_JSON_ARRAY || rows->count == 0 || score == NULL)
		return;
	served = gpt_cache_acquire(gpt_report_reference(report->facts), GPT_SERVED_ANY);
	for (const GptJson *row = rows->first; row != NULL && n < GPT_REPORT_MOST_HEATS;
		 row = row->next, n++)
	{
		const char *text = gpt_report_text(row, "text");

		if (text != NULL && *text != '\0')
			score(&report->heats[n], report, served, gpt_report_text(row, "prompt"), text);
	}
	gpt_cache_release(served);
}

/* ---- Tokens ------------------------------------------------------------- */

static void
score_tokens(GptReportHeat *heat, const GptReport *report, const GptServed *served,
			 const char *prompt, const char *text)
{
	LmBytes before = {prompt, prompt != NULL ? strlen(prompt) : 0};
	const GptTokenScores *tokens = gpt_token_scores(served, before, (LmBytes){text, strlen(text)});
	GptTokenWalk walk;

	heat->tokens = palloc(Max(tokens->n, 1) * sizeof(GptReportToken));
	gpt_token_walk_begin(&walk, tokens);
	while (gpt_token_walk_next(&walk))
	{
		const LmTokenScore *score = &tokens->scores[walk.i];
		GptReportToken *token = &heat->tokens[heat->n++];
		bool is_known = score->expected < lm_tokenizer_spec(tokens->tokenizer)->n_tokens;

		token->text = tokens->text.data + walk.text_start;
		token->size = walk.text_end - walk.text_start;
		token->weight = score->rank > 0 ? -score->logprob / M_LN2 : NAN;
		token->expected = score->rank > 0 && is_known
							  ? gpt_token_spelled(tokens->tokenizer, score->expected)
							  : NULL;
	}
}

/* ---- Words -------------------------------------------------------------- */

/* Bytes of the first n characters. */
static size_t
bytes_of(const char *text, int n)
{
	const char *at = text;

	for (; n > 0 && *at != '\0'; n--)
		at += pg_mblen(at);
	return at - text;
}

static void
add_text(GptReportHeat *heat, const char *text, size_t size, double weight)
{
	if (size > 0)
		heat->tokens[heat->n++] = (GptReportToken){text, size, weight, NULL};
}

/*
 * Words stand at characters of the text; what is between them has no weight. A word that is not
 * where it should be ends the colouring.
 */
static void
take_words(GptReportHeat *heat, const char *text)
{
	size_t done = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		const char *word = SPI_getvalue(row, SPI_tuptable->tupdesc, 1);
		bool isnull[2];
		double weight = DatumGetFloat8(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull[0]));
		int start = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull[1]));
		size_t at = isnull[1] ? 0 : bytes_of(text, start - 1);

		if (word == NULL || isnull[0] || isnull[1] || at < done ||
			strncmp(text + at, word, strlen(word)) != 0)
			break;
		add_text(heat, text + done, at - done, NAN);
		add_text(heat, text + at, strlen(word), weight);
		done = at + strlen(word);
	}
	add_text(heat, text + done, strlen(text + done), NAN);
}

/* By occlusion, which needs no gradients, so that any model can be asked. */
static void
score_words(GptReportHeat *heat, const GptReport *report, const GptServed *served,
			const char *prompt, const char *text)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(gpt_report_reference(report->facts)),
					  CStringGetTextDatum(text)};
	const char *command = psprintf("SELECT e.text, e.weight, e.start FROM %s.gpt_explain($1, $2, "
								   "method => 'occlusion') e",
								   gpt_extension_schema());

	heat->is_signed = true;
	heat->tokens = palloc((2 * strlen(text) + 2) * sizeof(GptReportToken));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, lengthof(types), types, values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not explain a row");
	take_words(heat, text);
	SPI_finish();
}
