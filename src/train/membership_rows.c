/*
 * src/train/membership_rows.c
 *
 * The rows of a member's own: a query goes in; a survey of the rows, which the coordinator gets,
 * and later the token file, which stays here, come out.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/json_writer.h"
#include "corpus/agreement.h"
#include "corpus/survey.h"
#include "store/tokenizer_json.h"
#include "train/membership_private.h"
#include "train/train_base.h"

void
gpt_membership_take_rows(GptMembership *member, const char *query, Jsonb *options)
{
	MemoryContext old_context;
	const GptTrainBase *base = NULL;
	bool normalizes;

	member->rows_context =
		AllocSetContextCreate(member->context, "gpt member rows", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(member->rows_context);
	gpt_progress_start(&member->progress, GPT_NO_JOB);
	if (member->spec.base != NULL)
		base = gpt_train_base_named(member->spec.base);
	member->options =
		gpt_options_parse(options, base != NULL ? GPT_FUNCTION_FINETUNE : GPT_FUNCTION_TRAIN);
	if (base != NULL)
		member->given = gpt_corpus_tokenizer_create(base->tokenizer.spec);
	normalizes = base != NULL ? base->tokenizer.spec->normalize_nfc
							  : member->options->normalize == GPT_NORMALIZE_NFC;
	member->spool = gpt_corpus_part_read(query, member->options,
										 base != NULL ? &base->tokenizer : NULL, normalizes);
	MemoryContextSwitchTo(old_context);
}

void
gpt_membership_drop_rows(GptMembership *member)
{
	if (member->spool != NULL)
		gpt_spool_free(member->spool);
	member->spool = NULL;
	member->survey = NULL;
	member->given = NULL;
	member->options = NULL;
	if (member->rows_context != NULL)
		MemoryContextDelete(member->rows_context);
	member->rows_context = NULL;
}

static void
check_rows(const GptMembership *member)
{
	if (!member->spec.is_local)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has no rows of its own"),
						errdetail("It takes the coordinator's tokens.")));
	if (member->spool == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has encoded its rows already")));
}

void
gpt_membership_describe_rows(const GptMembership *member, GptJsonWriter *answer)
{
	const GptSpool *spool = member->spool;

	gpt_json_put_integer(answer, "documents", gpt_spool_documents(spool));
	gpt_json_put_integer(answer, "skipped", gpt_spool_skipped(spool));
	gpt_json_put_integer(answer, "bytes",
						 gpt_spool_bytes(spool, GPT_SIDE_TRAIN) +
							 gpt_spool_bytes(spool, GPT_SIDE_VALIDATION));
	gpt_json_put_integer(answer, "held_out", gpt_spool_side_documents(spool, GPT_SIDE_VALIDATION));
}

const bytea *
gpt_membership_survey(GptMembership *member, int64 floor)
{
	MemoryContext old_context;

	check_rows(member);
	old_context = MemoryContextSwitchTo(member->rows_context);
	if (member->survey == NULL)
		member->survey = gpt_survey_write(member->options, member->spool, floor, member->given,
										  &member->progress);
	MemoryContextSwitchTo(old_context);
	return member->survey;
}

/* The received tokenizer.json, in the current memory context. */
static LmTokenizer *
read_tokenizer(GptMembership *member)
{
	GptReceived *part = &member->parts[GPT_PART_TOKENIZER];
	char *json = MemoryContextAllocHuge(CurrentMemoryContext, (Size) part->size + 1);
	const LmTokenizerSpec *spec;

	gpt_received_read(part, json);
	json[part->size] = '\0';
	spec = gpt_tokenizer_from_json(json, (size_t) part->size);
	gpt_received_reset(part);
	return gpt_corpus_tokenizer_create(spec);
}

void
gpt_membership_encode(GptMembership *member, const char *agreed, GptJsonWriter *answer)
{
	MemoryContext old_context;
	LmTokenizer *tokenizer;
	GptAgreement *agreement;
	GptJobCorpus counts;
	File file;

	check_rows(member);
	old_context = MemoryContextSwitchTo(member->rows_context);
	tokenizer = read_tokenizer(member);
	if (agreed == NULL)
	{
		/* It is there before the rows are surveyed. */
		member->given = tokenizer;
		member->survey = NULL;
		MemoryContextSwitchTo(old_context);
		return;
	}
	agreement = gpt_agreement_from_json(agreed, strlen(agreed));
	file = gpt_corpus_part_write(&counts, member->options, agreement, member->spool, tokenizer,
								 &member->progress);
	if (member->dataset.base != NULL)
		gpt_corpus_unmap(&member->dataset);
	gpt_corpus_map(&member->dataset, &member->tokens_crc, file);
	MemoryContextSwitchTo(old_context);
	gpt_membership_drop_rows(member);
	member->stage = GPT_MEMBER_HAS_TOKENS;
	gpt_json_put_integer(answer, "documents", counts.documents);
	gpt_json_put_integer(answer, "skipped", counts.skipped);
	gpt_json_put_integer(answer, "bytes", counts.bytes);
	gpt_json_put_integer(answer, "held_out", counts.held_out);
}
