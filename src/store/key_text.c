/*
 * src/store/key_text.c
 *
 * The values of a key go in; its text comes out, the same whatever the settings of the session are.
 *
 * The functions that write values are the types' own (superusers alone create these), never casts,
 * which a user may have defined: triggers call this as whoever changes the table.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "store/maintained_table.h"

/* What the text of some types depends on. */
static const struct
{
	const char *name;
	const char *value;
} settings[] = {
	{"DateStyle", "ISO, YMD"},	 {"IntervalStyle", "iso_8601"}, {"TimeZone", "UTC"},
	{"extra_float_digits", "1"}, {"bytea_output", "hex"},		{"lc_monetary", "C"},
	{"xmloption", "content"},
};

static bool
is_independent(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case NAMEOID:
		case INT8OID:
		case INT2OID:
		case INT4OID:
		case TEXTOID:
		case OIDOID:
		case BPCHAROID:
		case VARCHAROID:
		case NUMERICOID:
		case UUIDOID:
			return true;
		default:
			return false;
	}
}

void
gpt_key_text_init(GptKeyText *form, TupleDesc description, const AttrNumber *columns, int n)
{
	form->n = n;
	form->columns = palloc(n * sizeof(AttrNumber));
	form->functions = palloc(n * sizeof(Oid));
	form->depends = false;
	for (int i = 0; i < n; i++)
	{
		Oid type = TupleDescAttr(description, columns[i] - 1)->atttypid;
		bool is_varlena;

		form->columns[i] = columns[i];
		getTypeOutputInfo(type, &form->functions[i], &is_varlena);
		form->depends = form->depends || !is_independent(type);
	}
}

static void
set_all(GucAction action)
{
	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET, PGC_S_SESSION,
								 action, true, 0, false);
}

int
gpt_key_text_begin(const GptKeyText *form)
{
	int level = 0;

	if (form->depends)
	{
		level = NewGUCNestLevel();
		set_all(GUC_ACTION_SAVE);
	}
	return level;
}

void
gpt_key_text_end(const GptKeyText *form, int level)
{
	if (form->depends)
		AtEOXact_GUC(false, level);
}

void
gpt_key_text_settings(void)
{
	set_all(GUC_ACTION_LOCAL);
}

char *
gpt_key_text(const GptKeyText *form, TupleTableSlot *slot)
{
	Datum *texts = palloc(form->n * sizeof(Datum));
	char *text = NULL;

	for (int i = 0; i < form->n; i++)
	{
		bool is_null;
		Datum value = slot_getattr(slot, form->columns[i], &is_null);

		if (is_null)
			elog(ERROR, "a key of a maintained table has a null");
		text = OidOutputFunctionCall(form->functions[i], value);
		if (form->n > 1)
			texts[i] = CStringGetTextDatum(text);
	}
	if (form->n > 1)
		text = OidOutputFunctionCall(
			F_ARRAY_OUT,
			PointerGetDatum(construct_array(texts, form->n, TEXTOID, -1, false, TYPALIGN_INT)));
	return text;
}

char *
gpt_key_value(const GptMaintainedTable *table, const char *key, int number)
{
	if (table->n_keys == 1)
		return psprintf("CAST(%s AS %s)", key, table->keys[0].type);
	return psprintf("CAST((CAST(%s AS pg_catalog.text[]))[%d] AS %s)", key, number + 1,
					table->keys[number].type);
}
