/*
 * src/engine/serve/banned.c
 *
 * Which tokens would complete a banned text: those that have one in them, listed once; and those
 * that begin with the rest of one whose beginning the text ends with. The tokens with a beginning
 * are neighbours in the order of tokens.
 */
#include <math.h>
#include <string.h>

#include "serve/banned.h"
#include "serve/stops.h"
#include "text/array.h"
#include "text/utf8.h"

#define POLLED 4096 /* tokens between two looks at whether to stop */

struct LmBanned
{
	const LmSession *session;
	int n;
	LmBytes *texts; /* [n] in the order of their bytes, none the beginning of another */
	uint32_t **failures; /* [n] of lm_stop_prepare */
	int first[257]; /* of the texts that begin with a byte, the first; [256] is n */
	int32_t *whole; /* [n_whole] tokens that have a banned text in them */
	size_t n_whole;
	size_t capacity;
};

static void lay_out(LmBanned *banned, LmArena *arena, const LmBytes *texts, int n);
static void sort(LmBytes *texts, int n);
static int compare(LmBytes a, LmBytes b);
static bool begins_with(LmBytes bytes, LmBytes beginning);
static void drop_longer(LmBanned *banned);
static bool prepare(LmBanned *banned, const LmHost *host, LmError *error);
static bool find_whole(LmBanned *banned, LmError *error);
static bool begins_banned(const LmBanned *banned, LmBytes bytes);
static int forbid(float *logits, int32_t id);
static int forbid_beginning(float *logits, const LmBanned *banned, LmBytes beginning);

/* Texts, then the texts' bytes and failures. */
static void
lay_out(LmBanned *banned, LmArena *arena, const LmBytes *texts, int n)
{
	lm_arena_take(arena, 1, sizeof *banned);
	banned->texts = lm_arena_take(arena, (size_t) n, sizeof(LmBytes));
	banned->failures = lm_arena_take(arena, (size_t) n, sizeof(uint32_t *));
	for (int i = 0; i < n; i++)
	{
		char *copy = lm_arena_take(arena, texts[i].size, 1);
		uint32_t *failures = lm_arena_take(arena, texts[i].size, sizeof(uint32_t));

		if (!arena->base)
			continue;
		memcpy(copy, texts[i].data, texts[i].size);
		banned->texts[i] = (LmBytes){copy, texts[i].size};
		banned->failures[i] = failures;
	}
}

size_t
lm_banned_size(const LmBytes *texts, int n, const LmConfig *config)
{
	LmBanned counted;
	LmArena arena = {0};

	lay_out(&counted, &arena, texts, n);
	/* An array that grows is at most twice as large as it must be. */
	return arena.used + 2 * (size_t) config->vocabulary * sizeof(int32_t);
}

LmBanned *
lm_banned_create(const LmSession *session, const LmBytes *texts, int n, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	LmBanned counted, *banned;
	LmArena arena = {0};

	lay_out(&counted, &arena, texts, n);
	arena.base = arena.overflow ? NULL : lm_allocate(host, arena.used);
	if (!arena.base)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d banned texts", n);
		return NULL;
	}
	banned = (LmBanned *) arena.base;
	arena.used = 0;
	lay_out(banned, &arena, texts, n);
	banned->session = session;
	banned->n = n;
	sort(banned->texts, n);
	drop_longer(banned);
	if (lm_tokenizer_sort(session->tokenizer, error) && prepare(banned, host, error) &&
		find_whole(banned, error))
		return banned;
	lm_banned_free(banned, host);
	return NULL;
}

void
lm_banned_free(LmBanned *banned, const LmHost *host)
{
	if (!banned)
		return;
	lm_array_free(host, banned->whole);
	lm_free(host, banned);
}

/* Heapsort: the texts are a user's. */
static void
sort(LmBytes *texts, int n)
{
	for (int end = n, root = n / 2; end > 1;)
	{
		int i = root;
		LmBytes moved;

		if (root > 0)
			i = --root;
		else
		{
			LmBytes largest = texts[0];

			texts[0] = texts[--end];
			texts[end] = largest;
		}
		moved = texts[i];
		for (int child = 2 * i + 1; child < end; child = 2 * i + 1)
		{
			if (child + 1 < end && compare(texts[child + 1], texts[child]) > 0)
				child++;
			if (compare(texts[child], moved) <= 0)
				break;
			texts[i] = texts[child];
			i = child;
		}
		texts[i] = moved;
	}
}

