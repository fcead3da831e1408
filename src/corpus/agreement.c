/*
 * src/corpus/agreement.c
 *
 * The surveys of several servers go in, what all of them do alike comes out.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "corpus/agreement.h"

#define CODE_POINTS 0x110000

static void check_alike(const GptSurvey *first, const GptSurvey *other);
static GptTokenizerTexts sum_texts(GptSurvey *const *surveys, int n, const GptWordCounts *counts);
static GptWordCounts collect_words(GptSurvey *const *surveys, int n);
static void train_tokenizer(GptAgreement *agreement, const GptTrainOptions *options,
							GptSurvey *const *surveys, int n, GptWordCounts *counts,
							GptProgress *progress);
static void choose_context(GptAgreement *agreement, const GptTrainOptions *options,
						   GptSurvey *const *surveys, int n, const GptWordCounts *counts);
static void unite_labels(GptAgreement *agreement, const GptGivenTokenizer *given,
						 GptSurvey *const *surveys, int n);
static void unite_numbers(GptAgreement *agreement, const GptGivenTokenizer *given,
						  GptSurvey *const *surveys, int n);
static LmBytes common_ending(GptSurvey *const *surveys, int n);

GptAgreement *
gpt_agree_on(const GptTrainOptions *options, const GptGivenTokenizer *given, LmTokenizer *tokenizer,
			 GptSurvey *const *surveys, int n, GptProgress *progress)
{
	GptAgreement *agreement = palloc0(sizeof(GptAgreement));
	const GptSurvey *first = surveys[0];
	GptWordCounts counts;

	for (int i = 1; i < n; i++)
		check_alike(first, surveys[i]);
	counts = collect_words(surveys, n);
	agreement->prompt =
		gpt_prompt_form_of(options, given, first->task, first->marked, common_ending(surveys, n));
	unite_labels(agreement, given, surveys, n);
	unite_numbers(agreement, given, surveys, n);
	agreement->tokenizer = tokenizer;
	if (tokenizer == NULL)
		train_tokenizer(agreement, options, surveys, n, &counts, progress);
	choose_context(agreement, options, surveys, n, &counts);
	agreement->json = gpt_agreement_to_json(agreement, surveys, n, counts.least);
	return agreement;
}

/* What a user wrote differently, or versions of the extension. */
static void
check_alike(const GptSurvey *first, const GptSurvey *other)
{
	const char *what = NULL;

	if (first->task != other->task)
		what =
			psprintf("one's are for %s, the other's for %s", first->task->name, other->task->name);
	else if (first->marked != other->marked)
		what = "only one has conversations";
	else if (first->sets != other->sets)
		what = "only one has sets of labels";
	else if (first->normalize != other->normalize || strcmp(first->split, other->split) != 0)
		what = "their texts are split into words in different ways";
	else if (first->has_words != other->has_words)
		what = "only one has counted words";
	if (what != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("rows of servers \"%s\" and \"%s\" cannot train one model",
							   first->server, other->server),
						errdetail("Of these, %s.", what),
						errhint("The query must have the same columns on all servers.")));
}

/* ---- Tokenizer ---------------------------------------------------------- */

static GptWordCounts
collect_words(GptSurvey *const *surveys, int n)
{
	GptWordPart *parts = palloc0(n * sizeof(GptWordPart));

	for (int i = 0; i < n; i++)
	{
		const GptSurvey *survey = surveys[i];

		parts[i].server = survey->server;
		parts[i].words = survey->words.table;
		parts[i].characters = survey->characters.table;
		parts[i].weight = survey->counted_bytes > 0
							  ? (double) survey->texts.bytes / (double) survey->counted_bytes
							  : 1;
	}
	return (GptWordCounts){n, parts, 0};
}

static int64
count_different(const GptWordCounts *counts)
{
	GptWordWalk walk = {.counts = counts, .of_characters = true};
	uint8 *seen = palloc0(CODE_POINTS / 8);
	int64 n;
	int64 count;
	LmBytes word;

	while (gpt_word_walk_next(&word, &count, &walk))
	{
		pg_wchar code = utf8_to_unicode((const unsigned char *) word.data);

		if (code < CODE_POINTS)
			seen[code / 8] |= (uint8) (1 << code % 8);
	}
	n = (int64) pg_popcount((const char *) seen, CODE_POINTS / 8);
	pfree(seen);
	return n;
}

static GptTokenizerTexts
sum_texts(GptSurvey *const *surveys, int n, const GptWordCounts *counts)
{
	GptTokenizerTexts sum = {.task = surveys[0]->task};

	for (int i = 0; i < n; i++)
	{
		sum.bytes += surveys[i]->texts.bytes;
		sum.rows += surveys[i]->texts.rows;
		sum.short_rows += surveys[i]->texts.short_rows;
		sum.characters += surveys[i]->texts.characters;
		sum.lacks_characters |= surveys[i]->characters.n_rare > 0 ||
								surveys[i]->counted_bytes < surveys[i]->texts.bytes;
	}
	sum.different_characters = count_different(counts);
	return sum;
}

