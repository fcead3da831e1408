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
#include "utils/jsonb.h"

#define GPT_CALL_CLEANED (1 << 8)

/*
 * Results that the caller does not need exactly: in the place of a number above or below these, any
 * such number will do, so the text need not be read to its end.
 */
typedef struct GptNeed
{
	bool has_above;
	bool has_below;
	double above;
	double below;
} GptNeed;

/* One call: its request, and a detail of its result. */
typedef struct GptCall
{
	LmRequest request; /* texts are the arguments', detoasted in the current context */
	const GptServed *served; /* NULL: that of gpt_call_answer; else one of its family */
	/* score: the metric; embed: whether the length is 1; chat: whether the model may reason */
	int detail;
	/*
	 * how a model with a cleaner cleans the text: LM_CLEAN_KEEP_START where it continues a prompt,
	 * GPT_CALL_CLEANED where text and prompt are clean
	 */
	int cleaning;
	double threshold; /* classify: a label of a lower probability is none; 0: as without one */
	const struct GptChat *chat; /* chat: the conversation, which becomes the prompt */
	const Jsonb *logit_bias; /* generate, chat: becomes biases; NULL: none */
	const char *draft; /* generate: the model that proposes tokens; NULL: none */
	GptNeed need; /* score */
	const struct GptConstraint *constraint; /* generate, chat (serve/constrained.h); NULL: none */
} GptCall;

/* An SQL function that calls a model: how its arguments and result map to requests. */
typedef struct GptCallKind
{
	const char *name; /* the function's */
	PGFunction function;
	Oid result_type;
	LmTask task;
	GptServedKind served;

	/*
	 * Reads the arguments except the model. False: the result is NULL, whatever the model. Raises
	 * errors of arguments; the size of a prompt is checked later.
	 */
	bool (*read)(GptCall *call, FunctionCallInfo fcinfo);
	/* The value of a request that ended without an error, palloc'd. */
	Datum (*result)(const GptCall *call, const GptServed *served, bool *is_null);
	/*
	 * Completes the request for the model; false with the error of this call. Raises no errors of
	 * arguments. NULL: the request is complete.
	 */
	bool (*prepare)(GptCall *call, const GptServed *served, LmError *error);
	/* Whether a value may be returned; false with the error of this call. NULL: all may. */
	bool (*check)(const GptCall *call, Datum value, LmError *error);
	/* names of the arguments, NULL after the last, of a function that has on_error; else NULL */
	const char *const *arguments;
	bool checks_text; /* read raises errors of the text, too */
	/* Bounds the request, whose text is complete, by what is needed. NULL: all is. */
	void (*bound)(GptCall *call);
} GptCallKind;

/* Makes the call of gpt_logprob for a text after an empty prompt. */
extern void gpt_score_of_text(GptCall *call, LmBytes text);

/* The answer to a call. error: NULL, or the reason why there is no value; palloc'd. */
typedef struct GptAnswer
{
	Datum value;
	bool is_null;
	int notices; /* of GptNotice: what the caller should know about the prompt */
	int64 n_tokens; /* score: tokens that were scored */
	bool bounded; /* the value is not exact (GptNeed) */
	LmError *error;
} GptAnswer;

/* Totals of the plan node for EXPLAIN ANALYZE. */
typedef struct GptCallTotals
{
	int64 tokens; /* that the model computed */
	double seconds;
} GptCallTotals;

/*
 * Answers n calls together, in runs of some megabytes of text; each answer has the bits that the
 * call alone would give. Checks for interrupts between steps. A call that fails gets its error;
 * other errors, lack of memory among them, are raised. held: bytes that the caller has allocated;
 * with the memory of the calls they stay within gpt.max_memory, or an error says how much is
 * needed. totals: NULL, or those of the plan node. Then each text is a call in the statistics, but
 * for those with an error: the node calls the function again for them.
 */
extern void gpt_call_answer(GptAnswer *answers, const GptCallKind *kind, const GptServed *served,
							const GptCall *calls, int n, uint64 held, GptCallTotals *totals);

/*
 * src/serve/call_models.c: the same of calls whose models [n] are given by name and may all be
 * different; sets their `served`. Calls of a base and its adapters go together, as many models at
 * once as half of gpt.max_memory holds. A call whose model does not exist, may not be used or is of
 * another kind gets an error without a reason: its function says it. Notices are raised for fcinfo.
 * *held (NULL: none) keeps one of the models in use, and so the keys and values of its family's
 * common prefix; it becomes another one, in the context.
 */
extern void gpt_call_answer_models(GptAnswer *answers, const GptCallKind *kind,
								   const char *const *models, GptCall *calls, int n,
								   FunctionCallInfo fcinfo, const GptServed **held,
								   MemoryContext context, GptCallTotals *totals);

/*
 * An SQL function whose second argument is the text. NULL if the model or the text is NULL. For a
 * text[] it returns an array of the same shape and bounds: a null element gives null; an element
 * that fails gives null and a warning with its number and the reason; lack of memory is an error.
 * _one takes a single text only.
 */
extern Datum gpt_call(const GptCallKind *kind, FunctionCallInfo fcinfo);
extern Datum gpt_call_one(const GptCallKind *kind, FunctionCallInfo fcinfo);

/* Whether a prompt has no more bytes than a model can continue. */
extern bool gpt_call_fits(size_t size, LmError *error);

/* Whether the argument is an array: the SQL function was called in its form for many texts. */
extern bool gpt_call_is_for_elements(FunctionCallInfo fcinfo, int number);

#define GPT_ELEMENTS 1024

/* The elements of an array argument, answered some at a time. */
typedef struct GptElements GptElements;

/*
 * _begin returns NULL for a NULL argument; the result lives in the current context, and the
 * arguments must outlive it. _next answers the next elements, at most GPT_ELEMENTS, and returns
 * their number; values are in the current context; held: as in gpt_call_answer. _end: whether all
 * elements are answered. _acquire: takes the model; NULL after an error that gives NULL.
 */
extern GptElements *gpt_elements_begin(const GptCallKind *kind, FunctionCallInfo fcinfo);
extern int gpt_elements_next(GptAnswer *answers, GptElements *elements, const GptServed *served,
							 uint64 held);
extern bool gpt_elements_end(const GptElements *elements);
extern const GptServed *gpt_elements_acquire(const GptElements *elements);

/* What a caller should know about a prompt. */
typedef enum GptNotice
{
	GPT_NOTICE_TRUNCATED = 1, /* it did not fit the context */
	GPT_NOTICE_OTHER_END = 2, /* it does not end as the prompts that the model was trained on */
	GPT_NOTICE_ENDED_AT_ONCE = 4, /* so perhaps, because the model said nothing */
} GptNotice;

/*
 * src/serve/call_notice.c: the notices of a generation that is done; 0: none. _notice raises each
 * of them once per statement; _raise raises them now.
 */
extern int gpt_call_notices(const LmRequest *request, const GptServed *served);
extern void gpt_call_notice(FunctionCallInfo fcinfo, int notices, const GptServed *served);
extern void gpt_call_raise_notices(int notices, const GptServed *served);

#endif /* GPT_CALL_H */
