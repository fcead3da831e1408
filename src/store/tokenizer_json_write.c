/*
 * src/store/tokenizer_json_write.c
 *
 * The description of a tokenizer in, tokenizer.json out (tokenizer_json.h). Bytes are written in
 * the ByteLevel alphabet of GPT-2 (Radford et al. 2019, encoder.py): printable bytes stand for
 * themselves as Latin-1, the other 68 for the code points from U+0100 in order.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/json.h"

#include "store/byte_letters.h"
#include "store/tokenizer_json.h"

static void write_added_tokens(StringInfo json, const LmTokenizerSpec *spec);
static void write_pipeline(StringInfo json, const LmTokenizerSpec *spec);
static void write_pre_tokenizer(StringInfo json, const LmTokenizerSpec *spec);
static void write_split(StringInfo json, const char *pattern);
static void write_post_processor(StringInfo json, const LmTokenizerSpec *spec);
static void write_template_token(StringInfo json, const char *name);
static void write_template_entry(StringInfo json, const char *name, int32_t id);
static void write_model(StringInfo json, const LmTokenizerSpec *spec);
static void write_vocabulary(StringInfo json, const LmTokenizerSpec *spec);
static void write_merges(StringInfo json, const LmTokenizerSpec *spec);
static void append_letters(StringInfo letters, LmBytes bytes);
static char *special_name(const LmTokenizerSpec *spec, int32_t id);

char *
gpt_tokenizer_to_json(const LmTokenizerSpec *spec, size_t *size)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(
		&json, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
	write_added_tokens(&json, spec);
	appendStringInfoString(&json, "],\n");
	write_pipeline(&json, spec);
	write_model(&json, spec);
	appendStringInfoString(&json, "}\n");
	*size = json.len;
	return json.data;
}

/* Lists the special tokens, which other libraries then match before they split a text. */
static void
write_added_tokens(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *separator = "";

	for (int id = 0; id < spec->n_tokens; id++)
	{
		if (!spec->special[id])
			continue;
		appendStringInfo(json, "%s\n{\"id\":%d,\"content\":", separator, id);
		escape_json(json, special_name(spec, id));
		appendStringInfoString(json, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
									 "\"normalized\":false,\"special\":true}");
		separator = ",";
	}
}

/* Writes the fields between the added tokens and the model, in the order of other libraries. */
static void
write_pipeline(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *decoder = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":"
						  "false,\"use_regex\":true}";

	if (spec->kind == LM_TOKENIZER_CHARS)
		decoder = "{\"type\":\"Fuse\"}";
	appendStringInfo(json, "\"normalizer\":%s,\n\"pre_tokenizer\":",
					 spec->normalize_nfc ? "{\"type\":\"NFC\"}" : "null");
	write_pre_tokenizer(json, spec);
	appendStringInfoString(json, ",\n\"post_processor\":");
	write_post_processor(json, spec);
	appendStringInfo(json, ",\n\"decoder\":%s,\n", decoder);
}

/* ByteLevel with use_regex has GPT-2's pattern built in; other patterns need a Split before it. */
static void
write_pre_tokenizer(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *byte_level = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":"
							 "false,\"use_regex\":%s}";
	bool gpt2 = spec->pattern == NULL || strcmp(spec->pattern, lm_gpt2_pattern) == 0;
	bool whole = spec->kind == LM_TOKENIZER_BYTES ||
				 (!gpt2 && strcmp(spec->pattern, GPT_PATTERN_WHOLE) == 0);

	if (spec->kind == LM_TOKENIZER_CHARS)
		write_split(json, GPT_PATTERN_CHARACTER);
	else if (whole || gpt2)
		appendStringInfo(json, byte_level, whole ? "false" : "true");
	else
	{
		appendStringInfoString(json, "{\"type\":\"Sequence\",\"pretokenizers\":[");
		write_split(json, spec->pattern);
		appendStringInfoChar(json, ',');
		appendStringInfo(json, byte_level, "false");
		appendStringInfoString(json, "]}");
	}
}

