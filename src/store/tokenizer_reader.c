/*
 * src/store/tokenizer_reader.c
 *
 * The vocabulary and the merges of a tokenizer.json in, the tokens and merges of a description out;
 * and the errors of whoever reads one.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "core/bridge.h"
#include "store/byte_letters.h"
#include "store/tokenizer_reader.h"

#define NAME_SIZE 64 /* bytes of a token in a message */

static bool is_outside(const GptTokenizerReader *reader, int id);
static int added_flags(const GptJson *token);
static bool make_model_token(GptTokenizerReader *reader, int id, LmBytes bytes);
static double read_score(const GptJson *node, const char *content);
static int byte_of_name(const char *name);
static LmBytes bytes_of(const GptTokenizerReader *reader, const char *name, size_t size,
						const char *noun);
static LmBytes bytes_of_letters(const char *letters, size_t size, const char *noun);
static LmBytes bytes_of_signs(const char *signs, size_t size);
static int32_t find_token(const GptTokenizerReader *reader, LmBytes bytes, uint32 *slot);
static const char *brief(const char *name, size_t size);

void
gpt_reader_begin(GptTokenizerReader *reader)
{
	memset(reader, 0, sizeof(*reader));
	reader->spec = palloc0(sizeof(LmTokenizerSpec));
	reader->context = CurrentMemoryContext;
	reader->spec->end_of_text = reader->spec->beginning = reader->spec->unknown = -1;
}

void
gpt_reader_allocate_tokens(GptTokenizerReader *reader, int n_tokens)
{
	LmTokenizerSpec *spec = reader->spec;
	int n = Max(n_tokens, 1);

	spec->n_tokens = n_tokens;
	spec->tokens = MemoryContextAllocZero(reader->context, n * sizeof(LmBytes));
	spec->special = MemoryContextAllocZero(reader->context, n * sizeof(bool));
	spec->flags = MemoryContextAllocZero(reader->context, n * sizeof(uint8));
}

/* The number follows from the largest id; gpt_reader_vocabulary finds gaps. */
void
gpt_reader_allocate(GptTokenizerReader *reader, const GptJson *vocabulary, const GptJson *added)
{
	int last = -1;

	if (!vocabulary || vocabulary->type != GPT_JSON_OBJECT)
		gpt_reader_malformed("It has no object of tokens.");
	if (added && added->type != GPT_JSON_ARRAY)
		gpt_reader_malformed("Its \"added_tokens\" are not an array.");
	for (const GptJson *token = vocabulary->first; token; token = token->next)
		last = Max(last, gpt_reader_token_id(token, token->name));
	for (const GptJson *token = added ? added->first : NULL; token; token = token->next)
	{
		const char *content = gpt_json_string(gpt_json_field(token, "content"));

		if (!content)
			gpt_reader_malformed("An added token has no \"content\".");
		last = Max(last, gpt_reader_token_id(gpt_json_field(token, "id"), content));
	}
	gpt_reader_allocate_tokens(reader, last + 1);
}

int
gpt_reader_token_id(const GptJson *node, const char *content)
{
	int id = gpt_json_integer(node, LM_MAX_VOCABULARY - 1);

	if (id < 0)
		gpt_reader_malformed("The id of token \"%s\" is not an integer from 0 to %d.",
							 brief(content, strlen(content)), LM_MAX_VOCABULARY - 1);
	return id;
}

void
gpt_reader_added_tokens(GptTokenizerReader *reader, const GptJson *added)
{
	for (const GptJson *token = added ? added->first : NULL; token; token = token->next)
	{
		const char *content = gpt_json_string(gpt_json_field(token, "content"));
		int id = gpt_reader_token_id(gpt_json_field(token, "id"), content);
		bool special = gpt_reader_switch(token, "special", false);

		CHECK_FOR_INTERRUPTS();
		gpt_reader_set_token(reader, id, content, (LmBytes){content, strlen(content)}, special);
		reader->spec->flags[id] =
			added_flags(token) | (special ? 0 : LM_TOKEN_ADDED | LM_TOKEN_OUTSIDE);
	}
}

