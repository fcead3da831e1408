/*
 * src/corpus/facts_write.c
 *
 * Facts go in, members of a JSON object come out.
 */
#include "postgres.h"

#include "corpus/facts.h"

#define LEAST_SHARE 0.0001 /* that is shown */
#define LEAST_LANGUAGE 0.01

/* Why rows are skipped; those without text are split in two. */
static const char *const skip_names[GPT_N_SKIPS] = {
	[GPT_SKIP_PROMPT] = "no prompt",	[GPT_SKIP_OTHER] = "no second text",
	[GPT_SKIP_THIRD] = "no negative",	[GPT_SKIP_ANSWER] = "no answer",
	[GPT_SKIP_EQUAL] = "equal answers", [GPT_SKIP_LABEL] = "no label",
	[GPT_SKIP_WEIGHT] = "weight 0",		[GPT_SKIP_TOKENS] = "no token",
	[GPT_SKIP_SHORT] = "too short",
};

static void write_skipped(GptJsonWriter *json, const GptSkipped *skipped);
static void write_cleaned(GptJsonWriter *json, const GptCleanCounts *cleaned);
static void write_duplicates(GptJsonWriter *json, const GptFacts *facts);
static void write_sizes(GptJsonWriter *json, const char *name, const GptSizes *sizes);
static void write_longest(GptJsonWriter *json, const GptFacts *facts);
static void write_validation(GptJsonWriter *json, const GptFacts *facts);
static void write_survey(GptJsonWriter *json, const GptFacts *facts);
static void write_languages(GptJsonWriter *json, const GptFactsSurvey *survey);
static void write_shares(GptJsonWriter *json, const char *name, const GptLanguageCount *counts,
						 int n);
static void write_sampled(GptJsonWriter *json, const GptFacts *facts);

void
gpt_facts_write(GptJsonWriter *json, const GptFacts *facts)
{
	gpt_json_put_integer(json, "rows", facts->rows);
	gpt_json_put_integer(json, "documents", facts->documents);
	gpt_json_put_integer(json, "bytes", facts->bytes.sum);
	write_skipped(json, &facts->skipped);
	write_duplicates(json, facts);
	if (facts->cleaned != NULL)
		write_cleaned(json, facts->cleaned);
	gpt_json_begin(json, "length");
	write_sizes(json, "bytes", &facts->bytes);
	if (facts->tokens.n > 0)
		write_sizes(json, "tokens", &facts->tokens);
	gpt_json_end(json);
	write_longest(json, facts);
	gpt_targets_write(json, &facts->targets);
	write_validation(json, facts);
	write_survey(json, facts);
	write_sampled(json, facts);
}

static void
write_reason(GptJsonWriter *json, const char *name, int64 n)
{
	if (n > 0)
		gpt_json_put_integer(json, name, n);
}

static void
write_skipped(GptJsonWriter *json, const GptSkipped *skipped)
{
	gpt_json_begin(json, "skipped");
	write_reason(json, "null", skipped->null_texts);
	write_reason(json, "empty", skipped->n[GPT_SKIP_TEXT] - skipped->null_texts);
	for (int i = 0; i < GPT_N_SKIPS; i++)
	{
		if (skip_names[i] != NULL)
			write_reason(json, skip_names[i], skipped->n[i]);
	}
	gpt_json_end(json);
}

/* What cleaning did; masks of no row are left out. */
static void
write_cleaned(GptJsonWriter *json, const GptCleanCounts *cleaned)
{
	gpt_json_begin(json, "cleaned");
	gpt_json_put_integer(json, "changed", cleaned->changed);
	write_reason(json, "too short", cleaned->too_short);
	for (int i = 0; i < LM_N_MASKS; i++)
		write_reason(json, lm_mask_name(i), cleaned->masks[i]);
	gpt_json_end(json);
}

static void
write_duplicates(GptJsonWriter *json, const GptFacts *facts)
{
	if (facts->comparison == GPT_DEDUP_NONE)
		return;
	gpt_json_begin(json, "duplicates");
	gpt_json_put_integer(json, "exact", facts->duplicates.exact);
	if (facts->comparison == GPT_DEDUP_NEAR)
		gpt_json_put_integer(json, "near", facts->duplicates.near);
	write_reason(json, "dropped", facts->duplicates.dropped);
	gpt_json_end(json);
}

