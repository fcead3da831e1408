/*
 * src/sql/report_words.c
 *
 * Facts as people read them: numbers with units, names of metrics, and sentences for what is
 * missing. Nothing is escaped here; the writers do that.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "sql/report_facts.h"

#define MOST_SHARES 6 /* scripts or languages that are named */

/* ---- Numbers ------------------------------------------------------------ */

const char *
gpt_report_count(double number)
{
	char digits[64];
	StringInfoData text;
	int n;

	if (!isfinite(number) || fabs(number) >= 1e18)
		return psprintf("%g", number);
	n = snprintf(digits, sizeof(digits), "%.0f", number);
	initStringInfo(&text);
	for (int i = 0; i < n; i++)
	{
		appendStringInfoChar(&text, digits[i]);
		if ((n - i) % 3 == 1 && i < n - 1 && digits[i] != '-')
			appendStringInfoChar(&text, ',');
	}
	return text.data;
}

/* Three digits of a number below a thousand. */
static const char *
three_digits(double number, const char *unit)
{
	int decimals = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;

	return psprintf("%.*f %s", decimals, number, unit);
}

const char *
gpt_report_size(double bytes)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB"};
	int unit = 0;

	if (bytes < 1024)
		return psprintf("%.0f bytes", bytes);
	for (bytes /= 1024; bytes >= 999.5 && unit < lengthof(units) - 1; unit++)
		bytes /= 1024;
	return three_digits(bytes, units[unit]);
}

const char *
gpt_report_parameters(double number)
{
	if (number < 1e4)
		return gpt_report_count(number);
	if (number < 999500)
		return three_digits(number / 1e3, "thousand");
	if (number < 9.995e8)
		return three_digits(number / 1e6, "million");
	return three_digits(number / 1e9, "billion");
}

/* Four significant digits. */
const char *
gpt_report_value(double number)
{
	double size = fabs(number);

	if (!isfinite(number))
		return "not known";
	if (size != 0 && (size < 1e-4 || size >= 1e9))
		return psprintf("%.3g", number);
	if (size >= 1000)
		return gpt_report_count(number);
	return psprintf("%.*f", size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4, number);
}

const char *
gpt_report_share(double share)
{
	if (share > 0 && share < 0.0005)
		return "less than 0.1 %";
	return psprintf("%.*f %%", share == 1 || share == 0 ? 0 : 1, 100 * share);
}

const char *
gpt_report_seconds(double seconds)
{
	if (seconds < 120)
		return psprintf("%.0f second%s", seconds, seconds >= 0.5 && seconds < 1.5 ? "" : "s");
	if (seconds < 7200)
		return psprintf("%.0f minutes", seconds / 60);
	return psprintf("%.1f hours", seconds / 3600);
}

/* ---- JSON --------------------------------------------------------------- */

static void
open_value(StringInfo text, const GptJson *value)
{
	if (value->name != NULL)
	{
		escape_json(text, value->name);
		appendStringInfoString(text, ": ");
	}
	switch (value->type)
	{
		case GPT_JSON_NULL:
			appendStringInfoString(text, "null");
			break;
		case GPT_JSON_FALSE:
			appendStringInfoString(text, "false");
			break;
		case GPT_JSON_TRUE:
			appendStringInfoString(text, "true");
			break;
		case GPT_JSON_NUMBER:
			appendStringInfoString(text, value->text);
			break;
		case GPT_JSON_STRING:
			escape_json(text, value->text);
			break;
		case GPT_JSON_ARRAY:
			appendStringInfoChar(text, '[');
			break;
		case GPT_JSON_OBJECT:
			appendStringInfoChar(text, '{');
			break;
	}
}

