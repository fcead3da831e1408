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

typedef struct GptTokenFileOptions
{
	const pg_uuid_t *run_id;
	LmDocuments documents;
	bool keep_order; /* of the query; otherwise by the hash of (text, seed) */
	uint64 seed;
	int n_threads;
	int context; /* 0: chosen from the lengths of the documents */
} GptTokenFileOptions;

/*
 * Encodes every document of the spool into the file, on n_threads threads; returns the context, and
 * how many documents have no token that is predicted. Needs memory for one document, some megabytes
 * a thread and a sort of bounded size, which goes to temporary files. Outside of transactions.
 */
extern int gpt_token_file_write(int64 *unpredicted, const GptTokenFileOptions *options,
								GptSpool *spool, LmTokenizer *tokenizer, GptProgress *progress);

/*
 * Maps the file and checks it; the caller sets the dataset's other fields before and unmaps after
 * use.
 */
extern void gpt_token_file_open(LmDataset *dataset, const pg_uuid_t *run_id);
extern void gpt_token_file_close(LmDataset *dataset);

/* Whether there is one; that of an earlier version's form counts as none. */
extern bool gpt_token_file_exists(const pg_uuid_t *run_id);

#endif /* GPT_TOKEN_FILE_H */
