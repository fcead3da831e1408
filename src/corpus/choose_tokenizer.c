/*
 * src/corpus/choose_tokenizer.c
 *
 * Options and a spool go in, the kind of tokenizer and the size of its vocabulary come out, with
 * the reason. docs/benchmarks.md has the measurements that the rule follows.
 */
#include "postgres.h"

#include <math.h>

#include "core/words.h"
#include "corpus/choose_tokenizer.h"

#define SHORT_ROW 32 /* bytes of a text, and ... */
#define SHORT_PROMPTED_ROW 64 /* ... of a prompt with its completion, ... */
/* ... which this share of rows does not exceed; measured in docs/benchmarks.md */
#define SHORT_SHARE 0.95
#define SMALLEST_VOCABULARY 512
#define LARGEST_VOCABULARY 32768
#define VOCABULARY_STEP 64

static GptTokenizerChoice follow_options(const GptTrainOptions *options, GptSpool *spool);
static bool rows_ask_for_bytes(const GptTrainOptions *options, GptSpool *spool,
							   GptProgress *progress);
static int vocabulary_of(const GptTrainOptions *options, GptSpool *spool);

GptTokenizerChoice
gpt_choose_tokenizer(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress)
{
	if (options->tokenizer != NULL || options->vocabulary != GPT_CHOSEN)
		return follow_options(options, spool);
	if (rows_ask_for_bytes(options, spool, progress))
		return (GptTokenizerChoice){
			LM_TOKENIZER_BYTES, 0,
			psprintf("nearly all rows have at most %d bytes",
					 gpt_spool_prompted(spool) ? SHORT_PROMPTED_ROW : SHORT_ROW)};
	return (GptTokenizerChoice){LM_TOKENIZER_BPE, vocabulary_of(options, spool),
								psprintf("the texts to learn have " INT64_FORMAT " bytes",
										 gpt_spool_bytes(spool, GPT_SIDE_TRAIN))};
}

static GptTokenizerChoice
follow_options(const GptTrainOptions *options, GptSpool *spool)
{
	GptTokenizerChoice choice = {LM_TOKENIZER_BPE, 0, NULL};
	const char *option = options->tokenizer != NULL ? "tokenizer" : "vocabulary";

	if (options->tokenizer != NULL)
		choice.kind =
			gpt_word_find(lm_tokenizer_kind_name, options->tokenizer, strlen(options->tokenizer));
	if (choice.kind == LM_TOKENIZER_BPE)
		choice.vocabulary = vocabulary_of(options, spool);
	choice.why = psprintf("option \"%s\" says so", option);
	return choice;
}

/*
 * Tokens of several bytes hide the letters and digits of which short rows are made: words are
 * reversed and numbers added byte by byte. In longer rows they shorten what has to be remembered. A
 * classifier's head counts runs of tokens, and wants words.
 */
static bool
rows_ask_for_bytes(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress)
{
	int64 n_rows = 0;
	int64 n_short = 0;
	size_t size = 0;
	bool prompted = false;
	GptDocument document;

	if (options->normalize != GPT_NORMALIZE_NONE || options->documents != LM_DOCUMENTS_PACKED ||
		gpt_spool_labels(spool) != NULL)
		return false;
	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		gpt_progress_tick(progress);
		if (document.side != GPT_SIDE_TRAIN)
			continue;
		size += document.size;
		prompted = prompted || document.is_prompt;
		if (document.is_prompt)
			continue;
		n_rows++;
		n_short += size <= (prompted ? SHORT_PROMPTED_ROW : SHORT_ROW);
		size = 0;
	}
	return n_rows > 0 && (double) n_short >= SHORT_SHARE * (double) n_rows;
}

static int
vocabulary_of(const GptTrainOptions *options, GptSpool *spool)
{
	double bytes = (double) gpt_spool_bytes(spool, GPT_SIDE_TRAIN);
	int64 root = (int64) rint(sqrt(bytes) / VOCABULARY_STEP) * VOCABULARY_STEP;

	if (options->vocabulary != GPT_CHOSEN)
		return (int) options->vocabulary;
	return (int) Max(SMALLEST_VOCABULARY, Min(LARGEST_VOCABULARY, root));
}
