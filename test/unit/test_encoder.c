/*
 * test/unit/test_encoder.c
 *
 * Documents encoded on all threads: the ids that one thread gives, and what cannot be done there
 * left to the caller; and the allocator inside a block that the threads work with.
 */
#include "base/region.h"
#include "tokenizer_fixture.h"

#define MERGES "test/fixtures/tokenizer/shakespeare.merges"

enum
{
	N_DOCUMENTS = 600,
	LARGE = 300000,
};

static uint64_t random_state = 11;

static uint32_t
draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) (random_state >> 33) % below;
}

/*
 * Words, numbers, marks that combine, long runs of a letter; document 100 is not UTF-8, 200 is
 * large, 300 is empty.
 */
static LmBytes
make_document(int number)
{
	static const char *const parts[] = {
		" the",		   " king", "dom", " thou",		 "'ll",		  "\n",
		"  ",		   " 1599", ",",   " n\xC3\xA9", "e\xCC\x81", " \xE4\xB8\x80\xE4\xB8\x80",
		" loveliness", "!?",	" q"};
	size_t size = number == 200 ? LARGE : number == 300 ? 0 : draw(3000), n = 0;
	char *text = malloc(size + 100);

	while (n < size)
	{
		if (draw(200) == 0)
		{
			size_t run = draw(60);

			memset(text + n, 'a' + (int) draw(3), run);
			n += run;
		}
		else
			n += (size_t) sprintf(text + n, "%s", parts[draw(sizeof parts / sizeof *parts)]);
	}
	if (number == 100)
		text[n++] = (char) 0xFF;
	return (LmBytes){text, n};
}

typedef struct Corpus
{
	LmBytes texts[N_DOCUMENTS];
	LmTokens wanted[N_DOCUMENTS]; /* by one tokenizer, one after the other */
	bool right[N_DOCUMENTS];
} Corpus;

static void
encode_alone(Corpus *corpus, LmTokenizer *tokenizer)
{
	LmError error;

	for (int i = 0; i < N_DOCUMENTS; i++)
	{
		corpus->wanted[i].count = 0;
		corpus->right[i] = lm_tokenizer_encode(tokenizer, &corpus->wanted[i], corpus->texts[i].data,
											   corpus->texts[i].size, &error);
	}
}

static LmEncoding *
make_encodings(const Corpus *corpus)
{
	LmEncoding *encodings = calloc(N_DOCUMENTS, sizeof *encodings);

	for (int i = 0; i < N_DOCUMENTS; i++)
	{
		encodings[i].text = corpus->texts[i].data;
		encodings[i].size = encodings[i].capacity = corpus->texts[i].size;
		encodings[i].ids = malloc(encodings[i].size * sizeof(int32_t) + 1);
	}
	return encodings;
}

static void
free_encodings(LmEncoding *encodings)
{
	for (int i = 0; i < N_DOCUMENTS; i++)
		free(encodings[i].ids);
	free(encodings);
}

static LmEngine *
start(const LmHost *host, int n_threads)
{
	LmEngineOptions options = {n_threads, ""};
	LmError error;

	return lm_engine_start(host, &options, &error);
}

static bool
same_ids(const LmEncoding *encoding, const LmTokens *wanted)
{
	return encoding->count == wanted->count &&
		   (wanted->count == 0 ||
			memcmp(encoding->ids, wanted->ids, wanted->count * sizeof(int32_t)) == 0);
}

static void
test_same(const LmHost *host, const LmTokenizerSpec *spec, Corpus *corpus, const char *name)
{
	LmError error;
	LmTokenizer *tokenizer = lm_tokenizer_create(host, spec, &error);

	encode_alone(corpus, tokenizer);
	for (int n_threads = 1; n_threads <= 4; n_threads *= 2)
	{
		LmEngine *engine = start(host, n_threads);
		LmEncoder *encoder = lm_encoder_create(engine, tokenizer, host, &error);
		LmEncoding *encodings = make_encodings(corpus);
		bool same = true;
		int undone = 0;

		/* The second time the caches are in use. */
		for (int round = 0; round < 2; round++)
		{
			undone = 0;
			lm_engine_begin(engine);
			lm_encoder_run(encoder, encodings, N_DOCUMENTS);
			for (int i = 0; i < N_DOCUMENTS; i++)
			{
				undone += corpus->right[i] && !encodings[i].done;
				same &= !encodings[i].done ||
						(corpus->right[i] && same_ids(&encodings[i], &corpus->wanted[i]));
			}
		}
		ok(same && undone == 0,
		   "%s: %d threads give the ids of one tokenizer, and leave what is in error", name,
		   n_threads);
		free_encodings(encodings);
		lm_encoder_free(encoder);
		lm_engine_stop(engine);
	}
	lm_tokenizer_free(tokenizer);
}

