/*
 * src/serve/planning_call.c
 *
 * A call of a function that reads texts with a model: what it costs and how many rows it returns,
 * by the size of the model and the tokens expected.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "serve/planning_parts.h"

/*
 * One operator of the planner's cost (cpu_operator_cost) is taken for 12.5 ns: 80 million integer
 * comparisons a second, about what a scan makes. The speeds are those of one thread of a server of
 * these years (docs/benchmarks.md).
 */
#define OPERATOR_SECONDS 12.5e-9
#define FLOPS_PER_SECOND 100e9 /* of tokens that are read together */
#define BYTES_PER_SECOND 20e9 /* of weights, for each token that is generated */
#define CALL_SECONDS 20e-6 /* of a call, without its text */
#define BYTE_SECONDS 20e-9 /* of a byte that becomes tokens */
#define FEATURE_SECONDS 500e-9 /* of a byte that a classifier's linear part reads too */
#define WEIGHT_BYTES 4.0

/* Aggregates appear by their transition functions. */
static const GptPlannedFunction functions[] = {
	/* name, model, texts, head, passes, generated, rows, result */
	{"gpt_generate", 0, 1, false, 1, 2, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_chat", 0, 1, false, 1, 2, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_stream", 0, 1, false, 1, 2, GPT_ROWS_GENERATED, GPT_PLANNED_OTHER},
	{"gpt_score", 0, 1, true, 1, 0, GPT_ROWS_DECLARED, GPT_PLANNED_SCORE},
	{"gpt_logprob", 0, 2, true, 1, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_tokens", 0, 2, true, 1, 0, GPT_ROWS_TOKENS, GPT_PLANNED_OTHER},
	{"gpt_highlight", 0, 1, true, 4, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_classify", 0, 2, false, 1, 0, GPT_ROWS_DECLARED, GPT_PLANNED_LABEL},
	{"gpt_classify_probs", 0, 2, false, 1, 0, GPT_ROWS_LABELS, GPT_PLANNED_OTHER},
	{"gpt_predict", 0, 2, false, 1, 0, GPT_ROWS_DECLARED, GPT_PLANNED_NUMBER},
	{"gpt_choose", 0, 2, true, 2, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_choose_probs", 0, 2, true, 2, 0, GPT_ROWS_ELEMENTS, GPT_PLANNED_OTHER},
	{"gpt_embed", 0, 1, false, 1, 0, GPT_ROWS_ELEMENTS, GPT_PLANNED_OTHER},
	{"gpt_similarity", 0, 2, false, 1, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_explain", 0, 2, false, 32, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_attention", 0, 1, false, 4, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_logit_lens", 0, 1, true, 4, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
	{"gpt_perplexity_step", 1, 1, true, 1, 0, GPT_ROWS_DECLARED, GPT_PLANNED_OTHER},
};

/* What a call is expected to read and to generate. */
typedef struct Work
{
	double bytes;
	double elements; /* of the longest array */
	double tokens; /* read, of all texts */
	double longest; /* tokens of one text */
	double generated; /* tokens, of all texts */
} Work;

static const GptVersionFacts *facts_of(GptPlanned *planned, Node *model);
static void expect(Work *work, const GptPlannedCall *call, PlannerInfo *root);
static double weights_of_token(const LmConfig *config);

const GptPlannedFunction *
gpt_planned_function(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const GptPlannedFunction *found = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	for (size_t i = 0; i < lengthof(functions) && found == NULL; i++)
	{
		if (strcmp(NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname), functions[i].name) == 0)
			found = &functions[i];
	}
	ReleaseSysCache(tuple);
	return found;
}

bool
gpt_planned_call(GptPlannedCall *call, GptPlanned *planned, Node *node)
{
	Oid function = InvalidOid;

	if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		call->arguments = ((FuncExpr *) node)->args;
	}
	else if (IsA(node, Aggref))
	{
		HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(((Aggref *) node)->aggfnoid));

		if (HeapTupleIsValid(tuple))
		{
			function = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggtransfn;
			ReleaseSysCache(tuple);
		}
		/* The state, which an Aggref does not have, is the function's first argument. */
		call->arguments = lcons(NULL, list_copy(((Aggref *) node)->args));
	}
	call->function = OidIsValid(function) ? gpt_planned_function(function) : NULL;
	if (call->function == NULL || list_length(call->arguments) < call->function->model + 2)
		return false;
	call->facts = facts_of(planned, gpt_planned_argument(call, call->function->model));
	return true;
}

Node *
gpt_planned_argument(const GptPlannedCall *call, int number)
{
	Node *node = NULL;

	if (number < list_length(call->arguments))
		node = list_nth(call->arguments, number);
	if (node != NULL && IsA(node, TargetEntry))
		node = (Node *) ((TargetEntry *) node)->expr;
	if (node != NULL && IsA(node, NamedArgExpr))
		node = (Node *) ((NamedArgExpr *) node)->arg;
	return node;
}

/* Read once for each name; NULL unless the name is a constant of a model that may be used. */
static const GptVersionFacts *
facts_of(GptPlanned *planned, Node *model)
{
	const Const *constant = (const Const *) model;
	GptPlannedModel *entry;
	MemoryContext caller;
	char *reference;
	ListCell *cell;

	/* A gpt_model_version is the text of a reference, too. */
	if (model == NULL || !IsA(model, Const) || constant->constisnull || constant->constlen != -1)
		return NULL;
	reference = TextDatumGetCString(constant->constvalue);
	foreach (cell, planned->models)
	{
		entry = lfirst(cell);
		if (strcmp(entry->reference, reference) == 0)
			return entry->facts;
	}
	caller = MemoryContextSwitchTo(planned->context);
	entry = palloc(sizeof(GptPlannedModel));
	entry->reference = pstrdup(reference);
	entry->facts = gpt_version_facts(reference);
	planned->models = lappend(planned->models, entry);
	MemoryContextSwitchTo(caller);
	return entry->facts;
}

static void
expect(Work *work, const GptPlannedCall *call, PlannerInfo *root)
{
	const GptPlannedFunction *function = call->function;
	double bytes_per_token = call->facts->bytes_per_token;
	Node *limit = function->generated > 0 ? gpt_planned_argument(call, function->generated) : NULL;

	*work = (Work){.elements = 1};
	for (int i = 0; i < function->n_texts; i++)
	{
		Node *text = gpt_planned_argument(call, function->model + 1 + i);
		Oid type = text != NULL ? exprType(text) : InvalidOid;
		GptPlannedWidth width;
		double tokens;

		/* The second argument of some functions is not always a text. */
		if (type != TEXTOID && type != TEXTARRAYOID && type != JSONBOID)
			continue;
		width = gpt_planned_width(root, text);
		tokens = width.bytes / bytes_per_token + width.elements;
		/* Windows over a longer text overlap by half. */
		if (tokens > call->facts->config.context * width.elements)
			tokens *= 2;
		work->bytes += width.bytes;
		work->elements = Max(work->elements, width.elements);
		work->tokens += tokens;
		work->longest = Max(work->longest, tokens / Max(width.elements, 1));
	}
	if (limit != NULL && IsA(limit, Const) && !((Const *) limit)->constisnull &&
		((Const *) limit)->consttype == INT4OID)
		work->generated = Max(DatumGetInt32(((Const *) limit)->constvalue), 0);
	else if (limit != NULL)
		work->generated = 64; /* the default of max_tokens */
	work->generated *= work->elements;
}

/* The products of a token: a multiplication for each weight of the blocks. */
static double
weights_of_token(const LmConfig *config)
{
	double channels = config->channels;
	double attention =
		channels * (lm_config_qkv_channels(config) + lm_config_query_channels(config));
	double mlp = channels * (lm_config_up_channels(config) + (double) config->mlp_channels);

	return lm_config_blocks(config) * (attention + mlp);
}

double
gpt_planned_cost(const GptPlannedCall *call, PlannerInfo *root)
{
	const LmConfig *config;
	double head;
	double blocks;
	double attended;
	double seconds;
	Work work;

	if (call->facts == NULL)
		return -1;
	config = &call->facts->config;
	expect(&work, call, root);
	head = (double) config->channels * Max(config->vocabulary, 1);
	blocks = weights_of_token(config);
	/* Half of the tokens of a window are in front of a token, on average. */
	attended = lm_config_blocks(config) * (double) lm_config_query_channels(config) *
			   Min(work.longest, config->context);
	seconds = work.elements * CALL_SECONDS +
			  work.bytes * (BYTE_SECONDS + (config->features > 0 ? FEATURE_SECONDS : 0));
	seconds += call->function->passes * work.tokens *
			   (2 * (blocks + (call->function->head ? head : 0)) + 2 * attended) / FLOPS_PER_SECOND;
	seconds += work.generated * (blocks + head) * WEIGHT_BYTES / BYTES_PER_SECOND;
	return seconds / OPERATOR_SECONDS * cpu_operator_cost;
}

double
gpt_planned_rows(const GptPlannedCall *call, PlannerInfo *root)
{
	Work work;

	if (call->function->rows == GPT_ROWS_ELEMENTS)
	{
		Node *array = gpt_planned_argument(call, call->function->model + call->function->n_texts);

		if (array != NULL && exprType(array) == TEXTARRAYOID)
			return gpt_planned_width(root, array).elements;
		return -1;
	}
	if (call->facts == NULL)
		return -1;
	expect(&work, call, root);
	switch (call->function->rows)
	{
		case GPT_ROWS_LABELS:
			return Max(call->facts->config.labels, 1);
		case GPT_ROWS_TOKENS:
		{
			Node *text = gpt_planned_argument(call, call->function->model + 1);

			return text == NULL
					   ? -1
					   : ceil(gpt_planned_width(root, text).bytes / call->facts->bytes_per_token);
		}
		case GPT_ROWS_GENERATED:
			return work.generated;
		default:
			return -1;
	}
}
