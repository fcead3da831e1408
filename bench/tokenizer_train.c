/*
 * bench/tokenizer_train.c FILE VOCABULARY THREADS [MEMORY]
 *
 * Trains byte-level BPE as gpt does (whole characters of one script, pairs that occur thrice) on a
 * file, cut into texts at empty lines, and prints the seconds of each part, the distinct words, and
 * the most memory: by the allocator and by the system. MEMORY in MB is the trainer's limit, beyond
 * which words go to temporary files. In the environment: PLAIN=1 lets tokens cut characters and
 * learns pairs that occur twice; PATTERN is the split; MERGES=1 prints a sum over the merges.
 */
#define _GNU_SOURCE /* memmem */
#include <sys/resource.h>

#include "shapes.h"

#include "engine/tokenizer.h"

#define CHUNK ((size_t) 8 << 20)
#define MAX_TEXTS 65536

typedef struct Counted
{
	size_t live, peak;
} Counted;

static void *
reallocate(void *context, void *pointer, size_t size)
{
	Counted *counted = context;
	size_t *block = pointer ? (size_t *) pointer - 2 : NULL;
	size_t before = block ? block[0] : 0;

	if (size == 0)
	{
		counted->live -= before;
		free(block);
		return NULL;
	}
	block = realloc(block, size + 2 * sizeof(size_t));
	if (!block)
		return NULL;
	block[0] = size;
	counted->live += size - before;
	if (counted->live > counted->peak)
		counted->peak = counted->live;
	return block + 2;
}

static void
check(bool good, const LmError *error)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", error->message);
	exit(1);
}

/* ------------------------------------------------------------ words on disk */

typedef struct Spill
{
	FILE *parts[LM_BPE_PARTS];
	double seconds, bytes;
} Spill;

static void
spill_out(Spill *spill, LmBpeTrainer *trainer)
{
	double started = seconds_now();
	LmError error;
	LmBytes block;
	int part;

	while ((block = lm_bpe_trainer_spill(trainer, &part, &error)).size > 0)
	{
		uint32_t size = (uint32_t) block.size;

		if (!spill->parts[part])
			spill->parts[part] = tmpfile();
		fwrite(&size, sizeof size, 1, spill->parts[part]);
		fwrite(block.data, 1, block.size, spill->parts[part]);
		spill->bytes += block.size;
	}
	check(block.data != NULL, &error);
	spill->seconds += seconds_now() - started;
}

static void
spill_back(Spill *spill, LmBpeTrainer *trainer)
{
	static char block[1 << 20];
	double started = seconds_now();
	LmError error;
	uint32_t size;
	int part;

	while ((part = lm_bpe_trainer_wanted(trainer)) >= 0)
	{
		FILE *file = spill->parts[part];

		if (file)
			rewind(file);
		while (file && fread(&size, sizeof size, 1, file) == 1)
		{
			if (fread(block, 1, size, file) != size)
				exit(1);
			check(lm_bpe_trainer_restore(trainer, (LmBytes){block, size}, &error), &error);
		}
		check(lm_bpe_trainer_restored(trainer, &error), &error);
	}
	spill->seconds += seconds_now() - started;
}

/* ------------------------------------------------------------ texts of a file */

/* Cuts what is read at empty lines; returns the bytes of the texts. */
static size_t
cut(LmBytes *texts, int *n, const char *data, size_t size, bool last)
{
	size_t begin = 0;

	for (*n = 0; *n < MAX_TEXTS - 1;)
	{
		const char *end = memmem(data + begin, size - begin, "\n\n", 2);

		if (!end)
			break;
		texts[(*n)++] = (LmBytes){data + begin, (size_t) (end + 2 - (data + begin))};
		begin = (size_t) (end + 2 - data);
	}
	if (*n == 0 || last)
	{
		while (!last && size > begin && ((unsigned char) data[size - 1] & 0xC0) == 0x80)
			size--;
		if (!last && size > begin && (unsigned char) data[size - 1] >= 0xC0)
			size--;
		texts[(*n)++] = (LmBytes){data + begin, size - begin};
		begin = size;
	}
	return begin;
}

