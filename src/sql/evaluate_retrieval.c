/*
 * src/sql/evaluate_retrieval.c
 *
 * Queries and their positives go in; recall and the mean reciprocal rank come out. The rank of a
 * row is 1 + the number of texts that are nearer to its query than its positive. These are the
 * positives and negatives of all rows, but for those of rows with the same query or positive, and
 * texts that equal either.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "serve/call.h"
#include "sql/call_kinds.h"
#include "sql/evaluate_retrieval.h"

#define LEAST_TEXTS 1024
#define MOST_PARTS 3
#define MANY 10 /* of recall_at_10 */

/* Columns of a row's scores. */
enum
{
	WEIGHT,
	FIRST,
	AMONG_MANY,
	RECIPROCAL,
	N_COLUMNS
};

static const LmMetric metrics[] = {
	{"recall_at_1", LM_METRIC_SHARE, FIRST, WEIGHT, 0},
	{"recall_at_10", LM_METRIC_SHARE, AMONG_MANY, WEIGHT, 0},
	{"mean_reciprocal_rank", LM_METRIC_RATIO, RECIPROCAL, WEIGHT, 0}};

/* A text of a row. */
typedef struct Text
{
	uint64 hash;
	int64 row;
	int part; /* 0 the query, 1 the positive, 2 the negative */
} Text;

struct GptRetrieval
{
	const GptServed *served;
	MemoryContext context;
	MemoryContext scratch; /* of a row */
	int size; /* numbers of an embedding */
	Text *texts;
	float *vectors; /* [n, size] */
	double *weights; /* [n_rows] */
	int64 n;
	int64 capacity;
	int64 n_rows;
	double sums[N_COLUMNS];
	GptRowScores *scores;
};

GptRetrieval *
gpt_retrieval_create(const GptServed *served)
{
	GptRetrieval *retrieval = palloc0(sizeof(GptRetrieval));

	retrieval->served = served;
	retrieval->context = CurrentMemoryContext;
	retrieval->scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt retrieval", ALLOCSET_DEFAULT_SIZES);
	retrieval->scores = gpt_row_scores_create(metrics, lengthof(metrics), N_COLUMNS, 0);
	return retrieval;
}

GptRowScores *
gpt_retrieval_scores(const GptRetrieval *retrieval)
{
	return retrieval->scores;
}

/* Room for the texts of one more row. */
static void
make_room(GptRetrieval *retrieval)
{
	int64 capacity = Max(2 * retrieval->capacity, LEAST_TEXTS);
	size_t vector = retrieval->size * sizeof(float);
	MemoryContext caller = MemoryContextSwitchTo(retrieval->context);
	bool first = retrieval->capacity == 0;

	if (retrieval->n + MOST_PARTS > retrieval->capacity)
	{
		gpt_bridge_check_memory((uint64) capacity * (vector + sizeof(Text) + sizeof(double)));
		retrieval->texts = first ? palloc_extended(capacity * sizeof(Text), MCXT_ALLOC_HUGE)
								 : repalloc_huge(retrieval->texts, capacity * sizeof(Text));
		retrieval->vectors = first ? palloc_extended(capacity * vector, MCXT_ALLOC_HUGE)
								   : repalloc_huge(retrieval->vectors, capacity * vector);
		retrieval->weights = first ? palloc_extended(capacity * sizeof(double), MCXT_ALLOC_HUGE)
								   : repalloc_huge(retrieval->weights, capacity * sizeof(double));
		retrieval->capacity = capacity;
	}
	MemoryContextSwitchTo(caller);
}

/* A text without an embedding is at a right angle to all others. */
static void
add_text(GptRetrieval *retrieval, const GptAnswer *answer, LmBytes text, int part)
{
	float *vector = retrieval->vectors + retrieval->n * retrieval->size;

	if (answer->is_null)
		memset(vector, 0, retrieval->size * sizeof(float));
	else
		memcpy(vector, ARR_DATA_PTR(DatumGetArrayTypeP(answer->value)),
			   retrieval->size * sizeof(float));
	retrieval->texts[retrieval->n++] =
		(Text){hash_bytes_extended((const unsigned char *) text.data, (int) text.size, 0),
			   retrieval->n_rows, part};
}

