/*
 * include/corpus/corpus.h
 *
 * From the rows of a query to a mapped token file and its tokenizer.
 */
#ifndef GPT_CORPUS_H
#define GPT_CORPUS_H

#include "core/options.h"
#include "corpus/choose_tokenizer.h"
#include "corpus/prompt_form.h"
#include "corpus/spool.h"
#include "corpus/word_counts.h"
#include "engine/batch.h"
#include "engine/tokenizer.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/progress.h"

/* The texts of a job, encoded: the open token file, its tokenizer, and facts about its rows. */
typedef struct GptCorpus
{
	GptJobCorpus counts;
	LmTokenizer *tokenizer;
	/* why this kind and size; NULL if it was given, and after gpt_corpus_open */
	const char *why_tokenizer;
	bool tokenizer_is_stored;
	/* if it is stored; otherwise the job stores it together with the model */
	uint8 tokenizer_hash[GPT_SHA256_SIZE];
	LmDataset dataset; /* shuffle, documents, context and seed are set */
	uint32 file_crc; /* CRC-32C of the token file */
	/* rows have prompts; false after gpt_corpus_open: the plan exists already and needs it no more
	 */
	bool prompted;
	bool has_validation;
	const GptTask *task; /* of the rows; NULL after gpt_corpus_open, as prompted is false */
	GptCleanCounts cleaned; /* by option "clean"; zero where the token file was there already */
	GptPromptForm prompt; /* how prompts are written */
	const char *extras; /* of the version to make (store/model_extras.h), or NULL */
	const char *search; /* statistics of the base (engine/search.h), or NULL */
	size_t search_size;
	char *note; /* on its rows, for the job's note; NULL: none */
	/* about its rows; NULL after gpt_corpus_open: the job's row has them already */
	struct GptFacts *facts;
	char watermark_column[NAMEDATALEN]; /* empty: there is none */
	/* the largest value among the rows that were read; empty: none had one */
	char watermark[GPT_WATERMARK_SIZE + 1];
} GptCorpus;

/* The part of a corpus that a checkpoint keeps besides its tokenizer: plain bytes. */
typedef struct GptCorpusRecord
{
	GptJobCorpus counts;
	uint64 file_size; /* of the token file ... */
	uint32 file_crc; /* ... and its CRC-32C */
	int32 context;
	int32 documents; /* LmDocuments */
	uint64 seed;
	bool shuffle;
	bool tokenizer_is_stored;
	uint8 tokenizer_hash[GPT_SHA256_SIZE];
	GptPromptForm prompt;
	char watermark_column[NAMEDATALEN];
	char watermark[GPT_WATERMARK_SIZE + 1];
} GptCorpusRecord;

/* The tokenizer (and labels) of a base model, or of a run that is continued. */
typedef struct GptGivenTokenizer
{
	const LmTokenizerSpec *spec;
	bool stored;
	uint8 sha256[GPT_SHA256_SIZE]; /* if it is stored */
	char **labels; /* of a base that is a classifier, or NULL */
	int n_labels;
	bool multi_label;
	bool prompted; /* the base was trained on prompts */
	bool pair; /* the base judges pairs of texts */
	GptNumbers numbers; /* of a base that is a model of numbers; else its scale is 0 */
	const char *extras; /* of the base (store/model_extras.h), or NULL */
	const char *search; /* statistics of the base (engine/search.h), or NULL */
	size_t search_size;
} GptGivenTokenizer;

/*
 * Reads the job's rows in one read-only transaction, as the current role, and writes the token
 * file. Uses the given tokenizer; NULL: trains or loads the one that the options name. since: reads
 * only rows whose watermark is greater; NULL: reads all. Returns NULL if there are no rows beyond
 * since. The corpus lives in the current memory context. Outside of transactions.
 */
extern GptCorpus *gpt_corpus_create(const GptJob *job, const GptTrainOptions *options,
									const GptGivenTokenizer *given, const char *since,
									GptProgress *progress);

struct GptAgreement;

/* The other servers of a training over several. */
typedef struct GptTogether
{
	/* sends the survey of this server's rows, waits for the others', and agrees (agreement.h) */
	const struct GptAgreement *(*agree)(void *context, const bytea *survey, LmTokenizer *tokenizer);
	void *context;
	int64 word_floor;
} GptTogether;

/*
 * The same of rows that are a part of those of several servers, which agree on what all of them do
 * alike. `agree` is called outside of transactions; tokenizer: that of the base, or a stored one,
 * or NULL.
 */
extern GptCorpus *gpt_corpus_create_together(const GptJob *job, const GptTrainOptions *options,
											 const GptGivenTokenizer *given, const char *since,
											 const GptTogether *together, GptProgress *progress);

/*
 * The options of a spool that follow from those of a training; those of its base are left out,
 * which _given adds, if there is one.
 */
