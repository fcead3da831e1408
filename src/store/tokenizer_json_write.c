/*
 * src/store/tokenizer_json_write.c
 *
 * The description of a tokenizer in, tokenizer.json out (tokenizer_json.h). Bytes are written in
 * the ByteLevel alphabet of GPT-2 (Radford et al. 2019, encoder.py): printable bytes stand for
 * themselves as Latin-1, the other 68 for the code points from U+0100 in order.
 */
#include "postgres.h"

#include "common/base64.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/json.h"

#include "store/byte_letters.h"
#include "store/tokenizer_json.h"

static void write_added_tokens(StringInfo json, const LmTokenizerSpec *spec);
static void write_pipeline(StringInfo json, const LmTokenizerSpec *spec);
static void write_normalizer(StringInfo json, const LmTokenizerSpec *spec);
static void write_charsmap(StringInfo json, const char *separator, LmBytes table);
static void write_pre_tokenizer(StringInfo json, const LmTokenizerSpec *spec);
static void write_splits(StringInfo json, const LmTokenizerSpec *spec);
static void write_metaspace(StringInfo json, const LmTokenizerSpec *spec);
static void write_decoder(StringInfo json, const LmTokenizerSpec *spec);
static void write_split(StringInfo json, const char *pattern);
static void write_post_processor(StringInfo json, const LmTokenizerSpec *spec);
static void write_template_token(StringInfo json, const char *name);
static void write_template_entry(StringInfo json, const char *name, int32_t id);
static void write_model(StringInfo json, const LmTokenizerSpec *spec);
static void write_vocabulary(StringInfo json, const LmTokenizerSpec *spec);
static void write_merges(StringInfo json, const LmTokenizerSpec *spec);
static void write_scores(StringInfo json, const LmTokenizerSpec *spec);
static bool in_model(const LmTokenizerSpec *spec, int id);
static bool of_letters(const LmTokenizerSpec *spec);
static bool has_metaspace(const LmTokenizerSpec *spec);
static void append_letters(StringInfo letters, LmBytes bytes);
static void append_signs(StringInfo signs, LmBytes bytes);
static const char *word(bool value);
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

/* Lists the special and the added tokens, which libraries match before they split a text. */
static void
write_added_tokens(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *separator = "";
	StringInfoData name;

	initStringInfo(&name);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		int flags = spec->flags ? spec->flags[id] : 0;

		if (!spec->special[id] && !(flags & LM_TOKEN_ADDED))
			continue;
		appendStringInfo(json, "%s\n{\"id\":%d,\"content\":", separator, id);
		if (in_model(spec, id) && !spec->special[id])
			escape_json(json, gpt_tokenizer_spell(&name, spec, id));
		else
			escape_json(json, special_name(spec, id));
		appendStringInfo(
			json,
			",\"single_word\":%s,\"lstrip\":%s,\"rstrip\":%s,\"normalized\":%s,\"special\":%s}",
			word(flags & LM_TOKEN_WORD), word(flags & LM_TOKEN_LSTRIP),
			word(flags & LM_TOKEN_RSTRIP), word(flags & LM_TOKEN_NORMALIZED),
			word(spec->special[id]));
		separator = ",";
	}
}

/* Writes the fields between the added tokens and the model, in the order of other libraries. */
static void
write_pipeline(StringInfo json, const LmTokenizerSpec *spec)
{
	appendStringInfoString(json, "\"normalizer\":");
	write_normalizer(json, spec);
	appendStringInfoString(json, ",\n\"pre_tokenizer\":");
	write_pre_tokenizer(json, spec);
	appendStringInfoString(json, ",\n\"post_processor\":");
	write_post_processor(json, spec);
	appendStringInfoString(json, ",\n\"decoder\":");
	write_decoder(json, spec);
	appendStringInfoString(json, ",\n");
}

/* Several steps are a sequence. */
static void
write_normalizer(StringInfo json, const LmTokenizerSpec *spec)
{
	StringInfoData steps;
	int n = 0;

	initStringInfo(&steps);
	if (spec->normalize_nfc || spec->normalize_nfkc)
		appendStringInfo(&steps, "%s{\"type\":\"%s\"}", n++ > 0 ? "," : "",
						 spec->normalize_nfkc ? "NFKC" : "NFC");
	if (spec->charsmap.size > 0)
		write_charsmap(&steps, n++ > 0 ? "," : "", spec->charsmap);
	if (spec->collapse_spaces)
		appendStringInfo(
			&steps,
			"%s{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},"
			"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}",
			n++ > 0 ? "," : "");
	if (spec->prefix == LM_PREFIX_ALWAYS)
		appendStringInfo(&steps, "%s{\"type\":\"Prepend\",\"prepend\":\"" LM_SPACE_SIGN "\"}",
						 n++ > 0 ? "," : "");
	if (spec->space_sign && !has_metaspace(spec))
		appendStringInfo(
			&steps,
			"%s{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" LM_SPACE_SIGN
			"\"}",
			n++ > 0 ? "," : "");
	if (n == 0)
		appendStringInfoString(json, "null");
	else if (n == 1 && !spec->collapse_spaces)
		appendStringInfoString(json, steps.data);
	else
		appendStringInfo(json, "{\"type\":\"Sequence\",\"normalizers\":[%s]}", steps.data);
	pfree(steps.data);
}

