/*
 * src/engine/train/dataset.c
 *
 * From a token file to batches. The file comes from disk, so everything in it is checked before
 * use.
 */
#include <math.h>
#include <string.h>

#include "base/names.h"
#include "engine/batch.h"
#include "engine/config.h"
#include "engine/marked_text.h"

/* A run of ids that is read as one text. */
typedef struct Stream
{
	uint64_t offset;
	uint64_t length;
} Stream;

/* Windows that are drawn together: a group of the file, or one crop. */
typedef struct Group
{
	int n;
	uint64_t n_tokens; /* of all windows, as rows of a batch */
	LmWindow windows[LM_MAX_GROUP];
	float values[LM_MAX_GROUP];
} Group;

static bool check_header(const LmDatasetHeader *header, LmLabelSets *sets, size_t size,
						 LmError *error);
static bool check_sets(LmLabelSets *sets, uint64_t *end, const LmDatasetHeader *header,
					   size_t size);
static bool check_members(const LmLabelSets *sets, uint64_t n_members, uint64_t n_labels);
static bool check_labels(const char *names, size_t size, uint64_t n_labels);
static bool check_windows(const LmDataset *dataset, LmError *error);
static bool check_groups(const LmDataset *dataset, LmError *error);
static bool check_side(const LmDataset *dataset, uint64_t first, uint64_t count,
					   uint64_t predictions, uint64_t *counted, LmError *error);
static void begin_batch(LmBatch *batch, const LmDataset *dataset);
static void training_group(Group *group, const LmDataset *dataset, uint64_t drawn);
static void take_group(Group *group, const LmDataset *dataset, uint64_t first);
static void take_crop(Group *group, LmWindow crop);
static LmWindow training_crop(const LmDataset *dataset, uint64_t drawn);
static LmWindow validation_crop(const LmDataset *dataset, uint64_t i);
static Stream stream_of(const LmDataset *dataset, bool validation);
static bool check_room(const LmBatch *batch, const LmDataset *dataset, const Group *group,
					   int max_tokens, LmError *error);
static void predict_label(LmBatch *batch, LmWindow window, const LmDatasetHeader *header);
static bool append_group(LmBatch *batch, const LmDataset *dataset, const Group *group,
						 int32_t example, LmError *error);
static bool append(LmBatch *batch, const LmDataset *dataset, LmWindow window, int32_t example,
				   LmError *error);

uint64_t
lm_windows_count(uint64_t n, int context)
{
	return n < 2 ? 0 : (n - 2) / (uint64_t) context + 1;
}

LmWindow
lm_windows_cut(uint64_t i, uint64_t offset, uint64_t n, int context)
{
	uint64_t count = lm_windows_count(n, context);
	uint64_t share = (n - 1) / count, rest = (n - 1) % count;

	/* The first `rest` windows have one prediction more. */
	uint64_t first = i * share + (i < rest ? i : rest);

	return (LmWindow){offset + first, (uint32_t) (share + (i < rest) + 1), 0, 1, 0};
}

LM_NAMES(lm_documents_name, [LM_DOCUMENTS_PACKED] = "packed", [LM_DOCUMENTS_JOINED] = "joined");

bool
lm_dataset_open(LmDataset *dataset, const void *base, size_t size, LmError *error)
{
	const LmDatasetHeader *header = base;

	if ((uintptr_t) base % 8 != 0 || size < sizeof *header ||
		memcmp(header->magic, LM_DATASET_MAGIC, 8) != 0)
		return lm_fail(error, LM_ERR_FORMAT, 0, "the token file does not begin with a header");
	if (!check_header(header, &dataset->sets, size, error))
		return false;
	dataset->base = base;
	dataset->size = size;
	dataset->header = header;
	dataset->shares = 1;
	dataset->share = 0;
	dataset->windows = (const LmWindow *) ((const char *) base + header->windows_offset);
	if (check_windows(dataset, error))
		return true;
	dataset->base = NULL;
	return false;
}

const char *
lm_dataset_labels(const LmDataset *dataset)
{
	return (const char *) (dataset->sets.members + dataset->header->n_members);
}

