/*
 * src/serve/model_probe.c
 *
 * A name goes in, the network of the model in float32 comes out; both stay with the place of call
 * until its statement ends, so that the rows of a query read the weights once.
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/model_probe.h"

/* Tokens of a pass: several points of a path go through the network together. */
#define ROOMY_TOKENS 1024
#define POINTS 6
#define NANOSECONDS 1e9

struct GptProbe
{
	MemoryContext context; /* of all this but the struct; NULL: nothing is kept */
	const GptServed *kept; /* in use as long as the context is there */
	const GptServed *served; /* of the present call */
	LmSession *session;
	uint64 generation; /* of the engine that the session belongs to */
	LmProbe *probe; /* NULL: not asked for yet */
	MemoryContext probe_context;
	uint64 probe_size;
	bool has_noticed;
	instr_time began_at; /* of the present text */
	int64 n_before; /* tokens that the probe had computed by then */
};

static GptProbe *kept_at(FmgrInfo *function);
static void keep(GptProbe *kept, const char *reference, GptServedKind kind);
static void check(const char *reference, const GptServed *served, const char *use);
static void make_probe(GptProbe *kept, int n_tokens, uint64 held);
static int capacity_for(uint64 *size, const GptProbe *kept, int n_tokens, uint64 held);
static uint64 size_of(const GptProbe *kept, int capacity);

GptProbe *
gpt_probe_acquire(FmgrInfo *function, const char *reference, GptServedKind kind, const char *use)
{
	const GptServed *served = gpt_cache_acquire(reference, kind);
	GptProbe *kept = kept_at(function);

	kept->served = served;
	if (use != NULL)
		check(reference, served, use);
	gpt_cache_count_call(served);
	if (kept->context == NULL || kept->generation != gpt_bridge_generation() ||
		kept->session != gpt_cache_session(served))
		keep(kept, reference, kind);
	return kept;
}

static GptProbe *
kept_at(FmgrInfo *function)
{
	if (function->fn_extra == NULL)
		function->fn_extra = MemoryContextAllocZero(function->fn_mcxt, sizeof(GptProbe));
	return function->fn_extra;
}

/* Replaces what is kept by the model, which is in use from here on. */
static void
keep(GptProbe *kept, const char *reference, GptServedKind kind)
{
	MemoryContext parent = GetMemoryChunkContext(kept), caller;

	if (kept->context != NULL)
		MemoryContextDelete(kept->context);
	kept->context = NULL;
	kept->probe = NULL;
	kept->context = AllocSetContextCreate(parent, "gpt probe", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(kept->context);
	kept->kept = gpt_cache_acquire(reference, kind);
	MemoryContextSwitchTo(caller);
	kept->session = gpt_cache_session(kept->kept);
	kept->generation = gpt_bridge_generation();
}

static void
check(const char *reference, const GptServed *served, const char *use)
{
	LmError error;

	if (!lm_probe_check(served->config, &error))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s cannot look into model \"%s\"", use, reference),
						errdetail("Its architecture is encoder_decoder.")));
}

const GptServed *
gpt_probe_served(const GptProbe *kept)
{
	return kept->served;
}

LmSession *
gpt_probe_session(const GptProbe *kept)
{
	return kept->session;
}

LmProbe *
gpt_probe_get(GptProbe *kept, int n_tokens, uint64 held)
{
	gpt_cache_count_call(kept->served);
	gpt_stats_begin(gpt_cache_stats(kept->served), 0);
	INSTR_TIME_SET_CURRENT(kept->began_at);
	make_probe(kept, n_tokens, held);
	kept->n_before = lm_probe_computed(kept->probe);
	return kept->probe;
}

