/*
 * test/unit/test_mutations.c
 *
 * Mutated files of each format: each is an error or a valid file, within the bounds on memory, and
 * nothing leaks; the targets of test/fuzz abort otherwise. The files are those of test/fuzz/corpus.
 * GPT_MUTATIONS says how many there are of each format.
 */
#include <dirent.h>

#include "tap.h"
#include "../fuzz/target_constraint.h"
#include "../fuzz/target_gguf.h"
#include "../fuzz/target_llama2c.h"
#include "../fuzz/target_safetensors.h"
#include "../fuzz/target_sentencepiece.h"
#include "../fuzz/target_tensors.h"
#include "../fuzz/target_tokenizer.h"
#include "../fuzz/target_word_counts.h"

#define MOST_FILES 512
#define MOST_SIZE 16384

/* Files of a folder, sorted by name: the order of a folder differs from machine to machine. */
typedef struct Corpus
{
	int n;
	char *names[MOST_FILES];
	uint8_t *data[MOST_FILES];
	size_t sizes[MOST_FILES];
} Corpus;

/* Numbers that readers mistake. */
static const uint64_t edges[] = {
	0,			1,			0x7f,		0x80,		0xff,		0x7fff,	   0xffff,	   0x10000,
	0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 62, INT64_MAX, 1ull << 63, UINT64_MAX};

static uint64_t state = 18;

/* Marsaglia, "Xorshift RNGs", 2003: below n. */
static size_t
draw(size_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return n ? (size_t) (state % n) : 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static void
read_corpus(Corpus *corpus, const char *target)
{
	char path[512];
	DIR *folder;
	struct dirent *entry;

	corpus->n = 0;
	snprintf(path, sizeof path, "test/fuzz/corpus/%s", target);
	folder = opendir(path);
	while (folder && corpus->n < MOST_FILES && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			corpus->names[corpus->n++] = strdup(entry->d_name);
	if (folder)
		closedir(folder);
	qsort(corpus->names, (size_t) corpus->n, sizeof corpus->names[0], compare_names);
	for (int i = 0; i < corpus->n; i++)
	{
		snprintf(path, sizeof path, "test/fuzz/corpus/%s/%s", target, corpus->names[i]);
		corpus->data[i] = (uint8_t *) tap_read_file(path, &corpus->sizes[i]);
	}
}

static void
free_corpus(Corpus *corpus)
{
	for (int i = 0; i < corpus->n; i++)
	{
		free(corpus->names[i]);
		free(corpus->data[i]);
	}
}

/* Changes a file of `size` bytes in one way; returns its new size. */
static size_t
mutate(uint8_t *data, size_t size)
{
	size_t at = draw(size), n = 1 + draw(16), from = draw(size);
	uint64_t edge = edges[draw(sizeof edges / sizeof edges[0])];

	n = n > size - at ? size - at : n;
	switch (draw(8))
	{
		case 0:
			data[at] ^= (uint8_t) (1 << draw(8));
			return size;
		case 1:
			data[at] = (uint8_t) draw(256);
			return size;
		case 2:
			edge += draw(3) - 1;
			memcpy(data + at, &edge, size - at < 8 ? size - at : 8);
			return size;
		case 3:
			memcpy(data + at, &edge, size - at < 4 ? size - at : 4);
			return size;
		case 4: /* cut off */
			return draw(8) ? size : 1 + draw(size);
		case 5: /* copied over */
			memmove(data + at, data + from, n > size - from ? size - from : n);
			return size;
		case 6: /* taken out */
			memmove(data + at, data + at + n, size - at - n);
			return size - n ? size - n : size;
		default: /* put in */
			if (size + n > MOST_SIZE)
				return size;
			memmove(data + at + n, data + at, size - at);
			return size + n;
	}
}

static void
test_target(const char *name, bool (*target)(const uint8_t *data, size_t size), int n)
{
	Corpus *corpus = malloc(sizeof *corpus);
	int n_good = 0, n_seeds = 0;

	read_corpus(corpus, name);
	ok(corpus->n > 0, "%s has a corpus", name);
	for (int i = 0; i < corpus->n; i++)
		n_seeds +=
			!target(corpus->data[i], corpus->sizes[i]) && strncmp(corpus->names[i], "seed", 4) == 0;
	is_int(n_seeds, 0, "and its seeds are valid");
	for (int i = 0; i < n && corpus->n > 0; i++)
	{
		int file = (int) draw((size_t) corpus->n);
		size_t size = corpus->sizes[file];
		uint8_t *data = malloc(MOST_SIZE), *exact;

		memcpy(data, corpus->data[file], size);
		for (size_t times = 1 + draw(4); times > 0; times--)
			size = mutate(data, size);
		/* Of its very size, so that a sanitizer sees a read beyond its end. */
		exact = malloc(size);
		memcpy(exact, data, size);
		n_good += target(exact, size);
		free(exact);
		free(data);
	}
	ok(n_good > 0 && n_good < n, "%d mutated files of %s are errors or valid files", n, name);
	printf("# %d are valid\n", n_good);
	free_corpus(corpus);
	free(corpus);
}

int
main(void)
{
	const char *wanted = getenv("GPT_MUTATIONS");
	int n = wanted ? atoi(wanted) : tap_repeat(100000);

	test_target("constraint", target_constraint, n / 20);
	test_target("gguf", target_gguf, n);
	test_target("llama2c", target_llama2c, n);
	test_target("llama2c_tokens", target_llama2c_tokens, n);
	test_target("safetensors", target_safetensors, n);
	test_target("sentencepiece", target_sentencepiece, n);
	test_target("tensors", target_tensors, n);
	test_target("word_counts", target_word_counts, n);
	/* Making a tokenizer takes a millisecond. */
	test_target("tokenizer", target_tokenizer, n / 100);
	return done_testing();
}
