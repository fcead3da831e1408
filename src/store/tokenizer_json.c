/*
 * src/store/tokenizer_json.c
 *
 * tokenizer.json in, the description of a tokenizer out (tokenizer_json.h). Whatever in the file
 * would change the ids of a text is either understood or refused by its name; nothing is skipped
 * silently but what concerns special tokens spelt in a text, which are text here, and how long a
 * text may be.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/json_tree.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_reader.h"

/* a token, and its merge as an array of two; 250 MB */
#define MAX_NODES (4 * LM_MAX_VOCABULARY + 4096)

static void read_file(GptTokenizerReader *reader, const GptJson *root);
static void read_pair(GptTokenizerReader *reader, const GptJson *root);
static const char *model_type(const GptJson *model);
static void read_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void read_characters(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void check_bpe_options(const GptJson *model);
static void read_normalizer(GptTokenizerReader *reader, const GptJson *normalizer);
static void read_pre_tokenizer(GptTokenizerReader *reader, const GptJson *pre_tokenizer);
static bool read_byte_level(const GptJson *byte_level);
static const char *read_split(const GptJson *split);
static void check_decoder(const GptJson *decoder, const char *wanted);
static void read_post_processor(GptTokenizerReader *reader, const GptJson *processor);
static void read_template(GptTokenizerReader *reader, const GptJson *template);
static int32_t template_token(GptTokenizerReader *reader, const GptJson *template,
							  const GptJson *piece);
static void recognise_bytes(GptTokenizerReader *reader);
static const char *type_of(const GptJson *node);

LmTokenizerSpec *
gpt_tokenizer_from_json(const char *json, size_t size)
{
	GptTokenizerReader reader = {palloc0(sizeof(LmTokenizerSpec)), CurrentMemoryContext};
	MemoryContext scratch;
	GptJson *root;

	if (size > GPT_MAX_TOKENIZER_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("tokenizer has %zu bytes, the limit is %d MB", size,
							   GPT_MAX_TOKENIZER_SIZE / (1024 * 1024))));
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer.json", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	root = gpt_json_parse(json, size, MAX_NODES, "tokenizer");
	reader.spec->end_of_text = reader.spec->beginning = reader.spec->unknown = -1;
	if (root->type != GPT_JSON_OBJECT)
		gpt_reader_malformed("It is not a JSON object.");
	if (gpt_json_field(root, "encoder"))
		read_pair(&reader, root);
	else
		read_file(&reader, root);
	MemoryContextSwitchTo(reader.context);
	MemoryContextDelete(scratch);
	return reader.spec;
}

/* Reads the parts in the order of their dependence: the post-processor needs the tokens. */
static void
read_file(GptTokenizerReader *reader, const GptJson *root)
{
	const GptJson *model = gpt_json_field(root, "model");
	const char *type = model_type(model);

	read_normalizer(reader, gpt_json_field(root, "normalizer"));
	if (strcmp(type, "BPE") == 0)
		read_bpe(reader, root, model);
	else if (strcmp(type, "WordLevel") == 0)
		read_characters(reader, root, model);
	else
		gpt_reader_unsupported("model \"%s\"", type);
	reader->spec->end_of_text = gpt_tokenizer_end_by_name(reader->spec);
	read_post_processor(reader, gpt_json_field(root, "post_processor"));
}

/* The two files of GPT-2 as published: encoder.json, and vocab.bpe as text. */
static void
read_pair(GptTokenizerReader *reader, const GptJson *root)
{
	const GptJson *encoder = gpt_json_field(root, "encoder");
	const char *merges = gpt_json_string(gpt_json_field(root, "merges"));
	LmTokenizerSpec *spec = reader->spec;

	if (encoder->type != GPT_JSON_OBJECT || !merges)
		gpt_reader_malformed("Beside the object \"encoder\" it must have the text of vocab.bpe as "
							 "a string \"merges\".");
	for (const GptJson *field = root->first; field; field = field->next)
		if (strcmp(field->name, "encoder") != 0 && strcmp(field->name, "merges") != 0)
			gpt_reader_malformed("It has a field \"%s\" beside \"encoder\" and \"merges\".",
								 field->name);
	spec->kind = LM_TOKENIZER_BPE;
	gpt_reader_allocate(reader, encoder, NULL);
	for (const GptJson *token = encoder->first; token; token = token->next)
		if (strcmp(token->name, LM_END_OF_TEXT) == 0)
			gpt_reader_set_token(reader, gpt_reader_token_id(token, token->name), token->name,
								 (LmBytes){LM_END_OF_TEXT, strlen(LM_END_OF_TEXT)}, true);
	gpt_reader_vocabulary(reader, encoder, true);
	gpt_reader_index(reader);
	gpt_reader_merges_text(reader, merges);
	spec->end_of_text = gpt_tokenizer_end_by_name(spec);
}

