/*
 * src/engine/train/tree_exchange.c
 *
 * Gradients of a step along a tree, from and to other members over a mesh.
 *
 * The step's thread submits a task for each range and waits for all of them at the end. Tasks run
 * on the mesh's thread, one after another, in an order that is the same on all members; they touch
 * ranges that the step's thread has finished. Both threads share nothing else but what the mesh
 * guards.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "engine/tree_exchange.h"

/* Elements that are exchanged at once: sockets are kept busy, and memory stays small. */
#define CHUNK ((size_t) 1 << 20)
#define WAIT_MS 10 /* between questions to the host */

/* Bytes that lm_allocate adds to a block: slack for alignment and the host's pointer. */
#define BLOCK_OVERHEAD (64 + sizeof(void *))

/* What a message is, in the two lowest bits of its tag. */
enum
{
	NODE_SLICE,
	SUM_SLICE,
	LEAF_VALUES,
	N_MESSAGES = 4,
};

/* A range that is final, or, without a count, the values of leaves. */
typedef struct Range
{
	LmTreeExchange *exchange;
	LmTreeGradient gradient;
	size_t first;
	size_t count;
	double *values;
	int width;
} Range;

/* A chunk in work: elements first .. first + count - 1 of the block. */
typedef struct Chunk
{
	LmTreeExchange *exchange;
	const LmTreeGradient *gradient;
	uint32_t tag;
	size_t first;
	size_t count;
	LmMesh *mesh;
	const LmCollective *collective;
	LmMeshError *error;
} Chunk;

struct LmTreeExchange
{
	LmTreeMeeting meeting;
	LmTreeHooks hooks;
	LmEngine *engine;
	int n_nodes; /* of all members, in order, the next as well */
	LmTreeNode *nodes;
	int first_nodes[LM_MESH_MAX_MEMBERS + 1]; /* of each member, and the end */
	float **slices; /* [n_nodes] of the member's slice of a chunk */
	float *received; /* [n_nodes, slice] */
	uint16_t *sent; /* [own nodes, chunk], NULL, as the next two, for float32 */
	uint16_t *packed; /* [n_nodes, slice] */
	uint16_t *sums; /* [chunk] */
	Range *ranges; /* [max_ranges] of a step */
	int max_ranges;
	int n_ranges;
	uint32_t tag;
	Chunk pending; /* whose sum is made, but not yet sent to the others; count 0: none */
	int64_t waited;
	bool failed; /* to submit */
};

static bool check(const LmTreeMeeting *meeting, LmError *error);
static bool sizes_of(LmArena *arena, const LmTreeMeeting *meeting, const LmConfig *config,
					 LmError *error);
static void lay_out(LmTreeExchange *exchange, LmArena *arena, size_t n_params, int max_ranges);
static bool gather(void *context, double *values, int width, LmTreeNode own, int n_leaves,
				   LmError *error);
static void ready(void *context, const LmTreeGradient *own, size_t first, size_t count);
static bool reduce(void *context, const LmTreeGradient *own, LmError *error);
static void submit(LmTreeExchange *exchange, Range range);
static bool finish(LmTreeExchange *exchange, LmError *error);
static bool run_range(const LmCollective *collective, LmMesh *mesh, void *context,
					  LmMeshError *error);
static bool exchange_values(const LmCollective *collective, LmMesh *mesh, const Range *range,
							LmMeshError *error);
static bool begin_pending(LmTreeExchange *exchange, LmMeshError *error);
static void end_pending(LmTreeExchange *exchange);
static bool exchange_chunk(Chunk *chunk);
static bool scatter(const Chunk *chunk);
static bool send_node(const Chunk *chunk, int node, int member);
static bool receive_node(const Chunk *chunk, int node, int member);
static bool fold(const Chunk *chunk);
static bool spread(const Chunk *chunk);
static void gather_sums(const Chunk *chunk);
static size_t slice_of(size_t *first, const Chunk *chunk, int member);
static int64_t now(void);

bool
lm_tree_exchange_memory(size_t *bytes, const LmTreeMeeting *meeting, const LmConfig *config,
						LmError *error)
{
	LmArena arena = {0};

	if (!sizes_of(&arena, meeting, config, error))
		return false;
	*bytes = arena.used + BLOCK_OVERHEAD;
	return true;
}

