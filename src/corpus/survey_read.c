/*
 * src/corpus/survey_read.c
 *
 * The bytes of a survey go in, the survey comes out. They may have come from anybody: each number
 * has its range, each size is checked before it is used.
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "corpus/survey_private.h"
#include "corpus/source.h"

#define MOST_NUMBER ((int64) 1 << 50) /* of rows or bytes */
#define MOST_TASK 64 /* bytes of a task's name */
#define MOST_SPLIT 65536 /* bytes of a pattern */

static void read_facts(GptSurvey *survey, StringInfo from);
static void read_lengths(GptSurvey *survey, StringInfo from);
static void read_labels(GptSurvey *survey, StringInfo from);
static void read_words(GptSurvey *survey, GptSurveyWords *words, StringInfo from, int most);

pg_noreturn static void
raise_damaged(const char *server, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("survey of server \"%s\" is damaged", server), errdetail("%s", detail)));
}

GptSurvey *
gpt_survey_read(const char *server, LmBytes bytes)
{
	GptSurvey *survey = palloc0(sizeof(GptSurvey));
	StringInfoData from = {unconstify(char *, bytes.data), (int) Min(bytes.size, PG_INT32_MAX)};
	uint32 version;
	uint32 crc;

	survey->server = pstrdup(server);
	if (bytes.size < GPT_SURVEY_HEAD || bytes.size > GPT_MOST_SURVEY ||
		memcmp(bytes.data, GPT_SURVEY_MAGIC, GPT_SURVEY_MAGIC_SIZE) != 0)
		raise_damaged(server, "It does not begin like a survey, or its size is none of one.");
	from.cursor = GPT_SURVEY_MAGIC_SIZE;
	version = pq_getmsgint(&from, 4);
	crc = pq_getmsgint(&from, 4);
	if (version != GPT_SURVEY_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("survey of server \"%s\" has version %u, this server reads version %d",
						server, version, GPT_SURVEY_VERSION),
				 errhint("Install the same version of the extension on both servers.")));
	if (crc != gpt_survey_crc(bytes))
		raise_damaged(server, "Its checksum is another one.");
	read_facts(survey, &from);
	read_lengths(survey, &from);
	read_labels(survey, &from);
	read_words(survey, &survey->words, &from, GPT_MOST_WORDS);
	read_words(survey, &survey->characters, &from, GPT_MOST_CHARACTERS);
	if (from.cursor != from.len)
		raise_damaged(server, "Something follows its end.");
	return survey;
}

/* ---- Values ------------------------------------------------------------- */

static void
need(const GptSurvey *survey, StringInfo from, int64 size)
{
	if (size < 0 || size > from->len - from->cursor)
		raise_damaged(survey->server, "It ends early.");
}

static int64
take_number(const GptSurvey *survey, StringInfo from, int64 least, int64 most)
{
	int64 number;

	need(survey, from, sizeof(int64));
	number = pq_getmsgint64(from);
	if (number < least || number > most)
		raise_damaged(survey->server, psprintf("A number is " INT64_FORMAT
											   ", outside of " INT64_FORMAT " .. " INT64_FORMAT ".",
											   number, least, most));
	return number;
}

static int
take_int(const GptSurvey *survey, StringInfo from, int most)
{
	int number;

	need(survey, from, sizeof(int32));
	number = (int) pq_getmsgint(from, 4);
	if (number < 0 || number > most)
		raise_damaged(survey->server,
					  psprintf("A number is %d, outside of 0 .. %d.", number, most));
	return number;
}

static int
take_byte(const GptSurvey *survey, StringInfo from, int most)
{
	int byte;

	need(survey, from, 1);
	byte = pq_getmsgbyte(from);
	if (byte > most)
		raise_damaged(survey->server, psprintf("A byte is %d, not 0 .. %d.", byte, most));
	return byte;
}

static double
take_double(const GptSurvey *survey, StringInfo from)
{
	double number;

	need(survey, from, sizeof(double));
	number = pq_getmsgfloat8(from);
	if (!isfinite(number))
		raise_damaged(survey->server, "A number is not finite.");
	return number;
}

/* Points into the bytes. */
static LmBytes
take_bytes(const GptSurvey *survey, StringInfo from, int most)
{
	int size = take_int(survey, from, most);

	need(survey, from, size);
	return (LmBytes){pq_getmsgbytes(from, size), (size_t) size};
}