/* How an added token is found in a text. */
static int
added_flags(const GptJson *token)
{
	return (gpt_reader_switch(token, "lstrip", false) ? LM_TOKEN_LSTRIP : 0) |
		   (gpt_reader_switch(token, "rstrip", false) ? LM_TOKEN_RSTRIP : 0) |
		   (gpt_reader_switch(token, "single_word", false) ? LM_TOKEN_WORD : 0) |
		   (gpt_reader_switch(token, "normalized", false) ? LM_TOKEN_NORMALIZED : 0);
}

/* The added tokens have been read: an entry with one of their ids must be the same token. */
void
gpt_reader_vocabulary(GptTokenizerReader *reader, const GptJson *vocabulary)
{
	for (const GptJson *token = vocabulary->first; token; token = token->next)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_reader_set_spelled(reader, gpt_reader_token_id(token, token->name), token->name);
	}
	gpt_reader_check_gaps(reader);
}

void
gpt_reader_check_gaps(const GptTokenizerReader *reader)
{
	const LmTokenizerSpec *spec = reader->spec;

	for (int id = 0; id < spec->n_tokens; id++)
		if (spec->tokens[id].data == NULL)
			gpt_reader_malformed("It has no token with the id %d, but %d tokens.", id,
								 spec->n_tokens);
}

void
gpt_reader_set_spelled(GptTokenizerReader *reader, int id, const char *name)
{
	LmTokenizerSpec *spec = reader->spec;
	LmBytes bytes = {name, strlen(name)};
	bool unknown = reader->unknown && strcmp(name, reader->unknown) == 0;
	bool added = spec->special[id] || spec->flags[id] & LM_TOKEN_OUTSIDE;
	bool same = added && lm_bytes_equal(spec->tokens[id], bytes);
	int byte = reader->byte_fallback ? byte_of_name(name) : -1;
	char value = (char) byte;

	if (unknown)
		spec->unknown = id;
	if (same && unknown)
		spec->special[id] = true;
	if (same && spec->special[id])
	{
		spec->flags[id] &= ~(LM_TOKEN_ADDED | LM_TOKEN_OUTSIDE);
		return;
	}
	/* No text has a space where spaces are signs: only the added token can be found. */
	if (same && reader->spelling == GPT_SPELLED_SIGNS && strchr(name, ' ') != NULL)
		return;
	bytes = byte >= 0 ? (LmBytes){&value, 1} : bytes_of(reader, name, bytes.size, "token");
	if (same && make_model_token(reader, id, bytes))
		return;
	gpt_reader_set_token(reader, id, name, bytes, unknown);
	if (byte >= 0 && !unknown)
		spec->flags[id] = LM_TOKEN_BYTE;
}

/*
 * An added token that the model makes too. Where the model's spelling stands for other bytes, its
 * signs are spaces; only after normalisation a text has these as well.
 */
static bool
make_model_token(GptTokenizerReader *reader, int id, LmBytes bytes)
{
	LmTokenizerSpec *spec = reader->spec;

	if (lm_bytes_equal(spec->tokens[id], bytes))
	{
		spec->flags[id] &= ~LM_TOKEN_OUTSIDE;
		return true;
	}
	spec->tokens[id].data = NULL;
	spec->tokens[id].size = 0;
	spec->flags[id] &= ~LM_TOKEN_OUTSIDE;
	if (!(spec->flags[id] & LM_TOKEN_NORMALIZED))
		spec->flags[id] =
			reader->spelling == GPT_SPELLED_SIGNS ? spec->flags[id] | LM_TOKEN_SIGNS : 0;
	return false;
}

