/*
 * src/train/members.c
 *
 * The servers that option "servers" names go in; connections to members come out, are lost and come
 * back.
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_tree.h"
#include "core/json_writer.h"
#include "core/settings.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "core/version.h"
#include "engine/outer.h"
#include "store/run_files.h"
#include "train/members_private.h"
#include "train/membership.h"

#define RUN_STEPS 50 /* of all members, before they answer */
#define MOST_RATE_FACTOR 2.0 /* of learning rates: no more was measured */
#define LEAVES 4 /* micro-batches of a step, where options leave it open */
#define TRY_FACTOR 20 /* so much longer than a try lasts it is until the next */
#define TRY_MS 500 /* between two tries to reach a server */
#define MOST_TRY_MS 30000 /* the same, where a try lasts long */

/* The argument of a try to reach a server. */
typedef struct Joining
{
	GptMembers *members;
	GptMember *member;
} Joining;

static void name_members(GptMembers *members, const char *servers);
static void begin_rows(GptMembers *members);
static bool join(GptMembers *members, GptMember *member);
static char *why_of(const ErrorData *error);
static void connect_member(void *argument);
static char *spec_of(const GptMembers *members, const GptMember *member);
static bool is_failure(const ErrorData *error);
static void close_member(GptMember *member);
static void on_notice(void *context, const char *sqlstate, const char *message);

GptMembers *
gpt_members_create(const GptJob *job, const GptTrainOptions *options, const GptTrainBase *base,
				   bool continued, GptProgress *progress)
{
	GptMembers *members;

	if (options->servers == NULL)
		return NULL;
	members = palloc0(sizeof(GptMembers));
	members->job = job;
	members->progress = progress;
	members->scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt members", ALLOCSET_DEFAULT_SIZES);
	members->rows = 1;
	members->is_local = options->data == GPT_DATA_LOCAL;
	members->options = unconstify(GptTrainOptions *, options);
	members->word_floor = options->word_floor;
	members->on_loss = options->on_loss;
	members->by_step = options->sync == 0;
	members->sync = members->by_step ? RUN_STEPS : options->sync;
	members->bfloat16 = options->gradient_type == GPT_GRADIENT_BFLOAT16;
	if (members->by_step)
	{
		gpt_mesh_check();
		if (!pg_strong_random(members->secret, sizeof(members->secret)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random numbers")));
	}
	members->is_new = !continued;
	gpt_members_find_base(members, base);
	members->is_continued = continued;
	members->keeps = !members->by_step && members->on_loss == GPT_ON_LOSS_WAIT;
	members->saved_step = -1;
	name_members(members, options->servers);
	begin_rows(members);
	gpt_progress_phase(progress, "connecting");
	for (int i = 0; i < members->n; i++)
		(void) join(members, &members->members[i]);
	gpt_members_record(members, true);
	return members;
}

/* Names were checked with the options: they are a JSON array of texts. */
static void
name_members(GptMembers *members, const char *servers)
{
	const GptJson *array =
		gpt_json_parse(servers, strlen(servers), GPT_MOST_MEMBERS + 1, "option \"servers\"");
	int i = 0;

	members->n = array->count;
	members->members = palloc0(array->count * sizeof(GptMember));
	for (const GptJson *name = array->first; name != NULL; name = name->next, i++)
	{
		GptMember *member = &members->members[i];

		member->row = (GptJobServer){.member = i + 1,
									 .server = gpt_json_string(name),
									 .state = GPT_SERVER_JOINING,
									 .steps_per_second = get_float8_nan(),
									 .waiting_share = get_float8_nan()};
		member->context = AllocSetContextCreate(CurrentMemoryContext, "gpt member connections",
												ALLOCSET_SMALL_SIZES);
		member->row_changed = true;
	}
	members->own.row = (GptJobServer){.state = GPT_SERVER_TRAINING,
									  .steps_per_second = get_float8_nan(),
									  .waiting_share = get_float8_nan()};
	members->own.row_changed = true;
}

static void
begin_rows(GptMembers *members)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	members->epoch = gpt_job_server_epoch(members->job->number);
	gpt_job_server_remove(members->job->number, members->n + 1);
	gpt_transaction_commit(&transaction);
	gpt_members_record(members, true);
}

int
gpt_members_count(const GptMembers *members)
{
	return members->n + 1;
}

void
gpt_members_tell_plan(const GptMembers *members, GptTrainOptions *options)
{
	options->n_servers = gpt_members_count(members);
	options->all_rows = members->rows;
}

/*
 * A step whose size does not depend on that of the gradient goes as much farther along what batches
 * have in common as they are less noisy: by the root of their size. The batch of n members is n
 * times as large, so the rate of a new model is that much higher. A head has a rate of its own.
 * Measured in docs/benchmarks.md.
 */
static void
raise_rates(const GptMembers *members, GptTrainPlan *plan)
{
	double factor = Min(sqrt(gpt_members_count(members)), MOST_RATE_FACTOR);

	if (!members->options->head_rate_is_open || members->options->is_finetune)
		return;
	plan->training.learning_rate *= factor;
	plan->training.head_rate /= factor;
	if (isnan(members->options->min_learning_rate))
		plan->training.min_learning_rate *= factor;
}

void
gpt_members_plan(const GptMembers *members, GptTrainPlan *plan)
{
	size_t floats = members->by_step ? 0 : 5 * plan->parameters * sizeof(float);
	size_t packed = lm_outer_size(plan->parameters, GPT_UPDATE_BITS) * (size_t) (members->n + 2);

	if (members->by_step)
		return;
	raise_rates(members, plan);
	plan->validation_interval =
		(plan->validation_interval + members->sync - 1) / members->sync * members->sync;
	plan->memory += floats + packed;
	gpt_bridge_check_memory(plan->memory);
}

void
gpt_members_choose_leaves(const GptMembers *members, GptTrainOptions *options)
{
	int count = members == NULL ? 1 : gpt_members_count(members);

	if (options->accumulate == GPT_CHOSEN)
		options->accumulate = Max(LEAVES, count);
	if (options->accumulate < count)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"accumulate\" must be at least the number of servers, %d, "
							   "not " INT64_FORMAT,
							   count, options->accumulate)));
}

