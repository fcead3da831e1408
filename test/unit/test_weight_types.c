/*
 * test/unit/test_weight_types.c
 *
 * The table of weight types against the words of SQL and of the docs.
 */
#include "engine/model.h"
#include "tap.h"

/* The names of all types, each between two marks. */
static const char *
list_of(char *list, size_t size, const char *mark, const char *separator, const char *last)
{
	int count = lm_weight_type_count();
	size_t used = 0;

	for (int i = 0; i < count; i++)
		used += (size_t) snprintf(list + used, size - used, "%s%s%s%s",
								  i == 0		  ? ""
								  : i < count - 1 ? separator
												  : last,
								  mark, lm_weight_type(i)->name, mark);
	return list;
}

static void
test_numbers(void)
{
	int count = lm_weight_type_count();
	bool right = count > 0;

	for (int i = 0; i < count; i++)
	{
		const LmWeightType *type = lm_weight_type(i);

		right = right && type->number == i && lm_weight_type_find(type->name) == type;
		ok(type->bits * type->unit * LM_PANEL == 8.0 * (double) type->unit_size,
		   "%s: bits a weight are those of a unit", type->name);
	}
	ok(right, "a type is found by its number and by its name");
	ok(!lm_weight_type(-1) && !lm_weight_type(count) && !lm_weight_type_find("no_type") &&
		   !lm_weight_type_find(""),
	   "other numbers and names are no types");
}

static void
test_sql(void)
{
	size_t size;
	char *sql = tap_read_file("sql/gpt.sql", &size), list[1024], text[1280];

	snprintf(text, sizeof text, "image_type text NOT NULL DEFAULT '%s' CHECK (image_type IN (%s))",
			 lm_weight_type(0)->name, list_of(list, sizeof list, "'", ", ", ", "));
	ok(sql && strstr(sql, text), "sql/gpt.sql has %s", text);
	snprintf(text, sizeof text, "sets the type of the weights that sessions compute with: %s'",
			 list_of(list, sizeof list, "", ", ", " or "));
	ok(sql && strstr(sql, text), "sql/gpt.sql has %s", text);
	free(sql);
}

static void
test_docs(const char *path)
{
	size_t size;
	char *docs = tap_read_file(path, &size), text[256];

	for (int i = 0; i < lm_weight_type_count(); i++)
	{
		const LmWeightType *type = lm_weight_type(i);

		snprintf(text, sizeof text, "\n| `%s` | %g |", type->name, type->bits);
		ok(docs && strstr(docs, text), "%s says that %s has %g bits a weight", path, type->name,
		   type->bits);
	}
	free(docs);
}

int
main(void)
{
	test_numbers();
	test_sql();
	test_docs("docs/sql.md");
	test_docs("docs/guide.md");
	test_docs("docs/internals.md");
	return done_testing();
}
