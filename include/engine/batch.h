/*
 * include/engine/batch.h
 *
 * Batch: a packed run of tokens of several sequences, one after another, without padding. Each
 * sequence is a window of a document; attention stays inside it.
 *
 * Dataset: a token file in memory (mapped by the caller) and the rule that makes batches of it.
 *
 *   token file   | LmDatasetHeader | ids: uint16 or uint32 [n_tokens] | pad to 8 |
 *                | LmWindow [n_windows] | sets | labels |
 *
 * A document is `<end> text <end>` in ids; a longer one than `context` is cut into windows. A
 * window of length n has n - 1 predictions: inputs ids[0 .. n-2], targets ids[1 .. n-1]; the last
 * target of a window is the first input of the next, so n is at most context + 1. The first
 * predictions of a window may be those of a prompt, which do not count; the others count with the
 * window's weight. Where the file is masked, ids have 4 bytes, and an id with LM_ID_CONTEXT
 * (engine/marked_text.h) is not predicted either: it belongs to another speaker than the model.
 * Where the file has labels, each a string that ends with a 0, only the window's label is
 * predicted, after its last input. Where rows may have several labels, a window's label is the
 * number of a set (LmLabelSets): the file has the ends of all sets, uint64 [n_sets], and their
 * members, uint32 [n_members]. The file has the training windows first, then the validation
 * windows, in the order in which an unshuffled corpus is trained. The windows of a side follow each
 * other; the stream of a side reaches from its first window's first id to its last window's last
 * one.
 *
 * Where the labels are numbers (`numbers`), there is one name, and a window's label has the bits of
 * its number as a float32, standardised by `mean` and `scale`.
 *
 * Some objectives compare windows (model/objective.h). The file has them in groups then: `group`
 * windows that follow each other, all with the same weight, are drawn, shuffled and weighed as one,
 * and always are in one batch.
 */
#ifndef LM_BATCH_H
#define LM_BATCH_H

#include "engine/engine.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/ops.h"
#include "engine/random.h"

/* Instead of a target: the row is one of the second text of a pair; others have -1. */
#define LM_SECOND_TEXT (-2)

/*
 * A packed run of windows. Arrays are [capacity], of which the first n_tokens are filled; the batch
 * owns them.
 */
typedef struct LmBatch
{
	int n_tokens;
	int capacity;
	int32_t *tokens;
	/* below 0: not predicted; a token, a label, or one of the sets */
	int32_t *targets;
	float *weights; /* of the target's loss */
	int32_t *positions; /* in the window */
	int32_t *starts; /* the row at which the token's window begins */
	/* the row at which the window's prefix (LmArchitecture) ends: its start where it has none */
	int32_t *prefixes;
	int32_t *examples; /* number of the window in the whole step */
	/*
	 * at the last row of a window, a number that its objective needs (the reference's
	 * log-likelihood: LmDataset.references; the number to learn); 0 elsewhere
	 */
	float *values;
	int group; /* so many windows belong together; 0 stands for 1 */
	LmLabelSets sets; /* of the dataset, in its memory; n_sets 0: targets are no sets */
} LmBatch;

/*
 * Allocates the arrays for capacity tokens, with n_tokens 0. LM_ERR_ARGUMENT for a capacity below
 * 1, LM_ERR_MEMORY. A batch that is all zeros may be freed.
 */
bool lm_batch_create(LmBatch *batch, const LmHost *host, int capacity, LmError *error);
void lm_batch_free(LmBatch *batch, const LmHost *host);

/* The sum of the weights of rows that have a target, in row order. */
double lm_batch_weight(const LmBatch *batch);

#define LM_DATASET_MAGIC "gpt tok6"

/* The first bytes of a token file. Integers have the byte order of the machine. */
typedef struct LmDatasetHeader
{
	char magic[8];
	uint32_t token_size; /* 2 or 4 bytes */
	uint32_t vocabulary;
	uint64_t n_tokens;
	uint64_t n_train_windows;
	uint64_t n_validation_windows;
	uint64_t windows_offset; /* bytes from the start of the file */
	uint64_t validation_bytes; /* bytes of text in the validation documents' predicted tokens */
	uint64_t train_tokens; /* predictions in the training windows */
	uint64_t validation_tokens;
	/* of them, those that are not a prompt's; with labels, the windows */
	uint64_t validation_counted;
	/* 0: none; their names, in order, from the end of the sets to the end of the file */
	uint64_t n_labels;
	uint64_t n_sets; /* of labels that rows have; 0: each has one label */
	uint64_t n_members; /* of all sets together */
	uint64_t numbers; /* 1: the label is a number; n_labels is 1, and there are no sets */
	double mean;
	double scale;
	/* 1: a window's prompt is the first text of a pair; the rest is the second, and both count */
	uint64_t pairs;
	uint64_t masked; /* 1: ids may have LM_ID_CONTEXT */
	/* predictions of such ids in validation windows, beside a prompt's; not in validation_counted
	 */
	uint64_t validation_masked;
	uint64_t group; /* so many windows belong together: 1 .. LM_MAX_GROUP */
} LmDatasetHeader;

#define LM_MAX_GROUP 8

/* A window of a document, as the token file stores it. */
typedef struct LmWindow
{
	uint64_t offset; /* of its first id */
	/* ids, 2 .. context + 1 (joined: the whole stream may be one window of any length) */
	uint32_t length;
	uint32_t prompt; /* its first predictions, which are not counted; at least one is */
	float weight; /* of each of the others; above 0 */
	/* below n_sets, or n_labels where there are no sets; or 0; or the bits of a number */
	uint32_t label;
} LmWindow;

#define LM_WEIGHT_MIN 1e-6f
#define LM_WEIGHT_MAX 1e6f

