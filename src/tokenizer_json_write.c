/*
 * src/tokenizer_json_write.c
 *
 * A description of a tokenizer goes in, the text of a tokenizer.json comes out.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "tokenizer_json.h"

#define BYTE_LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}"

static void put_added_tokens(StringInfo json, const LmTokenizerSpec *spec);
static void put_pre_tokenizer(StringInfo json, const LmTokenizerSpec *spec);
static void put_vocabulary(StringInfo json, const LmTokenizerSpec *spec);
static void put_merges(StringInfo json, const LmTokenizerSpec *spec);
static void put_string(StringInfo json, const char *data, size_t size);
static void append_letters(StringInfo text, LmBytes token);

int
gpt_byte_to_letter(int byte)
{
	if ((byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE)
		return byte;
	if (byte < '!')
		return 256 + byte;
	if (byte <= 0xA0)
		return 256 + '!' + (byte - 0x7F);
	return 256 + '!' + 34; /* 0xAD */
}

int
gpt_letter_to_byte(int letter)
{
	if (letter < 256)
		return letter >= 0 && gpt_byte_to_letter(letter) == letter ? letter : -1;
	for (int byte = 0; byte < 256; byte++)
		if (gpt_byte_to_letter(byte) == letter)
			return byte;
	return -1;
}

char *
gpt_tokenizer_to_json(const LmTokenizerSpec *spec, size_t *size)
{
	bool chars = spec->kind == LM_TOKENIZER_CHARS;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n\"added_tokens\": ");
	put_added_tokens(&json, spec);
	appendStringInfo(&json, ",\n\"normalizer\": %s,\n\"pre_tokenizer\": ", spec->normalize_nfc ? "{\"type\": \"NFC\"}" : "null");
	put_pre_tokenizer(&json, spec);
	appendStringInfoString(&json, ",\n\"post_processor\": null,\n\"decoder\": ");
	if (chars)
		appendStringInfoString(&json, "{\"type\": \"Fuse\"},\n\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"" LM_UNKNOWN "\",\n");
	else
	{
		appendStringInfo(&json, BYTE_LEVEL, "true");
		appendStringInfoString(&json, ",\n\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
									  "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
									  "\"fuse_unk\": false, \"byte_fallback\": false,\n");
	}
	put_vocabulary(&json, spec);
	if (!chars)
		put_merges(&json, spec);
	appendStringInfoString(&json, "}}\n");
	*size = json.len;
	return json.data;
}

static void
put_added_tokens(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *separator = "";

	appendStringInfoChar(json, '[');
	for (int id = 0; id < spec->n_tokens; id++)
	{
		if (!spec->special[id])
			continue;
		appendStringInfo(json, "%s{\"id\": %d, \"content\": ", separator, id);
		put_string(json, spec->tokens[id].data, spec->tokens[id].size);
		appendStringInfoString(json, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
									 "\"special\": true}");
		separator = ", ";
	}
	appendStringInfoChar(json, ']');
}

static void
put_split(StringInfo json, const char *pattern)
{
	appendStringInfoString(json, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
	put_string(json, pattern, strlen(pattern));
	appendStringInfoString(json, "}, \"behavior\": \"Isolated\", \"invert\": false}");
}

static void
put_pre_tokenizer(StringInfo json, const LmTokenizerSpec *spec)
{
	if (spec->kind == LM_TOKENIZER_CHARS)
		put_split(json, "[\\s\\S]");
	else if (spec->kind == LM_TOKENIZER_BYTES)
		appendStringInfo(json, BYTE_LEVEL, "false");
	else if (spec->pattern == NULL || strcmp(spec->pattern, lm_gpt2_pattern) == 0)
		appendStringInfo(json, BYTE_LEVEL, "true");
	else
	{
		appendStringInfoString(json, "{\"type\": \"Sequence\", \"pretokenizers\": [");
		put_split(json, spec->pattern);
		appendStringInfoString(json, ", ");
		appendStringInfo(json, BYTE_LEVEL, "false");
		appendStringInfoString(json, "]}");
	}
}

static void
put_vocabulary(StringInfo json, const LmTokenizerSpec *spec)
{
	StringInfoData letters;

	initStringInfo(&letters);
	appendStringInfoString(json, "\"vocab\": {");
	for (int id = 0; id < spec->n_tokens; id++)
	{
		resetStringInfo(&letters);
		if (spec->special[id] || spec->kind == LM_TOKENIZER_CHARS)
			appendBinaryStringInfo(&letters, spec->tokens[id].data, (int) spec->tokens[id].size);
		else
			append_letters(&letters, spec->tokens[id]);
		appendStringInfoString(json, id > 0 ? ", " : "");
		put_string(json, letters.data, letters.len);
		appendStringInfo(json, ": %d", id);
	}
	appendStringInfoChar(json, '}');
	pfree(letters.data);
}

/* Letters are never a space, so the two parts can be told apart. */
static void
put_merges(StringInfo json, const LmTokenizerSpec *spec)
{
	StringInfoData letters;

	initStringInfo(&letters);
	appendStringInfoString(json, ",\n\"merges\": [");
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		resetStringInfo(&letters);
		append_letters(&letters, spec->tokens[spec->merges[rank].left]);
		appendStringInfoChar(&letters, ' ');
		append_letters(&letters, spec->tokens[spec->merges[rank].right]);
		appendStringInfoString(json, rank > 0 ? ", " : "");
		put_string(json, letters.data, letters.len);
	}
	appendStringInfoChar(json, ']');
	pfree(letters.data);
}

static void
put_string(StringInfo json, const char *data, size_t size)
{
	char *string = pnstrdup(data, size);

	escape_json(json, string);
	pfree(string);
}

static void
append_letters(StringInfo text, LmBytes token)
{
	for (size_t i = 0; i < token.size; i++)
	{
		unsigned char utf8[4];

		unicode_to_utf8(gpt_byte_to_letter((unsigned char) token.data[i]), utf8);
		appendBinaryStringInfo(text, (char *) utf8, pg_utf_mblen(utf8));
	}
}
