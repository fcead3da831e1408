/*
 * src/train/membership_kept.c
 *
 * The state of a member at the beginning of a round goes to a file of its server, and comes back
 * from there: a session that takes the place of one that was lost makes the round again, with the
 * same bits.
 *
 * The file is a checkpoint (train/checkpoint.h): the common parameters, and what no other server
 * has: the moments of this member, its place in its rows, and what packing has left of its last
 * difference. It outlives the processes of the server; after a crash of the machine it may be
 * damaged, which its checksums show: syncing it would take a second a round for each 160 MB on a
 * slow disk. The coordinator says which step its own checkpoint has: from there it would go on
 * after a crash. So two files are kept, and a third one is written.
 */
#include "postgres.h"

#include <fcntl.h>

#include "miscadmin.h"

#include "core/machine.h"
#include "store/run_files.h"
#include "train/membership_private.h"

/* What the last membership of this session has kept. */
static GptKeptOwner kept;
static bool has_kept = false;

static GptKeptOwner
owner_of(const GptMembership *member)
{
	return (GptKeptOwner){.run_id = member->spec.run_id,
						  .member = member->spec.member,
						  .database = MyDatabaseId,
						  .role = GetUserId()};
}

void
gpt_membership_keep(GptMembership *member, int64 also)
{
	LmTrainer *trainer = member->training.trainer;
	GptKeptOwner owner = owner_of(member);
	GptCheckpoint next = *member->checkpoint;
	int64 step = member->training.state.step;

	kept = owner;
	has_kept = true;
	gpt_membership_allocate_round(member);
	next.extension = gpt_kept_extension(&owner, step);
	strlcpy(next.machine, gpt_machine_cpu(), sizeof(next.machine));
	next.state = member->training.state;
	if (member->spec.is_local)
		next.corpus.file_crc = member->tokens_crc;
	next.outer = member->left;
	next.outer_count = lm_trainer_table(trainer)->total;
	(void) gpt_checkpoint_try_write(&next, trainer, NULL, &member->training.reference,
									&member->progress);
	gpt_kept_retain(&owner, step, also);
}

bool
gpt_membership_has_other_rows(const GptMembership *member)
{
	return member->spec.is_local && member->checkpoint->corpus.file_crc != member->tokens_crc;
}

bool
gpt_membership_take_kept(GptMembership *member, const GptMemberUse *use)
{
	GptKeptOwner owner = owner_of(member);
	char *path = gpt_run_file_path(&member->spec.run_id, gpt_kept_extension(&owner, use->step), "");
	File file;

	kept = owner;
	has_kept = true;
	/* It is closed at the end of the transaction at the latest. */
	file = PathNameOpenTemporaryFile(path, O_RDONLY);
	if (file <= 0)
		return false;
	gpt_membership_take_state(member, file, path);
	FileClose(file);
	if (member->training.state.step != use->step ||
		gpt_train_weights_crc(member->training.trainer) != use->crc)
	{
		gpt_membership_drop_state(member);
		return false;
	}
	gpt_kept_retain(&owner, use->step, use->also);
	return true;
}

void
gpt_membership_forget(void)
{
	if (has_kept)
		gpt_kept_retain(&kept, GPT_NO_STEP, GPT_NO_STEP);
	has_kept = false;
}
