/*
 * src/store/tokenizer_steps.c
 *
 * The normalizer, the pre-tokenizer and the decoder of a tokenizer.json in; members of a
 * description out. Every way to split becomes a regular expression, in the order of the steps.
 */
#include "postgres.h"

#include "common/base64.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "store/tokenizer_json.h"
#include "store/tokenizer_steps.h"

/* Rust's is_numeric, and its is_ascii_punctuation or a category P, as regular expressions */
#define PATTERN_DIGIT "\\p{N}"
#define PATTERN_DIGITS "\\p{N}+"
#define PATTERN_PUNCTUATION "[\\p{P}$+<=>^`|~]"

static void read_charsmap(GptTokenizerReader *reader, const char *text);
static void read_replace(GptTokenizerReader *reader, const GptJson *replace);
static void read_step(GptTokenizerReader *reader, const GptJson *step);
static void read_byte_level(GptTokenizerReader *reader, const GptJson *byte_level);
static void read_metaspace(GptTokenizerReader *reader, const GptJson *metaspace);
static bool prepends(const GptJson *metaspace, bool *once);
static bool is_idle_split(const GptTokenizerReader *reader, const GptJson *split);
static char *quoted(const char *text);
static void read_decoder_step(GptTokenizerReader *reader, const GptJson *decoder);
static bool is_string(const GptJson *object, const char *name, const char *wanted);

/* ------------------------------------------------------------ normalizer */

void
gpt_reader_normalizer(GptTokenizerReader *reader, const GptJson *normalizer)
{
	LmTokenizerSpec *spec = reader->spec;
	const char *type;

	if (!normalizer)
		return;
	type = gpt_reader_type(normalizer);
	if (strcmp(type, "Sequence") == 0)
	{
		const GptJson *list = gpt_json_field(normalizer, "normalizers");

		for (const GptJson *step = list ? list->first : NULL; step; step = step->next)
			gpt_reader_normalizer(reader, step);
	}
	else if (strcmp(type, "NFC") == 0)
		spec->normalize_nfc = true;
	else if (strcmp(type, "NFKC") == 0)
		spec->normalize_nfkc = true;
	else if (strcmp(type, "Prepend") == 0 && is_string(normalizer, "prepend", LM_SPACE_SIGN))
		spec->prefix = LM_PREFIX_ALWAYS;
	else if (strcmp(type, "Replace") == 0)
		read_replace(reader, normalizer);
	else if (strcmp(type, "Precompiled") == 0)
		read_charsmap(reader, gpt_json_string(gpt_json_field(normalizer, "precompiled_charsmap")));
	else if (strcmp(type, "Strip") == 0 && gpt_reader_switch(normalizer, "strip_left", true) &&
			 gpt_reader_switch(normalizer, "strip_right", true))
		reader->strips = true;
	else
		gpt_reader_unsupported("normalizer \"%s\"", type);
}

/* SentencePiece's table of characters, in base64; an empty one does nothing. */
static void
read_charsmap(GptTokenizerReader *reader, const char *text)
{
	int size;
	char *table;

	if (!text || strlen(text) > MaxAllocSize / 2)
		gpt_reader_malformed("Its normalizer \"Precompiled\" has no \"precompiled_charsmap\".");
	table = MemoryContextAlloc(reader->context, pg_b64_dec_len((int) strlen(text)) + 1);
	size =
		pg_b64_decode(text, (int) strlen(text), (void *) table, pg_b64_dec_len((int) strlen(text)));
	if (size < 0)
		gpt_reader_malformed("Its \"precompiled_charsmap\" is not base64.");
	reader->spec->charsmap = (LmBytes){table, size};
}

/* A sign may replace a space, and one space several. */
static void
read_replace(GptTokenizerReader *reader, const GptJson *replace)
{
	const GptJson *pattern = gpt_json_field(replace, "pattern");

	if (is_string(pattern, "Regex", " {2,}") && is_string(replace, "content", " "))
	{
		reader->joins = true;
		return;
	}
	if (!(is_string(pattern, "String", " ") || is_string(pattern, "Regex", " ")) ||
		!is_string(replace, "content", LM_SPACE_SIGN))
		gpt_reader_unsupported("normalizer \"Replace\" of anything but a space by U+2581");
	reader->spec->space_sign = true;
}

/* ------------------------------------------------------------ pre-tokenizer */

