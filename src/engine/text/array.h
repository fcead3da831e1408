/*
 * src/engine/text/array.h
 *
 * Growing arrays on the host's allocator.
 */
#ifndef LM_TEXT_ARRAY_H
#define LM_TEXT_ARRAY_H

#include <string.h>

#include "engine/token_table.h"

/*
 * Makes room for `needed` items in an array, at least doubling it. `items` is the address of the
 * array's pointer, of whatever type; *capacity counts items. The block comes from the host's
 * reallocate, new items are not zeroed. False with LM_ERR_MEMORY; the array stays.
 */
bool lm_array_reserve(const LmHost *host, void *items, size_t *capacity, size_t needed,
					  size_t item_size, LmError *error);
void lm_array_free(const LmHost *host, void *items);

/* lm_allocate of count items of item_size, zeroed; NULL with LM_ERR_MEMORY. */
void *lm_array_allocate(const LmHost *host, size_t count, size_t item_size, LmError *error);

/* Makes room for `more` further ids. LM_ERR_MEMORY; tokens then stays as it was. */
bool lm_tokens_reserve(const LmHost *host, LmTokens *tokens, size_t more, LmError *error);

#endif /* LM_TEXT_ARRAY_H */
