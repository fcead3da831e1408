/*
 * test/unit/test_reader.c
 *
 * Batches that are made ahead: the same ones as without, from any place, and errors where they
 * belong.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "train_support.h"

enum
{
	CONTEXT = 8,
	N_IDS = 4000,
	N_WINDOWS = N_IDS / (CONTEXT + 1),
	N_BATCHES = 3,
	MAX_TOKENS = 50,
};

typedef struct TokenFile
{
	LmDatasetHeader header;
	uint16_t ids[N_IDS];
	LmWindow windows[N_WINDOWS];
} TokenFile;

static LmDataset
make_file(TokenFile *file, LmDocuments documents)
{
	LmDataset dataset = {.context = CONTEXT, .seed = 3, .shuffle = true, .documents = documents};
	uint64_t state = 7;
	LmError error;

	memset(file, 0, sizeof *file);
	memcpy(file->header.magic, LM_DATASET_MAGIC, 8);
	file->header.token_size = 2;
	file->header.vocabulary = 1000;
	file->header.group = 1;
	file->header.n_tokens = N_IDS;
	file->header.n_train_windows = N_WINDOWS;
	file->header.windows_offset = offsetof(TokenFile, windows);
	for (int i = 0; i < N_IDS; i++)
		file->ids[i] = (uint16_t) (test_random(&state) % 1000);
	for (int i = 0; i < N_WINDOWS; i++)
	{
		uint32_t length = 2 + test_random(&state) % CONTEXT;

		file->windows[i] = (LmWindow){(uint64_t) i * (CONTEXT + 1), length, 0, 1, 0};
		file->header.train_tokens += length - 1;
	}
	if (!lm_dataset_open(&dataset, file, sizeof *file, &error))
		printf("# %s\n", error.message);
	return dataset;
}

static LmReader *
open_reader(LmEngine *engine, const LmDataset *dataset)
{
	LmError error;
	LmReader *reader = lm_reader_create(engine, dataset, N_BATCHES, MAX_TOKENS, 5, &error);

	if (!reader)
		exit(1);
	return reader;
}

static bool
same_batch(const LmBatch *a, const LmBatch *b)
{
	size_t size = (size_t) a->n_tokens * sizeof(int32_t);

	return a->n_tokens == b->n_tokens && memcmp(a->tokens, b->tokens, size) == 0 &&
		   memcmp(a->targets, b->targets, size) == 0 && memcmp(a->weights, b->weights, size) == 0 &&
		   memcmp(a->positions, b->positions, size) == 0 &&
		   memcmp(a->starts, b->starts, size) == 0 && memcmp(a->examples, b->examples, size) == 0;
}

/* One step's batches from the reader beside those from the dataset; moves both cursors. */
static bool
same_step(LmReader *reader, const LmDataset *dataset, LmCursor *cursor, LmBatch *plain)
{
	LmCursor other = *cursor;
	LmError error;
	const LmBatch *batches = lm_reader_next(reader, cursor, &error);
	int32_t example = 0;
	bool same = batches != NULL;

	for (int i = 0; same && i < N_BATCHES; i++)
		same = lm_dataset_next(plain, &other, &example, dataset, MAX_TOKENS, 5, &error) &&
			   same_batch(plain, &batches[i]);
	return same && other.drawn == cursor->drawn;
}

static void
test_same(LmEngine *engine, const LmHost *host, LmDocuments documents)
{
	static TokenFile file;
	LmDataset dataset = make_file(&file, documents);
	LmReader *reader = open_reader(engine, &dataset);
	LmBatch plain = create_batch(host, MAX_TOKENS);
	LmCursor cursor = {0};
	bool same = true;
	LmError error;

	for (int step = 0; step < 100; step++)
		same &= same_step(reader, &dataset, &cursor, &plain);
	ok(same, "%s: batches read ahead are those of the dataset",
	   documents == LM_DOCUMENTS_JOINED ? "joined" : "packed");
	cursor.drawn = 17;
	same = same_step(reader, &dataset, &cursor, &plain) &&
		   same_step(reader, &dataset, &cursor, &plain);
	ok(same, "from another place too, as after a checkpoint");
	lm_reader_free(reader);
	reader = open_reader(engine, &dataset);
	ok(same_step(reader, &dataset, &cursor, &plain),
	   "a second reader goes on where the first one ended");
	lm_reader_free(reader);
	reader = open_reader(engine, &dataset);
	lm_reader_number_from(reader, 90);
	ok(lm_reader_next(reader, &cursor, &error)->examples[0] == 90 &&
		   lm_reader_next(reader, &cursor, &error)->examples[0] == 90,
	   "windows of each step are numbered from the given one");
	lm_reader_free(reader);
	lm_batch_free(&plain, host);
}

/* The bad id stands in what is read ahead; the error comes when its step does. */
static void
test_bad_id(LmEngine *engine, const LmHost *host)
{
	static TokenFile file;
	LmDataset dataset = make_file(&file, LM_DOCUMENTS_PACKED);
	LmReader *reader;
	LmBatch plain = create_batch(host, MAX_TOKENS);
	LmCursor cursor = {0}, before;
	LmError error = {0};

	dataset.shuffle = false;
	reader = open_reader(engine, &dataset);
	for (int step = 0; step < 2; step++)
		lm_reader_next(reader, &cursor, &error);
	lm_reader_free(reader);
	file.ids[file.windows[cursor.drawn].offset] = 1000;
	reader = open_reader(engine, &dataset);
	cursor.drawn = 0;
	for (int step = 0; step < 2; step++)
		ok(same_step(reader, &dataset, &cursor, &plain),
		   "step %d in front of an id outside the vocabulary is made", step);
	before = cursor;
	ok(!lm_reader_next(reader, &cursor, &error) && error.code == LM_ERR_FORMAT &&
		   cursor.drawn == before.drawn,
	   "the step with the id is refused, and the cursor stays");
	ok(!lm_reader_next(reader, &cursor, &error) && error.code == LM_ERR_FORMAT, "and again");
	lm_reader_free(reader);
	lm_batch_free(&plain, host);
}

static void
test_fork(LmEngine *engine, const LmHost *host)
{
	static TokenFile file;
	LmDataset dataset = make_file(&file, LM_DOCUMENTS_PACKED);
	LmReader *reader = open_reader(engine, &dataset);
	LmBatch plain = create_batch(host, MAX_TOKENS);
	LmCursor cursor = {0};
	int status = -1;
	pid_t child;

	same_step(reader, &dataset, &cursor, &plain);
	lm_reader_free(reader);
	reader = open_reader(engine, &dataset);
	child = fork();
	if (child == 0)
		_exit(same_step(reader, &dataset, &cursor, &plain) &&
					  same_step(reader, &dataset, &cursor, &plain)
				  ? 0
				  : 1);
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child reads without the thread");
	lm_reader_free(reader);
	lm_batch_free(&plain, host);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_same(engine, &host, LM_DOCUMENTS_PACKED);
	test_same(engine, &host, LM_DOCUMENTS_JOINED);
	test_bad_id(engine, &host);
	test_fork(engine, &host);
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