void
gpt_members_plan_leaves(GptTrainPlan *plan)
{
	size_t before;
	size_t after;
	LmError error;

	if (!lm_trainer_memory(&before, &plan->config, &plan->training, plan->n_threads, &error))
		gpt_bridge_raise(&error);
	plan->training.tree_leaves = plan->accumulate;
	if (!lm_trainer_memory(&after, &plan->config, &plan->training, plan->n_threads, &error))
		gpt_bridge_raise(&error);
	plan->memory += after - before;
	gpt_bridge_check_memory(plan->memory);
}

void
gpt_members_deal(GptMembers *members, GptCorpus *corpus)
{
	members->corpus = corpus;
	if (members->is_local)
		gpt_members_keep_agreement(members, corpus);
	if (members->is_local || members->by_step)
		return;
	corpus->dataset.shares = (uint64) gpt_members_count(members);
	corpus->dataset.share = 0;
}

/* ---- Joining and leaving --------------------------------------------------------- */

void
gpt_members_await(GptMembers *members)
{
	const GptTrainState beginning = {0};

	(void) gpt_members_join(members, &beginning);
	members->has_joined = false;
}

bool
gpt_members_join(GptMembers *members, const GptTrainState *state)
{
	const char *phase = members->progress->phase;
	bool needed = false;
	bool all;

	if (members->in_round)
		return false;
	for (;;)
	{
		all = true;
		gpt_members_look(members);
		for (int i = 0; i < members->n; i++)
		{
			(void) gpt_members_call(members, &members->members[i]);
			all = all && members->members[i].work != NULL;
		}
		if (all || gpt_members_may_lack(members, state))
			break;
		if (strcmp(members->progress->phase, "waiting for servers") != 0)
			gpt_progress_phase(members->progress, "waiting for servers");
		gpt_members_wait(members);
	}
	members->has_joined = true;
	if (strcmp(members->progress->phase, phase) != 0)
		gpt_progress_phase(members->progress, phase);
	for (int i = 0; i < members->n; i++)
		needed = needed || (members->members[i].work != NULL && !members->members[i].has_state);
	return needed;
}

bool
gpt_members_call(GptMembers *members, GptMember *member)
{
	return member->work == NULL && GetCurrentTimestamp() >= member->try_at && join(members, member);
}

void
gpt_members_supply(GptMembers *members)
{
	gpt_members_supply_data(members);
	gpt_members_send_file(members, "checkpoint", GPT_CHECKPOINT);
}

/* True if it is a member now. */
static bool
join(GptMembers *members, GptMember *member)
{
	Joining joining = {members, member};
	TimestampTz started_at = GetCurrentTimestamp();
	TimestampTz took;
	ErrorData *error;

	error = gpt_transaction_attempt(GPT_COMMIT_ASYNC, 0, connect_member, &joining, is_failure);
	if (error == NULL)
	{
		member->row.state = GPT_SERVER_TRAINING;
		member->row.seen_at = member->heard_at = GetCurrentTimestamp();
		member->row_changed = members->has_changed = true;
		ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt trains on server \"%s\" too",
							 members->job->number, member->row.server)));
		return true;
	}
	/* Where the others do not wait, tries take little of their time. */
	took = GetCurrentTimestamp() - started_at;
	if (members->on_loss == GPT_ON_LOSS_CONTINUE)
		took = Min(took * TRY_FACTOR, Max(took, MOST_TRY_MS * 1000));
	member->try_at = GetCurrentTimestamp() + Max(took, TRY_MS * 1000);
	if (!gpt_members_is_loss(error->sqlerrcode) ||
		(members->is_new && ERRCODE_TO_CATEGORY(error->sqlerrcode) !=
								ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES)))
	{
		member->row.state = GPT_SERVER_LOST;
		gpt_members_blame(members, member, why_of(error));
		ReThrowError(error);
	}
	gpt_members_lose(members, member, why_of(error));
	FreeErrorData(error);
	return false;
}

