/*
 * include/train/gradient_mesh.h
 *
 * The gradient channel of one member of a training whose steps are those of several servers: a mesh
 * (remote/mesh.h), which is open on gpt.gradient_address, and the exchange of gradients over it
 * (engine/tree_exchange.h). The coordinator, which is member 0, uses it as the others do.
 *
 *   _open -> _address, which goes to all -> _connect -> steps of a GptTraining ... -> _close
 *
 * One mesh is one epoch of membership. A mesh that has failed is closed, and another one opened.
 */
#ifndef GPT_GRADIENT_MESH_H
#define GPT_GRADIENT_MESH_H

#include "engine/tree_exchange.h"
#include "remote/mesh.h"
#include "train/train_loop.h"

/* The members of an epoch. */
typedef struct GptMeshMembers
{
	int member; /* this one */
	int n;
	const char *const *addresses; /* [n] */
	const uint8 *secret; /* LM_MESH_SECRET_SIZE */
	uint64 epoch;
	bool bfloat16; /* gradients on the wire */
} GptMeshMembers;

typedef struct GptGradientMesh
{
	MemoryContext context; /* of all this */
	GptMesh *mesh;
	LmTreeExchange *exchange; /* NULL: not connected yet */
	uint64 generation; /* of the engine (core/bridge.h) whose memory the exchange is */
	LmTreeStep step; /* for GptTraining.tree; its batches are those of the training */
	uint64 epoch;
} GptGradientMesh;

/*
 * Listens, in the current memory context, which must not go before _close. Errors of gpt_mesh_open.
 */
extern GptGradientMesh *gpt_gradient_mesh_open(void);
extern const char *gpt_gradient_mesh_address(const GptGradientMesh *mesh);

/*
 * Begins to connect; the first step waits for it. n_leaves: micro-batches of a step, all of which
 * every member draws. held: bytes that the training has already, for gpt.max_memory. False,
 * with *failure, for an address that is none.
 */
extern bool gpt_gradient_mesh_connect(LmMeshError *failure, GptGradientMesh *mesh,
									  const GptMeshMembers *members, LmTrainer *trainer,
									  int n_leaves, uint64 held);

/*
 * The member has rows of its own: it draws the batches of its own leaves alone, and they count as
 * many times as it has steps in an epoch. So each row of all servers counts the same.
 */
extern void gpt_gradient_mesh_own_rows(GptGradientMesh *mesh, const GptTrainPlan *plan,
									   const GptCorpus *corpus);

/* Milliseconds that steps have waited for others so far. */
extern int64 gpt_gradient_mesh_waited(const GptGradientMesh *mesh);

/* Whether it has failed, and whose fault it is. */
extern bool gpt_gradient_mesh_failed(const GptGradientMesh *mesh, LmMeshError *error);

/*
 * Ends all that it does, at once, and closes it; NULL is fine. The trainer is not touched any more.
 * Where the engine was stopped since then, no step may have been going on.
 */
extern void gpt_gradient_mesh_close(GptGradientMesh *mesh);

#endif /* GPT_GRADIENT_MESH_H */
