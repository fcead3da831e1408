/*
 * test/unit/test_dataset.c
 *
 * From token files to batches: windows, packing, order, crops; and files that are not what they
 * should be.
 */
#include "engine/marked_text.h"
#include "train_support.h"

#define CONTEXT 8
#define MAX_FILE 65536

typedef struct TokenFile
{
	_Alignas(8) char bytes[MAX_FILE];
	size_t size;
	LmDatasetHeader *header;
	LmWindow *windows;
} TokenFile;

/* Documents of ids 0, 1, 2 ...: document d holds d * 100 + 0 .. lengths[d] - 1. */
static void
make_file(TokenFile *file, const int *train, int n_train, const int *validation, int n_validation,
		  int token_size)
{
	LmDatasetHeader *header = (LmDatasetHeader *) file->bytes;
	uint64_t n = 0, n_windows = 0;

	memset(file, 0, sizeof *file);
	file->header = header;
	memcpy(header->magic, LM_DATASET_MAGIC, 8);
	header->token_size = (uint32_t) token_size;
	header->vocabulary = 5000;
	header->group = 1;
	for (int d = 0; d < n_train + n_validation; d++)
		for (int i = 0; i < (d < n_train ? train[d] : validation[d - n_train]); i++, n++)
			if (token_size == 2)
				((uint16_t *) (header + 1))[n] = (uint16_t) (d * 100 + i);
			else
				((uint32_t *) (header + 1))[n] = (uint32_t) (d * 100 + i);
	header->n_tokens = n;
	header->windows_offset = (sizeof *header + n * (uint64_t) token_size + 7) / 8 * 8;
	file->windows = (LmWindow *) (file->bytes + header->windows_offset);
	n = 0;
	for (int d = 0; d < n_train + n_validation; d++)
	{
		uint64_t length = (uint64_t) (d < n_train ? train[d] : validation[d - n_train]);
		uint64_t count = lm_windows_count(length, CONTEXT);

		for (uint64_t i = 0; i < count; i++)
			file->windows[n_windows++] = lm_windows_cut(i, n, length, CONTEXT);
		*(d < n_train ? &header->n_train_windows : &header->n_validation_windows) += count;
		*(d < n_train ? &header->train_tokens : &header->validation_tokens) += length - 1;
		header->validation_counted += d < n_train ? 0 : length - 1;
		n += length;
	}
	file->size = header->windows_offset + n_windows * sizeof(LmWindow);
}

static LmDataset
open_file(const TokenFile *file)
{
	LmDataset dataset = {.context = CONTEXT, .seed = 3};
	LmError error;

	if (!lm_dataset_open(&dataset, file->bytes, file->size, &error))
		printf("# %s\n", error.message);
	return dataset;
}

static void
test_cut(void)
{
	bool once = true, fits = true, fewest = true, even = true;

	for (int context = 1; context < 20; context++)
		for (uint64_t n = 2; n < 100; n++)
		{
			int predicted[100] = {0};
			uint64_t count = lm_windows_count(n, context);
			uint32_t shortest = UINT32_MAX, longest = 0;

			for (uint64_t i = 0; i < count; i++)
			{
				LmWindow window = lm_windows_cut(i, 1000, n, context);

				fits = fits && window.length >= 2 && window.length <= (uint32_t) context + 1;
				shortest = window.length < shortest ? window.length : shortest;
				longest = window.length > longest ? window.length : longest;
				for (uint32_t j = 1; j < window.length; j++)
					predicted[window.offset - 1000 + j]++;
			}
			for (uint64_t i = 0; i < n; i++)
				once = once && predicted[i] == (i > 0);
			fewest = fewest && count == (n - 1 + (uint64_t) context - 1) / (uint64_t) context;
			even = even && longest - shortest <= 1;
		}
	ok(once, "every id of a document but the first is predicted exactly once");
	ok(fits, "every window fits the context and predicts something");
	ok(fewest && even, "windows are as few as possible and of nearly equal length");
	is_int((long long) lm_windows_count(1, 8) + (long long) lm_windows_count(0, 8), 0,
		   "a single id has no window");
}