/* Checks that ids, windows, sets and labels follow each other in the file; *sets points to it. */
static bool
check_header(const LmDatasetHeader *header, LmLabelSets *sets, size_t size, LmError *error)
{
	uint64_t n_windows, ids_size, windows_size, end;

	if (header->token_size != 2 && header->token_size != 4)
		return lm_fail(error, LM_ERR_FORMAT, 8, "the token file has ids of %u bytes",
					   header->token_size);
	if (header->vocabulary < 1 || header->vocabulary > INT32_MAX)
		return lm_fail(error, LM_ERR_FORMAT, 12, "the token file has a vocabulary of %u",
					   header->vocabulary);
	if (header->masked > 1 || (header->masked == 1 && header->token_size != 4) ||
		(header->masked == 0 && header->validation_masked != 0))
		return lm_fail(error, LM_ERR_FORMAT, 8, "the token file is masked in an unknown way");
	if (header->group < 1 || header->group > LM_MAX_GROUP)
		return lm_fail(error, LM_ERR_FORMAT, 8, "the token file has groups of %llu windows",
					   (unsigned long long) header->group);
	if (header->pairs > 1 || (header->pairs == 1 && header->n_labels == 0))
		return lm_fail(error, LM_ERR_FORMAT, 8, "the token file has pairs without labels");
	if (header->numbers > 1 || (header->numbers == 1 && (header->n_labels != 1 ||
														 header->n_sets > 0 || header->group != 1)))
		return lm_fail(error, LM_ERR_FORMAT, 8, "the token file has numbers in an unknown way");
	if (header->windows_offset % 8 != 0 ||
		!lm_size_multiply(&ids_size, header->n_tokens, header->token_size) ||
		!lm_size_add(&end, ids_size, sizeof *header) || end > header->windows_offset)
		return lm_fail(error, LM_ERR_FORMAT, 16,
					   "the token file's ids do not end before its windows");
	if (!lm_size_add(&n_windows, header->n_train_windows, header->n_validation_windows) ||
		!lm_size_multiply(&windows_size, n_windows, sizeof(LmWindow)) ||
		!lm_size_add(&end, header->windows_offset, windows_size) || end > size)
		return lm_fail(error, LM_ERR_FORMAT, 24, "the token file is shorter than its windows");
	if (!check_sets(sets, &end, header, size))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) end,
					   "the token file does not have its sets of labels");
	if (header->n_labels > LM_MAX_LABELS ||
		!check_labels((const char *) header + end, size - end, header->n_labels))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) end,
					   "the token file does not have the names of its labels");
	return true;
}

/* Moves end after the sets. */
static bool
check_sets(LmLabelSets *sets, uint64_t *end, const LmDatasetHeader *header, size_t size)
{
	uint64_t ends_size, members_size;

	if (header->n_sets > INT32_MAX ||
		!lm_size_multiply(&ends_size, header->n_sets, sizeof *sets->ends) ||
		!lm_size_multiply(&members_size, header->n_members, sizeof *sets->members))
		return false;
	*sets = (LmLabelSets){.n_sets = header->n_sets,
						  .ends = (const uint64_t *) ((const char *) header + *end)};
	if (!lm_size_add(end, *end, ends_size))
		return false;
	sets->members = (const uint32_t *) ((const char *) header + *end);
	return lm_size_add(end, *end, members_size) && *end <= size &&
		   check_members(sets, header->n_members, header->n_labels);
}

/*
 * Checks that each set lies among the members and holds labels in ascending order, and that all
 * sets together hold all members.
 */
static bool
check_members(const LmLabelSets *sets, uint64_t n_members, uint64_t n_labels)
{
	uint64_t begin = 0;

	for (uint64_t set = 0; set < sets->n_sets; set++)
	{
		uint64_t end = sets->ends[set];

		if (end < begin || end > n_members)
			return false;
		for (uint64_t i = begin; i < end; i++)
			if (sets->members[i] >= n_labels ||
				(i > begin && sets->members[i] <= sets->members[i - 1]))
				return false;
		begin = end;
	}
	return begin == n_members && (sets->n_sets == 0 || n_labels > 0);
}

/* Checks that exactly as many strings as labels fill the rest of the file. */
static bool
check_labels(const char *names, size_t size, uint64_t n_labels)
{
	uint64_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += names[i] == '\0';
	return n == n_labels && (size == 0 || names[size - 1] == '\0');
}

/* Checks the training and then the validation windows, and their sums in the header. */
static bool
check_windows(const LmDataset *dataset, LmError *error)
{
	const LmDatasetHeader *header = dataset->header;

	uint64_t counted;

	if (!check_side(dataset, 0, header->n_train_windows, header->train_tokens, &counted, error) ||
		!check_side(dataset, header->n_train_windows, header->n_validation_windows,
					header->validation_tokens, &counted, error))
		return false;
	if (header->validation_masked > counted ||
		counted - header->validation_masked != header->validation_counted)
		return lm_fail(
			error, LM_ERR_FORMAT, -1,
			"the token file's validation windows count %llu predictions, its header says %llu",
			(unsigned long long) (counted - header->validation_masked),
			(unsigned long long) header->validation_counted);
	return check_groups(dataset, error);
}