static double
count(LmBpeTrainer *trainer, Spill *spill, FILE *file)
{
	static LmBytes texts[MAX_TEXTS];
	char *data = malloc(CHUNK);
	size_t size = 0, n_read, used;
	double bytes = 0;
	LmError error;
	int n, failed;

	while ((n_read = fread(data + size, 1, CHUNK - size, file)) > 0 || size > 0)
	{
		size += n_read;
		used = cut(texts, &n, data, size, n_read == 0);
		while (!lm_bpe_trainer_add_many(trainer, texts, n, &failed, &error))
		{
			check(lm_bpe_trainer_full(trainer), &error);
			spill_out(spill, trainer);
		}
		bytes += (double) used;
		size -= used;
		memmove(data, data + used, size);
	}
	free(data);
	return bytes;
}

int
main(int argc, char **argv)
{
	Counted counted = {0, 0};
	LmHost host = {.reallocate = reallocate, .context = &counted};
	LmError error = {0};
	LmEngineOptions threads = {argc > 3 ? atoi(argv[3]) : 1, ""};
	LmEngine *engine = lm_engine_start(&host, &threads, &error);
	bool plain = getenv("PLAIN") != NULL;
	LmBpeOptions options = {.pattern = getenv("PATTERN"),
							.min_count = plain ? 2 : 3,
							.whole_characters = !plain,
							.engine = engine,
							.memory = argc > 4 ? (size_t) atol(argv[4]) << 20 : 0};
	LmBpeTrainer *trainer = lm_bpe_trainer_create(&host, &options, &error);
	FILE *file = argc > 3 ? fopen(argv[1], "r") : NULL;
	Spill spill = {{NULL}};
	double started = seconds_now(), bytes, counting, starting, merging;
	double processor[3];
	size_t words;
	struct rusage usage;
	bool done;

	if (!file)
	{
		fprintf(stderr, "usage: tokenizer_train FILE VOCABULARY THREADS [MEMORY]\n");
		return 2;
	}
	check(engine && trainer, &error);
	processor[0] = processor_seconds();
	bytes = count(trainer, &spill, file);
	processor[0] = processor_seconds() - processor[0];
	words = lm_bpe_trainer_words(trainer);
	counting = seconds_now() - started - spill.seconds;
	if (lm_bpe_trainer_spilled(trainer))
	{
		spill_out(&spill, trainer);
		spill_back(&spill, trainer);
	}
	started = seconds_now();
	processor[1] = processor_seconds();
	check(lm_bpe_trainer_merge(trainer, atoi(argv[2]), 1, &done, &error), &error);
	starting = seconds_now() - started;
	processor[2] = processor_seconds();
	processor[1] = processor[2] - processor[1];
	printf("counted: peak %.0f MB\n", counted.peak / 1048576.0);
	started = seconds_now();
	while (!done)
		check(lm_bpe_trainer_merge(trainer, atoi(argv[2]), 1000, &done, &error), &error);
	merging = seconds_now() - started;
	processor[2] = processor_seconds() - processor[2];
	getrusage(RUSAGE_SELF, &usage);
	printf("%.1f MB, %d threads: count %.2f s, spill %.2f s (%.0f MB), first pairs %.2f s, "
		   "merge %.2f s, all %.2f s\n",
		   bytes / 1e6, lm_engine_threads(engine), counting, spill.seconds, spill.bytes / 1e6,
		   starting, merging, counting + spill.seconds + starting + merging);
	printf("processor time: count %.2f s, first pairs %.2f s, merge %.2f s\n", processor[0],
		   processor[1], processor[2]);
	printf("%zu words in tables, %d tokens; most memory: allocator %.0f MB, system %.0f MB\n",
		   words, lm_bpe_trainer_tokens(trainer), counted.peak / 1048576.0,
		   usage.ru_maxrss / 1024.0);
	if (getenv("MERGES"))
	{
		int n_reached;
		const LmTokenizerSpec *spec =
			lm_bpe_trainer_finish(trainer, atoi(argv[2]), &n_reached, &error);
		uint64_t sum = 0;

		for (int i = 0; i < spec->n_merges; i++)
			sum = sum * 1099511628211u + (uint64_t) spec->merges[i].left * 1000003u +
				  (uint64_t) spec->merges[i].right;
		printf("merges %d, sum %016lx\n", spec->n_merges, (unsigned long) sum);
	}
	lm_bpe_trainer_free(trainer);
	lm_engine_stop(engine);
	fclose(file);
	return 0;
}
