/*
 * include/corpus/facts.h
 *
 * Facts about the rows of a corpus, for gpt_estimate and for the report of a job: collected in one
 * pass over the spool, without a change to it, and written as JSON.
 */
#ifndef GPT_FACTS_H
#define GPT_FACTS_H

#include "core/json_writer.h"
#include "corpus/sizes.h"
#include "corpus/spool.h"
#include "store/progress.h"

#define GPT_FACTS_LONGEST 3

/* One of the longest rows. */
typedef struct GptLongRow
{
	uint64 number; /* in the order of its query, from 1 */
	int64 size; /* bytes */
	bool of_validation_query;
} GptLongRow;

/* All numbers of rows and bytes are exact. */
typedef struct GptFacts
{
	int64 rows; /* of the queries, with those that are skipped */
	GptSkipped skipped;
	const GptCleanCounts *cleaned; /* by option "clean"; NULL: there is none */
	int64 documents;
	int64 side_documents[GPT_N_SIDES]; /* a text that is cut is a training document */
	int64 side_bytes[GPT_N_SIDES];
	GptSizes bytes; /* of documents */
	GptLongRow longest[GPT_FACTS_LONGEST]; /* the longest first; of equal ones the first row */
	int n_longest;
	GptSizes tokens; /* of documents, or of those of a sample */
	int64 token_bytes; /* of the texts that became them */
	int64 sampled; /* documents of the sample; 0: all */
} GptFacts;

/* Reads the spool; palloc'd in the current memory context. Checks for interrupts. */
extern GptFacts *gpt_facts_collect(GptSpool *spool, GptProgress *progress);

/* Writes the facts as members of the open object. */
extern void gpt_facts_write(GptJsonWriter *json, const GptFacts *facts);

#endif /* GPT_FACTS_H */
