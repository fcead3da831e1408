/*
 * src/corpus/encoder.c
 *
 * Documents go in one by one, their ids come out in the same order. They are collected until they
 * are worth a run of all threads; what a thread could not do is done again here, one document at a
 * time, with its errors.
 *
 *   texts   | document | document | ...    |    size bytes
 *   ids     | ids      | ids      | ...    |    an id for each byte, each document's where its
 *                                               text begins
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "corpus/encoder.h"
#include "engine/marked_text.h"

#define THREAD_SIZE (1024 * 1024) /* bytes of text for each thread ... */
#define LARGEST_SIZE (8 * 1024 * 1024) /* ... and at most */
#define THREAD_MEMORY (4 * 1024 * 1024) /* bytes that a thread uses, roughly */
#define MEMORY_SHARE 4 /* of gpt.max_memory: its fourth part */

struct GptEncoder
{
	LmTokenizer *tokenizer;
	LmPromptTemplate prompt; /* how prompts are written */
	GptEncoded receive;
	void *context;
	const LmHost *host;
	bool after_prompt; /* the next document completes a prompt */
	LmTokens tokens; /* of a document that is encoded alone */
	LmEngine *engine;
	LmEncoder *threads; /* NULL: every document is encoded alone */
	size_t size;
	size_t used;
	char *texts;
	int32 *ids;
	int n_documents;
	GptDocument *documents;
	LmEncoding *encodings;
};

static void start_threads(GptEncoder *encoder, int n_threads);
static void encode_alone(GptEncoder *encoder, const GptDocument *document, const LmEncoding *form);
static void encode_text(GptEncoder *encoder, const GptDocument *document,
						const LmEncoding *encoding);

GptEncoder *
gpt_encoder_create(LmTokenizer *tokenizer, const LmPromptTemplate *prompt, int n_threads,
				   GptEncoded receive, void *context)
{
	GptEncoder *encoder = palloc0(sizeof(GptEncoder));
	int64 size = Min((int64) n_threads * THREAD_SIZE, LARGEST_SIZE);

	encoder->tokenizer = tokenizer;
	encoder->prompt = *prompt;
	encoder->receive = receive;
	encoder->context = context;
	encoder->host = gpt_bridge_host(CurrentMemoryContext);
	encoder->size = (size_t) size;
	if (n_threads > 0 && (int64) n_threads * THREAD_MEMORY + size * (1 + (int64) sizeof(int32)) <=
							 (int64) gpt_settings_max_memory() / MEMORY_SHARE)
		start_threads(encoder, n_threads);
	return encoder;
}

/* Creates the engine's encoding threads and the buffers that collect documents for them. */
static void
start_threads(GptEncoder *encoder, int n_threads)
{
	LmError error;

	encoder->engine = gpt_bridge_training_engine(n_threads);
	encoder->threads =
		lm_encoder_create(encoder->engine, encoder->tokenizer, encoder->host, &error);
	if (encoder->threads == NULL)
		gpt_bridge_raise(&error);
	encoder->texts = palloc(encoder->size);
	encoder->ids = MemoryContextAllocHuge(CurrentMemoryContext, encoder->size * sizeof(int32));
	encoder->documents = palloc(LM_ENCODER_DOCUMENTS * sizeof(GptDocument));
	encoder->encodings = palloc(LM_ENCODER_DOCUMENTS * sizeof(LmEncoding));
}

void
gpt_encoder_free(GptEncoder *encoder)
{
	lm_encoder_free(encoder->threads);
	lm_tokens_free(encoder->host, &encoder->tokens);
	if (encoder->texts != NULL)
	{
		pfree(encoder->texts);
		pfree(encoder->ids);
		pfree(encoder->documents);
		pfree(encoder->encodings);
	}
	pfree(encoder);
}

/* Whether the document is a prompt that the template writes. */
static bool
is_written(const GptEncoder *encoder, const GptDocument *document)
{
	return document->is_prompt && lm_prompt_is_written(&encoder->prompt);
}