extern GptSpoolOptions gpt_corpus_spool_options(const char *query, const GptTrainOptions *options);
extern void gpt_corpus_spool_given(GptSpoolOptions *spool_options, const GptTrainOptions *options,
								   const GptGivenTokenizer *given);

/*
 * The chat template of conversations, as JSON text: the option's, or else in gpt_train a default;
 * NULL: the base's. _template reads it, or the base's; NULL: there is none. _special adds the
 * special tokens that prompts and conversations need to a tokenizer that the job makes.
 */
extern const char *gpt_corpus_chat(const GptTrainOptions *options);
extern const struct GptChatTemplate *gpt_corpus_chat_template(const GptTrainOptions *options,
															  const GptGivenTokenizer *given);
extern void gpt_corpus_special(GptTokenizerChoice *choice, const GptTrainOptions *options,
							   const GptCorpus *corpus);

/* Whether the corpus' tokenizer normalises texts, or, where there is none yet, will. */
extern bool gpt_corpus_normalizes(const GptCorpus *corpus, const GptTrainOptions *options);

/*
 * src/corpus/corpus_estimate.c: what gpt_corpus_create would make of the query, estimated in the
 * current transaction, under the active snapshot, as the current role. Rows, bytes and labels are
 * those of all rows. Of a large corpus the tokenizer, the context and the dataset are those of a
 * sample, which facts->sampled counts, while the numbers of tokens, header->train_tokens too, are
 * extrapolated. The corpus lives in the current memory context and needs no _free.
 */
extern GptCorpus *gpt_corpus_estimate(const char *query, const GptTrainOptions *options,
									  GptProgress *progress);

/*
 * The first part of that: runs the job's query and reads its rows, as the options say, in one
 * read-only transaction. Returns NULL if there are no rows beyond a watermark. The spool lives in
 * the current memory context. Outside of transactions.
 */
extern GptSpool *gpt_corpus_read(const GptJob *job, const GptSpoolOptions *options);

/*
 * Work that runs queries of the job's owner, in one read-only transaction under one snapshot, which
 * is rolled back; within gpt.read_timeout. The work is done in the current memory context. Outside
 * of transactions.
 */
extern void gpt_corpus_query(const GptJob *job, void (*work)(void *argument), void *argument);

/*
 * Opens the token file of a record. Returns NULL if the file does not exist; raises
 * ERRCODE_DATA_CORRUPTED if it has another size or checksum than the record. _record fills the
 * record of a corpus, _free unmaps the file.
 */
extern GptCorpus *gpt_corpus_open(const GptJob *job, const GptCorpusRecord *record,
								  const GptGivenTokenizer *given, GptProgress *progress);
extern void gpt_corpus_record(GptCorpusRecord *record, const GptCorpus *corpus);
extern void gpt_corpus_free(GptCorpus *corpus);

/*
 * src/corpus/corpus_member.c: of a member of a training over servers. _map maps a temporary file of
 * the server as a token file, checks all of it but its ids, and closes the file; *crc is its
 * CRC-32C. _unmap ends that. _receive makes the corpus of a record that another server has sent,
 * with its tokenizer, in the current memory context; the mapped dataset must outlive it. is_own:
 * the token file was made here, so its size and checksum are others. Raises ERRCODE_DATA_CORRUPTED
 * where they do not fit.
 */
extern void gpt_corpus_map(LmDataset *dataset, uint32 *crc, int file);
extern void gpt_corpus_unmap(LmDataset *dataset);
extern GptCorpus *gpt_corpus_receive(const LmDataset *dataset, uint32 crc, bool is_own,
									 const GptCorpusRecord *record, const LmTokenizerSpec *spec);

/*
 * src/corpus/corpus_tokenizer.c: the tokenizer of the options, in the current memory context.
 * _stored loads the one that they name, and fills sha256; NULL if they name none. The second one
 * trains the chosen kind of tokenizer on the rows, or takes a built-in one; spool NULL: on counted
 * words, of which the rarest are left out where all do not fit into half of gpt.max_memory, as
 * counts->least then says. _create makes a tokenizer from its description.
 */
extern LmTokenizer *gpt_corpus_tokenizer_stored(const GptTrainOptions *options, uint8 *sha256,
												bool *stored);
extern LmTokenizer *gpt_corpus_tokenizer(const GptTrainOptions *options,
										 const GptTokenizerChoice *choice, GptSpool *spool,
										 GptWordCounts *counts, GptProgress *progress);
extern LmTokenizer *gpt_corpus_tokenizer_create(const LmTokenizerSpec *spec);
/* The same of one that the job makes, as it was chosen. */
extern LmTokenizer *gpt_corpus_tokenizer_made(const LmTokenizerSpec *spec,
											  const GptTokenizerChoice *choice);

#endif /* GPT_CORPUS_H */
