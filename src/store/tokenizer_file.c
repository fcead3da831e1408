/*
 * src/store/tokenizer_file.c
 *
 * A file of a tokenizer in, its description out; its first bytes tell the format.
 */
#include "postgres.h"

#include <ctype.h>

#include "core/compat.h"
#include "store/import_parts.h"
#include "store/tokenizer_files.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"
#include "store/tokenizer_split.h"

#define SNIFFED 16 /* bytes */
#define LFS_POINTER "version https://git-lfs"

static LmTokenizerSpec *read_file(GptImportFile *file, const GptTokenizerOptions *options);
static LmTokenizerSpec *read_gguf(GptImportFile *file, const char *split);
pg_noreturn static void raise_unknown(const char *data, size_t size);
static bool begins(const char *data, size_t size, const char *prefix, size_t prefix_size);
static bool has_scores(const char *text, size_t size);
static void check_size(uint64 size);
static bool looks_like_ranks(const char *text, size_t size);
static bool looks_like_protobuf(const char *data, size_t size);
static bool looks_like_json(const char *text, size_t size);

LmTokenizerSpec *
gpt_tokenizer_from_object(Oid object, const GptTokenizerOptions *options)
{
	GptImportFile file = {0};
	LmTokenizerSpec *spec;

	gpt_import_open_file(&file, object);
	spec = read_file(&file, options);
	gpt_tokenizer_add_special(spec, options);
	return spec;
}

LmTokenizerSpec *
gpt_tokenizer_from_bytes(const char *data, size_t size, const GptTokenizerOptions *options)
{
	GptImportFile file = {0};
	LmTokenizerSpec *spec;

	gpt_import_open_memory(&file, data, size);
	spec = read_file(&file, options);
	gpt_tokenizer_add_special(spec, options);
	return spec;
}

/* Reads a file of any format and closes it. */
static LmTokenizerSpec *
read_file(GptImportFile *file, const GptTokenizerOptions *options)
{
	size_t size = file->file.size;
	unsigned char first[SNIFFED] = {0};
	LmTokenizerSpec *spec;
	char *data;

	gpt_import_read(file, 0, first, Min(size, SNIFFED));
	if (memcmp(first, "GGUF", 4) == 0)
		return read_gguf(file, options->split);
	check_size(size);
	if (gpt_import_is_llama2c_tokens(first, size))
	{
		gpt_tokenizer_refuse_split(options->split, "a tokenizer.bin");
		spec = gpt_import_llama2c_tokens(file);
		gpt_import_close_file(file);
		return spec;
	}
	data = palloc(size + 1);
	gpt_import_read(file, 0, data, size);
	data[size] = '\0';
	gpt_import_close_file(file);
	spec = gpt_tokenizer_from_file(data, size, options->split);
	pfree(data);
	return spec;
}

static LmTokenizerSpec *
read_gguf(GptImportFile *file, const char *split)
{
	bool in_memory = file->data != NULL;
	LmTokenizerSpec *spec;
	GptImport *import;

	gpt_import_close_file(file);
	import = in_memory ? gpt_import_open_bytes(file->data, file->file.size)
					   : gpt_import_open(&file->object, 1);
	spec = gpt_tokenizer_from_gguf(import, split);
	gpt_import_close(import);
	if (spec == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						in_memory ? errmsg("the GGUF file has no tokenizer")
								  : errmsg("large object %u is a GGUF file without a tokenizer",
										   file->object)));
	return spec;
}

LmTokenizerSpec *
gpt_tokenizer_from_file(const char *data, size_t size, const char *split)
{
	check_size(size);
	if (size >= 3 && memcmp(data, GPT_BYTE_ORDER_MARK, 3) == 0)
	{
		data += 3;
		size -= 3;
	}
	if (looks_like_ranks(data, size))
		return gpt_tokenizer_from_tiktoken(data, size, split);
	if (looks_like_protobuf(data, size))
	{
		gpt_tokenizer_refuse_split(split, "a tokenizer.model");
		return gpt_tokenizer_from_model(data, size);
	}
	if (!looks_like_json(data, size))
		raise_unknown(data, size);
	gpt_tokenizer_refuse_split(split, "a tokenizer.json");
	return gpt_tokenizer_from_json(data, size);
}

/* Raises the error for content that is no tokenizer, with a hint for what is known. */
static void
raise_unknown(const char *data, size_t size)
{
	static const struct
	{
		const char *first;
		int size;
		const char *hint;
	} known[] = {
		{"GGUF", 4, "A GGUF file is not text: give it as bytea, or as a large object."},
		{"\\x", 2, "It is bytea that is written as text: cast it to bytea."},
		{LFS_POINTER, sizeof(LFS_POINTER) - 1,
		 "It is a pointer of Git LFS: fetch the file itself with \"git lfs pull\"."},
		{"\x1F\x8B", 2, "The file is compressed: unpack it first."},
		{"PK", 2,
		 "The file is a zip archive, as PyTorch writes them: give the file of the "
		 "tokenizer."},
		{"#version", 8,
		 "These are merges: give vocab.json (or encoder.json) as the second "
		 "argument, and them as the third."},
	};
	const char *hint = NULL;

	for (int i = 0; i < lengthof(known); i++)
		if (begins(data, size, known[i].first, known[i].size))
			hint = known[i].hint;
	if (hint == NULL && has_scores(data, size))
		hint = "A list of pieces and scores does not say how texts are normalized: give "
			   "tokenizer.model as bytea.";
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION), errmsg("tokenizer is of no known format"),
			 errdetail("Its %zu bytes begin neither like a tokenizer.json (an object of JSON), nor "
					   "like ranks of tiktoken (lines of base64, a blank and a number), nor like a "
					   "tokenizer.model of SentencePiece.",
					   size),
			 hint != NULL ? errhint("%s", hint) : 0));
}

static bool
begins(const char *data, size_t size, const char *prefix, size_t prefix_size)
{
	return size >= prefix_size && memcmp(data, prefix, prefix_size) == 0;
}

/* Whether the first line is a piece, a tab and a number: SentencePiece's .vocab. */
static bool
has_scores(const char *text, size_t size)
{
	const char *line = memchr(text, '\n', size);
	const char *tab = memchr(text, '\t', line != NULL ? line - text : size);

	return tab != NULL && tab > text && tab + 1 < text + size &&
		   (isdigit((unsigned char) tab[1]) || tab[1] == '-');
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

/* The first character that is no white space begins an object or an array. */
static bool
looks_like_json(const char *text, size_t size)
{
	size_t i = 0;

	while (i < size && strchr(" \t\r\n", text[i]) != NULL && text[i] != '\0')
		i++;
	return i < size && (text[i] == '{' || text[i] == '[');
}
