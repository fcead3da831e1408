/*
 * src/sql/occlusion.c
 *
 * Texts without one of their words go through the batched entry of inference, and their scores come
 * out: exact, but one text for each word.
 *
 * A word goes with the white space before it, the first one with that after it, so that the rest
 * reads as if it had never been there.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "serve/call.h"
#include "sql/call_kinds.h"
#include "sql/occlusion.h"

#define TOGETHER 256 /* texts */
#define TOGETHER_SIZE (1024 * 1024) /* bytes of them; one that is larger goes alone */

static Datum score_of_head(const GptCall *call, const GptServed *served, bool *is_null);
static void find_words(GptOccluded *occluded, LmBytes text);
static double score_whole(GptAnswerExplained *answer, const GptServed *served);
static void occlude_text(GptOccluded *occluded, const GptAnswerExplained *answer, int number,
						 double whole, const GptServed *served);
static LmBytes without(LmBytes text, const GptOccluded *occluded, size_t word);
static GptCall call_of(const GptAnswerExplained *answer);
static void score_calls(double *scores, GptCall *calls, int n, const GptAnswerExplained *answer,
						const GptServed *served, uint64 held);

/* A label's log-odds or a number: the score that engine/explain.h defines. Its function is none. */
static const GptCallKind head_call = {.name = "gpt_explain",
									  .result_type = FLOAT8OID,
									  .task = LM_TASK_CLASSIFY,
									  .served = GPT_SERVED_ANY,
									  .result = score_of_head,
									  .prepare = gpt_judged_prepare};

double
gpt_occlude(GptOccluded *occluded, GptAnswerExplained *answer, const GptServed *served)
{
	size_t n = 0;
	double whole;

	for (int i = 0; i < answer->n_texts; i++)
	{
		find_words(&occluded[i], answer->texts[i]);
		n += occluded[i].n;
	}
	if (n > GPT_OCCLUSION_WORDS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("input has %zu words, occlusion leaves out at most %d", n,
							   GPT_OCCLUSION_WORDS),
						errdetail("It reads the text once without each word."),
						errhint("Use method \"gradients\", or cut the text with gpt_chunk.")));
	whole = score_whole(answer, served);
	for (int i = 0; i < answer->n_texts; i++)
		occlude_text(&occluded[i], answer, i, whole, served);
	return whole;
}

static void
find_words(GptOccluded *occluded, LmBytes text)
{
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	size_t capacity = 0;
	LmError error;

	memset(occluded, 0, sizeof(GptOccluded));
	while (!lm_word_spans(&occluded->words, &occluded->n, &capacity, host, text, &error))
		gpt_bridge_retry(&error);
	occluded->weights = palloc((occluded->n + 1) * sizeof(double));
}

/* The score of the whole text; chooses the label where none is named. */
static double
score_whole(GptAnswerExplained *answer, const GptServed *served)
{
	GptCall call = call_of(answer);
	double score;

	score_calls(&score, &call, 1, answer, served, 0);
	if (answer->label < 0 && !answer->is_target)
	{
		answer->label = (int) score;
		call = call_of(answer);
		score_calls(&score, &call, 1, answer, served, 0);
	}
	return score;
}

/* The words of one text, as many at a time as their texts are small. */
static void
occlude_text(GptOccluded *occluded, const GptAnswerExplained *answer, int number, double whole,
			 const GptServed *served)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt occlusion", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	LmBytes text = answer->texts[number];
	int most = Max(1, Min(TOGETHER, (int) (TOGETHER_SIZE / (text.size + 1))));

	for (size_t first = 0; first < occluded->n; first += most)
	{
		int n = (int) Min(most, occluded->n - first);
		GptCall *calls = palloc(n * sizeof(GptCall));
		double scores[TOGETHER];

		for (int i = 0; i < n; i++)
		{
			GptAnswerExplained other = *answer;

			other.texts[number] = without(text, occluded, first + i);
			calls[i] = call_of(&other);
		}
		score_calls(scores, calls, n, answer, served, MemoryContextMemAllocated(context, true));
		for (int i = 0; i < n; i++)
			occluded->weights[first + i] = whole - scores[i];
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* A copy of the text without a word. */
static LmBytes
without(LmBytes text, const GptOccluded *occluded, size_t word)
{
	const LmWordSpan *span = &occluded->words[word];
	size_t first = span->lead, end = span->end;
	char *copy = palloc(text.size + 1);

	if (word == 0)
		end = occluded->n > 1 ? occluded->words[1].start : text.size;
	memcpy(copy, text.data, first);
	memcpy(copy + first, text.data + end, text.size - end);
	return (LmBytes){copy, text.size - (end - first)};
}

static GptCall
call_of(const GptAnswerExplained *answer)
{
	GptCall call;

	if (answer->is_target)
	{
		gpt_score_of_text(&call, answer->target);
		call.request.prompt = answer->texts[0];
		call.request.include_end = answer->is_end;
	}
	else if (answer->n_texts == 2)
		gpt_judge_texts(&call, answer->texts[0], answer->texts[1]);
	else
		gpt_judge_texts(&call, (LmBytes){NULL, 0}, answer->texts[0]);
	call.cleaning = GPT_CALL_CLEANED;
	if (!answer->is_target)
	{
		call.request.logits = true;
		call.detail = answer->label;
	}
	return call;
}

static void
score_calls(double *scores, GptCall *calls, int n, const GptAnswerExplained *answer,
			const GptServed *served, uint64 held)
{
	GptAnswer *answers = palloc(n * sizeof(GptAnswer));

	gpt_call_answer(answers, answer->is_target ? &gpt_logprob_call : &head_call, served, calls, n,
					held, NULL);
	for (int i = 0; i < n; i++)
	{
		if (answers[i].error != NULL)
			gpt_bridge_raise(answers[i].error);
		scores[i] = answers[i].is_null ? 0 : DatumGetFloat8(answers[i].value);
	}
	pfree(answers);
}

/* Of a label below 0 the number of the most probable one instead. */
static Datum
score_of_head(const GptCall *call, const GptServed *served, bool *is_null)
{
	const LmConfig *config = served->config;
	const float *logits = call->request.vector;
	double largest = -INFINITY, sum = 0;
	int label = call->detail, best = 0;

	*is_null = false;
	if (config->number)
		return Float8GetDatum((double) config->number_mean +
							  (double) config->number_scale * logits[0]);
	for (int i = 1; i < config->labels; i++)
		best = logits[i] > logits[best] ? i : best;
	if (label < 0)
		return Float8GetDatum(best);
	if (config->multi_label || config->labels == 1)
		return Float8GetDatum(logits[label]);
	for (int i = 0; i < config->labels; i++)
		largest = i != label ? fmax(largest, logits[i]) : largest;
	for (int i = 0; i < config->labels; i++)
		sum += i != label ? exp(logits[i] - largest) : 0;
	return Float8GetDatum(logits[label] - largest - log(sum));
}
