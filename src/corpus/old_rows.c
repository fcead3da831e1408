/*
 * src/corpus/old_rows.c
 *
 * Old rows go in; those that are drawn (replay.c) come out, from a temporary file:
 *
 *   record in the file   | Record | prompt | text | other | third
 *                        | size of a label (a byte), label | ... |
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "core/settings.h"
#include "corpus/old_rows.h"

typedef struct Record
{
	uint64 number; /* of the row in the order of the query */
	uint64 key; /* equal for equal rows */
	size_t sizes[GPT_ROW_TEXTS];
	bool has[GPT_ROW_TEXTS];
	double weight;
	double target;
	int n_labels;
	bool has_labels;
	bool has_target;
	bool validation;
} Record;

struct GptOldRows
{
	BufFile *file;
	GptReplay *replay;
	int64 bytes; /* of texts and labels */
	MemoryContext context; /* of the row that is read */
};

static GptSourceRow read_row(GptOldRows *rows, const Record *record);

GptOldRows *
gpt_old_rows_create(uint64 seed)
{
	GptOldRows *rows = palloc0(sizeof(GptOldRows));

	rows->file = BufFileCreateTemp(true);
	rows->replay = gpt_replay_create(seed);
	rows->context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt old row", ALLOCSET_DEFAULT_SIZES);
	return rows;
}

void
gpt_old_rows_free(GptOldRows *rows)
{
	BufFileClose(rows->file);
	gpt_replay_free(rows->replay);
	MemoryContextDelete(rows->context);
	pfree(rows);
}

static void
write_bytes(GptOldRows *rows, const char *bytes, size_t size)
{
	if (size > 0)
		BufFileWrite(rows->file, unconstify(char *, bytes), size);
}

static void
count_bytes(GptOldRows *rows, const GptSourceRow *row)
{
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
		rows->bytes += (int64) gpt_source_row_text(row, text).size;
	for (int i = 0; i < row->n_labels; i++)
		rows->bytes += (int64) strlen(row->labels[i]) + 1;
	if (rows->bytes > (int64) gpt_max_corpus_size * 1024 * 1024)
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("query returned more text up to the watermark than gpt.max_corpus_size, "
					"%d MB",
					gpt_max_corpus_size),
			 errdetail("With the option \"replay\" these rows, with their labels, are kept in a "
					   "temporary file, of which some are drawn."),
			 errhint("Select fewer rows, or let a superuser raise gpt.max_corpus_size.")));
}

void
gpt_old_rows_keep(GptOldRows *rows, const GptSourceRow *row, const uint64 *hash)
{
	Record record;

	StaticAssertStmt(GPT_LABEL_SIZE <= PG_UINT8_MAX, "the size of a label is written as a byte");
	MemSet(&record, 0, sizeof(record));
	record.number = row->number;
	record.key = gpt_replay_key(row, hash);
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
	{
		record.sizes[text] = gpt_source_row_text(row, text).size;
		record.has[text] = gpt_source_row_text(row, text).data != NULL;
	}
	record.weight = row->weight;
	record.target = row->target;
	record.n_labels = row->n_labels;
	record.has_labels = row->labels != NULL;
	record.has_target = row->has_target;
	record.validation = row->validation;

	count_bytes(rows, row);
	gpt_replay_count(rows->replay, record.key);
	write_bytes(rows, (const char *) &record, sizeof(record));
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
		write_bytes(rows, gpt_source_row_text(row, text).data, record.sizes[text]);
	for (int i = 0; i < row->n_labels; i++)
	{
		uint8 size = (uint8) strlen(row->labels[i]);

		write_bytes(rows, (const char *) &size, sizeof(size));
		write_bytes(rows, row->labels[i], size);
	}
}

/* False at the end of the file. */
static bool
read_exactly(GptOldRows *rows, void *target, size_t size)
{
	size_t n = size == 0 ? 0 : BufFileRead(rows->file, target, size);

	if (n != size && n != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read the temporary file of old rows: read only %zu of "
							   "%zu bytes",
							   n, size)));
	return n == size;
}

int64
gpt_old_rows_draw(GptOldRows *rows, int64 wanted, GptSourceCallback callback, void *context)
{
	Record record;

	gpt_replay_choose(rows->replay, wanted);
	if (BufFileSeek(rows->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not rewind the temporary file of old rows")));
	while (read_exactly(rows, &record, sizeof(record)))
	{
		GptSourceRow row;

		CHECK_FOR_INTERRUPTS();
		row = read_row(rows, &record);
		if (gpt_replay_draw(rows->replay, record.key))
			callback(context, &row);
		MemoryContextReset(rows->context);
	}
	return rows->replay->chosen;
}

static char *
read_string(GptOldRows *rows, size_t size)
{
	char *string = MemoryContextAllocHuge(rows->context, size + 1);

	if (!read_exactly(rows, string, size))
		elog(ERROR, "the temporary file of old rows ends in a row");
	string[size] = '\0';
	return string;
}

static char *
read_text(GptOldRows *rows, const Record *record, GptRowText text)
{
	return record->has[text] ? read_string(rows, record->sizes[text]) : NULL;
}

/* Reads the strings of a record back from the temporary file; they live in rows->context. */
static GptSourceRow
read_row(GptOldRows *rows, const Record *record)
{
	GptSourceRow row = {.number = record->number,
						.prompt_size = record->sizes[GPT_TEXT_PROMPT],
						.size = record->sizes[GPT_TEXT_MAIN],
						.other_size = record->sizes[GPT_TEXT_OTHER],
						.third_size = record->sizes[GPT_TEXT_THIRD],
						.n_labels = record->n_labels,
						.target = record->target,
						.has_target = record->has_target,
						.weight = record->weight,
						.validation = record->validation};
	const char **labels;

	row.prompt = read_text(rows, record, GPT_TEXT_PROMPT);
	row.text = read_text(rows, record, GPT_TEXT_MAIN);
	row.other = read_text(rows, record, GPT_TEXT_OTHER);
	row.third = read_text(rows, record, GPT_TEXT_THIRD);
	if (!record->has_labels)
		return row;
	labels = MemoryContextAlloc(rows->context, (record->n_labels + 1) * sizeof(char *));
	for (int i = 0; i < record->n_labels; i++)
	{
		uint8 size;

		if (!read_exactly(rows, &size, sizeof(size)))
			elog(ERROR, "the temporary file of old rows ends in a row");
		labels[i] = read_string(rows, size);
	}
	row.labels = labels;
	return row;
}
