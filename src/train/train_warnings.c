/*
 * src/train/train_warnings.c
 *
 * Facts about the rows and the plan of a training go in; sentences about what looks wrong come out,
 * each with its number and with what to do. Below the limits here nothing is said: a report without
 * warnings is the normal one.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "corpus/facts.h"
#include "engine/params.h"
#include "train/train_report.h"

#define SKIPPED_SHARE 0.05
#define REPEATED_SHARE 0.02
#define OWN_LABEL_SHARE 0.5 /* of rows whose label no other row has, of at least ... */
#define OWN_LABEL_ROWS 10
#define LONGEST_SHARE 0.25 /* of all bytes, in one row of at least ... */
#define LONGEST_DOCUMENTS 10
#define MARKUP_SHARE 0.01
#define ADDRESS_SHARE 0.05
#define EMAIL_SHARE 0.005 /* a model can repeat an address that it has seen a few times */
#define CONTROL_SHARE 0.001
#define SCRIPT_SHARE 0.05
#define LANGUAGE_SHARE 0.1
#define CUT_SHARE 0.02 /* of documents of exactly the largest size; half of them not ended */
#define CUT_LENGTH 100 /* bytes that they have at least ... */
#define CUT_FACTOR 1.5 /* ... and times as many as half of the documents */
#define UNENDED_LEAST 0.1 /* of long documents: fewer are no pattern ... */
#define UNENDED_MOST 0.4 /* ... and where there are more, they have no sentences */
#define UNENDED_DOCUMENTS 50
#define LONGER_SHARE 0.1 /* of documents longer than the context */
#define PARAMETERS_PER_TOKEN 20.0 /* as in train_plan.c */
#define FEW_EPOCHS 1.0

typedef struct Warnings
{
	GptJsonWriter *json;
	const GptFacts *facts;
} Warnings;

static void warn_of_rows(const Warnings *warnings);
static void warn_of_repeats(const Warnings *warnings);
static void warn_of_labels(const Warnings *warnings);
static void warn_of_lengths(const Warnings *warnings);
static void warn_of_texts(const Warnings *warnings);
static void warn_of_mixture(const Warnings *warnings);
static void warn_of_plan(const Warnings *warnings, const GptCorpus *corpus,
						 const GptTrainPlan *plan, const GptTrainOptions *options);

void
gpt_report_warnings(GptJsonWriter *json, const GptCorpus *corpus, const GptTrainPlan *plan,
					const GptTrainOptions *options)
{
	Warnings warnings = {json, corpus->facts};

	gpt_json_begin_array(json, "warnings");
	warn_of_rows(&warnings);
	warn_of_repeats(&warnings);
	warn_of_labels(&warnings);
	warn_of_lengths(&warnings);
	warn_of_texts(&warnings);
	if (corpus->task == NULL || corpus->task->n_documents == 1)
		warn_of_mixture(&warnings);
	if (plan != NULL)
		warn_of_plan(&warnings, corpus, plan, options);
	gpt_json_end_array(json);
}

static void warn(const Warnings *warnings, const char *format, ...) pg_attribute_printf(2, 3);

static void
warn(const Warnings *warnings, const char *format, ...)
{
	char sentence[512];
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	gpt_json_put_text(warnings->json, NULL, pstrdup(sentence));
}

/* "12 %", "0.3 %"; what is not all is not 100 %. */
static char *
percent(double share)
{
	if (share < 0.0995)
		return psprintf("%.1f %%", 100 * share);
	return psprintf("%.0f %%", share < 1 ? Min(100 * share, 99) : 100);
}

static double
share_of(int64 n, int64 all)
{
	return all > 0 ? (double) n / (double) all : 0;
}

/* ---- Rows --------------------------------------------------------------- */

static void
warn_of_rows(const Warnings *warnings)
{
	const GptFacts *facts = warnings->facts;
	int64 skipped = facts->rows - facts->documents - facts->duplicates.dropped;
	double share = share_of(skipped, facts->rows);

	if (share >= SKIPPED_SHARE)
		warn(warnings,
			 "%s of the rows are skipped, for the reasons in \"skipped\": check the columns of the "
			 "query, or leave these rows out with WHERE",
			 percent(share));
}

