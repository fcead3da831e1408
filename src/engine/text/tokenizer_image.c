/*
 * src/engine/text/tokenizer_image.c
 *
 * An image of a tokenizer: its finished tables in one block without pointers, which can be shared
 * by mapping. Opening it parses, checks and hashes nothing again.
 *
 *   | header | merges, as a hash table | offsets of tokens, one more than there are | special |
 *   flags | scores | patterns, each with its NUL | bytes of the tokens | tokens in order |
 *   added tokens in order | index of tokens | characters, as a hash table | neighbours | cuts |
 *   table of characters |
 *
 * Every part begins at a multiple of 64 bytes. The list of merges by rank is left out, because
 * encoding does not need it.
 */
#include <string.h>

#include "base/arena.h"
#include "text/tokenizer_parts.h"

#define IMAGE_MAGIC "gpt tok4"

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
	uint32_t merge_mask; /* BPE, SENTENCEPIECE */
	uint32_t patterns_size; /* with the NULs; 0: no pattern */
	int32_t n_patterns;
	int32_t byte_ids[256];
	LmHashKey key; /* of the hash tables */
	int32_t n_ordered; /* 0: the tokenizer was not sorted */
	int32_t n_added;
	uint32_t index_mask; /* where there is an index */
	uint32_t letter_mask; /* SENTENCEPIECE, UNIGRAM */
	int32_t prefix;
	bool normalize_nfkc, ignore_merges, fuse_unknown, space_sign;
	bool split_spaces, strip_space, prefix_once;
	bool has_flags, has_scores;
	bool collapse_spaces, single_precision;
	uint64_t charsmap_size;
} Header;

typedef struct Parts
{
	LmMergeSlot *merges;
	uint32_t *offsets;
	bool *special;
	uint8_t *flags;
	double *scores;
	char *patterns;
	char *bytes;
	int32_t *order;
	int32_t *added;
	int32_t *index;
	LmLetterSlot *letters;
	uint64_t *pairs;
	uint64_t *cuts;
	char *charsmap;
} Parts;

static void lay_out(Parts *parts, LmArena *arena, const Header *header);
static Header header_of(const LmTokenizer *tokenizer);
static void copy_tables(const Parts *parts, const Header *header, const LmTokenizer *tokenizer);
static void add_patterns(char *patterns, Header *header, const LmTokenizerSpec *spec);
static bool has_merges(int32_t kind);
static bool has_letters(int32_t kind);
static bool restore(LmTokenizer *tokenizer, const Header *header, const Parts *parts,
					LmError *error);
static void restore_spec(LmTokenizerSpec *spec, const Header *header, const Parts *parts);
static bool restore_tables(LmTokenizer *tokenizer, const Header *header, const Parts *parts,
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
	copy_tables(&parts, &header, tokenizer);
	memcpy(parts.special, spec->special, (size_t) spec->n_tokens * sizeof *spec->special);
	if (header.has_flags)
		memcpy(parts.flags, spec->flags, (size_t) spec->n_tokens * sizeof *spec->flags);
	if (header.has_scores)
		memcpy(parts.scores, spec->scores, (size_t) spec->n_tokens * sizeof *spec->scores);
	add_patterns(parts.patterns, &header, spec);
	for (int32_t id = 0; id < spec->n_tokens; id++)
	{
		LmBytes token = lm_tokenizer_token(tokenizer, id);

		parts.offsets[id] = offset;
		memcpy(parts.bytes + offset, token.data, token.size);
		offset += (uint32_t) token.size;
	}
	parts.offsets[spec->n_tokens] = offset;
}

static void
copy_tables(const Parts *parts, const Header *header, const LmTokenizer *tokenizer)
{
	if (has_merges(header->kind))
		memcpy(parts->merges, tokenizer->bpe.merges,
			   ((size_t) header->merge_mask + 1) * sizeof *parts->merges);
	if (header->n_ordered > 0)
		memcpy(parts->order, tokenizer->order, (size_t) header->n_ordered * sizeof *parts->order);
	if (header->n_added > 0)
		memcpy(parts->added, tokenizer->added.ids, (size_t) header->n_added * sizeof *parts->added);
	if (header->ignore_merges)
		memcpy(parts->index, tokenizer->index.slots,
			   ((size_t) header->index_mask + 1) * sizeof *parts->index);
	if (header->charsmap_size > 0)
		memcpy(parts->charsmap, tokenizer->spec->charsmap.data, (size_t) header->charsmap_size);
	if (header->kind == LM_TOKENIZER_BPE)
		memcpy(parts->cuts, tokenizer->bpe.cuts.mixed, LM_CUTS_WORDS * sizeof *parts->cuts);
	if (!has_letters(header->kind))
		return;
	memcpy(parts->letters, tokenizer->letters.slots,
		   ((size_t) header->letter_mask + 1) * sizeof *parts->letters);
	memcpy(parts->pairs, tokenizer->letters.pairs, LM_PAIR_WORDS * sizeof *parts->pairs);
}