/* Early files of BPE do not name the type. */
static const char *
model_type(const GptJson *model)
{
	if (!model || model->type != GPT_JSON_OBJECT)
		gpt_reader_malformed("It has no object \"model\".");
	if (!gpt_json_field(model, "type") && gpt_json_field(model, "merges"))
		return "BPE";
	return type_of(model);
}

/* ------------------------------------------------------------ kinds */

/* A byte-level BPE tokenizer, of the kind that GPT-2 introduced. */
static void
read_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model)
{
	const GptJson *vocabulary = gpt_json_field(model, "vocab");
	const GptJson *added = gpt_json_field(root, "added_tokens");

	reader->spec->kind = LM_TOKENIZER_BPE;
	check_bpe_options(model);
	read_pre_tokenizer(reader, gpt_json_field(root, "pre_tokenizer"));
	check_decoder(gpt_json_field(root, "decoder"), "ByteLevel");
	gpt_reader_allocate(reader, vocabulary, added);
	gpt_reader_added_tokens(reader, added);
	gpt_reader_vocabulary(reader, vocabulary, true);
	gpt_reader_index(reader);
	gpt_reader_merges(reader, gpt_json_field(model, "merges"));
	recognise_bytes(reader);
}

/* Refuses variants of BPE that would encode differently from the engine. */
static void
check_bpe_options(const GptJson *model)
{
	static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
	static const char *const switches[] = {"byte_fallback", "ignore_merges"};
	const GptJson *dropout = gpt_json_field(model, "dropout");

	for (int i = 0; i < lengthof(switches); i++)
	{
		const GptJson *value = gpt_json_field(model, switches[i]);

		if (value && value->type != GPT_JSON_FALSE)
			gpt_reader_unsupported("%s", switches[i]);
	}
	for (int i = 0; i < lengthof(affixes); i++)
	{
		const GptJson *value = gpt_json_field(model, affixes[i]);

		if (value && (value->type != GPT_JSON_STRING || value->text[0] != '\0'))
			gpt_reader_unsupported("%s", affixes[i]);
	}
	if (dropout && (dropout->type != GPT_JSON_NUMBER || atof(dropout->text) != 0))
		gpt_reader_unsupported("dropout");
}

/* WordLevel is accepted only with a split into single characters: the tokenizer "chars". */
static void
read_characters(GptTokenizerReader *reader, const GptJson *root, const GptJson *model)
{
	const GptJson *vocabulary = gpt_json_field(model, "vocab");
	const GptJson *added = gpt_json_field(root, "added_tokens");
	const GptJson *split = gpt_json_field(root, "pre_tokenizer");

	reader->spec->kind = LM_TOKENIZER_CHARS;
	if (!split || strcmp(type_of(split), "Split") != 0 ||
		strcmp(read_split(split), GPT_PATTERN_CHARACTER) != 0)
		gpt_reader_unsupported("model \"WordLevel\" with words of several characters");
	check_decoder(gpt_json_field(root, "decoder"), "Fuse");
	reader->unknown = gpt_json_string(gpt_json_field(model, "unk_token"));
	gpt_reader_allocate(reader, vocabulary, added);
	gpt_reader_added_tokens(reader, added);
	gpt_reader_vocabulary(reader, vocabulary, false);
	gpt_reader_index(reader);
}