int64
gpt_retrieval_add(GptRetrieval *retrieval, const GptSourceRow *row)
{
	LmBytes texts[MOST_PARTS] = {
		{row->text, row->size}, {row->other, row->other_size}, {row->third, row->third_size}};
	int n = row->third != NULL ? MOST_PARTS : MOST_PARTS - 1;
	MemoryContext caller = MemoryContextSwitchTo(retrieval->scratch);
	GptAnswer answers[MOST_PARTS];
	GptCall calls[MOST_PARTS];
	int64 n_tokens = 0;

	for (int i = 0; i < n; i++)
		gpt_embed_of_text(&calls[i], texts[i]);
	gpt_call_answer(answers, &gpt_embed_call, retrieval->served, calls, n, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		if (answers[i].error != NULL)
			gpt_bridge_raise(answers[i].error);
		if (!answers[i].is_null && retrieval->size == 0)
			retrieval->size = ArrayGetNItems(1, ARR_DIMS(DatumGetArrayTypeP(answers[i].value)));
		n_tokens += !answers[i].is_null;
	}
	if (n_tokens > 0)
	{
		make_room(retrieval);
		for (int i = 0; i < n; i++)
			add_text(retrieval, &answers[i], texts[i], i);
		retrieval->weights[retrieval->n_rows++] = row->weight;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(retrieval->scratch);
	return n_tokens;
}

static float
similarity(const GptRetrieval *retrieval, int64 a, int64 b)
{
	const float *x = retrieval->vectors + a * retrieval->size;
	const float *y = retrieval->vectors + b * retrieval->size;
	float sums[8] = {0};
	int i = 0;

	for (; i + 8 <= retrieval->size; i += 8)
		for (int k = 0; k < 8; k++)
			sums[k] += x[i + k] * y[i + k];
	for (; i < retrieval->size; i++)
		sums[0] += x[i] * y[i];
	return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
		   ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

/* The rank of the positive of a query, number `query` of the texts. */
static int64
rank_of(const GptRetrieval *retrieval, int64 query)
{
	const Text *own = &retrieval->texts[query];
	float wanted = similarity(retrieval, query, query + 1);
	uint64 row_query = 0;
	uint64 row_positive = 0;
	int64 rank = 1;

	for (int64 i = 0; i < retrieval->n; i++)
	{
		const Text *text = &retrieval->texts[i];

		if (text->part == 0)
		{
			row_query = text->hash;
			row_positive = retrieval->texts[i + 1].hash;
			continue;
		}
		if (i == query + 1 || text->hash == own[0].hash || text->hash == own[1].hash ||
			(text->part == 1 && (row_query == own[0].hash || row_positive == own[1].hash)))
			continue;
		rank += similarity(retrieval, query, i) >= wanted;
	}
	return rank;
}

void
gpt_retrieval_finish(GptRetrieval *retrieval)
{
	for (int64 i = 0; i < retrieval->n; i++)
	{
		double columns[N_COLUMNS];
		int64 rank;

		CHECK_FOR_INTERRUPTS();
		if (retrieval->texts[i].part != 0)
			continue;
		rank = rank_of(retrieval, i);
		columns[WEIGHT] = retrieval->weights[retrieval->texts[i].row];
		columns[FIRST] = rank == 1 ? columns[WEIGHT] : 0;
		columns[AMONG_MANY] = rank <= MANY ? columns[WEIGHT] : 0;
		columns[RECIPROCAL] = columns[WEIGHT] / (double) rank;
		for (int k = 0; k < N_COLUMNS; k++)
			retrieval->sums[k] += columns[k];
		gpt_row_scores_add(retrieval->scores, columns);
	}
}

void
gpt_retrieval_measure(const GptRetrieval *retrieval,
					  void (*put)(void *context, const char *metric, double value), void *context)
{
	const double *sums = retrieval->sums;

	put(context, "recall_at_1", sums[FIRST] / sums[WEIGHT]);
	put(context, "recall_at_10", sums[AMONG_MANY] / sums[WEIGHT]);
	put(context, "mean_reciprocal_rank", sums[RECIPROCAL] / sums[WEIGHT]);
}