/* A copy. */
static char *
take_text(const GptSurvey *survey, StringInfo from, int most)
{
	LmBytes bytes = take_bytes(survey, from, most);

	if (memchr(bytes.data, '\0', bytes.size) != NULL ||
		!pg_verify_mbstr(PG_UTF8, bytes.data, (int) bytes.size, true))
		raise_damaged(survey->server, "A text is no text in UTF-8.");
	return pnstrdup(bytes.data, bytes.size);
}

/* ---- Parts -------------------------------------------------------------- */

static void
read_facts(GptSurvey *survey, StringInfo from)
{
	survey->task = gpt_task_named(take_text(survey, from, MOST_TASK));
	if (survey->task == NULL)
		raise_damaged(survey->server, "Its task is none of this server's.");
	survey->marked = take_byte(survey, from, 1) != 0;
	survey->sets = take_byte(survey, from, 1) != 0;
	survey->has_words = take_byte(survey, from, 1) != 0;
	survey->normalize = (GptNormalize) take_byte(survey, from, GPT_NORMALIZE_NFKC);
	survey->split = take_text(survey, from, MOST_SPLIT);
	survey->floor = take_number(survey, from, 1, MOST_NUMBER);
	survey->documents = take_number(survey, from, 1, MOST_NUMBER);
	survey->skipped = take_number(survey, from, 0, MOST_NUMBER);
	survey->held_out = take_number(survey, from, 0, survey->documents);
	for (int side = 0; side < GPT_N_SIDES; side++)
		survey->side_bytes[side] = take_number(survey, from, 0, MOST_NUMBER);
	survey->counted_bytes = take_number(survey, from, 0, survey->side_bytes[GPT_SIDE_TRAIN]);
	survey->counted_tokens = take_number(survey, from, 0, survey->counted_bytes);
	survey->texts.task = survey->task;
	survey->texts.bytes = survey->side_bytes[GPT_SIDE_TRAIN];
	survey->texts.rows = take_number(survey, from, 0, MOST_NUMBER);
	survey->texts.short_rows = take_number(survey, from, 0, survey->texts.rows);
	survey->texts.characters = take_number(survey, from, 0, survey->texts.bytes);
	survey->moments.weight = take_double(survey, from);
	survey->moments.mean = take_double(survey, from);
	survey->moments.squares = take_double(survey, from);
	if (survey->moments.weight < 0 || survey->moments.squares < 0 ||
		(survey->task->measured && survey->moments.weight == 0))
		raise_damaged(survey->server, "Its numbers have no mean and variance.");
	survey->ending = take_bytes(survey, from, GPT_ENDING_SIZE);
}

static void
read_lengths(GptSurvey *survey, StringInfo from)
{
	int n = take_int(survey, from, GPT_SIZE_COUNTS);

	for (int i = 0; i < n; i++)
	{
		int at = take_int(survey, from, GPT_SIZE_COUNTS - 1);

		survey->lengths.n[at] = take_number(survey, from, 1, MOST_NUMBER);
		survey->lengths.bytes[at] = take_number(survey, from, 0, MOST_NUMBER);
	}
}

static void
read_labels(GptSurvey *survey, StringInfo from)
{
	/* Each takes 20 bytes at least. */
	int n = take_int(survey, from, Min(LM_MAX_LABELS, (from->len - from->cursor) / 20));

	if (n > 0 && !survey->task->labelled)
		raise_damaged(survey->server, "Its rows have labels, which their task has not.");
	survey->n_labels = n;
	survey->labels = palloc0(Max(n, 1) * sizeof(GptSurveyLabel));
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		survey->labels[i].name = take_text(survey, from, GPT_LABEL_SIZE);
		for (int side = 0; side < GPT_N_SIDES; side++)
			survey->labels[i].n_rows[side] = take_number(survey, from, 0, survey->documents);
	}
}

static void
read_words(GptSurvey *survey, GptSurveyWords *words, StringInfo from, int most)
{
	words->floor = take_number(survey, from, 0, PG_INT64_MAX);
	words->n = take_number(survey, from, 0, most);
	words->n_rare = take_number(survey, from, 0, MOST_NUMBER);
	words->rare_occurrences = take_number(survey, from, 0, MOST_NUMBER);
	words->table = take_bytes(survey, from, most);
	if (survey->has_words != (words->table.size > 0))
		raise_damaged(survey->server, "It has words where it says that it has none.");
}
