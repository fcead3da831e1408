/*
 * src/sql/named_tokenizer.c
 *
 * A name in, the tokenizer that it means out, ready for use.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/bridge.h"
#include "core/extension.h"
#include "serve/cache.h"
#include "sql/named_tokenizer.h"
#include "store/restore.h"

static LmTokenizer *bytes_tokenizer(void);

LmTokenizer *
gpt_named_tokenizer(const char *reference)
{
	uint8 sha256[GPT_SHA256_SIZE];
	bool is_newer;
	LmTokenizer *tokenizer;

	(void) gpt_extension_oid();
	if (strcmp(reference, "bytes") == 0)
		return bytes_tokenizer();
	is_newer = gpt_restore_enter(reference);
	if (!gpt_catalog_resolve_tokenizer(reference, sha256))
		gpt_catalog_raise_missing_tokenizer(reference, GPT_WANTED_TOKENIZER_OR_MODEL);
	tokenizer = gpt_cache_tokenizer(sha256);
	if (is_newer)
		PopActiveSnapshot();
	return tokenizer;
}

static LmTokenizer *
bytes_tokenizer(void)
{
	static LmTokenizer *tokenizer = NULL;
	LmError error;

	while (tokenizer == NULL)
	{
		tokenizer = lm_tokenizer_create(gpt_bridge_host(TopMemoryContext), lm_bytes_spec(), &error);
		if (tokenizer == NULL)
			gpt_bridge_retry(&error);
	}
	return tokenizer;
}

void
gpt_check_token(const LmTokenizer *tokenizer, int32 id)
{
	int n_tokens = lm_tokenizer_spec(tokenizer)->n_tokens;

	if (id < 0 || id >= n_tokens)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("token %d does not exist", id),
				 errdetail("Tokens of this tokenizer are 0 to %d.", n_tokens - 1)));
}