/* Whether the batch is windows of consecutive ids, with positions and starts to match. */
static bool
is_well_formed(const LmBatch *batch)
{
	for (int t = 0; t < batch->n_tokens; t++)
	{
		if (batch->targets[t] != batch->tokens[t] + 1 || batch->weights[t] != 1 ||
			batch->positions[t] != t - batch->starts[t])
			return false;
		if (batch->positions[t] > 0 && (batch->tokens[t] != batch->tokens[t - 1] + 1 ||
										batch->starts[t] != batch->starts[t - 1] ||
										batch->examples[t] != batch->examples[t - 1]))
			return false;
	}
	return true;
}

static void
test_packed(const LmHost *host)
{
	static const int train[] = {20, 3, 9, 2, 14, 30, 5}, validation[] = {12, 4};
	static TokenFile file;
	LmBatch batch = create_batch(host, 20);
	bool formed = true, bounded = true, shuffled = false;
	int seen[2][800] = {{0}}, first_order[64], n_order = 0;
	LmCursor cursor = {0};
	LmDataset dataset;
	LmError error;
	int32_t example;

	make_file(&file, train, 7, validation, 2, 2);
	dataset = open_file(&file);
	is_int((long long) dataset.header->n_train_windows, 3 + 1 + 1 + 1 + 2 + 4 + 1,
		   "documents are cut into windows");
	dataset.shuffle = true;
	example = 0;
	while (cursor.drawn < 2 * dataset.header->n_train_windows)
	{
		uint64_t before = cursor.drawn;

		if (!lm_dataset_next(&batch, &cursor, &example, &dataset, 20, 100, &error))
			break;
		formed = formed && is_well_formed(&batch);
		bounded = bounded && batch.n_tokens <= 20 && batch.n_tokens > 0;
		for (int t = 0; t < batch.n_tokens; t++)
		{
			uint64_t epoch = (before + (uint64_t) (batch.examples[t] - batch.examples[0])) /
							 dataset.header->n_train_windows;

			if (epoch < 2)
				seen[epoch][batch.targets[t]]++;
			if (epoch == 0 && batch.positions[t] == 0)
				first_order[n_order++] = batch.tokens[t];
		}
	}
	for (int i = 1; i < n_order; i++)
		shuffled = shuffled || first_order[i] < first_order[i - 1];
	ok(formed, "rows of a batch are whole windows with their positions and starts");
	ok(bounded, "a batch holds at most the tokens asked for");
	ok(shuffled, "a shuffled corpus is not read in the file's order");
	formed = true;
	for (int d = 0; d < 7; d++)
		for (int i = 0; i < train[d]; i++)
			formed = formed && seen[0][100 * d + i] == (i > 0) && seen[1][100 * d + i] == (i > 0);
	ok(formed, "each epoch has every training window once and no other");
	lm_batch_free(&batch, host);
}

static void
test_determinism(const LmHost *host)
{
	static const int train[] = {20, 3, 9, 2, 14, 30, 5}, validation[] = {12, 4};
	static TokenFile file;
	LmBatch one = create_batch(host, 40), two = create_batch(host, 40);
	bool same = true;

	make_file(&file, train, 7, validation, 2, 4);
	for (int mode = 0; mode < 3; mode++)
	{
		LmDataset dataset = open_file(&file);
		LmCursor cursor = {0}, again;
		int32_t example = 0;
		LmError error;

		dataset.documents = mode == 2 ? LM_DOCUMENTS_JOINED : LM_DOCUMENTS_PACKED;
		dataset.shuffle = mode == 1;
		for (int i = 0; i < 9; i++)
		{
			int32_t same_example = example;
			LmCursor skipped = cursor;

			again = cursor;
			lm_dataset_skip(&skipped, &dataset, 40, 4, &error);
			lm_dataset_next(&one, &cursor, &example, &dataset, 40, 4, &error);
			lm_dataset_next(&two, &again, &same_example, &dataset, 40, 4, &error);
			same = same && one.n_tokens == two.n_tokens && cursor.drawn == again.drawn &&
				   example == same_example && skipped.drawn == cursor.drawn &&
				   memcmp(one.tokens, two.tokens, sizeof(int32_t) * (size_t) one.n_tokens) == 0;
		}
	}
	ok(same, "a batch is a function of dataset and cursor, and can be skipped");
	lm_batch_free(&one, host);
	lm_batch_free(&two, host);
}

