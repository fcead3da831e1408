/*
 * src/corpus/choose_tokenizer.c
 *
 * Options and a spool go in, the kind of tokenizer and the size of its vocabulary come out, with
 * the reason. For texts without prompts and labels:
 *
 *   short rows                    bytes
 *   many characters, each rare    characters
 *   all others                    BPE, with the pairs that are frequent enough to be learnt
 *
 * Prompts and labels have their own rules. docs/benchmarks.md has the measurements.
 */
#include "postgres.h"

#include <math.h>

#include "core/bridge.h"
#include "core/words.h"
#include "corpus/choose_tokenizer.h"

#define SHORT_ROW 32 /* bytes of a text, and ... */
#define SHORT_PROMPTED_ROW 64 /* ... of a prompt with its completion, ... */
#define SHORT_SHARE 0.95 /* ... which this share of rows does not exceed */
/*
 * Where the texts have so many different characters, and each occurs less often on average, a
 * character is a word, and pairs of them are too rare to be learnt.
 */
#define MANY_CHARACTERS 1000
#define RARE_CHARACTER 64
#define ASSIGNED_CHARACTERS 160000 /* in Unicode 16, rounded up */
/*
 * A token has to occur so often to be learnt. With 3 the model of Japanese manuals loses 2 %, with
 * 8 that of short stories.
 */
#define FREQUENT 5
/* Tokens that shorten the texts by less hide the digits of numbers: of JSON, mostly. */
#define LEAST_GAIN 0.07
#define LEAST_COUNT 3 /* where the options or the number of bytes give the size */
/* a vocabulary larger than these takes more time than shorter texts save */
#define LARGEST_SMALL_VOCABULARY 8192 /* up to 64 MB of text; √bytes beyond, up to ... */
#define LARGEST_VOCABULARY 32768
#define SMALLEST_VOCABULARY 512
/*
 * Bytes of text for a token that is no character, at least: each occurs some 50 times on average.
 * In less text, more tokens make worse models of what was not seen before.
 */
#define BYTES_FOR_TOKEN 170
#define VOCABULARY_STEP 64

static GptTokenizerChoice choose_by_texts(const GptTrainOptions *options,
										  const GptTokenizerTexts *texts);
static GptTokenizerChoice choose_bpe(const GptTrainOptions *options, const GptTokenizerTexts *texts,
									 int64 characters);
static LmTokenizerKind kind_of(const GptTrainOptions *options);
static int64 least_count(const GptTrainOptions *options, int64 otherwise);
static bool needs_texts(const GptTrainOptions *options, const GptTask *task);
static bool may_be_rare(const GptTokenizerTexts *texts);
static void read_texts(GptTokenizerTexts *texts, GptSpool *spool, GptProgress *progress);
static int64 count_different(LmCharsTrainer *trainer);

GptTokenizerChoice
gpt_choose_tokenizer(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress)
{
	GptTokenizerTexts texts = {.task = gpt_spool_task(spool),
							   .bytes = gpt_spool_bytes(spool, GPT_SIDE_TRAIN)};

	if (needs_texts(options, texts.task))
		read_texts(&texts, spool, progress);
	return gpt_choose_tokenizer_of(options, &texts);
}

GptTokenizerChoice
gpt_choose_tokenizer_of(const GptTrainOptions *options, const GptTokenizerTexts *texts)
{
	GptTokenizerChoice choice;

	if (options->vocabulary != GPT_CHOSEN)
		return (GptTokenizerChoice){options->tokenizer != NULL ? kind_of(options)
															   : LM_TOKENIZER_BPE,
									(int) options->vocabulary, least_count(options, LEAST_COUNT), 0,
									pstrdup("option \"vocabulary\" says so")};
	if (options->tokenizer == NULL)
		return choose_by_texts(options, texts);
	choice = choose_bpe(options, texts, 0);
	choice.kind = kind_of(options);
	if (choice.kind != LM_TOKENIZER_BPE)
		choice.why =
			psprintf("option \"%s\" says so", options->makes_tokenizer ? "kind" : "tokenizer");
	return choice;
}

/* The kind that option "tokenizer", or "kind", names. */
static LmTokenizerKind
kind_of(const GptTrainOptions *options)
{
	return (LmTokenizerKind) gpt_word_find(lm_tokenizer_kind_name, options->tokenizer,
										   strlen(options->tokenizer));
}

GptTokenizerChoice
gpt_choice_of_sample(const GptTokenizerChoice *choice, double share)
{
	GptTokenizerChoice of_sample = *choice;

	if (share < 1 && choice->min_count > LEAST_COUNT)
		of_sample.min_count = Max(LEAST_COUNT, (int64) rint(share * (double) choice->min_count));
	return of_sample;
}

/* Whether whole texts are judged, of which a head reads words, rather than written. */
static bool
wants_words(const GptTask *task)
{
	return task->labelled || task->measured || gpt_task_group(task) > 1;
}

/* Whether the choice depends on more than the bytes of the texts. */
static bool
needs_texts(const GptTrainOptions *options, const GptTask *task)
{
	return options->vocabulary == GPT_CHOSEN && options->tokenizer == NULL &&
		   options->normalize == GPT_NORMALIZE_NONE && !wants_words(task);
}

