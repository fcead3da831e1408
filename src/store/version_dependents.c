/*
 * src/store/version_dependents.c
 *
 * A model goes in, the objects that depend on its versions come out: what pg_depend says to depend
 * on the type gpt_model_version, and has the version as a constant in an expression.
 *
 * Rows are read under SnapshotDirty, which sees those of transactions that have not ended, as the
 * check of a unique index does.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/extension.h"
#include "core/lock.h"
#include "store/version_dependents.h"

#define MOST_NAMED 20 /* objects, in a message */
#define NAME_LOCKS 64

/* Where the expressions of a class of objects are. */
typedef struct Holder
{
	Oid class; /* in pg_depend */
	Oid catalog;
	Oid index; /* of the catalog, on the key */
	AttrNumber key;
	AttrNumber trees[2]; /* columns with expressions; 0: none */
} Holder;

static const Holder holders[] = {
	{AttrDefaultRelationId,
	 AttrDefaultRelationId,
	 AttrDefaultOidIndexId,
	 Anum_pg_attrdef_oid,
	 {Anum_pg_attrdef_adbin}},
	{RelationRelationId,
	 IndexRelationId,
	 IndexRelidIndexId,
	 Anum_pg_index_indexrelid,
	 {Anum_pg_index_indexprs, Anum_pg_index_indpred}},
	{RelationRelationId,
	 PartitionedRelationId,
	 PartitionedRelidIndexId,
	 Anum_pg_partitioned_table_partrelid,
	 {Anum_pg_partitioned_table_partexprs}},
	{ConstraintRelationId,
	 ConstraintRelationId,
	 ConstraintOidIndexId,
	 Anum_pg_constraint_oid,
	 {Anum_pg_constraint_conbin}},
	{RewriteRelationId,
	 RewriteRelationId,
	 RewriteOidIndexId,
	 Anum_pg_rewrite_oid,
	 {Anum_pg_rewrite_ev_qual, Anum_pg_rewrite_ev_action}},
	{TriggerRelationId,
	 TriggerRelationId,
	 TriggerOidIndexId,
	 Anum_pg_trigger_oid,
	 {Anum_pg_trigger_tgqual}},
	{PolicyRelationId,
	 PolicyRelationId,
	 PolicyOidIndexId,
	 Anum_pg_policy_oid,
	 {Anum_pg_policy_polqual, Anum_pg_policy_polwithcheck}},
	{StatisticExtRelationId,
	 StatisticExtRelationId,
	 StatisticExtOidIndexId,
	 Anum_pg_statistic_ext_oid,
	 {Anum_pg_statistic_ext_stxexprs}},
	{PublicationRelRelationId,
	 PublicationRelRelationId,
	 PublicationRelObjectIndexId,
	 Anum_pg_publication_rel_oid,
	 {Anum_pg_publication_rel_prqual}},
	{ProcedureRelationId,
	 ProcedureRelationId,
	 ProcedureOidIndexId,
	 Anum_pg_proc_oid,
	 {Anum_pg_proc_prosqlbody, Anum_pg_proc_proargdefaults}},
	{TypeRelationId,
	 TypeRelationId,
	 TypeOidIndexId,
	 Anum_pg_type_oid,
	 {Anum_pg_type_typdefaultbin}},
};

/* An object that names a version of the model. */
typedef struct Dependent
{
	ObjectAddress object;
	TransactionId maker; /* that has not ended, and makes or removes it; invalid: none */
	char *model;
	int32 number; /* of the version */
} Dependent;

/* A look for the objects that depend on a model. */
typedef struct Search
{
	const char *model; /* NULL: any */
	Oid type;
	Oid array_type;
	ObjectAddress object; /* that is being read */
	TransactionId maker;
	List *found; /* of Dependent * */
} Search;

static List *dependents_of(const char *model);
static void look_at_type(Search *search, Oid type);
static void look_into(Search *search, const Holder *holder, Oid object);
static bool find_versions(Node *node, Search *search);
static void take_constant(Search *search, const Const *constant);
static int compare_dependents(const ListCell *a, const ListCell *b);
static void take_reference(Search *search, Datum reference);
static TransactionId maker_of(const SnapshotData *dirty);
static bool wait_for_maker(const List *dependents, int32 number);
static ObjectAddress shown_object(const Holder *holder, HeapTuple tuple, Oid object);

/* Few locks, so that no command takes more than the server has room for. */
static LOCKTAG
name_tag(const char *model, size_t size)
{
	uint32 hash = hash_bytes((const unsigned char *) model, (int) size);

	return gpt_lock_tag(MyDatabaseId, hash % NAME_LOCKS, 0, GPT_LOCK_PIN);
}

