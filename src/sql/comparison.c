/*
 * src/sql/comparison.c
 *
 * Prompts and completions of rows go in; the model continues many prompts together, and what it
 * writes is compared with the completions.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "engine/rouge.h"
#include "sql/call_kinds.h"
#include "sql/comparison.h"

#define GENERATED_FACTOR 2 /* times the tokens of the row's completion ... */
/* ... and so many are generated at most, unless the options say otherwise */
#define GENERATED_MORE 16
#define MOST_WAITING LM_MANY_SEQUENCES /* rows; as many go through the model at once */
#define MOST_SIZE (1024 * 1024) /* bytes of their texts */

/* Columns of a row's scores: from OVERLAP on they are an LmOverlap. */
enum
{
	WEIGHT,
	EXACT,
	ROUGE,
	OVERLAP,
	N_COLUMNS = OVERLAP + sizeof(LmOverlap) / sizeof(double)
};

static const LmMetric metrics[] = {{"exact_match", LM_METRIC_SHARE, EXACT, WEIGHT, 0},
								   {"rouge_l", LM_METRIC_RATIO, ROUGE, WEIGHT, 0},
								   {"bleu", LM_METRIC_BLEU, OVERLAP, WEIGHT, 0},
								   {"chrf", LM_METRIC_CHRF, OVERLAP, WEIGHT, 0}};

/* A row that waits, with the call that continues its prompt. */
typedef struct GptWaiting
{
	GptCall call;
	LmBytes wanted;
	double weight;
	int64 row;
} GptWaiting;

static LmBytes copy_of(GptComparison *comparison, LmBytes text);
static void compare(GptComparison *comparison, const GptWaiting *waiting, text *answer);
static LmBytes trimmed(LmBytes text);

GptComparison *
gpt_comparison_create(const GptServed *served, const GptTrainOptions *options, bool chats)
{
	GptComparison *comparison = palloc0(sizeof(GptComparison));

	comparison->served = served;
	comparison->options = options;
	comparison->chats = chats;
	comparison->context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt comparison", ALLOCSET_DEFAULT_SIZES);
	comparison->waiting = palloc(MOST_WAITING * sizeof(GptWaiting));
	comparison->scores = gpt_row_scores_create(metrics, lengthof(metrics), N_COLUMNS, 0);
	return comparison;
}

void
gpt_comparison_add(GptComparison *comparison, const GptSourceRow *row, LmBytes prompt,
				   LmBytes wanted, int64 n_tokens)
{
	GptWaiting *waiting = &comparison->waiting[comparison->n_waiting++];
	LmSampling sampling = {.top_p = 1, .repetition_penalty = 1};

	sampling.marked = comparison->chats;
	sampling.beams = (int) comparison->options->beams;
	sampling.length_penalty = comparison->options->length_penalty;
	sampling.max_tokens = (int) comparison->options->max_tokens;
	if (comparison->options->max_tokens == GPT_CHOSEN)
		sampling.max_tokens = (int) Min(GENERATED_FACTOR * n_tokens + GENERATED_MORE, PG_INT32_MAX);
	memset(waiting, 0, sizeof(GptWaiting));
	waiting->call.request.task = LM_TASK_GENERATE;
	waiting->call.request.sampling = sampling;
	waiting->call.request.prompt = copy_of(comparison, prompt);
	waiting->call.cleaning = GPT_CALL_CLEANED; /* with the row */
	waiting->wanted = copy_of(comparison, wanted);
	waiting->weight = row->weight;
	waiting->row = row->number;
	if (comparison->n_waiting == MOST_WAITING || comparison->size > MOST_SIZE)
		gpt_comparison_finish(comparison);
}

static LmBytes
copy_of(GptComparison *comparison, LmBytes text)
{
	char *copy = MemoryContextAllocHuge(comparison->context, text.size + 1);

	memcpy(copy, text.data, text.size);
	comparison->size += text.size;
	return (LmBytes){copy, text.size};
}

void
gpt_comparison_finish(GptComparison *comparison)
{
	MemoryContext caller = MemoryContextSwitchTo(comparison->context);
	int n = comparison->n_waiting;
	GptCall *calls = palloc((n + 1) * sizeof(GptCall));
	GptAnswer *answers = palloc((n + 1) * sizeof(GptAnswer));

	for (int i = 0; i < n; i++)
		calls[i] = comparison->waiting[i].call;
	gpt_call_answer(answers, &gpt_generate_call, comparison->served, calls, n,
					MemoryContextMemAllocated(comparison->context, true), NULL);
	for (int i = 0; i < n; i++)
	{
		if (answers[i].error != NULL)
			gpt_bridge_raise_row(answers[i].error, "query", comparison->waiting[i].row);
		compare(comparison, &comparison->waiting[i], (text *) DatumGetPointer(answers[i].value));
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(comparison->context);
	comparison->n_waiting = 0;
	comparison->size = 0;
}

/* Adds what was generated for a row to the sums. */
static void
compare(GptComparison *comparison, const GptWaiting *waiting, text *answer)
{
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	LmBytes found = {VARDATA_ANY(answer), VARSIZE_ANY_EXHDR(answer)};
	LmBytes wanted = waiting->wanted;
	double columns[N_COLUMNS] = {waiting->weight};
	LmOverlap overlap = {{0}};
	double rouge;
	LmError error;

	if (comparison->chats)
	{
		found = trimmed(found);
		wanted = trimmed(wanted);
	}
	if (lm_tokenizer_spec(comparison->served->tokenizer)->normalize_nfc)
	{
		/* The model does not know other spellings of the row's characters. */
		found = gpt_bridge_nfc(found);
		wanted = gpt_bridge_nfc(wanted);
	}
	while (!lm_rouge_l(&rouge, host, found, wanted, &error))
		gpt_bridge_retry(&error);
	while (!lm_overlap_add(&overlap, host, found, wanted, waiting->weight, &error))
		gpt_bridge_retry(&error);
	columns[ROUGE] = waiting->weight * rouge;
	if (found.size == wanted.size && memcmp(found.data, wanted.data, wanted.size) == 0)
		columns[EXACT] = waiting->weight;
	memcpy(columns + OVERLAP, &overlap, sizeof(overlap));
	comparison->exact += columns[EXACT];
	comparison->rouge += columns[ROUGE];
	lm_overlap_sum(&comparison->overlap, &overlap);
	gpt_row_scores_add(comparison->scores, columns);
}

/* Without the spaces that templates have around an answer. */
static LmBytes
trimmed(LmBytes text)
{
	while (text.size > 0 && strchr(" \t\n\r", text.data[0]) != NULL)
		text = (LmBytes){text.data + 1, text.size - 1};
	while (text.size > 0 && strchr(" \t\n\r", text.data[text.size - 1]) != NULL)
		text.size--;
	return text;
}
