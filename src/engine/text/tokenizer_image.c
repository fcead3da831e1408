/*
 * src/engine/text/tokenizer_image.c
 *
 * An image of a tokenizer: its finished tables in one block without pointers, which can be shared
 * by mapping. Opening it parses, checks and hashes nothing again.
 *
 *   | header | merges, as a hash table | offsets of tokens, one more than there are | special |
 *   pattern, NUL | bytes of the tokens | tokens in order |
 *
 * Every part begins at a multiple of 64 bytes. The list of merges by rank is left out, because
 * encoding does not need it.
 */
#include <string.h>

#include "base/arena.h"
#include "text/tokenizer_parts.h"

#define IMAGE_MAGIC "gpt tok2"

typedef struct Header
{
	char magic[8];
	uint64_t size;
	uint64_t bytes_size;
	int32_t kind;
	int32_t normalize_nfc;
	int32_t n_tokens;
	int32_t end_of_text;
	int32_t beginning;
	int32_t unknown;
	uint32_t merge_mask; /* BPE */
	uint32_t pattern_size; /* with the NUL; 0: no pattern */
	int32_t byte_ids[256]; /* BPE */
	LmHashKey key; /* BPE: of the merges */
	int32_t n_ordered; /* 0: the tokenizer was not sorted */
} Header;

typedef struct Parts
{
	LmMergeSlot *merges;
	uint32_t *offsets;
	bool *special;
	char *pattern;
	char *bytes;
	int32_t *order;
} Parts;

static void lay_out(Parts *parts, LmArena *arena, const Header *header);
static Header header_of(const LmTokenizer *tokenizer);
static bool restore(LmTokenizer *tokenizer, const Header *header, const Parts *parts,
					LmError *error);

size_t
lm_tokenizer_image_size(const LmTokenizer *tokenizer)
{
	return (size_t) header_of(tokenizer).size;
}

void
lm_tokenizer_image_build(void *image, const LmTokenizer *tokenizer)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	Header header = header_of(tokenizer);
	LmArena arena = {.base = image};
	Parts parts;
	uint32_t offset = 0;

	memset(image, 0, (size_t) header.size);
	memcpy(image, &header, sizeof header);
	lay_out(&parts, &arena, &header);
	if (spec->kind == LM_TOKENIZER_BPE)
		memcpy(parts.merges, tokenizer->bpe.merges,
			   ((size_t) header.merge_mask + 1) * sizeof *parts.merges);
	memcpy(parts.special, spec->special, (size_t) spec->n_tokens * sizeof *spec->special);
	if (spec->pattern)
		memcpy(parts.pattern, spec->pattern, header.pattern_size);
	for (int32_t id = 0; id < spec->n_tokens; id++)
	{
		LmBytes token = lm_tokenizer_token(tokenizer, id);

		parts.offsets[id] = offset;
		memcpy(parts.bytes + offset, token.data, token.size);
		offset += (uint32_t) token.size;
	}
	parts.offsets[spec->n_tokens] = offset;
	if (header.n_ordered > 0)
		memcpy(parts.order, tokenizer->order, (size_t) header.n_ordered * sizeof *parts.order);
}

/*
 * The sums cannot overflow: the check of a spec bounds them to 2^20 tokens of at most 1,024 bytes.
 */
static Header
header_of(const LmTokenizer *tokenizer)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	Header header = {.kind = (int32_t) spec->kind,
					 .normalize_nfc = spec->normalize_nfc,
					 .n_tokens = spec->n_tokens,
					 .end_of_text = spec->end_of_text,
					 .beginning = spec->beginning,
					 .unknown = spec->unknown,
					 .n_ordered = tokenizer->order ? tokenizer->n_ordered : 0,
					 .pattern_size = spec->pattern ? (uint32_t) strlen(spec->pattern) + 1 : 0};
	LmArena arena = {0};
	Parts parts;

	memcpy(header.magic, IMAGE_MAGIC, sizeof header.magic);
	if (spec->kind == LM_TOKENIZER_BPE)
	{
		header.merge_mask = tokenizer->bpe.merge_mask;
		header.key = tokenizer->bpe.key;
		memcpy(header.byte_ids, tokenizer->bpe.byte_ids, sizeof header.byte_ids);
	}
	for (int32_t id = 0; id < spec->n_tokens; id++)
		header.bytes_size += lm_tokenizer_token(tokenizer, id).size;
	lay_out(&parts, &arena, &header);
	header.size = arena.used;
	return header;
}