/* Checks that each side has whole groups, and each group one weight. */
static bool
check_groups(const LmDataset *dataset, LmError *error)
{
	const LmDatasetHeader *header = dataset->header;
	uint64_t n = header->n_train_windows + header->n_validation_windows;

	if (header->n_train_windows % header->group != 0 || n % header->group != 0)
		return lm_fail(error, LM_ERR_FORMAT, -1, "the token file has a part of a group");
	for (uint64_t i = 0; i < n; i++)
		if (i % header->group > 0 && dataset->windows[i].weight != dataset->windows[i - 1].weight)
			return lm_fail(error, LM_ERR_FORMAT, (int64_t) i,
						   "window %llu of the token file has another weight than its group",
						   (unsigned long long) i);
	return true;
}

/* The number in the bits of a label. */
static float
number_of(const LmWindow *window)
{
	float number;

	memcpy(&number, &window->label, sizeof number);
	return number;
}

/*
 * Checks that the windows of one side lie in the file, in ascending order, and have as many
 * predictions as the header says. *counted gets the number of those that are not a prompt's.
 */
static bool
check_side(const LmDataset *dataset, uint64_t first, uint64_t count, uint64_t predictions,
		   uint64_t *counted, LmError *error)
{
	uint64_t n_tokens = dataset->header->n_tokens, sum = 0;
	uint64_t n_labels = dataset->sets.n_sets > 0 ? dataset->sets.n_sets : dataset->header->n_labels;

	*counted = 0;
	for (uint64_t i = first; i < first + count; i++)
	{
		const LmWindow *window = &dataset->windows[i];

		if (window->length < 2 || window->offset > n_tokens ||
			window->length > n_tokens - window->offset ||
			(i > first && window->offset < window[-1].offset && dataset->header->masked == 0))
			return lm_fail(error, LM_ERR_FORMAT, (int64_t) i,
						   "window %llu of the token file is out of range", (unsigned long long) i);
		if (window->prompt > window->length - 2 ||
			!(window->weight > 0 && window->weight <= LM_WEIGHT_MAX))
			return lm_fail(error, LM_ERR_FORMAT, (int64_t) i,
						   "window %llu of the token file counts nothing", (unsigned long long) i);
		if (dataset->header->numbers ? !isfinite(number_of(window))
									 : window->label > 0 && window->label >= n_labels)
			return lm_fail(error, LM_ERR_FORMAT, (int64_t) i,
						   "window %llu of the token file has no label", (unsigned long long) i);
		sum += window->length - 1;
		*counted += dataset->header->n_labels > 0 ? 1 : window->length - 1 - window->prompt;
	}
	if (sum != predictions)
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "the token file's windows have %llu predictions, its header says %llu",
					   (unsigned long long) sum, (unsigned long long) predictions);
	return true;
}

int32_t
lm_dataset_id(const LmDataset *dataset, uint64_t i)
{
	const void *ids = dataset->header + 1;

	return dataset->header->token_size == 2 ? ((const uint16_t *) ids)[i]
											: (int32_t) ((const uint32_t *) ids)[i];
}

void
lm_dataset_inputs(int32_t *ids, const LmDataset *dataset, uint64_t window)
{
	const LmWindow *of = &dataset->windows[window];

	for (uint32_t i = 0; i + 1 < of->length; i++)
		ids[i] = (int32_t) ((uint32_t) lm_dataset_id(dataset, of->offset + i) &
							~(uint32_t) LM_ID_CONTEXT);
}

