/*
 * src/train/members_private.h
 *
 * What a coordinator knows of its members, shared by the files members*.c.
 */
#ifndef GPT_MEMBERS_PRIVATE_H
#define GPT_MEMBERS_PRIVATE_H

#include "core/compat.h"
#include "core/json_tree.h"
#include "core/json_writer.h"
#include "corpus/survey.h"
#include "remote/connection.h"
#include "store/blob.h"
#include "store/job_server.h"
#include "train/gradient_mesh.h"
#include "train/members.h"

#define GPT_MEMBERS_TRY_MS 500 /* between the loss of a server and the next call */

/* A server that trains with this one. */
typedef struct GptMember
{
	GptJobServer row; /* number, name, state ... */
	char error[512]; /* of the row */
	bool row_changed;
	MemoryContext context; /* of its connections */
	GptRemote *work; /* NULL: it is lost, as the next one is then */
	GptRemote *heart; /* on which it is asked whether it is alive */
	GptRemote *coming; /* while a lost one is called: it becomes the connection that works */
	bool begins; /* on that one it was asked to be a member, ... */
	TimestampTz begun_at; /* ... then, ... */
	bool has_begun; /* ... and has answered */
	bool has_tokens;
	bool has_state;
	int n_vain; /* losses one after another before it had the state */
	bool asked; /* the result of a statement is not there yet */
	bool forgives; /* an error that the statement raises is a result */
	TimestampTz asked_at;
	bool makes_steps; /* which the statement is for, ... */
	int64 most_step; /* ... of its notices so far; ... */
	TimestampTz step_at; /* ... when that grew */
	PGresult *result; /* of the last statement, once it is there */
	TimestampTz heard_at; /* a sign of life of its session */
	TimestampTz beat_at; /* when it was asked last */
	bool is_refused; /* the last try found no free slot there */
	TimestampTz try_at; /* when to try again to reach it */
	bool had_state; /* in an earlier connection, perhaps */
	bool has_other_rows; /* than when it kept what it has taken */
	/* Of a round, one after the other: */
	bool runs; /* it makes its steps */
	bool answered; /* it has made them; the result says what it has learnt of */
	bool ran; /* that has been read */
	bool fetched; /* its difference is here */
	bool updated; /* it has the update */
	bool missed; /* it was lost, and cannot make the round again */
	bool returns; /* it is back, and has no state yet */
	TimestampTz ran_at; /* when its last result was there */
	int64 tokens;
	double ms; /* of its steps */
	uint8 *packed; /* its difference ... */
	char sha256[2 * GPT_BLOB_HASH_SIZE + 1]; /* ... and what it has said of that */
	char address[LM_MESH_ADDRESS_SIZE]; /* of its mesh */
	char place[96]; /* which database it is (core/server_state.h) */
	int in_mesh; /* its number there; 0: it is not in it */
} GptMember;

struct GptMembers
{
	const GptJob *job;
	GptProgress *progress;
	MemoryContext scratch; /* reset with each round */
	bool is_local; /* members read rows of their own; then the next five are set */
	GptTrainOptions *options;
	int64 word_floor;
	GptTogether together;
	const GptGivenTokenizer *given; /* of the base; NULL: there is none */
	/* the version that members must have, "name@version"; NULL: they need none */
	char *base;
	uint8 base_sha256[GPT_SHA256_SIZE]; /* of its weights */
	double rows; /* bytes of all servers' texts, in those of this one; 1 where rows are dealt */
	const GptTrainPlan *plan;
	const GptCorpus *corpus;
	LmBytes tokenizer; /* a tokenizer.json, ... */
	const char *options_of_take; /* ... and JSON: how the members encode their rows */
	GptOnLoss on_loss;
	int64 sync; /* steps of a round */
	int n;
	GptMember *members; /* [n]; number i + 1 is at i */
	GptMember own; /* member 0: its row alone */
	bool by_step; /* gradients are summed in each step */
	bool bfloat16; /* on their way */
	uint8 secret[LM_MESH_SECRET_SIZE];
	GptGradientMesh *mesh; /* of the epoch; NULL: none */
	TimestampTz watched_at;
	int64 own_waited; /* milliseconds, of the mesh so far */
	const GptJobSlot *slot;
	TimestampTz refused_at; /* since when a server has no free slot; 0: all have */
	int n_lent; /* how often the own slot was lent */
	int failures; /* of a step, one after another */
	uint64 memory; /* of the plan */
	bool has_joined; /* since the last round */
	bool is_new; /* a server that cannot be reached is an error */
	bool is_continued; /* from a checkpoint */
	bool is_ending; /* one that is lost does not matter any more */
	bool has_changed; /* since the epoch began */
	int epoch;
	TimestampTz rows_at; /* when rows were written last */

