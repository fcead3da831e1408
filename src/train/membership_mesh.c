/*
 * src/train/membership_mesh.c
 *
 * The members of an epoch and a number of steps go in; steps that all of them make together come
 * out. A step that fails because of another member changes nothing: this one stays at the step
 * before, and says whose fault it was.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/json_writer.h"
#include "core/nice.h"
#include "train/membership_private.h"

#define DIGITS 17

const char *
gpt_membership_open_mesh(GptMembership *member)
{
	MemoryContext old_context;

	gpt_membership_close_mesh(member);
	old_context = MemoryContextSwitchTo(member->context);
	member->mesh = gpt_gradient_mesh_open();
	MemoryContextSwitchTo(old_context);
	return gpt_gradient_mesh_address(member->mesh);
}

void
gpt_membership_close_mesh(GptMembership *member)
{
	GptGradientMesh *mesh = member->mesh;

	member->mesh = NULL;
	member->is_stepping = false;
	member->training.tree = NULL;
	gpt_gradient_mesh_close(mesh);
}

void
gpt_membership_meet(GptMembership *member, const GptMemberRun *run)
{
	GptMeshMembers members = *run->mesh;
	LmMeshError failure;

	if (member->mesh == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has no gradient channel"),
						errhint("Call gpt_member_mesh first.")));
	if (!member->spec.has_secret)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has no secret of the job"),
						errhint("Give gpt_member_begin the member \"secret\".")));
	if (member->plan.training.tree_leaves < member->plan.accumulate)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the checkpoint is not of a training whose steps are those of all "
							   "members")));
	if (member->mesh->exchange != NULL && member->mesh->epoch != members.epoch)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the gradient channel is of epoch " UINT64_FORMAT ", not " UINT64_FORMAT,
						member->mesh->epoch, members.epoch),
				 errhint("Call gpt_member_mesh again.")));
	if (member->mesh->exchange != NULL)
		return;
	members.secret = member->spec.secret;
	if (!gpt_gradient_mesh_connect(&failure, member->mesh, &members, member->training.trainer,
								   member->plan.accumulate, member->memory))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("could not connect for gradients: %s", failure.message)));
	if (member->spec.is_local)
		gpt_gradient_mesh_own_rows(member->mesh, &member->plan, member->corpus);
	member->training.tree = &member->mesh->step;
}

/* An error closes the channel, so that the others do not wait. */
static void
close_after_error(void *argument)
{
	GptMembership *member = argument;

	if (member->is_stepping)
		gpt_membership_close_mesh(member);
}

static void
arm_close(GptMembership *member)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	*callback = (MemoryContextCallback){.func = close_after_error, .arg = member};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	member->is_stepping = true;
}

/* False where another member, or the network, was at fault. */
static bool
make_step(GptMembership *member, LmError *error)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (gpt_training_try_step(&member->training, error))
			return true;
		if (error->code == LM_ERR_LIBRARY)
			return false;
		gpt_bridge_retry(error);
	}
}

void
gpt_membership_mesh_steps(GptMembership *member, const GptMemberRun *run, GptJsonWriter *answer)
{
	GptTraining *training = &member->training;
	TimestampTz started_at = GetCurrentTimestamp();
	LmError *error = palloc0(sizeof(LmError));
	int64 waited;
	int64 tokens = 0;
	double loss = 0;
	int64 made = 0;

	if (run->share >= 0)
		lm_trainer_options(training->trainer)->share = run->share;
	waited = gpt_gradient_mesh_waited(member->mesh);
	arm_close(member);
	for (; made < run->steps && make_step(member, error); made++)
	{
		loss += training->state.last.loss;
		tokens += training->state.last.tokens;
	}
	member->is_stepping = false;
	gpt_nice_raise();
	gpt_json_put_integer(answer, "step", training->state.step);
	gpt_json_put_integer(answer, "tokens", tokens);
	gpt_json_put_rounded(answer, "loss_sum", loss, DIGITS);
	gpt_json_put_rounded(answer, "weight", (double) made, DIGITS);
	gpt_json_put_integer(answer, "ms", (GetCurrentTimestamp() - started_at) / 1000);
	gpt_json_put_integer(answer, "waited_ms", gpt_gradient_mesh_waited(member->mesh) - waited);
	gpt_json_put_integer(answer, "crc", gpt_train_weights_crc(member->training.trainer));
	if (made < run->steps)
	{
		LmMeshError fault;

		gpt_json_put_text(answer, "error", error->message);
		if (gpt_gradient_mesh_failed(member->mesh, &fault) && fault.member >= 0)
			gpt_json_put_integer(answer, "failed_member", fault.member);
		gpt_membership_close_mesh(member);
	}
}
