/*
 * test/unit/test_schema.c
 *
 * JSON Schemas: texts that they accept and texts that they do not, keyword by keyword.
 */
#include "../fuzz/json_values.h"
#include "counting_host.h"

static CountingHost memory;
static LmHost host;
static JsonValues json;

static LmAutomaton *
of_schema(const char *schema, bool bare, LmError *error)
{
	LmBuilder *builder = lm_builder_create(&host, NULL, error);

	json_parse(&json, schema, strlen(schema));
	lm_build_schema(builder, json.values, json.n, bare);
	return lm_builder_finish(builder, error);
}

/* Texts [..., NULL] that a schema accepts, and then those that it does not. */
static void
check(const char *name, bool bare, const char *schema, const char *const *good,
	  const char *const *bad)
{
	LmError error;
	LmAutomaton *automaton = of_schema(schema, bare, &error);
	bool same = automaton != NULL;

	if (!automaton)
		printf("# %s\n", error.message);
	for (int i = 0; automaton && good[i]; i++)
		if (!lm_automaton_accepts(automaton, (LmBytes){good[i], strlen(good[i])}, &error))
		{
			printf("# not accepted: %s\n", good[i]);
			same = false;
		}
	for (int i = 0; automaton && bad[i]; i++)
		if (lm_automaton_accepts(automaton, (LmBytes){bad[i], strlen(bad[i])}, &error))
		{
			printf("# accepted: %s\n", bad[i]);
			same = false;
		}
	ok(same, "%s", name);
	lm_automaton_free(automaton);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_values(void)
{
	check("strings have a length in characters", false,
		  "{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}",
		  TEXTS("\"ab\"", "\"漢\\n\\\"\"", "\"a\\\\b\""),
		  TEXTS("\"a\"", "\"abcd\"", "ab", "\"a\"b\"", "\"a\nb\""));
	check("a pattern and a length hold together", false,
		  "{\"type\": \"string\", \"pattern\": \"^a+\", \"maxLength\": 4}",
		  TEXTS("\"a\"", "\"aab\""), TEXTS("\"b\"", "\"\"", "\"aaaab\""));
	check("integers have bounds", false,
		  "{\"type\": \"integer\", \"minimum\": -5, \"exclusiveMaximum\": 120}",
		  TEXTS("-5", "0", "119"), TEXTS("-6", "120", "1.0", "01", "\"1\""));
	check("numbers have bounds and steps", false,
		  "{\"type\": \"number\", \"exclusiveMinimum\": 0, \"maximum\": 2.5, \"multipleOf\": 0.01}",
		  TEXTS("0.01", "2.5", "1.25", "2"), TEXTS("0", "0.00", "2.51", "1.255", "-1", "0.001"));
	check("open bounds are open on both sides of 0", false,
		  "{\"type\": \"number\", \"exclusiveMinimum\": -1, \"exclusiveMaximum\": 0, "
		  "\"multipleOf\": 0.1}",
		  TEXTS("-0.9", "-0.1"), TEXTS("0", "-1", "-1.0", "0.0", "-0.0", "0.1"));
	check("a list of types", false, "{\"type\": [\"boolean\", \"null\"]}",
		  TEXTS("true", "false", "null"), TEXTS("0", "\"\""));
	check("constants and lists of them", false,
		  "{\"enum\": [\"a\\\"b\", 12, null, [1, {\"k\": [], \"l\": {}}]]}",
		  TEXTS("12", "null", "[1,{\"k\":[],\"l\":{}}]", "[1, {\"k\": [], \"l\": {}}]"),
		  TEXTS("a", "[1]", "[1,{\"k\":[]}]", "1"));
}

static void
test_formats(void)
{
	check("dates are those of the calendar", true, "{\"type\": \"string\", \"format\": \"date\"}",
		  TEXTS("2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31", "2023-04-30"),
		  TEXTS("2023-02-29", "1900-02-29", "2023-04-31", "0000-01-01", "0000-02-29", "2023-13-01",
				"2023-00-10", "2023-1-1", "\"2024-02-29\""));
	check("times", true, "{\"type\": \"string\", \"format\": \"time\"}",
		  TEXTS("00:00:00", "23:59:59.123456"), TEXTS("24:00:00", "12:60:00", "1:00:00", "12:00"));
	check("times of a day with a zone", true, "{\"type\": \"string\", \"format\": \"date-time\"}",
		  TEXTS("2024-02-29T12:30:00Z", "2024-02-29 12:30:00.5+05:30"),
		  TEXTS("2024-02-29T12:30:00", "2023-02-29T12:30:00Z"));
	check("and without", true, "{\"type\": \"string\", \"format\": \"local-date-time\"}",
		  TEXTS("2024-02-29T12:30:00", "2024-02-29 12:30:00"), TEXTS("2024-02-29T12:30:00Z"));
	check("uuids", true, "{\"type\": \"string\", \"format\": \"uuid\"}",
		  TEXTS("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
		  TEXTS("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"));
}

static void
test_objects(void)
{
	const char *person =
		"{\"type\": \"object\", \"properties\": {\"age\": {\"type\": \"integer\"}, \"mail\": "
		"{\"type\": \"string\"}, \"name\": {\"type\": \"string\"}, \"tall\": {\"type\": "
		"\"boolean\"}}, \"required\": [\"name\", \"age\"], \"additionalProperties\": false}";

	check("members come in the order of `required`, then the others", false, person,
		  TEXTS("{\"name\":\"A\",\"age\":1}", "{\"name\": \"A\", \"age\": 1, \"tall\": true}",
				"{\"name\":\"A\",\"age\":1,\"mail\":\"\",\"tall\":false}"),
		  TEXTS("{}", "{\"age\":1,\"name\":\"A\"}", "{\"name\":\"A\",\"age\":1,}",
				"{\"name\":\"A\",\"age\":1,\"tall\":true,\"mail\":\"\"}", "{\"name\":\"A\"}",
				"{\"name\":\"A\",\"age\":1,\"x\":1}", "{\"name\":\"A\",  \"age\":1}"));
	check("members that are not required may all be left out", false,
		  "{\"properties\": {\"a\": {\"const\": 1}, \"b\": {\"const\": 2}}}",
		  TEXTS("{}", "{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"),
		  TEXTS("{\"b\":2,\"a\":1}", "{,}", "{\"a\":1\"b\":2}", "{,\"b\":2}"));
	check("arrays", false,
		  "{\"type\": \"array\", \"items\": {\"type\": \"integer\"}, \"minItems\": 1, "
		  "\"maxItems\": 3}",
		  TEXTS("[1]", "[1,2, 3]"), TEXTS("[]", "[1,2,3,4]", "[1,]", "[a]"));
	check("any JSON", false, "{}",
		  TEXTS("null", "[]", "{}", "{\"a\": [1, {\"b\": \"c\"}], \"d\": -1.5}", "\"x\""),
		  TEXTS("", "[", "{a:1}", "[[[[[[1]]]]]]", "nul"));
	check("any object, any array", false,
		  "{\"anyOf\": [{\"type\": \"object\"}, {\"type\": \"array\"}]}",
		  TEXTS("[]", "{\"a\":[{}]}"), TEXTS("1", "\"\""));
}

static void
test_combined(void)
{
	check(
		"anyOf is either", true,
		"{\"anyOf\": [{\"type\": \"integer\", \"maximum\": 9}, {\"type\": \"string\", \"pattern\": "
		"\"^n/a$\"}]}",
		TEXTS("9", "n/a"), TEXTS("10", "\"n/a\""));
	check("allOf is both", false,
		  "{\"type\": \"string\", \"allOf\": [{\"type\": \"string\", \"maxLength\": 3}, {\"type\": "
		  "\"string\", \"pattern\": \"b\"}, {\"type\": \"string\", \"pattern\": \"^a\"}]}",
		  TEXTS("\"ab\"", "\"aab\""), TEXTS("\"a\"", "\"aaab\"", "\"b\""));
	check(
		"definitions are followed, within themselves too", false,
		"{\"$ref\": \"#/$defs/t\", \"$defs\": {\"t\": {\"type\": \"array\", \"items\": {\"$ref\": "
		"\"#/$defs/t\"}}}}",
		TEXTS("[]", "[[],[[]]]", "[[[[]]]]"), TEXTS("[[[[[[]]]]]]", "[1]"));
	check("annotations say nothing", false,
		  "{\"title\": \"t\", \"description\": \"d\", \"type\": \"null\", \"default\": null}",
		  TEXTS("null"), TEXTS("1"));
}

static void
test_refusals(void)
{
	static const char *const bad[] = {
		"{\"type\": \"string\", \"contains\": 1}",
		"{\"type\": \"text\"}",
		"{\"$ref\": \"#/$defs/no\"}",
		"{\"type\": \"string\", \"format\": \"email\"}",
		"{\"type\": \"string\", \"pattern\": \"(\"}",
		"{\"type\": \"number\", \"multipleOf\": 3}",
		"{\"type\": \"string\", \"maxLength\": -1}",
		"{\"type\": \"integer\", \"minimum\": \"1\"}",
		"{\"type\": \"integer\", \"minimum\": 1, \"exclusiveMinimum\": 1}",
		"[1]",
		"{\"properties\": {\"a\": 1}}",
	};
	int n = 0;
	char *deep = malloc(3000);
	LmError error;
	LmAutomaton *automaton;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
	{
		automaton = of_schema(bad[i], false, &error);
		if (!automaton && error.code == LM_ERR_FORMAT)
			n++;
		else
			printf("# %s: %s\n", bad[i], automaton ? "accepted" : error.message);
		lm_automaton_free(automaton);
	}
	ok(n == (int) (sizeof bad / sizeof *bad), "keywords that are not supported are named");
	ok(!of_schema("{\"type\": \"string\", \"minLength\": 3, \"maxLength\": 2}", false, &error) &&
		   error.code == LM_ERR_ARGUMENT && !of_schema("false", false, &error) &&
		   !of_schema("{\"type\": \"integer\", \"minimum\": 3, \"maximum\": 2}", false, &error),
	   "a schema without a text is an error");
	*deep = 0;
	for (int i = 0; i < 150; i++)
		strcat(deep, "{\"items\": ");
	strcat(deep, "{}");
	ok(!of_schema(deep, false, &error), "a schema that is deep is refused: %s", error.message);
	ok(!of_schema("{\"type\": \"array\", \"minItems\": 999999, \"items\": {\"type\": \"string\", "
				  "\"maxLength\": 100000}}",
				  false, &error) &&
		   error.code == LM_ERR_LIMIT,
	   "and one of too many states");
	free(deep);
}

int
main(void)
{
	host = counting_host(&memory);
	test_values();
	test_formats();
	test_objects();
	test_combined();
	test_refusals();
	ok(memory.live == 0, "no memory is left");
	return done_testing();
}
