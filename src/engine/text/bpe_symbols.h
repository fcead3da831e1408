/*
 * src/engine/text/bpe_symbols.h
 *
 * The symbols of BPE training: what stands in the words. They are the 256 bytes, where tokens are
 * whole characters each character of several bytes, and what merges make. A symbol becomes a token
 * when a merge makes it; a byte is one from the start.
 */
#ifndef LM_TEXT_BPE_SYMBOLS_H
#define LM_TEXT_BPE_SYMBOLS_H

#include "engine/token_table.h"
#include "text/token_shape.h"

/* Arrays by symbol. */
typedef struct LmSymbols
{
	const LmHost *host;
	size_t count, capacity;
	LmBytes *bytes; /* they never move */
	uint16_t *units; /* places of a word that it fills */
	LmTokenShape *shapes; /* NULL where any two may merge */
	int32_t *tokens; /* its token, or -1 */
	LmTokenTable table; /* by bytes */

	int32_t *of_tokens; /* by token: its symbol */
	int n_tokens;
	size_t tokens_capacity;

	char **blocks; /* of the bytes */
	size_t n_blocks, blocks_capacity, block_used;
} LmSymbols;

/* The bytes. LM_ERR_MEMORY; free it in any case. */
bool lm_symbols_create(LmSymbols *symbols, const LmHost *host, bool whole_characters,
					   LmError *error);
void lm_symbols_free(LmSymbols *symbols);
size_t lm_symbols_memory(const LmSymbols *symbols);

/*
 * *symbol has the bytes of left and then right, at most LM_MAX_TOKEN_SIZE; it is a new one of so
 * many units unless there is one.
 */
bool lm_symbols_join(LmSymbols *symbols, int32_t *symbol, LmBytes left, LmBytes right,
					 uint16_t n_units, LmError *error);
/* Makes it a token, the next one, unless it is. */
bool lm_symbols_make_token(LmSymbols *symbols, int32_t symbol, LmError *error);

/* Whether left and right, as neighbours, may become a token. */
static inline bool
lm_symbols_fit(const LmSymbols *symbols, int32_t left, int32_t right)
{
	return !symbols->shapes || lm_token_shapes_fit(symbols->shapes[left], symbols->shapes[right]);
}

#endif /* LM_TEXT_BPE_SYMBOLS_H */