/* How the ids of a token file become sequences. */
typedef enum LmDocuments
{
	LM_DOCUMENTS_PACKED, /* windows of documents */
	/* one stream: all ids of a side are one text; training takes random crops of context ids */
	LM_DOCUMENTS_JOINED,
} LmDocuments;

/* "packed", "joined"; NULL after the last. */
const char *lm_documents_name(int documents);

/* A token file and the rule that makes batches of it. It points into the file and owns nothing. */
typedef struct LmDataset
{
	const void *base; /* the mapped file */
	size_t size;
	const LmDatasetHeader *header;
	const LmWindow *windows;
	LmLabelSets sets;
	LmDocuments documents;
	bool shuffle; /* a new order each epoch */
	int context;
	uint64_t seed;
	/* [windows of both sides] for LmBatch.values; NULL: none. The caller's, as the file is */
	const float *references;
	/*
	 * The share of one of several trainings on the same file: it draws the groups (JOINED: crops)
	 * whose numbers have that remainder. lm_dataset_open sets 1 and 0, which draws all.
	 */
	uint64_t shares;
	uint64_t share;
} LmDataset;

/*
 * The cut of a document of n ids: into as few windows as its n - 1 predictions need, of nearly
 * equal length, so that every id but the first is predicted exactly once, and no last window is
 * much shorter than the others. lm_windows_cut returns window i of lm_windows_count, without a
 * prompt and of weight 1; offset is the document's first id in the file. Fewer than 2 ids have no
 * window.
 */
uint64_t lm_windows_count(uint64_t n, int context);
LmWindow lm_windows_cut(uint64_t i, uint64_t offset, uint64_t n, int context);

/*
 * Sets base, size, header, windows, sets and shares of dataset; the other fields are the caller's
 * to set. base is aligned to 8 and outlives the dataset. Checks the header, every set, every group,
 * and every window against n_tokens and the one before it; ids are checked against the vocabulary
 * when they are read. LM_ERR_FORMAT, which leaves base as it was, or NULL.
 */
bool lm_dataset_open(LmDataset *dataset, const void *base, size_t size, LmError *error);

/* Id number i of the file; it may have LM_ID_CONTEXT where the file is masked. */
int32_t lm_dataset_id(const LmDataset *dataset, uint64_t i);

/* The names of the labels, one after another. */
const char *lm_dataset_labels(const LmDataset *dataset);

/* The inputs of a window, ids [length - 1]. */
void lm_dataset_inputs(int32_t *ids, const LmDataset *dataset, uint64_t window);

/*
 * The place of training in its data: the number of windows (JOINED: of crops) drawn since the
 * beginning. With the dataset it determines every later batch.
 */
typedef struct LmCursor
{
	uint64_t drawn;
} LmCursor;

/*
 * Fills batch with up to max_tokens tokens: at least one group. `example` numbers go on from
 * *example, which the caller sets to 0 at the beginning of a step. Weights are the windows', and 1
 * in a joined stream; a prompt has no targets. PACKED: whole groups in the order of the epoch
 * (drawn / n_train_windows) until the next does not fit; the order of an epoch is a permutation
 * keyed by (seed, LM_RANDOM_ORDER, epoch), or the file's. JOINED: up to max_sequences crops of
 * context tokens, each beginning at any place of the training stream that leaves context + 1 ids,
 * drawn uniformly by (seed, LM_RANDOM_CROP, drawn). A shorter stream is one crop. LM_ERR_ARGUMENT
 * when a window exceeds the context, or a group max_tokens or the batch's capacity, or there is
 * none; LM_ERR_FORMAT for an id outside the vocabulary.
 */
bool lm_dataset_next(LmBatch *batch, LmCursor *cursor, int32_t *example, const LmDataset *dataset,
					 int max_tokens, int max_sequences, LmError *error);

/* Moves the cursor as lm_dataset_next does, without a batch. */
bool lm_dataset_skip(LmCursor *cursor, const LmDataset *dataset, int max_tokens, int max_sequences,
					 LmError *error);

/*
 * Reads ahead: it holds the n_batches micro-batches of one step, while a thread of the engine makes
 * those of the next step. The batches are the same as from lm_dataset_next with an example of 0.
 * The dataset's file must stay mapped until lm_reader_free. One reader at a time for an engine.
 */
typedef struct LmReader LmReader;

/*
 * Allocates the batches of two steps through the engine's host; NULL with LM_ERR_MEMORY, or
 * LM_ERR_ARGUMENT for max_tokens below 1. _free waits for the thread; NULL is fine.
 */
LmReader *lm_reader_create(LmEngine *engine, const LmDataset *dataset, int n_batches,
						   int max_tokens, int max_sequences, LmError *error);
void lm_reader_free(LmReader *reader);

/*
 * The number of a step's first window, where other members of a training draw the windows before
 * it; 0 unless it is set, before the first _next.
 */
void lm_reader_number_from(LmReader *reader, int32_t example);

/*
 * Returns the n_batches batches from the cursor on, which live until the next call, and moves the
 * cursor after them. NULL: an error of lm_dataset_next.
 */
const LmBatch *lm_reader_next(LmReader *reader, LmCursor *cursor, LmError *error);

/*
 * Fills batch with the validation windows from number *next on, with the same packing, in the
 * file's order, and moves *next. *more is false when none is left after them; the batch is empty
 * where there are none at all. JOINED: the validation stream in windows of context, each of which
 * begins where the one before ended.
 */
bool lm_dataset_validation(LmBatch *batch, uint64_t *next, bool *more, const LmDataset *dataset,
						   int max_tokens, LmError *error);

#endif /* LM_BATCH_H */
