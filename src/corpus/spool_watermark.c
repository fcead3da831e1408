/*
 * src/corpus/spool_watermark.c
 *
 * Values of the watermark's column go in, the largest comes out as text.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "corpus/spool_private.h"

static void
start_watermark(GptSpool *spool, const GptSourceRow *row)
{
	TypeCacheEntry *type =
		lookup_type_cache(row->watermark_attribute->atttypid, TYPECACHE_CMP_PROC_FINFO);

	spool->compare = &type->cmp_proc_finfo;
	spool->type = type->type_id;
	spool->collation = row->watermark_attribute->attcollation;
	spool->length = type->typlen;
	spool->by_value = type->typbyval;
}

static bool
is_greater(const GptSpool *spool, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(spool->compare, spool->collation, a, b)) > 0;
}

/* The value is kept in the spool's memory. */
void
gpt_spool_note_watermark(GptSpool *spool, const GptSourceRow *row)
{
	MemoryContext old_context;

	if (spool->compare == NULL)
		start_watermark(spool, row);
	if (spool->has_largest && !is_greater(spool, row->watermark, spool->largest))
		return;
	old_context = MemoryContextSwitchTo(GetMemoryChunkContext(spool));
	if (spool->has_largest && !spool->by_value)
		pfree(DatumGetPointer(spool->largest));
	spool->largest = spool->by_value || spool->length != -1
						 ? datumCopy(row->watermark, spool->by_value, spool->length)
						 : PointerGetDatum(PG_DETOAST_DATUM_COPY(row->watermark));
	spool->has_largest = true;
	MemoryContextSwitchTo(old_context);
}

bool
gpt_spool_is_new(GptSpool *spool, const GptSourceRow *row)
{
	if (spool->compare == NULL)
		start_watermark(spool, row);
	return is_greater(spool, row->watermark, spool->since);
}

/* Dates in the one form that is read the same under every setting. */
const char *
gpt_spool_watermark_text(GptSpool *spool)
{
	int guc_level = NewGUCNestLevel();
	Oid function;
	bool is_varlena;
	char *text;

	(void) set_config_option("datestyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	getTypeOutputInfo(gpt_source_watermark_type(spool->type), &function, &is_varlena);
	text = OidOutputFunctionCall(function, spool->largest);
	AtEOXact_GUC(true, guc_level);
	if (strlen(text) > GPT_WATERMARK_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("watermark of %zu bytes is too long", strlen(text)),
						errdetail("It may have up to %d bytes.", GPT_WATERMARK_SIZE)));
	return MemoryContextStrdup(GetMemoryChunkContext(spool), text);
}

const char *
gpt_spool_watermark(const GptSpool *spool)
{
	return spool->watermark;
}
