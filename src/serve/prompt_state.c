/*
 * src/serve/prompt_state.c
 *
 * From the tokens with which a run's texts begin to the files that have their keys and values.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "core/settings.h"
#include "core/version.h"
#include "serve/cache_parts.h"
#include "serve/prompt_file.h"
#include "serve/prompt_seen.h"
#include "serve/prompt_state.h"

/*
 * Shorter beginnings are computed in less time than their files take: a prompt of 70 tokens and one
 * more take 2.8 ms with 2.5 million parameters, and 1.8 ms where 64 of them are read.
 */
#define LEAST_PAGES 2
/* Of what a file would have, another one has not to have this share: a prompt that grows with each
 * call, such as a conversation, has files of some lengths, not of each. */
#define GAIN 3
#define RETRY_MS 60000 /* after a file could not be written */

static void hash_keys(GptPromptState *state, const int32_t *ids, LmMany *many);
static void hash_first(uint8 *key, pg_cryptohash_ctx *hash, const GptServed *served, LmMany *many);
static int recurring(const GptPromptState *state);
static int find(GptPromptState *state, LmMany *many, int n_recurring);
static GptPromptFile file_of(const GptPromptState *state, int n_pages);

void
gpt_prompt_state_init(GptPromptState *state, const GptServed *served, const LmRequest *requests,
					  int n)
{
	memset(state, 0, sizeof(GptPromptState));
	state->served = served;
	/* A model that is not published yet has no version. */
	state->is_begun =
		gpt_prompt_cache == GPT_PROMPT_CACHE_OFF || !OidIsValid(gpt_cache_stats(served)->weights);
	/* Of several adapters the beginning may be any one's. */
	for (int i = 1; i < n; i++)
		state->is_begun = state->is_begun || requests[i].session != requests[0].session;
}

void
gpt_prompt_state_load(GptPromptState *state, LmMany *many)
{
	const int32_t *ids;
	int n_recurring;
	int n_found;

	if (state->is_begun)
		return;
	state->n_pages = lm_many_beginning(&ids, many) / LM_PAGE;
	if (state->n_pages == 0)
		return;
	state->is_begun = true;
	if (state->n_pages < LEAST_PAGES)
		return;
	hash_keys(state, ids, many);
	n_recurring = recurring(state);
	n_found = find(state, many, n_recurring);
	if (n_recurring - n_found >= Max(LEAST_PAGES, n_recurring / GAIN))
		state->n_wanted = n_recurring;
}

static void
add(pg_cryptohash_ctx *hash, const void *bytes, size_t size)
{
	if (pg_cryptohash_update(hash, bytes, size) < 0)
		elog(ERROR, "could not update sha256: %s", pg_cryptohash_error(hash));
}

static void
begin(pg_cryptohash_ctx *hash)
{
	if (hash == NULL || pg_cryptohash_init(hash) < 0)
		elog(ERROR, "could not initialize sha256: %s", pg_cryptohash_error(hash));
}

static void
end(pg_cryptohash_ctx *hash, uint8 *key)
{
	if (pg_cryptohash_final(hash, key, GPT_SHA256_SIZE) < 0)
		elog(ERROR, "could not finalize sha256: %s", pg_cryptohash_error(hash));
}

/* Each key is a hash of the one before it and the next page of ids. */
static void
hash_keys(GptPromptState *state, const int32_t *ids, LmMany *many)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8 before[GPT_SHA256_SIZE];

	state->keys = palloc(state->n_pages * GPT_SHA256_SIZE);
	hash_first(before, hash, state->served, many);
	for (int i = 0; i < state->n_pages; i++)
	{
		uint8 *key = state->keys + i * GPT_SHA256_SIZE;

		begin(hash);
		add(hash, before, GPT_SHA256_SIZE);
		add(hash, ids + i * LM_PAGE, LM_PAGE * sizeof(int32_t));
		end(hash, key);
		memcpy(before, key, GPT_SHA256_SIZE);
	}
	pg_cryptohash_free(hash);
}

static void
hash_first(uint8 *key, pg_cryptohash_ctx *hash, const GptServed *served, LmMany *many)
{
	const GptCachedModel *entry = gpt_cached_entry_of(served);
	Oid role = gpt_prompt_cache == GPT_PROMPT_CACHE_ALL ? InvalidOid : GetUserId();
	uint64 page_size = lm_many_page_size(many);
	const char *type = gpt_image_type_name(entry->image_type);

	begin(hash);
	add(hash, entry->sha256, GPT_SHA256_SIZE);
	add(hash, entry->base_sha256, GPT_SHA256_SIZE);
	add(hash, &MyDatabaseId, sizeof(Oid));
	add(hash, &role, sizeof(Oid));
	add(hash, &page_size, sizeof(page_size));
	add(hash, type, strlen(type) + 1);
	add(hash, lm_simd_name(), strlen(lm_simd_name()) + 1);
	add(hash, lm_linear_infer_name(), strlen(lm_linear_infer_name()) + 1);
	add(hash, GPT_VERSION, strlen(GPT_VERSION));
	end(hash, key);
}

/*
 * Pages of the longest beginning that was seen before. This run counts as seen from now on. A
 * beginning that all texts of a run share need not come again: the choices of gpt_choose share the
 * prompt of one row.
 */
static int
recurring(const GptPromptState *state)
{
	int n = state->n_pages;
	uint64 *hashes = palloc(n * sizeof(uint64));
	bool *seen = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
		memcpy(&hashes[i], state->keys + i * GPT_SHA256_SIZE, sizeof(uint64));
	gpt_prompts_see(seen + LEAST_PAGES - 1, hashes + LEAST_PAGES - 1, n - LEAST_PAGES + 1);
	while (n >= LEAST_PAGES && !seen[n - 1])
		n--;
	pfree(hashes);
	pfree(seen);
	return n >= LEAST_PAGES ? n : 0;
}

/* Pages of the longest file of the beginning, which the LmMany has from now on. */
static int
find(GptPromptState *state, LmMany *many, int n_recurring)
{
	int n_known = lm_many_known_pages(many);

	for (int n = n_recurring; n >= LEAST_PAGES; n--)
	{
		GptPromptFile file = file_of(state, n);

		if (n > n_known ? gpt_prompt_file_read(many, &file) : gpt_prompt_file_exists(&file))
			return n;
	}
	return 0;
}

static GptPromptFile
file_of(const GptPromptState *state, int n_pages)
{
	return (GptPromptFile){.version = gpt_cached_entry_of(state->served)->sha256,
						   .key = state->keys + (n_pages - 1) * GPT_SHA256_SIZE,
						   .n_pages = n_pages};
}

void
gpt_prompt_state_store(GptPromptState *state, LmMany *many)
{
	static TimestampTz retry_at = 0;
	GptPromptFile file;
	TimestampTz now;

	if (state->n_wanted > 0 && lm_many_known_pages(many) >= state->n_wanted)
	{
		now = GetCurrentTimestamp();
		file = file_of(state, state->n_wanted);
		if (now >= retry_at && !gpt_prompt_file_write(many, &file))
			retry_at = now + RETRY_MS * INT64CONST(1000);
	}
	if (state->keys != NULL)
		pfree(state->keys);
	state->keys = NULL;
	state->n_wanted = 0;
}
