/*
 * src/sql/evaluate_preference.h
 *
 * The part of gpt_evaluate for pairs of answers: columns prompt, chosen and rejected.
 */
#ifndef GPT_EVALUATE_PREFERENCE_H
#define GPT_EVALUATE_PREFERENCE_H

#include "core/options.h"
#include "corpus/row_scores.h"
#include "corpus/source.h"
#include "serve/cache.h"

/* Sums over rows, each times its weight. */
typedef struct GptPreferences GptPreferences;

/*
 * For a model that is served; base: with what it is compared, by option "base", or else the version
 * that its job started from, if it is still there and may be used. In the current memory context;
 * _free ends the use of the base.
 */
extern GptPreferences *gpt_preferences_create(const GptServed *served, const char *model,
											  const GptTrainOptions *options);
extern void gpt_preferences_free(GptPreferences *preferences);

/* Adds a row; returns the number of tokens of both answers. */
extern int64 gpt_preferences_add(GptPreferences *preferences, const GptSourceRow *row);

/* What each row adds to the measures. */
extern GptRowScores *gpt_preferences_scores(const GptPreferences *preferences);

/* Hands each measure to put. */
extern void gpt_preferences_measure(const GptPreferences *preferences,
									void (*put)(void *context, const char *metric, double value),
									void *context);

#endif /* GPT_EVALUATE_PREFERENCE_H */
