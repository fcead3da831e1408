/*
 * src/train/members_step.c
 *
 * Steps of all members: an epoch of membership goes in, a mesh between all of them and runs of
 * steps come out. The members run on their own; this process makes the same steps in its own
 * training, and looks after the connections while the engine waits for the others.
 */
#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_writer.h"
#include "core/settings.h"
#include "train/members_private.h"

#define WATCH_MS 20
#define MOST_FAILURES 5 /* of a step, where nobody is lost */
#define MOST_MS ((int64) 1000 * 60 * 60 * 24 * 365)

static bool meet(GptMembers *members, LmTrainer *trainer);
static void take_addresses(GptMembers *members);
static void connect_own(GptMembers *members, LmTrainer *trainer);
static void ask_runs(GptMembers *members, double share);
static void watch(void *context);
static void compare(GptMembers *members, const GptTrainState *state, LmTrainer *trainer);
static void note_own(GptMembers *members, const GptTrainState *state);

bool
gpt_members_begin_steps(GptMembers *members, const GptTrainState *state, LmTrainer *trainer)
{
	/* Where time ends the training, this process says when: it closes the mesh. */
	int64 left = members->total_time > 0 ? members->sync : members->steps - state->step;
	int64 run = members->sync - state->step % members->sync;

	if (members->has_changed)
		gpt_members_close_mesh(members);
	if (members->mesh == NULL && !meet(members, trainer))
		return false;
	members->is_new = false;
	members->in_round = true;
	members->round_begin = state->step;
	members->round_end = state->step + Max(1, Min(run, left));
	members->round_started_at = GetCurrentTimestamp();
	ask_runs(members, lm_trainer_options(trainer)->share);
	return true;
}

/* Everybody opens a mesh, and learns the addresses of all. False where a member was lost. */
static bool
meet(GptMembers *members, LmTrainer *trainer)
{
	MemoryContext old_context = MemoryContextSwitchTo(GetMemoryChunkContext(members));
	char epoch[32];
	GptRemoteValue value = {.bytes = epoch};
	int present = 0;

	members->epoch++;
	members->has_changed = false;
	snprintf(epoch, sizeof(epoch), "%d", members->epoch);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work == NULL)
			continue;
		present++;
		gpt_members_ask(members, member, "gpt_member_mesh($1::integer)", 1, &value);
	}
	if (present > 0)
		members->mesh = gpt_gradient_mesh_open();
	members->own_waited = 0;
	MemoryContextSwitchTo(old_context);
	gpt_members_gather(members);
	if (members->has_changed)
		return false;
	take_addresses(members);
	if (present > 0)
		connect_own(members, trainer);
	return true;
}

/* Text that the engine's messages may have in them; whether it is an address, the mesh says. */
static bool
take_address(GptMember *member)
{
	int size;

	if (PQntuples(member->result) != 1 || PQnfields(member->result) != 1 ||
		PQfformat(member->result, 0) != 1)
		return false;
	size = PQgetlength(member->result, 0, 0);
	if (size < 1 || size >= LM_MESH_ADDRESS_SIZE)
		return false;
	memcpy(member->address, PQgetvalue(member->result, 0, 0), size);
	member->address[size] = '\0';
	for (int i = 0; i < size; i++)
	{
		if (member->address[i] <= ' ' || member->address[i] > '~')
			return false;
	}
	return true;
}

static void
take_addresses(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && !take_address(member))
			gpt_members_raise_answer(member, "It is no address for gradients.");
	}
}

/* The addresses of all that are there, this server first; returns their number. */
static int
list_addresses(const char **addresses, const GptMembers *members)
{
	int n = 0;

	addresses[n++] = gpt_gradient_mesh_address(members->mesh);
	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].work != NULL)
			addresses[n++] = members->members[i].address;
	}
	return n;
}

/* Numbers all that are there as list_addresses does. */
static void
number_members(GptMembers *members)
{
	int n = 1;

	for (int i = 0; i < members->n; i++)
		members->members[i].in_mesh = members->members[i].work != NULL ? n++ : 0;
}

/* Whose number in the mesh that is: " with server ..." for a message. */
static const char *
with_server(const GptMembers *members, int in_mesh)
{
	for (int i = 0; i < members->n; i++)
	{
		if (in_mesh > 0 && members->members[i].in_mesh == in_mesh)
			return psprintf(" with server \"%s\"", members->members[i].row.server);
	}
	return "";
}

pg_noreturn static void
raise_mesh(const GptMembers *members, const LmMeshError *error)
{
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
					errmsg("could not exchange gradients%s: %s",
						   with_server(members, error->member), error->message)));
}

