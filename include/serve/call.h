/*
 * include/serve/call.h
 *
 * Calls of a function of a model, apart from the call itself: what is asked, and what the answer is
 * as a value. So that many calls are answered together: the elements of an array
 * (gpt_call_elements), rows of an aggregate or of a query.
 */
#ifndef GPT_CALL_H
#define GPT_CALL_H

#include "engine/many.h"
#include "serve/cache.h"
#include "fmgr.h"

/* One call: its request, and what the result needs beside it. */
typedef struct GptCall
{
	LmRequest request; /* texts are the arguments', detoasted in the current context */
	int detail; /* score: the metric; embed: whether the length is 1 */
} GptCall;

typedef struct GptCallKind
{
	const char *name; /* the function's */
	PGFunction function;
	Oid result_type;
	LmTask task;
	GptServedKind served;

	/*
	 * Reads the arguments, of which the model's name is none of its business. False: the result is
	 * NULL, whatever the model. Raises errors of arguments, but not of the size of a prompt.
	 */
	bool (*read)(GptCall *call, FunctionCallInfo fcinfo);
	/* The value of a request that is done without an error, palloc'd. */
	Datum (*result)(const GptCall *call, const GptServed *served, bool *is_null);
} GptCallKind;

/* The call of gpt_logprob for a text after an empty prompt. */
extern void gpt_score_of_text(GptCall *call, LmBytes text);

/* An answer. error is NULL, or says why there is none; palloc'd. */
typedef struct GptAnswer
{
	Datum value;
	bool is_null;
	bool is_truncated; /* the prompt did not fit the context */
	int64 n_tokens; /* score: that were scored */
	LmError *error;
} GptAnswer;

/* Totals for EXPLAIN ANALYZE. */
typedef struct GptCallTotals
{
	int64 tokens; /* that went through the model */
	double seconds;
} GptCallTotals;

/*
 * Answers calls together, with the bits of each alone; in runs of some megabytes of text. Checks
 * for interrupts between steps. A call that fails has its error; what no call can be blamed for is
 * raised, a lack of memory among it. held is the number of bytes that the caller has of his own:
 * with what the calls need they are within gpt.max_memory, or an error says what would be.
 */
extern void gpt_call_answer(GptAnswer *answers, const GptCallKind *kind, const GptServed *served,
							const GptCall *calls, int n, uint64 held, GptCallTotals *totals);

/* Whether the argument is an array: the function was called in its form for many texts. */
extern bool gpt_call_is_for_elements(FunctionCallInfo fcinfo, int number);

/*
 * The function for each element of its second argument, a text[]: an array of the same shape and
 * bounds. A null element gives null; one that fails gives null too, with a warning that has its
 * number and says why; where memory is wanting, that is an error.
 */
extern Datum gpt_call_elements(const GptCallKind *kind, FunctionCallInfo fcinfo);

/*
 * The same, some elements at a time. _begin: NULL for a NULL argument, else in the current context,
 * as long as the arguments live. _next: the answers of the next elements, at most GPT_ELEMENTS,
 * whose number it returns; values are in the current context; held as above.
 */
#define GPT_ELEMENTS 1024

typedef struct GptElements GptElements;

extern GptElements *gpt_elements_begin(const GptCallKind *kind, FunctionCallInfo fcinfo);
extern int gpt_elements_next(GptAnswer *answers, GptElements *elements, const GptServed *served,
							 uint64 held);
extern bool gpt_elements_end(const GptElements *elements);
extern const char *gpt_elements_model(const GptElements *elements);

/* Says once a statement that a prompt was longer than the context. */
extern void gpt_call_notice_truncation(FunctionCallInfo fcinfo, int context);

#endif /* GPT_CALL_H */
