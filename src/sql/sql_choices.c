/*
 * src/sql/sql_choices.c
 *
 * gpt_choose and gpt_choose_probs: which of some texts a language model expects after a prompt,
 * without having been trained to choose.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/words.h"
#include "serve/cache.h"
#include "serve/call_try.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

#define SLICE 64 /* choices that are scored together */
/*
 * So many prompts in a row with the same answer, all different from the one before, are told to the
 * user: by chance alone that happens once in half a billion times with two choices.
 */
#define SAME_ANSWERS 30

PG_FUNCTION_INFO_V1(gpt_choose);
PG_FUNCTION_INFO_V1(gpt_choose_probs);

/* What a rating is for each of: log probabilities of longer choices are smaller. */
typedef enum Per
{
	PER_CHOICE,
	PER_TOKEN,
	PER_BYTE,
} Per;

/* How choices are rated. */
typedef struct Rating
{
	const GptServed *served;
	LmBytes prompt;
	LmBytes domain; /* the prompt after which the choices' own likelihood is taken */
	bool subtracts; /* that likelihood */
	Per per;
	const char *function;
	bool nulls; /* an error gives NULL */
} Rating;

typedef struct Rated
{
	Datum choice;
	double rating; /* NaN: it has no scored token */
	int64 number; /* in the array */
} Rated;

/* The choices of a call, SLICE at a time. */
typedef struct Choices
{
	Rating how;
	ArrayIterator iterator;
	MemoryContext scratch;
	int64 n_read;
	bool failed; /* with an error that gives NULL */
} Choices;

/* The answers of a statement so far, while they are all the same. */
typedef struct SameAnswers
{
	uint64 answer;
	uint64 prompt; /* the last one */
	int n;
	bool ended; /* they are not the same, or the user knows */
} SameAnswers;

static bool begin_choices(Choices *choices, FunctionCallInfo fcinfo, const char *function);
static void end_choices(Choices *choices);
static int next_rated(Rated *rated, Choices *choices);
static bool rate(double *ratings, const Rating *how, const Rated *slice, int n);
static double logprob_of(const GptAnswer *answer);
static Per read_per(FunctionCallInfo fcinfo);
static void note_answer(FunctionCallInfo fcinfo, LmBytes prompt, Datum answer);
static void to_probabilities(Rated *rated, int64 n);
static int compare_rated(const void *a, const void *b);

static LmBytes
bytes_of(Datum value)
{
	text *detoasted = DatumGetTextPP(value);

	return (LmBytes){VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted)};
}

/*
 * gpt_choose(model text, prompt text, choices text[], domain text DEFAULT '',
 *     subtract boolean DEFAULT true, per text DEFAULT 'choice') RETURNS text
 *
 * The choice that the prompt makes more likely than it is by itself: the largest log p(choice |
 * prompt) - log p(choice | domain) (Holtzman et al. 2021, "Surface form competition", section 3.2,
 * https://arxiv.org/abs/2104.08315); the first of equals. subtract false: the largest log p(choice
 * | prompt). per: divided by the choice's tokens or bytes (Brown et al. 2020, section 2.4). NULL
 * model, prompt or choices give NULL, as do choices of which none has a scored token; a null among
 * them is passed over. NULL elsewhere means the default.
 */
Datum
gpt_choose(PG_FUNCTION_ARGS)
{
	Rated rated[SLICE];
	Rated best = {(Datum) 0, 0, 0};
	int64 n_rated = 0;
	Choices choices;
	int n;

	gpt_argument_check_call(fcinfo);
	if (!begin_choices(&choices, fcinfo, "gpt_choose"))
		PG_RETURN_NULL();

	/* Now do the work. */
	while ((n = next_rated(rated, &choices)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			if (isnan(rated[i].rating))
				continue;
			if (n_rated++ == 0 || rated[i].rating > best.rating)
				best = rated[i];
		}
	}
	end_choices(&choices);
	if (n_rated == 0 || choices.failed)
		PG_RETURN_NULL();
	if (n_rated > 1)
		note_answer(fcinfo, choices.how.prompt, best.choice);
	PG_RETURN_DATUM(best.choice);
}

