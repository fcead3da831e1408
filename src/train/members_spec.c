/*
 * src/train/members_spec.c
 *
 * A training goes in, what its coordinator tells a server that becomes a member comes out.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "core/server_state.h"
#include "core/compat.h"
#include "core/json_writer.h"
#include "core/version.h"
#include "train/members_private.h"
#include "train/membership.h"

int
gpt_members_count(const GptMembers *members)
{
	return members->n + 1;
}

static char *
hex_of(const uint8 *bytes, size_t size)
{
	char *hex = palloc(2 * size + 1);

	hex[hex_encode((const char *) bytes, size, hex)] = '\0';
	return hex;
}

/* The argument of gpt_member_begin. */
char *
gpt_members_spec(const GptMembers *members, const GptMember *member)
{
	GptJsonWriter writer = {NULL};
	Jsonb *spec;

	gpt_json_begin(&writer, NULL);
	gpt_json_put_integer(&writer, "protocol", GPT_MEMBER_PROTOCOL);
	gpt_json_put_text(&writer, "version", GPT_VERSION);
	gpt_json_put_text(
		&writer, "run_id",
		DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&members->job->run_id))));
	gpt_json_put_integer(&writer, "job", members->job->number);
	gpt_json_put_text(&writer, "model", members->job->model);
	gpt_json_put_integer(&writer, "member", member->row.member);
	gpt_json_put_integer(&writer, "members", gpt_members_count(members));
	if (members->by_step)
		gpt_json_put_text(&writer, "secret", hex_of(members->secret, sizeof(members->secret)));
	gpt_members_put_base(&writer, members);
	gpt_json_put_text(&writer, "data",
					  gpt_data_name(members->is_local ? GPT_DATA_LOCAL : GPT_DATA_DEALT));
	gpt_json_put_boolean(&writer, "keep", members->keeps);
	gpt_json_put_text(&writer, "coordinator", gpt_server_place());
	if (members->is_local)
	{
		gpt_json_put_text(&writer, "query", members->job->query);
		gpt_json_put_value(&writer, "options", members->job->options);
		gpt_json_put_value(&writer, "settings", members->job->settings);
	}
	spec = gpt_json_finish(&writer);
	return JsonbToCString(NULL, &spec->root, VARSIZE(spec));
}