void
gpt_reader_scores(GptTokenizerReader *reader, const GptJson *vocabulary, const GptJson *added,
				  const GptJson *unknown)
{
	LmTokenizerSpec *spec = reader->spec;
	int id = 0, last = -1;

	if (!vocabulary || vocabulary->type != GPT_JSON_ARRAY)
		gpt_reader_malformed("Its model has no array of tokens and scores.");
	if (added && added->type != GPT_JSON_ARRAY)
		gpt_reader_malformed("Its \"added_tokens\" are not an array.");
	for (const GptJson *token = added ? added->first : NULL; token; token = token->next)
		last = Max(last, gpt_reader_token_id(gpt_json_field(token, "id"), "added"));
	if (vocabulary->count > LM_MAX_VOCABULARY)
		gpt_reader_malformed("Its model has %d tokens, the limit is %d.", vocabulary->count,
							 LM_MAX_VOCABULARY);
	gpt_reader_allocate_tokens(reader, Max(last + 1, vocabulary->count));
	spec->scores = MemoryContextAllocZero(reader->context, Max(spec->n_tokens, 1) * sizeof(double));
	for (const GptJson *token = added ? added->first : NULL; token; token = token->next)
		if (!gpt_json_string(gpt_json_field(token, "content")))
			gpt_reader_malformed("An added token has no \"content\".");
	gpt_reader_added_tokens(reader, added);
	for (const GptJson *token = vocabulary->first; token; token = token->next, id++)
	{
		const char *name = token->count == 2 ? gpt_json_string(token->first) : NULL;

		CHECK_FOR_INTERRUPTS();
		if (!name)
			gpt_reader_malformed("Token %d is not a pair of a string and a score.", id);
		if (unknown && gpt_json_integer(unknown, LM_MAX_VOCABULARY - 1) == id)
			reader->unknown = name;
		gpt_reader_set_spelled(reader, id, name);
		spec->scores[id] = read_score(token->last, name);
	}
	if (unknown && spec->unknown < 0)
		gpt_reader_malformed("Its \"unk_id\" is not the id of a token.");
	gpt_reader_check_gaps(reader);
}

static double
read_score(const GptJson *node, const char *content)
{
	if (node->type != GPT_JSON_NUMBER)
		gpt_reader_malformed("The score of token \"%s\" is not a number.",
							 brief(content, strlen(content)));
	return strtod(node->text, NULL);
}

/* The byte that a token like <0x0A> stands for, or -1. */
static int
byte_of_name(const char *name)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *high, *low;

	if (strlen(name) != 6 || strncmp(name, "<0x", 3) != 0 || name[5] != '>')
		return -1;
	high = strchr(digits, name[3]);
	low = strchr(digits, name[4]);
	return high && low ? (int) ((high - digits) * 16 + (low - digits)) : -1;
}

void
gpt_reader_set_token(GptTokenizerReader *reader, int id, const char *content, LmBytes bytes,
					 bool special)
{
	LmTokenizerSpec *spec = reader->spec;
	char *copy;

	if (spec->tokens[id].data != NULL)
		gpt_reader_malformed("Token \"%s\" has the id %d of another token.",
							 brief(content, strlen(content)), id);
	if (bytes.size > LM_MAX_TOKEN_SIZE)
		gpt_reader_malformed("Token %d has %zu bytes, the limit is %d.", id, bytes.size,
							 LM_MAX_TOKEN_SIZE);
	copy = MemoryContextAlloc(reader->context, bytes.size + 1);
	memcpy(copy, bytes.data, bytes.size);
	copy[bytes.size] = '\0';
	spec->tokens[id] = (LmBytes){copy, bytes.size};
	spec->special[id] = special;
}

/* The bytes that a token of the vocabulary stands for, the name itself or in scratch memory. */
static LmBytes
bytes_of(const GptTokenizerReader *reader, const char *name, size_t size, const char *noun)
{
	if (reader->spelling == GPT_SPELLED_LETTERS)
		return bytes_of_letters(name, size, noun);
	if (reader->spelling == GPT_SPELLED_SIGNS)
		return bytes_of_signs(name, size);
	return (LmBytes){name, size};
}

static LmBytes
bytes_of_signs(const char *signs, size_t size)
{
	const size_t sign_size = strlen(LM_SPACE_SIGN);
	char *bytes = palloc(size + 1);
	size_t n = 0;

	for (size_t i = 0; i < size;)
	{
		bool sign = size - i >= sign_size && memcmp(signs + i, LM_SPACE_SIGN, sign_size) == 0;

		if (signs[i] == ' ')
			gpt_reader_unsupported(
				"token \"%s\" with a space in a vocabulary that spells spaces as "
				"U+2581",
				brief(signs, size));
		bytes[n++] = sign ? ' ' : signs[i];
		i += sign ? sign_size : 1;
	}
	return (LmBytes){bytes, n};
}