/* The depth of options is the user's, so the tree is walked along its links. */
char *
gpt_report_json(const GptJson *value)
{
	const GptJson *at = value;
	StringInfoData text;
	GptJson top = *value;

	top.name = NULL;
	initStringInfo(&text);
	open_value(&text, &top);
	at = value->first;
	while (at != NULL)
	{
		open_value(&text, at);
		if (at->first != NULL)
		{
			at = at->first;
			continue;
		}
		if (at->type == GPT_JSON_ARRAY || at->type == GPT_JSON_OBJECT)
			appendStringInfoChar(&text, at->type == GPT_JSON_ARRAY ? ']' : '}');
		while (at != value && at->next == NULL)
		{
			at = at->parent;
			appendStringInfoChar(&text, at->type == GPT_JSON_ARRAY ? ']' : '}');
		}
		if (at == value)
			return text.data;
		appendStringInfoString(&text, ", ");
		at = at->next;
	}
	if (value->type == GPT_JSON_ARRAY || value->type == GPT_JSON_OBJECT)
		appendStringInfoChar(&text, value->type == GPT_JSON_ARRAY ? ']' : '}');
	return text.data;
}

/* ---- Pairs -------------------------------------------------------------- */

typedef struct Pairs
{
	GptReportPair *pairs;
	int n;
} Pairs;

static void
add(Pairs *pairs, const char *name, const char *value)
{
	if (value != NULL && pairs->n < GPT_REPORT_PAIRS)
		pairs->pairs[pairs->n++] = (GptReportPair){name, value};
}

static void
add_count(Pairs *pairs, const char *name, double number, const char *unit)
{
	if (!isnan(number))
		add(pairs, name,
			psprintf("%s%s%s", gpt_report_count(number), *unit != '\0' ? " " : "", unit));
}

/* The tokenizer's name is kind@hash where it has none. */
static const char *
tokenizer_of(const GptJson *facts)
{
	const char *name = gpt_report_text(facts, "tokenizer");
	const char *kind = gpt_report_text(facts, "tokenizer_kind");
	double vocabulary = gpt_report_number(facts, "vocabulary");

	if (name == NULL)
		return isnan(vocabulary) ? NULL : psprintf("%s tokens", gpt_report_count(vocabulary));
	if (kind == NULL || strncmp(name, kind, strlen(kind)) == 0)
		return psprintf("%s, %s tokens", name, gpt_report_count(vocabulary));
	return psprintf("%s (%s), %s tokens", name, kind, gpt_report_count(vocabulary));
}

static const char *
labels_of(const GptJson *facts)
{
	const GptJson *labels = gpt_json_field(facts, "labels");
	double n = gpt_report_number(facts, "n_labels");
	StringInfoData text;
	int named = 0;

	if (labels == NULL || labels->type != GPT_JSON_ARRAY || isnan(n))
		return NULL;
	initStringInfo(&text);
	for (const GptJson *label = labels->first; label != NULL && named < 20; label = label->next)
		appendStringInfo(&text, "%s%s", named++ > 0 ? ", " : "", label->text);
	if (n > named)
		appendStringInfo(&text, " and %s more", gpt_report_count(n - named));
	return text.data;
}

int
gpt_report_model_pairs(GptReportPair *list, const GptJson *facts)
{
	const GptJson *training = gpt_json_field(facts, "training");
	const GptJson *clean = gpt_json_field(facts, "clean");
	Pairs pairs = {list, 0};
	double seconds = gpt_report_number(training, "seconds");
	double parameters = gpt_report_number(facts, "parameters");

	add(&pairs, "Task", gpt_report_text(facts, "task"));
	add(&pairs, "Labels", labels_of(facts));
	add(&pairs, "Architecture", gpt_report_text(facts, "architecture"));
	if (!isnan(parameters))
		add(&pairs, "Parameters", gpt_report_count(parameters));
	add_count(&pairs, "Context", gpt_report_number(facts, "context"), "tokens");
	add(&pairs, "Tokenizer", tokenizer_of(facts));
	add(&pairs, "Size", gpt_report_size(gpt_report_number(facts, "size")));
	add(&pairs, "Computes with", gpt_report_text(facts, "image_type"));
	add(&pairs, "Base", gpt_report_text(facts, "base"));
	add(&pairs, "Owner", gpt_report_text(facts, "owner"));
	add(&pairs, "Published by", gpt_report_text(facts, "published_by"));
	add(&pairs, "Published", gpt_report_text(facts, "created_at"));
	add(&pairs, "State", gpt_report_text(facts, "state"));
	add_count(&pairs, "Job", gpt_report_number(facts, "job"), "");
	add_count(&pairs, "Steps", gpt_report_number(training, "step"), "");
	if (!isnan(seconds))
		add(&pairs, "Trained for", gpt_report_seconds(seconds));
	if (clean != NULL)
		add(&pairs, "Texts are cleaned", gpt_report_json(clean));
	add(&pairs, "Note of the job", gpt_report_text(training, "note"));
	return pairs.n;
}

