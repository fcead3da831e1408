/*
 * src/store/catalog_name.c
 *
 * One space of names for models and tokenizers, as the functions see it that take either.
 *
 * A model comes first: giving its name to a tokenizer does not change what the name means. A model
 * and a tokenizer of one name have one owner; that is checked when the name is given. gpt_check
 * reports exceptions (a dump of an older release, a changed owner, a tokenizer that was named while
 * the model was not visible).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/compat.h"
#include "core/statement.h"
#include "store/catalog.h"

static bool belongs_to_another(const char *name, const char *format);
pg_noreturn static void refuse(const char *name, const char *noun);

bool
gpt_catalog_resolve_tokenizer(const char *name, uint8 *sha256)
{
	GptVersion *version;

	/* No version has as many digits as kind@hash. */
	if (strchr(name, '@') != NULL && gpt_catalog_find_unnamed(name, sha256))
		return true;
	version = gpt_catalog_version(name, true);
	if (version == NULL)
		return gpt_catalog_find_tokenizer(name, sha256);
	gpt_catalog_check_use(version);
	memcpy(sha256, version->tokenizer, GPT_SHA256_SIZE);
	return true;
}

/* Of jobs in this database that have not ended and make what the condition says. */
#define OWNERS_OF_JOBS(condition)                                                               \
	"SELECT %1$s.gpt_job_owner(owner, system_identifier) AS owner FROM %1$s.gpt_job "           \
	"WHERE " condition " AND state IN ('queued', 'running') AND database = (SELECT d.oid FROM " \
	"pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())"

/* A job that makes a tokenizer has its name already. */
#define ANOTHERS_TOKENIZER                                               \
	"SELECT FROM (SELECT %1$s.gpt_object_owner(object) AS owner FROM "   \
	"%1$s.gpt_tokenizer_name WHERE name = $1 UNION ALL " OWNERS_OF_JOBS( \
		"tokenizer = $1") ") o WHERE owner NOT IN (0, $2)"

void
gpt_catalog_check_model_name(const char *name)
{
	if (belongs_to_another(name, ANOTHERS_TOKENIZER))
		refuse(name, "tokenizer");
}

/* The owner of a tokenizer's name may bind it to another tokenizer. */
void
gpt_catalog_check_tokenizer_name(const char *name)
{
	if (belongs_to_another(name,
						   "SELECT FROM (SELECT %1$s.gpt_object_owner(weights) AS owner FROM "
						   "%1$s.gpt_version WHERE model = $1 UNION ALL " OWNERS_OF_JOBS(
							   "model = $1") ") o WHERE owner NOT IN (0, $2) AND "
											 "NOT EXISTS (SELECT FROM %1$s.gpt_tokenizer_name n "
											 "WHERE n.name = $1 AND "
											 "%1$s.gpt_object_owner(n.object) IS NOT NULL)"))
		refuse(name, "model");
	if (belongs_to_another(name, "SELECT FROM (" OWNERS_OF_JOBS(
									 "tokenizer = $1") ") o WHERE owner NOT IN (0, $2)"))
		refuse(name, "tokenizer");
}

/* The rows of the query are those of the name ($1) that do not belong to the current role ($2). */
static bool
belongs_to_another(const char *name, const char *format)
{
	GptStatement statement;
	Oid user = GetUserId();
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(user));
	n = gpt_statement_run(&statement, format);
	gpt_statement_end(&statement);
	return n > 0;
}

static void
refuse(const char *name, const char *noun)
{
	ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("name \"%s\" belongs to another role's %s", name, noun),
					errdetail("Models and tokenizers share one space of names."),
					errhint("Choose another name.")));
}
