/*
 * src/store/export_card.c
 *
 * The model card of a version: how it came about, in Markdown. The query and the options of a job
 * are shown only to roles that may see the job.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/json.h"

#include "core/json_tree.h"
#include "core/statement.h"
#include "core/version.h"
#include "store/export.h"
#include "store/export_parts.h"
#include "store/model_extras.h"

/* The row of the version, and of its job as far as the role may see it. */
#define CARD_ROW                                                                               \
	"SELECT v.parameters::pg_catalog.text, v.created_at::pg_catalog.text, "                    \
	"v.loss::pg_catalog.float4::pg_catalog.text, "                                             \
	"v.validation_loss::pg_catalog.float4::pg_catalog.text, "                                  \
	"v.validation_bits_per_byte::pg_catalog.float4::pg_catalog.text, v.task, "                 \
	"j.job::pg_catalog.text, j.kind, j.documents::pg_catalog.text, j.bytes::pg_catalog.text, " \
	"j.corpus_tokens::pg_catalog.text, j.step::pg_catalog.text, j.options::pg_catalog.text, "  \
	"j.query, v.config ->> 'architecture' "                                                    \
	"FROM %1$s.gpt_version v LEFT JOIN %1$s.gpt_job j ON j.job = v.job AND "                   \
	"pg_catalog.pg_has_role($3, %1$s.gpt_job_owner(j.owner, j.system_identifier), 'USAGE') "   \
	"WHERE v.model = $1 AND v.version = $2"

#define CARD_VERSIONS                                                          \
	"SELECT version::pg_catalog.text, state, created_at::pg_catalog.text, "    \
	"validation_loss::pg_catalog.float4::pg_catalog.text FROM %s.gpt_version " \
	"WHERE model = $1 AND version <= $2 ORDER BY version"

static void append_front(StringInfo card, const GptVersion *version, const GptJson *source);
static void append_row(StringInfo card, const char *label, const char *value);
static void append_job(StringInfo card, const GptStatement *statement);
static void append_versions(StringInfo card, const GptVersion *version, GptStatement *statement);
static void append_cleaning(StringInfo card, const GptVersion *version);
static void append_fenced(StringInfo card, const char *language, const char *text);
static const GptJson *source_of(const GptVersion *version);
static const char *text_of(const GptJson *source, const char *name);
static const char *template_of(const GptVersion *version);

char *
gpt_export_card(const GptVersion *version)
{
	const GptJson *source = source_of(version);
	Oid user = GetUserId(); /* before the statement becomes the extension's owner */
	GptStatement statement;
	StringInfoData card;
	MemoryContext context = CurrentMemoryContext;

	initStringInfo(&card);
	append_front(&card, version, source);
	appendStringInfo(&card,
					 "# %s\n\nVersion %d of the model, exported from PostgreSQL by gpt %s.\n\n"
					 "| | |\n|---|---|\n",
					 version->model, version->version, GPT_VERSION);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, version->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->version));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(user));
	if (gpt_statement_run(&statement, CARD_ROW) == 1)
	{
		MemoryContext old_context = MemoryContextSwitchTo(context);

		append_row(&card, "architecture", gpt_statement_text(&statement, 0, 15));
		append_row(&card, "parameters", gpt_statement_text(&statement, 0, 1));
		append_row(&card, "context", psprintf("%d tokens", version->config.context));
		append_row(&card, "vocabulary", psprintf("%d tokens", version->config.vocabulary));
		append_row(&card, "made", gpt_statement_text(&statement, 0, 2));
		append_row(&card, "base", version->base);
		append_row(&card, "imported from", text_of(source, "name"));
		append_row(&card, "format of the import", text_of(source, "format"));
		append_row(&card, "licence of the base", text_of(source, "licence"));
		append_row(&card, "task", gpt_statement_text(&statement, 0, 6));
		append_row(&card, "prompts are written as", template_of(version));
		append_row(&card, "training loss, nats a token", gpt_statement_text(&statement, 0, 3));
		append_row(&card, "validation loss, nats a token", gpt_statement_text(&statement, 0, 4));
		append_row(&card, "validation loss, bits a byte", gpt_statement_text(&statement, 0, 5));
		append_job(&card, &statement);
		MemoryContextSwitchTo(old_context);
	}
	append_versions(&card, version, &statement);
	gpt_statement_end(&statement);
	append_cleaning(&card, version);
	return card.data;
}