/* The largest shares of an object, as "Latin 98.1 %, Cyrillic 1.9 %". */
static const char *
shares_of(const GptJson *object)
{
	StringInfoData text;
	double last = INFINITY;
	const GptJson *last_field = NULL;

	if (object == NULL || object->type != GPT_JSON_OBJECT || object->first == NULL)
		return NULL;
	initStringInfo(&text);
	for (int n = 0; n < MOST_SHARES; n++)
	{
		const GptJson *best = NULL;
		double best_share = -1;
		bool is_after = false;

		for (const GptJson *field = object->first; field != NULL; field = field->next)
		{
			double share = field->type == GPT_JSON_NUMBER ? strtod(field->text, NULL) : -1;

			if ((share < last || (share == last && is_after)) && share > best_share)
			{
				best = field;
				best_share = share;
			}
			is_after |= field == last_field;
		}
		if (best == NULL)
			break;
		appendStringInfo(&text, "%s%s %s", n > 0 ? ", " : "", best->name,
						 gpt_report_share(best_share));
		last = best_share;
		last_field = best;
	}
	return text.data;
}

/* All numbers of an object, as "null 3, empty 2". */
static const char *
counts_of(const GptJson *object)
{
	StringInfoData text;

	if (object == NULL || object->type != GPT_JSON_OBJECT)
		return NULL;
	initStringInfo(&text);
	for (const GptJson *field = object->first; field != NULL; field = field->next)
	{
		if (field->type != GPT_JSON_NUMBER)
			continue;
		appendStringInfo(&text, "%s%s %s", text.len > 0 ? ", " : "", field->name,
						 gpt_report_count(strtod(field->text, NULL)));
	}
	return text.len > 0 ? text.data : NULL;
}

/* The texts of an array, as "east, west". */
static const char *
names_of(const GptJson *array)
{
	StringInfoData text;

	if (array == NULL || array->type != GPT_JSON_ARRAY)
		return NULL;
	initStringInfo(&text);
	for (const GptJson *name = array->first; name != NULL; name = name->next)
	{
		if (gpt_json_string(name) != NULL)
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", gpt_json_string(name));
	}
	return text.data;
}

/* Of servers with rows of their own, as "here 400, east 300". */
static const char *
servers_of(const GptJson *array)
{
	StringInfoData text;

	if (array == NULL || array->type != GPT_JSON_ARRAY)
		return NULL;
	initStringInfo(&text);
	for (const GptJson *server = array->first; server != NULL; server = server->next)
	{
		const char *name = gpt_report_text(server, "server");

		appendStringInfo(&text, "%s%s %s", text.len > 0 ? ", " : "", name != NULL ? name : "here",
						 gpt_report_count(gpt_report_number(server, "documents")));
	}
	return text.data;
}

static void
add_length(Pairs *pairs, const GptJson *report, const char *unit, const char *name)
{
	const GptJson *length = gpt_json_field(gpt_json_field(report, "length"), unit);
	double median = gpt_report_number(length, "p50");
	double high = gpt_report_number(length, "p95");
	double low = gpt_report_number(length, "p5");

	if (!isnan(median))
		add(pairs, name,
			psprintf("median %s, 90 %% from %s to %s", gpt_report_count(median),
					 gpt_report_count(low), gpt_report_count(high)));
}

