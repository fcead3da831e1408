/*
 * src/sql/version_measure.h
 *
 * What a version keeps of its rows: the columns evaluation and profile of gpt_versions.
 */
#ifndef GPT_VERSION_MEASURE_H
#define GPT_VERSION_MEASURE_H

#include "train/train_measure.h"

/*
 * For gpt_train_ask_measure: asks the weights about held-out rows, and counts the texts that they
 * have learnt. Nothing for conversations, preferences and retrieval. In a transaction.
 */
extern void gpt_version_measure(GptMeasuring *measuring);

#endif /* GPT_VERSION_MEASURE_H */
