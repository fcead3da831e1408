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
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "serve/batching_parts.h"

static const GptCallKind *const *kinds; /* NULL after the last */

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