static void
connect_own(GptMembers *members, LmTrainer *trainer)
{
	const char *addresses[LM_MESH_MAX_MEMBERS];
	GptMeshMembers all = {.member = 0,
						  .addresses = addresses,
						  .secret = members->secret,
						  .epoch = (uint64) members->epoch,
						  .bfloat16 = members->bfloat16};
	LmMeshError error;

	all.n = list_addresses(addresses, members);
	number_members(members);
	if (!gpt_gradient_mesh_connect(&error, members->mesh, &all, trainer,
								   lm_trainer_options(trainer)->tree_leaves, members->memory))
		raise_mesh(members, &error);
	if (members->is_local)
		gpt_gradient_mesh_own_rows(members->mesh, members->plan, members->corpus);
	gpt_bridge_set_watch(watch, members);
}

/* The argument "mesh" of gpt_member_run. */
static char *
mesh_of(const GptMembers *members, int number)
{
	const char *addresses[LM_MESH_MAX_MEMBERS];
	int n = list_addresses(addresses, members);
	GptJsonWriter writer = {NULL};
	Jsonb *mesh;

	gpt_json_begin(&writer, NULL);
	gpt_json_begin_array(&writer, "addresses");
	for (int i = 0; i < n; i++)
		gpt_json_put_text(&writer, NULL, addresses[i]);
	gpt_json_end_array(&writer);
	gpt_json_put_integer(&writer, "member", number);
	gpt_json_put_text(
		&writer, "gradient_type",
		gpt_gradient_type_name(members->bfloat16 ? GPT_GRADIENT_BFLOAT16 : GPT_GRADIENT_FLOAT32));
	mesh = gpt_json_finish(&writer);
	return JsonbToCString(NULL, &mesh->root, VARSIZE(mesh));
}

/*
 * share: of the time that is over; negative: steps decide. In each step the members then take it
 * from this process (engine/gradient_tree.h).
 */
static void
ask_runs(GptMembers *members, double share)
{
	char first[32];
	char steps[32];
	char epoch[32];
	char begun[32];
	GptRemoteValue values[] = {
		{.bytes = first}, {.bytes = steps}, {.bytes = epoch}, {.bytes = NULL}, {.bytes = NULL}};
	int number = 1;

	snprintf(first, sizeof(first), INT64_FORMAT, members->round_begin);
	snprintf(steps, sizeof(steps), INT64_FORMAT, members->round_end - members->round_begin);
	snprintf(epoch, sizeof(epoch), "%d", members->epoch);
	if (members->total_time > 0)
	{
		snprintf(begun, sizeof(begun), "%.9f", Min(1, Max(0, share)));
		values[4].bytes = begun;
	}
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work == NULL)
			continue;
		member->n_vain = 0;
		values[3].bytes = mesh_of(members, number++);
		member->row.epoch = members->epoch;
		member->row_changed = true;
		gpt_members_ask(
			members, member,
			"gpt_member_run($1::bigint, $2::bigint, $3::integer, $4::jsonb, $5::float8)",
			lengthof(values), values);
	}
	members->own.row.epoch = members->epoch;
	members->own.row_changed = true;
}

/* ---- While steps are made ------------------------------------------------------------ */

/* A server that is gone, silent, or at an end. What it answers stays for gpt_members_look. */
static bool
is_gone(const GptMembers *members, GptMember *member, TimestampTz now)
{
	PGresult *result;
	char why[100];
	GptRemoteState state = gpt_remote_poll(member->work, &result);

	if (state == GPT_REMOTE_LOST ||
		(state == GPT_REMOTE_BUSY && gpt_members_is_late(members, member, now, why, sizeof(why))))
		return true;
	/* A session whose call has failed makes no step. */
	if (member->asked && state == GPT_REMOTE_READY && PQresultStatus(result) == PGRES_FATAL_ERROR)
		return true;
	state = gpt_remote_poll(member->heart, &result);
	if (state == GPT_REMOTE_READY &&
		TimestampDifferenceExceeds(member->beat_at, now, GPT_MEMBERS_BEAT_MS))
	{
		member->beat_at = now;
		return !gpt_remote_send(member->heart, "", 0, NULL, false);
	}
	return state == GPT_REMOTE_LOST ||
		   (state == GPT_REMOTE_BUSY &&
			TimestampDifferenceExceeds(member->beat_at, now, GPT_MEMBERS_DEAD_MS));
}

