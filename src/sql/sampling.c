/*
 * src/sql/sampling.c
 *
 * From the arguments of a function that generates to the sampling of its request.
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"

#include "core/argument_type.h"
#include "serve/call_draft.h"
#include "serve/constrained.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/logit_bias.h"
#include "sql/sampling.h"
#include "sql/texts.h"
#include "store/model_extras.h"

#define MAX_TOKENS 1000000
#define MAX_TEMPERATURE 100
#define MIN_PENALTY 0.01
#define MAX_PENALTY 100
#define MAX_OCCURRENCE_PENALTY 100
#define MAX_STOPS 1000
#define MAX_BANNED 1000
#define MAX_BANNED_SIZE 1000
#define MAX_LENGTH_PENALTY 10
#define NO_ARGUMENT INT_MAX
#define OPEN (-1) /* a value that the model may choose; no argument has it */

static void read_drawing(LmSampling *sampling, FunctionCallInfo fcinfo, GptArgumentNames names,
						 bool open);
static void read_beams(LmSampling *sampling, FunctionCallInfo fcinfo, GptArgumentNames names);
static void read_penalties(LmSampling *sampling, FunctionCallInfo fcinfo, GptArgumentNames names);
static void check_banned(const LmSampling *sampling);
static void read_draft(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names);
static void read_constraint(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names);
static bool is_given(FunctionCallInfo fcinfo, GptArgumentNames names, const char *name);
static double real(FunctionCallInfo fcinfo, GptArgumentNames names, const char *name,
				   double by_default, double minimum, double maximum);
static uint64 seed_of_call(FunctionCallInfo fcinfo);
static uint64 draw_seed(void);

int
gpt_argument_number(GptArgumentNames names, const char *name)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return NO_ARGUMENT;
}

static bool
is_given(FunctionCallInfo fcinfo, GptArgumentNames names, const char *name)
{
	int number = gpt_argument_number(names, name);

	return number < PG_NARGS() && !PG_ARGISNULL(number);
}

void
gpt_sampling_read(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names, bool open)
{
	LmSampling *sampling = &call->request.sampling;
	int seed = gpt_argument_number(names, "seed");

	memset(sampling, 0, sizeof(LmSampling));
	read_drawing(sampling, fcinfo, names, open);
	sampling->stops = gpt_texts_read(&sampling->n_stops, fcinfo, gpt_argument_number(names, "stop"),
									 "stop", MAX_STOPS);
	sampling->seed = PG_ARGISNULL(seed) ? seed_of_call(fcinfo) : (uint64) PG_GETARG_INT64(seed);
	read_beams(sampling, fcinfo, names);
	read_penalties(sampling, fcinfo, names);
	sampling->banned = gpt_texts_read(&sampling->n_banned, fcinfo,
									  gpt_argument_number(names, "banned"), "banned", MAX_BANNED);
	check_banned(sampling);
	if (is_given(fcinfo, names, "logit_bias"))
	{
		call->logit_bias = PG_GETARG_JSONB_P(gpt_argument_number(names, "logit_bias"));
		gpt_logit_bias_check(call->logit_bias);
	}
	read_draft(call, fcinfo, names);
	read_constraint(call, fcinfo, names);
}

/* At most one of the arguments that say which texts may be written. */
static void
read_constraint(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names)
{
	static const char *const kinds[] = {"choices", "pattern", "schema"};
	const LmSampling *sampling = &call->request.sampling;
	const char *name = NULL;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (!is_given(fcinfo, names, kinds[i]))
			continue;
		if (name != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s and %s cannot be used together", name, kinds[i])));
		name = kinds[i];
		call->constraint = gpt_constraint_read((GptConstraintKind) i,
											   PG_GETARG_DATUM(gpt_argument_number(names, name)));
	}
	if (name != NULL)
		gpt_sampling_check_constraint(sampling, name);
}

void
gpt_sampling_check_constraint(const LmSampling *sampling, const char *name)
{
	const char *other = sampling->n_stops > 0	 ? "stop"
						: sampling->n_banned > 0 ? "banned"
						: sampling->beams > 1	 ? "beams"
												 : NULL;

	if (other != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s cannot be used with %s", other, name),
						errdetail("%s decides alone where a text ends and what it has.", name)));
}

/* The arguments of a draw, which gpt_chat leaves open where the model may choose. */
static void
read_drawing(LmSampling *sampling, FunctionCallInfo fcinfo, GptArgumentNames names, bool open)
{
	sampling->max_tokens = gpt_argument_integer(fcinfo, gpt_argument_number(names, "max_tokens"),
												"max_tokens", 64, 1, MAX_TOKENS);
	sampling->temperature = real(fcinfo, names, "temperature", 0.8, 0, MAX_TEMPERATURE);
	sampling->top_k = gpt_argument_integer(fcinfo, gpt_argument_number(names, "top_k"), "top_k", 0,
										   0, LM_MAX_VOCABULARY);
	sampling->top_p =
		gpt_argument_real(fcinfo, gpt_argument_number(names, "top_p"), "top_p", 1, 0, 1, true);
	sampling->min_p = real(fcinfo, names, "min_p", 0, 0, 1);
	sampling->repetition_penalty =
		real(fcinfo, names, "repetition_penalty", 1, MIN_PENALTY, MAX_PENALTY);
	if (open && !is_given(fcinfo, names, "temperature"))
		sampling->temperature = OPEN;
	if (open && !is_given(fcinfo, names, "top_k"))
		sampling->top_k = OPEN;
	if (open && !is_given(fcinfo, names, "top_p"))
		sampling->top_p = OPEN;
	if (open && !is_given(fcinfo, names, "min_p"))
		sampling->min_p = OPEN;
	if (open && !is_given(fcinfo, names, "repetition_penalty"))
		sampling->repetition_penalty = OPEN;
}