static bool
sizes_of(LmArena *arena, const LmTreeMeeting *meeting, const LmConfig *config, LmError *error)
{
	LmTreeExchange counted = {.meeting = *meeting};
	LmConfig checked = *config;
	size_t n_params;

	if (!check(meeting, error) || !lm_config_check(&checked, error))
		return false;
	arena->overflow = !lm_param_total(&n_params, &checked);
	if (!arena->overflow)
		lay_out(&counted, arena, n_params, (int) lm_param_table_count(&checked) + 2);
	return !arena->overflow ||
		   lm_fail(error, LM_ERR_LIMIT, -1,
				   "training would need more memory than the address space has");
}

static bool
check(const LmTreeMeeting *meeting, LmError *error)
{
	return (meeting->n_members >= 2 && meeting->n_members <= LM_MESH_MAX_MEMBERS &&
			meeting->member >= 0 && meeting->member < meeting->n_members &&
			meeting->n_leaves >= meeting->n_members && meeting->n_leaves <= LM_TREE_LEAVES) ||
		   lm_fail(error, LM_ERR_ARGUMENT, -1, "member %d of %d cannot share %d micro-batches",
				   meeting->member, meeting->n_members, meeting->n_leaves);
}

/* Memory of everything, the exchange first; nodes are counted here, so that there is one rule. */
static void
lay_out(LmTreeExchange *exchange, LmArena *arena, size_t n_params, int max_ranges)
{
	const LmTreeMeeting *meeting = &exchange->meeting;
	size_t chunk = n_params < CHUNK ? n_params : CHUNK;
	size_t slice = chunk / (size_t) meeting->n_members + 1, n_own = 0, n;
	LmTreeNode nodes[LM_TREE_NODES];

	lm_arena_take(arena, 1, sizeof *exchange);
	exchange->n_nodes = 0;
	for (int k = 0; k < meeting->n_members; k++)
	{
		exchange->first_nodes[k] = exchange->n_nodes;
		exchange->n_nodes += lm_tree_nodes(nodes, meeting->n_leaves,
										   lm_tree_share(meeting->n_leaves, k, meeting->n_members));
	}
	n = (size_t) exchange->n_nodes;
	exchange->first_nodes[meeting->n_members] = exchange->n_nodes;
	n_own = (size_t) (exchange->first_nodes[meeting->member + 1] -
					  exchange->first_nodes[meeting->member]);
	exchange->nodes = lm_arena_take(arena, n, sizeof *exchange->nodes);
	exchange->slices = lm_arena_take(arena, n, sizeof *exchange->slices);
	exchange->received = lm_arena_floats(arena, n, slice);
	exchange->ranges = lm_arena_take(arena, (size_t) max_ranges, sizeof *exchange->ranges);
	exchange->max_ranges = max_ranges;
	if (!meeting->bfloat16)
		return;
	exchange->sent = lm_arena_take(arena, n_own * chunk, sizeof *exchange->sent);
	exchange->packed = lm_arena_take(arena, n * slice, sizeof *exchange->packed);
	exchange->sums = lm_arena_take(arena, chunk, sizeof *exchange->sums);
}

LmTreeExchange *
lm_tree_exchange_create(LmTrainer *trainer, const LmTreeMeeting *meeting, LmError *error)
{
	LmEngine *engine = lm_trainer_engine(trainer);
	const LmParamTable *table = lm_trainer_table(trainer);
	LmTreeExchange *exchange;
	LmArena arena = {0};

	if (!sizes_of(&arena, meeting, &table->config, error))
		return NULL;
	exchange = lm_allocate(lm_engine_host(engine), arena.used);
	if (!exchange)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for gradients of other members");
		return NULL;
	}
	arena = (LmArena){.base = (char *) exchange};
	exchange->meeting = *meeting;
	exchange->engine = engine;
	exchange->hooks = (LmTreeHooks){exchange, gather, ready, reduce};
	lay_out(exchange, &arena, table->total, (int) lm_param_table_count(&table->config) + 2);
	for (int k = 0; k < meeting->n_members; k++)
	{
		LmTreeNode nodes[LM_TREE_NODES];
		int n = lm_tree_nodes(nodes, meeting->n_leaves,
							  lm_tree_share(meeting->n_leaves, k, meeting->n_members));

		memcpy(exchange->nodes + exchange->first_nodes[k], nodes, (size_t) n * sizeof *nodes);
	}
	return exchange;
}

