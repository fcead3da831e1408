/*
 * src/train/members_base.c
 *
 * The version that a fine-tune starts from goes in; what members need of it comes out. A member
 * reads the frozen weights below an adapter from its own copy, and from the same copy how the base
 * reads rows: its labels, its chat template, what is cleaned. So the copy must be the same version.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "core/transaction.h"
#include "store/catalog.h"
#include "train/members_private.h"

/*
 * The version in the job's row; the first run has it from the base that it has found. (A run that
 * goes on from a partial version of its own has that as its base.)
 */
static int
number_of(const GptJob *job, const GptTrainBase *base)
{
	return base != NULL && base->step == 0 ? base->version->version : job->base_version;
}

void
gpt_members_find_base(GptMembers *members, const GptTrainBase *base)
{
	const GptJob *job = members->job;
	GptTransaction transaction;
	const GptVersion *version;

	if (job->base == NULL || !(members->is_local || gpt_options_lora(members->options)))
		return;
	members->base = psprintf("%s@%d", job->base, number_of(job, base));
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	version = gpt_catalog_version(members->base, false);
	memcpy(members->base_sha256, version->sha256, GPT_SHA256_SIZE);
	gpt_transaction_commit(&transaction);
}

void
gpt_members_put_base(GptJsonWriter *spec, const GptMembers *members)
{
	char *hex;

	if (members->base == NULL)
		return;
	hex = palloc(2 * GPT_SHA256_SIZE + 1);
	hex[hex_encode((const char *) members->base_sha256, GPT_SHA256_SIZE, hex)] = '\0';
	gpt_json_put_text(spec, "base", members->base);
	gpt_json_put_text(spec, "base_sha256", hex);
}
