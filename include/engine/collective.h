/*
 * include/engine/collective.h
 *
 * The gradient channel between the members of a training: a mesh of TCP connections, each member to
 * each other. This is the C face of gpt_gloo.so (src/gloo/gpt_gloo.cpp, over Gloo,
 * https://github.com/pytorch/gloo), an object of its own that is loaded where it is wanted. One
 * symbol, gpt_gloo_collective, gives the table of its functions.
 *
 * The life of a mesh, which is one epoch of membership:
 *
 *   open -> address, which goes to all others -> connect -> (submit ... wait)* -> close
 *
 * Threads. The owner is the thread that opened the mesh, a server's main thread. It alone calls the
 * functions of the first group, but submit, state, event_file and abort, which any thread may call:
 * one that computes a step submits tasks. None of them blocks but close (some 30 ms), none jumps,
 * raises or throws, and none touches the server. The mesh has a thread of its own, which connects
 * and then runs the tasks that the owner submits, in their order, and Gloo has one for its sockets;
 * both have all signals blocked but those of faults. A task calls the functions of the second
 * group, and nothing of the server.
 *
 * Waiting. The owner sleeps on event_file and its own latch, or looks at state now and then. It may
 * call abort at any time: every wait of the mesh ends at once, and state becomes LM_MESH_FAILED.
 * The mesh fails by itself, at once, when a connection is closed by a member that ended. A failed
 * mesh stays failed; what is submitted to it does not run.
 *
 * Memory. The bytes that are sent and received are the caller's, and stay where they are until the
 * task's wait has returned. After close, or once state is not LM_MESH_BUSY, nothing of the mesh
 * touches them.
 *
 * The end. A member that closes its mesh fails those of the others, and what its kernel has not
 * sent yet may be lost: so all know, by another way, that all have finished, before one closes.
 *
 * Trust. The channel is not encrypted. It is bound to the named address only. Each pair proves to
 * each other by HMAC-SHA256 over two random numbers that it knows the job's secret, before Gloo
 * sees the connection; connections from other addresses than the members', or without the proof,
 * are closed. Each message carries a tag of AES-256-GMAC under keys of the pair (NIST SP 800-38D),
 * over its number, tag, size and bytes: one that is altered, cut, left out or sent again fails the
 * mesh.
 */
#ifndef LM_COLLECTIVE_H
#define LM_COLLECTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

#define LM_COLLECTIVE_VERSION 2
#define LM_COLLECTIVE_SYMBOL "gpt_gloo_collective"
#define LM_MESH_MAX_MEMBERS 64
#define LM_MESH_ADDRESS_SIZE 80 /* of an address with its port, with the NUL */
#define LM_MESH_SECRET_SIZE 32

	typedef struct LmMesh LmMesh;

	typedef enum LmMeshState
	{
		LM_MESH_IDLE, /* nothing to do: open, or connected and every task has succeeded */
		LM_MESH_BUSY, /* connecting, or a task runs or waits for its turn */
		LM_MESH_FAILED, /* for good; nothing runs any more */
	} LmMeshState;

	/* Why a mesh failed. */
	typedef struct LmMeshError
	{
		int member; /* whose fault it is, -1 where it is nobody's or not known */
		bool is_aborted; /* the owner called abort */
		char message[256]; /* lower case, no period; names the member by its number */
		bool is_taken; /* of open: another socket listens at the port that the address names */
	} LmMeshError;

	/* How a mesh is connected. All is copied. */
	typedef struct LmMeshPeers
	{
		int member; /* this one, 0 .. members - 1 */
		int members; /* 1 .. LM_MESH_MAX_MEMBERS */
		const char *const *addresses; /* of all members in their order, as their address() said */
		const uint8_t *secret; /* LM_MESH_SECRET_SIZE bytes that only the members know */
		uint64_t epoch; /* members of different epochs do not meet */
		int timeout_ms; /* for all connections together */
	} LmMeshPeers;

	typedef struct LmCollective LmCollective;

	/*
	 * Runs on the mesh's thread. False fails the mesh, with *error, which the functions of the
	 * second group have filled. A task that computes for long asks is_stopping now and then.
	 */
	typedef bool (*LmMeshTask)(const LmCollective *collective, LmMesh *mesh, void *context,
							   LmMeshError *error);

	struct LmCollective
	{
		uint32_t version; /* LM_COLLECTIVE_VERSION, to be compared before use */

		/* The first group: the owner's. */

		/*
		 * A mesh that listens on a free port of address, "HOST" or "HOST:PORT" ("[IPV6]:PORT"): a
		 * name or number of one interface of this machine, never one that stands for all. NULL and
		 * *error on failure. (Names are looked up by the system's resolver, which may take its
		 * time; numbers are not.)
		 */
		LmMesh *(*open)(const char *address, LmMeshError *error);
		/* The number and port it listens on, "10.0.0.5:41234"; as long as the mesh. */
		const char *(*address)(const LmMesh *mesh);
		/* Begins to connect; once only. False and *error where peers make no sense. */
		bool (*connect)(LmMesh *mesh, const LmMeshPeers *peers, LmMeshError *error);
		/* Has the mesh's thread run the task after those before; false when there is no memory. */
		bool (*submit)(LmMesh *mesh, LmMeshTask task, void *context);
		/* How it stands; *error (may be NULL) is filled when it has failed. */
		LmMeshState (*state)(LmMesh *mesh, LmMeshError *error);
		/*
		 * Readable while the mesh is not busy: for poll, epoll, or WaitLatchOrSocket. The owner
		 * does not read from it.
		 */
		int (*event_file)(const LmMesh *mesh);
		/* Ends all waits; returns at once, the state follows. Any thread may call it. */
		void (*abort)(LmMesh *mesh);
		/* Aborts, waits for the threads to end, frees. NULL is nothing. */
		void (*close)(LmMesh *mesh);
		/* Connections that were closed without a member's proof, for the log. */
		int64_t (*refused)(const LmMesh *mesh);
		/* Bytes that tasks have sent, and received. */
		void (*traffic)(const LmMesh *mesh, uint64_t *sent, uint64_t *received);

		/* The second group: a task's, on the mesh's thread. */

		int (*member)(const LmMesh *mesh);
		int (*members)(const LmMesh *mesh);
		/*
		 * Begin to send size bytes to a member, to receive as many from one. Sender and receiver
		 * name the same tag and size; messages of a pair in one direction are posted in the same
		 * order on both sides. False and *error when the mesh has failed.
		 */
		bool (*send)(LmMesh *mesh, int member, uint32_t tag, const void *data, size_t size,
					 LmMeshError *error);
		bool (*receive)(LmMesh *mesh, int member, uint32_t tag, void *data, size_t size,
						LmMeshError *error);
		/* Waits for all that were begun; what was received has been verified. */
		bool (*wait)(LmMesh *mesh, LmMeshError *error);
		bool (*is_stopping)(const LmMesh *mesh);
		/*
		 * Gloo's own sum over the members, of n floats in place, for comparison in benchmarks: its
		 * order of additions depends on the number of members, and it has no tags.
		 */
		bool (*gloo_allreduce)(LmMesh *mesh, float *data, size_t n, LmMeshError *error);
	};

	/* What gpt_gloo.so exports, and its type for dlsym. */
	__attribute__((visibility("default"))) const LmCollective *gpt_gloo_collective(void);
	typedef const LmCollective *(*LmCollectiveEntry)(void);

#ifdef __cplusplus
}
#endif

#endif /* LM_COLLECTIVE_H */
