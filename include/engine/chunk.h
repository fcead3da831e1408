/*
 * include/engine/chunk.h
 *
 * A long text in, chunks of at most some number of tokens out, for embeddings, search and prompts.
 *
 *   text       |------------------------------------------------------------|
 *   chunk 1    |------------------|
 *   chunk 2                    |-------------------|
 *                              overlap
 *
 * A chunk ends where a paragraph (an empty line) ends, else a sentence, else where a line may be
 * broken, else a grapheme: the last such place in the second half of what it could add to the text.
 * The overlap begins where a sentence begins in its first half, else where a line may begin. A
 * chunk is text by itself: its tokens are those that a tokenizer makes of it alone.
 *
 * Time is linear in the text for a given size and overlap, memory does not grow with it.
 */
#ifndef LM_CHUNK_H
#define LM_CHUNK_H

#include "engine/tokenizer.h"

#define LM_MAX_CHUNK (1 << 20) /* tokens */

/* How a text is cut. */
typedef struct LmChunkOptions
{
	int size; /* tokens of a chunk, at most, 1 to LM_MAX_CHUNK */
	int overlap; /* tokens that it has from the chunk before, at most; less than size */
} LmChunkOptions;

/* Bytes start .. end - 1 of the text. */
typedef struct LmChunk
{
	size_t start;
	size_t end;
	int n_tokens; /* of these bytes alone: size at most, but for one character that has more */
} LmChunk;

typedef struct LmChunker LmChunker;

/* NULL with LM_ERR_LIBRARY or LM_ERR_MEMORY. Not for two threads at once. */
LmChunker *lm_chunker_create(const LmHost *host, LmError *error);
void lm_chunker_free(LmChunker *chunker);

/* Begins with a text of valid UTF-8; it and the tokenizer must stay until the last chunk. */
void lm_chunker_start(LmChunker *chunker, LmTokenizer *tokenizer, const LmChunkOptions *options,
					  const char *text, size_t size);

/*
 * The next chunk. Each ends after the one before, and begins no later than that ends, so that the
 * chunks without what they repeat are the text. At the text's end chunk->end is chunk->start.
 * Errors of lm_tokenizer_encode.
 */
bool lm_chunker_next(LmChunker *chunker, LmChunk *chunk, LmError *error);

#endif /* LM_CHUNK_H */
