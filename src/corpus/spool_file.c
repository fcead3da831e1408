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
	if (record->prompt_size > 0)
		BufFileWrite(spool->file, unconstify(char *, row->prompt), row->prompt_size);
	BufFileWrite(spool->file, unconstify(char *, row->text), row->size);
}

void
gpt_spool_rewind(GptSpool *spool)
{
	if (BufFileSeek(spool->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not rewind the temporary file of the corpus")));
	spool->second_part = false;
}

static void
read_exactly(GptSpool *spool, void *target, size_t size)
{
	size_t n = BufFileRead(spool->file, target, size);

	if (n != size)
		ereport(
			ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read the temporary file of the corpus: read only %zu of %zu bytes",
					n, size)));
}

bool
gpt_spool_read_record(GptSpool *spool)
{
	size_t n = BufFileRead(spool->file, &spool->record, sizeof(GptSpoolRecord));

	if (n == 0)
		return false;
	if (n != sizeof(GptSpoolRecord))
		ereport(
			ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read the temporary file of the corpus: read only %zu of %zu bytes",
					n, sizeof(GptSpoolRecord))));
	if (spool->record.size > spool->capacity)
	{
		if (spool->text != NULL)
			pfree(spool->text);
		spool->capacity = Max((size_t) spool->record.size, 2 * spool->capacity);
		spool->text = MemoryContextAllocHuge(GetMemoryChunkContext(spool), spool->capacity);
	}
	read_exactly(spool, spool->text, spool->record.size);
	return true;
}