/* The bytes that a word of the ByteLevel alphabet stands for, in scratch memory. */
static LmBytes
bytes_of_letters(const char *letters, size_t size, const char *noun)
{
	char *bytes = palloc(size + 1);
	size_t n = 0;

	for (size_t i = 0; i < size; i += pg_utf_mblen((const unsigned char *) letters + i))
	{
		int byte = gpt_letter_to_byte(utf8_to_unicode((const unsigned char *) letters + i));

		if (byte < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("tokenizer is not a byte-level one"),
					 errdetail("The %s \"%s\" has a character that stands for no byte.", noun,
							   brief(letters, size)),
					 errhint("A vocabulary of characters has no pre_tokenizer \"ByteLevel\".")));
		bytes[n++] = (char) byte;
	}
	return (LmBytes){bytes, n};
}

void
gpt_reader_index(GptTokenizerReader *reader)
{
	LmTokenizerSpec *spec = reader->spec;
	size_t n_slots = lm_table_size(spec->n_tokens);

	reader->table.mask = (uint32) (n_slots - 1);
	reader->table.slots = palloc0(n_slots * sizeof(int32_t));
	for (int id = 0; id < spec->n_tokens; id++)
	{
		uint32 slot;
		int32_t other;

		CHECK_FOR_INTERRUPTS();
		if (is_outside(reader, id))
			continue;
		other = find_token(reader, spec->tokens[id], &slot);
		if (other >= 0)
			gpt_reader_malformed("Tokens %d and %d are the same.", other, id);
		reader->table.slots[slot] = id + 1;
	}
}

/* Whether no merge can have the token. */
static bool
is_outside(const GptTokenizerReader *reader, int id)
{
	return reader->spec->special[id] ||
		   reader->spec->flags[id] & (LM_TOKEN_OUTSIDE | LM_TOKEN_BYTE);
}

int32
gpt_reader_find(const GptTokenizerReader *reader, LmBytes bytes)
{
	uint32 slot;

	return find_token(reader, bytes, &slot);
}

/* The id of the token with these bytes, or -1 with the slot where it belongs. */
static int32_t
find_token(const GptTokenizerReader *reader, LmBytes bytes, uint32 *slot)
{
	return lm_token_table_find(&reader->table, *gpt_bridge_hash_key(), reader->spec->tokens, bytes,
							   slot);
}

/* ------------------------------------------------------------ merges */

void
gpt_reader_start_merges(GptTokenizerReader *reader, int n_merges)
{
	reader->spec->merges = MemoryContextAllocExtended(
		reader->context, Max(n_merges, 1) * sizeof(LmMerge), MCXT_ALLOC_HUGE);
}

/* An array of "left right" or of ["left", "right"]. */
void
gpt_reader_merges(GptTokenizerReader *reader, const GptJson *merges)
{
	if (!merges || merges->type != GPT_JSON_ARRAY)
		gpt_reader_malformed("Its model has no array \"merges\".");
	gpt_reader_start_merges(reader, merges->count);
	for (const GptJson *merge = merges->first; merge; merge = merge->next)
	{
		const char *left, *right;

		CHECK_FOR_INTERRUPTS();
		if (merge->type == GPT_JSON_STRING && (right = strchr(merge->text, ' ')) != NULL)
		{
			gpt_reader_add_merge(reader, (LmBytes){merge->text, right - merge->text},
								 (LmBytes){right + 1, strlen(right + 1)});
			continue;
		}
		left = merge->count == 2 ? gpt_json_string(merge->first) : NULL;
		right = merge->count == 2 ? gpt_json_string(merge->last) : NULL;
		if (!left || !right)
			gpt_reader_malformed("Merge %d is not a pair of tokens.", reader->spec->n_merges);
		gpt_reader_add_merge(reader, (LmBytes){left, strlen(left)},
							 (LmBytes){right, strlen(right)});
	}
}