	int64 total_time; /* of the plan, as the next one */
	int64 steps;
	bool in_round;
	int64 round_begin;
	int64 round_end;
	char round_share[32]; /* of the training that is done; "": it ends by steps */
	TimestampTz round_started_at;
	int64 own_tokens;
	double rates; /* the sum of the learning rates of its steps */
	TimestampTz step_at; /* when this server's step began */
	int64 step_waited; /* own_waited then */
	int64 longest_step; /* microseconds, of those that this server has made; 0: none */
	int64 step_tokens; /* that a step of one server has at most */
	int64 supplied_step; /* of the checkpoint that goes to members ... */
	uint32 supplied_crc; /* ... and of its weights */

	/* Of members that keep their state at the beginning of each round (members_return.c): */
	bool keeps;
	int64 saved_step; /* of the job's checkpoint; negative: there is none */
	uint32 round_crc; /* of the common weights at the beginning of the round */

	/* Of outer steps: [total] floats. */
	LmEngine *engine;
	size_t total;
	float *common;
	float *sum;
	float *outer; /* momentum, what packing left of the update, and of the own difference */
	uint8 *packed; /* own difference, then the update */
	size_t difference_size;
	size_t update_size;
};

/* ---- src/train/members_loss.c ----------------------------------------------------- */

/* Closes the connections of a member; an error by option "on_loss". */
extern void gpt_members_lose(GptMembers *members, GptMember *member, const char *why);

/*
 * The training fails because of this member, by an error that the caller raises next: its row keeps
 * why. Nothing happens inside a transaction.
 */
extern void gpt_members_blame(GptMembers *members, GptMember *member, const char *why);

/* Whether the training goes on without those that are lost: not at its beginning, without a rest.
 */
extern bool gpt_members_may_lack(const GptMembers *members, const GptTrainState *state);

/* Whether an error means that a server is lost, and nothing is wrong with the training. */
extern bool gpt_members_is_loss(int sqlstate);

/* Writes the rows that have changed, about once a second or now. */
extern void gpt_members_record(GptMembers *members, bool now);

/* The SQLSTATE of a result that is an error; 0: it is none. */
extern int gpt_members_sqlstate(const PGresult *result);

/* ---- src/train/members_answer.c --------------------------------------------------- */

/*
 * The answer of a member, an object, or an error. _number: a number in it, an error unless it is
 * one from 0 to most; "object.name" is one level below. _text: a text of less than size bytes.
 * _raise: the error for what it should not say.
 */
extern const GptJson *gpt_members_answer(const GptMember *member);
extern int64 gpt_members_number(const GptMember *member, const char *name, int64 most);
extern void gpt_members_text(char *to, size_t size, const GptMember *member, const char *name);
pg_noreturn extern void gpt_members_raise_answer(const GptMember *member, const char *detail);

/* ---- src/train/members_spec.c ----------------------------------------------------- */

/* The argument of gpt_member_begin. */
extern char *gpt_members_spec(const GptMembers *members, const GptMember *member);

/* ---- src/train/members_call.c ----------------------------------------------------- */

/*
 * Calls a server that is away, where it is time to; never waits. True if it is a member from now
 * on, which is so some calls later. _look_at_call: what has become of a call meanwhile.
 */
extern bool gpt_members_call(GptMembers *members, GptMember *member);
extern void gpt_members_look_at_call(GptMembers *members, GptMember *member);

/* ---- src/train/members_check.c ---------------------------------------------------- */

/* This server begins a step, has made one. */
extern void gpt_members_begin_step(GptMembers *members);
extern void gpt_members_note_step(GptMembers *members);

/*
 * Whether a member that is asked takes longer than it may: is silent, makes no step (on its own
 * time a step may take 100 times as long as on this server's), or does not come to an end; then why
 * [size] says so. Raises nothing.
 */
extern bool gpt_members_is_late(const GptMembers *members, const GptMember *member, TimestampTz now,
								char *why, size_t size);

/* NULL where the server of a member lives, or why it is lost. Never waits. */
extern const char *gpt_members_heart(GptMember *member);

/* What a notice of a member does; its context is the member. Called inside libpq. */
extern void gpt_members_on_notice(void *context, const char *sqlstate, const char *message);

/* The tokens that a member can have learnt from in the round. */
extern int64 gpt_members_most_tokens(const GptMembers *members);

/* Raises an error for a difference that is larger than steps of this training make it. */
extern void gpt_members_check_differences(const GptMembers *members, LmTrainer *trainer);

/* ---- src/train/members_slot.c ----------------------------------------------------- */

/*
 * Called while servers are waited for, and no round goes on: where one has had no free slot for
 * some time, all members leave, and the own slot is lent for a while. Waits until it is back.
 */