static void
add_traits(Pairs *pairs, const GptJson *report)
{
	static const char *const traits[][2] = {{"html", "With HTML"},
											{"urls", "With URLs"},
											{"emails", "With e-mail addresses"},
											{"control_characters", "With control characters"}};

	for (int i = 0; i < lengthof(traits); i++)
	{
		double share = gpt_report_number(report, traits[i][0]);

		if (share > 0)
			add(pairs, traits[i][1], psprintf("%s of documents", gpt_report_share(share)));
	}
}

/* The rarest and the most frequent label, and the numbers of a regression. */
static void
add_targets(Pairs *pairs, const GptJson *report)
{
	static const char *const names[][2] = {{"most_frequent", "Most frequent label"},
										   {"rarest", "Rarest label"}};
	const GptJson *numbers = gpt_json_field(report, "numbers");

	for (int i = 0; i < lengthof(names); i++)
	{
		const GptJson *label = gpt_json_field(gpt_json_field(report, "labels"), names[i][0]);
		const char *name = gpt_report_text(label, "label");

		if (name != NULL)
			add(pairs, names[i][1],
				psprintf("%s, %s rows", name, gpt_report_count(gpt_report_number(label, "rows"))));
	}
	if (numbers != NULL)
		add(pairs, "Numbers",
			psprintf("%s to %s, mean %s", gpt_report_value(gpt_report_number(numbers, "smallest")),
					 gpt_report_value(gpt_report_number(numbers, "largest")),
					 gpt_report_value(gpt_report_number(numbers, "mean"))));
}

int
gpt_report_data_pairs(GptReportPair *list, const GptJson *facts)
{
	const GptJson *report = gpt_json_field(facts, "report");
	const GptJson *held_out = gpt_json_field(report, "validation");
	double bytes = gpt_report_number(report, "bytes");
	Pairs pairs = {list, 0};

	add(&pairs, "Trained with servers",
		names_of(gpt_json_field(gpt_json_field(facts, "options"), "servers")));
	add(&pairs, "Documents of each server", servers_of(gpt_json_field(report, "servers")));
	add_count(&pairs, "Rows of the query", gpt_report_number(report, "rows"), "");
	add(&pairs, "Rows skipped", counts_of(gpt_json_field(report, "skipped")));
	add_count(&pairs, "Documents", gpt_report_number(report, "documents"), "");
	add(&pairs, "Duplicates", counts_of(gpt_json_field(report, "duplicates")));
	if (!isnan(bytes))
		add(&pairs, "Text", gpt_report_size(bytes));
	add_count(&pairs, "Tokens", gpt_report_number(report, "tokens"), "");
	add_length(&pairs, report, "bytes", "Length in bytes");
	add_length(&pairs, report, "tokens", "Length in tokens");
	add_count(&pairs, "Held out for validation", gpt_report_number(held_out, "rows"), "rows");
	add_count(&pairs, "Validation rows that are trained on", gpt_report_number(held_out, "leaked"),
			  "");
	add_targets(&pairs, report);
	add(&pairs, "Scripts", shares_of(gpt_json_field(report, "scripts")));
	add(&pairs, "Languages", shares_of(gpt_json_field(report, "languages")));
	add_traits(&pairs, report);
	add(&pairs, "Cleaned", counts_of(gpt_json_field(report, "cleaned")));
	return pairs.n;
}

/* ---- Metrics ------------------------------------------------------------ */

static const char *const metric_words[][3] = {
	{"accuracy", "Accuracy", "Share of rows whose label the model gives."},
	{"macro_f1", "Macro F1", "Mean of the F1 of all labels, each counted alike."},
	{"micro_f1", "Micro F1", "F1 of all labels of all rows together."},
	{"rmse", "Root mean square error", "In the unit of the numbers."},
	{"mae", "Mean absolute error", "In the unit of the numbers."},
	{"r2", "R\302\262", "Share of the variance that the model explains."},
	{"preference_accuracy", "Preference accuracy",
	 "Share of pairs whose better answer the model prefers."},
	{"reward_margin", "Reward margin", "Mean difference of the two answers' rewards."},
	{"token_accuracy", "Token accuracy", "Share of tokens that are the most probable ones."},
	{"recall_at_1", "Recall at 1", "Share of queries whose text is found first."},
	{"recall_at_10", "Recall at 10", "Share of queries whose text is among the first ten."},
	{"mean_reciprocal_rank", "Mean reciprocal rank", "Mean of 1 / the rank of a query's text."},
	{"perplexity", "Perplexity", "exp of the loss: among how many tokens the model hesitates."},
	{"bits_per_byte", "Bits per byte", "Comparable between tokenizers."},
	{"loss", "Loss", "Nats per token, or per row of a classifier."},
	{"exact_match", "Exact match", "Share of completions that are equal to those of the rows."},
	{"rouge_l", "ROUGE-L", NULL},
	{"bleu", "BLEU", NULL},
	{"chrf", "chrF", NULL},
};