/* example NULL: rows are counted, and not made. */
static bool
draw(LmBatch *batch, LmCursor *cursor, int32_t *example, const LmDataset *dataset, int max_tokens,
	 int max_sequences, LmError *error)
{
	bool joined = dataset->documents == LM_DOCUMENTS_JOINED;

	begin_batch(batch, dataset);
	if (dataset->header->n_train_windows == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the token file has no training windows");
	for (int n = 0; !joined || n < max_sequences || n == 0; n++)
	{
		Group group;

		if (joined)
			take_crop(&group, training_crop(dataset, cursor->drawn));
		else
			training_group(&group, dataset, cursor->drawn);
		if (!check_room(batch, dataset, &group, max_tokens, error))
			return false;
		if ((int) group.n_tokens > max_tokens - batch->n_tokens)
			break;
		if (example && !append_group(batch, dataset, &group, *example, error))
			return false;
		if (example)
			*example += group.n;
		else
			batch->n_tokens += (int) group.n_tokens;
		cursor->drawn += (uint64_t) group.n;
	}
	return true;
}

bool
lm_dataset_next(LmBatch *batch, LmCursor *cursor, int32_t *example, const LmDataset *dataset,
				int max_tokens, int max_sequences, LmError *error)
{
	return draw(batch, cursor, example, dataset, max_tokens, max_sequences, error);
}

bool
lm_dataset_skip(LmCursor *cursor, const LmDataset *dataset, int max_tokens, int max_sequences,
				LmError *error)
{
	LmBatch counted = {.capacity = max_tokens};

	return draw(&counted, cursor, NULL, dataset, max_tokens, max_sequences, error);
}

static void
begin_batch(LmBatch *batch, const LmDataset *dataset)
{
	batch->n_tokens = 0;
	batch->sets = dataset->sets;
	batch->group = (int) dataset->header->group;
}

bool
lm_dataset_validation(LmBatch *batch, uint64_t *next, bool *more, const LmDataset *dataset,
					  int max_tokens, LmError *error)
{
	bool joined = dataset->documents == LM_DOCUMENTS_JOINED;
	uint64_t count = dataset->header->n_validation_windows;

	if (joined)
		count = lm_windows_count(stream_of(dataset, true).length, dataset->context);
	begin_batch(batch, dataset);
	while (*next < count)
	{
		Group group;

		if (joined)
			take_crop(&group, validation_crop(dataset, *next));
		else
			take_group(&group, dataset, dataset->header->n_train_windows + *next);
		if (!check_room(batch, dataset, &group, max_tokens, error))
			return false;
		if ((int) group.n_tokens > max_tokens - batch->n_tokens)
			break;
		if (!append_group(batch, dataset, &group, (int32_t) *next, error))
			return false;
		*next += (uint64_t) group.n;
	}
	*more = *next < count;
	return true;
}

/* The number, among those of all shares, of what this share draws as its own number `drawn`. */
static uint64_t
number_of_draw(const LmDataset *dataset, uint64_t drawn)
{
	return dataset->shares > 1 ? drawn * dataset->shares + dataset->share : drawn;
}

/* The group of the window that is drawn next; windows are drawn in whole groups. */
static void
training_group(Group *group, const LmDataset *dataset, uint64_t drawn)
{
	uint64_t size = dataset->header->group, count = dataset->header->n_train_windows / size;
	uint64_t number = number_of_draw(dataset, drawn / size), i = number % count;

	if (dataset->shuffle)
		i = lm_random_permute(lm_key(dataset->seed, LM_RANDOM_ORDER, number / count, 0), i, count);
	take_group(group, dataset, i * size);
}

static float
value_of(const LmDataset *dataset, uint64_t window)
{
	if (dataset->header->numbers)
		return number_of(&dataset->windows[window]);
	return dataset->references ? dataset->references[window] : 0;
}

static void
take_group(Group *group, const LmDataset *dataset, uint64_t first)
{
	*group = (Group){.n = (int) dataset->header->group};
	for (int i = 0; i < group->n; i++)
	{
		uint64_t window = first + (uint64_t) i;

		group->windows[i] = dataset->windows[window];
		group->values[i] = value_of(dataset, window);
		group->n_tokens += group->windows[i].length - 1;
	}
}

static void
take_crop(Group *group, LmWindow crop)
{
	*group = (Group){.n = 1, .n_tokens = crop.length - 1, .windows = {crop}};
}

/* Crop number `drawn`: context + 1 ids from a uniform random place of the training stream. */
static LmWindow
training_crop(const LmDataset *dataset, uint64_t drawn)
{
	Stream stream = stream_of(dataset, false);
	uint64_t length = (uint64_t) dataset->context + 1;
	LmKey key = lm_key(dataset->seed, LM_RANDOM_CROP, 0, 0);
	double uniform;

	if (stream.length <= length)
		return (LmWindow){stream.offset, (uint32_t) stream.length, 0, 1, 0};
	drawn = number_of_draw(dataset, drawn);
	uniform = lm_random_uniform(key, (uint32_t) drawn, (uint32_t) (drawn >> 32), 0);
	/* Below 1 by at least 2^-53, so the product stays below a count of places under 2^53. */
	return (LmWindow){stream.offset + (uint64_t) (uniform * (double) (stream.length - length + 1)),
					  (uint32_t) length, 0, 1, 0};
}

static LmWindow
validation_crop(const LmDataset *dataset, uint64_t i)
{
	Stream stream = stream_of(dataset, true);
	uint64_t first = i * (uint64_t) dataset->context;
	uint64_t length = stream.length - first;

	if (length > (uint64_t) dataset->context + 1)
		length = (uint64_t) dataset->context + 1;
	return (LmWindow){stream.offset + first, (uint32_t) length, 0, 1, 0};
}

static Stream
stream_of(const LmDataset *dataset, bool validation)
{
	const LmDatasetHeader *header = dataset->header;
	const LmWindow *windows = dataset->windows + (validation ? header->n_train_windows : 0);
	uint64_t count = validation ? header->n_validation_windows : header->n_train_windows;
	Stream stream = {0, 0};

	if (count == 0)
		return stream;
	stream.offset = windows[0].offset;
	stream.length = windows[count - 1].offset + windows[count - 1].length - stream.offset;
	return stream;
}

/* Whether a group is possible in an empty batch. */
static bool
check_room(const LmBatch *batch, const LmDataset *dataset, const Group *group, int max_tokens,
		   LmError *error)
{
	for (int i = 0; i < group->n; i++)
		if (group->windows[i].length - 1 > (uint32_t) dataset->context)
			return lm_fail(error, LM_ERR_ARGUMENT, -1,
						   "a window of %u tokens is longer than the context of %d",
						   group->windows[i].length - 1, dataset->context);
	if (max_tokens > batch->capacity || max_tokens < 0 || group->n_tokens > (uint64_t) max_tokens)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "%s of %llu tokens does not fit a batch of %d (capacity %d)",
					   group->n == 1 ? "a window" : "a group", (unsigned long long) group->n_tokens,
					   max_tokens, batch->capacity);
	return true;
}