void
gpt_reader_pre_tokenizer(GptTokenizerReader *reader, const GptJson *pre_tokenizer)
{
	LmTokenizerSpec *spec = reader->spec;

	if (reader->strips != reader->joins)
		gpt_reader_unsupported(
			reader->strips ? "normalizer \"Strip\" without a \"Replace\" of several spaces"
						   : "normalizer \"Replace\" of several spaces without a \"Strip\"");
	spec->collapse_spaces = reader->strips;
	if (pre_tokenizer)
		read_step(reader, pre_tokenizer);
	if (reader->byte_level && (spec->space_sign || spec->prefix == LM_PREFIX_ALWAYS))
		gpt_reader_unsupported("normalizer \"Replace\" or \"Prepend\" of a byte-level model");
	if (reader->byte_level && (spec->charsmap.size > 0 || spec->collapse_spaces))
		gpt_reader_unsupported("normalizer \"Precompiled\" or \"Strip\" of a byte-level model");
	if (!reader->byte_level && reader->n_patterns > 0)
		gpt_reader_unsupported("a split by a pattern without the pre_tokenizer \"ByteLevel\"");
	if (!reader->byte_level && spec->prefix == LM_PREFIX_ALWAYS && !spec->space_sign)
		gpt_reader_unsupported("normalizer \"Prepend\" without a \"Replace\" of spaces");
}

/* One pre-tokenizer, or those of a sequence. */
static void
read_step(GptTokenizerReader *reader, const GptJson *step)
{
	const char *type = gpt_reader_type(step);

	if (strcmp(type, "Sequence") == 0)
	{
		const GptJson *list = gpt_json_field(step, "pretokenizers");

		for (const GptJson *next = list ? list->first : NULL; next; next = next->next)
			read_step(reader, next);
		return;
	}
	if (reader->byte_level)
		gpt_reader_unsupported("pre_tokenizer \"Sequence\" of \"ByteLevel\" and \"%s\"", type);
	if (strcmp(type, "ByteLevel") == 0)
		read_byte_level(reader, step);
	else if (strcmp(type, "Metaspace") == 0)
		read_metaspace(reader, step);
	else if (strcmp(type, "Digits") == 0)
		gpt_reader_add_pattern(reader, gpt_reader_switch(step, "individual_digits", false)
										   ? PATTERN_DIGIT
										   : PATTERN_DIGITS);
	else if (strcmp(type, "Punctuation") == 0)
	{
		const char *behavior = gpt_json_string(gpt_json_field(step, "behavior"));

		if (behavior && strcmp(behavior, "Isolated") != 0 && strcmp(behavior, "Contiguous") != 0)
			gpt_reader_unsupported("pre_tokenizer \"Punctuation\" with the behavior \"%s\"",
								   behavior);
		gpt_reader_add_pattern(reader, behavior && strcmp(behavior, "Contiguous") == 0
										   ? PATTERN_PUNCTUATION "+"
										   : PATTERN_PUNCTUATION);
	}
	else if (strcmp(type, "Split") != 0)
		gpt_reader_unsupported("pre_tokenizer \"%s\"", type);
	else if (!is_idle_split(reader, step))
		gpt_reader_add_pattern(reader, gpt_reader_split(step));
}

void
gpt_reader_add_pattern(GptTokenizerReader *reader, const char *pattern)
{
	LmTokenizerSpec *spec = reader->spec;
	bool gpt2 = strcmp(pattern, lm_gpt2_pattern) == 0;
	char *copy;

	if (reader->n_patterns == LM_MAX_PATTERNS)
		gpt_reader_unsupported("more than %d pre_tokenizers", LM_MAX_PATTERNS);
	copy = MemoryContextStrdup(reader->context, pattern);
	/* GPT-2's pattern alone is the default. */
	if (reader->n_patterns > 0)
		spec->further[reader->n_patterns - 1] = copy;
	else
		spec->pattern = gpt2 ? NULL : copy;
	/* Nothing follows a NULL. */
	if (reader->n_patterns == 1 && spec->pattern == NULL)
		spec->pattern = MemoryContextStrdup(reader->context, lm_gpt2_pattern);
	reader->n_patterns++;
}

/* The bytes of the pieces, which it may split by GPT-2's pattern. */
static void
read_byte_level(GptTokenizerReader *reader, const GptJson *byte_level)
{
	const GptJson *prefix = gpt_json_field(byte_level, "add_prefix_space");

	if (!prefix || (prefix->type != GPT_JSON_FALSE && prefix->type != GPT_JSON_TRUE))
		gpt_reader_unsupported("add_prefix_space");
	if (prefix->type == GPT_JSON_TRUE)
	{
		if (reader->n_patterns > 0)
			gpt_reader_unsupported("add_prefix_space after another pre_tokenizer");
		reader->spec->prefix = LM_PREFIX_MISSING;
	}
	if (gpt_reader_switch(byte_level, "use_regex", true))
		gpt_reader_add_pattern(reader, lm_gpt2_pattern);
	else if (reader->n_patterns == 0)
		gpt_reader_add_pattern(reader, GPT_PATTERN_WHOLE);
	reader->byte_level = true;
}

/* Signs for spaces, one in front of the text, and maybe a split at each. */
static void
read_metaspace(GptTokenizerReader *reader, const GptJson *metaspace)
{
	LmTokenizerSpec *spec = reader->spec;
	bool once;

	if (!is_string(metaspace, "replacement", LM_SPACE_SIGN))
		gpt_reader_unsupported("pre_tokenizer \"Metaspace\" with a replacement other than U+2581");
	if (prepends(metaspace, &once))
	{
		if (spec->prefix != LM_PREFIX_NONE)
			gpt_reader_unsupported("pre_tokenizer \"Metaspace\" after another prefix");
		spec->prefix = LM_PREFIX_MISSING;
		spec->prefix_once = once;
	}
	spec->space_sign = true;
	spec->split_spaces = gpt_reader_switch(metaspace, "split", true);
}

