/*
 * src/train/members_place.c
 *
 * The databases that members say they are (core/server_state.h) go in; an error comes out where two
 * of them are one. Its rows would be learnt twice. This is for mistakes: a server may say anything.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/json_tree.h"
#include "core/server_state.h"
#include "train/members_private.h"

#define MOST_NODES 1000

static const char *place_of(const GptMember *member, const PGresult *result);
pg_noreturn static void raise_same(const GptMember *member, const char *other);

void
gpt_members_check_place(const GptMembers *members, GptMember *member, const PGresult *result)
{
	const char *place = place_of(member, result);

	member->place[0] = '\0';
	if (place == NULL || strlen(place) >= sizeof(member->place))
		return;
	strlcpy(member->place, place, sizeof(member->place));
	if (strcmp(place, gpt_server_place()) == 0)
		raise_same(member, NULL);
	for (int i = 0; i < members->n; i++)
	{
		const GptMember *other = &members->members[i];

		if (other != member &&
			(other->work != NULL || (other->coming != NULL && other->has_begun)) &&
			strcmp(place, other->place) == 0)
			raise_same(member, other->row.server);
	}
}

/* NULL: the answer has none that can be read. */
static const char *
place_of(const GptMember *member, const PGresult *result)
{
	const GptJson *answer = NULL;

	if (PQntuples(result) == 1 && PQnfields(result) == 1)
		answer = gpt_json_try_parse(PQgetvalue(result, 0, 0), (size_t) PQgetlength(result, 0, 0),
									MOST_NODES,
									psprintf("the answer of server \"%s\"", member->row.server));
	return answer == NULL || answer->type != GPT_JSON_OBJECT
			   ? NULL
			   : gpt_json_string(gpt_json_field(answer, "place"));
}

static void
raise_same(const GptMember *member, const char *other)
{
	if (other == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("server \"%s\" is the database where the job runs", member->row.server),
				 errdetail("Its worker takes part in any case."),
				 errhint("Leave it out of option \"servers\".")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("servers \"%s\" and \"%s\" are the same database", other, member->row.server),
			 errhint("Leave one of them out of option \"servers\".")));
}