static bool
append_group(LmBatch *batch, const LmDataset *dataset, const Group *group, int32_t example,
			 LmError *error)
{
	for (int i = 0; i < group->n; i++)
	{
		if (!append(batch, dataset, group->windows[i], example + i, error))
			return false;
		batch->values[batch->n_tokens - 1] = group->values[i];
	}
	return true;
}

/*
 * Makes the window's label the target of its last row, in the place of its tokens, which were
 * appended; 0 where it is a number.
 */
static void
predict_label(LmBatch *batch, LmWindow window, const LmDatasetHeader *header)
{
	int n = (int) window.length - 1, last = batch->n_tokens + n - 1;

	for (int row = batch->n_tokens; row < last; row++)
	{
		bool is_second = header->pairs && row - batch->n_tokens >= (int) window.prompt;

		batch->targets[row] = is_second ? LM_SECOND_TEXT : -1;
		batch->weights[row] = 0;
	}
	batch->targets[last] = header->numbers ? 0 : (int32_t) window.label;
}

/* The id without its flag; *is_context: the flag. */
static int32_t
take_flag(bool *is_context, int32_t id, bool masked)
{
	*is_context = masked && (id & LM_ID_CONTEXT) != 0;
	return masked ? id & ~LM_ID_CONTEXT : id;
}

/* Ids are checked here, where they are read: a file may be larger than memory. */
static bool
append(LmBatch *batch, const LmDataset *dataset, LmWindow window, int32_t example, LmError *error)
{
	int start = batch->n_tokens, n = (int) window.length - 1;
	uint32_t vocabulary = dataset->header->vocabulary;
	bool masked = dataset->header->masked != 0, is_context;
	bool classifies = dataset->header->n_labels > 0;
	int prefix = start + (classifies ? n : (int) window.prompt);
	int32_t next = take_flag(&is_context, lm_dataset_id(dataset, window.offset), masked);

	for (int i = 0; i < n; i++)
	{
		uint64_t at = window.offset + (uint64_t) i;
		int row = start + i;

		batch->tokens[row] = next;
		next = take_flag(&is_context, lm_dataset_id(dataset, at + 1), masked);
		is_context = is_context || (uint32_t) i < window.prompt;
		batch->targets[row] = is_context ? -1 : next;
		batch->weights[row] = is_context ? 0 : window.weight;
		batch->positions[row] = i;
		batch->starts[row] = start;
		batch->prefixes[row] = prefix;
		batch->examples[row] = example;
		batch->values[row] = 0;
		if ((uint32_t) batch->tokens[row] >= vocabulary || (uint32_t) next >= vocabulary)
			return lm_fail(error, LM_ERR_FORMAT, (int64_t) at,
						   "the token file has an id outside its vocabulary of %u", vocabulary);
	}
	if (classifies)
		predict_label(batch, window, dataset->header);
	batch->n_tokens += n;
	return true;
}
