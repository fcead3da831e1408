/*
 * src/engine/text/bpe_symbols.c
 *
 * Growing arrays of symbols, a table of them by their bytes, and the bytes in blocks.
 */
#include "text/array.h"
#include "text/bpe_symbols.h"

#define BLOCK_SIZE ((size_t) 65536)
#define LEAST_CAPACITY 1024

static bool grow(LmSymbols *symbols, LmError *error);
static char *place(LmSymbols *symbols, size_t size, LmError *error);

bool
lm_symbols_create(LmSymbols *symbols, const LmHost *host, bool whole_characters, LmError *error)
{
	memset(symbols, 0, sizeof *symbols);
	symbols->host = host;
	if (whole_characters)
	{
		symbols->shapes = lm_array_allocate(host, 1, sizeof *symbols->shapes, error);
		if (!symbols->shapes)
			return false;
	}
	for (int byte = 0; byte < 256; byte++)
	{
		int32_t symbol;

		if (!lm_symbols_join(symbols, &symbol, lm_bytes_spec()->tokens[byte], (LmBytes){"", 0}, 1,
							 error) ||
			!lm_symbols_make_token(symbols, symbol, error))
			return false;
	}
	return true;
}

void
lm_symbols_free(LmSymbols *symbols)
{
	const LmHost *host = symbols->host;

	if (!host)
		return;
	lm_free(host, symbols->bytes);
	lm_free(host, symbols->units);
	lm_free(host, symbols->shapes);
	lm_free(host, symbols->tokens);
	lm_free(host, symbols->table.slots);
	lm_array_free(host, symbols->of_tokens);
	for (size_t i = 0; i < symbols->n_blocks; i++)
		lm_free(host, symbols->blocks[i]);
	lm_array_free(host, symbols->blocks);
	memset(symbols, 0, sizeof *symbols);
}

size_t
lm_symbols_memory(const LmSymbols *symbols)
{
	size_t item = sizeof *symbols->bytes + sizeof *symbols->units + sizeof *symbols->tokens +
				  sizeof *symbols->shapes;

	return symbols->capacity * item + lm_table_size(symbols->capacity) * sizeof(int32_t) +
		   symbols->n_blocks * BLOCK_SIZE + symbols->tokens_capacity * sizeof(int32_t);
}

bool
lm_symbols_join(LmSymbols *symbols, int32_t *symbol, LmBytes left, LmBytes right, uint16_t n_units,
				LmError *error)
{
	LmBytes joined = {NULL, left.size + right.size};
	char *bytes = place(symbols, joined.size, error);
	uint32_t slot;

	if (!bytes || (symbols->count == symbols->capacity && !grow(symbols, error)))
		return false;
	memcpy(bytes, left.data, left.size);
	memcpy(bytes + left.size, right.data, right.size);
	joined.data = bytes;
	*symbol = lm_token_table_find(&symbols->table, symbols->host->hash_key, symbols->bytes, joined,
								  &slot);
	if (*symbol >= 0)
		return true;
	*symbol = (int32_t) symbols->count++;
	symbols->bytes[*symbol] = joined;
	symbols->units[*symbol] = n_units;
	symbols->tokens[*symbol] = -1;
	if (symbols->shapes)
		symbols->shapes[*symbol] = lm_token_shape(joined);
	symbols->table.slots[slot] = *symbol + 1;
	symbols->block_used += joined.size;
	return true;
}

bool
lm_symbols_make_token(LmSymbols *symbols, int32_t symbol, LmError *error)
{
	if (symbols->tokens[symbol] >= 0)
		return true;
	if (!lm_array_reserve(symbols->host, &symbols->of_tokens, &symbols->tokens_capacity,
						  (size_t) symbols->n_tokens + 1, sizeof *symbols->of_tokens, error))
		return false;
	symbols->of_tokens[symbols->n_tokens] = symbol;
	symbols->tokens[symbol] = symbols->n_tokens++;
	return true;
}

/* A larger copy of an array of count items. */
static bool
enlarge(const LmHost *host, void **array, size_t count, size_t capacity, size_t item_size,
		LmError *error)
{
	void *larger = lm_array_allocate(host, capacity, item_size, error);

	if (!larger)
		return false;
	if (count > 0)
		memcpy(larger, *array, count * item_size);
	lm_free(host, *array);
	*array = larger;
	return true;
}

/* Doubles the capacity; on failure some arrays are larger than it, which does no harm. */
static bool
grow(LmSymbols *symbols, LmError *error)
{
	const LmHost *host = symbols->host;
	size_t count = symbols->count, capacity = count ? 2 * count : LEAST_CAPACITY;
	LmTokenTable table = {NULL, (uint32_t) lm_table_size(capacity) - 1};

	if (!enlarge(host, (void **) &symbols->bytes, count, capacity, sizeof *symbols->bytes, error) ||
		!enlarge(host, (void **) &symbols->units, count, capacity, sizeof *symbols->units, error) ||
		!enlarge(host, (void **) &symbols->tokens, count, capacity, sizeof *symbols->tokens,
				 error) ||
		(symbols->shapes && !enlarge(host, (void **) &symbols->shapes, count, capacity,
									 sizeof *symbols->shapes, error)))
		return false;
	table.slots = lm_array_allocate(host, (size_t) table.mask + 1, sizeof *table.slots, error);
	if (!table.slots)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		uint32_t slot;

		lm_token_table_find(&table, host->hash_key, symbols->bytes, symbols->bytes[i], &slot);
		table.slots[slot] = (int32_t) i + 1;
	}
	lm_free(host, symbols->table.slots);
	symbols->table = table;
	symbols->capacity = capacity;
	return true;
}

/* Room for size bytes, which is taken when block_used is raised. */
static char *
place(LmSymbols *symbols, size_t size, LmError *error)
{
	if (symbols->n_blocks == 0 || symbols->block_used + size > BLOCK_SIZE)
	{
		char *block;

		if (!lm_array_reserve(symbols->host, &symbols->blocks, &symbols->blocks_capacity,
							  symbols->n_blocks + 1, sizeof *symbols->blocks, error))
			return NULL;
		block = lm_array_allocate(symbols->host, BLOCK_SIZE, 1, error);
		if (!block)
			return NULL;
		symbols->blocks[symbols->n_blocks++] = block;
		symbols->block_used = 0;
	}
	return symbols->blocks[symbols->n_blocks - 1] + symbols->block_used;
}