static void
warn_of_repeats(const Warnings *warnings)
{
	const GptFacts *facts = warnings->facts;
	const GptDuplicates *duplicates = &facts->duplicates;
	int64 learnt = facts->documents + duplicates->dropped;
	double exact = share_of(duplicates->exact, learnt);
	double near = share_of(duplicates->near, learnt);

	if (duplicates->dropped == 0 && exact >= REPEATED_SHARE)
		warn(warnings,
			 "%s of the documents repeat another one, so the model learns those by heart: if they "
			 "are copies, set option \"dedup\" to \"exact\"",
			 percent(exact));
	if (duplicates->dropped <= duplicates->exact && near >= REPEATED_SHARE)
		warn(warnings,
			 "%s of the documents nearly repeat another one, so the model learns those by heart: "
			 "if they are copies, set option \"dedup\" to \"near\"",
			 percent(near));
	if (duplicates->leaked > 0)
		warn(warnings,
			 INT64_FORMAT " of " INT64_FORMAT " validation documents repeat ones that are trained "
						  "on, so the validation loss is lower than on new text: leave them out",
			 duplicates->leaked, facts->side_documents[GPT_SIDE_VALIDATION]);
}

/* ---- Labels ------------------------------------------------------------- */

static void
warn_of_labels(const Warnings *warnings)
{
	const GptTargets *targets = &warnings->facts->targets;
	int64 alone = targets->of_one_row;

	if (targets->n_rows >= OWN_LABEL_ROWS && share_of(alone, targets->n_rows) >= OWN_LABEL_SHARE)
		warn(warnings,
			 INT64_FORMAT " of " INT64_FORMAT " rows have a label that no other row has, and a "
						  "label is learnt from several rows: select the class of the text as "
						  "\"label\", or cast a quantity to double precision for regression",
			 alone, targets->n_rows);
	else if (alone > 0)
		warn(warnings,
			 "labels with a single row (" INT64_FORMAT " of " INT64_FORMAT
			 ", such as \"%.*s\") are hardly learnt: give them more rows, or join them to others",
			 alone, targets->n_labels,
			 pg_mbcliplen(targets->rarest.name, (int) strlen(targets->rarest.name), NAMEDATALEN),
			 targets->rarest.name);
}

/* ---- Lengths ------------------------------------------------------------ */

static void
warn_of_lengths(const Warnings *warnings)
{
	const GptFacts *facts = warnings->facts;
	const GptSizes *bytes = &facts->bytes;
	double longest = share_of(bytes->largest, bytes->sum);
	double cut = share_of(bytes->n_largest, bytes->n);
	double unended = share_of(facts->survey.unended, facts->survey.long_documents);

	if (longest >= LONGEST_SHARE && bytes->n >= LONGEST_DOCUMENTS)
		warn(warnings,
			 "row " UINT64_FORMAT " of %s has %s of the text, so the model learns it more than all "
			 "others: cut it into several rows, or leave it out",
			 facts->longest[0].number,
			 gpt_source_name(facts->longest[0].of_validation_query ? GPT_SOURCE_VALIDATION
																   : GPT_SOURCE_TRAIN),
			 percent(longest));
	if (cut >= CUT_SHARE && unended >= cut / 2 && bytes->largest >= CUT_LENGTH &&
		(double) bytes->largest >= CUT_FACTOR * (double) gpt_sizes_percentile(bytes, 0.5))
		warn(warnings,
			 "%s of the documents have " INT64_FORMAT " bytes like the longest one: if something "
			 "cut them there, the model learns to stop in the middle; select whole texts",
			 percent(cut), bytes->largest);
	else if (unended >= UNENDED_LEAST && unended <= UNENDED_MOST &&
			 facts->survey.long_documents >= UNENDED_DOCUMENTS)
		warn(warnings,
			 "%s of the longer documents do not end with the end of a sentence, while the others "
			 "do: if they are cut, select whole texts",
			 percent(unended));
}

/* ---- Texts -------------------------------------------------------------- */

static double
share_with(const Warnings *warnings, LmTrait trait)
{
	const GptFactsSurvey *survey = &warnings->facts->survey;

	return share_of(survey->traits[trait], survey->documents);
}

static void
warn_of_texts(const Warnings *warnings)
{
	double html = share_with(warnings, LM_TRAIT_HTML);
	double urls = share_with(warnings, LM_TRAIT_URL);
	double emails = share_with(warnings, LM_TRAIT_EMAIL);
	double control = share_with(warnings, LM_TRAIT_CONTROL);

	if (html >= MARKUP_SHARE)
		warn(warnings,
			 "%s of the documents have tags or character references of HTML, which the model would "
			 "learn to write: set option \"clean\" to true",
			 percent(html));
	if (emails >= EMAIL_SHARE)
		warn(warnings,
			 "%s of the documents have e-mail addresses, which the model can repeat: set option "
			 "\"clean\" to {\"emails\": true}",
			 percent(emails));
	if (urls >= ADDRESS_SHARE)
		warn(warnings,
			 "%s of the documents have URLs, which take many tokens and teach little: set option "
			 "\"clean\" to {\"urls\": true}",
			 percent(urls));
	if (control >= CONTROL_SHARE)
		warn(warnings,
			 "%s of the documents have control or zero-width characters: set option \"clean\" to "
			 "true",
			 percent(control));
}