static void
test_stop(TapHost *state, const LmHost *host, const LmTokenizerSpec *spec, const Corpus *corpus)
{
	LmError error;
	LmTokenizer *tokenizer = lm_tokenizer_create(host, spec, &error);
	LmEngine *engine = start(host, 2);
	LmEncoder *encoder = lm_encoder_create(engine, tokenizer, host, &error);
	LmEncoding *encodings = make_encodings(corpus);
	int n_done = 0;

	lm_engine_begin(engine);
	state->stop = true;
	lm_encoder_run(encoder, encodings, N_DOCUMENTS);
	state->stop = false;
	for (int i = 0; i < N_DOCUMENTS; i++)
		n_done += encodings[i].done;
	ok(n_done < N_DOCUMENTS && lm_engine_stopped(engine), "a stop leaves documents undone");
	free_encodings(encodings);
	lm_encoder_free(encoder);
	lm_engine_stop(engine);
	lm_tokenizer_free(tokenizer);
}

static void
test_memory(TapHost *state, const LmHost *host, const LmTokenizerSpec *spec)
{
	LmError error = {0};
	LmTokenizer *tokenizer = lm_tokenizer_create(host, spec, &error);
	LmEngine *engine = start(host, 2);
	long live = state->live;
	bool right = true;

	for (int i = 0; i < 3; i++)
	{
		LmEncoder *encoder;

		state->fail_after = i;
		encoder = lm_encoder_create(engine, tokenizer, host, &error);
		right &= !encoder && error.code == LM_ERR_MEMORY && state->live == live;
	}
	state->fail_after = -1;
	ok(right, "an encoder that finds no memory is none");
	lm_engine_stop(engine);
	lm_tokenizer_free(tokenizer);
}

static void
test_region(void)
{
	enum
	{
		SIZE = 1 << 16,
		N_BLOCKS = 20
	};
	_Alignas(16) static char memory[SIZE];
	unsigned char *blocks[N_BLOCKS] = {NULL};
	size_t sizes[N_BLOCKS] = {0};
	bool kept = true, refused = false;
	LmRegion region;

	lm_region_init(&region, memory, SIZE);
	for (int round = 0; round < 20000; round++)
	{
		int i = (int) draw(N_BLOCKS);
		size_t size = draw(3) == 0 ? 0 : draw(8000);
		unsigned char *block = lm_region_reallocate(&region, blocks[i], size);

		for (size_t j = 0; block && j < sizes[i] && j < size; j++)
			kept &= block[j] == i;
		if (!block && size > 0)
		{
			refused = true;
			continue;
		}
		blocks[i] = block;
		sizes[i] = size;
		if (block)
			memset(block, i, size);
		kept &= (char *) block + size <= memory + SIZE && (uintptr_t) block % 16 == 0;
	}
	for (int i = 0; i < N_BLOCKS; i++)
		for (size_t j = 0; blocks[i] && j < sizes[i]; j++)
			kept &= blocks[i][j] == i;
	ok(kept && refused,
	   "blocks of a region keep what was written to them, and a full one gives none");
	for (int i = 0; i < N_BLOCKS; i++)
		lm_region_reallocate(&region, blocks[i], 0);
	ok(lm_region_reallocate(&region, NULL, SIZE - 16) != NULL,
	   "what is given back becomes one block again");
	ok(lm_region_reallocate(&region, NULL, SIZE_MAX) == NULL, "a size that cannot be is refused");
}

int
main(void)
{
	static Corpus corpus;
	TapHost state;
	LmHost host = tap_host(&state);
	FixtureSpec fixture;
	LmCharsTrainer *chars;
	LmError error;

	for (int i = 0; i < N_DOCUMENTS; i++)
		corpus.texts[i] = make_document(i);
	fixture_load_merges(&fixture, MERGES, false);
	test_same(&host, &fixture.spec, &corpus, "GPT-2's pattern");
	test_stop(&state, &host, &fixture.spec, &corpus);
	test_memory(&state, &host, &fixture.spec);
	fixture.spec.pattern = "\\s?[A-Za-z]+|.";
	fixture.spec.normalize_nfc = true;
	test_same(&host, &fixture.spec, &corpus, "another pattern, with NFC");
	fixture_free(&fixture);
	test_same(&host, lm_bytes_spec(), &corpus, "bytes");
	chars = lm_chars_trainer_create(&host, &error);
	lm_chars_trainer_add(chars, corpus.texts[5].data, corpus.texts[5].size, &error);
	test_same(&host, lm_chars_trainer_finish(chars, &error), &corpus, "characters");
	lm_chars_trainer_free(chars);
	test_region();
	for (int i = 0; i < N_DOCUMENTS; i++)
	{
		free((char *) corpus.texts[i].data);
		lm_tokens_free(&host, &corpus.wanted[i]);
	}
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
