/*
 * include/core/extension.h
 *
 * The extension of this database: its oid, owner, schema and tables.
 */
#ifndef GPT_EXTENSION_H
#define GPT_EXTENSION_H

#define GPT_SHA256_SIZE 32 /* of the hashes that the tables hold */

/*
 * For SPI of other server files: the quoted schema of the extension, palloc'd; and its oid and
 * owner.
 */
extern const char *gpt_extension_schema(void);

/* The oid of one of the extension's tables or indexes. */
extern Oid gpt_extension_table(const char *name);

/* Whether it is the extension's table of that name, of whatever version. */
extern bool gpt_extension_is_table(Oid table, const char *name);
extern Oid gpt_extension_oid(void);

/*
 * Its oid; InvalidOid, and no error, where it does not exist or is of another version than the
 * library.
 */
extern Oid gpt_extension_fitting_oid(void);
extern Oid gpt_extension_owner(void);

typedef struct GptIdentity
{
	Oid user;
	int context;
	int guc_level;
} GptIdentity;

/*
 * Becomes the extension's owner with search_path pg_catalog, pg_temp; undone by _leave, or by the
 * end of the (sub)transaction. identity->user is who was current before.
 */
extern void gpt_extension_enter(GptIdentity *identity);
extern void gpt_extension_leave(const GptIdentity *identity);

#endif /* GPT_EXTENSION_H */
