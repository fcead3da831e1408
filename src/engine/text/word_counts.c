/*
 * src/engine/text/word_counts.c
 *
 * The tables of a survey go out as bytes, and bytes come back as words and counts.
 */
#include "engine/word_counts.h"
#include "text/array.h"
#include "text/ranked.h"
#include "text/utf8.h"
#include "text/word_survey_private.h"

#define POLLED 4096 /* words between two looks at whether to stop */
#define MOST_DIGITS 9 /* bytes of a number below 2^63 */

/* Bytes that are being written. */
typedef struct Writer
{
	const LmHost *host;
	char *data;
	size_t size, capacity;
} Writer;

static bool choose_words(LmRanked *items, size_t *n, LmWordTable *table,
						 const LmSurveyTable *survey, const LmHost *host, LmError *error);
static bool raise_floor(LmRanked *items, size_t *n, LmWordTable *table, const LmHost *host,
						LmError *error);
static bool write_words(Writer *writer, const LmRanked *items, size_t n, size_t most,
						LmError *error);
static bool fail_format(LmError *error);

/* ------------------------------------------------------------ writing */

bool
lm_word_survey_write(LmWordTable *table, const LmWordSurvey *survey, LmSurveyed which,
					 int64_t floor, size_t most, LmError *error)
{
	const LmSurveyTable *from = &survey->tables[which];
	const LmHost *host = &survey->host;
	LmRanked *items = lm_array_allocate(host, from->words.count + 1, sizeof *items, error);
	Writer writer = {host, NULL, 0, 0};
	size_t n = 0;
	bool good;

	*table = (LmWordTable){.floor = floor < 1 ? 1 : floor};
	if (!items)
		return false;
	good = choose_words(items, &n, table, from, host, error) &&
		   lm_ranked_sort(host, items, n, error) && write_words(&writer, items, n, most, error);
	while (good && writer.size > most)
	{
		table->floor *= 2;
		good = raise_floor(items, &n, table, host, error) &&
			   write_words(&writer, items, n, most, error);
	}
	lm_free(host, items);
	table->n = (int64_t) n;
	table->bytes = (LmBytes){writer.data, writer.size};
	if (good)
		return true;
	lm_word_table_free(host, table);
	return false;
}

void
lm_word_table_free(const LmHost *host, LmWordTable *table)
{
	lm_array_free(host, (void *) table->bytes.data);
	table->bytes = (LmBytes){NULL, 0};
}

static void
leave_out(LmWordTable *table, int64_t count)
{
	table->n_rare++;
	table->rare_occurrences += count;
}

/* Those that may leave; the value of all is the same, so that their bytes alone order them. */
static bool
choose_words(LmRanked *items, size_t *n, LmWordTable *table, const LmSurveyTable *survey,
			 const LmHost *host, LmError *error)
{
	LmWordCursor cursor = {0, 0};
	int64_t count, counted = 0;
	LmBytes word;

	for (size_t i = 0; lm_words_next(&survey->words, &cursor, &word, &count); i++)
	{
		if (i % POLLED == 0 && !lm_text_go_on(host, error))
			return false;
		if (count > (LM_COUNTED_MOST - counted) / (int64_t) word.size)
			return lm_fail(error, LM_ERR_LIMIT, -1, "words have more than %lld GB",
						   (long long) (LM_COUNTED_MOST >> 30));
		counted += count * (int64_t) word.size;
		if (count < table->floor ||
			(table->floor > 1 && lm_words_count(&survey->rows, word) <= LM_ROW_TAGS))
		{
			leave_out(table, count);
			continue;
		}
		items[(*n)++] = (LmRanked){word, 0, count};
		table->occurrences += count;
	}
	return true;
}

static bool
raise_floor(LmRanked *items, size_t *n, LmWordTable *table, const LmHost *host, LmError *error)
{
	size_t kept = 0;

	if (!lm_text_go_on(host, error))
		return false;
	for (size_t i = 0; i < *n; i++)
	{
		if (items[i].number >= table->floor)
			items[kept++] = items[i];
		else
		{
			leave_out(table, items[i].number);
			table->occurrences -= items[i].number;
		}
	}
	*n = kept;
	return true;
}