/*
 * gpt_choose_probs(model text, prompt text, choices text[], domain text DEFAULT '',
 *     subtract boolean DEFAULT true, per text DEFAULT 'choice') -> setof (choice, probability real)
 *
 * The choices with their shares of the sum of exp(rating), the largest first. No rows where
 * gpt_choose gives NULL.
 */
Datum
gpt_choose_probs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Choices choices;
	Rated *rated;
	int64 capacity = SLICE;
	int64 n = 0;
	int more;

	gpt_argument_check_call(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	if (!begin_choices(&choices, fcinfo, "gpt_choose_probs"))
		return (Datum) 0;

	/* Now do the work. */
	rated = palloc(capacity * sizeof(Rated));
	while ((more = next_rated(rated + n, &choices)) > 0)
	{
		int64 first = n;

		for (int i = 0; i < more; i++)
		{
			if (!isnan(rated[first + i].rating))
				rated[n++] = rated[first + i];
		}
		if (n + SLICE > capacity)
		{
			capacity = 2 * (n + SLICE);
			gpt_bridge_check_memory((uint64) capacity * sizeof(Rated));
			rated = repalloc_huge(rated, capacity * sizeof(Rated));
		}
	}
	end_choices(&choices);
	n = choices.failed ? 0 : n;
	to_probabilities(rated, n);
	for (int64 i = 0; i < n; i++)
	{
		Datum values[2] = {rated[i].choice, Float4GetDatum((float4) rated[i].rating)};
		bool nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- The choices of a call ---------------------------------------------- */

/* Reads the arguments and takes the model; false: one that must not be NULL is. */
static bool
begin_choices(Choices *choices, FunctionCallInfo fcinfo, const char *function)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return false;
	gpt_bridge_check_encoding();
	gpt_bridge_check_memory(
		VARATT_IS_EXTENDED(PG_GETARG_POINTER(2)) ? toast_raw_datum_size(PG_GETARG_DATUM(2)) : 0);
	*choices = (Choices){
		.how = {.prompt = bytes_of(PG_GETARG_DATUM(1)),
				.domain = PG_ARGISNULL(3) ? (LmBytes){"", 0} : bytes_of(PG_GETARG_DATUM(3)),
				.subtracts = PG_ARGISNULL(4) || PG_GETARG_BOOL(4),
				.per = read_per(fcinfo),
				.function = function,
				.nulls = gpt_try_nulls(fcinfo, NULL)},
		.iterator = array_create_iterator(PG_GETARG_ARRAYTYPE_P(2), 0, NULL),
		.scratch =
			AllocSetContextCreate(CurrentMemoryContext, "gpt choices", ALLOCSET_DEFAULT_SIZES),
	};
	choices->how.served = gpt_try_acquire(fcinfo, function, gpt_argument_text(fcinfo, 0),
										  GPT_SERVED_LANGUAGE_MODEL, choices->how.nulls);
	return choices->how.served != NULL;
}

static void
end_choices(Choices *choices)
{
	gpt_cache_release(choices->how.served);
	array_free_iterator(choices->iterator);
	MemoryContextDelete(choices->scratch);
}

static const char *
per_name(int per)
{
	static const char *const names[] = {
		[PER_CHOICE] = "choice", [PER_TOKEN] = "token", [PER_BYTE] = "byte"};

	return per >= 0 && per < lengthof(names) ? names[per] : NULL;
}

static Per
read_per(FunctionCallInfo fcinfo)
{
	char *name;
	int per;

	if (PG_ARGISNULL(5))
		return PER_CHOICE;
	name = gpt_argument_text(fcinfo, 5);
	per = gpt_word_find(per_name, name, strlen(name));
	if (per < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("per \"%s\" does not exist", name),
						errhint("Choices are rated per %s.", gpt_words_list(per_name, " or "))));
	return (Per) per;
}

/* Rates the next choices that are not null, at most SLICE; returns their number. */
static int
next_rated(Rated *rated, Choices *choices)
{
	double ratings[SLICE];
	MemoryContext caller;
	bool is_null;
	int n = 0;

	while (n < SLICE && array_iterate(choices->iterator, &rated[n].choice, &is_null))
	{
		rated[n].number = choices->n_read++;
		n += is_null ? 0 : 1;
	}
	if (n == 0)
		return 0;
	caller = MemoryContextSwitchTo(choices->scratch);
	choices->failed = !rate(ratings, &choices->how, rated, n);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(choices->scratch);
	if (choices->failed)
		return 0;
	for (int i = 0; i < n; i++)
		rated[i].rating = ratings[i];
	return n;
}

