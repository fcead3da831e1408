/*
 * src/engine/text/substrings.c
 *
 * Counted words in, their frequent substrings out. A byte for each byte of the words holds how many
 * characters the longest frequent substring has that begins there; a level counts substrings of one
 * more character in a hash table, and then goes over the words again to write down which of them
 * are frequent.
 */
#include "text/substrings.h"
#include "text/token_shape.h"
#include "text/utf8.h"

#define POLLED 1024 /* words between two looks at whether to stop */

/* A substring and its count. */
typedef struct Candidate
{
	LmBytes bytes;
	int64_t count;
} Candidate;

/* The candidates of a level; open addressing, at most half of it filled. */
typedef struct Level
{
	const LmHost *host;
	Candidate *slots; /* data NULL: empty */
	size_t n_slots, n;
	size_t memory; /* bytes that it may take; 0: no limit */
} Level;

/* The words and how far frequent substrings reach from each of their bytes. */
typedef struct Search
{
	const LmHost *host;
	const LmWords *words;
	const LmSubstringOptions *options;
	uint8_t *reach; /* [bytes of all words] */
	Level level;
	int k; /* characters of the substrings of this level */
} Search;

typedef bool (*Visit)(Search *search, LmBytes bytes, int64_t count, uint8_t *reach, LmError *error);

static bool run_level(Search *search, LmRanked *items, size_t *n_items, size_t *n_found,
					  LmError *error);
static bool walk(Search *search, Visit visit, LmError *error);
static bool count_one(Search *search, LmBytes bytes, int64_t count, uint8_t *reach, LmError *error);
static bool mark_one(Search *search, LmBytes bytes, int64_t count, uint8_t *reach, LmError *error);
static size_t find_slot(const Level *level, LmBytes bytes);
static bool grow(Level *level, LmError *error);

bool
lm_substrings_find(const LmHost *host, LmRanked *items, size_t *n_items, const LmWords *words,
				   const LmSubstringOptions *options, LmError *error)
{
	Search search = {.host = host, .words = words, .options = options};
	size_t n_found = 1;
	bool done;

	*n_items = 0;
	search.level = (Level){.host = host, .memory = options->memory};
	search.reach = lm_array_allocate(host, words->size + 1, 1, error);
	done = search.reach != NULL;
	for (search.k = 1; done && n_found > 0 && search.k <= LM_SUBSTRING_MOST; search.k++)
		done = run_level(&search, items, n_items, &n_found, error);
	lm_free(host, search.level.slots);
	lm_free(host, search.reach);
	return done && lm_ranked_sort(host, items, *n_items, error);
}

/* Whether the bytes may become a token: several characters have letters of one script only. */
static bool
is_of_one_script(LmBytes bytes)
{
	int16_t script = 0;
	int length;

	for (size_t i = 0; i < bytes.size; i += (size_t) length)
	{
		LmTokenShape shape;

		lm_utf8_decode(bytes.data + i, &length);
		shape = lm_token_shape((LmBytes){bytes.data + i, (size_t) length});
		if (!lm_scripts_fit(script, shape.script))
			return false;
		if (script == 0)
			script = shape.script;
		else if (script < 0 && shape.script < 0)
			script = (int16_t) - (-script & -shape.script);
	}
	return true;
}

/* Counts the substrings of k characters, keeps the frequent ones, and marks where they begin. */
static bool
run_level(Search *search, LmRanked *items, size_t *n_items, size_t *n_found, LmError *error)
{
	Level *level = &search->level;

	*n_found = 0;
	level->n = 0;
	if (level->n_slots > 0)
		memset(level->slots, 0, level->n_slots * sizeof *level->slots);
	if (!walk(search, count_one, error))
		return false;
	for (size_t slot = 0; slot < level->n_slots; slot++)
	{
		Candidate *candidate = &level->slots[slot];

		if (slot % POLLED == 0 && !lm_text_go_on(search->host, error))
			return false;
		if (!candidate->bytes.data)
			continue;
		if (candidate->count < search->options->min_count ||
			(search->k > 1 && !is_of_one_script(candidate->bytes)))
		{
			candidate->count = 0;
			continue;
		}
		(*n_found)++;
		lm_ranked_keep(
			items, n_items, search->options->most,
			(LmRanked){candidate->bytes, (double) candidate->count * search->k, candidate->count});
	}
	return walk(search, mark_one, error);
}

