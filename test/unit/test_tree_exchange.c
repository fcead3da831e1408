/*
 * test/unit/test_tree_exchange.c
 *
 * Members that are threads of this process exchange gradients over a mesh that is made of queues:
 * all have the bits of one that computes alone, and the end of one ends the step of all.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "counting_host.h"
#include "engine/tree_exchange.h"
#include "train_support.h"

#define MOST 4
#define LEAVES 6
#define STEPS 2
#define MOST_TASKS 64
#define MOST_POSTED 512

/* ---- A mesh of queues ---------------------------------------------------- */

typedef struct Message
{
	struct Message *next;
	int from;
	int to;
	uint32_t tag;
	size_t size;
	char data[];
} Message;

typedef struct Posted
{
	int member;
	uint32_t tag;
	void *data;
	size_t size;
} Posted;

/* All meshes of a training share it. */
typedef struct Hub
{
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	Message *messages; /* in the order in which they were sent */
	bool failed;
	int members;
} Hub;

struct LmMesh
{
	Hub *hub;
	int member;
	pthread_t thread;
	LmMeshTask tasks[MOST_TASKS]; /* those submitted, of which n_done are done */
	void *contexts[MOST_TASKS];
	int n_tasks;
	int n_done;
	bool closing;
	int event;
	Posted posted[MOST_POSTED]; /* receives; the task's alone */
	int n_posted;
	uint64_t sent; /* bytes */
};

static const LmCollective queues;

static void *
run_tasks(void *argument)
{
	LmMesh *mesh = argument;
	Hub *hub = mesh->hub;
	uint64_t one = 1;

	pthread_mutex_lock(&hub->mutex);
	while (!mesh->closing)
	{
		int i = mesh->n_done;
		LmMeshError error;
		bool done;

		if (i == mesh->n_tasks || hub->failed)
		{
			mesh->n_done = mesh->n_tasks;
			if (write(mesh->event, &one, sizeof one) < 0)
				abort();
			pthread_cond_wait(&hub->changed, &hub->mutex);
			continue;
		}
		pthread_mutex_unlock(&hub->mutex);
		mesh->n_posted = 0;
		done = mesh->tasks[i % MOST_TASKS](&queues, mesh, mesh->contexts[i % MOST_TASKS], &error);
		pthread_mutex_lock(&hub->mutex);
		hub->failed |= !done;
		mesh->n_done = i + 1;
		pthread_cond_broadcast(&hub->changed);
	}
	pthread_mutex_unlock(&hub->mutex);
	return NULL;
}

static bool
queue_submit(LmMesh *mesh, LmMeshTask task, void *context)
{
	uint64_t count;
	bool fits;

	pthread_mutex_lock(&mesh->hub->mutex);
	fits = mesh->n_tasks - mesh->n_done < MOST_TASKS;
	if (fits && !mesh->hub->failed)
	{
		if (mesh->n_tasks == mesh->n_done && read(mesh->event, &count, sizeof count) < 0)
			count = 0;
		mesh->tasks[mesh->n_tasks % MOST_TASKS] = task;
		mesh->contexts[mesh->n_tasks++ % MOST_TASKS] = context;
		pthread_cond_broadcast(&mesh->hub->changed);
	}
	pthread_mutex_unlock(&mesh->hub->mutex);
	return fits;
}

static LmMeshState
queue_state(LmMesh *mesh, LmMeshError *error)
{
	LmMeshState state;

	pthread_mutex_lock(&mesh->hub->mutex);
	state = mesh->n_done < mesh->n_tasks ? LM_MESH_BUSY
			: mesh->hub->failed			 ? LM_MESH_FAILED
										 : LM_MESH_IDLE;
	pthread_mutex_unlock(&mesh->hub->mutex);
	if (error && state == LM_MESH_FAILED)
		*error = (LmMeshError){.member = 1, .message = "the connection to member 1 was closed"};
	return state;
}

