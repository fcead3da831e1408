/*
 * src/corpus/bpe_options.c
 *
 * Options of a job go in, options of the trainer of BPE come out.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "corpus/bpe_options.h"
#include "store/tokenizer_split.h"

/* A text of these alone is meant as a name: as a regular expression it would match itself. */
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static const char *pattern_of(const char *split);

LmBpeOptions
gpt_bpe_options(const GptTrainOptions *options)
{
	return (LmBpeOptions){
		.pattern = options->split != NULL ? pattern_of(options->split) : NULL,
		.normalize_nfc = options->normalize == GPT_NORMALIZE_NFC,
		.normalize_nfkc = options->normalize == GPT_NORMALIZE_NFKC,
		.whole_characters = true,
	};
}

static const char *
pattern_of(const char *split)
{
	const char **patterns = gpt_tokenizer_split(split);

	if (patterns != NULL && patterns[1] == NULL)
		return patterns[0];
	if (patterns != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"split\" cannot be \"%s\" where a tokenizer is trained", split),
				 errdetail("It has several regular expressions, which follow one another."),
				 errhint("Choose another split, or give one regular expression.")));
	if (split[strspn(split, NAME_LETTERS)] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"split\" must be the name of a known split or a regular "
						"expression, not \"%s\"",
						split),
				 errhint("Known splits are gpt2, cl100k, llama3, qwen2, o200k and tekken.")));
	return split;
}

void
gpt_bpe_options_check(const GptTrainOptions *options)
{
	LmBpeOptions bpe = gpt_bpe_options(options);
	LmError error;
	LmBpeTrainer *trainer =
		lm_bpe_trainer_create(gpt_bridge_host(CurrentMemoryContext), &bpe, &error);

	if (trainer == NULL)
		ereport(ERROR, (errcode(gpt_bridge_sqlstate(error.code)),
						errmsg("option \"split\" is not accepted: %s", error.message)));
	lm_bpe_trainer_free(trainer);
}