/* Gives each substring of k characters to `visit` whose two parts of k - 1 are frequent. */
static bool
walk(Search *search, Visit visit, LmError *error)
{
	size_t starts[LM_WORD_MOST + 1];
	LmWordCursor cursor = {0};
	uint8_t *reach = search->reach;
	int64_t count;
	LmBytes word;
	size_t n_words = 0;

	for (; lm_words_next(search->words, &cursor, &word, &count); reach += word.size)
	{
		size_t n = 0, part = (size_t) search->k - 1;
		int length;

		if (n_words++ % POLLED == 0 && !lm_text_go_on(search->host, error))
			return false;
		if (!lm_utf8_valid(word.data, word.size, &starts[0]))
			continue; /* a part of a long piece that begins or ends in a character */
		for (size_t at = 0; at < word.size; at += (size_t) length)
		{
			lm_utf8_decode(word.data + at, &length);
			starts[n++] = at;
		}
		starts[n] = word.size;
		for (size_t i = 0; i + part < n; i++)
		{
			LmBytes bytes = {word.data + starts[i], starts[i + part + 1] - starts[i]};

			if (part > 0 && (reach[starts[i]] < part || reach[starts[i + 1]] < part))
				continue;
			if (!visit(search, bytes, count, &reach[starts[i]], error))
				return false;
		}
	}
	return true;
}

static bool
count_one(Search *search, LmBytes bytes, int64_t count, uint8_t *reach, LmError *error)
{
	Level *level = &search->level;
	Candidate *candidate;

	(void) reach;
	if (2 * level->n >= level->n_slots && !grow(level, error))
		return false;
	candidate = &level->slots[find_slot(level, bytes)];
	if (!candidate->bytes.data)
	{
		candidate->bytes = bytes;
		candidate->count = 0;
		level->n++;
	}
	candidate->count += count;
	return true;
}

static bool
mark_one(Search *search, LmBytes bytes, int64_t count, uint8_t *reach, LmError *error)
{
	const Level *level = &search->level;

	(void) count;
	(void) error;
	/* Positions are visited from left to right, so the next one has the reach that was counted. */
	if (level->slots[find_slot(level, bytes)].count > 0)
		*reach = (uint8_t) search->k;
	return true;
}

/* The candidate's slot, or the empty one where it belongs. */
static size_t
find_slot(const Level *level, LmBytes bytes)
{
	size_t mask = level->n_slots - 1;
	size_t slot = lm_hash_bytes(level->host->hash_key, bytes.data, bytes.size) & mask;

	while (level->slots[slot].bytes.data && !lm_bytes_equal(level->slots[slot].bytes, bytes))
		slot = (slot + 1) & mask;
	return slot;
}

/* Doubles the table and enters all candidates again. */
static bool
grow(Level *level, LmError *error)
{
	Level larger = *level;

	larger.n_slots = level->n_slots ? 2 * level->n_slots : 8192;
	if (level->memory > 0 && larger.n_slots > level->memory / sizeof *larger.slots)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "finding substrings of words needs more than %zu bytes", level->memory);
	larger.slots = lm_array_allocate(level->host, larger.n_slots, sizeof *larger.slots, error);
	if (!larger.slots)
		return false;
	for (size_t slot = 0; slot < level->n_slots; slot++)
		if (level->slots[slot].bytes.data)
			larger.slots[find_slot(&larger, level->slots[slot].bytes)] = level->slots[slot];
	lm_free(level->host, level->slots);
	*level = larger;
	return true;
}
