/*
 * include/corpus/token_documents.h
 *
 * The documents of a token file, one by one: their tokens, and which of them are a prompt's.
 */
#ifndef GPT_TOKEN_DOCUMENTS_H
#define GPT_TOKEN_DOCUMENTS_H

#include "corpus/spool.h"
#include "engine/batch.h"
#include "engine/tokenizer.h"

#define GPT_DOCUMENT_IDS (256 * 1024) /* longer ones are left out */

/* A document; its arrays live until the next one is read. */
typedef struct GptTokenDocument
{
	/*
	 * without the ends around it: the prompt (or the first text of a pair, with the end between
	 * both), then the text
	 */
	const int32 *ids; /* [n_ids] */
	size_t n_ids;
	size_t n_context; /* of the prompt, or of the first text without that end */
	size_t text_at; /* where the text begins: at n_context, or after that end */
	bool is_whole; /* false: its beginning did not fit the context */
	uint32 label; /* as LmWindow has it */
} GptTokenDocument;

/* A walk over documents of one side. */
typedef struct GptTokenDocuments
{
	const LmDataset *dataset;
	int32 end; /* id of end of text, or -1 */
	uint64 first; /* windows of the side; of a stream its ids */
	uint64 n;
	uint64 next; /* beyond the last document */
	uint64 step; /* documents begin at so far apart, at least */
	uint64 at; /* the place from which the next one is looked for */
	int32 *ids;
	size_t capacity;
} GptTokenDocuments;

/*
 * Whether the file has documents that can be read one by one: not conversations, and not groups of
 * texts that are compared.
 */
extern bool gpt_token_documents_exist(const LmDataset *dataset, const LmTokenizer *tokenizer);

/*
 * _begin starts at the first document of the side; at most about `most` documents are read, evenly
 * spread over the side. _next reads one into the current memory context's buffer; false after the
 * last. The order of a file is that of hashes, unless the query's was kept.
 */
extern void gpt_token_documents_begin(GptTokenDocuments *documents, const LmDataset *dataset,
									  const LmTokenizer *tokenizer, GptSide side, int64 most);
extern bool gpt_token_documents_next(GptTokenDocument *document, GptTokenDocuments *documents);

#endif /* GPT_TOKEN_DOCUMENTS_H */