void
gpt_dependents_name(const char *reference)
{
	PlannedStmt *statement;
	LOCKTAG tag;

	if (ActivePortal == NULL || ActivePortal->commandTag == CMDTAG_COPY ||
		ActivePortal->stmts == NIL || RecoveryInProgress() || !IsTransactionState() ||
		IsInParallelMode())
		return;
	statement = linitial(ActivePortal->stmts);
	if (!IsA(statement, PlannedStmt) || statement->commandType != CMD_UTILITY)
		return;
	tag = name_tag(reference, strcspn(reference, "@"));
	/* With the lock since before, nothing has gone. */
	if (LockAcquire(&tag, ShareLock, false, false) == LOCKACQUIRE_ALREADY_HELD)
		return;
	/* The command's snapshot may be older than a removal that it has waited for. */
	if (!ActiveSnapshotSet() || gpt_catalog_version(reference, true) == NULL)
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	(void) gpt_catalog_version(reference, false);
	PopActiveSnapshot();
}

void
gpt_dependents_refuse(const char *model, int32 number, const char *action, const char *hint)
{
	LOCKTAG tag = name_tag(model, strlen(model));
	StringInfoData list;
	List *dependents;
	ListCell *cell;
	int n = 0;

	gpt_lock_wait(&tag, ExclusiveLock);
	do
	{
		CHECK_FOR_INTERRUPTS();
		dependents = dependents_of(model);
	} while (wait_for_maker(dependents, number));
	initStringInfo(&list);
	foreach (cell, dependents)
	{
		const Dependent *dependent = lfirst(cell);
		char *description;

		if ((number != 0 && dependent->number != number) || n++ >= MOST_NAMED)
			continue;
		description = getObjectDescription(&dependent->object, true);
		appendStringInfo(&list, "%s%s depends on %s@%d", n > 1 ? "\n" : "",
						 description != NULL ? description : "an object", model, dependent->number);
	}
	if (n > MOST_NAMED)
		appendStringInfo(&list, "\nand %d other objects", n - MOST_NAMED);
	if (n > 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("%s because other objects depend on it", action),
			 errdetail_internal("%s", list.data),
			 errhint("%s",
					 hint != NULL
						 ? hint
						 : "Drop these objects first, or make them anew with another version.")));
	list_free_deep(dependents);
}

char *
gpt_dependents_spare(GptLockedModel *model)
{
	LOCKTAG tag = name_tag(model->name, strlen(model->name));
	bool is_locked = gpt_lock_try(&tag);
	List *dependents = dependents_of(model->name);
	StringInfoData numbers;

	initStringInfo(&numbers);
	for (int i = 0; i < model->n_versions; i++)
	{
		GptLockedVersion *version = &model->versions[i];
		bool stays = !is_locked;
		ListCell *cell;

		foreach (cell, dependents)
			stays |= ((const Dependent *) lfirst(cell))->number == version->number;
		if (!version->goes || !stays)
			continue;
		version->goes = false;
		appendStringInfo(&numbers, "%s%d", numbers.len > 0 ? ", " : "", version->number);
	}
	list_free_deep(dependents);
	return numbers.len > 0 ? numbers.data : NULL;
}

void
gpt_dependents_list_missing(void (*take)(void *context, const char *object, const char *version),
							void *context)
{
	List *dependents = dependents_of(NULL);
	ListCell *cell;

	foreach (cell, dependents)
	{
		const Dependent *dependent = lfirst(cell);
		const char *version = psprintf("%s@%d", dependent->model, dependent->number);
		char *object;

		CHECK_FOR_INTERRUPTS();
		if (gpt_catalog_version(version, true) != NULL)
			continue;
		/* NULL: another transaction makes it, or has removed it. */
		object = getObjectDescription(&dependent->object, true);
		if (object != NULL)
			take(context, object, version);
	}
	list_free_deep(dependents);
}

/* Whatever happens to a schema makes sessions plan anew, and nothing else does it for all plans. */
void
gpt_dependents_forget_plans(void)
{
	CacheInvalidateCatalog(NamespaceRelationId);
}

/* Waits for one transaction that makes or removes an object; false: there is none. */
static bool
wait_for_maker(const List *dependents, int32 number)
{
	ListCell *cell;

	foreach (cell, dependents)
	{
		const Dependent *dependent = lfirst(cell);

		if ((number != 0 && dependent->number != number) || !TransactionIdIsValid(dependent->maker))
			continue;
		XactLockTableWait(dependent->maker, NULL, NULL, XLTW_None);
		return true;
	}
	return false;
}

/* ---- The search --------------------------------------------------------- */

static List *
dependents_of(const char *model)
{
	Search search = {.model = model, .type = gpt_extension_type("gpt_model_version")};

	search.array_type = get_array_type(search.type);
	/* Expressions may be toasted. */
	PushActiveSnapshot(GetLatestSnapshot());
	look_at_type(&search, search.type);
	look_at_type(&search, search.array_type);
	PopActiveSnapshot();
	list_sort(search.found, compare_dependents);
	return search.found;
}