/* Lines "left right", the first of them maybe "#version: 0.2". */
void
gpt_reader_merges_text(GptTokenizerReader *reader, const char *lines)
{
	int n_lines = 1, number = 1;

	for (const char *c = lines; *c; c++)
		n_lines += *c == '\n';
	gpt_reader_start_merges(reader, n_lines);
	if (strncmp(lines, "#version", 8) == 0)
		lines += strcspn(lines, "\n");
	while (*lines)
	{
		size_t size = strcspn(lines, "\r\n");
		const char *space = memchr(lines, ' ', size);

		CHECK_FOR_INTERRUPTS();
		number += *lines == '\n';
		if (size > 0 && !space)
			gpt_reader_malformed("Line %d of the merges is not a pair of tokens: two tokens with a "
								 "blank between them.",
								 number);
		if (size > 0)
			gpt_reader_add_merge(reader, (LmBytes){lines, space - lines},
								 (LmBytes){space + 1, lines + size - space - 1});
		lines += size > 0 ? size : 1;
	}
}

/* Both parts and their concatenation must be tokens of the vocabulary. */
void
gpt_reader_add_merge(GptTokenizerReader *reader, LmBytes left, LmBytes right)
{
	LmTokenizerSpec *spec = reader->spec;
	LmMerge *merge = &spec->merges[spec->n_merges];
	LmBytes parts[2], whole;
	char *joined;

	parts[0] = bytes_of(reader, left.data, left.size, "merge");
	parts[1] = bytes_of(reader, right.data, right.size, "merge");
	joined = palloc(parts[0].size + parts[1].size + 1);
	memcpy(joined, parts[0].data, parts[0].size);
	memcpy(joined + parts[0].size, parts[1].data, parts[1].size);
	whole = (LmBytes){joined, parts[0].size + parts[1].size};
	merge->left = gpt_reader_find(reader, parts[0]);
	merge->right = gpt_reader_find(reader, parts[1]);
	merge->result = gpt_reader_find(reader, whole);
	if (merge->left < 0 || merge->right < 0 || merge->result < 0)
		gpt_reader_malformed(
			"Merge %d of \"%s\" and \"%s\" has a token that is not in the vocabulary.",
			spec->n_merges, brief(left.data, left.size), brief(right.data, right.size));
	spec->n_merges++;
	pfree(joined);
	for (int i = 0; i < 2; i++)
		if (reader->spelling != GPT_SPELLED_PLAIN)
			pfree(unconstify(char *, parts[i].data));
}

/* ------------------------------------------------------------ fields */

const char *
gpt_reader_type(const GptJson *node)
{
	const char *type = gpt_json_string(gpt_json_field(node, "type"));

	if (!type)
		gpt_reader_malformed("The object at %s must have a \"type\", a string.",
							 gpt_json_path(node));
	return type;
}

bool
gpt_reader_switch(const GptJson *object, const char *name, bool missing)
{
	const GptJson *value = gpt_json_field(object, name);

	if (!value)
		return missing;
	if (value->type != GPT_JSON_TRUE && value->type != GPT_JSON_FALSE)
		gpt_reader_malformed("The value at %s is neither true nor false.", gpt_json_path(value));
	return value->type == GPT_JSON_TRUE;
}

/* ------------------------------------------------------------ refusals */

/* A token for a message. */
static const char *
brief(const char *name, size_t size)
{
	return pnstrdup(name, pg_mbcliplen(name, (int) size, NAME_SIZE));
}

void
gpt_reader_malformed(const char *detail, ...)
{
	char message[512];
	va_list arguments;

	va_start(arguments, detail);
	vsnprintf(message, sizeof message, detail, arguments);
	va_end(arguments);
	/* no half characters */
	message[pg_mbcliplen(message, (int) strlen(message), sizeof message - 1)] = '\0';
	ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("tokenizer is malformed"),
					errdetail_internal("%s", message)));
}

void
gpt_reader_unsupported(const char *feature, ...)
{
	char message[256];
	va_list arguments;

	va_start(arguments, feature);
	vsnprintf(message, sizeof message, feature, arguments);
	va_end(arguments);
	/* no half characters */
	message[pg_mbcliplen(message, (int) strlen(message), sizeof message - 1)] = '\0';
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("tokenizer has a feature that is not supported: %s", message),
					errdetail("It would change the tokens of a text."),
					errhint("Byte-level BPE, SentencePiece's BPE and unigram models, bytes and "
							"characters are supported.")));
}