/* The header that Hugging Face's site reads. */
static void
append_front(StringInfo card, const GptVersion *version, const GptJson *source)
{
	const char *licence = text_of(source, "licence");

	appendStringInfo(card, "---\nlibrary_name: %s\npipeline_tag: text-generation\n",
					 version->base != NULL ? "peft" : "transformers");
	if (licence != NULL)
	{
		appendStringInfoString(card, "license: ");
		escape_json(card, licence);
		appendStringInfoChar(card, '\n');
	}
	if (version->base != NULL)
	{
		appendStringInfoString(card, "base_model: ");
		escape_json(card, version->base);
		appendStringInfoChar(card, '\n');
	}
	appendStringInfoString(card, "---\n\n");
}

/* How prompts are written, as code; NULL where nothing is written around them. */
static const char *
template_of(const GptVersion *version)
{
	LmPromptTemplate written;
	char *end;

	if (!gpt_extras_prompt(&written, &end, version->extras) || !lm_prompt_is_written(&written))
		return NULL;
	return psprintf("`%.*s%s%.*s`", (int) written.before.size, written.before.data, LM_PROMPT_PLACE,
					(int) written.after.size, written.after.data);
}

/* A row of a table; nothing for an unknown value. */
static void
append_row(StringInfo card, const char *label, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(card, "| %s | ", label);
	for (; *value != '\0'; value++)
	{
		if (*value == '|')
			appendStringInfoChar(card, '\\');
		appendStringInfoChar(card, *value == '\n' ? ' ' : *value);
	}
	appendStringInfoString(card, " |\n");
}

static void
append_job(StringInfo card, const GptStatement *statement)
{
	if (gpt_statement_text(statement, 0, 7) == NULL)
		return;
	appendStringInfoString(card, "\n## Training\n\n| | |\n|---|---|\n");
	append_row(card, "job", gpt_statement_text(statement, 0, 7));
	append_row(card, "kind", gpt_statement_text(statement, 0, 8));
	append_row(card, "rows", gpt_statement_text(statement, 0, 9));
	append_row(card, "bytes", gpt_statement_text(statement, 0, 10));
	append_row(card, "tokens", gpt_statement_text(statement, 0, 11));
	append_row(card, "steps", gpt_statement_text(statement, 0, 12));
	appendStringInfoString(card, "\nOptions:\n\n");
	append_fenced(card, "json", gpt_statement_text(statement, 0, 13));
	appendStringInfoString(card, "\nQuery:\n\n");
	append_fenced(card, "sql", gpt_statement_text(statement, 0, 14));
}

static void
append_versions(StringInfo card, const GptVersion *version, GptStatement *statement)
{
	uint64 n;

	gpt_statement_add_text(statement, version->model);
	gpt_statement_add(statement, INT4OID, Int32GetDatum(version->version));
	n = gpt_statement_run(statement, CARD_VERSIONS);
	appendStringInfoString(card, "\n## Versions\n\n| version | state | made | validation loss |\n"
								 "|---|---|---|---|\n");
	for (uint64 row = 0; row < n; row++)
	{
		const char *loss = gpt_statement_text(statement, row, 4);

		appendStringInfo(card, "| %s | %s | %s | %s |\n", gpt_statement_text(statement, row, 1),
						 gpt_statement_text(statement, row, 2),
						 gpt_statement_text(statement, row, 3), loss != NULL ? loss : "");
	}
}

/* How the texts were cleaned that the model knows: other programs have to do it themselves. */
static void
append_cleaning(StringInfo card, const GptVersion *version)
{
	char *clean = gpt_extras_clean(version->extras);

	if (clean == NULL)
		return;
	appendStringInfoString(card,
						   "\n## Cleaning\n\nThe model was trained on texts that gpt_clean has "
						   "changed with these options. Clean what it reads alike:\n\n");
	append_fenced(card, "json", clean);
}

/* A block of code, whose fence is longer than any run of backquotes in the text. */
static void
append_fenced(StringInfo card, const char *language, const char *text)
{
	int longest = 2, run = 0;
	char *fence;

	for (const char *byte = text; *byte != '\0'; byte++)
	{
		run = *byte == '`' ? run + 1 : 0;
		longest = Max(longest, run);
	}
	fence = palloc(longest + 2);
	memset(fence, '`', longest + 1);
	fence[longest + 1] = '\0';
	appendStringInfo(card, "%s%s\n%s\n%s\n", fence, language, text, fence);
}

/* Member "source" of the version's extras; NULL: it was not imported. */
static const GptJson *
source_of(const GptVersion *version)
{
	if (version->extras == NULL)
		return NULL;
	return gpt_json_field(gpt_json_parse(version->extras, strlen(version->extras), 100000,
										 "configuration of a model"),
						  "source");
}

static const char *
text_of(const GptJson *source, const char *name)
{
	const GptJson *value = source != NULL ? gpt_json_field(source, name) : NULL;

	return value != NULL && value->type == GPT_JSON_STRING ? value->text : NULL;
}