void
lm_tree_exchange_free(LmTreeExchange *exchange)
{
	const LmTreeMeeting *meeting;

	if (!exchange)
		return;
	meeting = &exchange->meeting;
	if (meeting->collective->state(meeting->mesh, NULL) == LM_MESH_BUSY)
	{
		struct pollfd event = {meeting->collective->event_file(meeting->mesh), POLLIN, 0};

		meeting->collective->abort(meeting->mesh);
		while (meeting->collective->state(meeting->mesh, NULL) == LM_MESH_BUSY)
			(void) poll(&event, 1, WAIT_MS);
	}
	lm_free(lm_engine_host(exchange->engine), exchange);
}

const LmTreeHooks *
lm_tree_exchange_hooks(LmTreeExchange *exchange)
{
	return &exchange->hooks;
}

int64_t
lm_tree_exchange_waited(const LmTreeExchange *exchange)
{
	return exchange->waited;
}

/* ---- The step's thread --------------------------------------------------- */

static bool
gather(void *context, double *values, int width, LmTreeNode own, int n_leaves, LmError *error)
{
	submit(context, (Range){.values = values, .width = width});
	return finish(context, error);
}

static void
ready(void *context, const LmTreeGradient *own, size_t first, size_t count)
{
	submit(context, (Range){.gradient = *own, .first = first, .count = count});
}

static bool
reduce(void *context, const LmTreeGradient *own, LmError *error)
{
	submit(context, (Range){.values = own->values, .width = LM_TREE_VALUES});
	return finish(context, error);
}

static void
submit(LmTreeExchange *exchange, Range range)
{
	const LmTreeMeeting *meeting = &exchange->meeting;
	Range *task = &exchange->ranges[exchange->n_ranges];

	if (exchange->failed || exchange->n_ranges == exchange->max_ranges)
	{
		exchange->failed = true;
		return;
	}
	exchange->n_ranges++;
	*task = range;
	task->exchange = exchange;
	exchange->failed = !meeting->collective->submit(meeting->mesh, run_range, task);
}

