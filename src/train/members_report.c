/*
 * src/train/members_report.c
 *
 * Surveys of servers that train on rows of their own go in; the member "servers" of the job's
 * report, with their counts of rows, comes out.
 */
#include "postgres.h"

#include "core/json_writer.h"
#include "core/transaction.h"
#include "store/job.h"
#include "train/members_private.h"

void
gpt_members_report(const GptMembers *members, GptSurvey *const *surveys)
{
	GptJsonWriter report = {NULL};
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_json_begin(&report, NULL);
	gpt_json_begin_array(&report, "servers");
	for (int i = 0; i <= members->n; i++)
	{
		gpt_json_begin(&report, NULL);
		gpt_json_put_integer(&report, "member", i);
		if (i > 0)
			gpt_json_put_text(&report, "server", members->members[i - 1].row.server);
		gpt_json_put_integer(&report, "documents", surveys[i]->documents);
		gpt_json_put_integer(&report, "skipped", surveys[i]->skipped);
		gpt_json_put_integer(&report, "held_out", surveys[i]->held_out);
		gpt_json_put_integer(&report, "bytes", surveys[i]->texts.bytes);
		gpt_json_end(&report);
	}
	gpt_json_end_array(&report);
	gpt_job_add_report(members->job->number, gpt_json_finish(&report));
	gpt_transaction_commit(&transaction);
}