/* The rule of many characters cannot hold for more bytes: a character has 4 at most. */
static bool
may_be_rare(const GptTokenizerTexts *texts)
{
	return !texts->task->prompted && texts->bytes / 4 < RARE_CHARACTER * ASSIGNED_CHARACTERS;
}

bool
gpt_tokenizer_row_is_short(const GptTask *task, size_t size)
{
	return size <= (task->prompted ? SHORT_PROMPTED_ROW : SHORT_ROW);
}

/*
 * Tokens of several bytes hide the letters and digits of which short rows are made: words are
 * reversed and numbers added byte by byte. In longer rows they shorten what has to be remembered. A
 * classifier's head counts runs of tokens, and wants words.
 */
static GptTokenizerChoice
choose_by_texts(const GptTrainOptions *options, const GptTokenizerTexts *texts)
{
	int64 characters = may_be_rare(texts) ? texts->characters : 0;
	int64 different = may_be_rare(texts) ? texts->different_characters : 0;

	if (!needs_texts(options, texts->task))
		return choose_bpe(options, texts, 0);
	if (options->documents == LM_DOCUMENTS_PACKED && texts->rows > 0 &&
		(double) texts->short_rows >= SHORT_SHARE * (double) texts->rows)
		return (GptTokenizerChoice){
			LM_TOKENIZER_BYTES, 0, 0, 0,
			psprintf("nearly all rows have at most %d bytes",
					 texts->task->prompted ? SHORT_PROMPTED_ROW : SHORT_ROW)};
	if (different >= MANY_CHARACTERS && characters < RARE_CHARACTER * different &&
		!texts->lacks_characters)
		return (GptTokenizerChoice){LM_TOKENIZER_CHARS, 0, 0, 0,
									psprintf("the texts have " INT64_FORMAT
											 " different characters, and each occurs "
											 "only " INT64_FORMAT " times on average",
											 different, characters / different)};
	return choose_bpe(options, texts, different);
}

/*
 * Of labelled texts the size follows from the bytes, of all others from the pairs, within a limit
 * by the bytes. characters: different ones; 0: not known, and texts without prompts have no such
 * limit.
 */
static GptTokenizerChoice
choose_bpe(const GptTrainOptions *options, const GptTokenizerTexts *texts, int64 characters)
{
	int64 bytes = texts->bytes;
	int root = (int) Min(LARGEST_VOCABULARY,
						 rint(sqrt((double) bytes) / VOCABULARY_STEP) * VOCABULARY_STEP);
	int64 min_count;
	int largest;

	if (wants_words(texts->task))
		return (GptTokenizerChoice){
			LM_TOKENIZER_BPE, Max(SMALLEST_VOCABULARY, root), LEAST_COUNT, 0,
			psprintf("the texts to learn have " INT64_FORMAT " bytes", bytes)};
	min_count = least_count(options, FREQUENT);
	largest = Max(LARGEST_SMALL_VOCABULARY, root);
	if (texts->task->prompted || characters > 0)
		largest = (int) Min(largest, characters + bytes / BYTES_FOR_TOKEN);
	return (GptTokenizerChoice){LM_TOKENIZER_BPE, Max(SMALLEST_VOCABULARY, largest), min_count,
								LEAST_GAIN,
								psprintf("its tokens occur at least " INT64_FORMAT
										 " times in the texts and shorten them enough",
										 min_count)};
}

static int64
least_count(const GptTrainOptions *options, int64 otherwise)
{
	return options->min_count != GPT_CHOSEN ? options->min_count : otherwise;
}

int64
gpt_tokenizer_characters(const char *text, size_t size)
{
	int64 n = 0;

	/* All bytes but those that continue a character. */
	for (size_t i = 0; i < size; i++)
		n += (text[i] & 0xC0) != 0x80;
	return n;
}

/* Reads the training side. Characters are counted only where they can matter. */
static void
read_texts(GptTokenizerTexts *texts, GptSpool *spool, GptProgress *progress)
{
	LmCharsTrainer *trainer = NULL;
	size_t size = 0;
	GptDocument document;
	LmError error;

	if (may_be_rare(texts) &&
		(trainer = lm_chars_trainer_create(gpt_bridge_host(CurrentMemoryContext), &error)) == NULL)
		gpt_bridge_raise(&error);
	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		gpt_progress_tick(progress);
		if (document.side != GPT_SIDE_TRAIN)
			continue;
		size += document.size;
		/* Adding a text twice changes nothing. */
		while (trainer != NULL &&
			   !lm_chars_trainer_add(trainer, document.text, document.size, &error))
			gpt_bridge_retry_row(&error, document.query, document.row);
		if (trainer != NULL)
			texts->characters += gpt_tokenizer_characters(document.text, document.size);
		if (document.is_prompt || document.is_pair)
			continue;
		texts->rows++;
		texts->short_rows += gpt_tokenizer_row_is_short(texts->task, size);
		size = 0;
	}
	if (trainer != NULL)
		texts->different_characters = count_different(trainer);
}

/* Frees the trainer. */
static int64
count_different(LmCharsTrainer *trainer)
{
	const LmTokenizerSpec *spec;
	LmError error;
	int64 n;

	while ((spec = lm_chars_trainer_finish(trainer, &error)) == NULL)
		gpt_bridge_retry(&error);
	n = spec->n_tokens - 2; /* without those of unknown characters and of the end */
	lm_chars_trainer_free(trainer);
	return n;
}
