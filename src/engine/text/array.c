/*
 * src/engine/text/array.c
 *
 * Growing arrays, among them the array of token ids that the encoder appends to.
 */
#include "text/array.h"

bool
lm_array_reserve(const LmHost *host, void *items, size_t *capacity, size_t needed, size_t item_size,
				 LmError *error)
{
	void *block, *grown = NULL;
	size_t wanted = *capacity < 8 ? 16 : *capacity * 2, size;

	if (needed <= *capacity)
		return true;
	if (wanted < needed)
		wanted = needed;
	if (lm_size_multiply(&size, wanted, item_size))
	{
		memcpy(&block, items, sizeof block);
		grown = host->reallocate(host->context, block, size);
	}
	if (!grown)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: %zu entries of %zu bytes", wanted,
					   item_size);
	memcpy(items, &grown, sizeof grown);
	*capacity = wanted;
	return true;
}

void
lm_array_free(const LmHost *host, void *items)
{
	if (items)
		host->reallocate(host->context, items, 0);
}

void *
lm_array_allocate(const LmHost *host, size_t count, size_t item_size, LmError *error)
{
	size_t size;
	void *block = NULL;

	if (lm_size_multiply(&size, count, item_size))
		block = lm_allocate(host, size);
	if (!block)
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: %zu entries of %zu bytes", count,
				item_size);
	return block;
}

bool
lm_tokens_reserve(const LmHost *host, LmTokens *tokens, size_t more, LmError *error)
{
	return lm_array_reserve(host, &tokens->ids, &tokens->capacity, tokens->count + more,
							sizeof *tokens->ids, error);
}

bool
lm_tokens_append(const LmHost *host, LmTokens *tokens, int32_t id, LmError *error)
{
	if (!lm_tokens_reserve(host, tokens, 1, error))
		return false;
	tokens->ids[tokens->count++] = id;
	return true;
}

void
lm_tokens_free(const LmHost *host, LmTokens *tokens)
{
	lm_array_free(host, tokens->ids);
	memset(tokens, 0, sizeof *tokens);
}