/* In the middle of the engine: nothing is raised; the step fails, and then all is looked at. */
static void
watch(void *context)
{
	GptMembers *members = context;
	TimestampTz now = GetCurrentTimestamp();

	if (members->mesh == NULL || !TimestampDifferenceExceeds(members->watched_at, now, WATCH_MS))
		return;
	members->watched_at = now;
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && is_gone(members, member, now))
			gpt_mesh_collective(members->mesh->mesh)->abort(gpt_mesh_handle(members->mesh->mesh));
	}
}

const LmTreeStep *
gpt_members_tree(const GptMembers *members)
{
	return members->mesh == NULL ? NULL : &members->mesh->step;
}

void
gpt_members_close_mesh(GptMembers *members)
{
	gpt_bridge_set_watch(NULL, NULL);
	gpt_gradient_mesh_close(members->mesh);
	members->mesh = NULL;
}

void
gpt_members_failed_step(GptMembers *members, const GptTrainState *state, LmTrainer *trainer,
						const LmError *error)
{
	MemoryContext old_context = MemoryContextSwitchTo(members->scratch);
	LmMeshError fault;

	if (!gpt_gradient_mesh_failed(members->mesh, &fault))
		strlcpy(fault.message, error->message, sizeof(fault.message));
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt could not make step " INT64_FORMAT
						 " together%s: %s",
						 members->job->number, state->step + 1, with_server(members, fault.member),
						 error->message)));
	/* All others see it, and answer; one that does not has no step to wait for any more. */
	gpt_members_close_mesh(members);
	for (int i = 0; i < members->n; i++)
		members->members[i].step_at = GetCurrentTimestamp();
	gpt_members_gather(members);
	if (!members->has_changed && ++members->failures > MOST_FAILURES)
		raise_mesh(members, &fault);
	compare(members, state, trainer);
	members->has_changed = true;
	members->in_round = false;
	gpt_members_record(members, true);
	MemoryContextSwitchTo(old_context);
}

void
gpt_members_end_steps(GptMembers *members, const GptTrainState *state, LmTrainer *trainer,
					  bool last)
{
	MemoryContext old_context;

	gpt_members_note_step(members);
	members->failures = 0;
	members->own.row.step = state->step;
	members->own.row.seen_at = GetCurrentTimestamp();
	members->own.row_changed = true;
	gpt_members_look(members);
	if (state->step < members->round_end && !last)
		return;
	note_own(members, state);
	/* The others wait in the next step, or in the one that this process has given up. */
	if (state->step < members->round_end)
		gpt_members_close_mesh(members);
	old_context = MemoryContextSwitchTo(members->scratch);
	gpt_members_gather(members);
	compare(members, state, trainer);
	members->in_round = false;
	gpt_members_record(members, false);
	MemoryContextSwitchTo(old_context);
}

/* Those who are at another step get a checkpoint; at the same step all have the same weights. */
static void
compare(GptMembers *members, const GptTrainState *state, LmTrainer *trainer)
{
	uint32 crc = gpt_train_weights_crc(trainer);

	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];
		int64 ms;
		int64 made;

		if (member->work == NULL || member->result == NULL)
			continue;
		made = gpt_members_number(member, "step", PG_INT64_MAX / 2);
		if (made != state->step)
		{
			/* Where this process has given a step up at its deadline, another may have made it. */
			member->row.step = Min(made, state->step);
			member->row_changed = true;
			member->has_state = false;
			members->has_changed = true;
			continue;
		}
		if (gpt_members_number(member, "crc", PG_UINT32_MAX) != (int64) crc)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("server \"%s\" has other weights than this one after step " INT64_FORMAT
							" of the training",
							member->row.server, made)));
		ms = Max(1, gpt_members_number(member, "ms", MOST_MS));
		member->row.step = made;
		member->row.steps_per_second = (double) (made - members->round_begin) * 1000 / (double) ms;
		member->row.waiting_share =
			Min(1, (double) gpt_members_number(member, "waited_ms", MOST_MS) / (double) ms);
		member->row_changed = true;
	}
}

/* The speed of this server, and how long it waited for others. */
static void
note_own(GptMembers *members, const GptTrainState *state)
{
	double ms = (double) Max(1, GetCurrentTimestamp() - members->round_started_at) / 1000;
	int64 waited = members->mesh == NULL ? 0 : gpt_gradient_mesh_waited(members->mesh);

	members->own.row.step = state->step;
	members->own.row.seen_at = GetCurrentTimestamp();
	members->own.row.steps_per_second = (double) (state->step - members->round_begin) * 1000 / ms;
	members->own.row.waiting_share = Min(1, Max(0, (double) (waited - members->own_waited)) / ms);
	members->own_waited = waited;
	members->own.row_changed = true;
}