/* The probe has room for so many tokens. */
static void
make_probe(GptProbe *kept, int n_tokens, uint64 held)
{
	int capacity;
	LmError error;

	if (kept->probe != NULL && lm_probe_capacity(kept->probe) >= n_tokens)
	{
		gpt_cache_make_room(kept->served, kept->probe_size + held);
		return;
	}
	if (kept->probe != NULL)
		MemoryContextDelete(kept->probe_context);
	kept->probe = NULL;
	capacity = capacity_for(&kept->probe_size, kept, n_tokens, held);
	gpt_cache_make_room(kept->served, kept->probe_size + held);
	kept->probe_context =
		AllocSetContextCreate(kept->context, "gpt probe weights", ALLOCSET_DEFAULT_SIZES);
	kept->probe =
		lm_probe_create(gpt_bridge_host(kept->probe_context), kept->session, capacity, &error);
	if (kept->probe == NULL)
		gpt_bridge_raise(&error);
	while (!lm_probe_fill(kept->probe, &error))
	{
		LmProbe *unfinished = kept->probe;

		/* An error must not leave a probe with half of its weights. */
		kept->probe = NULL;
		gpt_bridge_retry(&error);
		kept->probe = unfinished;
	}
}

void
gpt_probe_count(GptProbe *kept, int64 n_tokens)
{
	int64 counts[GPT_STATS] = {0};
	instr_time now;
	instr_time taken;

	INSTR_TIME_SET_CURRENT(now);
	taken = now;
	INSTR_TIME_SUBTRACT(taken, kept->began_at);
	counts[GPT_STAT_ROWS] = counts[GPT_STAT_BATCHES] = 1;
	counts[GPT_STAT_TOKENS_IN] = n_tokens;
	counts[GPT_STAT_TOKENS_COMPUTED] = lm_probe_computed(kept->probe) - kept->n_before;
	counts[GPT_STAT_TIME] = (int64) (INSTR_TIME_GET_DOUBLE(taken) * NANOSECONDS);
	gpt_stats_add(gpt_cache_stats(kept->served), counts);
	gpt_stats_end();
	gpt_stats_flush_if_due(&now);
}

/* Room for several points of a short text, where memory allows. */
static int
capacity_for(uint64 *size, const GptProbe *kept, int n_tokens, uint64 held)
{
	int roomy = Max(n_tokens, Min(POINTS * n_tokens, ROOMY_TOKENS));

	roomy = Max((roomy + 127) / 128 * 128, 256);
	*size = size_of(kept, roomy);
	if (*size + held <= (uint64) gpt_settings_max_memory() / 2)
		return roomy;
	*size = size_of(kept, n_tokens);
	return n_tokens;
}

static uint64
size_of(const GptProbe *kept, int capacity)
{
	LmError error;
	size_t size;

	if (!lm_probe_memory(&size, kept->served->config, capacity,
						 lm_engine_threads(gpt_bridge_engine(gpt_threads)), &error))
		gpt_bridge_raise(&error);
	return size;
}

bool
gpt_probe_first_notice(GptProbe *kept)
{
	bool first = !kept->has_noticed;

	kept->has_noticed = true;
	return first;
}

LmTokens
gpt_probe_encode(int *n_prefix, GptProbe *kept, LmBytes text)
{
	const LmHost *host = lm_engine_host(gpt_bridge_engine(gpt_threads));
	LmBytes clean = gpt_cleaner_text(NULL, kept->served->cleaner, text, 0);
	LmTokens tokens = {0}, copy = {0};
	LmError error;

	while (!lm_probe_encode(&tokens, n_prefix, kept->session, clean, &error))
	{
		lm_tokens_free(host, &tokens);
		gpt_bridge_retry(&error);
	}
	copy.ids = MemoryContextAllocExtended(CurrentMemoryContext, (tokens.count + 1) * sizeof(int32),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (copy.ids != NULL && tokens.count > 0)
		memcpy(copy.ids, tokens.ids, tokens.count * sizeof(int32));
	copy.count = copy.capacity = tokens.count;
	lm_tokens_free(host, &tokens);
	if (copy.ids == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return copy;
}
