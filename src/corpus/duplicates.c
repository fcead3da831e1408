/*
 * src/corpus/duplicates.c
 *
 * The records of a spool go in; bits of those that repeat others come out, and the records that
 * are left are counted as documents.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/duplicates.h"
#include "corpus/spool_private.h"

#define NOTED_SHARE 0.1 /* of the rows, from which on the note has those that were dropped */

static void take_repeats(GptSpool *spool, const GptRepeated *repeated);
static void drop(GptSpool *spool, GptRepeated *repeated);
static void count_again(GptSpool *spool);

static uint8 *
create_bits(GptSpool *spool)
{
	return MemoryContextAllocExtended(GetMemoryChunkContext(spool), spool->n_records / 8 + 1,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* Memory that does not depend on the way of comparing. */
static void
start(GptRepeated *repeated, GptSpool *spool)
{
	MemoryContext context = GetMemoryChunkContext(spool);

	repeated->equal = create_bits(spool);
	repeated->leaked = create_bits(spool);
	if (spool->comparison == GPT_DEDUP_NEAR)
		repeated->near = create_bits(spool);
	if (!spool->list)
		return;
	gpt_bridge_check_memory((uint64) spool->n_records * (8 + sizeof(GptRepeat)));
	repeated->kept = MemoryContextAllocHuge(context, spool->n_records * sizeof(uint32) + 1);
	repeated->similarity = MemoryContextAllocHuge(context, spool->n_records * sizeof(float) + 1);
	for (int64 i = 0; i < spool->n_records; i++)
		repeated->kept[i] = (uint32) i;
}

void
gpt_duplicates_find(GptSpool *spool)
{
	GptRepeated repeated = {NULL};

	if (spool->comparison == GPT_DEDUP_NONE)
		return;
	if (spool->n_records >= PG_UINT32_MAX)
	{
		if (spool->dedup != GPT_DEDUP_NONE || spool->list)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("cannot compare " INT64_FORMAT " rows", spool->n_records),
							errdetail("At most " INT64_FORMAT " rows can be compared.",
									  (int64) PG_UINT32_MAX - 1),
							errhint("Set option \"dedup\" to \"none\".")));
		spool->comparison = GPT_DEDUP_NONE;
		count_again(spool);
		return;
	}
	start(&repeated, spool);
	gpt_equal_rows_find(&repeated, spool);
	if (spool->comparison == GPT_DEDUP_NEAR)
	{
		spool->dropped = repeated.equal;
		gpt_near_rows_find(&repeated, spool);
		spool->dropped = NULL;
	}
	if (spool->list)
		take_repeats(spool, &repeated);
	drop(spool, &repeated);
	pfree(repeated.leaked);
	count_again(spool);
}

/* The numbers of rows, in the order of the records. */
static void
take_repeats(GptSpool *spool, const GptRepeated *repeated)
{
	GptRepeat *repeats = MemoryContextAllocExtended(
		GetMemoryChunkContext(spool), spool->n_records * sizeof(GptRepeat) + 1, MCXT_ALLOC_HUGE);
	int64 n = 0;

	gpt_spool_rewind(spool);
	while (gpt_spool_read_header(spool))
	{
		CHECK_FOR_INTERRUPTS();
		repeats[n++].row = spool->record.row;
	}
	for (int64 i = 0; i < n; i++)
	{
		uint32 kept = (uint32) i;

		/* Of equal rows; it may be near another one. */
		repeats[i].similarity = 1;
		while (repeated->kept[kept] != kept)
		{
			repeats[i].similarity = Min(repeats[i].similarity, repeated->similarity[kept]);
			kept = repeated->kept[kept];
		}
		repeats[i].kept = kept == i ? 0 : repeats[kept].row;
	}
	pfree(repeated->kept);
	pfree(repeated->similarity);
	spool->repeats = repeats;
}

/* Keeps the bits of those rows that the options drop. */
static void
drop(GptSpool *spool, GptRepeated *repeated)
{
	int64 n_bytes = spool->n_records / 8 + 1;

	if (spool->dedup == GPT_DEDUP_NEAR)
	{
		for (int64 i = 0; i < n_bytes; i++)
			repeated->equal[i] |= repeated->near[i];
	}
	if (repeated->near != NULL)
		pfree(repeated->near);
	if (spool->dedup != GPT_DEDUP_NONE)
		spool->dropped = repeated->equal;
	else
		pfree(repeated->equal);
}

static void
count_again(GptSpool *spool)
{
	int64 before = spool->documents;

	spool->documents = 0;
	for (int side = 0; side < GPT_N_SIDES; side++)
		spool->bytes[side] = spool->side_documents[side] = 0;
	spool->compared = true;
	gpt_spool_rewind(spool);
	while (gpt_spool_read_header(spool))
	{
		CHECK_FOR_INTERRUPTS();
		gpt_spool_count(spool, &spool->record);
	}
	spool->duplicates.dropped = before - spool->documents;
}

/* ---- The note ----------------------------------------------------------- */

char *
gpt_duplicates_note(const GptSpool *spool)
{
	const GptDuplicates *counts = &spool->duplicates;
	const int64 n_validation = spool->side_documents[GPT_SIDE_VALIDATION];
	char *dropped = NULL;
	char *leaked = NULL;

	if (counts->dropped > 0 &&
		counts->dropped >= NOTED_SHARE * (double) (counts->dropped + spool->documents))
		dropped = psprintf(INT64_FORMAT " of " INT64_FORMAT
										" rows repeat others, and the job does not use them "
										"(option \"dedup\")",
						   counts->dropped, counts->dropped + spool->documents);
	if (counts->leaked > 0)
		leaked = psprintf(INT64_FORMAT " of " INT64_FORMAT
									   " validation rows repeat rows that are trained on, so the "
									   "validation loss is lower than on new text",
						  counts->leaked, n_validation);
	if (dropped == NULL || leaked == NULL)
		return dropped != NULL ? dropped : leaked;
	return psprintf("%s; %s", dropped, leaked);
}