static bool
has_merges(int32_t kind)
{
	return kind == LM_TOKENIZER_BPE || kind == LM_TOKENIZER_SENTENCEPIECE;
}

static bool
has_letters(int32_t kind)
{
	return kind == LM_TOKENIZER_SENTENCEPIECE || kind == LM_TOKENIZER_UNIGRAM;
}

/* Writes the patterns, or counts them where there is no place for them. */
static void
add_patterns(char *patterns, Header *header, const LmTokenizerSpec *spec)
{
	const char *pattern = spec->pattern;
	uint32_t used = 0;
	int n = 0;

	while (pattern)
	{
		uint32_t size = (uint32_t) strlen(pattern) + 1;

		if (patterns)
			memcpy(patterns + used, pattern, size);
		used += size;
		pattern = n < LM_MAX_PATTERNS - 1 ? spec->further[n] : NULL;
		n++;
	}
	header->n_patterns = n;
	header->patterns_size = used;
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
					 .n_added = tokenizer->added.n,
					 .merge_mask = tokenizer->bpe.merge_mask,
					 .index_mask = tokenizer->index.mask,
					 .letter_mask = tokenizer->letters.mask,
					 .key = has_merges((int32_t) spec->kind) ? tokenizer->bpe.key
															 : tokenizer->letters.key,
					 .prefix = (int32_t) spec->prefix,
					 .normalize_nfkc = spec->normalize_nfkc,
					 .ignore_merges = spec->ignore_merges,
					 .fuse_unknown = spec->fuse_unknown,
					 .space_sign = spec->space_sign,
					 .split_spaces = spec->split_spaces,
					 .strip_space = spec->strip_space,
					 .prefix_once = spec->prefix_once,
					 .collapse_spaces = spec->collapse_spaces,
					 .single_precision = spec->single_precision,
					 .charsmap_size = spec->charsmap.size,
					 .has_flags = spec->flags != NULL,
					 .has_scores = spec->scores != NULL};
	LmArena arena = {0};
	Parts parts;

	memcpy(header.magic, IMAGE_MAGIC, sizeof header.magic);
	memcpy(header.byte_ids, tokenizer->bpe.byte_ids, sizeof header.byte_ids);
	add_patterns(NULL, &header, spec);
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
	size_t n_tokens = (size_t) header->n_tokens;
	size_t n_merges = has_merges(header->kind) ? (size_t) header->merge_mask + 1 : 0;
	size_t n_letters = has_letters(header->kind) ? (size_t) header->letter_mask + 1 : 0;
	size_t n_cuts = header->kind == LM_TOKENIZER_BPE ? LM_CUTS_WORDS : 0;
	size_t n_index = header->ignore_merges ? (size_t) header->index_mask + 1 : 0;

	lm_arena_take(arena, 1, sizeof(Header));
	parts->merges = lm_arena_take(arena, n_merges, sizeof *parts->merges);
	parts->offsets = lm_arena_take(arena, n_tokens + 1, sizeof *parts->offsets);
	parts->special = lm_arena_take(arena, n_tokens, sizeof *parts->special);
	parts->flags = lm_arena_take(arena, header->has_flags ? n_tokens : 0, sizeof *parts->flags);
	parts->scores = lm_arena_take(arena, header->has_scores ? n_tokens : 0, sizeof *parts->scores);
	parts->patterns = lm_arena_take(arena, header->patterns_size, 1);
	parts->bytes = lm_arena_take(arena, (size_t) header->bytes_size, 1);
	parts->order = lm_arena_take(arena, (size_t) header->n_ordered, sizeof *parts->order);
	parts->added = lm_arena_take(arena, (size_t) header->n_added, sizeof *parts->added);
	parts->index = lm_arena_take(arena, n_index, sizeof *parts->index);
	parts->letters = lm_arena_take(arena, n_letters, sizeof *parts->letters);
	parts->pairs = lm_arena_take(arena, n_letters > 0 ? LM_PAIR_WORDS : 0, sizeof *parts->pairs);
	parts->cuts = lm_arena_take(arena, n_cuts, sizeof *parts->cuts);
	parts->charsmap = lm_arena_take(arena, (size_t) header->charsmap_size, 1);
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
		header.n_ordered > header.n_tokens || header.n_added < 0 ||
		header.n_added > header.n_tokens || header.n_patterns < 0 ||
		header.n_patterns > LM_MAX_PATTERNS)
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
	bool listed = header->kind == LM_TOKENIZER_CHARS || header->kind == LM_TOKENIZER_BYTES;
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
	restore_spec(spec, header, parts);
	spec->tokens = listed ? (LmBytes *) (spec + 1) : NULL;
	for (size_t id = 0; id < n_listed; id++)
		spec->tokens[id] = lm_tokenizer_token(tokenizer, (int32_t) id);
	lm_added_open(tokenizer, parts->added, header->n_added);
	return restore_tables(tokenizer, header, parts, error);
}

