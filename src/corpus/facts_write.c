/*
 * src/corpus/facts_write.c
 *
 * Facts go in, members of a JSON object come out.
 */
#include "postgres.h"

#include "corpus/facts.h"

/* Why rows are skipped; those without text are split in two. */
static const char *const skip_names[GPT_N_SKIPS] = {
	[GPT_SKIP_PROMPT] = "no prompt", [GPT_SKIP_ANSWER] = "no answer",
	[GPT_SKIP_LABEL] = "no label",	 [GPT_SKIP_WEIGHT] = "weight 0",
	[GPT_SKIP_TOKENS] = "no token",	 [GPT_SKIP_SHORT] = "too short",
};

static void write_skipped(GptJsonWriter *json, const GptSkipped *skipped);
static void write_cleaned(GptJsonWriter *json, const GptCleanCounts *cleaned);
static void write_sizes(GptJsonWriter *json, const char *name, const GptSizes *sizes);
static void write_longest(GptJsonWriter *json, const GptFacts *facts);
static void write_validation(GptJsonWriter *json, const GptFacts *facts);

void
gpt_facts_write(GptJsonWriter *json, const GptFacts *facts)
{
	gpt_json_put_integer(json, "rows", facts->rows);
	gpt_json_put_integer(json, "documents", facts->documents);
	gpt_json_put_integer(json, "bytes", facts->bytes.sum);
	write_skipped(json, &facts->skipped);
	if (facts->cleaned != NULL)
		write_cleaned(json, facts->cleaned);
	gpt_json_begin(json, "length");
	write_sizes(json, "bytes", &facts->bytes);
	if (facts->tokens.n > 0)
		write_sizes(json, "tokens", &facts->tokens);
	gpt_json_end(json);
	if (facts->sampled > 0)
		gpt_json_put_integer(json, "sampled", facts->sampled);
	write_longest(json, facts);
	write_validation(json, facts);
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
	gpt_json_end(json);
}
