/*
 * include/core/extension.h
 *
 * The extension of this database: its oid, owner, schema and tables.
 */
#ifndef GPT_EXTENSION_H
#define GPT_EXTENSION_H

#define GPT_SHA256_SIZE 32 /* of the hashes that the tables hold */

/* The extension's schema, quoted for a statement; palloc'd. */
extern const char *gpt_extension_schema(void);

/* The oid of one of the extension's tables or indexes. */
extern Oid gpt_extension_table(const char *name);

/* The oid of one of the extension's types. */
extern Oid gpt_extension_type(const char *name);

/* Whether it is the extension's table of that name; an extension of any version will do. */
extern bool gpt_extension_is_table(Oid table, const char *name);

/* Raises an error unless the extension exists in the version of the library. */
extern Oid gpt_extension_oid(void);

/* InvalidOid, and no error, if the extension does not exist or has another version. */
extern Oid gpt_extension_fitting_oid(void);

/* The oid of its schema; InvalidOid in the same cases. */
extern Oid gpt_extension_fitting_schema(void);

/* The state that gpt_extension_enter saves; the caller keeps it for gpt_extension_leave. */
typedef struct GptIdentity
{
	Oid user; /* who was current before */
	int context; /* the security context before */
	int guc_level;
} GptIdentity;

/*
 * Becomes the extension's owner with search_path pg_catalog, pg_temp. _leave undoes that, and so
 * does an abort of the (sub)transaction.
 */
extern void gpt_extension_enter(GptIdentity *identity);
extern void gpt_extension_leave(const GptIdentity *identity);

#endif /* GPT_EXTENSION_H */
