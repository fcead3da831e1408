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

static LmBytes bytes_of_letters(const char *letters, size_t size, const char *noun);
static int32_t find_token(const GptTokenizerReader *reader, LmBytes bytes, uint32 *slot);
static void start_merges(GptTokenizerReader *reader, int n_merges);
static void add_merge(GptTokenizerReader *reader, const char *left, size_t left_size,
					  const char *right, size_t right_size);
static const char *brief(const char *name, size_t size);

/* The number follows from the largest id; gpt_reader_vocabulary finds gaps. */
void
gpt_reader_allocate(GptTokenizerReader *reader, const GptJson *vocabulary, const GptJson *added)
{
	LmTokenizerSpec *spec = reader->spec;
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
	spec->n_tokens = last + 1;
	spec->tokens =
		MemoryContextAllocZero(reader->context, Max(spec->n_tokens, 1) * sizeof(LmBytes));
	spec->special = MemoryContextAllocZero(reader->context, Max(spec->n_tokens, 1) * sizeof(bool));
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
		const GptJson *special = gpt_json_field(token, "special");

		if (!special || special->type != GPT_JSON_TRUE)
			gpt_reader_unsupported("added token \"%s\" that is not special",
								   brief(content, strlen(content)));
		gpt_reader_set_token(reader, gpt_reader_token_id(gpt_json_field(token, "id"), content),
							 content, (LmBytes){content, strlen(content)}, true);
	}
}

/* The added tokens have been read: an entry with one of their ids must be the same token. */
void
gpt_reader_vocabulary(GptTokenizerReader *reader, const GptJson *vocabulary, bool letters)
{
	LmTokenizerSpec *spec = reader->spec;

	for (const GptJson *token = vocabulary->first; token; token = token->next)
	{
		int id = gpt_reader_token_id(token, token->name);
		LmBytes bytes = {token->name, strlen(token->name)};
		bool unknown = reader->unknown && strcmp(token->name, reader->unknown) == 0;

		CHECK_FOR_INTERRUPTS();
		if (unknown)
			spec->unknown = id;
		if (spec->special[id] && spec->tokens[id].size == bytes.size &&
			memcmp(spec->tokens[id].data, bytes.data, bytes.size) == 0)
			continue;
		if (letters)
			bytes = bytes_of_letters(bytes.data, bytes.size, "token");
		gpt_reader_set_token(reader, id, token->name, bytes, unknown);
	}
	for (int id = 0; id < spec->n_tokens; id++)
		if (spec->tokens[id].data == NULL)
			gpt_reader_malformed("It has no token with the id %d, but %d tokens.", id,
								 spec->n_tokens);
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
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tokenizer is not a byte-level one"),
				 errdetail("The %s \"%s\" has a character that stands for no byte.", noun,
						   brief(letters, size)),
				 errhint("Byte-level BPE such as GPT-2's is supported, SentencePiece is not.")));
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
		other = find_token(reader, spec->tokens[id], &slot);
		if (other >= 0)
			gpt_reader_malformed("Tokens %d and %d are the same.", other, id);
		reader->table.slots[slot] = id + 1;
	}
}

/* The id of the token with these bytes, or -1 with the slot where it belongs. */
static int32_t
find_token(const GptTokenizerReader *reader, LmBytes bytes, uint32 *slot)
{
	return lm_token_table_find(&reader->table, *gpt_bridge_hash_key(), reader->spec->tokens, bytes,
							   slot);
}

/* ------------------------------------------------------------ merges */

static void
start_merges(GptTokenizerReader *reader, int n_merges)
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
	start_merges(reader, merges->count);
	for (const GptJson *merge = merges->first; merge; merge = merge->next)
	{
		const char *left, *right;

		CHECK_FOR_INTERRUPTS();
		if (merge->type == GPT_JSON_STRING && (right = strchr(merge->text, ' ')) != NULL)
		{
			add_merge(reader, merge->text, right - merge->text, right + 1, strlen(right + 1));
			continue;
		}
		left = merge->count == 2 ? gpt_json_string(merge->first) : NULL;
		right = merge->count == 2 ? gpt_json_string(merge->last) : NULL;
		if (!left || !right)
			gpt_reader_malformed("Merge %d is not a pair of tokens.", reader->spec->n_merges);
		add_merge(reader, left, strlen(left), right, strlen(right));
	}
}

/* Lines "left right", the first of them maybe "#version: 0.2". */
void
gpt_reader_merges_text(GptTokenizerReader *reader, const char *lines)
{
	int n_lines = 1;

	for (const char *c = lines; *c; c++)
		n_lines += *c == '\n';
	start_merges(reader, n_lines);
	if (strncmp(lines, "#version", 8) == 0)
		lines += strcspn(lines, "\n");
	while (*lines)
	{
		size_t size = strcspn(lines, "\r\n");
		const char *space = memchr(lines, ' ', size);

		CHECK_FOR_INTERRUPTS();
		if (size > 0 && !space)
			gpt_reader_malformed("Merge %d is not a pair of tokens.", reader->spec->n_merges);
		if (size > 0)
			add_merge(reader, lines, space - lines, space + 1, lines + size - space - 1);
		lines += size > 0 ? size : 1;
	}
}

/* Appends a merge; both parts and their concatenation must be tokens of the vocabulary. */
static void
add_merge(GptTokenizerReader *reader, const char *left, size_t left_size, const char *right,
		  size_t right_size)
{
	LmTokenizerSpec *spec = reader->spec;
	LmMerge *merge = &spec->merges[spec->n_merges];
	LmBytes parts[2], whole;
	char *joined;
	uint32 slot;

	parts[0] = bytes_of_letters(left, left_size, "merge");
	parts[1] = bytes_of_letters(right, right_size, "merge");
	joined = palloc(parts[0].size + parts[1].size + 1);
	memcpy(joined, parts[0].data, parts[0].size);
	memcpy(joined + parts[0].size, parts[1].data, parts[1].size);
	whole = (LmBytes){joined, parts[0].size + parts[1].size};
	merge->left = find_token(reader, parts[0], &slot);
	merge->right = find_token(reader, parts[1], &slot);
	merge->result = find_token(reader, whole, &slot);
	if (merge->left < 0 || merge->right < 0 || merge->result < 0)
		gpt_reader_malformed(
			"Merge %d of \"%s\" and \"%s\" has a token that is not in the vocabulary.",
			spec->n_merges, brief(left, left_size), brief(right, right_size));
	spec->n_merges++;
	pfree(joined);
	pfree(unconstify(char *, parts[0].data));
	pfree(unconstify(char *, parts[1].data));
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
					errhint("Byte-level BPE such as GPT-2's is supported, SentencePiece is not.")));
}
