/*
 * src/engine/text/token_index.c
 *
 * Tokens by their bytes, for a BPE whose pieces are tokens before they are merges (ignore_merges).
 * The table has no pointers, so that an image can hold it.
 */
#include "text/tokenizer_parts.h"

#define POLL_TOKENS 4096

bool
lm_token_index_create(LmTokenizer *tokenizer, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	size_t n_slots = lm_table_size((size_t) spec->n_tokens);
	LmTokenIndex *index = &tokenizer->index;

	if (!spec->ignore_merges)
		return true;
	index->key = tokenizer->host.hash_key;
	index->mask = (uint32_t) (n_slots - 1);
	index->slots = lm_array_allocate(&tokenizer->host, n_slots, sizeof *index->slots, error);
	if (!index->slots)
		return false;
	for (int32_t id = 0; id < spec->n_tokens; id++)
	{
		LmBytes token = spec->tokens[id];
		uint32_t slot = lm_hash_bytes(index->key, token.data, token.size) & index->mask;

		if (id % POLL_TOKENS == 0 && !lm_text_go_on(&tokenizer->host, error))
			return false;
		if (!lm_spec_makes(spec, id))
			continue;
		while (index->slots[slot] != 0)
			slot = (slot + 1) & index->mask;
		index->slots[slot] = id + 1;
	}
	tokenizer->bpe.whole = tokenizer;
	return true;
}

int32_t
lm_token_index_find(const LmTokenizer *tokenizer, LmBytes bytes)
{
	const LmTokenIndex *index = &tokenizer->index;
	uint32_t slot = lm_hash_bytes(index->key, bytes.data, bytes.size) & index->mask;

	for (; index->slots[slot] != 0; slot = (slot + 1) & index->mask)
		if (lm_bytes_equal(lm_tokenizer_token(tokenizer, index->slots[slot] - 1), bytes))
			return index->slots[slot] - 1;
	return -1;
}
