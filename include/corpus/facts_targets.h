/*
 * include/corpus/facts_targets.h
 *
 * What the rows of a corpus teach besides their texts: how many labels there are and how rare, the
 * range of numbers, the number of pairs.
 */
#ifndef GPT_FACTS_TARGETS_H
#define GPT_FACTS_TARGETS_H

#include "core/json_writer.h"
#include "corpus/spool.h"

/* A label, and the rows that have it. */
typedef struct GptLabelRows
{
	const char *name;
	int64 n;
} GptLabelRows;

/* Of all documents, held-out ones too. */
typedef struct GptTargets
{
	int64 n_rows;
	int64 n_labels; /* that rows have; 0: they are no labelled rows */
	int64 of_one_row; /* labels that one row alone has */
	GptLabelRows rarest;
	GptLabelRows most_frequent;
	bool has_numbers; /* then the next four are set */
	double smallest;
	double largest;
	double mean; /* of a new model those of the training rows, else its own */
	double deviation;
	int64 n_pairs; /* rows whose texts are compared with each other; 0: they are no such rows */
} GptTargets;

/* Counts while a spool is read; lives in the current memory context. */
typedef struct GptTargetCounter GptTargetCounter;

extern GptTargetCounter *gpt_target_counter_create(const GptSpool *spool);

/* Called with one document of each row. */
extern void gpt_target_counter_add(GptTargetCounter *counter, const GptDocument *document);

/* The names of labels are copied into the context. */
extern void gpt_target_counter_finish(GptTargets *targets, const GptTargetCounter *counter,
									  MemoryContext context);

/* Writes them as members of the open object. */
extern void gpt_targets_write(GptJsonWriter *json, const GptTargets *targets);

#endif /* GPT_FACTS_TARGETS_H */
