/*
 * src/corpus/spool_file.c
 *
 * Records go in and come out again in the same order, as often as wanted, through a temporary file
 * of the server.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "corpus/spool_private.h"

void
gpt_spool_write(GptSpool *spool, const GptSpoolRecord *record, const GptSourceRow *row)
{
	BufFileWrite(spool->file, unconstify(GptSpoolRecord *, record), sizeof(GptSpoolRecord));
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
	{
		LmBytes bytes = gpt_source_row_text(row, text);

		if (record->sizes[text] > 0)
			BufFileWrite(spool->file, unconstify(char *, bytes.data), record->sizes[text]);
	}
	spool->file_size += (int64) sizeof(GptSpoolRecord) + record->size;
}

/* ---- Reading ------------------------------------------------------------ */

/* A file is parts of at most a gigabyte each. */
#define PLACE(fileno, offset) ((uint64) (fileno) << 32 | (uint64) (offset))
#define PLACE_FILE(place) ((int) ((place) >> 32))
#define PLACE_OFFSET(place) ((off_t) ((place) &PG_UINT32_MAX))

/* Of a file in memory, a place is the offset. */
static uint64
tell(GptSpool *spool)
{
	int fileno;
	off_t offset;

	if (spool->image != NULL)
		return spool->image_offset;
	BufFileTell(spool->file, &fileno, &offset);
	return PLACE(fileno, offset);
}

static void
seek(GptSpool *spool, uint64 place)
{
	if (spool->image != NULL)
		spool->image_offset = place;
	else if (BufFileSeek(spool->file, PLACE_FILE(place), PLACE_OFFSET(place), SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not rewind the temporary file of the corpus")));
}

/* Goes over bytes of a record. */
static void
skip(GptSpool *spool, uint32 size)
{
	if (spool->image != NULL)
		spool->image_offset += size;
	else if (BufFileSeek(spool->file, 0, (off_t) size, SEEK_CUR) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not rewind the temporary file of the corpus")));
}

/* Returns the number of bytes read: at the end of the file less than size. */
static size_t
read_some(GptSpool *spool, void *target, size_t size)
{
	if (spool->image == NULL)
		return BufFileRead(spool->file, target, size);
	size = Min(size, spool->image_size - spool->image_offset);
	memcpy(target, spool->image + spool->image_offset, size);
	spool->image_offset += size;
	return size;
}

void
gpt_spool_rewind(GptSpool *spool)
{
	seek(spool, 0);
	spool->next_document = 0;
	spool->n_read = 0;
}

void
gpt_spool_hold(GptSpool *spool, int64 limit)
{
	if (spool->file_size > limit)
		return;
	gpt_spool_rewind(spool);
	spool->image = MemoryContextAllocHuge(GetMemoryChunkContext(spool), spool->file_size + 1);
	spool->image_size = BufFileRead(spool->file, spool->image, spool->file_size);
	spool->image_offset = 0;
}

void
gpt_spool_release(GptSpool *spool)
{
	if (spool->image != NULL)
		pfree(spool->image);
	spool->image = NULL;
}

/* False at the end of the file, if a record would begin there. */
static bool
read_exactly(GptSpool *spool, void *target, size_t size)
{
	size_t n = read_some(spool, target, size);

	if (n != size && (n != 0 || target != &spool->record))
		ereport(
			ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read the temporary file of the corpus: read only %zu of %zu bytes",
					n, size)));
	return n == size;
}

static void
read_text(GptSpool *spool)
{
	if (spool->record.size > spool->capacity)
	{
		if (spool->text != NULL)
			pfree(spool->text);
		spool->capacity = Max((size_t) spool->record.size, 2 * spool->capacity);
		spool->text = MemoryContextAllocHuge(GetMemoryChunkContext(spool), spool->capacity);
	}
	(void) read_exactly(spool, spool->text, spool->record.size);
}

/* Reads the next record that is not dropped, up to its text. */
static bool
read_kept(GptSpool *spool)
{
	for (;;)
	{
		int64 number = spool->n_read;
		uint64 place = tell(spool);

		if (!read_exactly(spool, &spool->record, sizeof(GptSpoolRecord)))
			return false;
		spool->place = place;
		spool->n_read++;
		if (spool->dropped == NULL || !(spool->dropped[number / 8] & 1 << number % 8))
			return true;
		skip(spool, spool->record.size);
	}
}

bool
gpt_spool_read_record(GptSpool *spool)
{
	if (!read_kept(spool))
		return false;
	read_text(spool);
	return true;
}

bool
gpt_spool_read_header(GptSpool *spool)
{
	if (!read_kept(spool))
		return false;
	skip(spool, spool->record.size);
	return true;
}

void
gpt_spool_read_at(GptSpool *spool, uint64 place)
{
	seek(spool, place);
	if (!read_exactly(spool, &spool->record, sizeof(GptSpoolRecord)))
		elog(ERROR, "the temporary file of the corpus ends before a record");
	read_text(spool);
}

/*
 * Rows are counted when they are read, or where they are compared, again after that: counts for the
 * held-out rows are of documents only.
 */
void
gpt_spool_count(GptSpool *spool, const GptSpoolRecord *record)
{
	GptSide side = record->flags & GPT_ROW_VALIDATION ? GPT_SIDE_VALIDATION : GPT_SIDE_TRAIN;

	spool->documents++;
	spool->bytes[side] += record->size;
	spool->side_documents[side]++;
	if (spool->held != NULL && (spool->comparison == GPT_DEDUP_NONE || spool->compared))
		gpt_held_out_add(spool->held, record->hash[1], record->hash[0], record->size,
						 record->label);
}

uint32
gpt_spool_label(const GptSpool *spool, const GptSpoolRecord *record)
{
	return spool->labels != NULL ? gpt_label_table_number(spool->labels, record->label) : 0;
}
