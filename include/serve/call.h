/*
 * include/serve/call.h
 *
 * Calls of a function of a model, apart from the call itself: a kind says how arguments become a
 * request and a result becomes a value. So every call goes the same way, alone (gpt_call), as an
 * element of an array, or as a row of an aggregate or of a query.
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
 * with what the calls need they are within gpt.max_memory, or an error says what would be. totals:
 * NULL where nobody asks.
 */
extern void gpt_call_answer(GptAnswer *answers, const GptCallKind *kind, const GptServed *served,
							const GptCall *calls, int n, uint64 held, GptCallTotals *totals);

/*
 * A function of SQL whose second argument is the text: its value, or NULL where the model or that
 * text is. For a text[] an array of the same shape and bounds: a null element gives null; one that
 * fails gives null too, with a warning that has its number and says why; where memory is wanting,
 * that is an error.
 */
extern Datum gpt_call(const GptCallKind *kind, FunctionCallInfo fcinfo);
extern Datum gpt_call_one(const GptCallKind *kind, FunctionCallInfo fcinfo); /* of a text only */

/* Error for a prompt that is too long to be continued. */
extern void gpt_call_check_prompt(size_t size);

/* Whether the argument is an array: the function was called in its form for many texts. */
extern bool gpt_call_is_for_elements(FunctionCallInfo fcinfo, int number);

/*
 * Elements of an array, some at a time. _begin: NULL for a NULL argument, else in the current
 * context, as long as the arguments live. _next: the answers of the next elements, at most
 * GPT_ELEMENTS, whose number it returns; values are in the current context; held as above.
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