/* A table of characters, which libraries read in base64. */
static void
write_charsmap(StringInfo json, const char *separator, LmBytes table)
{
	int size = pg_b64_enc_len((int) table.size);
	char *text = palloc(size + 1);

	text[pg_b64_encode(table.data, (int) table.size, text, size)] = '\0';
	appendStringInfo(json, "%s{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"}",
					 separator, text);
	pfree(text);
}

/* ByteLevel with use_regex has GPT-2's pattern built in; other patterns need a Split before it. */
static void
write_pre_tokenizer(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *byte_level = "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":"
							 "false,\"use_regex\":%s}";
	bool alone = spec->further[0] == NULL;
	bool gpt2 = alone && (spec->pattern == NULL || strcmp(spec->pattern, lm_gpt2_pattern) == 0);
	bool whole = spec->kind == LM_TOKENIZER_BYTES ||
				 (alone && !gpt2 && strcmp(spec->pattern, GPT_PATTERN_WHOLE) == 0);

	if (spec->kind == LM_TOKENIZER_CHARS)
		write_split(json, GPT_PATTERN_CHARACTER);
	else if (of_letters(spec))
		write_metaspace(json, spec);
	else if (whole || gpt2)
		appendStringInfo(json, byte_level, word(spec->prefix != LM_PREFIX_NONE),
						 whole ? "false" : "true");
	else
	{
		appendStringInfoString(json, "{\"type\":\"Sequence\",\"pretokenizers\":[");
		write_splits(json, spec);
		appendStringInfo(json, byte_level, "false", "false");
		appendStringInfoString(json, "]}");
	}
}

/* Each pattern with a comma after it; the first may be GPT-2's. */
static void
write_splits(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *pattern = spec->pattern ? spec->pattern : lm_gpt2_pattern;

	for (int i = 0; pattern; i++)
	{
		write_split(json, pattern);
		appendStringInfoChar(json, ',');
		pattern = i < LM_MAX_PATTERNS - 1 ? spec->further[i] : NULL;
	}
}

/* The step that puts in a missing prefix or splits at spaces. */
static void
write_metaspace(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *scheme = spec->prefix_once ? "first" : "always";

	if (!has_metaspace(spec))
	{
		appendStringInfoString(json, "null");
		return;
	}
	appendStringInfo(json,
					 "{\"type\":\"Metaspace\",\"replacement\":\"" LM_SPACE_SIGN
					 "\",\"prepend_scheme\":\"%s\",\"split\":%s}",
					 spec->prefix == LM_PREFIX_MISSING ? scheme : "never",
					 word(spec->split_spaces));
}

