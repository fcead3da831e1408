/*
 * include/core/compat.h
 *
 * Every difference between the versions of the server that the sources have to know. Included after
 * postgres.h.
 */
#ifndef GPT_COMPAT_H
#define GPT_COMPAT_H

#include "common/jsonapi.h"
#include "utils/acl.h"

#if PG_VERSION_NUM < 150000
#error "gpt needs PostgreSQL 15 or later"
#endif

/* 16: one ownership check for all classes, varlena macros in a header of their own. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_extension.h"
#include "catalog/pg_largeobject.h"
#include "varatt.h"

#define pg_largeobject_ownercheck(object, role) \
	object_ownercheck(LargeObjectRelationId, (object), (role))
#define pg_extension_ownercheck(extension, role) \
	object_ownercheck(ExtensionRelationId, (extension), (role))
#endif

/* 16: the permissions that a plan needs stand in a list of their own. */
#if PG_VERSION_NUM >= 160000
#define gpt_check_plan_permissions(plan) \
	ExecCheckPermissions((plan)->rtable, (plan)->permInfos, true)
#else
#define gpt_check_plan_permissions(plan) ExecCheckRTPerms((plan)->rtable, true)
#endif

/* 16: the settings come with their number. */
#if PG_VERSION_NUM >= 160000
#define gpt_guc_variables(n) get_guc_variables(n)
#else
#define gpt_guc_variables(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* 16: the actions of the JSON parser return whether to go on. */
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

#endif /* GPT_COMPAT_H */
