/*
 * src/train/members_loss.c
 *
 * A member that is lost goes in; what option "on_loss" says, and the rows of gpt_job_server, come
 * out.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "utils/memutils.h"

#include "core/transaction.h"
#include "train/members_private.h"

#define ROWS_MS 1000 /* between two writes of the rows */
#define MOST_TRY_MS 30000 /* until the next try, which comes later and later */

bool
gpt_members_is_loss(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_CONNECTION_EXCEPTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES);
}

bool
gpt_members_may_lack(const GptMembers *members, const GptTrainState *state)
{
	return members->on_loss == GPT_ON_LOSS_CONTINUE && state->step > 0;
}

/*
 * A member that was lost on its way into the training, such as one whose disk is full, would be
 * lost again at once: the next try comes later and later.
 */
static void
put_off(GptMember *member)
{
	member->try_at = TimestampTzPlusMilliseconds(
		GetCurrentTimestamp(), Min(GPT_MEMBERS_TRY_MS << Min(member->n_vain, 10), MOST_TRY_MS));
	member->n_vain++;
}

int
gpt_members_sqlstate(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(result) != PGRES_FATAL_ERROR)
		return 0;
	if (state == NULL || strlen(state) != 5)
		return ERRCODE_CONNECTION_FAILURE;
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

void
gpt_members_lose(GptMembers *members, GptMember *member, const char *why)
{
	bool was_there = member->row.state != GPT_SERVER_LOST;

	gpt_remote_clip(member->error, why, sizeof(member->error));
	if (member->work != NULL && !member->has_state)
		put_off(member);
	member->work = member->heart = member->coming = NULL;
	member->result = NULL;
	member->asked = member->forgives = false;
	member->runs = member->answered = member->ran = false;
	member->fetched = member->fetched && members->keeps;
	MemoryContextReset(member->context);
	member->row.state = members->is_ending ? GPT_SERVER_ENDED : GPT_SERVER_LOST;
	member->row.error = member->error;
	member->row_changed = true;
	/* A server that still cannot be reached changes nothing. */
	members->has_changed = members->has_changed || was_there;
	if (was_there)
		members->rows_at = 0;
	if (members->is_ending)
		return;
	if (members->on_loss == GPT_ON_LOSS_FAIL)
	{
		gpt_members_record(members, true);
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("server \"%s\" was lost during the training", member->row.server),
				 errdetail_internal("%s", member->error),
				 errhint("With option \"on_loss\" the training waits for a server that is lost, or "
						 "continues without it.")));
	}
	if (was_there)
		ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt has lost server \"%s\": %s",
							 members->job->number, member->row.server, member->error)));
}

void
gpt_members_blame(GptMembers *members, GptMember *member, const char *why)
{
	gpt_remote_clip(member->error, why, sizeof(member->error));
	member->row.error = member->error;
	member->row_changed = true;
	gpt_members_record(members, true);
}

/* Until the end of a round tells more exactly. */
static void
note_speed(const GptMembers *members, GptMember *member)
{
	int64 steps = member->row.step - members->round_begin;
	TimestampTz time = GetCurrentTimestamp() - members->round_started_at;

	if (members->in_round && isnan(member->row.steps_per_second) && steps > 0 && time > 0)
		member->row.steps_per_second = (double) steps * USECS_PER_SEC / (double) time;
}

static void
record_one(const GptMembers *members, GptMember *member)
{
	if (!member->row_changed)
		return;
	note_speed(members, member);
	gpt_job_server_set(members->job->number, &member->row);
	member->row_changed = false;
}

void
gpt_members_record(GptMembers *members, bool now)
{
	GptTransaction transaction;
	bool changed = members->own.row_changed;

	for (int i = 0; i < members->n; i++)
		changed = changed || members->members[i].row_changed;
	if (!changed || IsTransactionState() ||
		(!now && !TimestampDifferenceExceeds(members->rows_at, GetCurrentTimestamp(), ROWS_MS)))
		return;
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	record_one(members, &members->own);
	for (int i = 0; i < members->n; i++)
		record_one(members, &members->members[i]);
	gpt_transaction_commit(&transaction);
	members->rows_at = GetCurrentTimestamp();
}
