/*
 * src/engine/serve/vocabulary.c
 *
 * The tokens of a session's model go in; those that may stand in a text come out in the order of
 * their bytes, with the characters that they can write.
 */
#include "serve/session.h"
#include "text/array.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

#define POLLED 4096
#define CODES 0x110000

static bool collect(LmVocabulary *vocabulary, LmSession *session, LmError *error);
static bool copy_bytes(LmVocabulary *vocabulary, const LmSession *session, LmError *error);
static bool find_longs(LmVocabulary *vocabulary, LmError *error);
static bool find_writable(LmVocabulary *vocabulary, LmError *error);

LmVocabulary *
lm_vocabulary_create(const LmHost *host, LmSession *session, LmError *error)
{
	LmVocabulary *vocabulary = lm_array_allocate(host, 1, sizeof *vocabulary, error);

	if (!vocabulary)
		return NULL;
	vocabulary->host = *host;
	vocabulary->V = session->config.vocabulary;
	lm_session_classify(session);
	if (collect(vocabulary, session, error) && copy_bytes(vocabulary, session, error) &&
		find_writable(vocabulary, error))
		return vocabulary;
	lm_vocabulary_free(vocabulary);
	return NULL;
}

void
lm_vocabulary_free(LmVocabulary *vocabulary)
{
	LmHost host;

	if (!vocabulary)
		return;
	host = vocabulary->host;
	lm_free(&host, vocabulary->ids);
	lm_free(&host, vocabulary->at);
	lm_free(&host, vocabulary->common);
	lm_free(&host, vocabulary->bytes);
	lm_free(&host, vocabulary->longs);
	lm_free(&host, vocabulary->writable);
	lm_free(&host, vocabulary);
}

size_t
lm_vocabulary_memory(const LmVocabulary *vocabulary)
{
	return vocabulary->size;
}

/* The ids of the tokens that may stand in a text, sorted. */
static bool
collect(LmVocabulary *vocabulary, LmSession *session, LmError *error)
{
	const LmHost *host = &vocabulary->host;
	size_t V = (size_t) vocabulary->V;

	vocabulary->ids = lm_array_allocate(host, V, sizeof(int32_t), error);
	vocabulary->common = lm_array_allocate(host, V, sizeof(uint16_t), error);
	vocabulary->at = lm_array_allocate(host, V + 1, sizeof(uint32_t), error);
	if (!vocabulary->ids || !vocabulary->common || !vocabulary->at)
		return false;
	for (int32_t id = 0; id < vocabulary->V; id++)
		if (session->classes[id] == LM_TOKEN_BEGINS || session->classes[id] == LM_TOKEN_CONTINUES)
			vocabulary->ids[vocabulary->n++] = id;
	vocabulary->size = sizeof *vocabulary + V * (2 * sizeof(int32_t) + sizeof(uint16_t));
	return lm_tokenizer_sort_ids(session->tokenizer, vocabulary->ids, vocabulary->n, error);
}

/* Copies their bytes, and compares each with the one before. */
static bool
copy_bytes(LmVocabulary *vocabulary, const LmSession *session, LmError *error)
{
	size_t size = 0;
	int byte = 0;

	for (int i = 0; i < vocabulary->n; i++)
		size += lm_tokenizer_bytes(session->tokenizer, vocabulary->ids[i]).size;
	vocabulary->bytes = size > UINT32_MAX ? NULL : lm_allocate(&vocabulary->host, size + 1);
	if (!vocabulary->bytes)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: tokens of %zu bytes", size);
	vocabulary->size += size;
	for (int i = 0; i < vocabulary->n; i++)
	{
		LmBytes bytes = lm_tokenizer_bytes(session->tokenizer, vocabulary->ids[i]);
		const char *before = vocabulary->bytes + (i > 0 ? vocabulary->at[i - 1] : 0);
		size_t common = 0, most = i > 0 ? vocabulary->at[i] - vocabulary->at[i - 1] : 0;

		if (i % POLLED == 0 && !lm_text_go_on(&vocabulary->host, error))
			return false;
		most = most < bytes.size ? most : bytes.size;
		while (common < most && before[common] == bytes.data[common])
			common++;
		vocabulary->common[i] = (uint16_t) common;
		memcpy(vocabulary->bytes + vocabulary->at[i], bytes.data, bytes.size);
		vocabulary->at[i + 1] = vocabulary->at[i] + (uint32_t) bytes.size;
		if ((int) bytes.size > vocabulary->longest)
			vocabulary->longest = (int) bytes.size;
		while (byte <= (uint8_t) bytes.data[0])
			vocabulary->firsts[byte++] = i;
	}
	while (byte <= 256)
		vocabulary->firsts[byte++] = vocabulary->n;
	return find_longs(vocabulary, error);
}

static bool
find_longs(LmVocabulary *vocabulary, LmError *error)
{
	for (int pass = 0; pass < 2; pass++)
	{
		int n = 0;

		for (int i = 0; i < vocabulary->n; i++)
			if (vocabulary->at[i + 1] - vocabulary->at[i] > LM_SHORT_TOKEN)
			{
				if (pass > 0)
					vocabulary->longs[n] = i;
				n++;
			}
		if (pass == 0)
			vocabulary->longs = lm_array_allocate(&vocabulary->host, (size_t) n + 1,
												  sizeof *vocabulary->longs, error);
		if (!vocabulary->longs)
			return false;
		vocabulary->n_longs = n;
	}
	vocabulary->size += (size_t) vocabulary->n_longs * sizeof *vocabulary->longs;
	return true;
}

/* Which bytes are tokens, and, unless all are, which characters tokens can write alone. */
static bool
find_writable(LmVocabulary *vocabulary, LmError *error)
{
	bool has[256] = {false};

	vocabulary->complete = true;
	for (int i = 0; i < vocabulary->n; i++)
		if (vocabulary->at[i + 1] - vocabulary->at[i] == 1)
			has[(uint8_t) vocabulary->bytes[vocabulary->at[i]]] = true;
	/* No text has bytes C0, C1 and F5 to FF, nor 0. */
	for (int byte = 1; byte <= 0xF4; byte++)
		vocabulary->complete &= has[byte] || byte == 0xC0 || byte == 0xC1;
	if (vocabulary->complete)
		return true;
	vocabulary->writable =
		lm_array_allocate(&vocabulary->host, CODES / 64, sizeof(uint64_t), error);
	if (!vocabulary->writable)
		return false;
	vocabulary->size += CODES / 8;
	for (int i = 0; i < vocabulary->n; i++)
	{
		const char *token = vocabulary->bytes + vocabulary->at[i];
		size_t size = vocabulary->at[i + 1] - vocabulary->at[i];
		int length = lm_utf8_length(token, size);

		if (length > 0 && (size_t) length == size)
		{
			int32_t code = lm_utf8_decode(token, &length);

			vocabulary->writable[code >> 6] |= (uint64_t) 1 << (code & 63);
		}
	}
	for (int32_t code = 1; code < CODES; code++)
	{
		char bytes[4];
		bool all = true;
		int n = code >= 0xD800 && code <= 0xDFFF ? 0 : lm_utf8_encode(bytes, code);

		if (code % 65536 == 0 && !lm_text_go_on(&vocabulary->host, error))
			return false;
		for (int i = 0; i < n; i++)
			all &= has[(uint8_t) bytes[i]];
		if (all && n > 0)
			vocabulary->writable[code >> 6] |= (uint64_t) 1 << (code & 63);
	}
	return true;
}
