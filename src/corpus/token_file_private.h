/*
 * src/corpus/token_file_private.h
 *
 * The writer of a token file: its parts, and what both of its files use.
 */
#ifndef GPT_TOKEN_FILE_PRIVATE_H
#define GPT_TOKEN_FILE_PRIVATE_H

#include "storage/buffile.h"
#include "utils/tuplesort.h"

#include "corpus/encoder.h"
#include "corpus/lengths.h"
#include "corpus/token_file.h"

#define GPT_TOKEN_BUFFER (256 * 1024)

/* The record of a document (or a part of one), in the order of the file. */
typedef struct GptDocumentShape
{
	uint64 n_ids;
	uint64 n_bytes; /* of its text, without the prompt's */
	uint32 n_prompt; /* its first predictions, which are not counted */
	float weight;
	uint32 label;
} GptDocumentShape;

typedef struct GptTokenWriter
{
	const GptTokenFileOptions *options;
	GptProgress *progress;
	GptEncoder *encoder;
	int32 end; /* id of end of text, or -1 */
	int group; /* parts of a row */
	StringInfoData record; /* SortKey, shapes and ids of the current row */
	bool in_document; /* its prompt is in the record already */
	GptDocumentShape shape; /* of the current part ... */
	int shape_at; /* ... whose place in the record is here */
	int64 n_row_ids; /* of its text */
	Tuplesortstate *sort; /* NULL: the query's order is kept */
	File file;
	off_t offset; /* of the buffer's first byte in the file */
	char *buffer;
	size_t used;
	char *read; /* of a masked file, a buffer to read ids again */
	BufFile *shapes; /* of each document, in the order of the file */
	int64 n_rows[GPT_N_SIDES];
	uint64 n_ids[GPT_N_SIDES];
	uint64 n_bytes[GPT_N_SIDES];
	int64 n_unpredicted; /* rows without a window */
	int64 n_cut; /* rows of several parts that lose ids beyond the context */
	GptLengths lengths; /* of training documents */
	LmDatasetHeader header;
} GptTokenWriter;

/* Appends bytes at the end of the file through the writer's buffer; _flush empties the buffer. */
extern void gpt_token_writer_append(GptTokenWriter *writer, const void *data, size_t size);
extern void gpt_token_writer_flush(GptTokenWriter *writer);

/*
 * src/corpus/token_windows.c: appends the table of windows after the tokens, and counts them in the
 * header.
 */
extern void gpt_token_writer_windows(GptTokenWriter *writer, int context);

#endif /* GPT_TOKEN_FILE_PRIVATE_H */
