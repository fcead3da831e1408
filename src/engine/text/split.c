/*
 * src/engine/text/split.c
 *
 * Text in, pieces out, by an ICU regular expression in a sliding window (split.h) or, for the
 * patterns of well-known vocabularies, by the scans of split_gpt2.c and split_known.c. A hostile
 * pattern is bounded in time, in stack, and by should_stop.
 */
#include <string.h>
#include <unicode/ustring.h>

#include "text/array.h"
#include "text/split.h"
#include "text/utf8.h"

#define WINDOW_SIZE 16384
/* units that a lookbehind can see in front of a window's first piece */
#define CONTEXT_SIZE 1024
#define MAX_WINDOW_SIZE (1 << 25) /* bytes of text; a longer piece is an error */
/* ICU's unit: 10,000 steps of backtracking, about a millisecond */
#define MATCH_TIME_LIMIT 20000
/* bytes; ICU saves a frame for each round of a loop like \s+ */
#define MATCH_STACK_SIZE (64 << 20)

const char *const lm_gpt2_pattern =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static bool compile(LmSplit *split, const char *pattern, LmError *error);
static bool configure(LmSplit *split, LmError *error);
static bool next_by_hand(LmSplit *split, LmPieces *out, LmError *error);
static bool next_by_regex(LmSplit *split, LmPieces *out, LmError *error);
static bool take_match(LmSplit *split, LmPieces *out, bool *window_done, LmError *error);
static bool fill_window(LmSplit *split, LmError *error);
static bool set_window(LmSplit *split, int32_t start, LmError *error);
static size_t bytes_of_units(const LmSplit *split, int32_t start, int32_t end);
static void add_piece(LmSplit *split, LmPieces *out, size_t size);
static bool fail_icu(const LmSplit *split, UErrorCode status, LmError *error);
static UBool U_CALLCONV on_match_steps(const void *context, int32_t steps);
static UBool U_CALLCONV on_find_progress(const void *context, int64_t index);

bool
lm_pattern_covers(const char *pattern)
{
	const LmKnownSplit *known = lm_split_known(pattern);

	return strcmp(pattern, lm_gpt2_pattern) == 0 || (known && known->covers);
}

bool
lm_split_create(LmSplit *split, const LmHost *host, const char *pattern, LmError *error)
{
	const LmKnownSplit *known;

	memset(split, 0, sizeof *split);
	split->host = *host;
	split->window_size = WINDOW_SIZE;
	split->piece_end = lm_gpt2_piece_end;
	if (!pattern || strcmp(pattern, lm_gpt2_pattern) == 0)
		return true;
	known = lm_split_known(pattern);
	if (known)
	{
		split->piece_end = known->piece_end;
		return true;
	}
	if (compile(split, pattern, error) && configure(split, error))
		return true;
	lm_split_free(split);
	return false;
}

bool
lm_split_fork(LmSplit *fork, const LmSplit *split, const LmHost *host, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;

	memset(fork, 0, sizeof *fork);
	fork->host = *host;
	fork->window_size = split->window_size;
	fork->piece_end = split->piece_end;
	if (!split->regex)
		return true;
	fork->regex = uregex_clone(split->regex, &status);
	if (U_FAILURE(status))
		fork->regex = NULL;
	return U_SUCCESS(status) ? configure(fork, error) : fail_icu(fork, status, error);
}

void
lm_split_free(LmSplit *split)
{
	if (split->regex)
		uregex_close(split->regex);
	lm_array_free(&split->host, split->units);
	memset(split, 0, sizeof *split);
}

void
lm_split_start(LmSplit *split, const char *text, size_t size)
{
	split->text = text;
	split->size = size;
	split->position = 0;
	split->n_units = 0;
	split->first_unit = split->unit = 0;
	split->window_end = 0;
	split->next_size = split->window_size;
	split->stopped = false;
}

