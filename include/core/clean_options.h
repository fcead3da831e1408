/*
 * include/core/clean_options.h
 *
 * The options of cleaning: a JSON object, checked strictly, and the cleaner that follows them.
 *
 * They travel as JSON text, as templates of conversations do: what a user gives (a boolean or an
 * object) becomes the kept form, an object that has each option that differs from the defaults,
 * and the words of stop lists instead of their names, so that it means the same on every server.
 */
#ifndef GPT_CLEAN_OPTIONS_H
#define GPT_CLEAN_OPTIONS_H

#include "utils/jsonb.h"

#include "engine/clean.h"

/* Counts of the rows that a cleaner has seen. */
typedef struct GptCleanCounts
{
	int64 rows;
	int64 changed; /* rows */
	int64 too_short; /* rows */
	int64 masks[LM_N_MASKS];
} GptCleanCounts;

/* An engine's cleaner in a memory context; freed with it. */
typedef struct GptCleaner
{
	LmCleaner *engine;
	MemoryContext context;
	GptCleanCounts counts;
} GptCleaner;

/*
 * The kept form, palloc'd, of JSON text: true or an object; NULL for NULL, null and false: no
 * cleaning. Raises an error for anything else, an option that does not exist (the hint has the
 * nearest one), a wrong type, a value out of range or a stop list that does not exist. where: the
 * name of the option that holds the object ("clean"), or NULL for the options of gpt_clean.
 */
extern char *gpt_clean_keep(const char *json, const char *where);

/* The same of a jsonb; SQL NULL is a NULL pointer, and means the defaults here. */
extern char *gpt_clean_keep_jsonb(Jsonb *json);

/* Whether gpt_clean has an option of this name, which need not end in a NUL. */
extern bool gpt_clean_has_option(const char *name, size_t length);

/*
 * A cleaner in a context of its own below the current one; NULL for NULL. json: as gpt_clean_keep.
 */
extern GptCleaner *gpt_cleaner_create(const char *json);
extern void gpt_cleaner_free(GptCleaner *cleaner);

/*
 * Cleans valid UTF-8; flags of LM_CLEAN_KEEP_START and _END. The result lives until the next run of
 * this cleaner, or as long as the text where it was clean. Serves interrupts. Counts nothing.
 */
extern void gpt_cleaner_run(GptCleaner *cleaner, LmCleaned *cleaned, LmBytes text, int flags);

/*
 * The same, copied into the current memory context where it was changed, with a NUL after it.
 * cleaner NULL: the text itself. cleaned, without its text, may be NULL.
 */
extern LmBytes gpt_cleaner_text(LmCleaned *cleaned, GptCleaner *cleaner, LmBytes text, int flags);

/* Adds a row to the counts. */
extern void gpt_clean_count(GptCleanCounts *counts, const LmCleaned *row);

#endif /* GPT_CLEAN_OPTIONS_H */