static int
queue_event_file(const LmMesh *mesh)
{
	return mesh->event;
}

static void
queue_abort(LmMesh *mesh)
{
	pthread_mutex_lock(&mesh->hub->mutex);
	mesh->hub->failed = true;
	pthread_cond_broadcast(&mesh->hub->changed);
	pthread_mutex_unlock(&mesh->hub->mutex);
}

static bool
queue_send(LmMesh *mesh, int member, uint32_t tag, const void *data, size_t size,
		   LmMeshError *error)
{
	Message *message = malloc(sizeof *message + size), **end;

	*message = (Message){.from = mesh->member, .to = member, .tag = tag, .size = size};
	memcpy(message->data, data, size);
	pthread_mutex_lock(&mesh->hub->mutex);
	for (end = &mesh->hub->messages; *end; end = &(*end)->next)
		;
	*end = message;
	mesh->sent += size;
	pthread_cond_broadcast(&mesh->hub->changed);
	pthread_mutex_unlock(&mesh->hub->mutex);
	return true;
}

static bool
queue_receive(LmMesh *mesh, int member, uint32_t tag, void *data, size_t size, LmMeshError *error)
{
	if (mesh->n_posted == MOST_POSTED)
		return false;
	mesh->posted[mesh->n_posted++] = (Posted){member, tag, data, size};
	return true;
}

/* The next message of a member to another; false where the mesh has failed, or it is another. */
static bool
take(LmMesh *mesh, const Posted *posted)
{
	Message **at, *message;
	bool right;

	for (;;)
	{
		for (at = &mesh->hub->messages; *at; at = &(*at)->next)
			if ((*at)->from == posted->member && (*at)->to == mesh->member)
				break;
		if (*at || mesh->hub->failed)
			break;
		pthread_cond_wait(&mesh->hub->changed, &mesh->hub->mutex);
	}
	message = *at;
	if (!message)
		return false;
	*at = message->next;
	right = message->tag == posted->tag && message->size == posted->size;
	if (right)
		memcpy(posted->data, message->data, posted->size);
	else
		printf("# message %u of %zu bytes, wanted %u of %zu\n", message->tag, message->size,
			   posted->tag, posted->size);
	free(message);
	return right;
}

static bool
queue_wait(LmMesh *mesh, LmMeshError *error)
{
	bool done = true;

	pthread_mutex_lock(&mesh->hub->mutex);
	for (int i = 0; done && i < mesh->n_posted; i++)
		done = take(mesh, &mesh->posted[i]);
	pthread_mutex_unlock(&mesh->hub->mutex);
	mesh->n_posted = 0;
	if (!done)
		*error = (LmMeshError){.member = 1, .message = "the connection to member 1 was closed"};
	return done;
}

static const LmCollective queues = {
	.version = LM_COLLECTIVE_VERSION,
	.submit = queue_submit,
	.state = queue_state,
	.event_file = queue_event_file,
	.abort = queue_abort,
	.send = queue_send,
	.receive = queue_receive,
	.wait = queue_wait,
};

static void
open_mesh(LmMesh *mesh, Hub *hub, int member)
{
	*mesh = (LmMesh){.hub = hub, .member = member, .event = eventfd(0, EFD_NONBLOCK)};
	if (pthread_create(&mesh->thread, NULL, run_tasks, mesh) != 0)
		abort();
}

static void
close_mesh(LmMesh *mesh)
{
	pthread_mutex_lock(&mesh->hub->mutex);
	mesh->closing = true;
	pthread_cond_broadcast(&mesh->hub->changed);
	pthread_mutex_unlock(&mesh->hub->mutex);
	pthread_join(mesh->thread, NULL);
	close(mesh->event);
}

/* ---- Members ------------------------------------------------------------- */

typedef struct Training
{
	LmConfig config;
	int n_leaves;
	bool dealt;
	bool bfloat16;
	int stopped; /* this member is stopped in its first step; -1: none */
} Training;

