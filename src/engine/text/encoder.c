/*
 * src/engine/text/encoder.c
 *
 * Many documents go in, their ids come out, on all threads. Each thread has a tokenizer of its own,
 * which shares the tables of the given one, and works in memory that was set aside for it: no
 * thread of the pool asks the host.
 *
 * A thread leaves a document undone that is too large for its memory, or in error. The caller then
 * encodes it alone, and gets the same error as without threads.
 */
#include <string.h>

#include "base/engine_private.h"
#include "base/region.h"
#include "engine/marked_text.h"
#include "text/array.h"

/* of address space; a quarter of it is used by the cache of words */
#define REGION_SIZE ((size_t) 8 << 20)
#define PIECE_SIZE 16384 /* bytes of text in a piece, at least */

/* Of one thread; the context of its tokenizer's host. */
typedef struct Worker
{
	LmEngine *engine;
	int thread;
	LmRegion region;
	LmTokenizer *tokenizer;
	LmTokens tokens;
} Worker;

struct LmEncoder
{
	LmEngine *engine;
	LmHost host;
	int n_workers;
	Worker *workers;
	void *memory; /* of all regions */
	LmEncoding *documents; /* of the run */
	int n_documents;
	int starts[LM_ENCODER_DOCUMENTS + 1]; /* first document of a piece */
};

static bool start_worker(Worker *worker, LmEncoder *encoder, const LmTokenizer *tokenizer,
						 int thread, LmError *error);
static void encode_piece(void *work, int piece, int thread);
static void encode_document(Worker *worker, LmEncoding *document);
static void *reallocate(void *context, void *pointer, size_t size);
static bool should_stop(void *context);

LmEncoder *
lm_encoder_create(LmEngine *engine, const LmTokenizer *tokenizer, const LmHost *host,
				  LmError *error)
{
	LmEncoder *encoder = lm_array_allocate(host, 1, sizeof *encoder, error);
	int n = lm_engine_threads(engine);

	if (!encoder)
		return NULL;
	encoder->engine = engine;
	encoder->host = *host;
	encoder->workers = lm_array_allocate(host, (size_t) n, sizeof *encoder->workers, error);
	encoder->memory = lm_allocate_unset(host, (size_t) n * REGION_SIZE);
	if (encoder->workers && !encoder->memory)
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d threads that encode", n);
	for (bool good = encoder->workers && encoder->memory; encoder->n_workers < n;
		 encoder->n_workers++)
	{
		good = good && start_worker(&encoder->workers[encoder->n_workers], encoder, tokenizer,
									encoder->n_workers, error);
		if (good)
			continue;
		lm_encoder_free(encoder);
		return NULL;
	}
	return encoder;
}

static bool
start_worker(Worker *worker, LmEncoder *encoder, const LmTokenizer *tokenizer, int thread,
			 LmError *error)
{
	LmHost host = {.reallocate = reallocate, .should_stop = should_stop, .context = worker};

	worker->engine = encoder->engine;
	worker->thread = thread;
	lm_region_init(&worker->region, (char *) encoder->memory + (size_t) thread * REGION_SIZE,
				   REGION_SIZE);
	worker->tokenizer = lm_tokenizer_fork(tokenizer, &host, error);
	return worker->tokenizer != NULL;
}

void
lm_encoder_free(LmEncoder *encoder)
{
	LmHost host;

	if (!encoder)
		return;
	host = encoder->host;
	/* All other memory of the threads is in their regions. */
	for (int i = 0; i < encoder->n_workers; i++)
		lm_tokenizer_free(encoder->workers[i].tokenizer);
	lm_free(&host, encoder->memory);
	lm_free(&host, encoder->workers);
	lm_free(&host, encoder);
}

void
lm_encoder_run(LmEncoder *encoder, LmEncoding *documents, int n_documents)
{
	int n_pieces = 0;
	size_t size = PIECE_SIZE;

	for (int i = 0; i < n_documents; i++)
	{
		documents[i].done = false;
		documents[i].count = 0;
		if (size >= PIECE_SIZE)
		{
			encoder->starts[n_pieces++] = i;
			size = 0;
		}
		size += documents[i].size;
	}
	encoder->starts[n_pieces] = n_documents;
	encoder->documents = documents;
	lm_engine_run(encoder->engine, encode_piece, encoder, n_pieces);
}

static void
encode_piece(void *work, int piece, int thread)
{
	LmEncoder *encoder = work;

	for (int i = encoder->starts[piece]; i < encoder->starts[piece + 1]; i++)
		encode_document(&encoder->workers[thread], &encoder->documents[i]);
}

/* Encodes one document; `done` stays false on an error or where its ids exceed the capacity. */
static void
encode_document(Worker *worker, LmEncoding *document)
{
	LmTokens *tokens = &worker->tokens;
	bool encoded;
	LmError error;

	tokens->count = 0;
	encoded = document->marked ? lm_marked_encode(worker->tokenizer, tokens, document->text,
												  document->size, document->flagged, &error)
							   : lm_tokenizer_encode_part(worker->tokenizer, tokens, document->text,
														  document->size, document->flags, &error);
	if (!encoded || tokens->count > document->capacity)
		return;
	if (tokens->count > 0)
		memcpy(document->ids, tokens->ids, tokens->count * sizeof *tokens->ids);
	document->count = tokens->count;
	document->done = true;
}

static void *
reallocate(void *context, void *pointer, size_t size)
{
	Worker *worker = context;

	return lm_region_reallocate(&worker->region, pointer, size);
}

/* Only the caller's thread asks the host; the others see the answer. */
static bool
should_stop(void *context)
{
	const Worker *worker = context;

	return worker->thread == 0 ? lm_pool_stopped(worker->engine->pool)
							   : lm_pool_stopping(worker->engine->pool);
}