static void
test_order_of_file(const LmHost *host)
{
	static const int train[] = {5, 3, 4};
	static TokenFile file;
	LmBatch batch = create_batch(host, 100);
	LmCursor cursor = {0};
	int32_t example = 7;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 3, NULL, 0, 4);
	dataset = open_file(&file);
	lm_dataset_next(&batch, &cursor, &example, &dataset, 9, 1, &error);
	is_int(batch.n_tokens, 4 + 2 + 3, "a batch is filled with windows while they fit");
	ok(batch.tokens[0] == 0 && batch.tokens[4] == 100 && batch.tokens[6] == 200,
	   "without shuffling in the file's order");
	ok(batch.examples[0] == 7 && batch.examples[8] == 9 && example == 10,
	   "examples are numbered on");
	ok(!lm_dataset_next(&batch, &cursor, &example, &dataset, 3, 1, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a window that cannot fit is an error");
	lm_batch_free(&batch, host);
}

static void
test_joined(const LmHost *host)
{
	static const int train[] = {2500}, validation[] = {30};
	static TokenFile file;
	LmBatch batch = create_batch(host, 64);
	int counts[10] = {0}, n = 0;
	bool whole = true, even = true, more = true;
	int covered[100] = {0};
	LmCursor cursor = {0};
	uint64_t next = 0;
	int32_t example = 0;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 1, validation, 1, 4);
	dataset = open_file(&file);
	dataset.documents = LM_DOCUMENTS_JOINED;
	for (int i = 0; i < 500; i++)
	{
		lm_dataset_next(&batch, &cursor, &example, &dataset, 64, 4, &error);
		whole = whole && batch.n_tokens == 4 * CONTEXT && is_well_formed(&batch);
		for (int j = 0; j < 4; j++, n++)
			counts[batch.tokens[j * CONTEXT] * 10 / 2492]++;
	}
	for (int i = 0; i < 10; i++)
		even = even && counts[i] > 130 && counts[i] < 270;
	ok(whole, "a joined batch is crops of the context");
	ok(even && n == 2000, "crops begin everywhere in the stream");
	while (more)
	{
		lm_dataset_validation(&batch, &next, &more, &dataset, 20, &error);
		for (int t = 0; t < batch.n_tokens; t++)
			covered[batch.targets[t] - 100]++;
	}
	whole = covered[0] == 0;
	for (int i = 1; i < 30; i++)
		whole = whole && covered[i] == 1;
	ok(whole, "validation reads the joined stream once");
	lm_batch_free(&batch, host);
}

static void
test_short_stream(const LmHost *host)
{
	static const int train[] = {4};
	static TokenFile file;
	LmBatch batch = create_batch(host, 64);
	LmCursor cursor = {0};
	uint64_t next = 0;
	bool more = true;
	int32_t example = 0;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 1, NULL, 0, 2);
	dataset = open_file(&file);
	dataset.documents = LM_DOCUMENTS_JOINED;
	lm_dataset_next(&batch, &cursor, &example, &dataset, 64, 2, &error);
	is_int(batch.n_tokens, 2 * 3, "a stream shorter than the context is used as it is");
	ok(lm_dataset_validation(&batch, &next, &more, &dataset, 64, &error) && batch.n_tokens == 0 &&
		   !more,
	   "validation without windows is empty");
	lm_batch_free(&batch, host);
}

static void
test_validation(const LmHost *host)
{
	static const int train[] = {5}, validation[] = {12, 4, 2, 30};
	static TokenFile file;
	LmBatch batch = create_batch(host, 64);
	int covered[600] = {0};
	bool more = true, once = true;
	uint64_t next = 0;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 1, validation, 4, 2);
	dataset = open_file(&file);
	while (more && lm_dataset_validation(&batch, &next, &more, &dataset, 10, &error))
		for (int t = 0; t < batch.n_tokens; t++)
			covered[batch.targets[t]]++;
	for (int d = 0; d < 4; d++)
		for (int i = 0; i < validation[d]; i++)
			once = once && covered[100 * (d + 1) + i] == (i > 0);
	ok(once && covered[3] == 0, "validation predicts every id of the validation windows once");
	lm_batch_free(&batch, host);
}