typedef struct Member
{
	const Training *training;
	Hub *hub;
	int member;
	int members;
	pthread_t thread;
	float *params; /* after the steps */
	size_t bytes; /* of them */
	LmStepResult result;
	uint64_t sent;
	LmErrorCode code; /* of the step that failed */
	bool unchanged; /* parameters are those before it */
	bool exact; /* the exchange has the memory that is announced */
} Member;

static void
fill(LmBatch *batches, const Training *training, const LmHost *host)
{
	uint64_t state = 8;

	for (int i = 0; i < training->n_leaves; i++)
	{
		batches[i] = create_batch(host, 24);
		for (int j = 0; j < 2; j++)
			append_sequence(&batches[i], 12, training->config.vocabulary, true, 2 * i + j, &state);
	}
}

static LmTreeExchange *
create_exchange(Member *member, LmTrainer *trainer, LmMesh *mesh, const CountingHost *state)
{
	LmTreeMeeting meeting = {&queues,
							 mesh,
							 member->member,
							 member->members,
							 member->training->n_leaves,
							 member->training->bfloat16};
	size_t before = state->live, announced = 0;
	LmTreeExchange *exchange;
	LmError error;

	exchange = lm_tree_exchange_create(trainer, &meeting, &error);
	lm_tree_exchange_memory(&announced, &meeting, &member->training->config, &error);
	member->exact = exchange && announced == state->live - before;
	return exchange;
}

static void
make_steps(Member *member, LmTrainer *trainer, LmTreeExchange *exchange, CountingHost *state,
		   const LmBatch *batches)
{
	const Training *training = member->training;
	LmTreeNode own = lm_tree_share(training->n_leaves, member->member, member->members);
	LmTreeStep tree = {training->n_leaves, own, batches + (training->dealt ? 0 : own.first),
					   training->dealt,	   0,	exchange ? lm_tree_exchange_hooks(exchange) : NULL};
	LmError error = {0};

	memcpy(member->params, lm_trainer_params(trainer), member->bytes);
	if (member->member == training->stopped)
		state->questions = 3;
	for (int step = 0; step < STEPS; step++)
		if (!lm_trainer_step_tree(&member->result, trainer, step, &tree, &error))
			break;
	member->code = error.code;
	member->unchanged = memcmp(member->params, lm_trainer_params(trainer), member->bytes) == 0;
	memcpy(member->params, lm_trainer_params(trainer), member->bytes);
}

static void *
run_member(void *argument)
{
	Member *member = argument;
	LmTrainOptions options = small_options(24);
	LmBatch batches[LEAVES];
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 1);
	LmTreeExchange *exchange = NULL;
	LmTrainer *trainer;
	LmMesh mesh;

	options.tree_leaves = member->training->n_leaves;
	trainer = create_trainer(engine, &member->training->config, &options);
	member->bytes = lm_trainer_table(trainer)->total * sizeof(float);
	member->params = malloc(member->bytes);
	fill(batches, member->training, &host);
	if (member->members > 1)
	{
		open_mesh(&mesh, member->hub, member->member);
		exchange = create_exchange(member, trainer, &mesh, &state);
	}
	make_steps(member, trainer, exchange, &state, batches);
	lm_tree_exchange_free(exchange);
	if (member->members > 1)
	{
		/* The end of a member's connection. */
		if (member->code != LM_OK)
			queue_abort(&mesh);
		close_mesh(&mesh);
		member->sent = mesh.sent;
	}
	for (int i = 0; i < member->training->n_leaves; i++)
		lm_batch_free(&batches[i], &host);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return NULL;
}

static void
run(Member *members, const Training *training, int n)
{
	Hub hub = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .members = n};

	for (int k = 0; k < n; k++)
	{
		members[k] = (Member){.training = training, .hub = &hub, .member = k, .members = n};
		if (pthread_create(&members[k].thread, NULL, run_member, &members[k]) != 0)
			abort();
	}
	for (int k = 0; k < n; k++)
		pthread_join(members[k].thread, NULL);
	for (Message *message = hub.messages, *next; message; message = next)
	{
		next = message->next;
		free(message);
	}
}