/* Looks into each object that depends on the type. */
static void
look_at_type(Search *search, Oid type)
{
	Relation relation = table_open(DependRelationId, AccessShareLock);
	SnapshotData dirty;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = systable_beginscan(relation, DependReferenceIndexId, true, &dirty, 2, keys);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		const FormData_pg_depend *row = (const FormData_pg_depend *) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		search->maker = maker_of(&dirty);
		for (int i = 0; i < lengthof(holders); i++)
		{
			if (holders[i].class == row->classid)
				look_into(search, &holders[i], row->objid);
		}
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

/* The transaction in progress that has made, or is removing, the row that was read last. */
static TransactionId
maker_of(const SnapshotData *dirty)
{
	return TransactionIdIsValid(dirty->xmin) ? dirty->xmin : dirty->xmax;
}

/* Reads the expressions of an object in one catalog. */
static void
look_into(Search *search, const Holder *holder, Oid object)
{
	Relation relation = table_open(holder->catalog, AccessShareLock);
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, holder->key, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(relation, holder->index, true, &dirty, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		search->object = shown_object(holder, tuple, object);
		for (int i = 0; i < lengthof(holder->trees) && holder->trees[i] != 0; i++)
		{
			bool is_null;
			Datum tree =
				heap_getattr(tuple, holder->trees[i], RelationGetDescr(relation), &is_null);

			if (!is_null)
				(void) find_versions(stringToNode(TextDatumGetCString(tree)), search);
		}
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

/* What a user knows the object as: the view of a rule, the column of an expression. */
static ObjectAddress
shown_object(const Holder *holder, HeapTuple tuple, Oid object)
{
	ObjectAddress shown;

	ObjectAddressSet(shown, holder->class, object);
	if (holder->class == AttrDefaultRelationId)
	{
		const FormData_pg_attrdef *row = (const FormData_pg_attrdef *) GETSTRUCT(tuple);

		ObjectAddressSubSet(shown, RelationRelationId, row->adrelid, row->adnum);
	}
	if (holder->class == RewriteRelationId)
	{
		const FormData_pg_rewrite *row = (const FormData_pg_rewrite *) GETSTRUCT(tuple);

		if (strcmp(NameStr(row->rulename), ViewSelectRuleName) == 0)
			ObjectAddressSet(shown, RelationRelationId, row->ev_class);
	}
	return shown;
}

/* A walker of expressions and queries. */
static bool
find_versions(Node *node, Search *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
		take_constant(search, (const Const *) node);
	else if (IsA(node, CoerceViaIO) && ((const CoerceViaIO *) node)->resulttype == search->type)
	{
		/* A constant text that is cast; other casts name no version. */
		const Const *text = (const Const *) ((const CoerceViaIO *) node)->arg;

		if (IsA(text, Const) && !text->constisnull && text->consttype == TEXTOID)
			take_reference(search, text->constvalue);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_versions, search, 0);
	return expression_tree_walker(node, find_versions, search);
}

static void
take_constant(Search *search, const Const *constant)
{
	Datum *values;
	bool *nulls;
	int n;

	if (constant->constisnull)
		return;
	if (constant->consttype == search->type)
		take_reference(search, constant->constvalue);
	if (constant->consttype != search->array_type)
		return;
	deconstruct_array(DatumGetArrayTypeP(constant->constvalue), search->type, -1, false,
					  TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			take_reference(search, values[i]);
	}
}

/* Catalogs in the order of their numbers, objects in that of theirs, which is not that of rows. */
static int
compare_dependents(const ListCell *a, const ListCell *b)
{
	const Dependent *one = lfirst(a);
	const Dependent *other = lfirst(b);

	if (one->object.classId != other->object.classId)
		return one->object.classId < other->object.classId ? -1 : 1;
	if (one->object.objectId != other->object.objectId)
		return one->object.objectId < other->object.objectId ? -1 : 1;
	if (one->object.objectSubId != other->object.objectSubId)
		return one->object.objectSubId < other->object.objectSubId ? -1 : 1;
	return one->number - other->number;
}

/* The object under search depends on what the reference names. */
static void
take_reference(Search *search, Datum value)
{
	char *reference = TextDatumGetCString(value);
	Dependent *dependent;
	ListCell *cell;
	char *model;
	int32 number;

	if (!gpt_catalog_is_pinned(reference, strlen(reference)))
		return;
	number = gpt_catalog_split(&model, reference);
	if (search->model != NULL && strcmp(model, search->model) != 0)
		return;
	foreach (cell, search->found)
	{
		dependent = lfirst(cell);
		if (dependent->number == number && strcmp(dependent->model, model) == 0 &&
			memcmp(&dependent->object, &search->object, sizeof(ObjectAddress)) == 0)
			return;
	}
	dependent = palloc(sizeof(Dependent));
	*dependent = (Dependent){
		.object = search->object, .maker = search->maker, .model = model, .number = number};
	search->found = lappend(search->found, dependent);
}