/* Parts are NULL while counting. */
static void
lay_out(Parts *parts, LmArena *arena, const Header *header)
{
	size_t n_slots = header->kind == LM_TOKENIZER_BPE ? (size_t) header->merge_mask + 1 : 0;

	lm_arena_take(arena, 1, sizeof(Header));
	parts->merges = lm_arena_take(arena, n_slots, sizeof *parts->merges);
	parts->offsets = lm_arena_take(arena, (size_t) header->n_tokens + 1, sizeof *parts->offsets);
	parts->special = lm_arena_take(arena, (size_t) header->n_tokens, sizeof *parts->special);
	parts->pattern = lm_arena_take(arena, header->pattern_size, 1);
	parts->bytes = lm_arena_take(arena, (size_t) header->bytes_size, 1);
	parts->order = lm_arena_take(arena, (size_t) header->n_ordered, sizeof *parts->order);
}

LmTokenizer *
lm_tokenizer_open(const LmHost *host, const void *image, size_t size, LmError *error)
{
	LmArena counted = {0}, arena = {.base = (char *) image};
	LmTokenizer *tokenizer;
	Header header;
	Parts parts;

	if (size < sizeof header)
	{
		lm_fail(error, LM_ERR_FORMAT, 0, "the tokenizer's image is truncated");
		return NULL;
	}
	memcpy(&header, image, sizeof header);
	if (memcmp(header.magic, IMAGE_MAGIC, sizeof header.magic) != 0 ||
		!lm_tokenizer_kind_name(header.kind) || header.n_tokens < 1 ||
		header.n_tokens > LM_MAX_VOCABULARY || header.n_ordered < 0 ||
		header.n_ordered > header.n_tokens)
	{
		lm_fail(error, LM_ERR_FORMAT, 0, "the tokenizer's image has another format");
		return NULL;
	}
	lay_out(&parts, &counted, &header);
	if (counted.overflow || counted.used != header.size || size < header.size)
	{
		lm_fail(error, LM_ERR_FORMAT, (int64_t) size,
				"the tokenizer's image has %zu bytes, %zu are needed", size, counted.used);
		return NULL;
	}
	lay_out(&parts, &arena, &header);
	tokenizer = lm_array_allocate(host, 1, sizeof *tokenizer, error);
	if (!tokenizer)
		return NULL;
	tokenizer->host = *host;
	tokenizer->mapped = true;
	if (restore(tokenizer, &header, &parts, error))
		return tokenizer;
	lm_tokenizer_free(tokenizer);
	return NULL;
}

/*
 * Compiles patterns and makes pages of characters again; such vocabularies are small.
 */
static bool
restore(LmTokenizer *tokenizer, const Header *header, const Parts *parts, LmError *error)
{
	const LmHost *host = &tokenizer->host;
	bool listed = header->kind != LM_TOKENIZER_BPE;
	size_t n_listed = listed ? (size_t) header->n_tokens : 0;
	LmTokenizerSpec *spec =
		lm_array_allocate(host, 1, sizeof *spec + n_listed * sizeof(LmBytes), error);

	if (!spec)
		return false;
	tokenizer->spec = spec;
	tokenizer->offsets = parts->offsets;
	tokenizer->bytes = parts->bytes;
	tokenizer->order = header->n_ordered > 0 ? parts->order : NULL;
	tokenizer->n_ordered = header->n_ordered;
	*spec = (LmTokenizerSpec){.kind = (LmTokenizerKind) header->kind,
							  .normalize_nfc = header->normalize_nfc,
							  .pattern = header->pattern_size > 0 ? parts->pattern : NULL,
							  .n_tokens = header->n_tokens,
							  .tokens = listed ? (LmBytes *) (spec + 1) : NULL,
							  .special = parts->special,
							  .end_of_text = header->end_of_text,
							  .beginning = header->beginning,
							  .unknown = header->unknown};
	for (size_t id = 0; id < n_listed; id++)
		spec->tokens[id] = lm_tokenizer_token(tokenizer, (int32_t) id);
	if (header->kind == LM_TOKENIZER_CHARS)
	{
		tokenizer->chars = lm_chars_create(host, spec, error);
		return tokenizer->chars != NULL;
	}
	if (header->kind != LM_TOKENIZER_BPE)
		return true;
	if (!lm_split_create(&tokenizer->split, host, spec->pattern, error))
		return false;
	tokenizer->bpe.host = *host;
	tokenizer->bpe.merges = parts->merges;
	tokenizer->bpe.merge_mask = header->merge_mask;
	tokenizer->bpe.key = header->key;
	memcpy(tokenizer->bpe.byte_ids, header->byte_ids, sizeof header->byte_ids);
	return true;
}
