/*
 * src/engine/text/spec.c
 *
 * A description that comes from outside, checked as a whole: after lm_spec_check no id, size or
 * pointer in it needs another look.
 */
#include "base/names.h"
#include "text/charsmap.h"
#include "text/letters.h"
#include "text/spec.h"
#include "text/utf8.h"

#define POLL_TOKENS 4096
#define MAX_SCORE 1e30 /* of a token: sums over the longest piece stay finite */

static bool go_on(const LmHost *host, int round, LmError *error);
static bool check_counts(const LmTokenizerSpec *spec, LmError *error);
static bool check_tokens(const LmTokenizerSpec *spec, LmError *error);
static bool check_distinct(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
static bool check_distinct_in(const LmHost *host, const LmTokenizerSpec *spec, bool added,
							  LmError *error);
static bool add_token(LmTokenTable *table, LmHashKey key, const LmTokenizerSpec *spec, int id,
					  LmError *error);
static bool check_flags(const LmTokenizerSpec *spec, LmError *error);
static bool check_names(const LmTokenizerSpec *spec, LmError *error);
static bool check_special_ids(const LmTokenizerSpec *spec, LmError *error);
static bool check_special_id(const LmTokenizerSpec *spec, int32_t id, const char *name,
							 LmError *error);
static bool check_kind(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
static bool check_charsmap(const LmTokenizerSpec *spec, LmError *error);
static bool check_bpe(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
static bool check_merge(const LmTokenizerSpec *spec, int rank, LmError *error);
static bool check_byte_tokens(const LmTokenizerSpec *spec, LmError *error);
static bool check_chars(const LmTokenizerSpec *spec, LmError *error);
static bool check_letters(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
static bool check_merges(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
static bool check_scores(const LmTokenizerSpec *spec, LmError *error);
static size_t spec_block_size(const LmTokenizerSpec *spec);
static void *copy_array(char **place, const void *items, size_t count, size_t item_size);
static const char *copy_pattern(char **place, const char *pattern);

LM_NAMES(lm_tokenizer_kind_name, [LM_TOKENIZER_BPE] = "bpe", [LM_TOKENIZER_BYTES] = "bytes",
		 [LM_TOKENIZER_CHARS] = "chars", [LM_TOKENIZER_SENTENCEPIECE] = "sentencepiece",
		 [LM_TOKENIZER_UNIGRAM] = "unigram");

bool
lm_spec_check(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	return check_counts(spec, error) && check_tokens(spec, error) && check_flags(spec, error) &&
		   check_names(spec, error) && check_distinct(host, spec, error) &&
		   check_special_ids(spec, error) && check_kind(host, spec, error);
}

static bool
go_on(const LmHost *host, int round, LmError *error)
{
	return round % POLL_TOKENS != 0 || lm_text_go_on(host, error);
}

/* Checks the numbers of tokens and merges, before anything reads the arrays. */
static bool
check_counts(const LmTokenizerSpec *spec, LmError *error)
{
	if (spec->n_tokens < 1 || !spec->tokens || !spec->special)
		return lm_fail(error, LM_ERR_FORMAT, -1, "tokenizer has no tokens");
	if (spec->n_tokens > LM_MAX_VOCABULARY)
		return lm_fail(error, LM_ERR_LIMIT, -1, "tokenizer has %d tokens, the limit is %d",
					   spec->n_tokens, LM_MAX_VOCABULARY);
	if (spec->n_merges < 0 || (spec->n_merges > 0 && !spec->merges))
		return lm_fail(error, LM_ERR_FORMAT, -1, "tokenizer has %d merges", spec->n_merges);
	if (spec->n_merges > LM_MAX_MERGES)
		return lm_fail(error, LM_ERR_LIMIT, -1, "tokenizer has %d merges, the limit is %d",
					   spec->n_merges, LM_MAX_MERGES);
	return true;
}

/* Checks that no token is empty or too long. */
static bool
check_tokens(const LmTokenizerSpec *spec, LmError *error)
{
	for (int id = 0; id < spec->n_tokens; id++)
	{
		const LmBytes *token = &spec->tokens[id];

		if (!token->data || token->size == 0)
			return lm_fail(error, LM_ERR_FORMAT, id, "token %d is empty", id);
		if (token->size > LM_MAX_TOKEN_SIZE)
			return lm_fail(error, LM_ERR_LIMIT, id, "token %d has %zu bytes, the limit is %d", id,
						   token->size, LM_MAX_TOKEN_SIZE);
	}
	return true;
}

/* Checks that flags go together, and that a byte has one token at most. */
static bool
check_flags(const LmTokenizerSpec *spec, LmError *error)
{
	bool present[256] = {false};

	if (spec->prefix < LM_PREFIX_NONE || spec->prefix > LM_PREFIX_MISSING)
		return lm_fail(error, LM_ERR_FORMAT, -1, "tokenizer has a prefix of unknown kind %d",
					   (int) spec->prefix);
	for (int id = 0; spec->flags && id < spec->n_tokens; id++)
	{
		int flags = spec->flags[id];
		unsigned char byte = (unsigned char) spec->tokens[id].data[0];

		if (flags & LM_TOKEN_OUTSIDE && !(flags & LM_TOKEN_ADDED))
			return lm_fail(error, LM_ERR_FORMAT, id, "token %d cannot be made from any text", id);
		if (!(flags & LM_TOKEN_BYTE))
			continue;
		if (spec->special[id] || flags & LM_TOKEN_ADDED || spec->tokens[id].size != 1 ||
			(spec->kind != LM_TOKENIZER_SENTENCEPIECE && spec->kind != LM_TOKENIZER_UNIGRAM))
			return lm_fail(error, LM_ERR_FORMAT, id, "token %d cannot stand in for a byte", id);
		if (present[byte])
			return lm_fail(error, LM_ERR_FORMAT, id, "token %d is the second one for byte 0x%02x",
						   id, byte);
		present[byte] = true;
	}
	return true;
}

/* Tokens that are found in a text must begin and end where its characters do. */
static bool
check_names(const LmTokenizerSpec *spec, LmError *error)
{
	for (int id = 0; id < spec->n_tokens; id++)
	{
		size_t position;

		if ((spec->special[id] || (spec->flags && spec->flags[id] & LM_TOKEN_ADDED)) &&
			!lm_utf8_valid(spec->tokens[id].data, spec->tokens[id].size, &position))
			return lm_fail(error, LM_ERR_FORMAT, id, "added token %d is not valid UTF-8", id);
	}
	return true;
}

/* The tokens of the vocabulary must differ, and the added and special ones among themselves. */
static bool
check_distinct(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	return check_distinct_in(host, spec, false, error) &&
		   check_distinct_in(host, spec, true, error);
}

static bool
check_distinct_in(const LmHost *host, const LmTokenizerSpec *spec, bool added, LmError *error)
{
	size_t n_slots = lm_table_size((size_t) spec->n_tokens);
	LmTokenTable table = {lm_array_allocate(host, n_slots, sizeof *table.slots, error),
						  (uint32_t) (n_slots - 1)};
	bool distinct = table.slots != NULL;

	for (int id = 0; distinct && id < spec->n_tokens; id++)
	{
		bool is_added = spec->special[id] || (spec->flags && spec->flags[id] & LM_TOKEN_ADDED);

		distinct = go_on(host, id, error);
		if (distinct && (added ? is_added : lm_spec_makes(spec, id)))
			distinct = add_token(&table, host->hash_key, spec, id, error);
	}
	lm_free(host, table.slots);
	return distinct;
}

static bool
add_token(LmTokenTable *table, LmHashKey key, const LmTokenizerSpec *spec, int id, LmError *error)
{
	uint32_t slot;
	int32_t same = lm_token_table_find(table, key, spec->tokens, spec->tokens[id], &slot);

	if (same >= 0)
		return lm_fail(error, LM_ERR_FORMAT, id, "tokens %d and %d are the same", same, id);
	table->slots[slot] = id + 1;
	return true;
}

static bool
check_special_ids(const LmTokenizerSpec *spec, LmError *error)
{
	if (!check_special_id(spec, spec->end_of_text, "end of text", error) ||
		!check_special_id(spec, spec->beginning, "beginning", error) ||
		!check_special_id(spec, spec->unknown, "unknown", error))
		return false;
	if (spec->unknown >= 0 && (spec->kind == LM_TOKENIZER_BPE || spec->kind == LM_TOKENIZER_BYTES))
		return lm_fail(error, LM_ERR_FORMAT, spec->unknown,
					   "a tokenizer of bytes has no token for unknown characters");
	return true;
}

static bool
check_special_id(const LmTokenizerSpec *spec, int32_t id, const char *name, LmError *error)
{
	if (id < -1 || id >= spec->n_tokens)
		return lm_fail(error, LM_ERR_FORMAT, id,
					   "id of the %s token is %d, the tokenizer has %d tokens", name, id,
					   spec->n_tokens);
	if (id >= 0 && !spec->special[id])
		return lm_fail(error, LM_ERR_FORMAT, id, "%s token %d is not a special token", name, id);
	return true;
}

/* Checks the rules that hold for one kind of tokenizer only. */
static bool
check_kind(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	if (!spec->pattern && spec->further[0])
		return lm_fail(error, LM_ERR_FORMAT, -1, "tokenizer has a second pattern but no first one");
	if (spec->ignore_merges && spec->kind != LM_TOKENIZER_BPE)
		return lm_fail(error, LM_ERR_FORMAT, -1, "only a BPE tokenizer of bytes ignores merges");
	if (!check_charsmap(spec, error))
		return false;
	if (spec->kind == LM_TOKENIZER_BPE)
		return check_bpe(host, spec, error);
	if (spec->kind == LM_TOKENIZER_SENTENCEPIECE)
		return check_letters(host, spec, error) && check_merges(host, spec, error);
	if (spec->n_merges > 0)
		return lm_fail(error, LM_ERR_FORMAT, -1, "only a BPE tokenizer has merges");
	if (spec->kind == LM_TOKENIZER_CHARS)
		return check_chars(spec, error);
	if (spec->kind == LM_TOKENIZER_UNIGRAM)
		return check_letters(host, spec, error) && check_scores(spec, error);
	if (spec->kind != LM_TOKENIZER_BYTES)
		return lm_fail(error, LM_ERR_FORMAT, -1, "tokenizer is of unknown kind %d",
					   (int) spec->kind);
	if (spec->normalize_nfc || spec->normalize_nfkc)
		return lm_fail(error, LM_ERR_FORMAT, -1, "a tokenizer of bytes cannot normalize");
	return check_byte_tokens(spec, error);
}

static bool
check_charsmap(const LmTokenizerSpec *spec, LmError *error)
{
	bool of_letters =
		spec->kind == LM_TOKENIZER_SENTENCEPIECE || spec->kind == LM_TOKENIZER_UNIGRAM;

	if (!of_letters && (spec->charsmap.size > 0 || spec->collapse_spaces))
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "only a tokenizer of SentencePiece has a table of characters");
	if (spec->charsmap.size > 0 && (spec->normalize_nfc || spec->normalize_nfkc))
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "tokenizer has a table of characters and a normal form");
	return lm_charsmap_check(spec->charsmap, error);
}

/* A BPE tokenizer needs a token for each byte that occurs in UTF-8, and valid merges. */
static bool
check_bpe(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	bool present[256] = {false};

	for (int id = 0; id < spec->n_tokens; id++)
		if (lm_spec_makes(spec, id) && spec->tokens[id].size == 1)
			present[(unsigned char) spec->tokens[id].data[0]] = true;
	for (int byte = 0; byte < 256; byte++)
		if (!present[byte] && byte != 0xC0 && byte != 0xC1 && byte < 0xF5)
			return lm_fail(error, LM_ERR_FORMAT, byte, "tokenizer has no token for byte 0x%02x",
						   byte);
	return check_merges(host, spec, error);
}

static bool
check_merges(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	for (int rank = 0; rank < spec->n_merges; rank++)
		if (!go_on(host, rank, error) || !check_merge(spec, rank, error))
			return false;
	return true;
}

/* The tokens of characters are text. */
static bool
check_letters(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	for (int id = 0; id < spec->n_tokens; id++)
	{
		size_t position;

		if (!go_on(host, id, error))
			return false;
		if (lm_spec_makes(spec, id) &&
			!lm_utf8_valid(spec->tokens[id].data, spec->tokens[id].size, &position))
			return lm_fail(error, LM_ERR_FORMAT, id, "token %d is not valid UTF-8", id);
	}
	return true;
}

static bool
check_scores(const LmTokenizerSpec *spec, LmError *error)
{
	if (!spec->scores)
		return lm_fail(error, LM_ERR_FORMAT, -1, "a unigram tokenizer has no scores");
	for (int id = 0; id < spec->n_tokens; id++)
		if (!(spec->scores[id] >= -MAX_SCORE && spec->scores[id] <= MAX_SCORE))
			return lm_fail(error, LM_ERR_FORMAT, id, "score of token %d is %g, the limit is %g", id,
						   spec->scores[id], MAX_SCORE);
	return true;
}

/* The text of a merge's result must be that of its left token followed by that of its right. */
static bool
check_merge(const LmTokenizerSpec *spec, int rank, LmError *error)
{
	const LmMerge *merge = &spec->merges[rank];
	const int32_t ids[3] = {merge->left, merge->right, merge->result};
	const LmBytes *left, *right, *result;

	for (int i = 0; i < 3; i++)
	{
		if (ids[i] < 0 || ids[i] >= spec->n_tokens)
			return lm_fail(error, LM_ERR_FORMAT, rank,
						   "merge %d has token %d, the tokenizer has %d tokens", rank, ids[i],
						   spec->n_tokens);
		if (!lm_spec_makes(spec, ids[i]))
			return lm_fail(error, LM_ERR_FORMAT, rank, "merge %d has the %s token %d", rank,
						   spec->special[ids[i]] ? "special" : "added", ids[i]);
	}
	left = &spec->tokens[merge->left];
	right = &spec->tokens[merge->right];
	result = &spec->tokens[merge->result];
	if (left->size + right->size != result->size ||
		memcmp(result->data, left->data, left->size) != 0 ||
		memcmp(result->data + left->size, right->data, right->size) != 0)
		return lm_fail(error, LM_ERR_FORMAT, rank,
					   "merge %d: tokens %d and %d do not join to token %d", rank, merge->left,
					   merge->right, merge->result);
	return true;
}

/* Token i is byte i for the first 256; all further tokens are special. */
static bool
check_byte_tokens(const LmTokenizerSpec *spec, LmError *error)
{
	if (spec->n_tokens < 256)
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "a tokenizer of bytes has at least 256 tokens, not %d", spec->n_tokens);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		if (id >= 256 && !spec->special[id])
			return lm_fail(error, LM_ERR_FORMAT, id,
						   "token %d of a tokenizer of bytes is not special", id);
		if (id < 256 && (spec->special[id] || spec->tokens[id].size != 1 ||
						 (unsigned char) spec->tokens[id].data[0] != id))
			return lm_fail(error, LM_ERR_FORMAT, id,
						   "token %d of a tokenizer of bytes is not the byte 0x%02x", id, id);
	}
	return true;
}

static bool
check_chars(const LmTokenizerSpec *spec, LmError *error)
{
	for (int id = 0; id < spec->n_tokens; id++)
	{
		LmBytes token = spec->tokens[id];

		if (lm_spec_makes(spec, id) &&
			(size_t) lm_utf8_length(token.data, token.size) != token.size)
			return lm_fail(error, LM_ERR_FORMAT, id,
						   "token %d of a tokenizer of characters is not one character", id);
	}
	return true;
}

/*
 * The block is  | spec | scores | tokens | merges | special | flags | patterns, each with its NUL |
 * table of characters | bytes of the tokens |. Its size cannot overflow: the check has bounded
 * every count.
 */
LmTokenizerSpec *
lm_spec_copy(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	LmTokenizerSpec *copy = lm_array_allocate(host, spec_block_size(spec), 1, error);
	size_t n_tokens = (size_t) spec->n_tokens, n_merges = (size_t) spec->n_merges;
	char *place;

	if (!copy)
		return NULL;
	*copy = *spec;
	place = (char *) (copy + 1);
	copy->scores = copy_array(&place, spec->scores, n_tokens, sizeof *spec->scores);
	copy->tokens = copy_array(&place, spec->tokens, n_tokens, sizeof *spec->tokens);
	copy->merges = copy_array(&place, spec->merges, n_merges, sizeof *spec->merges);
	copy->special = copy_array(&place, spec->special, n_tokens, sizeof *spec->special);
	copy->flags = copy_array(&place, spec->flags, n_tokens, sizeof *spec->flags);
	copy->pattern = copy_pattern(&place, spec->pattern);
	for (int i = 0; i < LM_MAX_PATTERNS - 1; i++)
		copy->further[i] = copy_pattern(&place, spec->further[i]);
	copy->charsmap.data = copy_array(&place, spec->charsmap.data, spec->charsmap.size, 1);
	for (size_t id = 0; id < n_tokens; id++)
	{
		if (!go_on(host, (int) id, error))
		{
			lm_free(host, copy);
			return NULL;
		}
		copy->tokens[id].data = copy_array(&place, spec->tokens[id].data, spec->tokens[id].size, 1);
	}
	return copy;
}

static size_t
spec_block_size(const LmTokenizerSpec *spec)
{
	size_t size = sizeof *spec + (size_t) spec->n_merges * sizeof *spec->merges;
	size_t token_size = sizeof *spec->tokens + sizeof *spec->special + sizeof *spec->flags;

	size += (size_t) spec->n_tokens * (token_size + (spec->scores ? sizeof *spec->scores : 0));
	for (int id = 0; id < spec->n_tokens; id++)
		size += spec->tokens[id].size;
	size += spec->charsmap.data ? spec->charsmap.size : 0;
	for (int i = 0; i < LM_MAX_PATTERNS - 1; i++)
		size += spec->further[i] ? strlen(spec->further[i]) + 1 : 0;
	return size + (spec->pattern ? strlen(spec->pattern) + 1 : 0);
}

/* A copy of count items at *place, which moves behind them; NULL of NULL. */
static void *
copy_array(char **place, const void *items, size_t count, size_t item_size)
{
	void *copy = *place;

	if (!items)
		return NULL;
	if (count > 0)
		memcpy(copy, items, count * item_size);
	*place += count * item_size;
	return copy;
}

static const char *
copy_pattern(char **place, const char *pattern)
{
	return copy_array(place, pattern, pattern ? strlen(pattern) + 1 : 0, 1);
}