static char *
why_of(const ErrorData *error)
{
	if (error->detail == NULL)
		return error->message;
	return psprintf("%s: %s", error->message, error->detail);
}

/* Inside a transaction. */
static void
connect_member(void *argument)
{
	Joining *joining = argument;
	GptMember *member = joining->member;
	MemoryContext old_context = MemoryContextSwitchTo(member->context);
	GptRemoteValue spec = {.bytes = NULL};
	GptRemote *work;

	MemoryContextReset(member->context);
	spec.bytes = spec_of(joining->members, member);
	work = gpt_remote_connect(member->row.server);
	member->heart = gpt_remote_connect(member->row.server);
	MemoryContextSwitchTo(old_context);
	/* Rows of its own take their time, which nobody knows. */
	if (!joining->members->is_local)
		gpt_remote_limit(work, gpt_peer_timeout);
	(void) gpt_remote_query(
		work, psprintf("SELECT %s.gpt_member_begin($1::jsonb)", gpt_remote_schema(work)), 1, &spec);
	gpt_remote_on_notice(work, on_notice, member);
	member->has_tokens = member->has_state = false;
	member->asked = member->ran = false;
	member->beat_at = 0;
	member->work = work;
}

static char *
hex_of(const uint8 *bytes, size_t size)
{
	char *hex = palloc(2 * size + 1);

	hex[hex_encode((const char *) bytes, size, hex)] = '\0';
	return hex;
}

/* The argument of gpt_member_begin. */
static char *
spec_of(const GptMembers *members, const GptMember *member)
{
	GptJsonWriter writer = {NULL};
	Jsonb *spec;

	gpt_json_begin(&writer, NULL);
	gpt_json_put_integer(&writer, "protocol", GPT_MEMBER_PROTOCOL);
	gpt_json_put_text(&writer, "version", GPT_VERSION);
	gpt_json_put_text(
		&writer, "run_id",
		DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&members->job->run_id))));
	gpt_json_put_integer(&writer, "job", members->job->number);
	gpt_json_put_text(&writer, "model", members->job->model);
	gpt_json_put_integer(&writer, "member", member->row.member);
	gpt_json_put_integer(&writer, "members", gpt_members_count(members));
	if (members->by_step)
		gpt_json_put_text(&writer, "secret", hex_of(members->secret, sizeof(members->secret)));
	gpt_members_put_base(&writer, members);
	gpt_json_put_text(&writer, "data",
					  gpt_data_name(members->is_local ? GPT_DATA_LOCAL : GPT_DATA_DEALT));
	gpt_json_put_boolean(&writer, "keep", members->keeps);
	if (members->is_local)
	{
		gpt_json_put_text(&writer, "query", members->job->query);
		gpt_json_put_value(&writer, "options", members->job->options);
		gpt_json_put_value(&writer, "settings", members->job->settings);
	}
	spec = gpt_json_finish(&writer);
	return JsonbToCString(NULL, &spec->root, VARSIZE(spec));
}

/* A cancellation of this job is none. */
static bool
is_failure(const ErrorData *error)
{
	return !gpt_stop_is_cancelled() && !gpt_stop_is_terminated();
}

/* Called inside libpq. The notice of a member that computes: gpt progress {"step": 12}. */
static void
on_notice(void *context, const char *sqlstate, const char *message)
{
	static const char beginning[] = "gpt progress {\"step\": ";
	GptMember *member = context;

	member->heard_at = GetCurrentTimestamp();
	if (strncmp(message, beginning, sizeof(beginning) - 1) == 0)
		member->row.step = Max(0, strtoi64(message + sizeof(beginning) - 1, NULL, 10));
}

void
gpt_members_end(GptMembers *members)
{
	members->is_ending = true;
	gpt_members_close_mesh(members);
	gpt_members_gather_runs(members);
	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].work != NULL)
			gpt_members_ask(members, &members->members[i], "gpt_member_end()", 0, NULL);
	}
	gpt_members_gather(members);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL)
			member->row.state = GPT_SERVER_ENDED;
		if (!members->keeps)
			close_member(member);
		member->row_changed = true;
	}
	members->own.row.state = GPT_SERVER_ENDED;
	members->own.row_changed = true;
	gpt_members_record(members, true);
}

/* Nobody waits for them: what a server does not remove now, it removes when it is old. */
void
gpt_members_forget(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && !member->asked)
			(void) gpt_remote_send(
				member->work,
				psprintf("SELECT %s.gpt_member_end()", gpt_remote_schema(member->work)), 0, NULL,
				false);
		close_member(member);
	}
}

static void
close_member(GptMember *member)
{
	member->work = member->heart = NULL;
	MemoryContextReset(member->context);
}
