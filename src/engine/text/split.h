/*
 * src/engine/text/split.h
 *
 * Cuts text into the pieces within which BPE merges. Every byte of the text lies in exactly one
 * piece: what a pattern does not match is a piece too, as with Hugging Face's Split in its
 * "Isolated" behaviour.
 */
#ifndef LM_TEXT_SPLIT_H
#define LM_TEXT_SPLIT_H

#include <unicode/uregex.h>

#include "engine/tokenizer.h"

#define LM_SPLIT_BATCH 256
#define LM_MAX_PATTERN_SIZE 4096
#define LM_MAX_PIECE_SIZE ((size_t) 16 << 20)

/* A batch of pieces. */
typedef struct LmPieces
{
	int count;
	LmBytes pieces[LM_SPLIT_BATCH]; /* slices of the text */
} LmPieces;

/*
 * A split by hand: the end of the piece that starts at position of text[0..size), 0 when stopped.
 */
typedef size_t (*LmPieceEnd)(const LmHost *host, const char *text, size_t size, size_t position);

/* A pattern that has one; it covers a text if it leaves no gaps. */
typedef struct LmKnownSplit
{
	const char *pattern;
	LmPieceEnd piece_end;
	bool covers;
} LmKnownSplit;

/* Those of runs of characters, up to one without a pattern. */
extern const LmKnownSplit lm_split_runs[];

/* NULL for a pattern that only ICU knows. GPT-2's is apart: lm_gpt2_piece_end. */
const LmKnownSplit *lm_split_known(const char *pattern);

/*
 * The ICU matcher works on UTF-16, so it sees the text through a window that slides over it:
 *
 *   text     ....................................................
 *   window        [ context | matched .... next | not looked at ]
 *                 0         ^region start               n_units
 *
 * A match that looked beyond the window's end (uregex_hitEnd) is tried again in a window that
 * starts at it, twice as large if it did so already. The result is that of one match over the whole
 * text as long as a lookbehind stays within the context.
 */
typedef struct LmSplit
{
	LmHost host;
	URegularExpression *regex; /* NULL: scanned by hand */
	LmPieceEnd piece_end;
	size_t window_size; /* bytes of text in a first window, at least 4; tests make it small */

	const char *text;
	size_t size;
	size_t position; /* start of the next piece */

	UChar *units; /* the window */
	size_t units_capacity;
	int32_t n_units;
	int32_t first_unit; /* where its first piece starts, after the context */
	int32_t unit; /* where its next piece starts */
	size_t window_end; /* in bytes of the text */
	size_t next_size; /* bytes of text in the next window */

	bool stopped; /* the matcher's callback saw should_stop */
} LmSplit;

/* pattern NULL is GPT-2's. False with LM_ERR_FORMAT for one that ICU refuses, _LIMIT, _LIBRARY. */
bool lm_split_create(LmSplit *split, const LmHost *host, const char *pattern, LmError *error);
void lm_split_free(LmSplit *split);
/* The same pattern, for another thread. False with LM_ERR_LIBRARY or _MEMORY. */
bool lm_split_fork(LmSplit *fork, const LmSplit *split, const LmHost *host, LmError *error);

/* Valid UTF-8, which must stay until the last piece. */
void lm_split_start(LmSplit *split, const char *text, size_t size);

/*
 * The next pieces; count 0 at the text's end. False with LM_ERR_STOPPED, _LIMIT, _LIBRARY or
 * _MEMORY.
 */
bool lm_split_next(LmSplit *split, LmPieces *out, LmError *error);

/*
 * GPT-2's split of text[position..size) by hand: the end of the piece that starts at position, 0
 * when stopped. Equal to ICU's match of lm_gpt2_pattern on every text.
 */
size_t lm_gpt2_piece_end(const LmHost *host, const char *text, size_t size, size_t position);

/* The last of DeepSeek V3's patterns (split_deepseek.c), in the same way; it leaves gaps. */
size_t lm_deepseek_piece_end(const LmHost *host, const char *text, size_t size, size_t position);

#endif /* LM_TEXT_SPLIT_H */
