/*
 * bench/tree.c MODEL STEPS LEAVES MEMBER MEMBERS DIRECTORY
 *
 * One member of a step along a tree (engine/tree_exchange.h) over the gradient channel: its steps'
 * time, processor time, waiting and bytes, and a hash of its parameters, which is the same for all
 * members and every number of them. Members are processes that meet in an empty DIRECTORY, where
 * each leaves its address; ADDRESS is that of its network (127.0.0.1), GLOO the shared object
 * (./gpt_gloo.so), WIRE float32 or bfloat16, ROWS the sequences of a micro-batch, PRECISION and
 * THREADS (1) as in bench/train.c. With 1 of MEMBERS there is no channel.
 */
#include <dlfcn.h>
#include <unistd.h>

#include "engine/tree_exchange.h"
#include "shapes.h"

typedef struct Channel
{
	const LmCollective *collective;
	LmMesh *mesh;
} Channel;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* Leaves a text in a file that nobody sees half. */
static void
leave(const char *directory, int member, const char *text)
{
	char path[4096], made[4096];
	FILE *file;

	snprintf(path, sizeof path, "%s/new%d", directory, member);
	snprintf(made, sizeof made, "%s/member%d", directory, member);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file) != 0 || rename(path, made) != 0)
		fail(made, "could not be written");
}

static void
look_up(char *text, const char *directory, int member)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof path, "%s/member%d", directory, member);
	while (!(file = fopen(path, "r")))
		usleep(10000);
	if (!fgets(text, LM_MESH_ADDRESS_SIZE, file))
		fail(path, "is empty");
	fclose(file);
}

static Channel
connect_members(const char *directory, int member, int members)
{
	const char *path = getenv("GLOO") ? getenv("GLOO") : "./gpt_gloo.so";
	const char *address = getenv("ADDRESS") ? getenv("ADDRESS") : "127.0.0.1";
	void *library = dlopen(path, RTLD_NOW);
	LmCollectiveEntry entry =
		library ? (LmCollectiveEntry) dlsym(library, LM_COLLECTIVE_SYMBOL) : NULL;
	uint8_t secret[LM_MESH_SECRET_SIZE] = "of all who are in this benchmark";
	char texts[LM_MESH_MAX_MEMBERS][LM_MESH_ADDRESS_SIZE];
	const char *addresses[LM_MESH_MAX_MEMBERS];
	LmMeshPeers peers = {member, members, addresses, secret, 1, 60000};
	Channel channel = {entry ? entry() : NULL};
	LmMeshError error;

	if (!channel.collective)
		fail(path, "is no gradient channel");
	channel.mesh = channel.collective->open(address, &error);
	if (!channel.mesh)
		fail(address, error.message);
	leave(directory, member, channel.collective->address(channel.mesh));
	for (int k = 0; k < members; k++)
	{
		look_up(texts[k], directory, k);
		addresses[k] = texts[k];
	}
	if (!channel.collective->connect(channel.mesh, &peers, &error))
		fail("connect", error.message);
	return channel;
}

static void
fill(LmBatch *batch, const Shape *shape, int rows, int leaf, uint64_t *state)
{
	batch->n_tokens = rows * shape->context;
	for (int row = 0; row < batch->n_tokens; row++)
	{
		int t = row % shape->context;

		*state = *state * 6364136223846793005u + 1442695040888963407u;
		batch->tokens[row] = (int32_t) ((*state >> 33) % (uint32_t) shape->vocabulary);
		batch->targets[row] = (batch->tokens[row] * 7 + 3) % shape->vocabulary;
		batch->weights[row] = 1;
		batch->positions[row] = t;
		batch->starts[row] = batch->prefixes[row] = row - t;
		batch->examples[row] = leaf * rows + row / shape->context;
	}
}

static uint64_t
hash_of(const float *x, size_t count)
{
	const unsigned char *bytes = (const unsigned char *) x;
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < count * sizeof *x; i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	return hash;
}

int
main(int argc, char **argv)
{
	const Shape *shape = shape_named(argc > 1 ? argv[1] : "XS");
	int steps = argc > 2 ? atoi(argv[2]) : 5, leaves = argc > 3 ? atoi(argv[3]) : 4;
	int member = argc > 4 ? atoi(argv[4]) : 0, members = argc > 5 ? atoi(argv[5]) : 1;
	int rows = getenv("ROWS") ? atoi(getenv("ROWS")) : shape->batch;
	LmHost host = {.reallocate = bench_reallocate};
	LmEngineOptions engine_options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 1};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmConfig config = shape_config(shape);
	LmTrainOptions options = lm_train_options_default();
	LmBatch *batches = calloc((size_t) leaves, sizeof *batches);
	LmTreeStep tree = {leaves, lm_tree_share(leaves, member, members), batches, true, 0, NULL};
	double *times = calloc((size_t) steps, sizeof(double)), used = 0;
	LmTreeExchange *exchange = NULL;
	Channel channel = {NULL};
	uint64_t random = 1, sent = 0, received = 0;
	LmStepResult result;
	LmTrainer *trainer;

	must(engine != NULL, &error);
	if (getenv("PRECISION") && strcmp(getenv("PRECISION"), "float32") != 0)
		options.precision = LM_BFLOAT16;
	options.max_tokens = rows * shape->context;
	options.steps = steps + 1;
	options.tree_leaves = leaves;
	trainer = lm_trainer_create(engine, &config, &options, &error);
	must(trainer != NULL, &error);
	for (int i = 0; i < leaves; i++)
		must(lm_batch_create(&batches[i], &host, options.max_tokens, &error), &error);
	if (members > 1)
	{
		LmTreeMeeting meeting = {.member = member, .n_members = members, .n_leaves = leaves};

		channel = connect_members(argc > 6 ? argv[6] : ".", member, members);
		meeting.collective = channel.collective;
		meeting.mesh = channel.mesh;
		meeting.bfloat16 = getenv("WIRE") && strcmp(getenv("WIRE"), "bfloat16") == 0;
		exchange = lm_tree_exchange_create(trainer, &meeting, &error);
		must(exchange != NULL, &error);
		tree.hooks = lm_tree_exchange_hooks(exchange);
	}
	/* One step before those that are measured. */
	for (int step = 0; step <= steps; step++)
	{
		double started, processor;

		for (int i = 0; i < leaves; i++)
			fill(&batches[i], shape, rows, i, &random);
		started = seconds_now();
		processor = processor_seconds();
		must(lm_trainer_step_tree(&result, trainer, step, &tree, &error), &error);
		if (step == 0)
			continue;
		times[step - 1] = seconds_now() - started;
		used += processor_seconds() - processor;
	}
	qsort(times, (size_t) steps, sizeof(double), compare_doubles);
	if (channel.mesh)
		channel.collective->traffic(channel.mesh, &sent, &received);
	printf(
		"%s member %d of %d: %.1f ms a step, best %.1f, processor %.1f, waited %.1f, "
		"sent %.1f MB, loss %.4f, parameters %016llx\n",
		shape->name, member, members, times[steps / 2] * 1e3, times[0] * 1e3, used / steps * 1e3,
		exchange ? (double) lm_tree_exchange_waited(exchange) * 1e-6 / (steps + 1) : 0,
		(double) sent / (steps + 1) * 1e-6, result.loss,
		(unsigned long long) hash_of(lm_trainer_params(trainer), lm_trainer_table(trainer)->total));
	lm_tree_exchange_free(exchange);
	if (channel.mesh)
		channel.collective->close(channel.mesh);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return 0;
}
