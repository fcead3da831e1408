/*
 * include/corpus/label_roc.h
 *
 * How well a classifier's probabilities part the rows of each label from all others.
 */
#ifndef GPT_LABEL_ROC_H
#define GPT_LABEL_ROC_H

#include "engine/resample.h"
#include "engine/roc.h"

/* Lives in the memory context in which it was created. */
typedef struct GptLabelRoc GptLabelRoc;

/* Probabilities that are kept, of rows times labels; beyond, nothing is measured. */
#define GPT_MOST_PROBABILITIES (8 * 1024 * 1024)

extern GptLabelRoc *gpt_label_roc_create(int n_labels);

/* Adds a row with probabilities and labels [n_labels]. */
extern void gpt_label_roc_add(GptLabelRoc *roc, const float *probabilities, const bool *wanted,
							  double weight);

/* Measures all labels; no row is added afterwards. */
extern void gpt_label_roc_finish(GptLabelRoc *roc);

/*
 * The area of a label's curve, and the threshold of its best F1. Before _finish, where rows were
 * too many, or all or none have the label, the area is NaN.
 */
extern LmRoc gpt_label_roc_label(const GptLabelRoc *roc, int label);

/* The mean of the areas of labels that have one; NaN where none has. */
extern double gpt_label_roc_area(const GptLabelRoc *roc);

/*
 * The interval of that area, or, of rows that two models have in the same order, of second - first,
 * with its p: normal, from DeLong's variance.
 */
extern LmInterval gpt_label_roc_interval(const GptLabelRoc *roc);
extern LmInterval gpt_label_roc_difference(const GptLabelRoc *first, const GptLabelRoc *second);

#endif /* GPT_LABEL_ROC_H */