bool
lm_split_next(LmSplit *split, LmPieces *out, LmError *error)
{
	out->count = 0;
	if (!lm_text_go_on(&split->host, error))
		return false;
	return split->regex ? next_by_regex(split, out, error) : next_by_hand(split, out, error);
}

/* Adds the next pieces by the hand-written splitter of the pattern. */
static bool
next_by_hand(LmSplit *split, LmPieces *out, LmError *error)
{
	size_t stop = split->position + LM_POLL_SIZE;

	while (split->position < split->size && split->position < stop && out->count < LM_SPLIT_BATCH)
	{
		size_t end = split->piece_end(&split->host, split->text, split->size, split->position);

		if (end == 0)
			return lm_fail(error, LM_ERR_STOPPED, -1, "stopped");
		add_piece(split, out, end - split->position);
	}
	return true;
}

static void
add_piece(LmSplit *split, LmPieces *out, size_t size)
{
	out->pieces[out->count++] = (LmBytes){split->text + split->position, size};
	split->position += size;
}

/* ------------------------------------------------------------ any pattern, by ICU */

/* Compiles the pattern with ICU, which takes it in UTF-16. */
static bool
compile(LmSplit *split, const char *pattern, LmError *error)
{
	UChar units[LM_MAX_PATTERN_SIZE];
	int32_t n_units;
	size_t size = strlen(pattern), position;
	UErrorCode status = U_ZERO_ERROR;
	UParseError parse = {0};

	if (size > LM_MAX_PATTERN_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "split pattern has %zu bytes, the limit is %d",
					   size, LM_MAX_PATTERN_SIZE);
	if (size == 0)
		return lm_fail(error, LM_ERR_FORMAT, -1, "split pattern is empty");
	if (!lm_utf8_valid(pattern, size, &position))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) position,
					   "split pattern is not valid UTF-8");
	u_strFromUTF8(units, LM_MAX_PATTERN_SIZE, &n_units, pattern, (int32_t) size, &status);
	if (U_SUCCESS(status))
		split->regex = uregex_open(units, n_units, 0, &parse, &status);
	if (U_SUCCESS(status))
		return true;
	if (status == U_MEMORY_ALLOCATION_ERROR)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory in ICU");
	return lm_fail(error, LM_ERR_FORMAT, parse.offset,
				   "split pattern is not a regular expression that ICU accepts: %s",
				   u_errorName(status));
}

static bool
configure(LmSplit *split, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;

	/*
	 * Each start of a window sets the callbacks, because their context is the address of this
	 * struct, which may move until then.
	 */
	uregex_setTimeLimit(split->regex, MATCH_TIME_LIMIT, &status);
	uregex_setStackLimit(split->regex, MATCH_STACK_SIZE, &status);
	return U_SUCCESS(status) || fail_icu(split, status, error);
}

/* Adds the next pieces by ICU's matches, window after window of the text. */
static bool
next_by_regex(LmSplit *split, LmPieces *out, LmError *error)
{
	/* A match may bring two pieces, the gap and itself: hence the place kept free. */
	while (split->position < split->size && out->count < LM_SPLIT_BATCH - 1)
	{
		bool window_done = split->unit == split->n_units;

		if (!window_done && !take_match(split, out, &window_done, error))
			return false;
		if (!window_done)
			continue;
		if (!lm_text_go_on(&split->host, error) || !fill_window(split, error))
			return false;
	}
	return true;
}

/*
 * Adds the next match of the window with the gap in front of it, unless more text could change the
 * match.
 */
static bool
take_match(LmSplit *split, LmPieces *out, bool *window_done, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;
	bool last_window = split->window_end == split->size;
	bool found = uregex_findNext(split->regex, &status);
	int32_t start, end;

	if (U_FAILURE(status))
		return fail_icu(split, status, error);
	if (!last_window && uregex_hitEnd(split->regex, &status))
	{
		*window_done = true;
		return true;
	}
	start = found ? uregex_start(split->regex, 0, &status) : split->n_units;
	end = found ? uregex_end(split->regex, 0, &status) : split->n_units;
	if (U_FAILURE(status))
		return fail_icu(split, status, error);
	if (!found && !last_window)
	{
		*window_done = true;
		return true;
	}
	if (start > split->unit)
		add_piece(split, out, bytes_of_units(split, split->unit, start));
	if (end > start)
		add_piece(split, out, bytes_of_units(split, start, end));
	split->unit = end;
	return true;
}

