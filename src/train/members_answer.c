/*
 * src/train/members_answer.c
 *
 * The result of a statement of a member goes in, what it says comes out. It is anybody's.
 */
#include "postgres.h"

#include "train/members_private.h"

#define MOST_NODES 64 /* of an answer */

void
gpt_members_raise_answer(const GptMember *member, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("server \"%s\" gave a wrong answer during the training", member->row.server),
			 errdetail_internal("%s", detail)));
}

const GptJson *
gpt_members_answer(const GptMember *member)
{
	const GptJson *answer = NULL;

	if (PQntuples(member->result) == 1 && PQnfields(member->result) == 1 &&
		!PQgetisnull(member->result, 0, 0))
		answer = gpt_json_try_parse(PQgetvalue(member->result, 0, 0),
									(size_t) PQgetlength(member->result, 0, 0), MOST_NODES,
									psprintf("the answer of server \"%s\"", member->row.server));
	if (answer == NULL || answer->type != GPT_JSON_OBJECT)
		gpt_members_raise_answer(member, "It is not one object.");
	return answer;
}

int64
gpt_members_number(const GptMember *member, const char *name, int64 most)
{
	const GptJson *object = gpt_members_answer(member);
	const char *dot = strchr(name, '.');
	const GptJson *field;
	double value = -1;

	if (dot != NULL)
		object = gpt_json_field(object, pnstrdup(name, dot - name));
	field = object == NULL || object->type != GPT_JSON_OBJECT
				? NULL
				: gpt_json_field(object, dot == NULL ? name : dot + 1);
	if (field != NULL && field->type == GPT_JSON_NUMBER)
		value = strtod(field->text, NULL);
	if (!(value >= 0 && value <= (double) most))
		gpt_members_raise_answer(
			member, psprintf("\"%s\" is not a number from 0 to " INT64_FORMAT ".", name, most));
	return (int64) value;
}

void
gpt_members_text(char *to, size_t size, const GptMember *member, const char *name)
{
	const GptJson *field = gpt_json_field(gpt_members_answer(member), name);

	if (field == NULL || field->type != GPT_JSON_STRING || strlen(gpt_json_string(field)) >= size)
		gpt_members_raise_answer(
			member, psprintf("\"%s\" is not a text of less than %zu bytes.", name, size));
	strlcpy(to, gpt_json_string(field), size);
}