/* Characters that have stayed on their server become bytes, which some tokenizers do not have. */
static void
train_tokenizer(GptAgreement *agreement, const GptTrainOptions *options, GptSurvey *const *surveys,
				int n, GptWordCounts *counts, GptProgress *progress)
{
	GptTokenizerTexts texts = sum_texts(surveys, n, counts);
	GptCorpus corpus = {.prompt = agreement->prompt, .task = surveys[0]->task};
	GptTokenizerChoice choice = gpt_choose_tokenizer_of(options, &texts);

	if (choice.kind == LM_TOKENIZER_CHARS && texts.lacks_characters)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a tokenizer of characters needs all characters of all servers"),
				 errdetail("Some are too rare on their server to leave it."),
				 errhint("Use the tokenizer \"bpe\", which writes them as bytes, or set option "
						 "\"word_floor\" to 1.")));
	gpt_corpus_special(&choice, options, &corpus);
	agreement->tokenizer = gpt_corpus_tokenizer(options, &choice, NULL, counts, progress);
	agreement->why_tokenizer = choice.why;
}

/* ---- Context ------------------------------------------------------------ */

/* Bytes of a token, in the words or in the samples that the servers have encoded. */
static double
measure_tokens(const GptAgreement *agreement, GptSurvey *const *surveys, int n,
			   const GptWordCounts *counts)
{
	double bytes = 0;
	double tokens = 0;

	if (surveys[0]->has_words)
		tokens = gpt_word_counts_tokens(&bytes, agreement->tokenizer, counts);
	for (int i = 0; i < n && !surveys[0]->has_words; i++)
	{
		/* A server counts by its bytes, not by those of its sample. */
		double weight =
			(double) surveys[i]->texts.bytes / (double) Max(surveys[i]->counted_bytes, 1);

		bytes += weight * (double) surveys[i]->counted_bytes;
		tokens += weight * (double) surveys[i]->counted_tokens;
	}
	return tokens > 0 && bytes > tokens ? bytes / tokens : 1;
}

static void
choose_context(GptAgreement *agreement, const GptTrainOptions *options, GptSurvey *const *surveys,
			   int n, const GptWordCounts *counts)
{
	GptLengthsBySize *lengths;

	if (options->context != GPT_CHOSEN || options->documents == LM_DOCUMENTS_JOINED)
		return;
	lengths = palloc0(sizeof(GptLengthsBySize));
	for (int i = 0; i < n; i++)
	{
		for (int size = 0; size < GPT_SIZE_COUNTS; size++)
		{
			lengths->n[size] += surveys[i]->lengths.n[size];
			lengths->bytes[size] += surveys[i]->lengths.bytes[size];
		}
	}
	agreement->context =
		gpt_lengths_by_size_context(lengths, measure_tokens(agreement, surveys, n, counts),
									options->is_finetune, surveys[0]->task->prompted);
	pfree(lengths);
}

/* ---- Labels, numbers, prompts ------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Those of the base keep their numbers. */
static void
unite_labels(GptAgreement *agreement, const GptGivenTokenizer *given, GptSurvey *const *surveys,
			 int n)
{
	int n_given = given != NULL && surveys[0]->task->labelled ? given->n_labels : 0;
	int n_all = n_given;
	int n_kept;
	char **names;
	char **base = NULL;

	if (!surveys[0]->task->labelled)
		return;
	for (int i = 0; i < n; i++)
		n_all += surveys[i]->n_labels;
	names = palloc0(Max(n_all, 1) * sizeof(char *));
	base = palloc0(Max(n_given, 1) * sizeof(char *));
	for (int i = 0; i < n_given; i++)
		names[i] = base[i] = given->labels[i];
	qsort(base, n_given, sizeof(char *), compare_names);
	n_all = n_given;
	for (int i = 0; i < n; i++)
		for (int k = 0; k < surveys[i]->n_labels; k++)
		{
			char *name = surveys[i]->labels[k].name;

			if (bsearch(&name, base, n_given, sizeof(char *), compare_names) == NULL)
				names[n_all++] = name;
		}
	CHECK_FOR_INTERRUPTS();
	qsort(names + n_given, n_all - n_given, sizeof(char *), compare_names);
	n_kept = n_given;
	for (int i = n_given; i < n_all; i++)
		if (i == n_given || strcmp(names[i], names[i - 1]) != 0)
			names[n_kept++] = names[i];
	if (n_kept < 2 && !(surveys[0]->sets && n_kept > 0))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("rows of all servers have fewer than two labels"),
						errdetail("A classifier needs at least two.")));
	if (n_kept > LM_MAX_LABELS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("rows of all servers have more than %d different labels", LM_MAX_LABELS)));
	pfree(base);
	agreement->labels = names;
	agreement->n_labels = n_kept;
}

static void
unite_numbers(GptAgreement *agreement, const GptGivenTokenizer *given, GptSurvey *const *surveys,
			  int n)
{
	GptMoments moments = surveys[0]->moments;

	if (!surveys[0]->task->measured)
		return;
	for (int i = 1; i < n; i++)
		gpt_moments_add(&moments, &surveys[i]->moments);
	agreement->numbers =
		given != NULL && given->numbers.scale > 0 ? given->numbers : gpt_moments_numbers(&moments);
}

/* The bytes in which the prompts of all servers end. */
static LmBytes
common_ending(GptSurvey *const *surveys, int n)
{
	LmBytes ending = surveys[0]->ending;
	size_t size = ending.size;

	for (int i = 1; i < n; i++)
	{
		LmBytes other = surveys[i]->ending;
		size_t same = 0;

		while (same < size && same < other.size &&
			   ending.data[ending.size - same - 1] == other.data[other.size - same - 1])
			same++;
		size = same;
	}
	return (LmBytes){ending.data + ending.size - size, size};
}