static bool
is_refused(TokenFile *file)
{
	LmDataset dataset = {.context = CONTEXT};
	LmError error = {0};

	return !lm_dataset_open(&dataset, file->bytes, file->size, &error) &&
		   error.code == LM_ERR_FORMAT && !dataset.base;
}

static void
test_malformed(void)
{
	static const int train[] = {20, 9}, validation[] = {12};
	static TokenFile good, file;
	bool truncated = true;

	make_file(&good, train, 2, validation, 1, 2);
	ok(!is_refused(&good), "a good file is accepted");
	for (size_t size = 0; size < good.size; size++)
	{
		make_file(&file, train, 2, validation, 1, 2);
		file.size = size;
		truncated = truncated && is_refused(&file);
	}
	ok(truncated, "a file truncated anywhere is refused");
#define REFUSED(change, name)                     \
	make_file(&file, train, 2, validation, 1, 2); \
	change;                                       \
	ok(is_refused(&file), "%s", name)
	REFUSED(file.header->magic[7] = '1', "another format is refused");
	REFUSED(file.header->token_size = 3, "ids of three bytes are refused");
	REFUSED(file.header->n_tokens = UINT64_MAX / 2, "a number of tokens that overflows is refused");
	REFUSED(file.header->n_train_windows = UINT64_MAX,
			"a number of windows that overflows is refused");
	REFUSED(file.header->n_validation_windows = 1u << 30,
			"windows beyond the file's end are refused");
	REFUSED(file.header->windows_offset = 8, "windows inside the header are refused");
	REFUSED(file.header->windows_offset += 4, "windows off their alignment are refused");
	REFUSED(file.windows[1].offset = UINT64_MAX, "a window beyond the tokens is refused");
	REFUSED(file.windows[1].length = UINT32_MAX, "a window longer than the tokens is refused");
	REFUSED(file.windows[1].length = 1, "a window that predicts nothing is refused");
	REFUSED(file.windows[1].offset = 0;
			file.windows[0].offset = 2, "windows in another order are refused");
	REFUSED(file.header->train_tokens++, "a wrong number of predictions is refused");
	REFUSED(file.header->validation_counted--, "a wrong number of counted predictions is refused");
	REFUSED(file.windows[0].prompt = file.windows[0].length - 1,
			"a window of a prompt alone is refused");
	REFUSED(file.windows[0].prompt = UINT32_MAX, "a prompt longer than its window is refused");
	REFUSED(file.windows[1].weight = 0, "a weight of 0 is refused");
	REFUSED(file.windows[1].weight = -1, "a negative weight is refused");
	REFUSED(file.windows[1].weight = NAN, "a weight that is no number is refused");
	REFUSED(file.windows[1].weight = INFINITY, "an infinite weight is refused");
}

/* Ids with a flag are read, and not predicted. */
static void
test_mask(const LmHost *host)
{
	static const int train[] = {6, 5}, validation[] = {7};
	static TokenFile file;
	LmBatch batch = create_batch(host, 20);
	LmCursor cursor = {0};
	LmDataset dataset;
	LmError error;
	int32_t example = 0;
	uint32_t *ids;
	bool right = true, more;
	uint64_t next = 0;

	make_file(&file, train, 2, validation, 1, 4);
	ids = (uint32_t *) (file.header + 1);
	file.header->masked = 1;
	file.windows[0].prompt = 1;
	ids[0] |= LM_ID_CONTEXT;
	ids[1] |= LM_ID_CONTEXT;
	ids[3] |= LM_ID_CONTEXT;
	ids[11 + 2] |= LM_ID_CONTEXT;
	ids[11 + 6] |= LM_ID_CONTEXT;
	file.header->validation_masked = 2;
	file.header->validation_counted -= 2;
	dataset = open_file(&file);
	ok(lm_dataset_next(&batch, &cursor, &example, &dataset, 10, 1, &error) && batch.n_tokens == 9,
	   "flagged ids go through the network");
	for (int t = 0; t < 5; t++)
		right = right && batch.tokens[t] == t &&
				batch.targets[t] == (t == 0 || t == 2 ? -1 : t + 1) &&
				batch.weights[t] == (t == 0 || t == 2 ? 0 : 1);
	ok(right, "and have no targets");
	ok(lm_dataset_validation(&batch, &next, &more, &dataset, 20, &error) &&
		   lm_batch_weight(&batch) == 4 && batch.targets[1] == -1 && batch.targets[5] == -1,
	   "nor in validation");
	file.header->validation_masked = 1;
	ok(is_refused(&file), "a wrong number of masked predictions is refused");
	file.header->validation_masked = 7;
	ok(is_refused(&file), "so is one beyond all predictions");
	file.header->validation_masked = 2;
	file.header->masked = 2;
	ok(is_refused(&file), "and an unknown kind of mask");
	make_file(&file, train, 2, validation, 1, 2);
	file.header->masked = 1;
	ok(is_refused(&file), "ids of two bytes have no room for flags");
	lm_batch_free(&batch, host);
}

