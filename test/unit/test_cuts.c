/*
 * test/unit/test_cuts.c
 *
 * Pieces that are cut where no token crosses have the tokens that merging them whole gives: random
 * vocabularies, whose tokens begin and end within characters, against merges in plain arrays.
 */
#include "split_support.h"
#include "text/cuts.h"
#include "text/tokenizer_parts.h"

#define MAX_TEXT 400
#define N_MERGES 300

static TapHost state;
static LmHost host;

/* Text of few characters, so that pairs repeat; now and then a run of one of them. */
static size_t
text_of_few(char *text, uint32_t n)
{
	static const int32_t codes[] = {'a',   'b',	   ' ',		'.',	 0xE9,	  0xEA,	  0x416,
									0x436, 0x4E2D, 0x4E2E,	0x4E6D,	 0x56FD,  0x3002, 0xFF0C,
									0x301, 0xE01,  0x20000, 0x20001, 0x1F600, 0x1F601};
	size_t size = 0;

	while (n > 0)
	{
		int32_t code = codes[random_below(sizeof codes / sizeof *codes)];
		uint32_t run = random_below(12) == 0 ? random_below(n) + 1 : 1;

		for (uint32_t i = 0; i < run; i++)
			size += (size_t) lm_utf8_encode(text + size, code);
		n -= run;
	}
	return size;
}

TAP_TWIN static LmMerge *
merge_of(LmTokenizerSpec *spec, int32_t left, int32_t right)
{
	for (int i = 0; i < spec->n_merges; i++)
		if (spec->merges[i].left == left && spec->merges[i].right == right)
			return &spec->merges[i];
	return NULL;
}

/* The ids of a text by the definition: the merge of lowest rank, its leftmost place, again. */
TAP_TWIN static size_t
merge_plainly(LmTokenizerSpec *spec, int32_t *ids, const char *text, size_t size)
{
	size_t n = size;

	for (size_t i = 0; i < size; i++)
		ids[i] = (unsigned char) text[i];
	for (;;)
	{
		LmMerge *best = NULL;
		size_t place = 0;

		for (size_t i = 0; i + 1 < n; i++)
		{
			LmMerge *merge = merge_of(spec, ids[i], ids[i + 1]);

			if (merge && (!best || merge < best))
			{
				best = merge;
				place = i;
			}
		}
		if (!best)
			return n;
		ids[place] = best->result;
		memmove(ids + place + 1, ids + place + 2, (n - place - 2) * sizeof *ids);
		n--;
	}
}

/* 256 bytes and merges of pairs that texts have, in any order. */
static void
make_vocabulary(FixtureSpec *fixture)
{
	LmTokenizerSpec *spec = &fixture->spec;
	int32_t ids[4 * MAX_TEXT];
	char text[4 * MAX_TEXT];

	memset(fixture, 0, sizeof *fixture);
	spec->end_of_text = spec->beginning = spec->unknown = -1;
	spec->pattern = "(?s:.+)";
	for (int byte = 0; byte < 256; byte++)
		fixture_add_token(fixture, (char[1]){(char) byte}, 1, "", 0);
	for (int tries = 0; spec->n_merges < N_MERGES && tries < 20 * N_MERGES; tries++)
	{
		size_t n = merge_plainly(spec, ids, text, text_of_few(text, 30));
		size_t place = random_below((uint32_t) n);
		LmMerge merge;
		bool known = place + 1 >= n;

		if (known)
			continue;
		merge = (LmMerge){ids[place], ids[place + 1], spec->n_tokens};
		for (int id = 0; !known && id < spec->n_tokens; id++)
			known = spec->tokens[id].size ==
						spec->tokens[merge.left].size + spec->tokens[merge.right].size &&
					memcmp(spec->tokens[id].data, spec->tokens[merge.left].data,
						   spec->tokens[merge.left].size) == 0 &&
					memcmp(spec->tokens[id].data + spec->tokens[merge.left].size,
						   spec->tokens[merge.right].data, spec->tokens[merge.right].size) == 0;
		if (known)
			continue;
		fixture_add_token(fixture, spec->tokens[merge.left].data, spec->tokens[merge.left].size,
						  spec->tokens[merge.right].data, spec->tokens[merge.right].size);
		spec->merges[spec->n_merges++] = merge;
	}
}

