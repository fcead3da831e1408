/*
 * include/remote/mesh.h
 *
 * The gradient channel (engine/collective.h) inside a server: gpt_gloo.so is loaded at first use,
 * from where this library lies, and a mesh belongs to a memory context as other things do. All
 * functions are for the main thread; the engine's thread that computes a step uses the handle and
 * the table, through lm_tree_exchange_create.
 *
 * A mesh is closed when its memory context is reset or deleted, by an error too, and when the
 * process ends. Memory that its tasks use must live at least as long: the exchange is freed first.
 */
#ifndef GPT_REMOTE_MESH_H
#define GPT_REMOTE_MESH_H

#include "engine/collective.h"

typedef struct GptMesh GptMesh;

/*
 * Checks that this server can take part in a reduction of gradients: gpt.gradient_address is set,
 * and the library is there. 55000 or 0A000 with a hint.
 */
extern void gpt_mesh_check(void);

/* The first half of it, for the session that asks for a training. */
extern void gpt_mesh_check_address(void);

/*
 * A mesh that listens at gpt.gradient_address, on a free port where that names none, in the current
 * memory context. A port that another training has is waited for, some seconds, and is then 08001;
 * an address that this machine cannot listen at is F0000. Errors of gpt_mesh_check.
 */
extern GptMesh *gpt_mesh_open(void);

/* What the other members are told: "10.0.0.5:41234". */
extern const char *gpt_mesh_address(const GptMesh *mesh);

/*
 * Begins to connect with all members: [members] addresses, the job's secret of LM_MESH_SECRET_SIZE
 * bytes. False, with *error, for an address that is none, or of another network. Does not wait:
 * what is submitted waits for it.
 */
extern bool gpt_mesh_connect(GptMesh *mesh, const LmMeshPeers *peers, LmMeshError *error);

/* For lm_tree_exchange_create. */
extern const LmCollective *gpt_mesh_collective(const GptMesh *mesh);
extern LmMesh *gpt_mesh_handle(const GptMesh *mesh);

/* Ends all connections, some 30 ms; NULL is fine. */
extern void gpt_mesh_close(GptMesh *mesh);

#endif /* GPT_REMOTE_MESH_H */
