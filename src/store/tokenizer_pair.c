/*
 * src/store/tokenizer_pair.c
 *
 * A vocabulary {"token": id, ...} in, a description out: with merges byte-level BPE, as GPT-2 was
 * published (encoder.json and vocab.bpe) and as Hugging Face names the two (vocab.json and
 * merges.txt); alone, a tokenizer of characters.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "store/tokenizer_files.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"
#include "store/tokenizer_split.h"
#include "store/tokenizer_steps.h"

#define MAX_NODES (LM_MAX_VOCABULARY + 1)
#define WHITE_SPACE " \t\r\n"

static const GptJson *parse_vocabulary(const char *text);
static void read_bpe(GptTokenizerReader *reader, const GptJson *vocabulary, const char *merges);
static bool is_letter(const char *name);

LmTokenizerSpec *
gpt_tokenizer_from_pair(const char *vocabulary, const char *merges,
						const GptTokenizerOptions *options)
{
	MemoryContext scratch;
	GptTokenizerReader reader;
	const char **patterns =
		gpt_tokenizer_split_option(options->split != NULL ? options->split : "gpt2");

	if (strlen(vocabulary) > GPT_MAX_TOKENIZER_SIZE || strlen(merges) > GPT_MAX_TOKENIZER_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("vocabulary and merges have %zu bytes, the limit is %d MB for each",
							   strlen(vocabulary) + strlen(merges),
							   GPT_MAX_TOKENIZER_SIZE / (1024 * 1024))));
	gpt_reader_begin(&reader);
	for (int i = 0; patterns[i] != NULL; i++)
		gpt_reader_add_pattern(&reader, patterns[i]);
	scratch = AllocSetContextCreate(CurrentMemoryContext, "gpt vocabulary", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	read_bpe(&reader, parse_vocabulary(vocabulary), merges);
	MemoryContextSwitchTo(reader.context);
	MemoryContextDelete(scratch);
	gpt_tokenizer_add_special(reader.spec, options);
	return reader.spec;
}

/* The object of the vocabulary; the usual mistake is to give the merges first. */
static const GptJson *
parse_vocabulary(const char *text)
{
	const GptJson *root;

	if (strncmp(text, GPT_BYTE_ORDER_MARK, 3) == 0)
		text += 3;
	if (text[strspn(text, WHITE_SPACE)] != '{')
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION), errmsg("vocabulary is not an object of JSON"),
				 errhint("Give the text of vocab.json (or encoder.json) first, and that of "
						 "merges.txt (or vocab.bpe) after it.")));
	root = gpt_json_parse(text, strlen(text), MAX_NODES, "vocabulary");
	if (!gpt_reader_is_vocabulary(root) && gpt_json_field(root, "model") != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("vocabulary is a tokenizer.json, which has its own merges"),
						errhint("Give it alone.")));
	return root;
}

void
gpt_reader_pair(GptTokenizerReader *reader, const GptJson *root)
{
	const GptJson *encoder = gpt_json_field(root, "encoder");
	const char *merges = gpt_json_string(gpt_json_field(root, "merges"));

	if (encoder->type != GPT_JSON_OBJECT || !merges)
		gpt_reader_malformed("Beside the object \"encoder\" it must have the text of vocab.bpe as "
							 "a string \"merges\".");
	for (const GptJson *field = root->first; field; field = field->next)
		if (strcmp(field->name, "encoder") != 0 && strcmp(field->name, "merges") != 0)
			gpt_reader_malformed("It has a field \"%s\" beside \"encoder\" and \"merges\".",
								 field->name);
	read_bpe(reader, encoder, merges);
}

static void
read_bpe(GptTokenizerReader *reader, const GptJson *vocabulary, const char *merges)
{
	LmTokenizerSpec *spec = reader->spec;

	spec->kind = LM_TOKENIZER_BPE;
	reader->spelling = GPT_SPELLED_LETTERS;
	gpt_reader_allocate(reader, vocabulary, NULL);
	for (const GptJson *token = vocabulary->first; token; token = token->next)
		if (strcmp(token->name, LM_END_OF_TEXT) == 0)
			gpt_reader_set_token(reader, gpt_reader_token_id(token, token->name), token->name,
								 (LmBytes){LM_END_OF_TEXT, strlen(LM_END_OF_TEXT)}, true);
	gpt_reader_vocabulary(reader, vocabulary);
	gpt_reader_index(reader);
	gpt_reader_merges_text(reader, merges);
	spec->end_of_text = gpt_tokenizer_end_by_name(spec);
}

/* ------------------------------------------------------------ characters */

bool
gpt_reader_is_vocabulary(const GptJson *root)
{
	for (const GptJson *token = root->first; token; token = token->next)
		if (token->type != GPT_JSON_NUMBER)
			return false;
	return root->first != NULL;
}

/* Only the end of a text and the unknown token may have more than one character. */
void
gpt_reader_letters(GptTokenizerReader *reader, const GptJson *vocabulary)
{
	LmTokenizerSpec *spec = reader->spec;

	spec->kind = LM_TOKENIZER_CHARS;
	reader->spelling = GPT_SPELLED_PLAIN;
	gpt_reader_allocate(reader, vocabulary, NULL);
	for (const GptJson *token = vocabulary->first; token; token = token->next)
	{
		int id = gpt_reader_token_id(token, token->name);
		bool unknown = strcmp(token->name, "<unk>") == 0 || strcmp(token->name, LM_UNKNOWN) == 0;
		bool special = unknown || strcmp(token->name, LM_END_OF_TEXT) == 0;

		if (!special && !is_letter(token->name))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("vocabulary has the token \"%.*s\" of several characters",
							pg_mbcliplen(token->name, (int) strlen(token->name), 60), token->name),
					 errdetail("A vocabulary without merges is one of single characters."),
					 errhint("Give the text of merges.txt (or vocab.bpe) as the third argument.")));
		gpt_reader_set_token(reader, id, token->name, (LmBytes){token->name, strlen(token->name)},
							 special);
		if (unknown)
			spec->unknown = id;
	}
	gpt_reader_check_gaps(reader);
	gpt_reader_index(reader);
	spec->end_of_text = gpt_tokenizer_end_by_name(spec);
}

static bool
is_letter(const char *name)
{
	return name[0] != '\0' && name[pg_utf_mblen((const unsigned char *) name)] == '\0';
}
