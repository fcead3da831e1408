/*
 * src/engine/text/word_counter.c
 *
 * Texts are cut into segments where no word can lie across the cut, and each thread takes one after
 * the other. A thread must not ask the host for memory: where its table has no room, it leaves the
 * segment as far as it came, and the caller's thread makes room before the next run. The caller's
 * thread alone counts what a thread cannot: segments of enormous words, and texts in error.
 */
#include "base/engine_private.h"
#include "text/array.h"
#include "text/split_class.h"
#include "text/word_counter_private.h"

#define SEGMENT_SIZE ((size_t) 64 << 10)
/* of a thread, for windows of ICU and for normal forms */
#define REGION_SIZE ((size_t) 4 << 20)
#define LEAST_PARALLEL ((size_t) 128 << 10) /* bytes; less is not worth a run */

static bool start_worker(LmWordCounter *counter, LmCountWorker *worker, const LmSplit *split,
						 LmError *error);
static bool cut_segments(LmWordCounter *counter);
static size_t safe_cut(const LmWordCounter *counter, LmBytes text, size_t begin);
static bool count_segments(LmWordCounter *counter, LmError *error);
static bool count_parallel(LmWordCounter *counter, LmError *error);
static bool make_room(LmWordCounter *counter, LmCountWorker *worker, size_t size, LmError *error);
static bool within_limit(LmWordCounter *counter, LmError *error);
static bool fail_full(const LmWordCounter *counter, LmError *error);
static void count_piece(void *work, int piece, int thread);
static bool count_segment(LmCountWorker *worker, LmCountSegment *segment, LmError *error);
static bool count_text(LmCountWorker *worker, LmCountSegment *segment, LmBytes text,
					   LmError *error);
static bool add_piece(LmCountWorker *worker, LmCountSegment *segment, LmBytes text, LmBytes piece,
					  LmError *error);
static bool flush(LmCountWorker *worker, LmError *error);
static void *reallocate(void *context, void *pointer, size_t size);
static bool should_stop(void *context);

/* ------------------------------------------------------------ life */

LmWordCounter *
lm_counter_create(const LmHost *host, const LmCounterOptions *options, LmError *error)
{
	LmWordCounter *counter = lm_array_allocate(host, 1, sizeof *counter, error);
	int n = options->engine ? lm_engine_threads(options->engine) : 1;
	LmSplit split;

	if (!counter)
		return NULL;
	counter->host = *host;
	counter->options = *options;
	counter->options.pattern = NULL;
	if (!lm_split_create(&split, host, options->pattern, error))
	{
		lm_free(host, counter);
		return NULL;
	}
	counter->cuts = !split.regex;
	counter->workers = lm_array_allocate(host, (size_t) n + 1, sizeof *counter->workers, error);
	if (counter->workers && n > 1)
	{
		counter->memory = lm_allocate_unset(host, (size_t) n * REGION_SIZE);
		if (!counter->memory)
			lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d threads that count words", n);
	}
	for (bool good = counter->workers && (n == 1 || counter->memory); counter->n_workers <= n;
		 counter->n_workers++)
	{
		good = good && start_worker(counter, &counter->workers[counter->n_workers], &split, error);
		if (good)
			continue;
		lm_split_free(&split);
		lm_counter_free(counter);
		return NULL;
	}
	counter->n_workers = n;
	counter->alone = &counter->workers[n];
	lm_split_free(&split);
	return counter;
}

/* The last one is the caller's thread, with the counter's own host. */
static bool
start_worker(LmWordCounter *counter, LmCountWorker *worker, const LmSplit *split, LmError *error)
{
	int number = (int) (worker - counter->workers);
	LmHost host = {.reallocate = reallocate, .should_stop = should_stop, .context = worker};

	worker->counter = counter;
	worker->thread = number;
	worker->words.host = counter->host;
	if (!counter->memory || worker == &counter->workers[lm_engine_threads(counter->options.engine)])
		return lm_split_fork(&worker->split, split, &counter->host, error);
	lm_region_init(&worker->region, (char *) counter->memory + (size_t) number * REGION_SIZE,
				   REGION_SIZE);
	return lm_split_fork(&worker->split, split, &host, error);
}