/* ---- Mixtures ----------------------------------------------------------- */

/* Scripts that stand side by side in one language count together. */
static const char *
writing_of(int script)
{
	static const char *const together[] = {"Hiragana", "Katakana", "Bopomofo", "Hangul"};
	const char *name = lm_script_name(script);

	for (int i = 0; i < lengthof(together); i++)
	{
		if (strcmp(name, together[i]) == 0)
			return "Han";
	}
	return name;
}

typedef struct Parts
{
	char *list; /* "Han 40 %, Latin 60 %" */
	int n;
} Parts;

static void
add_part(Parts *parts, const char *name, double share)
{
	parts->list = parts->n++ == 0 ? psprintf("%s %s", name, percent(share))
								  : psprintf("%s, %s %s", parts->list, name, percent(share));
}

static Parts
scripts_of(const GptFactsSurvey *survey)
{
	Parts parts = {"", 0};
	int64 all = 0;
	int64 letters[LM_SCRIPTS] = {0};
	int han = 0;

	for (int i = 0; i < LM_SCRIPTS; i++)
	{
		all += survey->letters[i];
		if (survey->letters[i] == 0)
			continue;
		if (strcmp(writing_of(i), "Han") != 0)
			letters[i] = survey->letters[i];
		else if (han == 0)
			letters[han = i] = survey->letters[i];
		else
			letters[han] += survey->letters[i];
	}
	for (int i = 0; i < LM_SCRIPTS; i++)
	{
		if (share_of(letters[i], all) >= SCRIPT_SHARE)
			add_part(&parts, writing_of(i), share_of(letters[i], all));
	}
	return parts;
}

static Parts
languages_of(const GptFactsSurvey *survey)
{
	Parts parts = {"", 0};

	for (int i = 0; i < survey->n_languages; i++)
	{
		double share = share_of(survey->languages[i].n, survey->documents);

		if (survey->languages[i].name != NULL && share >= LANGUAGE_SHARE)
			add_part(&parts, survey->languages[i].name, share);
	}
	return parts;
}

/*
 * Texts in several languages are in several scripts, or in one. Two texts of a row may well differ
 * in that: one is the translation of the other.
 */
static void
warn_of_mixture(const Warnings *warnings)
{
	Parts scripts = scripts_of(&warnings->facts->survey);
	Parts languages = languages_of(&warnings->facts->survey);

	if (scripts.n > 1)
		warn(warnings,
			 "the letters belong to %d scripts (%s), which share the vocabulary and the model: "
			 "train a model for each, unless you want them together",
			 scripts.n, scripts.list);
	else if (languages.n > 1)
		warn(warnings,
			 "the documents are in %d languages (%s), which share the vocabulary and the model: "
			 "train a model for each, unless you want them together",
			 languages.n, languages.list);
}

/* ---- The plan ----------------------------------------------------------- */

static void
warn_of_plan(const Warnings *warnings, const GptCorpus *corpus, const GptTrainPlan *plan,
			 const GptTrainOptions *options)
{
	const GptFacts *facts = warnings->facts;
	double tokens = (double) corpus->dataset.header->train_tokens;
	double longer = gpt_sizes_above(&facts->tokens, plan->context);
	bool is_new = !options->is_finetune;
	LmConfig body = plan->config;
	size_t parameters;

	/* A text touches nearly none of the parameters of a classifier's head. */
	body.labels = 0;
	if (is_new && lm_param_total(&parameters, &body) &&
		(double) parameters > PARAMETERS_PER_TOKEN * tokens)
		warn(warnings,
			 "%.0f tokens are few for a model of %zu parameters, which will learn them by heart: "
			 "more rows help, more minutes do not; or fine-tune a model with gpt_finetune",
			 tokens, parameters);
	if (plan->total_time > 0 && plan->epochs < FEW_EPOCHS)
		warn(warnings,
			 "in %.3g minutes the training sees %s of the text: give more \"minutes\", or select "
			 "fewer rows",
			 (double) plan->total_time / USECS_PER_SEC / 60, percent(plan->epochs));
	if (longer >= LONGER_SHARE && facts->bytes.n > 1 &&
		corpus->dataset.documents == LM_DOCUMENTS_PACKED)
		warn(warnings,
			 "%s of the documents are longer than the context of %d tokens, so the model never "
			 "sees them whole: a larger \"context\" takes more memory and time",
			 percent(longer), plan->context);
	if (!corpus->has_validation)
		warn(warnings, "nothing is held out, so nobody sees when the model over-fits: leave some "
					   "rows to validation_fraction, validation_query or \"is_validation\"");
}
