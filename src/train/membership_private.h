/*
 * src/train/membership_private.h
 *
 * What a member has, shared by the files membership*.c.
 */
#ifndef GPT_MEMBERSHIP_PRIVATE_H
#define GPT_MEMBERSHIP_PRIVATE_H

#include "storage/fd.h"

#include "core/json_writer.h"
#include "corpus/spool.h"
#include "store/kept_files.h"
#include "train/checkpoint.h"
#include "train/gradient_mesh.h"
#include "train/membership.h"
#include "train/train_loop_private.h"

/* What the member can do next; each has all that those before it have. */
typedef enum GptMemberStage
{
	GPT_MEMBER_BEGUN, /* waits for its token file */
	GPT_MEMBER_HAS_TOKENS, /* waits for a checkpoint */
	GPT_MEMBER_READY, /* runs steps */
	GPT_MEMBER_RAN, /* waits for the update of the round */
} GptMemberStage;

/* Bytes that arrive in pieces: in a temporary file, or in memory where `bytes` is set. */
typedef struct GptReceived
{
	File file; /* -1: none */
	int64 size; /* so far */
	uint8 *bytes; /* [capacity] */
	size_t capacity;
} GptReceived;

typedef struct GptMembership
{
	MemoryContext context; /* all memory but the engine's */
	GptMemberSpec spec;
	GptMemberStage stage;
	GptReceived parts[GPT_N_PARTS];
	/* of a member with rows of its own, in a context of their own, until they are encoded */
	MemoryContext rows_context;
	GptTrainOptions *options;
	GptSpool *spool; /* NULL: there are none */
	LmTokenizer *given; /* which was there before; NULL: one is trained of all surveys */
	bytea *survey; /* NULL: not made yet */
	LmDataset dataset; /* mapped; base NULL: none */
	float *reference; /* [windows] what the base says of them; NULL: not computed */
	uint32 tokens_crc;
	/* From here on what a checkpoint brings, in a context of its own. */
	MemoryContext state_context;
	uint64 generation; /* of the engine that the trainer lives in */
	GptCheckpoint *checkpoint; /* where it came from, without the weights */
	GptTrainPlan plan;
	uint64 memory; /* bytes that the state takes */
	GptCorpus *corpus;
	GptProgress progress;
	GptTraining training; /* its trainer is NULL where there is no state */
	GptGradientMesh *mesh; /* NULL: none is open; it outlives a state while it is not connected */
	bool is_stepping; /* over the mesh, which an error closes */
	/* of rounds: [total], allocated with the state, or by the first round */
	float *common; /* parameters at the last common step */
	float *left; /* what packing has left */
	uint8 *packed; /* the difference of this round */
	size_t packed_size;
	size_t update_size; /* of the update, packed */
} GptMembership;

/* ---- src/train/membership_parts.c ----------------------------------------------- */

/* Forgets the bytes of a part. */
extern void gpt_received_reset(GptReceived *part);

/* Appends a piece; `most` is the limit of the part. */
extern void gpt_received_append(GptReceived *part, int number, int64 offset, const void *bytes,
								size_t size, int64 most);

/* Copies the whole part to bytes. */
extern void gpt_received_read(const GptReceived *part, char *bytes);

/* Raises an error unless the part has that sha256. */
extern void gpt_received_check(const GptReceived *part, int number, const uint8 *sha256);

/* ---- src/train/membership_rows.c ------------------------------------------------ */

/* Reads the rows of the query as a job would; the active snapshot is not needed afterwards. */
extern void gpt_membership_take_rows(GptMembership *member, const char *query, Jsonb *options);
extern void gpt_membership_drop_rows(GptMembership *member);

/* Writes the numbers of rows. */
extern void gpt_membership_describe_rows(const GptMembership *member, GptJsonWriter *answer);

/* The survey (corpus/survey.h) of the rows, which lives until they are encoded. */
extern const bytea *gpt_membership_survey(GptMembership *member, int64 floor);

/*
 * Takes the received tokenizer: with an agreement (corpus/agreement.h, as JSON) the rows are
 * encoded with it; agreed NULL: they are surveyed with it.
 */
extern void gpt_membership_encode(GptMembership *member, const char *agreed, GptJsonWriter *answer);

/* ---- src/train/membership_state.c ----------------------------------------------- */

/* Frees what a checkpoint has brought; the stage becomes GPT_MEMBER_HAS_TOKENS at most. */
extern void gpt_membership_drop_state(GptMembership *member);

/*
 * Takes a checkpoint as the state: that of an open file, which stays the caller's. path NULL: it
 * was received; otherwise it is one that this server has kept.
 */
extern void gpt_membership_take_state(GptMembership *member, File file, const char *path);

/* src/train/membership_check.c: raises an error for numbers that no checkpoint has. */
extern void gpt_membership_check(const GptMembership *member, const GptCheckpoint *checkpoint);

/* Bytes that the state takes beside the trainer: batches, references, and those of rounds. */
extern uint64 gpt_membership_extra_memory(const GptTrainPlan *plan, size_t parameters);

/* ---- src/train/membership_kept.c ------------------------------------------------ */

/* Keeps the present state, and that of step `also` if it is there; a failure is a warning. */
extern void gpt_membership_keep(GptMembership *member, int64 also);

/* Takes what was kept of a step as the state; false if it is not there, or has another CRC. */
extern bool gpt_membership_take_kept(GptMembership *member, const GptMemberUse *use);

/* Whether rows of this server's own have changed since the state was kept that was taken. */
extern bool gpt_membership_has_other_rows(const GptMembership *member);

/* ---- src/train/membership_run.c ------------------------------------------------- */

/* Allocates what rounds need, unless that is done; the parameters are the common ones. */
extern void gpt_membership_allocate_round(GptMembership *member);

extern void gpt_membership_steps(GptMembership *member, const GptMemberRun *run,
								 GptJsonWriter *answer);
extern void gpt_membership_update(GptMembership *member);

/* ---- src/train/membership_mesh.c ------------------------------------------------ */

/* Opens a mesh, and closes the one before; returns its address. */
extern const char *gpt_membership_open_mesh(GptMembership *member);
extern void gpt_membership_close_mesh(GptMembership *member);

/* Connects to the members of the run's epoch, unless that is done. */
extern void gpt_membership_meet(GptMembership *member, const GptMemberRun *run);

/* Makes steps together with the other members; where one fails, the answer says so. */
extern void gpt_membership_mesh_steps(GptMembership *member, const GptMemberRun *run,
									  GptJsonWriter *answer);

#endif /* GPT_MEMBERSHIP_PRIVATE_H */
