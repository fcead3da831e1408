/*
 * include/engine/token_table.h
 *
 * Tokens by their bytes: a hash table with open addressing over a list of tokens, keyed for the
 * process. Only the time that a search takes depends on the key.
 */
#ifndef LM_TOKEN_TABLE_H
#define LM_TOKEN_TABLE_H

#include "engine/hash.h"
#include "engine/tokenizer.h"

/* The slots of a table. Its owner allocates lm_table_size slots, zeroed. */
typedef struct LmTokenTable
{
	int32_t *slots; /* id + 1, 0 where empty; at most half are filled */
	uint32_t mask; /* their number, a power of two, minus 1 */
} LmTokenTable;

/* A power of two that holds n entries at most half full. */
static inline size_t
lm_table_size(size_t n)
{
	size_t size = 16;

	while (size < 2 * n)
		size *= 2;
	return size;
}

/* Whether two strings of bytes are equal. */
static inline bool
lm_bytes_equal(LmBytes a, LmBytes b)
{
	return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/*
 * The id of the token with these bytes; -1 where the table has none, and then *slot is where its
 * id + 1 belongs.
 */
static inline int32_t
lm_token_table_find(const LmTokenTable *table, LmHashKey key, const LmBytes *tokens, LmBytes bytes,
					uint32_t *slot)
{
	*slot = lm_hash_bytes(key, bytes.data, bytes.size) & table->mask;
	for (; table->slots[*slot] != 0; *slot = (*slot + 1) & table->mask)
		if (lm_bytes_equal(tokens[table->slots[*slot] - 1], bytes))
			return table->slots[*slot] - 1;
	return -1;
}

#endif /* LM_TOKEN_TABLE_H */
