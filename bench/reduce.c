/*
 * bench/reduce.c
 *
 * How fast members reduce a gradient over the gradient channel on this machine, beside memcpy and
 * Gloo's own sum. Members are processes on 127.0.0.1, each with one core if PIN is set; all share
 * the machine, so that the numbers are what its processors can do, not its network.
 *
 *   build/bench/reduce [members] [model: XS, S or M] [megabytes of the parameters, 0: the model's]
 *
 * Each line: milliseconds (the best of 7), and gigabytes of the float32 gradient a second.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/tree_exchange.h"
#include "shapes.h"

#define ROUNDS 7
#define MESSAGE ((size_t) 1 << 20)
#define MOST 8

typedef struct Shared
{
	char addresses[MOST][LM_MESH_ADDRESS_SIZE];
	atomic_int arrived;
} Shared;

/* What a task moves. */
typedef struct Load
{
	float *data;
	float *other;
	size_t n;
} Load;

static const LmCollective *gloo;
static Shared *shared;
static int n_members = 2;

static void *
reallocate(void *context, void *pointer, size_t size)
{
	if (size)
		return realloc(pointer, size);
	free(pointer);
	return NULL;
}

static const LmHost host = {.reallocate = reallocate};

static void
fail(const char *message)
{
	fprintf(stderr, "%s\n", message);
	exit(1);
}

/* All members are here. */
static void
meet(int times)
{
	atomic_fetch_add(&shared->arrived, 1);
	while (atomic_load(&shared->arrived) < times * n_members)
		usleep(100);
}

static void
await(LmMesh *mesh)
{
	struct pollfd file = {gloo->event_file(mesh), POLLIN, 0};
	LmMeshError error;
	LmMeshState state;

	while ((state = gloo->state(mesh, &error)) == LM_MESH_BUSY)
		poll(&file, 1, 100);
	if (state == LM_MESH_FAILED)
		fail(error.message);
}

/* Each member sends all to the next, in messages. */
static bool
pass_on(const LmCollective *collective, LmMesh *mesh, void *context, LmMeshError *error)
{
	Load *load = context;
	size_t size = load->n * sizeof(float);
	int member = collective->member(mesh);

	for (size_t at = 0; at < size; at += MESSAGE)
	{
		size_t count = size - at < MESSAGE ? size - at : MESSAGE;

		if (!collective->receive(mesh, (member + n_members - 1) % n_members, 1,
								 (char *) load->other + at, count, error) ||
			!collective->send(mesh, (member + 1) % n_members, 1, (char *) load->data + at, count,
							  error))
			return false;
	}
	return collective->wait(mesh, error);
}

