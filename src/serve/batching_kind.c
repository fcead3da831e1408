/*
 * src/serve/batching_kind.c
 *
 * Which function calls can be answered for many rows together.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "utils/catcache.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "serve/batching_parts.h"

static const GptCallKind *const *kinds; /* NULL after the last */

/*
 * Hashes of our functions, as plans list what they depend on; made again after any change of a
 * function.
 */
static uint32 *hashes = NULL;
static int n_hashes = 0;
static bool is_known = false;
static uint64 n_changes = 0; /* of functions, that this session has heard of */

static void find_functions(void);
static void forget_functions(Datum arg, int cache, uint32 hash);
static int kind_of_function(Oid function);
static bool has_call(Node *node, void *context);

void
gpt_batch_kinds_init(const GptCallKind *const *batched)
{
	kinds = batched;
}

const GptCallKind *
gpt_batch_kind(int number)
{
	return kinds[number];
}

bool
gpt_batch_may_call(const PlannedStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->invalItems)
	{
		const PlanInvalItem *item = lfirst_node(PlanInvalItem, cell);

		if (item->cacheId != PROCOID)
			continue;
		if (!is_known)
			find_functions();
		for (int i = 0; i < n_hashes; i++)
			if (hashes[i] == item->hashValue)
				return true;
	}
	return false;
}

static void
find_functions(void)
{
	static bool is_watched = false;
	uint64 n_before;

	if (!is_watched)
		CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
	is_watched = true;
	n_before = n_changes;
	n_hashes = 0;
	for (int i = 0; kinds[i] != NULL; i++)
	{
		CatCList *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(kinds[i]->name));
		Size size = (n_hashes + list->n_members + 1) * sizeof(uint32);

		hashes =
			hashes == NULL ? MemoryContextAlloc(TopMemoryContext, size) : repalloc(hashes, size);
		for (int j = 0; j < list->n_members; j++)
		{
			Form_pg_proc function = (Form_pg_proc) GETSTRUCT(&list->members[j]->tuple);

			if (function->prolang == ClanguageId)
				hashes[n_hashes++] =
					GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function->oid));
		}
		ReleaseSysCacheList(list);
	}
	is_known = n_changes == n_before;
}

static void
forget_functions(Datum arg, int cache, uint32 hash)
{
	is_known = false;
	n_changes++;
}

int
gpt_batch_kind_of(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;
	const Node *model;

	/* The functions of the server have lower numbers: no look-up for them. */
	if (!IsA(node, FuncExpr) || call->funcid < FirstNormalObjectId || call->funcretset ||
		list_length(call->args) < 2)
		return -1;
	model = linitial(call->args);
	/* The types that name a model have the bytes of a text. */
	if ((IsA(model, Const) && ((const Const *) model)->constisnull) ||
		get_typlen(exprType(model)) != -1 ||
		(exprType(lsecond(call->args)) != TEXTOID && exprType(lsecond(call->args)) != JSONBOID))
		return -1;
	return kind_of_function(call->funcid);
}

/* Compares the C function, so that no name or schema can mislead. */
static int
kind_of_function(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	int number = -1;
	FmgrInfo info;

	if (!HeapTupleIsValid(tuple))
		return -1;
	for (int i = 0; kinds[i] != NULL; i++)
		if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
			strcmp(NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname), kinds[i]->name) == 0)
			number = i;
	ReleaseSysCache(tuple);
	if (number < 0)
		return -1;
	fmgr_info(function, &info);
	return info.fn_addr == kinds[number]->function ? number : -1;
}

bool
gpt_batch_has_call(Node *node)
{
	return has_call(node, NULL);
}

static bool
has_call(Node *node, void *context)
{
	if (node == NULL || IsA(node, Aggref) || IsA(node, WindowFunc))
		return false;
	if (gpt_batch_kind_of(node) >= 0)
		return true;
	return expression_tree_walker(node, has_call, context);
}
