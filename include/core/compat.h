/*
 * include/core/compat.h
 *
 * Every difference between the versions of the server that the sources know. A source file includes
 * it only where it uses one of these names, or one of the server's that moved (scripts/border.sh
 * checks).
 */
#ifndef GPT_COMPAT_H
#define GPT_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "gpt needs PostgreSQL 15 or later"
#endif

/* 16: the varlena macros have a header of their own. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: all classes share one check of ownership and one of privileges. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class_d.h"
#include "catalog/pg_database_d.h"
#include "catalog/pg_extension_d.h"
#include "catalog/pg_foreign_server_d.h"

#define gpt_class_ownercheck(class, role) object_ownercheck(RelationRelationId, (class), (role))
#define gpt_extension_ownercheck(extension, role) \
	object_ownercheck(ExtensionRelationId, (extension), (role))
#define gpt_database_aclcheck(database, role, mode) \
	object_aclcheck(DatabaseRelationId, (database), (role), (mode))
#define gpt_server_aclcheck(server, role, mode) \
	object_aclcheck(ForeignServerRelationId, (server), (role), (mode))
#else
#define gpt_class_ownercheck(class, role) pg_class_ownercheck((class), (role))
#define gpt_extension_ownercheck(extension, role) pg_extension_ownercheck((extension), (role))
#define gpt_database_aclcheck(database, role, mode) pg_database_aclcheck((database), (role), (mode))
#define gpt_server_aclcheck(server, role, mode) pg_foreign_server_aclcheck((server), (role), (mode))
#endif

/* 16: a plan lists the permissions that it needs. */
#if PG_VERSION_NUM >= 160000
#define gpt_check_plan_permissions(plan) \
	ExecCheckPermissions((plan)->rtable, (plan)->permInfos, true)
#else
#define gpt_check_plan_permissions(plan) ExecCheckRTPerms((plan)->rtable, true)
#endif

/* 16: permissions stand in a list of their own in a query, too. */
#if PG_VERSION_NUM >= 160000
#define gpt_take_range_table(query, state) \
	((query)->rtable = (state)->p_rtable, (query)->rteperminfos = (state)->p_rteperminfos)
#else
#define gpt_take_range_table(query, state) ((query)->rtable = (state)->p_rtable)
#endif

/* 16: what an aggregate's information knows of it. */
#if PG_VERSION_NUM >= 160000
#define gpt_aggregate_of(info) linitial_node(Aggref, ((AggInfo *) (info))->aggrefs)
#else
#define gpt_aggregate_of(info) (((AggInfo *) (info))->representative_aggref)
#endif

/* 18: a query is always run once. */
#if PG_VERSION_NUM >= 180000
#define gpt_executor_run(query) ExecutorRun((query), ForwardScanDirection, 0)
#else
#define gpt_executor_run(query) ExecutorRun((query), ForwardScanDirection, 0, true)
#endif

/* The hook of ExecutorRun, likewise: its parameters and arguments. */
#if PG_VERSION_NUM >= 180000
#define GPT_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define GPT_RUN_ARGUMENTS query, direction, count
#else
#define GPT_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count, bool once
#define GPT_RUN_ARGUMENTS query, direction, count, once
#endif

/* 17: an action of MERGE may be one for rows of the target that have no source. */
#if PG_VERSION_NUM >= 170000
#define gpt_is_matched(action) ((action)->matchKind != MERGE_WHEN_NOT_MATCHED_BY_TARGET)
#else
#define gpt_is_matched(action) ((action)->matched)
#endif

/* 16: the server returns the settings with their number. */
#if PG_VERSION_NUM >= 160000
#define gpt_guc_variables(n) get_guc_variables(n)
#else
#define gpt_guc_variables(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* 16: a sorted value may be returned without a copy; a parser of names returns soft errors. */
#if PG_VERSION_NUM >= 160000
#define gpt_sort_next(sort, value, is_null) \
	tuplesort_getdatum((sort), true, true, (value), (is_null), NULL)
#define gpt_qualified_name(text) stringToQualifiedNameList((text), NULL)
#else
#define gpt_sort_next(sort, value, is_null) \
	tuplesort_getdatum((sort), true, (value), (is_null), NULL)
#define gpt_qualified_name(text) stringToQualifiedNameList(text)
#endif

/* 16: a backend's status is found by an index or by the number of its process. */
#if PG_VERSION_NUM >= 160000
#define gpt_backend_status(index) pgstat_get_local_beentry_by_index(index)
#else
#define gpt_backend_status(index) pgstat_fetch_stat_local_beentry(index)
#endif

/* 16: the actions of the JSON parser return whether it goes on. */
#if PG_VERSION_NUM >= 160000
#define GPT_JSON_ACTION JsonParseErrorType
#define GPT_JSON_GO_ON return JSON_SUCCESS
#else
#define GPT_JSON_ACTION void
#define GPT_JSON_GO_ON return
#endif

/* 17: the caller may own the lexer. */
#if PG_VERSION_NUM >= 170000
#define gpt_json_lexer(text, size) makeJsonLexContextCstringLen(NULL, (text), (size), PG_UTF8, true)
#else
#define gpt_json_lexer(text, size) makeJsonLexContextCstringLen((text), (size), PG_UTF8, true)
#endif

/* 17: a stronger lock may count as held; a group of settings has another name. */
#if PG_VERSION_NUM >= 170000
#define gpt_holds_lock(tag, mode) LockHeldByMe((tag), (mode), false)
#define GPT_COMPAT_OPTIONS COMPAT_OPTIONS_OTHER
#else
#define gpt_holds_lock(tag, mode) LockHeldByMe((tag), (mode))
#define GPT_COMPAT_OPTIONS COMPAT_OPTIONS_CLIENT
#endif

/* 17: the names of temporary files stand in another header. */
#if PG_VERSION_NUM >= 170000
#include "common/file_utils.h"
#endif

/* 17: extensions name their wait events. docs/operations.md lists the names. */
#if PG_VERSION_NUM >= 170000
#define gpt_wait_event(name) WaitEventExtensionNew(name)
#else
#define gpt_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 17: the server exports what EXPLAIN does without a hook (src/serve/explain.c). */
#if PG_VERSION_NUM < 170000
#define GPT_NO_STANDARD_EXPLAIN
#endif

/* 18: the functions that print properties of a plan have a header of their own. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 18: the settings of asynchronous work are two groups. */
#if PG_VERSION_NUM >= 180000
#define gpt_is_asynchronous_group(group) \
	((group) == RESOURCES_IO || (group) == RESOURCES_WORKER_PROCESSES)
#else
#define gpt_is_asynchronous_group(group) ((group) == RESOURCES_ASYNCHRONOUS)
#endif

/* 18: the word before the declaration of a function that does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 18: a library says its name and version, which pg_get_loaded_modules() shows. */
#if PG_VERSION_NUM >= 180000
#define GPT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "gpt", .version = GPT_VERSION)
#else
#define GPT_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif /* GPT_COMPAT_H */
