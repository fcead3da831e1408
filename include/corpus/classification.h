/*
 * include/corpus/classification.h
 *
 * How often a classifier is right: rows with labels go in, measures of all of them together come
 * out.
 */
#ifndef GPT_CLASSIFICATION_H
#define GPT_CLASSIFICATION_H

#include "corpus/source.h"
#include "engine/config.h"

/*
 * Lives in the memory context in which it was created, and outlasts the model's place in the cache.
 */
typedef struct GptClassification GptClassification;

/*
 * Of a model with config->labels labels of these names, which are copied; normalize_nfc: its
 * tokenizer does. Error where the rows' labels are not of the model's kind.
 */
extern GptClassification *gpt_classification_create(const LmConfig *config,
													const char *const *labels, bool normalize_nfc,
													const GptSourceShape *shape);

/*
 * Adds a row that has a text, labels and a weight above 0, with the probabilities that the model
 * gives to its labels. Errors: the model does not know a label; what is counted needs more than
 * gpt.max_memory.
 */
extern void gpt_classification_add(GptClassification *classification, const float *probabilities,
								   const GptSourceRow *row);

/* One measure; label and predicted are NULL where nothing is said of them. */
typedef void (*GptMeasureCallback)(void *context, const char *metric, const char *label,
								   const char *predicted, double value);

/* All measures, in the order in which they are shown; at least one row was added. */
extern void gpt_classification_measure(const GptClassification *classification,
									   GptMeasureCallback callback, void *context);

#endif /* GPT_CLASSIFICATION_H */