static void
write_decoder(StringInfo json, const LmTokenizerSpec *spec)
{
	if (spec->kind == LM_TOKENIZER_CHARS)
		appendStringInfoString(json, "{\"type\":\"Fuse\"}");
	else if (!of_letters(spec))
		appendStringInfoString(json, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
									 "\"trim_offsets\":false,\"use_regex\":true}");
	else
	{
		appendStringInfoString(json, "{\"type\":\"Sequence\",\"decoders\":[");
		if (spec->space_sign)
			appendStringInfoString(json,
								   "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" LM_SPACE_SIGN
								   "\"},\"content\":\" \"},");
		appendStringInfoString(json, "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
		if (spec->strip_space)
			appendStringInfoString(
				json, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
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
	bool fallback = false;

	for (int id = 0; spec->flags && id < spec->n_tokens; id++)
		fallback = fallback || spec->flags[id] & LM_TOKEN_BYTE;
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
	if (spec->kind == LM_TOKENIZER_UNIGRAM)
	{
		appendStringInfoString(json, "\"model\":{\"type\":\"Unigram\",\"unk_id\":");
		appendStringInfo(json, spec->unknown >= 0 ? "%d" : "null", spec->unknown);
		appendStringInfo(json, ",\"byte_fallback\":%s%s,\"vocab\":[", word(fallback),
						 spec->single_precision ? ",\"single_precision\":true" : "");
		write_scores(json, spec);
		appendStringInfoString(json, "]}");
		return;
	}
	appendStringInfoString(json, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
	if (spec->unknown >= 0)
		escape_json(json, special_name(spec, spec->unknown));
	else
		appendStringInfoString(json, "null");
	appendStringInfo(json,
					 ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":"
					 "%s,\"byte_fallback\":%s,\"ignore_merges\":%s,\"vocab\":{",
					 word(spec->fuse_unknown), word(fallback), word(spec->ignore_merges));
	write_vocabulary(json, spec);
	appendStringInfoString(json, "},\"merges\":[");
	write_merges(json, spec);
	appendStringInfoString(json, "]}");
}

/* Writes each token of the model with its id. */
static void
write_vocabulary(StringInfo json, const LmTokenizerSpec *spec)
{
	const char *separator = "\n";
	StringInfoData token;

	initStringInfo(&token);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!in_model(spec, id))
			continue;
		appendStringInfoString(json, separator);
		escape_json(json, gpt_tokenizer_spell(&token, spec, id));
		appendStringInfo(json, ":%d", id);
		separator = ",\n";
	}
	pfree(token.data);
}

/* Writes each token with its score; ids are places, so that none is left out. */
static void
write_scores(StringInfo json, const LmTokenizerSpec *spec)
{
	char score[DOUBLE_SHORTEST_DECIMAL_LEN];
	StringInfoData token;

	initStringInfo(&token);
	for (int id = 0; id < spec->n_tokens && in_model(spec, id); id++)
	{
		CHECK_FOR_INTERRUPTS();
		double_to_shortest_decimal_buf(spec->scores[id], score);
		appendStringInfoString(json, id > 0 ? ",\n[" : "\n[");
		escape_json(json, gpt_tokenizer_spell(&token, spec, id));
		appendStringInfo(json, ",%s]", score);
	}
	pfree(token.data);
}

/* Writes the merges in the order of their ranks, as pairs separated by a space or as arrays. */
static void
write_merges(StringInfo json, const LmTokenizerSpec *spec)
{
	bool arrays = of_letters(spec);
	StringInfoData left, right;

	initStringInfo(&left);
	initStringInfo(&right);
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_tokenizer_spell(&left, spec, spec->merges[rank].left);
		gpt_tokenizer_spell(&right, spec, spec->merges[rank].right);
		appendStringInfoString(json, rank > 0 ? ",\n" : "\n");
		if (arrays)
		{
			appendStringInfoChar(json, '[');
			escape_json(json, left.data);
			appendStringInfoChar(json, ',');
			escape_json(json, right.data);
			appendStringInfoChar(json, ']');
			continue;
		}
		appendStringInfoChar(&left, ' ');
		appendStringInfoString(&left, right.data);
		escape_json(json, left.data);
	}
	pfree(left.data);
	pfree(right.data);
}

/* ------------------------------------------------------------ tokens */

static bool
in_model(const LmTokenizerSpec *spec, int id)
{
	return !spec->flags || !(spec->flags[id] & LM_TOKEN_OUTSIDE);
}

static bool
of_letters(const LmTokenizerSpec *spec)
{
	return spec->kind == LM_TOKENIZER_SENTENCEPIECE || spec->kind == LM_TOKENIZER_UNIGRAM;
}

static bool
has_metaspace(const LmTokenizerSpec *spec)
{
	return of_letters(spec) &&
		   (spec->split_spaces || (spec->space_sign && spec->prefix == LM_PREFIX_MISSING));
}

const char *
gpt_tokenizer_spell(StringInfo scratch, const LmTokenizerSpec *spec, int id)
{
	LmBytes token = spec->tokens[id];

	resetStringInfo(scratch);
	if (spec->special[id] || spec->kind == LM_TOKENIZER_CHARS)
		appendBinaryStringInfo(scratch, token.data, token.size);
	else if (!of_letters(spec))
		append_letters(scratch, token);
	else if (spec->flags && spec->flags[id] & LM_TOKEN_BYTE)
		appendStringInfo(scratch, "<0x%02X>", (unsigned char) token.data[0]);
	else if (spec->space_sign)
		append_signs(scratch, token);
	else
		appendBinaryStringInfo(scratch, token.data, token.size);
	return scratch->data;
}

static void
append_signs(StringInfo signs, LmBytes bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		if (bytes.data[i] == ' ')
			appendStringInfoString(signs, LM_SPACE_SIGN);
		else
			appendStringInfoChar(signs, bytes.data[i]);
}

static const char *
word(bool value)
{
	return value ? "true" : "false";
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
