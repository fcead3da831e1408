/*
 * include/corpus/classification.h
 *
 * How often a classifier is right: rows with labels go in, measures of all of them together come
 * out.
 */
#ifndef GPT_CLASSIFICATION_H
#define GPT_CLASSIFICATION_H

#include "corpus/label_roc.h"
#include "corpus/row_scores.h"
#include "corpus/source.h"
#include "engine/config.h"

/*
 * Counts of predictions and labels. Lives in the memory context in which it was created, also after
 * the model has left the cache.
 */
typedef struct GptClassification GptClassification;

/*
 * For a model with config->labels labels of these names, which are copied. normalize_nfc: the
 * model's tokenizer normalises, so labels are compared in NFC. Raises an error if the column
 * "label" does not fit the model: one label for a set, or the reverse.
 */
extern GptClassification *gpt_classification_create(const LmConfig *config,
													const char *const *labels, bool normalize_nfc,
													const GptSourceShape *shape);

/*
 * Adds a row that has a text, labels and a weight above 0. probabilities: [config->labels], of the
 * model. Errors: the model does not know a label; the counts need more than gpt.max_memory.
 */
extern void gpt_classification_add(GptClassification *classification, const float *probabilities,
								   const GptSourceRow *row);

/*
 * What each row adds to the measures, and the areas under ROC curves, whose _finish the caller
 * calls.
 */
extern GptRowScores *gpt_classification_scores(const GptClassification *classification);
extern GptLabelRoc *gpt_classification_roc(const GptClassification *classification);

/* Receives one measure; label and predicted are NULL if the measure is not about single labels. */
typedef void (*GptMeasureCallback)(void *context, const char *metric, const char *label,
								   const char *predicted, double value);

/* Reports all measures in their final order; at least one row was added. */
extern void gpt_classification_measure(const GptClassification *classification,
									   GptMeasureCallback callback, void *context);

#endif /* GPT_CLASSIFICATION_H */