static void
test_prompt(const LmHost *host)
{
	static const int train[] = {6, 5}, validation[] = {7};
	static TokenFile file;
	LmBatch batch = create_batch(host, 20);
	LmCursor cursor = {0};
	LmDataset dataset;
	LmError error;
	int32_t example = 0;
	bool targets = true, weights = true, prefixes = true, more;
	uint64_t next = 0;

	make_file(&file, train, 2, validation, 1, 2);
	file.windows[0].prompt = 3;
	file.windows[0].weight = 2.5f;
	file.windows[1].weight = 0.5f;
	file.windows[2].prompt = 5;
	file.header->validation_counted -= 5;
	dataset = open_file(&file);
	ok(lm_dataset_next(&batch, &cursor, &example, &dataset, 10, 1, &error) &&
		   batch.n_tokens == 5 + 4,
	   "prompts and completions go through the network");
	for (int t = 0; t < batch.n_tokens; t++)
	{
		int target = t < 3 ? -1 : batch.tokens[t] + 1;

		targets = targets && batch.targets[t] == target;
		weights = weights && batch.weights[t] == (t < 3 ? 0 : t < 5 ? 2.5f : 0.5f);
		prefixes = prefixes && batch.prefixes[t] == (t < 5 ? 3 : 5);
	}
	ok(targets, "a prompt has no targets");
	ok(prefixes, "a prompt is the prefix of its window, and other windows have none");
	ok(weights, "the rest has the weight of its window");
	is_near(lm_batch_weight(&batch), 2 * 2.5 + 4 * 0.5, 0, "and the batch theirs");
	ok(lm_dataset_validation(&batch, &next, &more, &dataset, 20, &error) &&
		   lm_batch_weight(&batch) == 1 && batch.targets[5] == 206,
	   "so has the validation");
	lm_batch_free(&batch, host);
}

/* Each window has a number; the file has the name of their column. */
static void
test_numbers(const LmHost *host)
{
	static const int train[] = {5, 3, 4}, validation[] = {6};
	static const float numbers[] = {0.5f, -2, 0, 1.25f};
	static TokenFile file;
	LmBatch batch = create_batch(host, 100);
	LmCursor cursor = {0};
	int32_t example = 0;
	bool good = true, more;
	uint64_t next = 0;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 3, validation, 1, 4);
	file.header->n_labels = file.header->numbers = file.header->validation_counted = 1;
	for (int i = 0; i < 4; i++)
		memcpy(&file.windows[i].label, &numbers[i], sizeof numbers[i]);
	memcpy(file.bytes + file.size, "y", 2);
	file.size += 2;
	dataset = open_file(&file);
	dataset.shuffle = false;
	ok(lm_dataset_next(&batch, &cursor, &example, &dataset, 9, 0, &error) && cursor.drawn == 3,
	   "windows with numbers make a batch");
	for (int row = 0, window = 0; row < batch.n_tokens; row++)
	{
		bool is_last = row + 1 == batch.n_tokens || batch.starts[row + 1] != batch.starts[row];

		good = good && batch.targets[row] == (is_last ? 0 : -1) &&
			   batch.values[row] == (is_last ? numbers[window++] : 0);
	}
	ok(good, "the last row of a window has its number, also a negative one");
	ok(lm_dataset_validation(&batch, &next, &more, &dataset, 9, &error) &&
		   batch.values[batch.n_tokens - 1] == numbers[3],
	   "so has the validation");
	file.windows[1].label = 0x7FC00000;
	ok(!lm_dataset_open(&dataset, file.bytes, file.size, &error), "NaN is no number");
	file.windows[1].label = 0;
	file.header->n_sets = 1;
	ok(!lm_dataset_open(&dataset, file.bytes, file.size, &error), "numbers have no sets");
	lm_batch_free(&batch, host);
}