static void
write_split(StringInfo json, const char *pattern)
{
	appendStringInfoString(json, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
	escape_json(json, pattern);
	appendStringInfoString(json, "},\"behavior\":\"Isolated\",\"invert\":false}");
}

/* A template only where the reader would not find beginning and end without. */
static void
write_post_processor(StringInfo json, const LmTokenizerSpec *spec)
{
	int32_t end = spec->end_of_text == gpt_tokenizer_end_by_name(spec) ? -1 : spec->end_of_text;
	const char *sequence = "{\"Sequence\":{\"id\":\"%c\",\"type_id\":%d}}";

	if (spec->beginning < 0 && end < 0)
	{
		appendStringInfoString(json, "null");
		return;
	}
	appendStringInfoString(json, "{\"type\":\"TemplateProcessing\",\"single\":[");
	if (spec->beginning >= 0)
	{
		write_template_token(json, special_name(spec, spec->beginning));
		appendStringInfoChar(json, ',');
	}
	appendStringInfo(json, sequence, 'A', 0);
	if (end >= 0)
	{
		appendStringInfoChar(json, ',');
		write_template_token(json, special_name(spec, end));
	}
	appendStringInfoString(json, "],\"pair\":[");
	appendStringInfo(json, sequence, 'A', 0);
	appendStringInfoChar(json, ',');
	appendStringInfo(json, sequence, 'B', 1);
	appendStringInfoString(json, "],\"special_tokens\":{");
	if (spec->beginning >= 0)
		write_template_entry(json, special_name(spec, spec->beginning), spec->beginning);
	if (spec->beginning >= 0 && end >= 0 && end != spec->beginning)
		appendStringInfoChar(json, ',');
	if (end >= 0 && end != spec->beginning)
		write_template_entry(json, special_name(spec, end), end);
	appendStringInfoString(json, "}}");
}

static void
write_template_token(StringInfo json, const char *name)
{
	appendStringInfoString(json, "{\"SpecialToken\":{\"id\":");
	escape_json(json, name);
	appendStringInfoString(json, ",\"type_id\":0}}");
}

static void
write_template_entry(StringInfo json, const char *name, int32_t id)
{
	escape_json(json, name);
	appendStringInfoString(json, ":{\"id\":");
	escape_json(json, name);
	appendStringInfo(json, ",\"ids\":[%d],\"tokens\":[", id);
	escape_json(json, name);
	appendStringInfoString(json, "]}");
}

/* "chars" becomes a WordLevel model; "bytes" becomes a BPE model without merges. */
static void
write_model(StringInfo json, const LmTokenizerSpec *spec)
{
	if (spec->kind == LM_TOKENIZER_CHARS)
	{
		appendStringInfoString(json, "\"model\":{\"type\":\"WordLevel\",\"vocab\":{");
		write_vocabulary(json, spec);
		/*
		 * The field is obligatory; a name that the vocabulary does not have means that there is no
		 * such token.
		 */
		appendStringInfoString(json, "},\"unk_token\":");
		escape_json(json, spec->unknown >= 0 ? special_name(spec, spec->unknown) : LM_UNKNOWN);
		appendStringInfoChar(json, '}');
		return;
	}
	appendStringInfoString(
		json, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
			  "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
			  "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{");
	write_vocabulary(json, spec);
	appendStringInfoString(json, "},\"merges\":[");
	write_merges(json, spec);
	appendStringInfoString(json, "]}");
}

/* Writes each token with its id; the bytes of a BPE token are spelled as letters. */
static void
write_vocabulary(StringInfo json, const LmTokenizerSpec *spec)
{
	StringInfoData token;

	initStringInfo(&token);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&token);
		if (spec->special[id] || spec->kind == LM_TOKENIZER_CHARS)
			appendBinaryStringInfo(&token, spec->tokens[id].data, spec->tokens[id].size);
		else
			append_letters(&token, spec->tokens[id]);
		appendStringInfoString(json, id > 0 ? ",\n" : "\n");
		escape_json(json, token.data);
		appendStringInfo(json, ":%d", id);
	}
	pfree(token.data);
}

/* Writes the merges in the order of their ranks, as pairs separated by a space. */
static void
write_merges(StringInfo json, const LmTokenizerSpec *spec)
{
	StringInfoData merge;

	initStringInfo(&merge);
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&merge);
		append_letters(&merge, spec->tokens[spec->merges[rank].left]);
		appendStringInfoChar(&merge, ' ');
		append_letters(&merge, spec->tokens[spec->merges[rank].right]);
		appendStringInfoString(json, rank > 0 ? ",\n" : "\n");
		escape_json(json, merge.data);
	}
	pfree(merge.data);
}

static void
append_letters(StringInfo letters, LmBytes bytes)
{
	unsigned char letter[4];

	for (size_t i = 0; i < bytes.size; i++)
	{
		unicode_to_utf8(gpt_byte_to_letter((unsigned char) bytes.data[i]), letter);
		appendBinaryStringInfo(letters, (char *) letter, pg_utf_mblen(letter));
	}
}

static char *
special_name(const LmTokenizerSpec *spec, int32_t id)
{
	return pnstrdup(spec->tokens[id].data, spec->tokens[id].size);
}
