/*
 * src/engine/text/schema.h
 *
 * A schema on its way to a builder: schema.c has the keywords that put schemas together,
 * schema_value.c those of strings and numbers, schema_constant.c constants and JSON of any kind,
 * schema_member.c finds keywords.
 */
#ifndef LM_SCHEMA_H
#define LM_SCHEMA_H

#include "text/builder.h"

#define LM_ANY_DEPTH 4 /* levels of JSON that no schema describes */
#define LM_REFERENCE_DEPTH 5 /* of a definition within itself */
#define LM_ANY_DIGITS 15 /* of a number that no schema describes, in front of the point ... */
#define LM_ANY_FRACTION 6 /* ... and after it */

typedef struct LmSchema
{
	LmBuilder *builder;
	const LmJsonValue *values;
	int n;
	bool bare; /* at the top: strings stand without quotes */
	int depth;
	uint8_t *visits; /* [n] how often a definition is being compiled */
} LmSchema;

/* A member of an object, or -1. */
int32_t lm_schema_member(const LmSchema *schema, int32_t object, const char *name);
bool lm_json_is(LmBytes text, const char *name);
/* Fails with a keyword and the number of the value. */
void lm_schema_fail(const LmSchema *schema, int32_t value, LmBytes keyword, const char *what);
/* A member that is a number from 0 on; `by_default` where there is none. */
int64_t lm_schema_count(const LmSchema *schema, int32_t object, const char *name,
						int64_t by_default);

/* Push the texts of strings and numbers that the keywords of a schema describe. */
void lm_schema_string(const LmSchema *schema, int32_t object);
void lm_schema_number(const LmSchema *schema, int32_t object, bool is_integer);
/* Pushes a string of JSON, of any length. */
void lm_schema_any_string(const LmSchema *schema);
/* Pushes the text of a value: a constant. */
void lm_schema_constant(const LmSchema *schema, int32_t value);
/* Pushes JSON of any kind: of `depth` levels. */
void lm_schema_any(const LmSchema *schema, int depth);
void lm_schema_any_object(const LmSchema *schema);
/* Pushes a sign, after which one space may stand. */
void lm_schema_sign(const LmSchema *schema, const char *sign);

#endif /* LM_SCHEMA_H */