/* The prompt of a window is the first text of a pair. */
static void
test_pairs(const LmHost *host)
{
	static const int train[] = {5, 4}, validation[] = {6};
	static TokenFile file;
	LmBatch batch = create_batch(host, 100);
	LmCursor cursor = {0};
	int32_t example = 0;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 2, validation, 1, 2);
	file.header->n_labels = file.header->pairs = file.header->validation_counted = 1;
	file.windows[0].prompt = 2;
	file.windows[1].prompt = 1;
	memcpy(file.bytes + file.size, "y", 2);
	file.size += 2;
	dataset = open_file(&file);
	dataset.shuffle = false;
	ok(lm_dataset_next(&batch, &cursor, &example, &dataset, 7, 0, &error) && batch.n_tokens == 7,
	   "windows of pairs make a batch");
	ok(batch.targets[0] == -1 && batch.targets[1] == -1 && batch.targets[2] == LM_SECOND_TEXT &&
		   batch.targets[3] == 0 && batch.targets[4] == -1 && batch.targets[5] == LM_SECOND_TEXT &&
		   batch.targets[6] == 0,
	   "the rows of the second text are marked");
	file.header->n_labels = 0;
	ok(!lm_dataset_open(&dataset, file.bytes, file.size, &error), "pairs have labels");
	lm_batch_free(&batch, host);
}

/* Ends, members and names of sets of labels after the windows; the windows have them in turn. */
static void
add_sets(TokenFile *file)
{
	static const uint64_t ends[] = {2, 2, 3};
	static const uint32_t members[] = {0, 2, 1};
	LmDatasetHeader *header = file->header;

	header->n_labels = 3;
	header->n_sets = 3;
	header->n_members = 3;
	for (uint64_t i = 0; i < header->n_train_windows + header->n_validation_windows; i++)
		file->windows[i].label = (uint32_t) (2 - i % 3);
	header->validation_counted = header->n_validation_windows;
	memcpy(file->bytes + file->size, ends, sizeof ends);
	memcpy(file->bytes + file->size + sizeof ends, members, sizeof members);
	memcpy(file->bytes + file->size + sizeof ends + sizeof members, "a\0b\0c", 6);
	file->size += sizeof ends + sizeof members + 6;
}

