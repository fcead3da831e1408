/*
 * test/fuzz/target_tokenizer.h
 *
 * Any bytes as the description of a small tokenizer and a text: an error, or ids of the vocabulary
 * that decode to the text, where nothing normalises it, and that a tokenizer opened from the image
 * gives too.
 */
#ifndef TEST_TARGET_TOKENIZER_H
#define TEST_TARGET_TOKENIZER_H

#include "fuzz.h"
#include "engine/tokenizer.h"

#define FUZZ_EXTRA 48 /* tokens beside those of bytes */
#define FUZZ_TOKENS (256 + FUZZ_EXTRA)
#define FUZZ_TOKEN_SIZE 64

/* A tokenizer that is being described; the arrays of spec. */
typedef struct FuzzTokenizer
{
	const uint8_t *data; /* that are left */
	size_t size;
	LmTokenizerSpec spec;
	char texts[FUZZ_TOKENS][FUZZ_TOKEN_SIZE];
	LmBytes tokens[FUZZ_TOKENS];
	bool special[FUZZ_TOKENS];
	uint8_t flags[FUZZ_TOKENS];
	double scores[FUZZ_TOKENS];
	LmMerge merges[FUZZ_EXTRA];
} FuzzTokenizer;

/* The next byte, 0 after the last. */
static inline uint8_t
fuzz_next(FuzzTokenizer *t)
{
	if (t->size == 0)
		return 0;
	t->size--;
	return *t->data++;
}

static inline void
fuzz_add_token(FuzzTokenizer *t, const void *bytes, size_t size, int flags)
{
	int id = t->spec.n_tokens++;

	memcpy(t->texts[id], bytes, size);
	t->tokens[id] = (LmBytes){t->texts[id], size};
	t->flags[id] = (uint8_t) flags;
	t->scores[id] = -(double) (id % 7) / 2;
}

/* A token that is the next bytes, or two earlier ones, then with a merge. */
static inline void
fuzz_add_extra(FuzzTokenizer *t)
{
	LmTokenizerSpec *spec = &t->spec;
	int how = fuzz_next(t), id = spec->n_tokens;
	char text[FUZZ_TOKEN_SIZE];
	size_t size = 0;

	if (how & 1 && id > 0)
	{
		int left = fuzz_next(t), right = fuzz_next(t);

		left = (how & 2 ? 256 + left : left) % id;
		right = (how & 4 ? 256 + right : right) % id;
		if (t->tokens[left].size + t->tokens[right].size > sizeof text)
			return;
		memcpy(text, t->tokens[left].data, t->tokens[left].size);
		memcpy(text + t->tokens[left].size, t->tokens[right].data, t->tokens[right].size);
		size = t->tokens[left].size + t->tokens[right].size;
		t->merges[spec->n_merges++] = (LmMerge){left, right, id};
	}
	else
		for (size = 0; size < (size_t) (how >> 1 & 7);)
			text[size++] = (char) fuzz_next(t);
	fuzz_add_token(t, text, size, how & 16 ? fuzz_next(t) : 0);
	t->special[id] = how & 32;
}

static inline void
fuzz_describe(FuzzTokenizer *t)
{
	static const char *const patterns[] = {NULL, "\\p{L}+|\\p{N}", "\\s+", ".", " ?[^ ]+", "(?=a)"};
	LmTokenizerSpec *spec = &t->spec;
	int kind = fuzz_next(t), switches = fuzz_next(t), more = fuzz_next(t), n;

	*spec = (LmTokenizerSpec){
		.kind = (LmTokenizerKind) (kind % 5),
		.tokens = t->tokens,
		.special = t->special,
		.merges = t->merges,
		.flags = t->flags,
		.scores = t->scores,
		.pattern = patterns[(kind >> 4) % 6],
		.normalize_nfc = (switches & 3) == 1,
		.normalize_nfkc = (switches & 3) == 2,
		.ignore_merges = switches & 4,
		.fuse_unknown = switches & 8,
		.space_sign = switches & 16,
		.split_spaces = switches & 32,
		.strip_space = switches & 64,
		.prefix_once = switches & 128,
		.prefix = (LmPrefix) ((more & 3) % 3),
		.end_of_text = -1,
		.beginning = -1,
		.unknown = -1,
	};
	spec->further[0] = more & 4 ? patterns[1 + (more >> 3) % 5] : NULL;
	for (int byte = 0; byte < 256 && (spec->kind <= LM_TOKENIZER_BYTES || more & 64); byte++)
	{
		uint8_t letter = (uint8_t) byte;

		fuzz_add_token(t, &letter, 1, spec->kind <= LM_TOKENIZER_BYTES ? 0 : LM_TOKEN_BYTE);
	}
	n = fuzz_next(t) % FUZZ_EXTRA;
	for (int i = 0; i < n; i++)
		fuzz_add_extra(t);
	if (more & 128 && spec->n_tokens > 0)
		spec->unknown = spec->end_of_text = spec->n_tokens - 1;
}