/*
 * Slides the window to the next piece. A window that starts there already holds less than the
 * piece: it doubles, so that the work for one long piece stays linear.
 */
static bool
fill_window(LmSplit *split, LmError *error)
{
	size_t context = split->position, end, capacity;
	int32_t n_context = 0, n_units = 0;
	UErrorCode status = U_ZERO_ERROR;

	if (split->unit == split->first_unit && split->unit < split->n_units)
		split->next_size *= 2;
	if (split->next_size > MAX_WINDOW_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, (int64_t) split->position,
					   "split pattern finds no end of the piece at byte %zu within %d bytes",
					   split->position, MAX_WINDOW_SIZE);
	while (context > 0 && n_context < CONTEXT_SIZE)
	{
		context = lm_utf8_boundary(split->text, split->size, context - 1);
		n_context += (unsigned char) split->text[context] >= 0xF0 ? 2 : 1;
	}
	end = lm_utf8_boundary(split->text, split->size, split->position + split->next_size);
	capacity = end - context + 1;
	if (!lm_array_reserve(&split->host, &split->units, &split->units_capacity, capacity,
						  sizeof(UChar), error))
		return false;
	u_strFromUTF8(split->units, (int32_t) capacity, &n_units, split->text + context,
				  (int32_t) (end - context), &status);
	if (U_FAILURE(status))
		return fail_icu(split, status, error);
	split->n_units = n_units;
	split->window_end = end;
	return set_window(split, n_context, error);
}

static bool
set_window(LmSplit *split, int32_t start, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;

	split->first_unit = split->unit = start;
	uregex_setMatchCallback(split->regex, on_match_steps, split, &status);
	uregex_setFindProgressCallback(split->regex, on_find_progress, split, &status);
	uregex_setText(split->regex, split->units, split->n_units, &status);
	uregex_setRegionAndStart(split->regex, 0, split->n_units, start, &status);
	return U_SUCCESS(status) || fail_icu(split, status, error);
}

/* How many bytes of UTF-8 the window's units [start, end) come from. */
static size_t
bytes_of_units(const LmSplit *split, int32_t start, int32_t end)
{
	size_t size = 0;

	for (int32_t i = start; i < end; i++)
	{
		UChar unit = split->units[i];

		size += unit < 0x80								 ? 1
				: unit < 0x800 || U16_IS_SURROGATE(unit) ? 2
														 /* two surrogates make four */
														 : 3;
	}
	return size;
}

static UBool U_CALLCONV
on_match_steps(const void *context, int32_t steps)
{
	LmSplit *split = (LmSplit *) context;

	split->stopped = !lm_text_go_on(&split->host, NULL);
	return !split->stopped;
}

static UBool U_CALLCONV
on_find_progress(const void *context, int64_t index)
{
	return on_match_steps(context, 0);
}

static bool
fail_icu(const LmSplit *split, UErrorCode status, LmError *error)
{
	if (split->stopped || status == U_REGEX_STOPPED_BY_CALLER)
		return lm_fail(error, LM_ERR_STOPPED, -1, "stopped");
	if (status == U_MEMORY_ALLOCATION_ERROR)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory in ICU");
	if (status == U_REGEX_TIME_OUT || status == U_REGEX_STACK_OVERFLOW)
		return lm_fail(error, LM_ERR_LIMIT, (int64_t) split->position,
					   "split pattern needs too many steps for the text at byte %zu",
					   split->position);
	return lm_fail(error, LM_ERR_LIBRARY, -1, "ICU failed: %s", u_errorName(status));
}
