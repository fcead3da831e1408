/*
 * src/corpus/tokenizer_sample.c
 *
 * A spool and a share go in, documents come out. Rows are drawn as those of a replay are: of a text
 * that is in six of ten rows six of ten, and the same ones in whatever order the rows are stored.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "core/compat.h"
#include "core/settings.h"
#include "corpus/tokenizer_sample.h"

/* bytes of text that a tokenizer is trained on */
#define SAMPLE_SIZE ((int64) 256 * 1024 * 1024)

/* of the documents; if this still needs too much memory, the job fails */
#define SMALLEST_SHARE 1e-6
#define LARGEST_LEAST ((int64) 1 << 40) /* count */

/* A tokenizer is made of all texts, unless it is only a part of a job's work. */
double
gpt_tokenizer_sample_share(const GptTrainOptions *options, GptSpool *spool)
{
	int64 bytes = gpt_spool_bytes(spool, GPT_SIDE_TRAIN);

	return options->makes_tokenizer ? 1 : (double) SAMPLE_SIZE / (double) Max(bytes, 1);
}

GptTokenizerSample
gpt_tokenizer_sample_begin(GptSpool *spool, double share, GptProgress *progress)
{
	GptTokenizerSample sample = {spool};
	GptDocument document;

	gpt_spool_rewind(spool);
	if (share >= 1)
		return sample;
	sample.drawn = gpt_replay_create(0);
	while (gpt_spool_next(&document, spool))
	{
		gpt_progress_tick(progress);
		if (document.side == GPT_SIDE_TRAIN && document.part == 0 && !document.is_prompt &&
			!document.is_pair)
			gpt_replay_count(sample.drawn, document.hash[1]);
	}
	gpt_replay_choose(sample.drawn, (int64) ceil(share * (double) sample.drawn->counts->n_rows));
	gpt_spool_rewind(spool);
	return sample;
}

void
gpt_tokenizer_sample_end(GptTokenizerSample *sample)
{
	if (sample->drawn != NULL)
		gpt_replay_free(sample->drawn);
}

/* The texts of a row are drawn together. */
static bool
is_drawn(GptTokenizerSample *sample, const GptDocument *document)
{
	if (!sample->in_row && document->part == 0)
		sample->row_is_drawn =
			document->side == GPT_SIDE_TRAIN &&
			(sample->drawn == NULL || gpt_replay_draw(sample->drawn, document->hash[1]));
	sample->in_row = document->is_prompt || document->is_pair;
	return sample->row_is_drawn;
}

bool
gpt_tokenizer_sample_next(GptDocument *document, GptTokenizerSample *sample, GptProgress *progress)
{
	while (gpt_spool_next(document, sample->spool))
	{
		gpt_progress_tick(progress);
		if (is_drawn(sample, document))
		{
			/*
			 * The beginning of a very long document is enough; it ends at the end of a character.
			 */
			if (document->size > SAMPLE_SIZE)
				document->size = pg_encoding_mbcliplen(PG_UTF8, document->text,
													   (int) document->size, SAMPLE_SIZE);
			return true;
		}
	}
	return false;
}

pg_noreturn static void
raise_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("training a tokenizer needs more memory than half of "
						   "gpt.max_memory, " INT64_FORMAT " MB",
						   gpt_settings_max_memory() / 2 / 1024 / 1024),
					errhint("Raise gpt.max_memory, or use the tokenizer \"bytes\".")));
}

void
gpt_tokenizer_sample_check(double share)
{
	if (share < SMALLEST_SHARE)
		raise_memory();
}

void
gpt_tokenizer_leave_out(int64 *least)
{
	*least = Max(2, 2 * *least);
	if (*least > LARGEST_LEAST)
		raise_memory();
}

void
gpt_tokenizer_sample_check_vocabulary(const GptTrainOptions *options,
									  const GptTokenizerChoice *choice, int reached)
{
	if (reached >= choice->vocabulary || options->vocabulary == GPT_CHOSEN)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("vocabulary of %d tokens is larger than the documents can support, which is %d",
					choice->vocabulary, reached),
			 errhint("Set option \"vocabulary\" to %d or less, or leave it out%s.", reached,
					 options->makes_tokenizer && choice->min_count > 2
						 ? ", or learn rarer pairs with a smaller \"min_count\""
						 : "")));
}

void
gpt_tokenizer_sample_phase(const GptTrainOptions *options, GptProgress *progress, const char *phase)
{
	if (options->makes_tokenizer)
		gpt_progress_phase(progress, phase);
}