/* A vocabulary of nothing but bytes in their order is the tokenizer of bytes. */
static void
recognise_bytes(GptTokenizerReader *reader)
{
	LmTokenizerSpec *spec = reader->spec;

	if (spec->n_merges > 0 || spec->normalize_nfc || spec->n_tokens < 256 || !spec->pattern ||
		strcmp(spec->pattern, GPT_PATTERN_WHOLE) != 0)
		return;
	for (int id = 0; id < spec->n_tokens; id++)
	{
		if (id >= 256 && !spec->special[id])
			return;
		if (id < 256 && (spec->special[id] || spec->tokens[id].size != 1 ||
						 (unsigned char) spec->tokens[id].data[0] != id))
			return;
	}
	spec->kind = LM_TOKENIZER_BYTES;
	spec->pattern = NULL;
}

/* ------------------------------------------------------------ the steps around the model */

/* NFC alone is supported, also inside a sequence. */
static void
read_normalizer(GptTokenizerReader *reader, const GptJson *normalizer)
{
	const char *type;

	if (!normalizer)
		return;
	type = type_of(normalizer);
	if (strcmp(type, "Sequence") == 0)
	{
		const GptJson *list = gpt_json_field(normalizer, "normalizers");

		for (const GptJson *step = list ? list->first : NULL; step; step = step->next)
			read_normalizer(reader, step);
	}
	else if (strcmp(type, "NFC") == 0)
		reader->spec->normalize_nfc = true;
	else
		gpt_reader_unsupported("normalizer \"%s\"", type);
}

/* ByteLevel, alone or in a Sequence after one Split. */
static void
read_pre_tokenizer(GptTokenizerReader *reader, const GptJson *pre_tokenizer)
{
	const GptJson *list, *byte_level = pre_tokenizer;
	const char *pattern = NULL;

	if (!pre_tokenizer)
		gpt_reader_unsupported("a BPE model without the pre_tokenizer \"ByteLevel\"");
	if (strcmp(type_of(pre_tokenizer), "Sequence") == 0)
	{
		list = gpt_json_field(pre_tokenizer, "pretokenizers");
		byte_level = list ? list->first : NULL;
		if (byte_level && strcmp(type_of(byte_level), "Split") == 0)
		{
			pattern = read_split(byte_level);
			byte_level = byte_level->next;
		}
		if (!byte_level)
			gpt_reader_unsupported("a BPE model without the pre_tokenizer \"ByteLevel\"");
		if (byte_level->next)
			gpt_reader_unsupported("pre_tokenizer \"Sequence\" of \"%s\" and \"%s\"",
								   type_of(byte_level), type_of(byte_level->next));
	}
	if (read_byte_level(byte_level))
	{
		if (pattern)
			gpt_reader_unsupported("pre_tokenizer \"ByteLevel\" with use_regex after a \"Split\"");
		return;
	}
	if (!pattern)
		pattern = GPT_PATTERN_WHOLE;
	if (strcmp(pattern, lm_gpt2_pattern) != 0)
		reader->spec->pattern = MemoryContextStrdup(reader->context, pattern);
}

/* Whether it splits by GPT-2's pattern. */
static bool
read_byte_level(const GptJson *byte_level)
{
	const GptJson *prefix, *regex;

	if (strcmp(type_of(byte_level), "ByteLevel") != 0)
		gpt_reader_unsupported("pre_tokenizer \"%s\"", type_of(byte_level));
	prefix = gpt_json_field(byte_level, "add_prefix_space");
	regex = gpt_json_field(byte_level, "use_regex");
	if (!prefix || prefix->type != GPT_JSON_FALSE)
		gpt_reader_unsupported("add_prefix_space");
	return !regex || regex->type == GPT_JSON_TRUE;
}

/* The regular expression of a "Split" whose matches are isolated; other behaviours are refused. */
static const char *
read_split(const GptJson *split)
{
	const char *pattern =
		gpt_json_string(gpt_json_field(gpt_json_field(split, "pattern"), "Regex"));
	const char *behavior = gpt_json_string(gpt_json_field(split, "behavior"));
	const GptJson *invert = gpt_json_field(split, "invert");

	if (!pattern)
		gpt_reader_unsupported("pre_tokenizer \"Split\" without a regular expression");
	if (!behavior || strcmp(behavior, "Isolated") != 0 ||
		(invert && invert->type != GPT_JSON_FALSE))
		gpt_reader_unsupported("pre_tokenizer \"Split\" with the behavior \"%s\"%s",
							   behavior ? behavior : "",
							   invert && invert->type != GPT_JSON_FALSE ? ", inverted" : "");
	return pattern;
}