/* Everything of the description but its tokens. */
static void
restore_spec(LmTokenizerSpec *spec, const Header *header, const Parts *parts)
{
	const char *pattern = parts->patterns;

	*spec = (LmTokenizerSpec){.kind = (LmTokenizerKind) header->kind,
							  .normalize_nfc = header->normalize_nfc,
							  .n_tokens = header->n_tokens,
							  .special = parts->special,
							  .flags = header->has_flags ? parts->flags : NULL,
							  .scores = header->has_scores ? parts->scores : NULL,
							  .end_of_text = header->end_of_text,
							  .beginning = header->beginning,
							  .unknown = header->unknown,
							  .normalize_nfkc = header->normalize_nfkc,
							  .ignore_merges = header->ignore_merges,
							  .fuse_unknown = header->fuse_unknown,
							  .space_sign = header->space_sign,
							  .split_spaces = header->split_spaces,
							  .strip_space = header->strip_space,
							  .prefix = (LmPrefix) header->prefix,
							  .prefix_once = header->prefix_once,
							  .charsmap = {parts->charsmap, (size_t) header->charsmap_size},
							  .collapse_spaces = header->collapse_spaces,
							  .single_precision = header->single_precision};
	for (int i = 0; i < header->n_patterns; i++)
	{
		if (i == 0)
			spec->pattern = pattern;
		else
			spec->further[i - 1] = pattern;
		pattern += strlen(pattern) + 1;
	}
}

static bool
restore_tables(LmTokenizer *tokenizer, const Header *header, const Parts *parts, LmError *error)
{
	const LmHost *host = &tokenizer->host;
	const LmTokenizerSpec *spec = tokenizer->spec;

	if (spec->kind == LM_TOKENIZER_CHARS)
	{
		tokenizer->chars = lm_chars_create(host, spec, error);
		return tokenizer->chars != NULL;
	}
	if (spec->kind == LM_TOKENIZER_BPE && !lm_tokenizer_open_splits(tokenizer, error))
		return false;
	tokenizer->bpe.host = *host;
	memcpy(tokenizer->bpe.byte_ids, header->byte_ids, sizeof header->byte_ids);
	if (has_merges(header->kind))
	{
		tokenizer->bpe.merges = parts->merges;
		tokenizer->bpe.merge_mask = header->merge_mask;
		tokenizer->bpe.key = header->key;
		tokenizer->bpe.unknown = spec->unknown;
		tokenizer->bpe.fuse_unknown = spec->fuse_unknown;
	}
	if (header->kind == LM_TOKENIZER_BPE)
		lm_cuts_open(&tokenizer->bpe.cuts, parts->cuts, header->key);
	if (header->ignore_merges)
	{
		tokenizer->index = (LmTokenIndex){parts->index, header->index_mask, header->key};
		tokenizer->bpe.whole = tokenizer;
	}
	if (has_letters(header->kind))
		tokenizer->letters =
			(LmLetters){parts->letters, header->letter_mask, parts->pairs, header->key};
	if (spec->kind == LM_TOKENIZER_SENTENCEPIECE)
		tokenizer->bpe.letters = &tokenizer->letters;
	if (spec->kind == LM_TOKENIZER_UNIGRAM)
		lm_unigram_open(tokenizer);
	return true;
}
