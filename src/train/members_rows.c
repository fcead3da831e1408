/*
 * src/train/members_rows.c
 *
 * Servers that read rows of their own: their surveys come in, tokenizer and agreement go out
 * (corpus/agreement.h).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_writer.h"
#include "core/transaction.h"
#include "corpus/agreement.h"
#include "store/tokenizer_json.h"
#include "train/members_private.h"

#define OWN_NAME "coordinator" /* the name of this server in errors and in the agreement */

static const GptAgreement *agree(void *context, const bytea *survey, LmTokenizer *tokenizer);
static GptSurvey *fetch_survey(GptMembers *members, GptMember *member);

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
	const GptAgreement *agreement;
	GptTransaction transaction;
	MemoryContext old_context = CurrentMemoryContext;

	gpt_progress_phase(members->progress, "reading rows of servers");
	if (tokenizer != NULL)
		gpt_members_send_tokenizer(members, gpt_members_tokenizer(tokenizer), NULL);
	surveys[0] = gpt_survey_read(OWN_NAME, (LmBytes){VARDATA(survey), VARSIZE(survey) - VARHDRSZ});
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(old_context);
	for (int i = 0; i < members->n; i++)
		surveys[i + 1] = fetch_survey(members, &members->members[i]);
	gpt_transaction_commit(&transaction);
	MemoryContextSwitchTo(old_context);
	members->rows = compare_rows(surveys, members->n + 1);
	gpt_members_report(members, surveys);
	gpt_progress_phase(members->progress, "training the tokenizer");
	agreement = gpt_agree_on(members->options, members->given, tokenizer, surveys, members->n + 1,
							 members->progress);
	pfree(surveys);
	return agreement;
}

/* The pieces of a survey, one after the other. */
static GptSurvey *
fetch_survey(GptMembers *members, GptMember *member)
{
	StringInfoData survey;
	PGresult *result;

	if (member->work == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("server \"%s\" is lost before its rows were read", member->row.server)));
	result = gpt_remote_query_binary(
		member->work, psprintf("SELECT %s.gpt_member_counts()", gpt_remote_schema(member->work)), 0,
		NULL);
	initStringInfo(&survey);
	for (int i = 0; i < PQntuples(result) && PQnfields(result) == 1; i++)
	{
		int size = PQgetlength(result, i, 0);

		CHECK_FOR_INTERRUPTS();
		if (size > GPT_MOST_SURVEY - survey.len)
			break; /* what is there is no survey */
		appendBinaryStringInfo(&survey, PQgetvalue(result, i, 0), size);
	}
	member->heard_at = GetCurrentTimestamp();
	return gpt_survey_read(member->row.server, (LmBytes){survey.data, (size_t) survey.len});
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