static void
test_sets(const LmHost *host)
{
	static const int train[] = {5, 3, 4}, validation[] = {6};
	static TokenFile file;
	LmBatch batch = create_batch(host, 100);
	LmCursor cursor = {0};
	bool truncated = true, more;
	uint64_t next = 0, n;
	int32_t example = 0;
	LmDataset dataset;
	LmError error;
	const uint32_t *set;
	uint64_t *ends;
	uint32_t *members;
	size_t size;

	make_file(&file, train, 3, validation, 1, 4);
	add_sets(&file);
	size = file.size;
	dataset = open_file(&file);
	ok(strcmp(lm_dataset_labels(&dataset) + 2, "b") == 0, "names of labels stand after the sets");
	ok(lm_dataset_next(&batch, &cursor, &example, &dataset, 13, 1, &error) &&
		   batch.targets[3] == 2 && batch.targets[2] == -1 && batch.targets[5] == 1 &&
		   batch.targets[8] == 0,
	   "a window's set is the target of its last row");
	set = lm_label_set(&n, &batch.sets, 0);
	ok(n == 2 && set[0] == 0 && set[1] == 2, "a batch has the sets");
	set = lm_label_set(&n, &batch.sets, 1);
	ok(n == 0, "one may be empty");
	set = lm_label_set(&n, &batch.sets, 2);
	ok(n == 1 && set[0] == 1, "each begins where the one before ends");
	ok(lm_dataset_validation(&batch, &next, &more, &dataset, 20, &error) &&
		   batch.sets.n_sets == 3 && batch.targets[4] == 2 && lm_batch_weight(&batch) == 1,
	   "so it is in validation");
	for (file.size = 0; file.size < size; file.size++)
		truncated = truncated && is_refused(&file);
	ok(truncated, "a file with sets, truncated anywhere, is refused");
	ends = (uint64_t *) (file.bytes + size - 6 - 3 * sizeof *members - 3 * sizeof *ends);
	members = (uint32_t *) (ends + 3);
#define REFUSED_SETS(change, name)                \
	make_file(&file, train, 3, validation, 1, 4); \
	add_sets(&file);                              \
	change;                                       \
	ok(is_refused(&file), "%s", name)
	REFUSED_SETS(ends[1] = 1, "a set that ends before it begins is refused");
	REFUSED_SETS(ends[2] = UINT64_MAX, "a set beyond the members is refused");
	REFUSED_SETS(ends[2] = 2, "a member of no set is refused");
	REFUSED_SETS(members[1] = 3, "a member that is no label is refused");
	REFUSED_SETS(members[1] = 0, "a label twice in a set is refused");
	REFUSED_SETS(members[0] = 2; members[1] = 0, "a set that is not in order is refused");
	REFUSED_SETS(file.windows[1].label = 3, "a window of no set is refused");
	REFUSED_SETS(file.header->n_sets = UINT64_MAX / 8,
				 "a number of sets that overflows is refused");
	REFUSED_SETS(file.header->n_members = UINT64_MAX / 4,
				 "a number of members that overflows is refused");
	REFUSED_SETS(file.header->n_sets = 0, "members without sets are refused");
	REFUSED_SETS(file.header->n_labels = file.header->n_members = 0; memset(ends, 0, 24);
				 file.size -= 18, "sets without labels are refused");
	lm_batch_free(&batch, host);
}

/* Six pairs of short windows, of which two are validation; document d begins with 100 d. */
static LmDataset
make_pairs(TokenFile *file, float *references)
{
	static const int train[] = {5, 3, 6, 2, 4, 4, 3, 5}, validation[] = {4, 6, 5, 3};
	LmDataset dataset;

	make_file(file, train, 8, validation, 4, 4);
	file->header->group = 2;
	for (int i = 0; i < 12; i++)
	{
		file->windows[i].weight = 1 + (float) (i / 2);
		references[i] = -10 - (float) i;
	}
	dataset = open_file(file);
	dataset.references = references;
	return dataset;
}

/* Whether each even document of a batch is followed by the next one, and both have their values. */
static bool
has_pairs(const LmBatch *batch)
{
	int document = -1;
	bool right = batch->group == 2;

	for (int row = 0; row < batch->n_tokens; row++)
	{
		int before = document;
		bool is_last = row + 1 == batch->n_tokens || batch->starts[row + 1] != batch->starts[row];

		document = batch->tokens[row] / 100;
		if (document != before)
			right = right &&
					(before < 0 || before % 2 == 1 ? document % 2 == 0 : document == before + 1);
		right = right && batch->values[row] == (is_last ? -10 - document : 0);
	}
	return right && document % 2 == 1;
}

