/*
 * src/corpus/facts_targets.c
 *
 * The documents of a spool go in; facts about what their rows teach besides text come out: labels,
 * numbers, pairs of answers.
 */
#include "postgres.h"

#include <math.h>

#include "utils/memutils.h"

#include "corpus/facts_targets.h"

struct GptTargetCounter
{
	const GptLabels *labels; /* NULL: there are none */
	GptNumbers numbers; /* scale 0: there are none */
	bool grouped; /* the texts of a row are compared with each other */
	int64 *rows; /* [labels->n] that have the label */
	int64 n;
	double smallest;
	double largest;
};

GptTargetCounter *
gpt_target_counter_create(const GptSpool *spool)
{
	GptTargetCounter *counter = palloc0(sizeof(GptTargetCounter));

	counter->numbers = gpt_spool_numbers(spool);
	/* The label of a number stands for all of them. */
	if (counter->numbers.scale == 0)
		counter->labels = gpt_spool_labels(spool);
	counter->grouped = gpt_task_group(gpt_spool_task(spool)) > 1;
	counter->smallest = INFINITY;
	counter->largest = -INFINITY;
	if (counter->labels != NULL)
		counter->rows = palloc0((Size) counter->labels->n * sizeof(int64));
	return counter;
}

void
gpt_target_counter_add(GptTargetCounter *counter, const GptDocument *document)
{
	const GptLabels *labels = counter->labels;

	counter->n++;
	if (counter->numbers.scale > 0)
	{
		counter->smallest = Min(counter->smallest, document->target);
		counter->largest = Max(counter->largest, document->target);
	}
	if (labels == NULL)
		return;
	if (labels->sets.n_sets > 0)
	{
		uint64_t n;
		const uint32_t *members = lm_label_set(&n, &labels->sets, document->label);

		for (uint64_t i = 0; i < n; i++)
			counter->rows[members[i]]++;
	}
	else
		counter->rows[document->label]++;
}

/* A label that no row has is one of a base model's. Of equally rare ones, the first in order. */
static void
count_labels(GptTargets *targets, const GptTargetCounter *counter, MemoryContext context)
{
	int rarest = -1;
	int most_frequent = -1;

	for (int i = 0; i < counter->labels->n; i++)
	{
		int64 n = counter->rows[i];

		if (n == 0)
			continue;
		targets->n_labels++;
		targets->of_one_row += n == 1;
		if (rarest < 0 || n < counter->rows[rarest])
			rarest = i;
		if (most_frequent < 0 || n > counter->rows[most_frequent])
			most_frequent = i;
	}
	if (rarest < 0)
		return;
	targets->rarest = (GptLabelRows){MemoryContextStrdup(context, counter->labels->names[rarest]),
									 counter->rows[rarest]};
	targets->most_frequent =
		(GptLabelRows){MemoryContextStrdup(context, counter->labels->names[most_frequent]),
					   counter->rows[most_frequent]};
}

void
gpt_target_counter_finish(GptTargets *targets, const GptTargetCounter *counter,
						  MemoryContext context)
{
	*targets = (GptTargets){.n_rows = counter->n};
	if (counter->labels != NULL)
		count_labels(targets, counter, context);
	if (counter->numbers.scale > 0 && counter->n > 0)
	{
		targets->has_numbers = true;
		targets->mean = (double) counter->numbers.mean;
		targets->deviation = (double) counter->numbers.scale;
		targets->smallest = counter->smallest;
		targets->largest = counter->largest;
	}
	if (counter->grouped)
		targets->n_pairs = counter->n;
}

/* ---- Writing ------------------------------------------------------------ */

static void
write_label(GptJsonWriter *json, const char *name, const GptLabelRows *label)
{
	gpt_json_begin(json, name);
	gpt_json_put_text(json, "label", label->name);
	gpt_json_put_integer(json, "rows", label->n);
	gpt_json_end(json);
}

void
gpt_targets_write(GptJsonWriter *json, const GptTargets *targets)
{
	if (targets->n_labels > 0)
	{
		gpt_json_begin(json, "labels");
		gpt_json_put_integer(json, "number", targets->n_labels);
		gpt_json_put_integer(json, "of_one_row", targets->of_one_row);
		write_label(json, "rarest", &targets->rarest);
		write_label(json, "most_frequent", &targets->most_frequent);
		gpt_json_end(json);
	}
	if (targets->has_numbers)
	{
		gpt_json_begin(json, "numbers");
		gpt_json_put_number(json, "smallest", targets->smallest);
		gpt_json_put_number(json, "largest", targets->largest);
		gpt_json_put_number(json, "mean", targets->mean);
		gpt_json_put_number(json, "standard_deviation", targets->deviation);
		gpt_json_end(json);
	}
	if (targets->n_pairs > 0)
		gpt_json_put_integer(json, "pairs", targets->n_pairs);
}
