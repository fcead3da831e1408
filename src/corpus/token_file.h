/*
 * src/corpus/token_file.h
 *
 * The token file of a job, gpt/pgsql_tmp_<run id>.tokens in the data directory, in the form of
 * engine/batch.h. Written aside, synced and renamed: a file of that name is complete.
 */
#ifndef GPT_TOKEN_FILE_H
#define GPT_TOKEN_FILE_H

#include "core/options.h"
#include "corpus/sizes.h"
#include "corpus/spool.h"
#include "engine/batch.h"
#include "engine/prompt.h"
#include "engine/tokenizer.h"
#include "storage/fd.h"
#include "store/progress.h"
#include "utils/uuid.h"

/* How the documents become a file. */
typedef struct GptTokenFileOptions
{
	const pg_uuid_t *run_id; /* NULL: a temporary file of the current transaction */
	LmDocuments documents;
	bool keep_order; /* keeps the query's order; otherwise sorts by the hash of (text, seed) */
	uint64 seed;
	int n_threads; /* 0: encodes in the thread of the process */
	bool keep; /* that outlasts it, until FileClose */
	File file; /* in the end, where there is no run */
	int64 n_cut; /* in the end, rows of several parts that lose tokens beyond the context */
	int context; /* 0: chosen from the lengths of the documents */
	bool is_finetune; /* what is chosen may then be longer */
	LmPromptTemplate prompt; /* how prompts are written */
	bool by_turn; /* conversations: a window for each answer, whose prompt is all before it */
	GptSizes *sizes; /* counts the tokens of each document, without those at its ends; or NULL */
} GptTokenFileOptions;

/*
 * Encodes all documents of the spool into the run's file, on n_threads threads. Returns the
 * context, and in *unpredicted the number of documents too short to predict a token. Memory: one
 * document, some megabytes per thread, and a sort of bounded size that spills to temporary files.
 * Outside of transactions, unless there is no run.
 */
extern int gpt_token_file_write(int64 *unpredicted, GptTokenFileOptions *options, GptSpool *spool,
								LmTokenizer *tokenizer, GptProgress *progress);

/* Those that follow from the options of a training. */
extern GptTokenFileOptions gpt_token_file_options(const GptTrainOptions *options);

/* Reads a temporary file into the current memory context, and removes it; otherwise as _open. */
extern void gpt_token_file_load(LmDataset *dataset, File file);

/*
 * Maps the file and checks it. The caller sets the other fields of the dataset before, and calls
 * _close after use.
 */
extern void gpt_token_file_open(LmDataset *dataset, const pg_uuid_t *run_id);
extern void gpt_token_file_close(LmDataset *dataset);

/*
 * Maps a temporary file, whatever it holds, checks it as _open does, and closes it, so that nothing
 * of it stays when the process ends. The caller has flushed nothing: the server writes such files
 * at once.
 */
extern void gpt_token_file_take(LmDataset *dataset, File file);

/* Whether the run has a file; one in the form of an earlier version counts as none. */
extern bool gpt_token_file_exists(const pg_uuid_t *run_id);

#endif /* GPT_TOKEN_FILE_H */
