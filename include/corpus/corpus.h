/*
 * include/corpus/corpus.h
 *
 * From the rows of a query to a mapped token file and its tokenizer.
 */
#ifndef GPT_CORPUS_H
#define GPT_CORPUS_H

#include "core/options.h"
#include "corpus/spool.h"
#include "engine/batch.h"
#include "engine/tokenizer.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/progress.h"

typedef struct GptCorpus
{
	GptJobCorpus counts;
	LmTokenizer *tokenizer;
	bool tokenizer_is_stored;
	/* where it is stored; otherwise it is stored with the model */
	uint8 tokenizer_hash[GPT_SHA256_SIZE];
	LmDataset dataset; /* shuffle, documents, context and seed are set */
	uint32 file_crc; /* CRC-32C of the token file */
	/*
	 * rows have prompts; not known of a corpus that was opened again, whose training is planned
	 * already
	 */
	bool prompted;
	bool has_validation;
	char *note; /* on its rows, for the job's; NULL: no remark */
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
	char watermark_column[NAMEDATALEN];
	char watermark[GPT_WATERMARK_SIZE + 1];
} GptCorpusRecord;

/* A tokenizer that is given: that of a base model, or of a run that is continued. */
typedef struct GptGivenTokenizer
{
	const LmTokenizerSpec *spec;
	bool stored;
	uint8 sha256[GPT_SHA256_SIZE]; /* where it is stored */
	char **labels; /* of a base that is a classifier, or NULL */
	int n_labels;
	bool multi_label;
} GptGivenTokenizer;

/*
 * Reads the job's rows in one read-only transaction, as the current role, then takes the tokenizer
 * that is given (NULL: trains or loads the one of the options) and writes the token file. The
 * corpus lives in the current memory context. since: only rows beyond it are read, or NULL; where
 * there are none, NULL comes back. Outside of transactions.
 */
extern GptCorpus *gpt_corpus_create(const GptJob *job, const GptTrainOptions *options,
									const GptGivenTokenizer *given, const char *since,
									GptProgress *progress);

/*
 * The corpus of a record: from the token file that is there, NULL where it is not.
 * ERRCODE_DATA_CORRUPTED where it is another one than the record's.
 */
extern GptCorpus *gpt_corpus_open(const GptJob *job, const GptCorpusRecord *record,
								  const GptGivenTokenizer *given, GptProgress *progress);
extern void gpt_corpus_record(GptCorpusRecord *record, const GptCorpus *corpus);
extern void gpt_corpus_free(GptCorpus *corpus);

/*
 * src/corpus/corpus_tokenizer.c: the tokenizer that the options ask for, in the current context:
 * the stored one that they name (NULL: they name none), or one that the rows decide.
 */
extern LmTokenizer *gpt_corpus_tokenizer_stored(const GptTrainOptions *options, uint8 *sha256,
												bool *stored);
extern LmTokenizer *gpt_corpus_tokenizer(const GptTrainOptions *options, GptSpool *spool,
										 GptProgress *progress);
extern LmTokenizer *gpt_corpus_tokenizer_create(const LmTokenizerSpec *spec);

#endif /* GPT_CORPUS_H */
