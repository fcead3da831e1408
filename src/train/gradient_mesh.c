/*
 * src/train/gradient_mesh.c
 *
 * An address and the members of an epoch go in; the tree along which the steps of a training sum
 * their gradients comes out.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/bridge.h"
#include "train/gradient_mesh.h"

#define CONNECT_MS 10000

GptGradientMesh *
gpt_gradient_mesh_open(void)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt gradient mesh", ALLOCSET_SMALL_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	GptGradientMesh *mesh = palloc0(sizeof(GptGradientMesh));

	mesh->context = context;
	mesh->mesh = gpt_mesh_open();
	MemoryContextSwitchTo(old_context);
	return mesh;
}

const char *
gpt_gradient_mesh_address(const GptGradientMesh *mesh)
{
	return gpt_mesh_address(mesh->mesh);
}

bool
gpt_gradient_mesh_connect(LmMeshError *failure, GptGradientMesh *mesh,
						  const GptMeshMembers *members, LmTrainer *trainer, int n_leaves,
						  uint64 held)
{
	LmTreeMeeting meeting = {.collective = gpt_mesh_collective(mesh->mesh),
							 .mesh = gpt_mesh_handle(mesh->mesh),
							 .member = members->member,
							 .n_members = members->n,
							 .n_leaves = n_leaves,
							 .bfloat16 = members->bfloat16};
	const LmMeshPeers peers = {.member = members->member,
							   .members = members->n,
							   .addresses = members->addresses,
							   .secret = members->secret,
							   .epoch = members->epoch,
							   .timeout_ms = CONNECT_MS};
	LmError error;
	size_t bytes;

	if (!lm_tree_exchange_memory(&bytes, &meeting, &lm_trainer_table(trainer)->config, &error))
		gpt_bridge_raise(&error);
	gpt_bridge_check_memory(held + bytes);
	if (!gpt_mesh_connect(mesh->mesh, &peers, failure))
		return false;
	mesh->exchange = lm_tree_exchange_create(trainer, &meeting, &error);
	if (mesh->exchange == NULL)
		gpt_bridge_raise(&error);
	mesh->generation = gpt_bridge_generation();
	mesh->epoch = members->epoch;
	mesh->step = (LmTreeStep){.n_leaves = n_leaves,
							  .own = lm_tree_share(n_leaves, members->member, members->n),
							  .dealt = true,
							  .hooks = lm_tree_exchange_hooks(mesh->exchange)};
	return true;
}

void
gpt_gradient_mesh_own_rows(GptGradientMesh *mesh, const GptTrainPlan *plan, const GptCorpus *corpus)
{
	double leaf_tokens = gpt_train_step_tokens(plan, corpus) / plan->accumulate;

	mesh->step.dealt = false;
	mesh->step.weight =
		(double) corpus->dataset.header->train_tokens / (leaf_tokens * mesh->step.own.count);
}

int64
gpt_gradient_mesh_waited(const GptGradientMesh *mesh)
{
	return mesh->exchange == NULL ? 0 : lm_tree_exchange_waited(mesh->exchange) / 1000000;
}

bool
gpt_gradient_mesh_failed(const GptGradientMesh *mesh, LmMeshError *error)
{
	*error = (LmMeshError){.member = -1};
	return gpt_mesh_collective(mesh->mesh)->state(gpt_mesh_handle(mesh->mesh), error) ==
		   LM_MESH_FAILED;
}

void
gpt_gradient_mesh_close(GptGradientMesh *mesh)
{
	if (mesh == NULL)
		return;
	/* An engine that was stopped has taken its memory along. */
	if (mesh->exchange != NULL && mesh->generation == gpt_bridge_generation())
		lm_tree_exchange_free(mesh->exchange);
	MemoryContextDelete(mesh->context);
}
