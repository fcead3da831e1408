/*
 * include/train/membership.h
 *
 * A session that is a member of a training over servers: it computes for the coordinator, whose
 * connection it serves. The coordinator sends a token file and a checkpoint, as a job finds them
 * when it continues; then the session makes steps. Everything it has lives in the session's memory
 * and in temporary files of the server, so nothing is left when the session ends, however it ends:
 * but for what a member of rounds keeps for its return (membership_kept.c).
 *
 *   _open -> _put and _use of tokens, then of a checkpoint
 *   _open -> _read -> _counts -> _put and _use of a tokenizer, then of a checkpoint (own rows)
 *         -> _run -> _delta, _put and _use of an update -> _run ...      (rounds of DiLoCo)
 *         or -> _mesh -> _run -> _run ...                                (steps together)
 *         -> _close
 *
 * A checkpoint may come at any time after the tokens: the member goes on from there. So it does
 * from what an earlier session kept (_use of GPT_PART_KEPT), where that is there. What comes
 * from the coordinator is checked as bytes from anybody. A call out of order is
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE. After an error in _run or in _use of a checkpoint or an
 * update the member has no state, and needs a checkpoint. All functions are called inside a
 * transaction; the membership outlives it.
 */
#ifndef GPT_MEMBERSHIP_H
#define GPT_MEMBERSHIP_H

#include "core/json_writer.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#define GPT_MEMBER_PROTOCOL 1
#define GPT_MOST_MEMBERS 64
#define GPT_MEMBER_PIECE (16 * 1024 * 1024) /* bytes of one piece, at most */
#define GPT_MEMBER_SECRET 32 /* bytes of the job's secret */
#define GPT_MEMBER_SHA256 32

/*
 * Bits of a packed value of a member's difference, and of the coordinator's update. With 4 and 8, a
 * round of 50 steps moves 1/261 of the bytes of as many steps with gradients in float32.
 */
#define GPT_DIFFERENCE_BITS 4
#define GPT_UPDATE_BITS 8

/* What the coordinator sends. */
typedef enum GptMemberPart
{
	GPT_PART_TOKENIZER, /* a tokenizer.json */
	GPT_PART_TOKENS, /* a token file (engine/batch.h) */
	GPT_PART_CHECKPOINT, /* a checkpoint (train/checkpoint.h) */
	GPT_PART_UPDATE, /* of a round (engine/outer.h) */
	GPT_PART_KEPT, /* is here already: the state at the beginning of a round */
	GPT_N_PARTS,
} GptMemberPart;

/* Their names; NULL after the last. */
extern const char *gpt_member_part_name(int part);

/* What the coordinator says at first. */
typedef struct GptMemberSpec
{
	pg_uuid_t run_id;
	int64 job; /* of the coordinator */
	const char *model;
	/* of an adapter, or a fine-tune on own rows: a version of this server, "name@version" */
	const char *base; /* or NULL */
	bool has_base_sha256;
	uint8 base_sha256[GPT_MEMBER_SHA256]; /* of its weights */
	int member; /* 1 .. members - 1; the coordinator is member 0 */
	int members;
	bool is_local; /* the rows are this server's own */
	bool keeps; /* the state at the beginning of each round, for its return */
	bool has_secret;
	uint8 secret[GPT_MEMBER_SECRET];
} GptMemberSpec;

/* How a part is used; members: 0 leaves member and members as they are. */
typedef struct GptMemberUse
{
	int member;
	int members;
	const char *agreement; /* of a tokenizer, as JSON (corpus/agreement.h); NULL: none yet */
	/* of what is kept: its step, and the CRC-32C of its parameters */
	int64 step;
	uint32 crc;
	int64 also; /* kept too: the step of the coordinator's checkpoint; negative: none */
} GptMemberUse;

/* Steps to make. */
typedef struct GptMemberRun
{
	int64 first_step; /* those done before */
	int64 steps;
	int epoch; /* of the membership; returned as it is */
	double share; /* of the training that is done (LmTrainOptions.share); negative: by steps */
	/* steps of all members together; NULL: a round of this member alone */
	const struct GptMeshMembers *mesh; /* whose secret is the spec's */
} GptMemberRun;

/* Whether this session is a member. */
extern bool gpt_membership_exists(void);

/* Raises an error unless this server has the base of the spec, if there is one. */
extern void gpt_membership_check_base(const GptMemberSpec *spec);

/* Begins; copies the spec. */
extern void gpt_membership_open(const GptMemberSpec *spec);

/*
 * Reads the rows of a member that has its own, under the active snapshot; answers with their
 * numbers. _counts: a piece of their survey (corpus/survey.h) from offset on, with *n bytes; the
 * floor of words is that of the options.
 */
extern void gpt_membership_read(const char *query, Jsonb *options, GptJsonWriter *answer);
extern const char *gpt_membership_counts(size_t *n, size_t offset);

/*
 * Ends the membership and frees all it has; nothing where there is none. _forget removes what this
 * session's last membership has kept.
 */
extern void gpt_membership_close(void);
extern void gpt_membership_forget(void);

/*
 * Appends bytes at an offset, which is 0 or where the part ends so far: 0 begins it again. Errors:
 * more than GPT_MEMBER_PIECE, another offset, a part larger than its limit.
 */
extern void gpt_membership_put(GptMemberPart part, int64 offset, const void *bytes, size_t size);

/*
 * Uses a part that is complete: ERRCODE_DATA_CORRUPTED where it has another hash; that of
 * GPT_PART_KEPT is NULL. Returns what the SQL function does.
 */
extern Jsonb *gpt_membership_use(GptMemberPart part, const uint8 *sha256, const GptMemberUse *use);

/* Makes steps and packs the difference from the common parameters. */
extern Jsonb *gpt_membership_run(const GptMemberRun *run);

/* Opens the gradient channel of an epoch, and closes the one before; returns its address. */
extern const char *gpt_membership_mesh(void);

/* Bytes of the packed difference from offset on: at most length, fewer at its end. */
extern const uint8 *gpt_membership_delta(size_t *n, int64 offset, int length);

#endif /* GPT_MEMBERSHIP_H */
