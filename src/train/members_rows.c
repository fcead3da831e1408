/*
 * src/train/members_rows.c
 *
 * Servers that read rows of their own: their surveys come in, tokenizer and agreement go out
 * (corpus/agreement.h).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_writer.h"
#include "corpus/agreement.h"
#include "store/tokenizer_json.h"
#include "train/members_private.h"
#include "train/membership.h"

#define OWN_NAME "coordinator" /* the name of this server in errors and in the agreement */

static const GptAgreement *agree(void *context, const bytea *survey, LmTokenizer *tokenizer);
static void fetch_surveys(StringInfo surveys, GptMembers *members);
static void keep_piece(StringInfo survey, const GptMember *member, int number);

const GptTogether *
gpt_members_together(GptMembers *members, const GptGivenTokenizer *given)
{
	if (members == NULL || !members->is_local)
		return NULL;
	members->given = given;
	members->together =
		(GptTogether){.agree = agree, .context = members, .word_floor = members->word_floor};
	return &members->together;
}

/* All servers' bytes of text, in those of the first. */
static double
compare_rows(GptSurvey *const *surveys, int n)
{
	double all = 0;

	for (int i = 0; i < n; i++)
		all += (double) Max(surveys[i]->texts.bytes, 0);
	return all / (double) Max(surveys[0]->texts.bytes, 1);
}

/* A server that is lost here is an error: nobody has begun. */
static const GptAgreement *
agree(void *context, const bytea *survey, LmTokenizer *tokenizer)
{
	GptMembers *members = context;
	GptSurvey **surveys = palloc((members->n + 1) * sizeof(GptSurvey *));
	StringInfo pieces = palloc(members->n * sizeof(StringInfoData));
	const GptAgreement *agreement;

	gpt_progress_phase(members->progress, "reading rows of servers");
	if (tokenizer != NULL)
		gpt_members_send_tokenizer(members, gpt_members_tokenizer(tokenizer), NULL);
	surveys[0] = gpt_survey_read(OWN_NAME, (LmBytes){VARDATA(survey), VARSIZE(survey) - VARHDRSZ});
	fetch_surveys(pieces, members);
	for (int i = 0; i < members->n; i++)
		surveys[i + 1] = gpt_survey_read(members->members[i].row.server,
										 (LmBytes){pieces[i].data, (size_t) pieces[i].len});
	members->rows = compare_rows(surveys, members->n + 1);
	gpt_members_report(members, surveys);
	gpt_progress_phase(members->progress, "training the tokenizer");
	agreement = gpt_agree_on(members->options, members->given, tokenizer, surveys, members->n + 1,
							 members->progress);
	pfree(surveys);
	return agreement;
}

static void
check_memory(const StringInfoData *surveys, int n)
{
	uint64 size = 0;

	for (int i = 0; i < n; i++)
		size += (uint64) surveys[i].maxlen;
	gpt_bridge_check_memory(size);
}

/* Of all servers at once, in pieces; one that is not full is the last. */
static void
fetch_surveys(StringInfo surveys, GptMembers *members)
{
	const int most = GPT_MOST_SURVEY / GPT_MEMBER_PIECE + 1;
	bool more = true;

	for (int i = 0; i < members->n; i++)
		initStringInfo(&surveys[i]);
	for (int number = 0; more && number < most; number++)
	{
		char place[32];
		GptRemoteValue value = {.bytes = place};

		snprintf(place, sizeof(place), "%d", number);
		for (int i = 0; i < members->n; i++)
		{
			GptMember *member = &members->members[i];

			if (member->work != NULL && surveys[i].len == number * GPT_MEMBER_PIECE)
				gpt_members_ask(members, member, "gpt_member_counts() OFFSET $1::bigint LIMIT 1", 1,
								&value);
		}
		gpt_members_gather(members);
		more = false;
		for (int i = 0; i < members->n; i++)
		{
			keep_piece(&surveys[i], &members->members[i], number);
			more = more || surveys[i].len == (number + 1) * GPT_MEMBER_PIECE;
		}
		check_memory(surveys, members->n);
	}
}

/* What is no survey is noticed by its reader. */
static void
keep_piece(StringInfo survey, const GptMember *member, int number)
{
	const PGresult *result = member->result;

	if (member->work == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("server \"%s\" is lost before its rows were read", member->row.server),
				 member->error[0] != '\0' ? errdetail_internal("%s", member->error) : 0));
	if (survey->len != number * GPT_MEMBER_PIECE || PQntuples(result) == 0)
		return;
	if (PQnfields(result) != 1 || PQfformat(result, 0) != 1 ||
		PQgetlength(result, 0, 0) > GPT_MEMBER_PIECE)
		gpt_members_raise_answer(member, "The survey of its rows is none.");
	appendBinaryStringInfo(survey, PQgetvalue(result, 0, 0), PQgetlength(result, 0, 0));
}

LmBytes
gpt_members_tokenizer(LmTokenizer *tokenizer)
{
	size_t size;
	char *json = gpt_tokenizer_to_json(lm_tokenizer_spec(tokenizer), &size);

	return (LmBytes){json, size};
}

/* What was agreed on is in the corpus, also in one that a job finds when it continues. */
void
gpt_members_keep_agreement(GptMembers *members, GptCorpus *corpus)
{
	const LmDatasetHeader *header = corpus->dataset.header;
	GptAgreement agreement = {.tokenizer = corpus->tokenizer,
							  .context = corpus->dataset.context,
							  .prompt = corpus->prompt};
	GptJsonWriter take = {NULL};
	Jsonb *json;

	if (header->numbers)
		agreement.numbers = (GptNumbers){(float) header->mean, (float) header->scale};
	else if (header->n_labels > 0)
	{
		const char *name = lm_dataset_labels(&corpus->dataset);

		agreement.n_labels = (int) header->n_labels;
		agreement.labels = palloc(agreement.n_labels * sizeof(char *));
		for (int i = 0; i < agreement.n_labels; i++, name += strlen(name) + 1)
			agreement.labels[i] = unconstify(char *, name);
	}
	json = gpt_agreement_to_json(&agreement, NULL, 0, 0);
	gpt_json_begin(&take, NULL);
	gpt_json_put_value(&take, "agreement", json);
	json = gpt_json_finish(&take);
	members->options_of_take = JsonbToCString(NULL, &json->root, VARSIZE(json));
	members->tokenizer = gpt_members_tokenizer(corpus->tokenizer);
}

void
gpt_members_supply_rows(GptMembers *members)
{
	gpt_members_send_tokenizer(members, members->tokenizer, members->options_of_take);
	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].work != NULL)
			members->members[i].has_tokens = true;
	}
}