static void
write_sizes(GptJsonWriter *json, const char *name, const GptSizes *sizes)
{
	static const struct
	{
		const char *name;
		double share;
	} percentiles[] = {{"p5", 0.05},  {"p50", 0.5},	 {"p90", 0.9},
					   {"p95", 0.95}, {"p99", 0.99}, {"longest", 1}};

	gpt_json_begin(json, name);
	for (int i = 0; i < lengthof(percentiles); i++)
		gpt_json_put_integer(json, percentiles[i].name,
							 gpt_sizes_percentile(sizes, percentiles[i].share));
	gpt_json_end(json);
}

static void
write_longest(GptJsonWriter *json, const GptFacts *facts)
{
	gpt_json_begin_array(json, "longest");
	for (int i = 0; i < facts->n_longest; i++)
	{
		const GptLongRow *row = &facts->longest[i];

		gpt_json_begin(json, NULL);
		gpt_json_put_integer(json, "row", (int64) row->number);
		gpt_json_put_integer(json, "bytes", row->size);
		if (row->of_validation_query)
			gpt_json_put_text(json, "query", gpt_source_name(GPT_SOURCE_VALIDATION));
		gpt_json_end(json);
	}
	gpt_json_end_array(json);
}

static void
write_validation(GptJsonWriter *json, const GptFacts *facts)
{
	gpt_json_begin(json, "validation");
	gpt_json_put_integer(json, "rows", facts->side_documents[GPT_SIDE_VALIDATION]);
	gpt_json_put_integer(json, "bytes", facts->side_bytes[GPT_SIDE_VALIDATION]);
	if (facts->by_flag)
		gpt_json_put_integer(json, "leaked", facts->duplicates.leaked);
	gpt_json_end(json);
}

/* Shares of documents, of scripts those of letters. */
static void
write_survey(GptJsonWriter *json, const GptFacts *facts)
{
	static const char *const names[LM_N_TRAITS] = {[LM_TRAIT_HTML] = "html",
												   [LM_TRAIT_URL] = "urls",
												   [LM_TRAIT_EMAIL] = "emails",
												   [LM_TRAIT_CONTROL] = "control_characters"};
	const GptFactsSurvey *survey = &facts->survey;
	GptLanguageCount scripts[LM_SCRIPTS];
	int n_scripts = 0;

	for (int i = 0; i < LM_N_TRAITS; i++)
		gpt_json_put_share(json, names[i], (double) survey->traits[i] / (double) survey->documents);
	for (int i = 0; i < LM_SCRIPTS; i++)
	{
		if (survey->letters[i] > 0)
			scripts[n_scripts++] = (GptLanguageCount){lm_script_name(i), survey->letters[i]};
	}
	write_shares(json, "scripts", scripts, n_scripts);
	write_languages(json, survey);
}

/* A row in a hundred is within the errors of the guess. */
static void
write_languages(GptJsonWriter *json, const GptFactsSurvey *survey)
{
	GptLanguageCount counts[GPT_FACTS_LANGUAGES + 1];
	GptLanguageCount others = {NULL, 0};
	int n = 0;

	for (int i = 0; i < survey->n_languages; i++)
	{
		const GptLanguageCount *count = &survey->languages[i];

		if (count->name == NULL || (double) count->n < LEAST_LANGUAGE * (double) survey->documents)
			others.n += count->n;
		else
			counts[n++] = *count;
	}
	if (others.n > 0)
		counts[n++] = others;
	write_shares(json, "languages", counts, n);
}

/* Shares that round to 0 are left out. */
static void
write_shares(GptJsonWriter *json, const char *name, const GptLanguageCount *counts, int n)
{
	double all = 0;

	for (int i = 0; i < n; i++)
		all += (double) counts[i].n;
	gpt_json_begin(json, name);
	for (int i = 0; i < n; i++)
	{
		if ((double) counts[i].n / all >= LEAST_SHARE)
			gpt_json_put_share(json, counts[i].name != NULL ? counts[i].name : "undetermined",
							   (double) counts[i].n / all);
	}
	gpt_json_end(json);
}

/* What was not seen in all documents. */
static void
write_sampled(GptJsonWriter *json, const GptFacts *facts)
{
	bool texts = facts->survey.documents < facts->bytes.n;

	if (!texts && facts->token_documents == 0)
		return;
	gpt_json_begin(json, "sampled");
	if (texts)
		gpt_json_put_integer(json, "texts", facts->survey.documents);
	if (facts->token_documents > 0)
		gpt_json_put_integer(json, "tokens", facts->token_documents);
	gpt_json_end(json);
}