/* NaN where a choice has no scored token. False after an error that gives NULL. */
static bool
rate(double *ratings, const Rating *how, const Rated *slice, int n)
{
	GptAnswer *after = palloc(n * sizeof(GptAnswer));
	GptAnswer *alone = palloc0(n * sizeof(GptAnswer));
	GptCall *calls = palloc(n * sizeof(GptCall));

	for (int i = 0; i < n; i++)
	{
		gpt_score_of_text(&calls[i], bytes_of(slice[i].choice));
		calls[i].request.prompt = how->domain;
		calls[i].cleaning = LM_CLEAN_KEEP_START;
	}
	if (how->subtracts)
		gpt_call_answer(alone, &gpt_logprob_call, how->served, calls, n, 0, NULL);
	for (int i = 0; i < n; i++)
		calls[i].request.prompt = how->prompt;
	gpt_call_answer(after, &gpt_logprob_call, how->served, calls, n, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		double divisor = how->per == PER_TOKEN	? (double) after[i].n_tokens
						 : how->per == PER_BYTE ? (double) bytes_of(slice[i].choice).size
												: 1;

		if (!gpt_try_error(after[i].error, how->function, how->served->model, how->nulls) ||
			!gpt_try_error(alone[i].error, how->function, how->served->model, how->nulls))
			return false;
		ratings[i] = NAN;
		if (!after[i].is_null)
			ratings[i] =
				(DatumGetFloat8(after[i].value) - (how->subtracts ? logprob_of(&alone[i]) : 0)) /
				divisor;
	}
	return true;
}

/* 0 of a text without a scored token */
static double
logprob_of(const GptAnswer *answer)
{
	return answer->is_null ? 0 : DatumGetFloat8(answer->value);
}

/* ---- Probabilities ------------------------------------------------------ */

/* Ratings become shares of the sum of their exponentials, in descending order. */
static void
to_probabilities(Rated *rated, int64 n)
{
	double sum = 0;

	qsort(rated, n, sizeof(Rated), compare_rated);
	for (int64 i = n - 1; i >= 0; i--)
	{
		rated[i].rating = exp(rated[i].rating - rated[0].rating);
		sum += rated[i].rating;
	}
	for (int64 i = 0; i < n; i++)
		rated[i].rating /= sum;
}

static int
compare_rated(const void *a, const void *b)
{
	const Rated *first = a;
	const Rated *second = b;

	CHECK_FOR_INTERRUPTS();
	if (first->rating != second->rating)
		return first->rating > second->rating ? -1 : 1;
	return first->number < second->number ? -1 : first->number > second->number;
}

/* ---- A model that always says the same ---------------------------------- */

/* Counts answers of a statement while they are the same; tells the user when they are many. */
static void
note_answer(FunctionCallInfo fcinfo, LmBytes prompt, Datum answer)
{
	LmBytes text = bytes_of(answer);
	uint64 prompt_hash = hash_bytes_extended((const unsigned char *) prompt.data, prompt.size, 0);
	uint64 answer_hash = hash_bytes_extended((const unsigned char *) text.data, text.size, 0);
	SameAnswers *same = fcinfo->flinfo->fn_extra;

	if (same == NULL)
		same = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(SameAnswers));
	fcinfo->flinfo->fn_extra = same;
	if (same->ended || (same->n > 0 && same->prompt == prompt_hash))
		return;
	same->ended = same->n > 0 && same->answer != answer_hash;
	same->answer = answer_hash;
	same->prompt = prompt_hash;
	if (same->ended || ++same->n < SAME_ANSWERS)
		return;
	same->ended = true;
	ereport(
		NOTICE,
		(errmsg("gpt_choose gave the first %d prompts of the statement the same answer, \"%s\"",
				SAME_ANSWERS, pnstrdup(text.data, pg_mbcliplen(text.data, (int) text.size, 60))),
		 errdetail("Either these prompts have one answer, or the model does not know the task."),
		 errhint("Give a prompt without its text as \"domain\", or fine-tune a classifier on some "
				 "rows with a column \"label\".")));
}
