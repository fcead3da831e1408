/*
 * src/serve/cache_kind.c
 *
 * Whether a model may be taken: it is there, the role may use it, and it is of the kind that the
 * caller needs. The reason comes out as a value, or is raised.
 */
#include "postgres.h"

#include "serve/cache_parts.h"
#include "store/blob.h"

static bool check(GptFailure *failure, const GptVersion *version, GptServedKind kind);

/* What each kind is, what it is for, and where models of it come from. */
static const struct
{
	const char *is;
	const char *use;
	const char *make;
} kinds[] = {
	[GPT_SERVED_LANGUAGE_MODEL] = {"a language model", "gpt_generate, gpt_score or gpt_choose",
								   "a column of text"},
	[GPT_SERVED_CLASSIFIER] = {"a classifier", "gpt_classify or gpt_embed",
							   "a text and a column \"label\""},
	[GPT_SERVED_NUMBER] = {"a regression model", "gpt_predict or gpt_embed",
						   "a text and a column \"label\" of type double precision"},
};

static GptServedKind
kind_of(const LmConfig *config)
{
	if (config->labels == 0)
		return GPT_SERVED_LANGUAGE_MODEL;
	return config->number ? GPT_SERVED_NUMBER : GPT_SERVED_CLASSIFIER;
}

bool
gpt_cached_is_of_kind(const GptVersion *version, GptServedKind kind)
{
	bool finds = kind == GPT_SERVED_LANGUAGE_MODEL && version->config.embedding > 0;

	return !finds && (kind == GPT_SERVED_ANY || kind == kind_of(&version->config));
}

void
gpt_cached_check_kind(const GptVersion *version, GptServedKind kind)
{
	GptFailure failure;

	if (check(&failure, version, kind))
		return;
	ereport(ERROR, (errcode(failure.sqlstate), errmsg_internal("%s", failure.message),
					failure.detail != NULL ? errdetail_internal("%s", failure.detail) : 0,
					failure.hint != NULL ? errhint("%s", failure.hint) : 0));
}

/* *failure says what the model is instead. */
static bool
check(GptFailure *failure, const GptVersion *version, GptServedKind kind)
{
	GptServedKind is = kind_of(&version->config);

	if (gpt_cached_is_of_kind(version, kind))
		return true;
	*failure = (GptFailure){.sqlstate = ERRCODE_WRONG_OBJECT_TYPE};
	if (kind == GPT_SERVED_LANGUAGE_MODEL && version->config.embedding > 0)
	{
		failure->message = psprintf("model \"%s\" is an embedding model", version->model);
		failure->detail = "It was trained to find texts, not to continue them.";
		failure->hint = "Use gpt_embed or gpt_similarity, or the model that it was made from.";
		return false;
	}
	if (kind == GPT_SERVED_LANGUAGE_MODEL)
	{
		failure->message = psprintf("model \"%s\" is %s", version->model, kinds[is].is);
		failure->detail = "It was trained to judge texts, not to continue them.";
	}
	else if (is != GPT_SERVED_LANGUAGE_MODEL)
		failure->message = psprintf("model \"%s\" is not %s, but %s", version->model,
									kinds[kind].is, kinds[is].is);
	else
		failure->message = psprintf("model \"%s\" is not %s", version->model, kinds[kind].is);
	if (is != GPT_SERVED_LANGUAGE_MODEL)
		failure->hint = psprintf("Use %s.", kinds[is].use);
	else
		failure->hint = psprintf(
			"Train one with gpt_train or gpt_finetune on a query with %s%s.", kinds[kind].make,
			kind == GPT_SERVED_CLASSIFIER ? "; gpt_choose takes any language model" : "");
	return false;
}

bool
gpt_cache_may_acquire(GptFailure *failure, const char *reference, GptServedKind kind)
{
	GptVersion *version = gpt_catalog_version(reference, true);

	if (version == NULL)
	{
		*failure = (GptFailure){.sqlstate = ERRCODE_UNDEFINED_OBJECT,
								.message = psprintf("model \"%s\" does not exist", reference)};
		return false;
	}
	if (!gpt_blob_can_use(version->weights))
	{
		*failure =
			(GptFailure){.sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE,
						 .message = psprintf("permission denied for model \"%s\"", version->model)};
		return false;
	}
	return check(failure, version, kind);
}
