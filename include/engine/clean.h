/*
 * include/engine/clean.h
 *
 * Cleaning of texts: a dirty text goes in, the text that a model is to learn or to read comes out.
 *
 * The steps run in this order, each over what the one before it left: HTML, unseen characters
 * (control, then invisible ones), letter case, normal form, masks, stop words, white space, length.
 * A step finds what it changes by one pass of bounded look-ahead, so that time is linear in the
 * text, whatever it is; nothing recurses. A step that finds nothing to change copies nothing.
 *
 * HTML is read by a scanner of this project, not by libxml2: its parser (2.9.14) turns "if (x<y)
 * and (z>3)" into "if (x3)", and loses "<int>" of "vector<int>" and all that follows an open
 * <script>; and it allocates outside the host's memory.
 *
 * ICU keeps its data for the process; it allocates nothing else outside the host.
 */
#ifndef LM_CLEAN_H
#define LM_CLEAN_H

#include "engine/tokenizer.h"

/* Letter case of the result: as it is, lower case, or full case folding (Unicode, CaseFolding.txt)
 */
typedef enum LmCleanCase
{
	LM_CASE_KEEP,
	LM_CASE_LOWER,
	LM_CASE_FOLD,
} LmCleanCase;
const char *lm_clean_case_name(int letter_case);

/* The normal form of the result (Unicode Standard Annex 15). */
typedef enum LmCleanForm
{
	LM_FORM_KEEP,
	LM_FORM_NFC,
	LM_FORM_NFKC,
} LmCleanForm;
const char *lm_clean_form_name(int form);

/*
 * White space. All but KEEP remove it at both ends of the text. LINES makes each line end a line
 * feed, removes blanks at the ends of lines, makes a no-break space a space, and leaves at most one
 * empty line; indentation stays. PARAGRAPHS also makes each run of blanks one space. ONE_LINE makes
 * each run of white space one space.
 */
typedef enum LmCleanSpace
{
	LM_SPACE_KEEP,
	LM_SPACE_TRIM,
	LM_SPACE_LINES,
	LM_SPACE_PARAGRAPHS,
	LM_SPACE_ONE_LINE,
} LmCleanSpace;
const char *lm_clean_space_name(int white_space);

/* What a placeholder can stand for. */
typedef enum LmMask
{
	LM_MASK_URL,
	LM_MASK_EMAIL,
	LM_MASK_PHONE,
	LM_MASK_NUMBER,
	LM_N_MASKS
} LmMask;
/* "urls", "emails", "phones", "numbers"; NULL for another number. */
const char *lm_mask_name(int mask);

#define LM_MAX_PLACEHOLDER 64 /* bytes */
#define LM_LEAST_MASKED_DIGITS 4
#define LM_MAX_STOP_WORDS 4096
#define LM_MAX_STOP_WORD 128 /* bytes, of the word and of its folded form */

/* A description of steps; zeroed: none. */
typedef struct LmCleanOptions
{
	bool html; /* removes tags, comments, scripts and style sheets, decodes entities */
	bool control; /* removes control characters and noncharacters */
	bool invisible; /* removes invisible characters where they mean nothing */
	LmCleanCase letter_case;
	LmCleanForm form;
	bool masked[LM_N_MASKS];
	LmBytes placeholders[LM_N_MASKS]; /* size 0: removed */
	int digits; /* of a masked number, at least; LM_LEAST_MASKED_DIGITS or more */
	const LmBytes *stop_words; /* [n_stop_words] in any case and order */
	int n_stop_words;
	LmCleanSpace white_space;
	int64_t min_length; /* characters of the result */
} LmCleanOptions;

/* Flags of a run. A text that something precedes or follows keeps white space on that side. */
#define LM_CLEAN_KEEP_START 1
#define LM_CLEAN_KEEP_END 2

/* A result. The text is the caller's where nothing was changed, else the cleaner's. */
typedef struct LmCleaned
{
	LmBytes text; /* until the next run, or until the caller's text goes */
	bool changed;
	bool too_short; /* below min_length */
	int64_t masks[LM_N_MASKS]; /* placeholders written, or matches removed */
} LmCleaned;

/* The steps ready to run, with two buffers. */
typedef struct LmCleaner LmCleaner;

/*
 * Copies what the options point to; NULL with LM_ERR_ARGUMENT (a number out of range, a stop word
 * that is too long or is no word), LM_ERR_ENCODING, LM_ERR_MEMORY or LM_ERR_LIBRARY. The host is
 * copied. Freed by lm_cleaner_free, or with the host's memory: it holds nothing else.
 */
LmCleaner *lm_cleaner_create(const LmHost *host, const LmCleanOptions *options, LmError *error);
void lm_cleaner_free(LmCleaner *cleaner);

/*
 * Cleans a text of valid UTF-8. False with LM_ERR_STOPPED, _MEMORY, _LIMIT (text or result larger
 * than a text may be) or _LIBRARY; the cleaner can be used again. Buffers that a large text needed
 * are kept up to 1 MiB between runs.
 */
bool lm_cleaner_run(LmCleaner *cleaner, LmCleaned *cleaned, LmBytes text, int flags,
					LmError *error);

#endif /* LM_CLEAN_H */