static double
real(FunctionCallInfo fcinfo, GptArgumentNames names, const char *name, double by_default,
	 double minimum, double maximum)
{
	return gpt_argument_real(fcinfo, gpt_argument_number(names, name), name, by_default, minimum,
							 maximum, false);
}

static void
read_beams(LmSampling *sampling, FunctionCallInfo fcinfo, GptArgumentNames names)
{
	const char *limit = NULL;

	sampling->beams = gpt_argument_integer(fcinfo, gpt_argument_number(names, "beams"), "beams", 1,
										   1, LM_MAX_BEAMS);
	sampling->length_penalty =
		real(fcinfo, names, "length_penalty", GPT_LENGTH_PENALTY, 0, MAX_LENGTH_PENALTY);
	if (sampling->beams == 1)
		return;
	if (sampling->top_k > 0)
		limit = "top_k";
	else if (sampling->top_p != OPEN && sampling->top_p < 1)
		limit = "top_p";
	else if (sampling->min_p > 0)
		limit = "min_p";
	if (limit != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s cannot be used with %d beams", limit, sampling->beams),
						errdetail("A beam search draws no tokens.")));
}

/* A model that proposes tokens, or the word that has them looked up. */
static void
read_draft(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names)
{
	LmSampling *sampling = &call->request.sampling;
	char *draft;

	call->draft = NULL;
	if (!is_given(fcinfo, names, "draft"))
		return;
	draft = gpt_argument_text(fcinfo, gpt_argument_number(names, "draft"));
	if (sampling->beams > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("draft cannot be used with %d beams", sampling->beams),
						errdetail("A beam search reads its texts together.")));
	sampling->lookup = strcmp(draft, GPT_DRAFT_PROMPT) == 0;
	call->draft = sampling->lookup ? NULL : draft;
}

static void
read_penalties(LmSampling *sampling, FunctionCallInfo fcinfo, GptArgumentNames names)
{
	sampling->presence_penalty =
		real(fcinfo, names, "presence_penalty", 0, -MAX_OCCURRENCE_PENALTY, MAX_OCCURRENCE_PENALTY);
	sampling->frequency_penalty = real(fcinfo, names, "frequency_penalty", 0,
									   -MAX_OCCURRENCE_PENALTY, MAX_OCCURRENCE_PENALTY);
}

/* No token is longer; a longer text would be a mistake. */
static void
check_banned(const LmSampling *sampling)
{
	for (int i = 0; i < sampling->n_banned; i++)
		if (sampling->banned[i].size > MAX_BANNED_SIZE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("banned has a text of %zu bytes", sampling->banned[i].size),
							errhint("It may have up to %d.", MAX_BANNED_SIZE)));
}

bool
gpt_sampling_prepare(GptCall *call, const GptServed *served, LmError *error)
{
	if (call->constraint != NULL)
	{
		call->request.sampling.constraint = gpt_constraint_get(call->constraint, served, error);
		if (call->request.sampling.constraint == NULL)
			return false;
	}
	return call->logit_bias == NULL ||
		   gpt_logit_bias_resolve(&call->request.sampling, call->logit_bias, served, error);
}

void
gpt_sampling_complete(LmSampling *sampling, const char *extras)
{
	/* A search draws nothing, so the model's own limits of a draw do not count. */
	const char *limits = sampling->beams > 1 ? NULL : extras;

	if (sampling->temperature == OPEN)
		sampling->temperature = gpt_extras_sampling(extras, "temperature", 0.8);
	if (sampling->top_k == OPEN)
		sampling->top_k = (int) gpt_extras_sampling(limits, "top_k", 0);
	if (sampling->top_p == OPEN)
		sampling->top_p = gpt_extras_sampling(limits, "top_p", 1);
	if (sampling->min_p == OPEN)
		sampling->min_p = gpt_extras_sampling(limits, "min_p", 0);
	if (sampling->repetition_penalty == OPEN)
		sampling->repetition_penalty = gpt_extras_sampling(extras, "repetition_penalty", 1);
}

/* A call of a fixed version is immutable: its answer must not rest on a draw. */
static uint64
seed_of_call(FunctionCallInfo fcinfo)
{
	return gpt_argument_type(fcinfo, 0) == TEXTOID ? draw_seed() : 0;
}

static uint64
draw_seed(void)
{
	uint64 seed;

	if (!pg_strong_random(&seed, sizeof(seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not draw a random seed")));
	return seed;
}
