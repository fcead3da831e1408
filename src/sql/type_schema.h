/*
 * src/sql/type_schema.h
 *
 * Types as JSON Schemas: each text that the schema allows passes the type's input function.
 */
#ifndef GPT_TYPE_SCHEMA_H
#define GPT_TYPE_SCHEMA_H

#include "lib/stringinfo.h"
#include "nodes/primnodes.h"
#include "utils/jsonb.h"

/* A type with its modifier; below domains. */
typedef struct GptTypeBase
{
	Oid type;
	int32 modifier;
} GptTypeBase;

/*
 * The schema of a type, palloc'd. Raises an error for a type that has none, which names it, and for
 * what a domain's checks leave nothing of.
 */
extern Jsonb *gpt_type_schema(Oid type, int32 modifier);

/* Whether values of the type are written as JSON: composites, arrays and JSON itself. */
extern bool gpt_type_is_json(Oid type);

/* The type under a domain, or the type itself. */
extern GptTypeBase gpt_type_base(Oid type, int32 modifier);

/*
 * src/sql/type_check.c: appends, each after a comma, the schemas of what can be decided of a
 * domain's checks. is_text, is_number: what its values are in JSON.
 */
extern void gpt_type_checks(StringInfo schema, Oid domain, bool is_text, bool is_number);

#endif /* GPT_TYPE_SCHEMA_H */
