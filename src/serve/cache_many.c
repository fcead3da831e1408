/*
 * src/serve/cache_many.c
 *
 * Requests to the models of the cache go in, an LmMany with room for them comes out: that of the
 * session of one model, or one for many requests, which a base has for those of its adapters too.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/cache_parts.h"

/* of keys and values: beyond what depends on their number otherwise */
#define MANY_PAGES 65536

static LmMany *alone_of(GptCachedModel *entry, uint64 held);
static size_t alone_memory(const GptCachedModel *entry);
static int widest_of(const LmRequest *requests, int n);
static void plan_many(int *n_sequences, int *n_pages, const GptServed *const *served,
					  const LmRequest *requests, int n, uint64 held);
static int pages_of(const LmRequest *request, const LmPromptTemplate *prompt,
					const LmConfig *config);
static uint64 many_memory(const GptCachedModel *entry, int n_sequences, int n_pages);

LmMany *
gpt_cache_many(const GptServed *const *served, const LmRequest *requests, int n, uint64 held)
{
	GptCachedModel *entry = gpt_cached_entry_of(served[0]);
	GptCachedModel *root = gpt_cached_root(entry);
	int n_sequences;
	int n_pages;
	LmError error;

	gpt_cached_open_session(entry);
	if (widest_of(requests, n) * n <= 1)
		return alone_of(entry, held);
	gpt_cached_open_session(root);
	plan_many(&n_sequences, &n_pages, served, requests, n, held);
	if (n_sequences == 1)
		return alone_of(entry, held);
	if (root->many != NULL && root->many_sequences >= n_sequences && root->many_pages >= n_pages &&
		held + gpt_cached_needed_size(entry) + gpt_cached_many_size(root) <=
			(uint64) gpt_settings_max_memory())
		return root->many;
	gpt_cached_drop_many(root);
	gpt_cached_make_room(held + many_memory(entry, n_sequences, n_pages), entry);
	root->many = lm_many_create(root->session, n_sequences, n_pages, &error);
	if (root->many == NULL)
		gpt_bridge_raise(&error);
	root->many_size = many_memory(entry, n_sequences, n_pages);
	root->many_sequences = n_sequences;
	root->many_pages = n_pages;
	return root->many;
}

LmSession *
gpt_cache_draft(const GptServed *served)
{
	GptCachedModel *entry = gpt_cached_entry_of(served);

	gpt_cached_open_session(entry);
	(void) alone_of(entry, 0);
	gpt_cached_use_as_draft(served);
	return entry->session;
}

static size_t
alone_memory(const GptCachedModel *entry)
{
	LmError error;
	size_t size;

	if (!lm_session_many_memory(&size, &entry->config,
								lm_engine_threads(gpt_bridge_engine(gpt_threads)), &error))
		gpt_bridge_raise(&error);
	return size;
}

/* The LmMany of the model's own session; the first use makes it. */
static LmMany *
alone_of(GptCachedModel *entry, uint64 held)
{
	LmError error;
	LmMany *alone;
	size_t size;

	if (gpt_cached_alone_size(entry) > 0)
	{
		if (held > 0)
			gpt_bridge_check_memory(gpt_cached_needed_size(entry) + held);
		return lm_session_many(entry->session, &error);
	}
	size = alone_memory(entry);
	gpt_cached_drop_many(gpt_cached_root(entry));
	gpt_cached_make_room(held + size, entry);
	alone = lm_session_many(entry->session, &error);
	if (alone == NULL)
		gpt_bridge_raise(&error);
	entry->alone_size = size;
	return alone;
}

void
gpt_cache_make_room(const GptServed *served, uint64 size)
{
	GptCachedModel *entry = gpt_cached_entry_of(served);

	if (gpt_cached_alone_size(entry) == 0)
		size += alone_memory(entry);
	gpt_cached_make_room(size, entry);
}