static void
put_number(Writer *writer, uint64_t number)
{
	for (; number >= 128; number >>= 7)
		writer->data[writer->size++] = (char) (unsigned char) (number | 128);
	writer->data[writer->size++] = (char) number;
}

static size_t
shared_size(LmBytes a, LmBytes b)
{
	size_t size = 0;

	while (size < a.size && size < b.size && a.data[size] == b.data[size])
		size++;
	return size;
}

/* Ends early beyond so many bytes. */
static bool
write_words(Writer *writer, const LmRanked *items, size_t n, size_t most, LmError *error)
{
	LmBytes before = {"", 0};

	writer->size = 0;
	for (size_t i = 0; i <= n && writer->size <= most; i++)
	{
		size_t room = writer->size + 3 * MOST_DIGITS + (i > 0 ? items[i - 1].bytes.size : 0);
		LmBytes word;
		size_t shared;

		if ((i % POLLED == 0 && !lm_text_go_on(writer->host, error)) ||
			!lm_array_reserve(writer->host, &writer->data, &writer->capacity, room, 1, error))
			return false;
		if (i == 0)
		{
			put_number(writer, n);
			continue;
		}
		word = items[i - 1].bytes;
		shared = shared_size(before, word);
		put_number(writer, shared);
		put_number(writer, word.size - shared);
		memcpy(writer->data + writer->size, word.data + shared, word.size - shared);
		writer->size += word.size - shared;
		put_number(writer, (uint64_t) items[i - 1].number);
		before = word;
	}
	return true;
}

/* ------------------------------------------------------------ reading */

static bool
fail_format(LmError *error)
{
	return lm_fail(error, LM_ERR_FORMAT, -1, "table of counted words is damaged");
}

/* A number below 2^63 in its shortest form. */
static bool
take_number(uint64_t *number, LmWordReader *reader, LmError *error)
{
	LmBytes *rest = &reader->rest;

	*number = 0;
	for (int i = 0; i < MOST_DIGITS && rest->size > 0; i++)
	{
		unsigned char digit = (unsigned char) *rest->data;

		rest->data++;
		rest->size--;
		*number |= (uint64_t) (digit & 127) << (7 * i);
		if (digit < 128)
			return digit > 0 || i == 0 || fail_format(error);
	}
	return fail_format(error);
}

bool
lm_word_reader_open(LmWordReader *reader, LmBytes bytes, LmError *error)
{
	reader->rest = bytes;
	reader->counted = 0;
	reader->size = 0;
	return take_number(&reader->n_left, reader, error) &&
		   (reader->n_left > 0 || bytes.size == 1 || fail_format(error));
}

/*
 * A word is greater than the one before, and shares with it what it can, if it has all of that one,
 * or if its first byte beyond is the greater one.
 */
static bool
follows(const LmWordReader *reader, size_t shared, size_t further)
{
	if (shared > reader->size || further == 0 || further > LM_MAX_TOKEN_SIZE - shared ||
		further > reader->rest.size)
		return false;
	return shared == reader->size ||
		   (unsigned char) *reader->rest.data > (unsigned char) reader->word[shared];
}

bool
lm_word_reader_next(LmBytes *word, int64_t *count, LmWordReader *reader, LmError *error)
{
	uint64_t shared, further, number;
	size_t position;

	*word = (LmBytes){reader->word, 0};
	if (reader->n_left == 0)
		return true;
	if (!take_number(&shared, reader, error) || !take_number(&further, reader, error))
		return false;
	if (!follows(reader, shared, further))
		return fail_format(error);
	memcpy(reader->word + shared, reader->rest.data, further);
	reader->rest.data += further;
	reader->rest.size -= further;
	reader->size = shared + further;
	if (!take_number(&number, reader, error))
		return false;
	if (number == 0 ||
		number > (uint64_t) (LM_COUNTED_MOST - reader->counted) / (uint64_t) reader->size ||
		memchr(reader->word, 0, reader->size) ||
		!lm_utf8_valid(reader->word, reader->size, &position) ||
		(--reader->n_left == 0) != (reader->rest.size == 0))
		return fail_format(error);
	reader->counted += (int64_t) (number * reader->size);
	*word = (LmBytes){reader->word, reader->size};
	*count = (int64_t) number;
	return true;
}
