/*
 * src/serve/batching_shared.c
 *
 * What a node GptBatch has done in the workers of a parallel plan, for EXPLAIN ANALYZE: each worker
 * writes its counts into its own place of shared memory when it ends, and the leader adds them to
 * its own when the plan ends. Workers that LIMIT stops may come too late to count.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "executor/executor.h"

#include "serve/batching_parts.h"

typedef struct Counts
{
	GptCallTotals totals;
	int64 n_batches;
	int64 n_repeated;
} Counts;

struct GptBatchShared
{
	int n;
	Counts counts[FLEXIBLE_ARRAY_MEMBER]; /* [n] of workers, written by each of them */
};

static void add(GptBatch *batch, const Counts *counts);

Size
gpt_batch_shared_size(CustomScanState *node, ParallelContext *context)
{
	return offsetof(struct GptBatchShared, counts) + context->nworkers * sizeof(Counts);
}

void
gpt_batch_shared_begin(CustomScanState *node, ParallelContext *context, void *memory)
{
	memset(memory, 0, gpt_batch_shared_size(node, context));
	((GptBatch *) node)->shared = memory;
	((GptBatch *) node)->shared->n = context->nworkers;
}

/* The workers of another scan add to what is there. */
void
gpt_batch_shared_again(CustomScanState *node, ParallelContext *context, void *memory)
{
}

void
gpt_batch_shared_attach(CustomScanState *node, shm_toc *toc, void *memory)
{
	((GptBatch *) node)->shared = memory;
}

void
gpt_batch_shared_end(CustomScanState *node)
{
	GptBatch *batch = (GptBatch *) node;
	struct GptBatchShared *shared = batch->shared;

	batch->shared = NULL;
	if (shared == NULL)
		return;
	if (IsParallelWorker())
	{
		Counts *counts = &shared->counts[ParallelWorkerNumber];

		counts->totals.tokens += batch->totals.tokens;
		counts->totals.seconds += batch->totals.seconds;
		counts->n_batches += batch->n_batches;
		counts->n_repeated += batch->n_repeated;
		return;
	}
	for (int i = 0; i < shared->n; i++)
		add(batch, &shared->counts[i]);
}

static void
add(GptBatch *batch, const Counts *counts)
{
	batch->totals.tokens += counts->totals.tokens;
	batch->totals.seconds += counts->totals.seconds;
	batch->n_batches += counts->n_batches;
	batch->n_repeated += counts->n_repeated;
}
