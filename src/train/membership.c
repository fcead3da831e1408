/*
 * src/train/membership.c
 *
 * Calls of the coordinator go in, one after another; each is refused unless all that it needs has
 * come before.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_writer.h"
#include "core/nice.h"
#include "core/pulse.h"
#include "core/settings.h"
#include "store/catalog.h"
#include "store/tokenizer_json.h"
#include "train/membership_private.h"

static GptMembership *current = NULL;

bool
gpt_membership_exists(void)
{
	return current != NULL;
}

void
gpt_membership_open(const GptMemberSpec *spec)
{
	MemoryContext context;
	GptMembership *member;

	if (current != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("this session is a member of a training already"),
						errhint("End that with gpt_member_end first.")));
	context = AllocSetContextCreate(TopMemoryContext, "gpt member", ALLOCSET_DEFAULT_SIZES);
	member = MemoryContextAllocZero(context, sizeof(GptMembership));
	member->context = context;
	member->spec = *spec;
	member->spec.model = MemoryContextStrdup(context, spec->model);
	member->spec.base = spec->base == NULL ? NULL : MemoryContextStrdup(context, spec->base);
	for (int i = 0; i < GPT_N_PARTS; i++)
		member->parts[i].file = -1;
	/* One that was started before has threads of another priority. */
	gpt_bridge_stop_engine();
	gpt_nice_init();
	gpt_kept_sweep();
	current = member;
}

void
gpt_membership_check_base(const GptMemberSpec *spec)
{
	const GptVersion *version;

	if (spec->base == NULL)
		return;
	version = gpt_catalog_version(spec->base, true);
	if (version == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("this server does not have the base of the training, \"%s\"", spec->base),
				 errhint("Send it there with gpt_distribute.")));
	gpt_catalog_check_use(version);
	if (spec->has_base_sha256 && memcmp(version->sha256, spec->base_sha256, GPT_MEMBER_SHA256) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\", version %d, of this server has other weights than the "
						"base of the training",
						version->model, version->version),
				 errhint("Models of a name are trained on one server, and sent to the others with "
						 "gpt_distribute.")));
}

void
gpt_membership_close(void)
{
	GptMembership *member = current;

	if (member == NULL)
		return;
	current = NULL;
	gpt_pulse_end();
	gpt_membership_close_mesh(member);
	gpt_membership_drop_state(member);
	gpt_membership_drop_rows(member);
	for (int i = 0; i < GPT_N_PARTS; i++)
		gpt_received_reset(&member->parts[i]);
	if (member->dataset.base != NULL)
		gpt_corpus_unmap(&member->dataset);
	gpt_bridge_stop_engine();
	gpt_nice_end();
	MemoryContextDelete(member->context);
}

/* ---- Order ---------------------------------------------------------------- */

static void
progress_text(char *text, size_t size)
{
	if (current != NULL)
		snprintf(text, size, "\"step\": " INT64_FORMAT, current->progress.step);
}

/*
 * The member, which has come as far as `least`. Its state is gone where another function of this
 * session has started the engine again.
 */
static GptMembership *
member_at(GptMemberStage least)
{
	GptMembership *member = current;

	if (member == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("this session is no member of a training"),
						errhint("Call gpt_member_begin first.")));
	if (member->training.trainer != NULL && member->generation != gpt_bridge_generation())
		gpt_membership_drop_state(member);
	gpt_pulse_begin(progress_text);
	if (member->stage >= least)
		return member;
	if (member->stage == GPT_MEMBER_BEGUN && member->spec.is_local)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has not encoded its rows"),
						errhint("Send part \"tokenizer\" with gpt_member_put, then call "
								"gpt_member_take.")));
	if (member->stage == GPT_MEMBER_BEGUN)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has no token file"),
						errhint("Send part \"tokens\" with gpt_member_put, then call "
								"gpt_member_take.")));
	if (member->stage == GPT_MEMBER_HAS_TOKENS)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has no state of the training"),
						errhint("Send part \"checkpoint\" with gpt_member_put, then call "
								"gpt_member_take.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the member has not run a round"), errhint("Call gpt_member_run first.")));
}