/* How a document is encoded, but for its text: a prompt in its template is a marked text. */
static LmEncoding
form_of(const GptEncoder *encoder, const GptDocument *document)
{
	bool written = is_written(encoder, document);

	return (LmEncoding){
		.size = written ? lm_prompt_size(&encoder->prompt, document->size) : document->size,
		.flags = encoder->after_prompt ? LM_ENCODE_INSIDE : 0,
		.marked = written || document->marked,
		.flagged = document->marked,
	};
}

/* Writes the text that is encoded, of form->size bytes. */
static void
write_text(char *place, const GptEncoder *encoder, const GptDocument *document,
		   const LmEncoding *form)
{
	if (is_written(encoder, document))
		lm_prompt_write(place, &encoder->prompt, (LmBytes){document->text, document->size});
	else
		memcpy(place, document->text, form->size);
}

void
gpt_encoder_add(GptEncoder *encoder, const GptDocument *document)
{
	LmEncoding form = form_of(encoder, document);
	char *place;

	encoder->after_prompt =
		document->is_prompt && (document->size > 0 || lm_prompt_is_written(&encoder->prompt));
	if (encoder->used + form.size > encoder->size || encoder->n_documents == LM_ENCODER_DOCUMENTS)
		gpt_encoder_flush(encoder);
	if (encoder->threads == NULL || form.size > encoder->size)
	{
		encode_alone(encoder, document, &form);
		return;
	}
	place = encoder->texts + encoder->used;
	write_text(place, encoder, document, &form);
	encoder->documents[encoder->n_documents] = *document;
	form.text = place;
	form.ids = encoder->ids + encoder->used;
	form.capacity = form.size;
	encoder->encodings[encoder->n_documents++] = form;
	encoder->used += form.size;
}

void
gpt_encoder_flush(GptEncoder *encoder)
{
	int n_documents = encoder->n_documents;

	encoder->n_documents = 0;
	encoder->used = 0;
	if (n_documents == 0)
		return;
	lm_engine_begin(encoder->engine);
	lm_encoder_run(encoder->threads, encoder->encodings, n_documents);
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n_documents; i++)
	{
		const LmEncoding *encoding = &encoder->encodings[i];
		GptDocument *document = &encoder->documents[i];

		document->text = encoding->text;
		if (encoding->done)
			encoder->receive(encoder->context, document, encoding->ids, encoding->count);
		else
			encode_text(encoder, document, encoding);
	}
}

/* Encodes one document in this thread: it is too large for the buffers, or there are no threads. */
static void
encode_alone(GptEncoder *encoder, const GptDocument *document, const LmEncoding *form)
{
	LmEncoding encoding = *form;
	char *written = NULL;

	encoding.text = document->text;
	if (is_written(encoder, document))
	{
		written = MemoryContextAllocHuge(CurrentMemoryContext, form->size);
		write_text(written, encoder, document, form);
		encoding.text = written;
	}
	encode_text(encoder, document, &encoding);
	if (written != NULL)
		pfree(written);
}

/* The same of a text as it is encoded. */
static void
encode_text(GptEncoder *encoder, const GptDocument *document, const LmEncoding *encoding)
{
	LmError error;

	/* Asked to stop for something that raises no error, it begins again. */
	for (;;)
	{
		encoder->tokens.count = 0;
		if (encoding->marked
				? lm_marked_encode(encoder->tokenizer, &encoder->tokens, encoding->text,
								   encoding->size, encoding->flagged, &error)
				: lm_tokenizer_encode_part(encoder->tokenizer, &encoder->tokens, encoding->text,
										   encoding->size, encoding->flags, &error))
			break;
		gpt_bridge_retry_row(&error, document->query, document->row);
	}
	encoder->receive(encoder->context, document, encoder->tokens.ids, encoder->tokens.count);
}