/* Waits for all tasks that were submitted. */
static bool
finish(LmTreeExchange *exchange, LmError *error)
{
	const LmCollective *collective = exchange->meeting.collective;
	LmMesh *mesh = exchange->meeting.mesh;
	struct pollfd event = {collective->event_file(mesh), POLLIN, 0};
	LmMeshError failure = {.member = -1};
	LmMeshState state;
	int64_t begin = now();

	while ((state = collective->state(mesh, &failure)) == LM_MESH_BUSY)
	{
		if (lm_engine_stopped(exchange->engine))
			collective->abort(mesh);
		if (poll(&event, 1, WAIT_MS) < 0 && errno != EINTR)
			collective->abort(mesh);
	}
	exchange->waited += now() - begin;
	exchange->n_ranges = 0;
	exchange->pending.count = 0;
	if (lm_engine_stopped(exchange->engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "training was stopped");
	if (state == LM_MESH_FAILED)
		return lm_fail(error, LM_ERR_LIBRARY, failure.member, "%.180s", failure.message);
	return !exchange->failed ||
		   lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for gradients of other members");
}

static int64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

/* ---- The mesh's thread --------------------------------------------------- */

static bool
run_range(const LmCollective *collective, LmMesh *mesh, void *context, LmMeshError *error)
{
	const Range *range = context;
	Chunk chunk = {.exchange = range->exchange,
				   .gradient = &range->gradient,
				   .mesh = mesh,
				   .collective = collective,
				   .error = error};

	if (range->values)
		return exchange_values(collective, mesh, range, error);
	for (size_t done = 0; done < range->count; done += chunk.count)
	{
		chunk.first = range->first + done;
		chunk.count = range->count - done < CHUNK ? range->count - done : CHUNK;
		if (!exchange_chunk(&chunk))
			return false;
	}
	return true;
}

/* Each member's rows to all others. */
static bool
exchange_values(const LmCollective *collective, LmMesh *mesh, const Range *range,
				LmMeshError *error)
{
	LmTreeExchange *exchange = range->exchange;
	const LmTreeMeeting *meeting = &exchange->meeting;
	uint32_t tag = (exchange->tag++) * N_MESSAGES + LEAF_VALUES;
	size_t row = (size_t) range->width * sizeof(double);
	LmTreeNode own = lm_tree_share(meeting->n_leaves, meeting->member, meeting->n_members);

	if (!begin_pending(exchange, error))
		return false;
	for (int i = 1; i < meeting->n_members; i++)
	{
		int k = (meeting->member + i) % meeting->n_members;
		LmTreeNode theirs = lm_tree_share(meeting->n_leaves, k, meeting->n_members);

		if (!collective->receive(mesh, k, tag, range->values + theirs.first * range->width,
								 (size_t) theirs.count * row, error) ||
			!collective->send(mesh, k, tag, range->values + own.first * range->width,
							  (size_t) own.count * row, error))
			return false;
	}
	if (!collective->wait(mesh, error))
		return false;
	end_pending(exchange);
	return true;
}

/*
 * The sum of a chunk travels together with the nodes of the next one, of the same range or of
 * another, or with the values of leaves, which are a step's last: members wait for each other once
 * a chunk. No memory is in use for both: fold has left the node's.
 */
static bool
exchange_chunk(Chunk *chunk)
{
	LmTreeExchange *exchange = chunk->exchange;

	chunk->tag = (exchange->tag++) * N_MESSAGES;
	if (!begin_pending(exchange, chunk->error) || !scatter(chunk) ||
		!chunk->collective->wait(chunk->mesh, chunk->error))
		return false;
	end_pending(exchange);
	exchange->pending = *chunk;
	return fold(chunk);
}

static bool
begin_pending(LmTreeExchange *exchange, LmMeshError *error)
{
	exchange->pending.error = error;
	return exchange->pending.count == 0 || spread(&exchange->pending);
}

static void
end_pending(LmTreeExchange *exchange)
{
	if (exchange->pending.count > 0)
		gather_sums(&exchange->pending);
	exchange->pending.count = 0;
}

/* Member k's slice of the chunk; returns its size, which may be 0. */
static size_t
slice_of(size_t *first, const Chunk *chunk, int member)
{
	size_t n = (size_t) chunk->exchange->meeting.n_members, k = (size_t) member;

	*first = chunk->first + chunk->count * k / n;
	return chunk->count * (k + 1) / n - chunk->count * k / n;
}

/* Slices of own nodes to their members, the own slice of all nodes from them. */
static bool
scatter(const Chunk *chunk)
{
	LmTreeExchange *exchange = chunk->exchange;
	const LmTreeMeeting *meeting = &exchange->meeting;

	if (meeting->bfloat16)
		for (int i = 0; i < chunk->gradient->n_nodes; i++)
			lm_tree_pack(exchange->sent + (size_t) i * chunk->count,
						 chunk->gradient->sums[i] + chunk->first, chunk->count);
	for (int i = 1; i < meeting->n_members; i++)
	{
		int k = (meeting->member + i) % meeting->n_members;

		for (int node = exchange->first_nodes[k]; node < exchange->first_nodes[k + 1]; node++)
			if (!receive_node(chunk, node, k))
				return false;
		for (int node = 0; node < chunk->gradient->n_nodes; node++)
			if (!send_node(chunk, node, k))
				return false;
	}
	return true;
}

/* A slice of an own node to its member. */
static bool
send_node(const Chunk *chunk, int node, int member)
{
	LmTreeExchange *exchange = chunk->exchange;
	size_t first, count = slice_of(&first, chunk, member);
	const uint16_t *packed = exchange->sent + (size_t) node * chunk->count + (first - chunk->first);
	bool packs = exchange->meeting.bfloat16;
	const void *data =
		packs ? (const void *) packed : (const void *) (chunk->gradient->sums[node] + first);

	return count == 0 || chunk->collective->send(chunk->mesh, member, chunk->tag + NODE_SLICE, data,
												 count * (packs ? 2 : sizeof(float)), chunk->error);
}

/* The own slice of another member's node. */
static bool
receive_node(const Chunk *chunk, int node, int member)
{
	LmTreeExchange *exchange = chunk->exchange;
	size_t first, count = slice_of(&first, chunk, exchange->meeting.member);
	bool packs = exchange->meeting.bfloat16;
	void *data = packs ? (void *) (exchange->packed + (size_t) node * count)
					   : (void *) (exchange->received + (size_t) node * count);

	exchange->slices[node] = exchange->received + (size_t) node * count;
	return count == 0 ||
		   chunk->collective->receive(chunk->mesh, member, chunk->tag + NODE_SLICE, data,
									  count * (packs ? 2 : sizeof(float)), chunk->error);
}

/* The sum of the own slice, into the gradient block. */
static bool
fold(const Chunk *chunk)
{
	LmTreeExchange *exchange = chunk->exchange;
	const LmTreeMeeting *meeting = &exchange->meeting;
	const LmTreeGradient *gradient = chunk->gradient;
	int own = exchange->first_nodes[meeting->member];
	size_t first, count = slice_of(&first, chunk, meeting->member);
	float *sum = gradient->sums[gradient->n_nodes - 1] + first;
	uint16_t *packed;
	LmError error;

	for (int node = 0; node < exchange->n_nodes; node++)
		if (node >= own && node < own + gradient->n_nodes)
			exchange->slices[node] = gradient->sums[node - own] + first;
		else if (meeting->bfloat16)
			lm_tree_unpack(exchange->slices[node], exchange->packed + (size_t) node * count, count);
	if (!lm_tree_fold(exchange->slices, exchange->nodes, exchange->n_nodes, meeting->n_leaves,
					  count, &error))
	{
		*chunk->error = (LmMeshError){.member = -1};
		strcpy(chunk->error->message, error.message);
		return false;
	}
	if (exchange->slices[0] != sum)
		memcpy(sum, exchange->slices[0], count * sizeof *sum);
	if (!meeting->bfloat16)
		return true;
	packed = exchange->sums + (first - chunk->first);
	lm_tree_pack(packed, sum, count);
	lm_tree_unpack(sum, packed, count);
	return true;
}

/* Begins to send the own sum to all others, and to receive theirs. */
static bool
spread(const Chunk *chunk)
{
	LmTreeExchange *exchange = chunk->exchange;
	const LmTreeMeeting *meeting = &exchange->meeting;
	float *block = chunk->gradient->sums[chunk->gradient->n_nodes - 1];
	uint32_t tag = chunk->tag + SUM_SLICE;
	size_t size = meeting->bfloat16 ? 2 : sizeof(float);
	size_t own_first, own_count = slice_of(&own_first, chunk, meeting->member), first, count;

	for (int i = 1; i < meeting->n_members; i++)
	{
		int k = (meeting->member + i) % meeting->n_members;
		void *to, *from;

		count = slice_of(&first, chunk, k);
		to = meeting->bfloat16 ? (void *) (exchange->sums + (first - chunk->first))
							   : (void *) (block + first);
		from = meeting->bfloat16 ? (void *) (exchange->sums + (own_first - chunk->first))
								 : (void *) (block + own_first);
		if ((count > 0 &&
			 !chunk->collective->receive(chunk->mesh, k, tag, to, count * size, chunk->error)) ||
			(own_count > 0 &&
			 !chunk->collective->send(chunk->mesh, k, tag, from, own_count * size, chunk->error)))
			return false;
	}
	return true;
}

/* What has arrived, where it is bfloat16. */
static void
gather_sums(const Chunk *chunk)
{
	LmTreeExchange *exchange = chunk->exchange;
	const LmTreeMeeting *meeting = &exchange->meeting;
	float *block = chunk->gradient->sums[chunk->gradient->n_nodes - 1];
	size_t first, count;

	for (int k = 0; meeting->bfloat16 && k < meeting->n_members; k++)
	{
		count = slice_of(&first, chunk, k);
		if (k != meeting->member)
			lm_tree_unpack(block + first, exchange->sums + (first - chunk->first), count);
	}
}