static void
test_groups(const LmHost *host)
{
	static TokenFile file;
	float references[12];
	LmDataset dataset = make_pairs(&file, references);
	LmBatch batch = create_batch(host, 40);
	LmCursor cursor = {0};
	LmError error;
	int32_t example = 0;
	int seen[4] = {0}, n_drawn = 0, n_batches = 0;
	bool right = true, more = true;
	uint64_t next = 0;

	dataset.shuffle = true;
	while (n_drawn < 3 * 8)
	{
		right = right && lm_dataset_next(&batch, &cursor, &example, &dataset, 13, 1, &error) &&
				has_pairs(&batch);
		for (int row = 0; row < batch.n_tokens; row++)
			if (batch.starts[row] == row)
				seen[batch.tokens[row] / 200]++, n_drawn++;
		n_batches++;
	}
	ok(right && n_batches == 6, "micro-batches have whole groups, with their values");
	ok(example == n_drawn && (int) cursor.drawn == n_drawn, "their windows are counted one by one");
	ok(seen[0] == 6 && seen[1] == 6 && seen[2] == 6 && seen[3] == 6,
	   "each epoch draws each group once");
	for (n_batches = 0; more; n_batches++)
		right = right && lm_dataset_validation(&batch, &next, &more, &dataset, 8, &error) &&
				has_pairs(&batch);
	ok(right && n_batches == 2 && next == 4, "so does the validation");
	ok(!lm_dataset_next(&batch, &cursor, &example, &dataset, 4, 1, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a batch that is too small for a group is refused");
#define REFUSED_PAIRS(change, name)       \
	(void) make_pairs(&file, references); \
	change;                               \
	ok(is_refused(&file), "%s", name)
	REFUSED_PAIRS(file.header->group = 0, "groups of none are refused");
	REFUSED_PAIRS(file.header->group = LM_MAX_GROUP + 1, "and groups that are too large");
	REFUSED_PAIRS(file.header->group = 3, "and a part of a group");
	REFUSED_PAIRS(file.windows[3].weight = 7, "and two weights in a group");
	lm_batch_free(&batch, host);
}

static void
test_bad_id(const LmHost *host)
{
	static const int train[] = {5, 3, 4};
	static TokenFile file;
	LmBatch batch = create_batch(host, 100);
	LmCursor cursor = {0};
	int32_t example = 0;
	LmDataset dataset;
	LmError error;

	make_file(&file, train, 3, NULL, 0, 4);
	file.header->vocabulary = 103;
	dataset = open_file(&file);
	ok(lm_dataset_next(&batch, &cursor, &example, &dataset, 6, 1, &error),
	   "ids within the vocabulary are read");
	ok(!lm_dataset_next(&batch, &cursor, &example, &dataset, 6, 1, &error) &&
		   error.code == LM_ERR_FORMAT,
	   "an id outside the vocabulary is refused");
	lm_batch_free(&batch, host);
}

static void
test_schedule(void)
{
	LmTrainOptions options = lm_train_options_default();

	options.learning_rate = 1e-3;
	options.min_learning_rate = 1e-4;
	options.warmup_steps = 10;
	options.steps = 110;
	is_near(lm_learning_rate(&options, 0), 1e-4, 1e-12, "warm-up begins with one part of the rate");
	is_near(lm_learning_rate(&options, 9), 1e-3, 1e-12, "and ends with the rate");
	is_near(lm_learning_rate(&options, 60), 5.5e-4, 1e-12, "half of the cosine is half way");
	is_near(lm_learning_rate(&options, 110), 1e-4, 1e-12, "the end is the minimum");
	is_near(lm_learning_rate(&options, 5000), 1e-4, 1e-12, "and stays there");
	options.schedule = LM_SCHEDULE_LINEAR;
	is_near(lm_learning_rate(&options, 35), 1e-3 - 0.25 * 9e-4, 1e-12,
			"the linear schedule falls evenly");
	options.schedule = LM_SCHEDULE_CONSTANT;
	is_near(lm_learning_rate(&options, 5000), 1e-3, 1e-12, "the constant one does not fall");
	options.warmup_steps = 0;
	is_near(lm_learning_rate(&options, 0), 1e-3, 1e-12,
			"without warm-up the first step has the full rate");
	options.schedule = LM_SCHEDULE_COSINE;
	options.steps = 0;
	is_near(lm_learning_rate(&options, 0), 1e-4, 1e-12, "no steps, no division by zero");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_cut();
	test_packed(&host);
	test_determinism(&host);
	test_order_of_file(&host);
	test_joined(&host);
	test_short_stream(&host);
	test_validation(&host);
	test_malformed();
	test_prompt(&host);
	test_mask(&host);
	test_sets(&host);
	test_numbers(&host);
	test_pairs(&host);
	test_groups(&host);
	test_bad_id(&host);
	test_schedule();
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
