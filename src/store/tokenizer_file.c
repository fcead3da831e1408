/*
 * src/store/tokenizer_file.c
 *
 * A file of a tokenizer in, its description out; its first bytes tell the format.
 */
#include "postgres.h"

#include <ctype.h>

#include "store/import_parts.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"

#define SNIFFED 16 /* bytes */

static LmTokenizerSpec *read_gguf(Oid object);
static void check_size(uint64 size);
static bool looks_like_ranks(const char *text, size_t size);
static bool looks_like_protobuf(const char *data, size_t size);

LmTokenizerSpec *
gpt_tokenizer_from_object(Oid object, const char *split)
{
	GptImportFile file = {0};
	LmTokenizerSpec *spec;
	unsigned char first[SNIFFED] = {0};
	char *data;

	gpt_import_open_file(&file, object);
	gpt_import_read(&file, 0, first, Min(file.file.size, SNIFFED));
	if (memcmp(first, "GGUF", 4) == 0)
	{
		gpt_blob_close(file.blob, NULL);
		return read_gguf(object);
	}
	check_size(file.file.size);
	if (gpt_import_is_llama2c_tokens(first, file.file.size))
	{
		spec = gpt_import_llama2c_tokens(&file);
		gpt_blob_close(file.blob, NULL);
		return spec;
	}
	data = palloc(file.file.size + 1);
	gpt_import_read(&file, 0, data, file.file.size);
	data[file.file.size] = '\0';
	gpt_blob_close(file.blob, NULL);
	spec = gpt_tokenizer_from_file(data, file.file.size, split);
	pfree(data);
	return spec;
}

static LmTokenizerSpec *
read_gguf(Oid object)
{
	GptImport *import = gpt_import_open(&object, 1);
	LmTokenizerSpec *spec = gpt_tokenizer_from_gguf(import);

	gpt_import_close(import);
	if (spec == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("large object %u is a GGUF file without a tokenizer", object)));
	return spec;
}

LmTokenizerSpec *
gpt_tokenizer_from_file(const char *data, size_t size, const char *split)
{
	check_size(size);
	if (looks_like_ranks(data, size))
		return gpt_tokenizer_from_tiktoken(data, size, split);
	if (looks_like_protobuf(data, size))
		return gpt_tokenizer_from_model(data, size);
	return gpt_tokenizer_from_json(data, size);
}

static void
check_size(uint64 size)
{
	if (size > GPT_MAX_TOKENIZER_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("tokenizer has " UINT64_FORMAT " bytes, the limit is %d MB", size,
							   GPT_MAX_TOKENIZER_SIZE / (1024 * 1024))));
}

/* The first line is base64, a blank and digits. */
static bool
looks_like_ranks(const char *text, size_t size)
{
	size_t i = 0, start;

	while (i < size && i < 2 * LM_MAX_TOKEN_SIZE &&
		   (isalnum((unsigned char) text[i]) || text[i] == '+' || text[i] == '/' || text[i] == '='))
		i++;
	if (i == 0 || i >= size || text[i] != ' ')
		return false;
	start = ++i;
	while (i < size && isdigit((unsigned char) text[i]))
		i++;
	return i > start && (i == size || text[i] == '\n' || text[i] == '\r');
}

/*
 * The first field is a piece that begins with its text. Their tags are ends of lines, so that a
 * JSON object after empty lines is looked at first.
 */
static bool
looks_like_protobuf(const char *data, size_t size)
{
	size_t i = 0;

	while (i < size && strchr(" \t\r\n", data[i]) != NULL && data[i] != '\0')
		i++;
	return size > 2 && data[0] == '\n' && data[2] == '\n' && i < size && data[i] != '{';
}
