/*
 * src/sql/report_facts.h
 *
 * Facts about a version of a model, for gpt_report and gpt_model_card: a tree of JSON that all
 * writers read. They come from the views, as the caller, so they are what the caller may see.
 *
 *   {"model", "version", "current", "state", "task", "n_labels", "labels": [at most 200], "owner",
 *    "published_by", "created_at", "architecture", "parameters", "context", "vocabulary",
 *    "tokenizer", "tokenizer_kind", "image_type", "size", "base", "loss", "validation_loss",
 *    "validation_bits_per_byte", "clean", "query", "query_sha256", "options", "job",
 *    "is_member": whether the caller has the privileges of the owner,
 *    "training": {"kind", "documents", "bytes", "corpus_tokens", "step", "seconds", ...} of its
 *      job, null where that is gone or not the caller's,
 *    "log": [[step, loss, validation_loss, learning_rate, validation_metric], ...] of its job,
 *      thinned out; "metric": the name of the last,
 *    "measures": {name: last value} of its job's log,
 *    "report", "evaluation": as in gpt_versions,
 *    "versions": [{"version", "state", "current", "created_at", "task", "validation_loss",
 *      "published_by"}, ...] the newest first, at most 50; "n_versions",
 *    "made_at", "made_by": gpt's version}
 */
#ifndef GPT_REPORT_FACTS_H
#define GPT_REPORT_FACTS_H

#include "core/json_tree.h"
#include "store/catalog.h"

/*
 * The JSON text of the facts, palloc'd. The caller has checked that the current role may use the
 * version.
 */
extern char *gpt_report_facts(const GptVersion *version);

/* That text as a tree. */
extern const GptJson *gpt_report_parse(const char *json);

/* What the model is for, which decides the sections and the examples. */
typedef enum GptReportKind
{
	GPT_REPORT_TEXT, /* language modelling, or imported */
	GPT_REPORT_COMPLETION,
	GPT_REPORT_CHAT,
	GPT_REPORT_PREFERENCE,
	GPT_REPORT_RETRIEVAL,
	GPT_REPORT_LABELS,
	GPT_REPORT_NUMBER,
} GptReportKind;

extern GptReportKind gpt_report_kind(const GptJson *facts);
extern bool gpt_report_is_pair(const GptJson *facts);
extern bool gpt_report_is_multi_label(const GptJson *facts);

/* "name@version", palloc'd. */
extern const char *gpt_report_reference(const GptJson *facts);

/* A member as a number, NaN where it is none; as a text of a number or a string, or NULL. */
extern double gpt_report_number(const GptJson *object, const char *name);
extern const char *gpt_report_text(const GptJson *object, const char *name);
extern bool gpt_report_true(const GptJson *object, const char *name);

/* ---- src/sql/report_words.c ------------------------------------------------------ */

/* Numbers as people read them, palloc'd: 12,345; 1.2 MB; 3.5 million; 0.1234. */
extern const char *gpt_report_count(double number);
extern const char *gpt_report_size(double bytes);
extern const char *gpt_report_parameters(double number);
extern const char *gpt_report_value(double number);
extern const char *gpt_report_share(double share);
extern const char *gpt_report_seconds(double seconds);

/* A JSON value as one line of text, palloc'd. */
extern char *gpt_report_json(const GptJson *value);

/* A pair of a name and a text, NULL after the last. */
typedef struct GptReportPair
{
	const char *name;
	const char *value; /* not NULL */
} GptReportPair;

#define GPT_REPORT_PAIRS 40

/*
 * Fill pairs [GPT_REPORT_PAIRS] and return how many: what the model is, and what its rows were.
 * Unknown ones are left out.
 */
extern int gpt_report_model_pairs(GptReportPair *pairs, const GptJson *facts);
extern int gpt_report_data_pairs(GptReportPair *pairs, const GptJson *facts);

/* A metric of an evaluation. */
typedef struct GptReportMetric
{
	const char *name; /* as gpt_evaluate has it */
	const char *title;
	const char *meaning; /* a sentence, or NULL */
	double value;
	double low; /* NaN: no interval */
	double high;
	double rows; /* NaN: not known */
} GptReportMetric;

/* Fill metrics [most], the important ones first; return how many there are. */
extern int gpt_report_metrics(GptReportMetric *metrics, const GptJson *evaluation, int most);

/* What people call it; the name itself where that is not known. */
extern const char *gpt_report_metric_title(const char *name);

/* Why there is no query, log or evaluation: one sentence. */
extern const char *gpt_report_why_no_query(const GptJson *facts);
extern const char *gpt_report_why_no_log(const GptJson *facts);
extern const char *gpt_report_why_no_evaluation(const GptJson *facts);

/* ---- src/sql/report_usage.c ------------------------------------------------------ */

/* A use of the model: a sentence, and SQL with the model's name as a literal. */
typedef struct GptReportUse
{
	const char *sentence;
	const char *sql;
} GptReportUse;

#define GPT_REPORT_USES 4

extern int gpt_report_uses(GptReportUse *uses, const GptJson *facts);

/* A text as an SQL literal; with invisible characters as U&'...'. palloc'd. */
extern char *gpt_report_literal(const char *text);

/* ---- src/sql/card_markdown.c ----------------------------------------------------- */

/* The facts as Markdown, palloc'd. */
extern char *gpt_report_markdown(const GptJson *facts);

#endif /* GPT_REPORT_FACTS_H */
