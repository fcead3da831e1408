/*
 * src/train/membership_run.c
 *
 * A number of steps goes in; their losses and, of a round of DiLoCo, the packed difference from the
 * common parameters come out; the packed update of all members makes the parameters common again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/json_writer.h"
#include "core/nice.h"
#include "core/pulse.h"
#include "engine/outer.h"
#include "store/blob.h"
#include "train/membership_private.h"

#define DIGITS 17 /* which give a double back */

/* Sums over the steps of a run. */
typedef struct Sums
{
	double loss;
	double weight;
	int64 tokens;
} Sums;

static size_t
total_of(const GptMembership *member)
{
	return lm_trainer_table(member->training.trainer)->total;
}

/* The first round begins where the checkpoint was: there all members are equal. */
void
gpt_membership_allocate_round(GptMembership *member)
{
	size_t total = total_of(member);
	MemoryContext context = member->state_context;
	GptReceived *update = &member->parts[GPT_PART_UPDATE];

	if (member->common != NULL)
		return;
	member->packed_size = lm_outer_size(total, GPT_DIFFERENCE_BITS);
	member->update_size = lm_outer_size(total, GPT_UPDATE_BITS);
	member->left = MemoryContextAllocExtended(context, total * sizeof(float),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	member->packed = MemoryContextAllocHuge(context, member->packed_size);
	update->bytes = MemoryContextAllocHuge(context, member->update_size);
	update->capacity = member->update_size;
	member->common = MemoryContextAllocHuge(context, total * sizeof(float));
	memcpy(member->common, lm_trainer_params(member->training.trainer), total * sizeof(float));
}

static void
pack_difference(GptMembership *member)
{
	LmTrainer *trainer = member->training.trainer;
	LmEngine *engine = lm_trainer_engine(trainer);
	LmError error;

	lm_engine_begin(engine);
	if (!lm_outer_difference(member->packed, member->left, member->common,
							 lm_trainer_params(trainer), total_of(member), GPT_DIFFERENCE_BITS,
							 engine, &error))
		gpt_bridge_raise(&error);
}

static void
add_step(Sums *sums, const GptTraining *training)
{
	double weight = 0;

	for (int i = 0; i < training->plan->accumulate; i++)
		weight += lm_batch_weight(&training->batches[i]);
	sums->loss += training->state.last.loss * weight;
	sums->weight += weight;
	sums->tokens += training->state.last.tokens;
}

/* So that the coordinator notices a difference that is that of another round, or was altered. */
static void
put_hash(const GptMembership *member, GptJsonWriter *answer)
{
	uint8 sha256[GPT_BLOB_HASH_SIZE];
	char *hex = palloc(2 * GPT_BLOB_HASH_SIZE + 1);

	gpt_blob_hash(sha256, member->packed, member->packed_size);
	hex[hex_encode((const char *) sha256, sizeof(sha256), hex)] = '\0';
	gpt_json_put_text(answer, "sha256", hex);
}

void
gpt_membership_steps(GptMembership *member, const GptMemberRun *run, GptJsonWriter *answer)
{
	GptTraining *training = &member->training;
	TimestampTz started_at = GetCurrentTimestamp();
	Sums sums = {0};

	if (run->share >= 0)
		lm_trainer_options(training->trainer)->share = run->share;
	gpt_membership_allocate_round(member);
	for (int64 i = 0; i < run->steps; i++)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_training_step(training);
		add_step(&sums, training);
	}
	pack_difference(member);
	gpt_nice_raise();
	member->parts[GPT_PART_UPDATE].size = 0;
	gpt_json_put_integer(answer, "step", training->state.step);
	gpt_json_put_integer(answer, "tokens", sums.tokens);
	gpt_json_put_rounded(answer, "loss_sum", sums.loss, DIGITS);
	gpt_json_put_rounded(answer, "weight", sums.weight, DIGITS);
	gpt_json_put_integer(answer, "ms", (GetCurrentTimestamp() - started_at) / 1000);
	gpt_json_put_integer(answer, "waited_ms", 0);
	gpt_json_put_integer(answer, "delta", (int64) member->packed_size);
	put_hash(member, answer);
}

void
gpt_membership_update(GptMembership *member)
{
	LmTrainer *trainer = member->training.trainer;
	LmEngine *engine = lm_trainer_engine(trainer);
	const GptReceived *update = &member->parts[GPT_PART_UPDATE];
	LmError error;

	lm_engine_begin(engine);
	if (!lm_outer_check(update->bytes, (size_t) update->size, total_of(member), GPT_UPDATE_BITS,
						engine, &error))
		gpt_bridge_raise(&error);
	lm_outer_apply(member->common, lm_trainer_params(trainer), update->bytes, total_of(member),
				   GPT_UPDATE_BITS, engine);
}
