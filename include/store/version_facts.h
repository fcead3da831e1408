/*
 * include/store/version_facts.h
 *
 * What the planner reads of a version: its size, its labels and what its training kept of the rows.
 * From the catalog alone; no weights are read.
 */
#ifndef GPT_VERSION_FACTS_H
#define GPT_VERSION_FACTS_H

#include "engine/config.h"
#include "utils/jsonb.h"

typedef struct GptVersionFacts
{
	LmConfig config;
	char **labels; /* [config.labels] names */
	double bytes_per_token; /* of the rows of its training, or a guess by the vocabulary */
	Jsonb *profile; /* the column of gpt_version; NULL: it has none */
} GptVersionFacts;

/*
 * The facts of the version that a reference means under the active snapshot; they stay until
 * _release. NULL if it does not exist, or the current role may not use it, or the tables are not
 * those of this library: the caller plans, and it is the execution that raises an error.
 */
extern const GptVersionFacts *gpt_version_facts(const char *reference);
extern void gpt_version_facts_release(const GptVersionFacts *facts);

#endif /* GPT_VERSION_FACTS_H */
