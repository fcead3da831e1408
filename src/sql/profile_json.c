/*
 * src/sql/profile_json.c
 *
 * A profile to JSON and back.
 */
#include "postgres.h"

#include <math.h>

#include "core/json_tree.h"
#include "core/json_writer.h"
#include "engine/survey.h"
#include "sql/profile.h"

#define MOST_NODES 10000 /* of a profile */
#define FORM 1

static void write_shares(GptJsonWriter *json, const GptKeptShares *kept, const GptServed *served,
						 GptRowShare share);
static bool read_number(GptKeptNumber *kept, const GptJson *node);
static bool read_shares(GptKeptShares *kept, const GptJson *node, const GptServed *served,
						GptRowShare share);
static bool read_double(double *value, const GptJson *node);

/* ---- Writing ------------------------------------------------------------ */

char *
gpt_profile_item(const GptServed *served, GptRowShare share, uint32 category)
{
	switch (share)
	{
		case GPT_ROW_PREDICTIONS:
		case GPT_ROW_LABELS:
			return pstrdup(category < (uint32) served->config->labels ? served->labels[category]
																	  : "other");
		case GPT_ROW_SCRIPTS:
			return pstrdup(lm_script_name((int) category) != NULL ? lm_script_name((int) category)
																  : "other");
		case GPT_ROW_TOKENS:
		case GPT_N_ROW_SHARES:
			break;
	}
	return psprintf("%u", category);
}

Jsonb *
gpt_profile_write(const GptProfile *profile, const GptServed *served)
{
	GptJsonWriter json = {NULL};

	gpt_json_begin(&json, NULL);
	gpt_json_put_integer(&json, "form", FORM);
	gpt_json_put_integer(&json, "rows", profile->rows);
	for (int i = 0; i < GPT_N_ROW_NUMBERS; i++)
	{
		const GptKeptNumber *kept = &profile->numbers[i];

		if (kept->rows == 0)
			continue;
		gpt_json_begin(&json, gpt_row_number_name(i));
		gpt_json_put_integer(&json, "rows", kept->rows);
		gpt_json_begin_array(&json, "quantiles");
		for (int k = 0; k <= GPT_PROFILE_QUANTILES; k++)
			gpt_json_put_number(&json, NULL, kept->quantiles[k]);
		gpt_json_end_array(&json);
		gpt_json_end(&json);
	}
	for (int i = 0; i < GPT_N_ROW_SHARES; i++)
	{
		if (profile->shares[i].rows > 0)
			write_shares(&json, &profile->shares[i], served, (GptRowShare) i);
	}
	return gpt_json_finish(&json);
}

static void
write_shares(GptJsonWriter *json, const GptKeptShares *kept, const GptServed *served,
			 GptRowShare share)
{
	gpt_json_begin(json, gpt_row_share_name((int) share));
	gpt_json_put_integer(json, "rows", kept->rows);
	gpt_json_begin_array(json, "items");
	for (int k = 0; k < kept->n; k++)
	{
		if (share == GPT_ROW_TOKENS)
			gpt_json_put_integer(json, NULL, (int64) kept->categories[k]);
		else if (kept->categories[k] == GPT_LABEL_OTHER)
			gpt_json_put_number(json, NULL, NAN);
		else
			gpt_json_put_text(json, NULL, gpt_profile_item(served, share, kept->categories[k]));
	}
	gpt_json_end_array(json);
	gpt_json_begin_array(json, "counts");
	for (int k = 0; k <= kept->n; k++)
		gpt_json_put_integer(json, NULL, (int64) kept->counts[k]);
	gpt_json_end_array(json);
	gpt_json_begin_array(json, "noise");
	gpt_json_put_number(json, NULL, kept->noise.mean);
	gpt_json_put_number(json, NULL, kept->noise.variance);
	gpt_json_end_array(json);
	gpt_json_end(json);
}

/* ---- Reading ------------------------------------------------------------ */