/* ---- Rows ----------------------------------------------------------------- */

void
gpt_membership_read(const char *query, Jsonb *options, GptJsonWriter *answer)
{
	GptMembership *member = member_at(GPT_MEMBER_BEGUN);

	gpt_membership_take_rows(member, query, options);
	gpt_membership_describe_rows(member, answer);
	gpt_pulse_end();
}

const char *
gpt_membership_counts(size_t *n, size_t offset)
{
	GptMembership *member = member_at(GPT_MEMBER_BEGUN);
	int64 floor = member->options != NULL ? member->options->word_floor : 1;
	const bytea *survey = gpt_membership_survey(member, floor);
	size_t size = VARSIZE_ANY_EXHDR(survey);

	gpt_pulse_end();
	*n = offset < size ? Min(size - offset, GPT_MEMBER_PIECE) : 0;
	return VARDATA_ANY(survey) + Min(offset, size);
}

/* ---- Parts ---------------------------------------------------------------- */

/* Where a part may come, and how large it may be. */
static int64
limit_of(const GptMembership *member, GptMemberPart part)
{
	const int64 megabyte = 1024 * 1024;

	switch (part)
	{
		case GPT_PART_TOKENIZER:
			return GPT_MAX_TOKENIZER_SIZE;
		case GPT_PART_TOKENS:
			return (int64) gpt_max_corpus_size * megabyte;
		case GPT_PART_CHECKPOINT:
			return 2 * gpt_settings_max_memory() + GPT_MAX_TOKENIZER_SIZE;
		case GPT_PART_UPDATE:
			return (int64) member->update_size;
		case GPT_PART_KEPT:
		case GPT_N_PARTS:
			break;
	}
	elog(ERROR, "part %d of a member is unknown", (int) part);
}

static GptMemberStage
stage_for(GptMemberPart part)
{
	return part == GPT_PART_UPDATE								  ? GPT_MEMBER_RAN
		   : part == GPT_PART_CHECKPOINT || part == GPT_PART_KEPT ? GPT_MEMBER_HAS_TOKENS
																  : GPT_MEMBER_BEGUN;
}

void
gpt_membership_put(GptMemberPart part, int64 offset, const void *bytes, size_t size)
{
	GptMembership *member = member_at(stage_for(part));

	if (part == GPT_PART_KEPT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("part \"%s\" cannot be sent", gpt_member_part_name(part)),
						errdetail("It is a file of this server.")));
	gpt_received_append(&member->parts[part], (int) part, offset, bytes, size,
						limit_of(member, part));
	gpt_pulse_end();
}

static void
take_tokens(GptMembership *member)
{
	GptReceived *part = &member->parts[GPT_PART_TOKENS];

	if (member->spec.is_local)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member makes its token file itself"),
						errdetail("It reads rows of its own.")));
	gpt_membership_drop_state(member);
	member->stage = GPT_MEMBER_BEGUN;
	if (member->dataset.base != NULL)
		gpt_corpus_unmap(&member->dataset);
	gpt_corpus_map(&member->dataset, &member->tokens_crc, part->file);
	part->file = -1;
	part->size = 0;
	member->stage = GPT_MEMBER_HAS_TOKENS;
}

static void
describe_tokens(const GptMembership *member, GptJsonWriter *answer)
{
	const LmDatasetHeader *header = member->dataset.header;

	gpt_json_put_integer(answer, "vocabulary", header->vocabulary);
	gpt_json_put_integer(answer, "tokens", (int64) header->n_tokens);
	gpt_json_put_integer(answer, "windows", (int64) header->n_train_windows);
	gpt_json_put_integer(answer, "validation_windows", (int64) header->n_validation_windows);
}

static void
describe_state(const GptMembership *member, GptJsonWriter *answer)
{
	gpt_json_put_integer(answer, "step", member->training.state.step);
	gpt_json_put_integer(answer, "parameters",
						 (int64) lm_trainer_table(member->training.trainer)->total);
	gpt_json_put_integer(answer, "crc", gpt_train_weights_crc(member->training.trainer));
}

