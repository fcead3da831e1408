/*
 * src/corpus/token_file.h
 *
 * The token file of a job, gpt/pgsql_tmp_<run id>.tokens in the data directory, in the form of
 * engine/batch.h. Written aside, synced and renamed: a file of that name is complete.
 */
#ifndef GPT_TOKEN_FILE_H
#define GPT_TOKEN_FILE_H

#include "corpus/spool.h"
#include "engine/batch.h"
#include "engine/tokenizer.h"
#include "store/progress.h"
#include "utils/uuid.h"

/* How the documents become a file. */
typedef struct GptTokenFileOptions
{
	const pg_uuid_t *run_id;
	LmDocuments documents;
	bool keep_order; /* keeps the query's order; otherwise sorts by the hash of (text, seed) */
	uint64 seed;
	int n_threads;
	int context; /* 0: chosen from the lengths of the documents */
	bool is_finetune; /* what is chosen may then be longer */
} GptTokenFileOptions;

/*
 * Encodes all documents of the spool into the run's file, on n_threads threads. Returns the
 * context, and in *unpredicted the number of documents too short to predict a token. Memory: one
 * document, some megabytes per thread, and a sort of bounded size that spills to temporary files.
 * Outside of transactions.
 */
extern int gpt_token_file_write(int64 *unpredicted, const GptTokenFileOptions *options,
								GptSpool *spool, LmTokenizer *tokenizer, GptProgress *progress);

/*
 * Maps the file and checks it. The caller sets the other fields of the dataset before, and calls
 * _close after use.
 */
extern void gpt_token_file_open(LmDataset *dataset, const pg_uuid_t *run_id);
extern void gpt_token_file_close(LmDataset *dataset);

/* Whether the run has a file; one in the form of an earlier version counts as none. */
extern bool gpt_token_file_exists(const pg_uuid_t *run_id);

#endif /* GPT_TOKEN_FILE_H */
