/*
 * src/corpus/corpus_member.c
 *
 * The corpus of a member of a training over servers: a token file in a temporary file goes in, the
 * corpus that a received record describes comes out. Record, file and tokenizer are another
 * server's, so every number is checked before it is used.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_crc32c.h"

#include "core/compat.h"
#include "core/pulse.h"
#include "corpus/corpus.h"
#include "corpus/token_file.h"

/* of the token file, between two looks at interrupts */
#define PIECE_SIZE (4 * 1024 * 1024)

void
gpt_corpus_map(LmDataset *dataset, uint32 *file_crc, int file)
{
	pg_crc32c crc;

	gpt_token_file_take(dataset, file);
	INIT_CRC32C(crc);
	for (size_t done = 0; done < dataset->size; done += PIECE_SIZE)
	{
		COMP_CRC32C(crc, (const char *) dataset->base + done,
					Min(dataset->size - done, PIECE_SIZE));
		gpt_pulse();
	}
	FIN_CRC32C(crc);
	*file_crc = crc;
}

void
gpt_corpus_unmap(LmDataset *dataset)
{
	gpt_token_file_close(dataset);
}

pg_noreturn static void
raise_other(const char *what, int64 here, int64 there)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("the received checkpoint does not fit the token file"),
					errdetail("Its %s is " INT64_FORMAT " instead of " INT64_FORMAT ".", what,
							  there, here)));
}

/* Whether a byte that is read as a boolean is one. */
static bool
is_boolean(const bool *value)
{
	return *(const unsigned char *) value <= 1;
}

static void
check_record(const LmDataset *dataset, const GptCorpusRecord *record)
{
	if (lm_documents_name(record->documents) == NULL)
		raise_other("kind of documents", LM_DOCUMENTS_PACKED, record->documents);
	if (!is_boolean(&record->shuffle))
		raise_other("order", 1, *(const unsigned char *) &record->shuffle);
	if (record->context < 1 || record->context > LM_MAX_CONTEXT)
		raise_other("context", LM_MAX_CONTEXT, record->context);
	if (record->documents == LM_DOCUMENTS_JOINED &&
		(dataset->header->group != 1 || dataset->header->n_labels > 0))
		raise_other("kind of documents", LM_DOCUMENTS_PACKED, record->documents);
}

GptCorpus *
gpt_corpus_receive(const LmDataset *dataset, uint32 file_crc, bool is_own,
				   const GptCorpusRecord *record, const LmTokenizerSpec *spec)
{
	GptCorpus *corpus = palloc0(sizeof(GptCorpus));

	check_record(dataset, record);
	if (!is_own && record->file_size != dataset->size)
		raise_other("size of the file", (int64) dataset->size, (int64) record->file_size);
	if (!is_own && record->file_crc != file_crc)
		raise_other("checksum of the file", file_crc, record->file_crc);
	if (dataset->header->vocabulary != (uint32) spec->n_tokens)
		raise_other("vocabulary", dataset->header->vocabulary, spec->n_tokens);
	corpus->tokenizer = gpt_corpus_tokenizer_create(spec);
	corpus->dataset = *dataset;
	corpus->dataset.context = record->context;
	corpus->dataset.documents = (LmDocuments) record->documents;
	corpus->dataset.shuffle = record->shuffle;
	corpus->dataset.seed = record->seed;
	corpus->dataset.references = NULL;
	corpus->file_crc = file_crc;
	return corpus;
}
