/*
 * src/corpus/corpus_part.c
 *
 * The corpus of a server that is one of several: its query goes in, a spool comes out; later an
 * agreement goes in, and a token file comes out.
 */
#include "postgres.h"

#include "core/settings.h"
#include "corpus/agreement.h"
#include "corpus/token_file.h"
#include "store/model_extras.h"

GptSpool *
gpt_corpus_part_read(const char *query, const GptTrainOptions *options,
					 const GptGivenTokenizer *given, bool normalize_nfc)
{
	GptSpoolOptions spool_options = gpt_corpus_spool_options(query, options);
	GptSpool *spool;

	spool_options.is_part = true;
	gpt_corpus_spool_given(&spool_options, options, given);
	spool_options.normalize_nfc = normalize_nfc;
	spool = gpt_spool_read(&spool_options);
	gpt_cleaner_free(spool_options.cleaner);
	return spool;
}

File
gpt_corpus_part_write(GptJobCorpus *counts, const GptTrainOptions *options,
					  const GptAgreement *agreement, GptSpool *spool, LmTokenizer *tokenizer,
					  GptProgress *progress)
{
	GptTokenFileOptions file = gpt_token_file_options(options);
	GptPromptForm prompt = agreement->prompt;
	GptSizes *sizes = palloc0(sizeof(GptSizes));
	int64 unpredicted;

	gpt_spool_agree(spool, agreement->labels, agreement->n_labels, agreement->numbers);
	gpt_prompt_form_fit(&prompt, tokenizer);
	file.prompt = gpt_prompt_form_template(&prompt);
	file.sizes = sizes;
	file.keep = true;
	if (agreement->context > 0)
		file.context = agreement->context;
	(void) gpt_token_file_write(&unpredicted, &file, spool, tokenizer, progress);
	*counts = (GptJobCorpus){
		.documents = gpt_spool_documents(spool) - unpredicted,
		.skipped = gpt_spool_skipped(spool) + unpredicted,
		.bytes =
			gpt_spool_bytes(spool, GPT_SIDE_TRAIN) + gpt_spool_bytes(spool, GPT_SIDE_VALIDATION),
		.tokens = sizes->sum,
		.held_out = gpt_spool_side_documents(spool, GPT_SIDE_VALIDATION),
	};
	pfree(sizes);
	return file.file;
}
