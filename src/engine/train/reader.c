/*
 * src/engine/train/reader.c
 *
 * From a dataset and a cursor to the batches of a step. A side thread makes those of the next step,
 * so that a step does not wait for pages of the token file that are not in memory. The batches are
 * a function of dataset and cursor alone.
 *
 *   sets    | batches in use | batches being made |    which change places with every step
 */
#include "base/engine_private.h"
#include "engine/batch.h"

/*
 * The aside thread writes a set between lm_aside_begin and lm_aside_wait, the caller's thread the
 * rest of the time.
 */
typedef struct BatchSet
{
	const struct LmReader *reader;
	LmBatch *batches;
	LmCursor begin; /* of the batches in it ... */
	LmCursor end;
	bool made; /* ... if it holds anything */
	bool good;
	LmError error;
} BatchSet;

struct LmReader
{
	LmEngine *engine;
	LmDataset dataset;
	int n_batches;
	int max_tokens;
	int max_sequences;
	int32_t first_example;
	BatchSet sets[2];
	int current;
	bool is_leaving; /* nobody waits for the batches that are made; atomic */
};

static bool create_sets(LmReader *reader, LmError *error);
static void make_set(void *work);

LmReader *
lm_reader_create(LmEngine *engine, const LmDataset *dataset, int n_batches, int max_tokens,
				 int max_sequences, LmError *error)
{
	LmReader *reader = lm_allocate(&engine->host, sizeof *reader);

	if (!reader)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for batches");
		return NULL;
	}
	reader->engine = engine;
	reader->dataset = *dataset;
	reader->n_batches = n_batches;
	reader->max_tokens = max_tokens;
	reader->max_sequences = max_sequences;
	if (create_sets(reader, error))
		return reader;
	lm_reader_free(reader);
	return NULL;
}

/* Allocates the batches of two steps: one is in use while the other is filled. */
static bool
create_sets(LmReader *reader, LmError *error)
{
	const LmHost *host = &reader->engine->host;

	for (int i = 0; i < 2; i++)
	{
		BatchSet *set = &reader->sets[i];

		set->reader = reader;
		set->batches = lm_allocate(host, (size_t) reader->n_batches * sizeof *set->batches);
		if (!set->batches)
			return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for batches");
		for (int j = 0; j < reader->n_batches; j++)
			if (!lm_batch_create(&set->batches[j], host, reader->max_tokens, error))
				return false;
	}
	return true;
}

void
lm_reader_free(LmReader *reader)
{
	LmHost host;

	if (!reader)
		return;
	host = reader->engine->host;
	__atomic_store_n(&reader->is_leaving, true, __ATOMIC_RELAXED);
	lm_aside_wait(&reader->engine->aside);
	for (int i = 0; i < 2; i++)
	{
		LmBatch *batches = reader->sets[i].batches;

		for (int j = 0; batches && j < reader->n_batches; j++)
			lm_batch_free(&batches[j], &host);
		lm_free(&host, batches);
	}
	lm_free(&host, reader);
}

void
lm_reader_number_from(LmReader *reader, int32_t example)
{
	reader->first_example = example;
}

const LmBatch *
lm_reader_next(LmReader *reader, LmCursor *cursor, LmError *error)
{
	BatchSet *set = &reader->sets[1 - reader->current], *other = &reader->sets[reader->current];

	lm_aside_wait(&reader->engine->aside);
	if (!set->made || set->begin.drawn != cursor->drawn)
	{
		set->begin = *cursor;
		make_set(set);
	}
	set->made = false;
	if (!set->good)
	{
		*error = set->error;
		return NULL;
	}
	*cursor = set->end;
	reader->current = 1 - reader->current;
	other->begin = set->end;
	lm_aside_begin(&reader->engine->aside, make_set, other);
	return set->batches;
}

static void
make_set(void *work)
{
	BatchSet *set = work;
	const LmReader *reader = set->reader;
	int32_t example = reader->first_example;

	set->end = set->begin;
	set->good = true;
	for (int i = 0; set->good && i < reader->n_batches; i++)
	{
		if (__atomic_load_n(&reader->is_leaving, __ATOMIC_RELAXED))
			return;
		set->good = lm_dataset_next(&set->batches[i], &set->end, &example, &reader->dataset,
									reader->max_tokens, reader->max_sequences, &set->error);
	}
	set->made = true;
}
