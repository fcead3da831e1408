/*
 * src/sql/held_out_results.h
 *
 * What a model says of held-out rows, one by one; the column evaluation of gpt_versions comes out:
 *
 *   {"rows": 200,
 *    "metrics": {"accuracy": {"value": 0.9, "low": 0.85, "high": 0.93, "rows": 200}, ...},
 *    "confusion": {"labels": ["ham", "spam"], "counts": [[150, 4], [16, 30]]},
 *    "calibration": [{"from": 0, "to": 0.0667, "rows": 0, "confidence": null, "accuracy": null},
 * ...], "pairs": [[3, 2.7], ...], "surprising": [{"text": "...", "prompt": "...", "score": 7.2,
 * "label": "ham", "predicted": "spam"}, ...]}
 *
 * low and high are the ends of an interval of 95 %: of a share that of Wilson 1927, of means and of
 * ratios of sums the normal one (Cochran 1977, "Sampling techniques", section 6.4); a metric
 * without a simple one has none. Rows of counts are the labels of the rows, columns those that the
 * model gives. Pairs are numbers of at most 200 rows and those that the model
 * expects. A surprising row has its prompt if it has one, and of a model of labels or numbers its
 * own and that of the model. Its score is bits a byte, -log2 of the probability of its label, or
 * the absolute error.
 */
#ifndef GPT_HELD_OUT_RESULTS_H
#define GPT_HELD_OUT_RESULTS_H

#include "core/json_writer.h"
#include "sql/row_meter.h"

#define GPT_RESULTS_PROMPT_SIZE 200 /* bytes of the prompt of a surprising row */

/* Results of rows; lives in the memory context in which it was made. */
typedef struct GptResults GptResults;

/* Of at most so many rows by the model. */
extern GptResults *gpt_results_create(const GptServed *served, int most);

/*
 * Adds an answer of a language model, of a classifier to a row with labels [n_labels], or of a
 * model of numbers to a row with the number target.
 */
extern void gpt_results_add(GptResults *results, const GptMeterAnswer *answer, const uint32 *labels,
							int n_labels, double target);

/* Writes the members of the open object; nothing where there are no rows. */
extern void gpt_results_write(GptJsonWriter *json, const GptResults *results);

#endif /* GPT_HELD_OUT_RESULTS_H */