void
lm_counter_free(LmWordCounter *counter)
{
	LmHost host;

	if (!counter)
		return;
	host = counter->host;
	lm_counter_release(counter);
	for (int i = 0; counter->workers && i < counter->n_workers + (counter->alone != NULL); i++)
		lm_split_free(&counter->workers[i].split);
	if (counter->alone)
		lm_array_free(&host, counter->alone->normalized.data);
	lm_free(&host, counter->workers);
	lm_free(&host, counter->memory);
	lm_free(&host, counter->buffers);
	lm_free(&host, counter);
}

void
lm_counter_release(LmWordCounter *counter)
{
	for (int i = 0; counter->workers && i < counter->n_workers; i++)
		lm_words_free(&counter->workers[i].words);
	lm_free(&counter->host, counter->buffers);
	counter->buffers = NULL;
}

void
lm_counter_clear(LmWordCounter *counter)
{
	for (int i = 0; i < counter->n_workers; i++)
		lm_words_clear(&counter->workers[i].words);
}

size_t
lm_counter_memory(const LmWordCounter *counter)
{
	size_t size = sizeof *counter + ((size_t) counter->n_workers + 1) * sizeof *counter->workers +
				  counter->alone->normalized.capacity +
				  counter->alone->split.units_capacity * sizeof(UChar);

	for (int i = 0; i < counter->n_workers; i++)
		size += lm_words_memory(&counter->workers[i].words);
	if (counter->memory)
		size += (size_t) counter->n_workers * REGION_SIZE;
	return counter->buffers ? size + LM_SPILL_PARTS * LM_SPILL_BLOCK : size;
}

size_t
lm_counter_count(const LmWordCounter *counter)
{
	size_t count = 0;

	for (int i = 0; i < counter->n_workers; i++)
		count += counter->workers[i].words.count;
	return count;
}

bool
lm_counter_full(const LmWordCounter *counter)
{
	return counter->full;
}

/* ------------------------------------------------------------ texts to segments */

bool
lm_counter_add(LmWordCounter *counter, const LmBytes *texts, int n, int *failed, LmError *error)
{
	bool good;

	if (counter->full)
		return fail_full(counter, error);
	if (!counter->texts)
	{
		counter->text = counter->n_segments = 0;
		counter->position = 0;
	}
	counter->texts = texts;
	counter->n_texts = n;
	do
		good = count_segments(counter, error);
	while (good && cut_segments(counter));
	if (good)
		counter->texts = NULL;
	else if (failed)
		*failed = counter->failed;
	return good;
}

void
lm_counter_forget(LmWordCounter *counter)
{
	counter->texts = NULL;
}

bool
lm_counter_put(LmWordCounter *counter, LmBytes word, int64_t count, LmError *error)
{
	LmWords *words = &counter->workers[0].words;

	if (counter->full)
		return fail_full(counter, error);
	if (!lm_words_room(words, 1, word.size) &&
		(!within_limit(counter, error) || !lm_words_reserve(words, 1, word.size, error)))
		return false;
	lm_words_put(words, &word, 1, count);
	return true;
}

/* The segments of the next run; false at the end of the texts. */
static bool
cut_segments(LmWordCounter *counter)
{
	counter->n_segments = 0;
	while (counter->text < counter->n_texts && counter->n_segments < LM_COUNT_SEGMENTS)
	{
		LmBytes text = counter->texts[counter->text];
		LmCountSegment segment = {.text = counter->text, .n = 1, .begin = counter->position};
		size_t size = text.size;

		segment.end = safe_cut(counter, text, segment.begin);
		segment.alone = segment.end - segment.begin > 4 * SEGMENT_SIZE;
		counter->position = segment.end;
		if (segment.end == text.size)
		{
			counter->position = 0;
			counter->text++;
		}
		/* Short texts share one. */
		while (segment.begin == 0 && segment.end == text.size && size < SEGMENT_SIZE &&
			   counter->text < counter->n_texts &&
			   size + counter->texts[counter->text].size <= SEGMENT_SIZE)
		{
			size += counter->texts[counter->text++].size;
			segment.n++;
		}
		segment.next = segment.text;
		counter->segments[counter->n_segments++] = segment;
	}
	return counter->n_segments > 0;
}