extern void gpt_members_lend_slot(GptMembers *members);

/* ---- src/train/members_wait.c ----------------------------------------------------- */

/*
 * Sends a statement "SELECT schema.call" without waiting. A lost member is lost then; a statement
 * that runs already is a fault of the program.
 */
extern void gpt_members_ask(GptMembers *members, GptMember *member, const char *call, int n,
							const GptRemoteValue *values);

/* Looks what has arrived, and who is lost. Never waits. */
extern void gpt_members_look(GptMembers *members);

/*
 * Waits until nobody is asked any more, but for the steps of a round: each is lost, or its result
 * is there and no error. _runs: also of these.
 */
extern void gpt_members_gather(GptMembers *members);
extern void gpt_members_gather_runs(GptMembers *members);

/* Waits for a short time, or until something happens. */
extern void gpt_members_wait(GptMembers *members);

/* ---- src/train/members.c ---------------------------------------------------------- */

/* ---- src/train/members_round.c ---------------------------------------------------- */

/* Asks a member for its steps of the round. */
extern void gpt_members_ask_round(GptMembers *members, GptMember *member);

/* Reads what those who have made their steps answer. */
extern void gpt_members_read_answers(GptMembers *members);

/* ---- src/train/members_return.c --------------------------------------------------- */

/*
 * Those who were lost in a round and have kept its beginning come back and make it again, if their
 * difference is missing. crc: that of the weights after the round, once its update is made: then
 * all come back that do not have it. False: servers are lost still. Never waits for long.
 */
extern bool gpt_members_bring_back(GptMembers *members, const uint32 *crc);

/* The same, until nobody is missing. */
extern void gpt_members_finish_runs(GptMembers *members);
extern void gpt_members_finish_round(GptMembers *members, uint32 crc);

/* Whether all servers are there and have the weights. */
extern bool gpt_members_are_complete(const GptMembers *members);

/* ---- src/train/members_step.c ----------------------------------------------------- */

/* Steps of all: as the functions of members.h. */
extern bool gpt_members_begin_steps(GptMembers *members, const GptTrainState *state,
									LmTrainer *trainer);
extern void gpt_members_end_steps(GptMembers *members, const GptTrainState *state,
								  LmTrainer *trainer, bool last);
extern void gpt_members_close_mesh(GptMembers *members);

/* ---- src/train/members_base.c ------------------------------------------------------ */

/*
 * Sets the base that members must have: that of an adapter, or of a fine-tune on rows of their own.
 */
extern void gpt_members_find_base(GptMembers *members, const GptTrainBase *base);

/* Writes it into the argument of gpt_member_begin. */
extern void gpt_members_put_base(GptJsonWriter *spec, const GptMembers *members);

/* ---- src/train/members_parts.c ---------------------------------------------------- */

/* Sends a file of the run to all members that lack it, who then use it. */
extern void gpt_members_send_file(GptMembers *members, const char *part, const char *extension);

/* Sends the tokens, or what is needed to encode rows of their own, to those without. */
extern void gpt_members_supply_data(GptMembers *members);

/* Sends a tokenizer to all members without a token file, who use it; options: JSON, or NULL. */
extern void gpt_members_send_tokenizer(GptMembers *members, LmBytes tokenizer, const char *options);

/* ---- src/train/members_place.c ----------------------------------------------------- */

/* Raises an error if the member, by its answer to gpt_member_begin, is this one or another one. */
extern void gpt_members_check_place(const GptMembers *members, GptMember *member,
									const PGresult *result);

/* ---- src/train/members_report.c --------------------------------------------------- */

/* The rows of each server, of which the first survey is this one's. */
extern void gpt_members_report(const GptMembers *members, GptSurvey *const *surveys);

/* ---- src/train/members_rows.c ----------------------------------------------------- */

/* The tokenizer.json of a tokenizer. */
extern LmBytes gpt_members_tokenizer(LmTokenizer *tokenizer);

/* Keeps what members need to encode their own rows as the corpus is; sends it to those without. */
extern void gpt_members_keep_agreement(GptMembers *members, GptCorpus *corpus);
extern void gpt_members_supply_rows(GptMembers *members);

/* ---- src/train/members_parts.c again ---------------------------------------------- */

/* Fetches the packed differences of all that ran and whose are not here yet. */
extern void gpt_members_fetch(GptMembers *members);

/* Sends the packed update to all that ran and lack it, who then have weights of this CRC. */
extern void gpt_members_send_update(GptMembers *members, uint32 crc);

/*
 * All that have tokens and no state, but had one before, take what they have kept of that step,
 * with parameters of that CRC, if they have.
 */
extern void gpt_members_take_kept(GptMembers *members, int64 step, uint32 crc);

#endif /* GPT_MEMBERS_PRIVATE_H */