/* Whether each text is what its tokens join to. */
static inline bool
fuzz_is_plain(const LmTokenizerSpec *spec)
{
	bool plain = !spec->normalize_nfc && !spec->normalize_nfkc && !spec->space_sign &&
				 !spec->strip_space && spec->prefix == LM_PREFIX_NONE && spec->unknown < 0;

	for (int id = 0; id < spec->n_tokens; id++)
		plain = plain && !spec->special[id] && !(spec->flags[id] & ~LM_TOKEN_BYTE);
	return plain;
}

static inline void
fuzz_check_ids(const FuzzTokenizer *t, const LmTokenizer *tokenizer, const LmTokens *ids)
{
	bool plain = fuzz_is_plain(&t->spec);
	size_t at = 0;

	for (size_t i = 0; i < ids->count; i++)
	{
		LmBytes bytes;

		FUZZ_CHECK(ids->ids[i] >= 0 && ids->ids[i] < t->spec.n_tokens);
		bytes = lm_tokenizer_bytes(tokenizer, ids->ids[i]);
		if (plain)
			FUZZ_CHECK(bytes.size <= t->size - at &&
					   memcmp(bytes.data, t->data + at, bytes.size) == 0);
		at += bytes.size;
	}
	FUZZ_CHECK(!plain || at == t->size);
}

/* The image of a tokenizer gives the same ids. */
static inline void
fuzz_check_image(const FuzzTokenizer *t, const LmTokenizer *tokenizer, const LmTokens *ids,
				 int flags, const LmHost *host)
{
	size_t size = lm_tokenizer_image_size(tokenizer);
	void *image = lm_allocate(host, size);
	LmError error = {0};
	LmTokens again = {0};
	LmTokenizer *opened;

	lm_tokenizer_image_build(image, tokenizer);
	opened = lm_tokenizer_open(host, image, size, &error);
	FUZZ_CHECK(opened != NULL);
	FUZZ_CHECK(
		lm_tokenizer_encode_part(opened, &again, (const char *) t->data, t->size, flags, &error));
	FUZZ_CHECK(
		again.count == ids->count &&
		(again.count == 0 || memcmp(again.ids, ids->ids, again.count * sizeof again.ids[0]) == 0));
	lm_tokens_free(host, &again);
	lm_tokenizer_free(opened);
	lm_free(host, image);
}

/* Whether the text was encoded. */
static inline bool
target_tokenizer(const uint8_t *data, size_t size)
{
	FuzzTokenizer *t = calloc(1, sizeof *t);
	FuzzHost state;
	LmHost host = fuzz_host(&state, (size_t) 64 << 20);
	LmTokenizer *tokenizer;
	LmTokens ids = {0};
	LmError error = {0};
	int flags;
	bool good = false;

	t->data = data;
	t->size = size;
	flags = fuzz_next(t) % 4;
	fuzz_describe(t);
	tokenizer = lm_tokenizer_create(&host, &t->spec, &error);
	if (tokenizer)
	{
		good = lm_tokenizer_encode_part(tokenizer, &ids, (const char *) t->data, t->size, flags,
										&error);
		if (good)
		{
			fuzz_check_ids(t, tokenizer, &ids);
			fuzz_check_image(t, tokenizer, &ids, flags, &host);
		}
	}
	FUZZ_CHECK(good || error.code != LM_OK);
	lm_tokens_free(&host, &ids);
	lm_tokenizer_free(tokenizer);
	FUZZ_CHECK(state.live == 0);
	free(t);
	return good;
}

#endif /* TEST_TARGET_TOKENIZER_H */
