/*
 * src/serve/call_models.c
 *
 * Calls whose models are values, such as those of a column: calls of one family, which are those of
 * a base and of its adapters, go through the model together; other models follow one after another.
 */
#include "postgres.h"

#include "serve/call.h"

/* The calls, sorted by the names of their models. */
typedef struct Named
{
	const char *model;
	int call; /* its number */
} Named;

/* A call of a round, sorted by families. */
typedef struct Member
{
	const void *family;
	int call;
} Member;

/* Calls that are being answered, in rounds of as many models as there is room for. */
typedef struct Models
{
	GptAnswer *answers;
	const GptCallKind *kind;
	GptCall *calls;
	int n;
	Named *named; /* [n] */
	int n_named; /* whose models have been acquired, or have failed */
	const GptServed **acquired; /* [n] of this round */
	int n_acquired;
	Member *members; /* [n] of this round */
	int n_members;
	FunctionCallInfo fcinfo;
	const GptServed **held; /* the last one of an earlier round, or NULL */
	MemoryContext context; /* of uses of models */
	GptCallTotals *totals;
} Models;

static int compare_named(const void *a, const void *b);
static int compare_members(const void *a, const void *b);
static void acquire_some(Models *models);
static bool acquire(Models *models, const char *model, const GptServed **served);
static void answer_families(Models *models);
static void answer_family(Models *models, const Member *members, int n);

void
gpt_call_answer_models(GptAnswer *answers, const GptCallKind *kind, const char *const *models,
					   GptCall *calls, int n, FunctionCallInfo fcinfo, const GptServed **held,
					   MemoryContext context, GptCallTotals *totals)
{
	Models work = {.answers = answers,
				   .kind = kind,
				   .calls = calls,
				   .n = n,
				   .fcinfo = fcinfo,
				   .held = held,
				   .context = context,
				   .totals = totals};

	work.named = palloc(n * sizeof(Named));
	work.acquired = palloc(n * sizeof(GptServed *));
	work.members = palloc(n * sizeof(Member));
	for (int i = 0; i < n; i++)
		work.named[i] = (Named){models[i], i};
	qsort(work.named, n, sizeof(Named), compare_named);
	while (work.n_named < n)
	{
		acquire_some(&work);
		answer_families(&work);
		/* The last one stays; the one before it stayed until now, for the keys of its family. */
		for (int i = 0; i < work.n_acquired; i++)
		{
			const GptServed *old = i == 0 ? *held : work.acquired[i - 1];

			if (old != NULL)
				gpt_cache_release(old);
		}
		if (work.n_acquired > 0)
			*held = work.acquired[work.n_acquired - 1];
	}
	pfree(work.named);
	pfree(work.acquired);
	pfree(work.members);
}

static int
compare_named(const void *a, const void *b)
{
	const Named *first = a, *second = b;
	int order = first->model == second->model ? 0 : strcmp(first->model, second->model);

	return order != 0 ? order : first->call - second->call;
}

/* Acquires the models of further calls, at least one. */
static void
acquire_some(Models *models)
{
	models->n_acquired = models->n_members = 0;
	while (models->n_named < models->n)
	{
		const char *model = models->named[models->n_named].model;
		const GptServed *served = NULL;

		if (!acquire(models, model, &served))
			return;
		for (; models->n_named < models->n &&
			   strcmp(models->named[models->n_named].model, model) == 0;
			 models->n_named++)
		{
			int call = models->named[models->n_named].call;

			models->calls[call].served = served;
			if (served != NULL)
				models->members[models->n_members++] = (Member){gpt_cache_family(served), call};
			else
				models->answers[call] =
					(GptAnswer){.is_null = true, .error = palloc0(sizeof(LmError))};
		}
	}
}

/*
 * False where the round has to end before this model. *served is NULL for a model that its function
 * would refuse. The first model of a round is loaded in any case, or raises the error of memory.
 */
static bool
acquire(Models *models, const char *model, const GptServed **served)
{
	MemoryContext caller = MemoryContextSwitchTo(models->context);
	GptAcquired acquired = gpt_cache_try_acquire(served, model, models->kind->served);

	if (acquired == GPT_ACQUIRE_WAITS && models->n_acquired == 0)
	{
		/* A single call has the memory of the model before it. */
		if (*models->held != NULL)
			gpt_cache_release(*models->held);
		*models->held = NULL;
		*served = gpt_cache_acquire(model, models->kind->served);
		acquired = GPT_ACQUIRED;
	}
	MemoryContextSwitchTo(caller);
	if (acquired == GPT_ACQUIRED)
		models->acquired[models->n_acquired++] = *served;
	return acquired != GPT_ACQUIRE_WAITS;
}

static void
answer_families(Models *models)
{
	int first = 0;

	qsort(models->members, models->n_members, sizeof(Member), compare_members);
	for (int i = 1; i <= models->n_members; i++)
	{
		if (i < models->n_members && models->members[i].family == models->members[first].family)
			continue;
		answer_family(models, models->members + first, i - first);
		first = i;
	}
}

static int
compare_members(const void *a, const void *b)
{
	const Member *first = a, *second = b;

	if (first->family != second->family)
		return (uintptr_t) first->family < (uintptr_t) second->family ? -1 : 1;
	return first->call - second->call;
}

/* Calls in their order, so that those of one model are as without others. */
static void
answer_family(Models *models, const Member *members, int n)
{
	GptCall *calls = palloc(n * sizeof(GptCall));
	GptAnswer *answers = palloc(n * sizeof(GptAnswer));

	for (int i = 0; i < n; i++)
		calls[i] = models->calls[members[i].call];
	gpt_call_answer(answers, models->kind, calls[0].served, calls, n, 0, models->totals);
	for (int i = 0; i < n; i++)
	{
		models->answers[members[i].call] = answers[i];
		gpt_call_notice(models->fcinfo, answers[i].notices, calls[i].served);
	}
	pfree(calls);
	pfree(answers);
}