static void
free_members(Member *members, int n)
{
	for (int k = 0; k < n; k++)
		free(members[k].params);
}

static bool
agree(const Member *a, const Member *b)
{
	return memcmp(a->params, b->params, a->bytes) == 0 && a->result.loss == b->result.loss &&
		   a->result.grad_norm == b->result.grad_norm && a->result.tokens == b->result.tokens;
}

static void
test_same_bits(const char *name, LmConfig config, int n_leaves, int most)
{
	Training training = {config, n_leaves, true, false, -1};
	Member alone[1], members[MOST];
	bool same = true, exact = true;

	run(alone, &training, 1);
	for (int n = 2; n <= most; n++)
	{
		training.dealt = n != 3;
		run(members, &training, n);
		for (int k = 0; k < n; k++)
		{
			same &= members[k].code == LM_OK && agree(&alone[0], &members[k]);
			exact &= members[k].exact;
		}
		if (n == 2)
		{
			double shares = (double) members[0].sent / STEPS / (double) members[0].bytes;

			printf("# member 0 of 2 sends %.3f times the parameters a step\n", shares);
		}
		free_members(members, n);
	}
	ok(same, "%s: all of 2 to %d members have the bits of one alone, loss %.4f", name, most,
	   alone[0].result.loss);
	ok(exact, "%s: an exchange takes exactly the memory that is announced", name);
	free_members(alone, 1);
}

static void
test_bfloat16(void)
{
	Training training = {small_config(), LEAVES, true, true, -1};
	Member alone[1], members[3];
	double worst = 0;

	run(alone, &training, 1);
	run(members, &training, 3);
	ok(agree(&members[0], &members[1]) && agree(&members[0], &members[2]),
	   "with a wire of bfloat16 members have the same bits");
	for (size_t i = 0; i < alone[0].bytes / sizeof(float); i++)
		worst = fmax(worst, fabs((double) alone[0].params[i] - members[0].params[i]));
	ok(worst > 0 && fabs(alone[0].result.grad_norm / members[0].result.grad_norm - 1) < 0.01,
	   "its gradient is rounded");
	free_members(alone, 1);
	free_members(members, 3);
}

static void
test_stop(void)
{
	Training training = {small_config(), LEAVES, false, false, 1};
	Member members[3];

	run(members, &training, 3);
	ok(members[1].code == LM_ERR_STOPPED && members[1].unchanged,
	   "a member that is stopped leaves its step");
	ok(members[0].code == LM_ERR_LIBRARY && members[0].unchanged &&
		   members[2].code == LM_ERR_LIBRARY && members[2].unchanged,
	   "the others' step fails with it, and changes nothing");
	free_members(members, 3);
}

static void
test_meetings(void)
{
	LmTreeMeeting meeting = {&queues, NULL, 2, 2, 4, false};
	LmConfig config = small_config();
	LmError error = {0};
	size_t bytes;

	ok(!lm_tree_exchange_memory(&bytes, &meeting, &config, &error) && error.code == LM_ERR_ARGUMENT,
	   "a member that is none is refused: %s", error.message);
	meeting = (LmTreeMeeting){&queues, NULL, 0, 5, 4, false};
	ok(!lm_tree_exchange_memory(&bytes, &meeting, &config, &error) && error.code == LM_ERR_ARGUMENT,
	   "fewer micro-batches than members are refused: %s", error.message);
}

int
main(void)
{
	LmConfig config = small_config(), wide = small_config();

	config.dropout = 0.1f;
	/* More than a chunk, and not a multiple of slices. */
	wide.vocabulary = 66001;
	wide.layers = 1;
	test_same_bits("small", config, LEAVES, 4);
	test_same_bits("wide", wide, 3, 2);
	test_bfloat16();
	test_stop();
	test_meetings();
	return done_testing();
}