/* Whether it puts a sign in front, and only of the whole text. Early files have a switch. */
static bool
prepends(const GptJson *metaspace, bool *once)
{
	const char *scheme = gpt_json_string(gpt_json_field(metaspace, "prepend_scheme"));

	*once = scheme && strcmp(scheme, "first") == 0;
	if (!scheme)
		return gpt_reader_switch(metaspace, "add_prefix_space", true);
	if (!*once && strcmp(scheme, "always") != 0 && strcmp(scheme, "never") != 0)
		gpt_reader_unsupported("prepend_scheme \"%s\"", scheme);
	return strcmp(scheme, "never") != 0;
}

/* Gemma's: a split at spaces, of which its normalizer leaves none. */
static bool
is_idle_split(const GptTokenizerReader *reader, const GptJson *split)
{
	return reader->spec->space_sign && is_string(gpt_json_field(split, "pattern"), "String", " ");
}

/*
 * Matches that are isolated leave pieces that cover the text. So do matches without what is between
 * them, by the patterns that match everywhere.
 */
const char *
gpt_reader_split(const GptJson *split)
{
	const GptJson *pattern = gpt_json_field(split, "pattern");
	const char *regex = gpt_json_string(gpt_json_field(pattern, "Regex"));
	const char *string = gpt_json_string(gpt_json_field(pattern, "String"));
	const char *behavior = gpt_json_string(gpt_json_field(split, "behavior"));
	bool inverted = gpt_reader_switch(split, "invert", false);

	if (!regex && !string)
		gpt_reader_unsupported("pre_tokenizer \"Split\" without a pattern");
	if (string)
		regex = quoted(string);
	if (behavior && strcmp(behavior, "Isolated") == 0)
		return regex;
	if (!behavior || strcmp(behavior, "Removed") != 0 || !inverted || !lm_pattern_covers(regex))
		gpt_reader_unsupported("pre_tokenizer \"Split\" with the behavior \"%s\"%s",
							   behavior ? behavior : "", inverted ? ", inverted" : "");
	return regex;
}

/* A regular expression that matches this text alone. */
static char *
quoted(const char *text)
{
	StringInfoData regex;

	initStringInfo(&regex);
	for (const char *c = text; *c; c++)
	{
		if ((unsigned char) *c < 0x80 && strchr("\\^$.|?*+()[]{}-&#", *c))
			appendStringInfoChar(&regex, '\\');
		appendStringInfoChar(&regex, *c);
	}
	return regex.data;
}

/* ------------------------------------------------------------ decoder */

void
gpt_reader_decoder(GptTokenizerReader *reader, const GptJson *decoder)
{
	LmTokenizerSpec *spec = reader->spec;

	if (decoder)
		read_decoder_step(reader, decoder);
	else
		spec->strip_space = spec->space_sign && spec->prefix != LM_PREFIX_NONE;
}

/* One decoder, or those of a sequence. */
static void
read_decoder_step(GptTokenizerReader *reader, const GptJson *decoder)
{
	const char *type = gpt_reader_type(decoder);
	bool of_letters = !reader->byte_level, once;

	if (strcmp(type, "Sequence") == 0)
	{
		const GptJson *list = gpt_json_field(decoder, "decoders");

		for (const GptJson *step = list ? list->first : NULL; step; step = step->next)
			read_decoder_step(reader, step);
	}
	else if (of_letters && strcmp(type, "Metaspace") == 0)
		reader->spec->strip_space = prepends(decoder, &once);
	else if (of_letters && strcmp(type, "Strip") == 0 && is_string(decoder, "content", " ") &&
			 gpt_json_integer(gpt_json_field(decoder, "start"), 1) >= 0 &&
			 gpt_json_integer(gpt_json_field(decoder, "stop"), 0) == 0)
		reader->spec->strip_space = gpt_json_integer(gpt_json_field(decoder, "start"), 1) == 1;
	else if (!(of_letters && strcmp(type, "Replace") == 0 &&
			   is_string(gpt_json_field(decoder, "pattern"), "String", LM_SPACE_SIGN) &&
			   is_string(decoder, "content", " ")) &&
			 !(of_letters && strcmp(type, "ByteFallback") == 0) && strcmp(type, "Fuse") != 0 &&
			 !(reader->byte_level && strcmp(type, "ByteLevel") == 0))
		gpt_reader_unsupported("decoder \"%s\" of this model", type);
}

/* Whether a field of an object is this string. */
static bool
is_string(const GptJson *object, const char *name, const char *wanted)
{
	const char *text = gpt_json_string(gpt_json_field(object, name));

	return text && strcmp(text, wanted) == 0;
}
