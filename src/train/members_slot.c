/*
 * src/train/members_slot.c
 *
 * Servers without a free slot go in; the own slot is lent to others for a while.
 *
 * Trainings that hold slots and wait for others' could wait for each other for ever: this server
 * for a slot of that one, whose only slot is held by a job that waits for a slot of this one. So a
 * training that still lacks one after some time holds none for a random time, that of this server
 * and those of its members, and then begins again. Of those that want the same slots, one gets all
 * of them, and the others wait without holding any.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "train/members_private.h"

#define PATIENCE_MS 2000 /* for which a slot is waited for */
#define LEAST_LENT_MS 300
#define MOST_LENT_MS 3000 /* the first time; it doubles ... */
#define MOST_DOUBLED 3 /* ... so often */

static bool
is_refused(const GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].work == NULL && members->members[i].is_refused)
			return true;
	}
	return false;
}

/* They come back with what they need, as any server does that was lost. */
static void
dismiss(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL || member->coming != NULL)
			gpt_members_lose(members, member,
							 "the training gave its slot back, to wait for that of another server");
	}
}

/* No two servers have the same state of the generator. */
static TimestampTz
end_of_loan(int n_lent)
{
	int most = MOST_LENT_MS << Min(n_lent, MOST_DOUBLED);
	double share = pg_prng_double(&pg_global_prng_state);

	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   LEAST_LENT_MS + (int) (share * (most - LEAST_LENT_MS)));
}

void
gpt_members_lend_slot(GptMembers *members)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end;

	if (!is_refused(members))
	{
		members->refused_at = 0;
		return;
	}
	if (members->refused_at == 0)
		members->refused_at = now;
	if (!TimestampDifferenceExceeds(members->refused_at, now, PATIENCE_MS))
		return;
	dismiss(members);
	members->slot->lend();
	end = end_of_loan(members->n_lent++);
	while (GetCurrentTimestamp() < end || !members->slot->take())
		gpt_members_wait(members);
	members->refused_at = 0;
	for (int i = 0; i < members->n; i++)
		members->members[i].try_at = 0;
}
