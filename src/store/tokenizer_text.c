/*
 * src/store/tokenizer_text.c
 *
 * The text of a tokenizer's file in, its description out; and what to give instead of a text that
 * is none: the name of a file, the oid of a large object, bytes written as text.
 */
#include "postgres.h"

#include <ctype.h>

#include "store/tokenizer_files.h"
#include "store/tokenizer_pieces.h"

#define MAX_NAME 1024 /* bytes of a text that may be the name of a file */
#define SHOWN 60 /* of which a message has these */

static bool is_number(const char *text, size_t size);
static bool is_file_name(const char *text, size_t size);

LmTokenizerSpec *
gpt_tokenizer_from_text(const char *text, size_t size, const GptTokenizerOptions *options)
{
	LmTokenizerSpec *spec;

	if (is_number(text, size))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tokenizer is the number %.*s, not the text of a file",
							   (int) Min(size, SHOWN), text),
						errhint("If it is a large object, give its oid as a number: %.*s::oid.",
								(int) Min(size, SHOWN), text)));
	if (is_file_name(text, size))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tokenizer is the name of a file, not its content: \"%s\"", text),
			 errhint("In psql, \\set file `cat FILE` and :'file' give the text of a file of the "
					 "client; pg_read_binary_file() reads one of the server as bytea.")));
	spec = gpt_tokenizer_from_file(text, size, options->split);
	gpt_tokenizer_add_special(spec, options);
	return spec;
}

static bool
is_number(const char *text, size_t size)
{
	size_t i = 0;

	while (i < size && i <= 10 && isdigit((unsigned char) text[i]))
		i++;
	return i > 0 && i == size;
}

/* One short line that has a folder, or ends like the files of tokenizers. */
static bool
is_file_name(const char *text, size_t size)
{
	static const char *const ends[] = {".json", ".model", ".tiktoken", ".gguf",
									   ".bin",	".bpe",	  ".txt",	   ".vocab"};

	if (size == 0 || size > MAX_NAME || strpbrk(text, "\n{}[]\t") != NULL)
		return false;
	for (int i = 0; i < lengthof(ends); i++)
		if (size > strlen(ends[i]) && strcmp(text + size - strlen(ends[i]), ends[i]) == 0)
			return true;
	return text[0] == '/' || strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0;
}