GptProfile *
gpt_profile_read(const char *json, const GptServed *served)
{
	const GptJson *node = gpt_json_try_parse(json, strlen(json), MOST_NODES, "profile");
	GptProfile *profile = palloc0(sizeof(GptProfile));
	bool reads = gpt_json_integer(gpt_json_field(node, "form"), PG_INT32_MAX) == FORM;
	double rows;

	reads = reads && read_double(&rows, gpt_json_field(node, "rows")) && rows >= 0 && rows < 1e18;
	if (!reads)
		return NULL;
	profile->rows = (int64) rows;
	for (int i = 0; i < GPT_N_ROW_NUMBERS; i++)
		reads &= read_number(&profile->numbers[i], gpt_json_field(node, gpt_row_number_name(i)));
	for (int i = 0; i < GPT_N_ROW_SHARES; i++)
		reads &= read_shares(&profile->shares[i], gpt_json_field(node, gpt_row_share_name(i)),
							 served, (GptRowShare) i);
	return reads ? profile : NULL;
}

static bool
read_double(double *value, const GptJson *node)
{
	if (node == NULL || node->type != GPT_JSON_NUMBER)
		return false;
	*value = strtod(node->text, NULL);
	return isfinite(*value);
}

/* An array of so many numbers. */
static bool
read_doubles(double *values, const GptJson *array, int n)
{
	const GptJson *element;

	if (array == NULL || array->type != GPT_JSON_ARRAY || array->count != n)
		return false;
	element = array->first;
	for (int i = 0; i < n; i++, element = element->next)
	{
		if (!read_double(&values[i], element))
			return false;
	}
	return true;
}

/* What is missing has no rows. */
static bool
read_number(GptKeptNumber *kept, const GptJson *node)
{
	if (node == NULL)
		return true;
	kept->rows = gpt_json_integer(gpt_json_field(node, "rows"), PG_INT32_MAX);
	if (kept->rows < 1 || !read_doubles(kept->quantiles, gpt_json_field(node, "quantiles"),
										GPT_PROFILE_QUANTILES + 1))
		return false;
	for (int i = 1; i <= GPT_PROFILE_QUANTILES; i++)
	{
		if (kept->quantiles[i] < kept->quantiles[i - 1])
			return false;
	}
	return true;
}

/* The category of an item; false where the model has none of that name. */
static bool
category_of(uint32 *category, const GptJson *item, const GptServed *served, GptRowShare share)
{
	const char *name = gpt_json_string(item);
	int n = share == GPT_ROW_SCRIPTS ? LM_SCRIPTS : served->config->labels;

	if (share == GPT_ROW_TOKENS)
	{
		int id = gpt_json_integer(item, PG_INT32_MAX);

		*category = (uint32) id;
		return id >= 0;
	}
	*category = GPT_LABEL_OTHER;
	if (item->type == GPT_JSON_NULL)
		return true;
	for (int i = 0; name != NULL && i < n; i++)
	{
		const char *its = share == GPT_ROW_SCRIPTS ? lm_script_name(i) : served->labels[i];

		*category = (uint32) i;
		if (its != NULL && strcmp(its, name) == 0)
			return true;
	}
	return false;
}

static bool
read_shares(GptKeptShares *kept, const GptJson *node, const GptServed *served, GptRowShare share)
{
	const GptJson *items = gpt_json_field(node, "items");
	const GptJson *item = items != NULL ? items->first : NULL;
	double noise[2];
	int n;

	if (node == NULL)
		return true;
	kept->rows = gpt_json_integer(gpt_json_field(node, "rows"), PG_INT32_MAX);
	n = items != NULL && items->type == GPT_JSON_ARRAY ? items->count : -1;
	if (kept->rows < 1 || n < 0 || n > GPT_PROFILE_CATEGORIES ||
		!read_doubles(kept->counts, gpt_json_field(node, "counts"), n + 1) ||
		!read_doubles(noise, gpt_json_field(node, "noise"), 2))
		return false;
	kept->noise = (LmNoise){noise[0], noise[1]};
	for (int i = 0; i < n; i++, item = item->next)
	{
		double count = kept->counts[i];
		uint32 category;

		if (count < 0)
			return false;
		if (!category_of(&category, item, served, share))
		{
			kept->counts[n] += count;
			continue;
		}
		kept->categories[kept->n] = category;
		kept->counts[kept->n++] = count;
	}
	kept->counts[kept->n] = kept->counts[n];
	return true;
}