Jsonb *
gpt_membership_use(GptMemberPart part, const uint8 *sha256, const GptMemberUse *use)
{
	GptMembership *member = member_at(stage_for(part));
	GptJsonWriter answer = {NULL};
	bool found;

	if (part != GPT_PART_KEPT)
		gpt_received_check(&member->parts[part], (int) part, sha256);
	if (use->members > 0)
	{
		member->spec.member = use->member;
		member->spec.members = use->members;
	}
	gpt_json_begin(&answer, NULL);
	switch (part)
	{
		case GPT_PART_TOKENIZER:
			gpt_membership_encode(member, use->agreement, &answer);
			if (use->agreement != NULL)
				describe_tokens(member, &answer);
			break;
		case GPT_PART_TOKENS:
			take_tokens(member);
			describe_tokens(member, &answer);
			break;
		case GPT_PART_CHECKPOINT:
			gpt_membership_take_state(member, member->parts[part].file, NULL);
			gpt_received_reset(&member->parts[part]);
			if (member->spec.keeps)
				gpt_membership_keep(member, use->also);
			describe_state(member, &answer);
			break;
		case GPT_PART_UPDATE:
			gpt_membership_update(member);
			/* It is not applied twice, if keeping is interrupted. */
			member->stage = GPT_MEMBER_HAS_TOKENS;
			if (member->spec.keeps)
				gpt_membership_keep(member, use->also);
			member->stage = GPT_MEMBER_READY;
			describe_state(member, &answer);
			break;
		case GPT_PART_KEPT:
			found = gpt_membership_take_kept(member, use);
			gpt_json_put_boolean(&answer, "found", found);
			if (found)
			{
				gpt_json_put_boolean(&answer, "changed", gpt_membership_has_other_rows(member));
				describe_state(member, &answer);
			}
			break;
		case GPT_N_PARTS:
			break;
	}
	gpt_pulse_end();
	return gpt_json_finish(&answer);
}

/* ---- Steps ---------------------------------------------------------------- */

Jsonb *
gpt_membership_run(const GptMemberRun *run)
{
	GptMembership *member = member_at(GPT_MEMBER_READY);
	int64 step = member->training.state.step;
	GptJsonWriter answer = {NULL};

	if (member->stage == GPT_MEMBER_RAN)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member waits for the update of the round"),
						errhint("Send part \"update\" with gpt_member_put, then call "
								"gpt_member_take.")));
	if (run->first_step != step)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member is at step " INT64_FORMAT ", not " INT64_FORMAT, step,
							   run->first_step),
						errhint("Send a checkpoint of that step.")));
	if (run->mesh != NULL)
		gpt_membership_meet(member, run);

	/* An error leaves a step that is half done, so only the end has a state again. */
	member->stage = GPT_MEMBER_HAS_TOKENS;
	gpt_json_begin(&answer, NULL);
	if (run->mesh != NULL)
		gpt_membership_mesh_steps(member, run, &answer);
	else
		gpt_membership_steps(member, run, &answer);
	gpt_json_put_integer(&answer, "epoch", run->epoch);
	member->stage = run->mesh != NULL ? GPT_MEMBER_READY : GPT_MEMBER_RAN;
	gpt_pulse_end();
	return gpt_json_finish(&answer);
}

const char *
gpt_membership_mesh(void)
{
	GptMembership *member = member_at(GPT_MEMBER_BEGUN);
	const char *address = gpt_membership_open_mesh(member);

	gpt_pulse_end();
	return address;
}

const uint8 *
gpt_membership_delta(size_t *n, int64 offset, int length)
{
	GptMembership *member = member_at(GPT_MEMBER_RAN);

	gpt_pulse_end();
	if (offset < 0 || (uint64) offset > member->packed_size)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("offset " INT64_FORMAT " is outside 0 .. %zu", offset,
							   member->packed_size)));
	*n = Min((size_t) length, member->packed_size - (size_t) offset);
	return member->packed + offset;
}