/* Whether ids are those of the definition; counts where the text was cut. */
static bool
check_text(LmTokenizer *tokenizer, LmTokenizerSpec *spec, const char *text, size_t size,
		   size_t *n_cuts)
{
	int32_t wanted[4 * MAX_TEXT];
	size_t n = merge_plainly(spec, wanted, text, size), end;
	LmTokens tokens = {NULL};
	LmError error = {0};
	bool same = lm_tokenizer_encode(tokenizer, &tokens, text, size, &error);

	same = same && tokens.count == n && memcmp(tokens.ids, wanted, n * sizeof *wanted) == 0;
	if (!same)
		printf("# wrong ids for: %.*s\n", (int) size, text);
	lm_tokens_free(&host, &tokens);
	for (size_t start = 0; start < size; start = end)
	{
		end = lm_cuts_end(&tokenizer->bpe.cuts, (LmBytes){text, size}, start);
		*n_cuts += end < size;
	}
	return same;
}

static void
test_vocabularies(void)
{
	bool same = true;
	size_t n_cuts = 0;

	for (int round = 0; same && round < 6; round++)
	{
		FixtureSpec fixture;
		LmTokenizer *tokenizer;
		LmError error = {0};

		make_vocabulary(&fixture);
		tokenizer = lm_tokenizer_create(&host, &fixture.spec, &error);
		if (!tokenizer)
			printf("# %s\n", error.message);
		for (int i = 0; tokenizer && same && i < 200; i++)
		{
			char text[4 * MAX_TEXT];
			size_t size = text_of_few(text, 1 + random_below(i % 10 == 0 ? MAX_TEXT : 30));

			same = check_text(tokenizer, &fixture.spec, text, size, &n_cuts);
		}
		same = same && tokenizer;
		lm_tokenizer_free(tokenizer);
		fixture_free(&fixture);
	}
	ok(same, "pieces that are cut have the ids of pieces that are not, in random vocabularies");
	ok(n_cuts > 3000, "and many are cut (%zu)", n_cuts);
}

/* 中国, with a merge of their inner bytes only: \xB8\xAD\xE5, which crosses the boundary. */
static void
test_within_characters(void)
{
	static const char text[] = "\xE4\xB8\xAD\xE5\x9B\xBD";
	static const LmMerge merges[] = {{0xAD, 0xE5, 256}, {0xB8, 256, 257}};
	FixtureSpec fixture = {.spec = {.end_of_text = -1, .beginning = -1, .unknown = -1}};
	LmTokenizer *tokenizer;
	size_t cuts = 0;

	fixture.spec.pattern = "(?s:.+)";
	for (int byte = 0; byte < 256; byte++)
		fixture_add_token(&fixture, (char[1]){(char) byte}, 1, "", 0);
	fixture_add_token(&fixture, "\xAD\xE5", 2, "", 0);
	fixture_add_token(&fixture, "\xB8\xAD\xE5", 3, "", 0);
	memcpy(fixture.spec.merges, merges, sizeof merges);
	fixture.spec.n_merges = 2;
	tokenizer = lm_tokenizer_create(&host, &fixture.spec, NULL);
	ok(tokenizer && check_text(tokenizer, &fixture.spec, text, strlen(text), &cuts) && cuts == 0,
	   "a token of the inner bytes of two characters keeps them together");
	lm_tokenizer_free(tokenizer);
	fixture_free(&fixture);
}

/* A piece that is a token without merges is that token; as a part of a piece it is not. */
static void
test_parts_are_no_pieces(void)
{
	FixtureSpec fixture = {.spec = {.end_of_text = -1, .beginning = -1, .unknown = -1}};
	LmTokenizerSpec *spec = &fixture.spec;
	LmTokenizer *tokenizer;
	bool same = true;

	spec->pattern = "[^ ]+";
	spec->ignore_merges = true;
	for (int byte = 0; byte < 256; byte++)
		fixture_add_token(&fixture, (char[1]){(char) byte}, 1, "", 0);
	fixture_add_token(&fixture, "\xE4\xB8\xAD", 3, "", 0);
	tokenizer = lm_tokenizer_create(&host, spec, NULL);
	/* Often enough for the cache to be made. */
	for (int i = 0; tokenizer && same && i < 4000; i++)
	{
		LmTokens tokens = {NULL};
		static const int32_t wanted[] = {256, ' ', 0xE4, 0xB8, 0xAD, 0xE4, 0xB8, 0xAD};

		same = lm_tokenizer_encode(tokenizer, &tokens, "\xE4\xB8\xAD \xE4\xB8\xAD\xE4\xB8\xAD", 10,
								   NULL) &&
			   tokens.count == 8 && memcmp(tokens.ids, wanted, sizeof wanted) == 0;
		lm_tokens_free(&host, &tokens);
	}
	ok(tokenizer && same, "a token that no merge makes is a whole piece, never a part of one");
	lm_tokenizer_free(tokenizer);
	fixture_free(&fixture);
}

int
main(void)
{
	host = tap_host(&state);
	test_vocabularies();
	test_within_characters();
	test_parts_are_no_pieces();
	is_int(state.live, 0, "nothing is left behind");
	return done_testing();
}
