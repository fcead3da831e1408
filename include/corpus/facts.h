/*
 * include/corpus/facts.h
 *
 * Facts about the rows of a corpus, for gpt_estimate and for the report of a job: collected in one
 * pass over the spool, without a change to it, and written as JSON.
 */
#ifndef GPT_FACTS_H
#define GPT_FACTS_H

#include "core/json_writer.h"
#include "corpus/facts_targets.h"
#include "corpus/sizes.h"
#include "corpus/spool.h"
#include "engine/survey.h"
#include "store/progress.h"

#define GPT_FACTS_LONGEST 3
#define GPT_FACTS_LANGUAGES 64 /* at most */

/* One of the longest rows. */
typedef struct GptLongRow
{
	uint64 number; /* in the order of its query, from 1 */
	int64 size; /* bytes */
	bool of_validation_query;
} GptLongRow;

/* Documents of a language. */
typedef struct GptLanguageCount
{
	const char *name; /* NULL: too little tells the language */
	int64 n;
} GptLanguageCount;

/* What was seen in texts, of a sample where they are many. */
typedef struct GptFactsSurvey
{
	int64 documents;
	int64 letters[LM_SCRIPTS];
	int64 traits[LM_N_TRAITS]; /* documents that have them */
	int64 long_documents; /* that should have a sentence ... */
	int64 unended; /* ... and of them those that do not end like one */
	int n_languages;
	GptLanguageCount languages[GPT_FACTS_LANGUAGES];
} GptFactsSurvey;

/* All numbers of rows and bytes are exact. */
typedef struct GptFacts
{
	int64 rows; /* of the queries, with those that are skipped or dropped */
	GptSkipped skipped;
	GptDuplicates duplicates;
	GptDedup comparison; /* the repeated rows that were counted */
	bool by_flag; /* the query or validation_query says what is held out */
	const GptCleanCounts *cleaned; /* by option "clean"; NULL: there is none */
	int64 documents;
	int64 side_documents[GPT_N_SIDES]; /* a text that is cut is a training document */
	int64 side_bytes[GPT_N_SIDES];
	GptSizes bytes; /* of documents */
	GptLongRow longest[GPT_FACTS_LONGEST]; /* the longest first; of equal ones the first row */
	int n_longest;
	GptTargets targets;
	GptFactsSurvey survey;
	GptSizes tokens; /* of documents, or of those of a sample */
	int64 token_bytes; /* of the texts that became them */
	int64 token_documents; /* that a sample for tokens has; 0: all have become tokens */
} GptFacts;

/*
 * Reads the spool; palloc'd in the current memory context. Looks into the texts of up to about
 * 8 MB, drawn by the numbers of the rows. Checks for interrupts.
 */
extern GptFacts *gpt_facts_collect(GptSpool *spool, GptProgress *progress);

/* Writes the facts as members of the open object. */
extern void gpt_facts_write(GptJsonWriter *json, const GptFacts *facts);

#endif /* GPT_FACTS_H */