static int
rank_of(const char *name)
{
	int rank = 0;

	while (rank < lengthof(metric_words) && strcmp(metric_words[rank][0], name) != 0)
		rank++;
	return rank;
}

const char *
gpt_report_metric_title(const char *name)
{
	int rank = rank_of(name);

	return rank < lengthof(metric_words) ? metric_words[rank][1] : name;
}

static int
compare_metrics(const void *a, const void *b)
{
	const GptReportMetric *x = a;
	const GptReportMetric *y = b;
	int difference = rank_of(x->name) - rank_of(y->name);

	return difference != 0 ? difference : strcmp(x->name, y->name);
}

int
gpt_report_metrics(GptReportMetric *metrics, const GptJson *evaluation, int most)
{
	const GptJson *object = gpt_json_field(evaluation, "metrics");
	int n = 0;

	if (object == NULL || object->type != GPT_JSON_OBJECT)
		return 0;
	for (const GptJson *field = object->first; field != NULL && n < most; field = field->next)
	{
		GptReportMetric *metric = &metrics[n];

		metric->name = field->name;
		metric->value = gpt_report_number(field, "value");
		metric->low = gpt_report_number(field, "low");
		metric->high = gpt_report_number(field, "high");
		metric->rows = gpt_report_number(field, "rows");
		metric->title = gpt_report_metric_title(metric->name);
		metric->meaning = rank_of(metric->name) < lengthof(metric_words)
							  ? metric_words[rank_of(metric->name)][2]
							  : NULL;
		if (!isnan(metric->value))
			n++;
	}
	qsort(metrics, n, sizeof(GptReportMetric), compare_metrics);
	return n;
}

/* ---- What is missing ---------------------------------------------------- */

const char *
gpt_report_why_no_query(const GptJson *facts)
{
	if (isnan(gpt_report_number(facts, "job")))
		return "This version was not trained by a job of this database.";
	if (!gpt_report_true(facts, "is_member"))
		return psprintf("The query is shown only to members of the owner, %s.",
						gpt_report_text(facts, "owner"));
	return "The query was not kept by the release that trained this version.";
}

const char *
gpt_report_why_no_log(const GptJson *facts)
{
	if (isnan(gpt_report_number(facts, "job")))
		return "This version was not trained by a job of this database, so it has no curve.";
	if (gpt_json_field(facts, "training") != NULL)
		return psprintf("Job %s has written no losses.", gpt_report_text(facts, "job"));
	return psprintf("The log of job %s is shown only to members of the job's owner, and goes with "
					"gpt_forget_jobs.",
					gpt_report_text(facts, "job"));
}

const char *
gpt_report_why_no_evaluation(const GptJson *facts)
{
	switch (gpt_report_kind(facts))
	{
		case GPT_REPORT_CHAT:
		case GPT_REPORT_PREFERENCE:
		case GPT_REPORT_RETRIEVAL:
			return "A job keeps no metrics with intervals for this task. gpt_report measures the "
				   "rows of option \"query\".";
		case GPT_REPORT_TEXT:
		case GPT_REPORT_COMPLETION:
		case GPT_REPORT_LABELS:
		case GPT_REPORT_NUMBER:
			break;
	}
	return "This version keeps no measurements of held-out rows. gpt_report measures the rows of "
		   "option \"query\".";
}
