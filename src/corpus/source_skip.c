/*
 * src/corpus/source_skip.c
 *
 * Rows that say nothing: each goes in, and whether and why it is skipped comes out; in the end,
 * where no row was left, a sentence that says why.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "corpus/source.h"

/* The reasons in the order in which they are checked. */
static const char *const reasons[] = {NULL,
									  "without text",
									  "without a prompt",
									  "without a second text",
									  "without a negative",
									  "with equal answers",
									  "without an answer of the assistant",
									  "without a label",
									  "of weight 0",
									  "of fewer characters than \"min_length\" of \"clean\"",
									  "without a token that is scored"};

StaticAssertDecl(lengthof(reasons) == GPT_N_SKIPS, "each reason has its words");

GptSkip
gpt_source_skip(GptSkipped *skipped, const GptSourceRow *row, const GptTask *task)
{
	GptSkip why = GPT_SKIP_NONE;

	if (row->is_unanswered)
		why = GPT_SKIP_ANSWER;
	else if (row->text == NULL || row->size == 0)
		why = GPT_SKIP_TEXT;
	else if (row->is_short)
		why = GPT_SKIP_SHORT;
	else if (task->prompted && row->prompt == NULL)
		why = GPT_SKIP_PROMPT;
	else if (gpt_task_has(task, GPT_TEXT_OTHER) && row->other_size == 0)
		why = GPT_SKIP_OTHER;
	else if (gpt_task_has(task, GPT_TEXT_THIRD) && row->third_size == 0)
		why = GPT_SKIP_THIRD;
	else if (task->compared && row->size == row->other_size &&
			 memcmp(row->text, row->other, row->size) == 0)
		why = GPT_SKIP_EQUAL;
	else if ((task->labelled && row->labels == NULL) || (task->measured && !row->has_target))
		why = GPT_SKIP_LABEL;
	else if ((float) row->weight == 0)
		why = GPT_SKIP_WEIGHT;
	if (skipped != NULL && why != GPT_SKIP_NONE)
		skipped->n[why]++;
	if (skipped != NULL && why == GPT_SKIP_TEXT && row->text == NULL)
		skipped->null_texts++;
	return why;
}

void
gpt_source_raise_skipped(const char *query_name, const GptSkipped *skipped)
{
	StringInfoData list;
	int64 n = 0;
	int n_reasons = 0;
	bool lacks_labels;
	bool lacks_differences;

	initStringInfo(&list);
	for (int i = GPT_SKIP_NONE + 1; i < GPT_N_SKIPS; i++)
	{
		if (skipped->n[i] == 0)
			continue;
		n += skipped->n[i];
		n_reasons++;
		appendStringInfo(&list, "%s" INT64_FORMAT " %s", list.len > 0 ? ", " : "", skipped->n[i],
						 reasons[i]);
	}
	lacks_labels = n_reasons == 1 && skipped->n[GPT_SKIP_LABEL] > 0;
	lacks_differences = n_reasons == 1 && skipped->n[GPT_SKIP_EQUAL] > 0;
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 lacks_labels		 ? errmsg("no row of %s has a label", query_name)
			 : lacks_differences ? errmsg("no row of %s has two different answers", query_name)
								 : errmsg("%s returned no text", query_name),
			 n == 0			? errdetail("It returned no rows.")
			 : lacks_labels ? errdetail("In all " INT64_FORMAT " rows \"label\" is null.", n)
			 : lacks_differences
				 ? errdetail("In all " INT64_FORMAT " rows \"chosen\" equals \"rejected\".", n)
			 : n_reasons == 1
				 ? errdetail("It returned " INT64_FORMAT " rows, all of them %s.", n,
							 strchr(list.data, ' ') + 1)
				 : errdetail("Of " INT64_FORMAT " rows, these are skipped: %s.", n, list.data)));
}
