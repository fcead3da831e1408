/*
 * src/engine/text/named_tokens.c
 *
 * Names in a chat template go in, tokens come out. The list of special tokens is made at the first
 * question; names in brackets are looked up among all tokens, and the last answers are kept.
 */
#include <string.h>

#include "engine/marked_text.h"
#include "text/named_tokens.h"

#define NAME_SIZE 64 /* bytes of a name in brackets, at most */
#define KEPT_NAMES 16

/* An answer that is kept. */
typedef struct Answer
{
	char name[NAME_SIZE];
	size_t size; /* 0: the place is free */
	int32_t id;
} Answer;

struct LmNamedTokens
{
	int n; /* special tokens that have a name */
	bool begins[256]; /* whether one of them begins with the byte */
	Answer answers[KEPT_NAMES];
	int next; /* the answer to replace */
	int32_t ids[]; /* [n] */
};

static bool
is_special(const LmTokenizer *tokenizer, int32_t id)
{
	const LmTokenizerSpec *spec = tokenizer->spec;

	return spec->special && spec->special[id];
}

/* Lists the special tokens. */
static struct LmNamedTokens *
create(const LmTokenizer *tokenizer, LmError *error)
{
	struct LmNamedTokens *named;
	size_t n = 0;

	for (int32_t id = 0; id < tokenizer->spec->n_tokens; id++)
		n += is_special(tokenizer, id);
	named = lm_allocate(&tokenizer->host, sizeof *named + n * sizeof *named->ids);
	if (!named)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the names of special tokens");
		return NULL;
	}
	memset(named, 0, sizeof *named);
	for (int32_t id = 0; id < tokenizer->spec->n_tokens; id++)
	{
		LmBytes token = lm_tokenizer_token(tokenizer, id);

		if (!is_special(tokenizer, id) || token.size == 0)
			continue;
		named->ids[named->n++] = id;
		named->begins[(unsigned char) token.data[0]] = true;
	}
	return named;
}

void
lm_named_tokens_free(LmTokenizer *tokenizer)
{
	lm_free(&tokenizer->host, tokenizer->named);
	tokenizer->named = NULL;
}

int32_t
lm_tokenizer_named(const LmTokenizer *tokenizer, LmBytes name)
{
	int32_t ordinary = -1;

	for (int32_t id = 0; id < tokenizer->spec->n_tokens; id++)
	{
		LmBytes token = lm_tokenizer_token(tokenizer, id);

		if (token.size != name.size || memcmp(token.data, name.data, name.size) != 0)
			continue;
		if (is_special(tokenizer, id))
			return id;
		if (ordinary < 0)
			ordinary = id;
	}
	return ordinary;
}

/* The name in brackets that the text begins with; size 0: none. */
static LmBytes
bracketed(LmBytes text)
{
	char close = text.data[0] == '<' ? '>' : text.data[0] == '[' ? ']' : '\0';

	for (size_t i = 1; close != '\0' && i < text.size && i < NAME_SIZE; i++)
	{
		if (text.data[i] == close)
			return (LmBytes){text.data, i + 1};
		if (text.data[i] == text.data[0] || text.data[i] == '\n' || text.data[i] == '\0')
			break;
	}
	return (LmBytes){text.data, 0};
}

/* lm_tokenizer_named, with a memory. */
static int32_t
recall(LmTokenizer *tokenizer, LmBytes name)
{
	struct LmNamedTokens *named = tokenizer->named;
	Answer *answer;

	for (int i = 0; i < KEPT_NAMES; i++)
	{
		answer = &named->answers[i];
		if (answer->size == name.size && memcmp(answer->name, name.data, name.size) == 0)
			return answer->id;
	}
	answer = &named->answers[named->next];
	named->next = (named->next + 1) % KEPT_NAMES;
	answer->size = name.size;
	memcpy(answer->name, name.data, name.size);
	answer->id = lm_tokenizer_named(tokenizer, name);
	return answer->id;
}

bool
lm_named_tokens_find(size_t *length, int32_t *id, LmTokenizer *tokenizer, LmBytes text,
					 LmError *error)
{
	const struct LmNamedTokens *named;
	LmBytes name;

	*length = 0;
	if (!tokenizer->named)
		tokenizer->named = create(tokenizer, error);
	named = tokenizer->named;
	if (!named)
		return false;
	for (int i = 0; i < named->n && named->begins[(unsigned char) text.data[0]]; i++)
	{
		LmBytes token = lm_tokenizer_token(tokenizer, named->ids[i]);

		if (token.size <= *length || token.size > text.size ||
			memcmp(token.data, text.data, token.size) != 0)
			continue;
		*length = token.size;
		*id = named->ids[i];
	}
	name = bracketed(text);
	if (*length == 0 && name.size > 0)
	{
		*id = recall(tokenizer, name);
		*length = *id >= 0 ? name.size : 0;
	}
	return true;
}