static int
compare(LmBytes a, LmBytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static bool
begins_with(LmBytes bytes, LmBytes beginning)
{
	return bytes.size >= beginning.size && memcmp(bytes.data, beginning.data, beginning.size) == 0;
}

/* A text that begins with another one can never be completed first. */
static void
drop_longer(LmBanned *banned)
{
	int n = 0;

	for (int i = 0; i < banned->n; i++)
		if (n == 0 || !begins_with(banned->texts[i], banned->texts[n - 1]))
			banned->texts[n++] = banned->texts[i];
	banned->n = n;
}

/* Sets failures and the index by first bytes. */
static bool
prepare(LmBanned *banned, const LmHost *host, LmError *error)
{
	int byte = 0;

	for (int i = 0; i < banned->n; i++)
	{
		while (byte <= (uint8_t) banned->texts[i].data[0])
			banned->first[byte++] = i;
		if (!lm_stop_prepare(host, banned->failures[i], banned->texts[i], error))
			return false;
	}
	while (byte <= 256)
		banned->first[byte++] = banned->n;
	return true;
}

/* Lists the tokens that have a banned text in them. */
static bool
find_whole(LmBanned *banned, LmError *error)
{
	const LmSession *session = banned->session;
	const LmHost *host = lm_engine_host(session->engine);

	for (int32_t id = 0; id < session->config.vocabulary; id++)
	{
		if (id % POLLED == 0 && !lm_text_go_on(host, error))
			return false;
		if (!lm_banned_contains(banned, lm_tokenizer_bytes(session->tokenizer, id)))
			continue;
		if (!lm_array_reserve(host, &banned->whole, &banned->capacity, banned->n_whole + 1,
							  sizeof *banned->whole, error))
			return false;
		banned->whole[banned->n_whole++] = id;
	}
	return true;
}

bool
lm_banned_contains(const LmBanned *banned, LmBytes bytes)
{
	for (; bytes.size > 0; bytes.data++, bytes.size--)
		if (begins_banned(banned, bytes))
			return true;
	return false;
}

/*
 * Whether bytes begin with a banned text: as none of these is the beginning of another, it is the
 * last one that is not after the bytes.
 */
static bool
begins_banned(const LmBanned *banned, LmBytes bytes)
{
	int low = banned->first[(uint8_t) bytes.data[0]],
		high = banned->first[(uint8_t) bytes.data[0] + 1], begin = low;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (compare(banned->texts[middle], bytes) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > begin && begins_with(bytes, banned->texts[low - 1]);
}

int
lm_banned_count(const LmBanned *banned)
{
	return banned->n;
}

void
lm_banned_follow(uint32_t *matched, const LmBanned *banned, LmBytes bytes)
{
	for (int i = 0; i < banned->n; i++)
		for (size_t at = 0; at < bytes.size; at++)
			matched[i] =
				lm_stop_follow(banned->failures[i], banned->texts[i], matched[i], bytes.data[at]);
}

int
lm_banned_mask(float *logits, const LmBanned *banned, const uint32_t *matched)
{
	int n = 0;

	for (size_t i = 0; i < banned->n_whole; i++)
		n += forbid(logits, banned->whole[i]);
	for (int i = 0; i < banned->n; i++)
	{
		LmBytes text = banned->texts[i];

		/* All beginnings of the banned text that the text ends with. */
		for (uint32_t size = matched[i]; size > 0; size = banned->failures[i][size - 1])
			n += forbid_beginning(logits, banned, (LmBytes){text.data + size, text.size - size});
	}
	return n;
}

static int
forbid(float *logits, int32_t id)
{
	bool was_allowed = logits[id] > -INFINITY;

	logits[id] = -INFINITY;
	return was_allowed;
}

/* Tokenizers of bytes and of characters have no order, and few tokens. */
static int
forbid_beginning(float *logits, const LmBanned *banned, LmBytes beginning)
{
	LmTokenizer *tokenizer = banned->session->tokenizer;
	LmTokenizerKind kind = lm_tokenizer_spec(tokenizer)->kind;
	int n = 0;

	if (kind == LM_TOKENIZER_BYTES || kind == LM_TOKENIZER_CHARS)
	{
		for (int32_t id = 0; id < banned->session->config.vocabulary; id++)
			if (begins_with(lm_tokenizer_bytes(tokenizer, id), beginning))
				n += forbid(logits, id);
		return n;
	}
	for (LmTokenRange range = lm_tokenizer_beginning(tokenizer, beginning); range.first < range.end;
		 range.first++)
		n += forbid(logits, lm_tokenizer_ordered(tokenizer, range.first));
	return n;
}