static void
check_decoder(const GptJson *decoder, const char *wanted)
{
	if (decoder && strcmp(type_of(decoder), wanted) != 0)
		gpt_reader_unsupported("decoder \"%s\" of this model", type_of(decoder));
}

/*
 * A template may add a BOS or an end token; ByteLevel changes offsets only, which nobody reads
 * here.
 */
static void
read_post_processor(GptTokenizerReader *reader, const GptJson *processor)
{
	const char *type;

	if (!processor)
		return;
	type = type_of(processor);
	if (strcmp(type, "Sequence") == 0)
	{
		const GptJson *list = gpt_json_field(processor, "processors");

		for (const GptJson *step = list ? list->first : NULL; step; step = step->next)
			read_post_processor(reader, step);
	}
	else if (strcmp(type, "TemplateProcessing") == 0)
		read_template(reader, processor);
	else if (strcmp(type, "ByteLevel") != 0)
		gpt_reader_unsupported("post_processor \"%s\"", type);
}

/* [beginning] text [end], for a single text. */
static void
read_template(GptTokenizerReader *reader, const GptJson *template)
{
	const GptJson *single = gpt_json_field(template, "single");
	bool in_front = true;
	int n_front = 0, n_behind = 0;

	if (!single || single->type != GPT_JSON_ARRAY)
		gpt_reader_malformed("Its post_processor \"TemplateProcessing\" has no array \"single\".");
	for (const GptJson *piece = single->first; piece; piece = piece->next)
	{
		if (gpt_json_field(piece, "Sequence"))
		{
			if (!in_front)
				gpt_reader_unsupported(
					"post_processor \"TemplateProcessing\" that repeats the text");
			in_front = false;
		}
		else if (in_front)
		{
			reader->spec->beginning = template_token(reader, template, piece);
			n_front++;
		}
		else
		{
			reader->spec->end_of_text = template_token(reader, template, piece);
			n_behind++;
		}
		/* Stops early: template_token searches all tokens of the template for each piece. */
		if (n_front > 1 || n_behind > 1)
			break;
	}
	if (in_front || n_front > 1 || n_behind > 1)
		gpt_reader_unsupported(
			"post_processor \"TemplateProcessing\" with more than one token on a side of the text");
}

/* The id of a special token that the template names. */
static int32_t
template_token(GptTokenizerReader *reader, const GptJson *template, const GptJson *piece)
{
	const char *name = gpt_json_string(gpt_json_field(gpt_json_field(piece, "SpecialToken"), "id"));
	const GptJson *entry, *ids;
	int id;

	if (!name)
		gpt_reader_malformed("A piece of its post_processor \"TemplateProcessing\" is neither a "
							 "text nor a special token.");
	entry = gpt_json_field(gpt_json_field(template, "special_tokens"), name);
	ids = gpt_json_field(entry, "ids");
	id = ids && ids->count == 1 ? gpt_json_integer(ids->first, reader->spec->n_tokens - 1) : -1;
	if (id < 0 || !reader->spec->special[id])
		gpt_reader_malformed("The token \"%s\" of its post_processor \"TemplateProcessing\" is not "
							 "one special token.",
							 name);
	return id;
}

int32_t
gpt_tokenizer_end_by_name(const LmTokenizerSpec *spec)
{
	/* GPT-2 and its kin; Llama 3; Llama, Mistral; Gemma; WordLevel of tutorials */
	static const char *const names[] = {LM_END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>",
										"[EOS]"};

	for (int i = 0; i < lengthof(names); i++)
		for (int id = 0; id < spec->n_tokens; id++)
			if (spec->special[id] && spec->tokens[id].size == strlen(names[i]) &&
				memcmp(spec->tokens[id].data, names[i], spec->tokens[id].size) == 0)
				return id;
	return -1;
}

static const char *
type_of(const GptJson *node)
{
	const char *type = gpt_json_string(gpt_json_field(node, "type"));

	if (!type)
		gpt_reader_malformed("An object that must have a \"type\" has none.");
	return type;
}