/* The most texts that one request has in the model: its beams. */
static int
widest_of(const LmRequest *requests, int n)
{
	int widest = 1;

	for (int i = 0; i < n; i++)
		widest = Max(widest, requests[i].sampling.beams);
	return widest;
}

/* Pages for so many beams, each as long as the longest text; at least a whole context. */
static int
beam_pages(const GptCachedModel *entry, int width, int longest)
{
	return Max((entry->config.context + LM_PAGE - 1) / LM_PAGE, width * longest);
}

/* Raises an error if they do not fit, beside what is fixed, and says how many would. */
static void
check_beams(const GptCachedModel *entry, int width, int longest, uint64 fixed)
{
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 needed = fixed + many_memory(entry, width, beam_pages(entry, width, longest));

	if (needed <= limit)
		return;
	while (width > 1 &&
		   fixed + many_memory(entry, width, beam_pages(entry, width, longest)) > limit)
		width--;
	gpt_bridge_check_memory_with(needed, width > 1
											 ? psprintf("It would fit with %d beams.", width)
											 : "It would fit without beams, or with a smaller "
											   "max_tokens.");
}

/*
 * As many texts at once, and as many pages, as the requests can need and memory allows; one request
 * at least, with all of its beams.
 */
static void
plan_many(int *n_sequences, int *n_pages, const GptServed *const *served, const LmRequest *requests,
		  int n, uint64 held)
{
	const GptCachedModel *entry = gpt_cached_entry_of(served[0]);
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 fixed = gpt_cached_needed_size(entry) + held;
	int width = widest_of(requests, n);
	int least = (entry->config.context + LM_PAGE - 1) / LM_PAGE;
	int64 most = 2 * least; /* a prefix's, and room for one more of the longest */
	int longest = 1;
	int64 texts = 0;
	uint64 one;

	for (int i = 0; i < n; i++)
	{
		longest = Max(longest, pages_of(&requests[i], &served[i]->prompt, &entry->config));
		texts += Max(requests[i].sampling.beams, 1);
	}
	/* Beams that find no room fail, so the length of their text must not be a guess. */
	if (width > 1 && lm_tokenizer_spec(entry->served.tokenizer)->normalize_nfc)
		longest = least;
	*n_sequences = (int) Min(texts, LM_MANY_SEQUENCES);
	most += (int64) *n_sequences * longest;
	if (width > 1)
		least = beam_pages(entry, width, longest);
	while (*n_sequences > width && fixed + many_memory(entry, *n_sequences, least) > limit)
		*n_sequences = Max(*n_sequences / 2, width);
	if (*n_sequences == 1)
		return;
	if (*n_sequences == width)
		check_beams(entry, width, longest, fixed);
	one = many_memory(entry, *n_sequences, MANY_PAGES + 1) -
		  many_memory(entry, *n_sequences, MANY_PAGES);
	most = Min(most, (int64) (least + (limit - fixed - many_memory(entry, *n_sequences, least)) /
										  Max(one, 1)));
	while (most > least && fixed + many_memory(entry, *n_sequences, (int) most) > limit)
		most--;
	*n_pages = (int) most;
}

/* A token has at least a byte of text; but for NFC, whose texts may have more. */
static int
pages_of(const LmRequest *request, const LmPromptTemplate *prompt, const LmConfig *config)
{
	uint64 positions = 1 + (uint64) request->prompt.size + request->text.size +
					   prompt->before.size + prompt->after.size;

	if (request->task == LM_TASK_GENERATE)
		positions += request->sampling.max_tokens;
	return (int) ((Min(positions, (uint64) config->context) + LM_PAGE - 1) / LM_PAGE);
}

static uint64
many_memory(const GptCachedModel *entry, int n_sequences, int n_pages)
{
	LmError error;
	size_t size;

	if (!lm_many_memory(&size, &entry->config, lm_engine_threads(gpt_bridge_engine(gpt_threads)),
						n_sequences, n_pages, &error))
		gpt_bridge_raise(&error);
	return size;
}