/*
 * Where the segment that begins there ends: at a blank or a line's end after a letter or number.
 * Each of the splits that are scanned by hand has a boundary there, and what follows does not
 * depend on what was before; the same is true of normal forms. Other patterns may look anywhere.
 */
static size_t
safe_cut(const LmWordCounter *counter, LmBytes text, size_t begin)
{
	size_t i = begin + SEGMENT_SIZE;

	if (!counter->cuts || text.size - begin <= 2 * SEGMENT_SIZE)
		return text.size;
	for (; i < text.size; i++)
	{
		size_t lead = i - 1, position;
		int length;

		if (text.data[i] != ' ' && text.data[i] != '\n')
			continue;
		while (lead > i - 4 && ((unsigned char) text.data[lead] & 0xC0) == 0x80)
			lead--;
		if (lm_utf8_valid(text.data + lead, i - lead, &position) &&
			(lm_class_at(text.data + lead, &length) == LM_CLASS_LETTER ||
			 lm_class_at(text.data + lead, &length) == LM_CLASS_NUMBER))
			return i;
	}
	return text.size;
}

/* ------------------------------------------------------------ segments to words */

/* Counts what the last run has left of its segments, on all threads and then alone. */
static bool
count_segments(LmWordCounter *counter, LmError *error)
{
	if (counter->memory && !count_parallel(counter, error))
		return false;
	for (int i = 0; i < counter->n_segments; i++)
	{
		LmCountSegment *segment = &counter->segments[i];

		if (!segment->done && !count_segment(counter->alone, segment, error))
		{
			counter->failed = segment->next;
			return false;
		}
	}
	return true;
}

/* Runs until all segments are done or for the caller's thread alone. */
static bool
count_parallel(LmWordCounter *counter, LmError *error)
{
	LmEngine *engine = counter->options.engine;

	for (;;)
	{
		size_t size = 0;

		for (int i = 0; i < counter->n_segments; i++)
		{
			const LmCountSegment *segment = &counter->segments[i];

			if (!segment->done && !segment->alone)
				size += segment->n > 1 ? SEGMENT_SIZE : segment->end - segment->begin;
		}
		if (size < LEAST_PARALLEL)
			return true;
		for (int i = 0; i < counter->n_workers; i++)
			if (!make_room(counter, &counter->workers[i], size / (size_t) counter->n_workers,
						   error))
				return false;
		lm_engine_begin(engine);
		lm_engine_run(engine, count_piece, counter, counter->n_segments);
		if (lm_engine_stopped(engine))
			return lm_fail(error, LM_ERR_STOPPED, -1, "stopped");
	}
}

/* Room for some of the words of a text of that size, where the table had none. */
static bool
make_room(LmWordCounter *counter, LmCountWorker *worker, size_t size, LmError *error)
{
	if (!worker->wants_room && worker->words.n_slots > 0)
		return true;
	worker->wants_room = false;
	if (!within_limit(counter, error))
		return false;
	return lm_words_reserve(&worker->words, LM_COUNT_BATCH + size / 16,
							LM_COUNT_BATCH * LM_WORD_MOST + size / 2, error);
}

/* Marks the counter as full beyond the limit of its tables. */
static bool
within_limit(LmWordCounter *counter, LmError *error)
{
	size_t size = 0, count = 0;

	for (int i = 0; i < counter->n_workers; i++)
	{
		size += lm_words_memory(&counter->workers[i].words);
		count += counter->workers[i].words.count;
	}
	counter->full = counter->options.memory > 0 && count > 0 && size > counter->options.memory;
	return !counter->full || fail_full(counter, error);
}

static bool
fail_full(const LmWordCounter *counter, LmError *error)
{
	return lm_fail(error, LM_ERR_LIMIT, -1, "words need more memory than %zu MB",
				   counter->options.memory >> 20);
}

static void
count_piece(void *work, int piece, int thread)
{
	LmWordCounter *counter = work;
	LmCountSegment *segment = &counter->segments[piece];
	LmCountWorker *worker = &counter->workers[thread];
	LmError error = {0};

	if (segment->done || segment->alone || count_segment(worker, segment, &error))
		return;
	/* What a thread cannot do for want of memory or for an error, the caller's can, or reports. */
	if (!worker->wants_room && error.code != LM_ERR_STOPPED)
		segment->alone = true;
}