static bool
gloo_sum(const LmCollective *collective, LmMesh *mesh, void *context, LmMeshError *error)
{
	Load *load = context;

	return collective->gloo_allreduce(mesh, load->data, load->n, error);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
show(int member, const char *name, double *times, double used, size_t n)
{
	qsort(times, ROUNDS, sizeof *times, by_value);
	if (member == 0)
		printf("%-28s %9.1f ms  %6.2f GB/s  %7.1f ms of processor time a member\n", name,
			   times[0] * 1000, (double) n * 4e-9 / times[0], used / ROUNDS * 1000);
	fflush(stdout);
}

static void
measure_tasks(int member, LmMesh *mesh, Load *load)
{
	static const struct
	{
		const char *name;
		LmMeshTask task;
	} rows[] = {{"messages to the next member", pass_on}, {"Gloo's allreduce", gloo_sum}};
	double times[ROUNDS], used = processor_seconds();

	for (int round = 0; round < ROUNDS; round++)
	{
		times[round] = seconds_now();
		memcpy(load->other, load->data, load->n * sizeof(float));
		times[round] = seconds_now() - times[round];
	}
	show(member, "memcpy", times, processor_seconds() - used, load->n);
	for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
	{
		used = processor_seconds();
		for (int round = 0; round < ROUNDS; round++)
		{
			times[round] = seconds_now();
			gloo->submit(mesh, rows[row].task, load);
			await(mesh);
			times[round] = seconds_now() - times[round];
		}
		show(member, rows[row].name, times, processor_seconds() - used, load->n);
	}
}

/* The step's reduction: as many micro-batches as members, or two for each. */
static void
measure_exchange(int member, LmMesh *mesh, LmTrainer *trainer, Load *load, int n_leaves,
				 bool bfloat16)
{
	LmTreeMeeting meeting = {gloo, mesh, member, n_members, n_leaves, bfloat16};
	LmTreeGradient own = {.n_leaves = n_leaves, .count = load->n};
	LmError error = {0};
	LmTreeExchange *exchange = lm_tree_exchange_create(trainer, &meeting, &error);
	const LmTreeHooks *hooks;
	double times[ROUNDS], used = processor_seconds();
	char name[64];

	if (!exchange)
		fail(error.message);
	hooks = lm_tree_exchange_hooks(exchange);
	own.own = lm_tree_share(n_leaves, member, n_members);
	own.n_nodes = lm_tree_nodes(own.nodes, n_leaves, own.own);
	own.values = calloc((size_t) n_leaves * LM_TREE_VALUES, sizeof(double));
	for (int node = 0; node < own.n_nodes; node++)
		own.sums[node] = node == own.n_nodes - 1 ? load->data : load->other;
	for (int round = 0; round < ROUNDS; round++)
	{
		times[round] = seconds_now();
		hooks->ready(hooks->context, &own, 0, load->n);
		if (!hooks->reduce(hooks->context, &own, &error))
			fail(error.message);
		times[round] = seconds_now() - times[round];
	}
	snprintf(name, sizeof name, "tree of %d, %s", n_leaves, bfloat16 ? "bfloat16" : "float32");
	show(member, name, times, processor_seconds() - used, load->n);
	lm_tree_exchange_free(exchange);
	free(own.values);
}

static void
be_member(int member, const Shape *shape, size_t megabytes)
{
	const char *addresses[MOST];
	uint8_t secret[LM_MESH_SECRET_SIZE] = {0};
	LmMeshPeers peers = {member, n_members, addresses, secret, 0, 10000};
	LmMeshError failure;
	LmMesh *mesh = gloo->open("127.0.0.1", &failure);
	LmEngineOptions engine_options = {1, "", NULL};
	LmTrainOptions options = lm_train_options_default();
	LmConfig config = shape_config(shape);
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmTrainer *trainer;
	Load load;

	if (!mesh)
		fail(failure.message);
	if (!engine || !lm_config_check(&config, &error))
		fail(error.message);
	options.max_tokens = shape->context;
	options.tree_leaves = 2 * MOST;
	trainer = lm_trainer_create(engine, &config, &options, &error);
	if (!trainer)
		fail(error.message);
	load.n = megabytes ? megabytes << 18 : lm_trainer_table(trainer)->total;
	load.data = calloc(load.n, sizeof(float));
	load.other = calloc(load.n, sizeof(float));
	for (size_t i = 0; i < load.n; i++)
		load.data[i] = 1e-3f * (float) (i % 1000);
	strcpy(shared->addresses[member], gloo->address(mesh));
	meet(1);
	for (int i = 0; i < n_members; i++)
		addresses[i] = shared->addresses[i];
	if (!gloo->connect(mesh, &peers, &failure))
		fail(failure.message);
	await(mesh);
	measure_tasks(member, mesh, &load);
	measure_exchange(member, mesh, trainer, &load, n_members, false);
	measure_exchange(member, mesh, trainer, &load, n_members, true);
	measure_exchange(member, mesh, trainer, &load, 2 * n_members, false);
	meet(2);
	gloo->close(mesh);
	exit(0);
}

int
main(int count, char **arguments)
{
	char path[PATH_MAX];
	void *library = realpath("gpt_gloo.so", path) ? dlopen(path, RTLD_NOW) : NULL;
	LmCollectiveEntry entry;
	const Shape *shape = shape_named(count > 2 ? arguments[2] : "S");

	if (!library)
		fail("no gpt_gloo.so here");
	entry = (LmCollectiveEntry) dlsym(library, LM_COLLECTIVE_SYMBOL);
	gloo = entry();
	if (count > 1)
		n_members = atoi(arguments[1]);
	if (n_members < 2 || n_members > MOST)
		fail("2 to 8 members");
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int member = 0; member < n_members; member++)
		if (fork() == 0)
		{
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET(member % (int) sysconf(_SC_NPROCESSORS_ONLN), &set);
			if (getenv("PIN"))
				sched_setaffinity(0, sizeof set, &set);
			alarm(60);
			be_member(member, shape, count > 3 ? (size_t) atoi(arguments[3]) : 0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}