static bool
count_segment(LmCountWorker *worker, LmCountSegment *segment, LmError *error)
{
	const LmBytes *texts = worker->counter->texts;

	for (; segment->next < segment->text + segment->n; segment->next++)
	{
		LmBytes text = texts[segment->next];

		if (segment->n == 1)
			text = (LmBytes){text.data + segment->begin, segment->end - segment->begin};
		if (text.size > 0 && !count_text(worker, segment, text, error))
		{
			if (error && error->position >= 0 && error->code == LM_ERR_ENCODING)
				error->position += (int64_t) segment->begin;
			return false;
		}
		segment->counted = segment->piece = 0;
	}
	segment->done = true;
	return true;
}

/* Counts the words of a text beyond those that are counted. */
static bool
count_text(LmCountWorker *worker, LmCountSegment *segment, LmBytes text, LmError *error)
{
	const LmCounterOptions *options = &worker->counter->options;
	const LmHost *host = &worker->split.host;
	LmPieces *pieces = &worker->pieces;

	if (!lm_text_check(host, text.data, text.size, error))
		return false;
	if (options->normalize_nfc || options->normalize_nfkc)
	{
		if (!(options->normalize_nfkc ? lm_text_normalize_kc : lm_text_normalize)(
				host, &worker->normalized, text.data, text.size, error))
			return false;
		text = (LmBytes){worker->normalized.data, worker->normalized.size};
	}
	lm_split_start(&worker->split, text.data, text.size);
	/* A pattern that may look back begins at the first byte again. */
	if (!worker->split.regex)
		worker->split.position = segment->piece;
	worker->n_batch = 0;
	worker->batch_size = 0;
	do
	{
		if (!lm_split_next(&worker->split, pieces, error))
			return false;
		for (int i = 0; i < pieces->count; i++)
			if (!add_piece(worker, segment, text, pieces->pieces[i], error))
				return false;
	} while (pieces->count > 0);
	return flush(worker, error);
}

/*
 * Longer pieces are cut: a token has at most LM_MAX_TOKEN_SIZE bytes, so that little is lost, and
 * the work stays bounded.
 */
static bool
add_piece(LmCountWorker *worker, LmCountSegment *segment, LmBytes text, LmBytes piece,
		  LmError *error)
{
	size_t begin = (size_t) (piece.data - text.data);

	while (piece.size > 0)
	{
		LmBytes word = {piece.data, lm_utf8_boundary(piece.data, piece.size, LM_WORD_MOST)};

		piece.data += word.size;
		piece.size -= word.size;
		if (worker->n_batch == LM_COUNT_BATCH)
		{
			if (!flush(worker, error))
				return false;
			segment->counted = (size_t) (word.data - text.data);
			segment->piece = begin;
		}
		if ((size_t) (word.data - text.data) < segment->counted)
			continue;
		worker->batch[worker->n_batch++] = word;
		worker->batch_size += word.size;
	}
	return true;
}

/* Counts the words of the batch, all or none. */
static bool
flush(LmCountWorker *worker, LmError *error)
{
	LmWordCounter *counter = worker->counter;
	bool alone = worker == counter->alone;
	LmWords *words = alone ? &counter->workers[0].words : &worker->words;
	size_t n = (size_t) worker->n_batch;

	if (!lm_words_room(words, n, worker->batch_size))
	{
		if (!alone)
		{
			worker->wants_room = true;
			return false;
		}
		if (!within_limit(counter, error) || !lm_words_reserve(words, n, worker->batch_size, error))
			return false;
	}
	lm_words_put(words, worker->batch, worker->n_batch, 1);
	worker->n_batch = 0;
	worker->batch_size = 0;
	return true;
}

static void *
reallocate(void *context, void *pointer, size_t size)
{
	LmCountWorker *worker = context;

	return lm_region_reallocate(&worker->region, pointer, size);
}

/* Only the caller's thread asks the host; the others see the answer. */
static bool
should_stop(void *context)
{
	const LmCountWorker *worker = context;
	const LmEngine *engine = worker->counter->options.engine;

	return worker->thread == 0 ? lm_pool_stopped(engine->pool) : lm_pool_stopping(engine->pool);
}
