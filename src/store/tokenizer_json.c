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

#include "store/tokenizer_json.h"
#include "store/tokenizer_steps.h"

/* a token, and its merge as an array of two; 250 MB */
#define MAX_NODES (4 * LM_MAX_VOCABULARY + 4096)

static void read_file(GptTokenizerReader *reader, const GptJson *root);
static const char *model_type(const GptJson *model);
static void read_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void read_bytes_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void read_letters_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void read_unigram(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void read_characters(GptTokenizerReader *reader, const GptJson *root, const GptJson *model);
static void check_bpe_options(const GptJson *model);
static void recognise_bytes(GptTokenizerReader *reader);

LmTokenizerSpec *
gpt_tokenizer_from_json(const char *json, size_t size)
{
	GptTokenizerReader reader;
	MemoryContext scratch;
	GptJson *root;

	if (size > GPT_MAX_TOKENIZER_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("tokenizer has %zu bytes, the limit is %d MB", size,
							   GPT_MAX_TOKENIZER_SIZE / (1024 * 1024))));
	gpt_reader_begin(&reader);
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer.json", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	root = gpt_json_parse(json, size, MAX_NODES, "tokenizer");
	if (root->type != GPT_JSON_OBJECT)
		gpt_reader_malformed("It is not a JSON object.");
	if (gpt_reader_is_vocabulary(root))
		gpt_reader_letters(&reader, root);
	else if (gpt_json_field(root, "encoder"))
		gpt_reader_pair(&reader, root);
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

	gpt_reader_normalizer(reader, gpt_json_field(root, "normalizer"));
	if (strcmp(type, "BPE") == 0)
		read_bpe(reader, root, model);
	else if (strcmp(type, "Unigram") == 0)
		read_unigram(reader, root, model);
	else if (strcmp(type, "WordLevel") == 0)
		read_characters(reader, root, model);
	else
		gpt_reader_unsupported("model \"%s\"", type);
	reader->spec->end_of_text = gpt_tokenizer_end_by_name(reader->spec);
	gpt_reader_post_processor(reader, gpt_json_field(root, "post_processor"));
}

/* Early files of BPE do not name the type. */
static const char *
model_type(const GptJson *model)
{
	if (!model || model->type != GPT_JSON_OBJECT)
		gpt_reader_malformed("It has no object \"model\".");
	if (!gpt_json_field(model, "type") && gpt_json_field(model, "merges"))
		return "BPE";
	return gpt_reader_type(model);
}

/* ------------------------------------------------------------ kinds */

/* BPE of bytes where a step is ByteLevel, else of characters. */
static void
read_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model)
{
	const GptJson *added = gpt_json_field(root, "added_tokens");

	check_bpe_options(model);
	gpt_reader_pre_tokenizer(reader, gpt_json_field(root, "pre_tokenizer"));
	if (reader->byte_level)
		read_bytes_bpe(reader, root, model);
	else
		read_letters_bpe(reader, root, model);
	gpt_reader_allocate(reader, gpt_json_field(model, "vocab"), added);
	gpt_reader_added_tokens(reader, added);
	gpt_reader_vocabulary(reader, gpt_json_field(model, "vocab"));
	gpt_reader_index(reader);
	gpt_reader_merges(reader, gpt_json_field(model, "merges"));
	recognise_bytes(reader);
}

/* A byte-level BPE tokenizer, of the kind that GPT-2 introduced. */
static void
read_bytes_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model)
{
	reader->spec->kind = LM_TOKENIZER_BPE;
	reader->spelling = GPT_SPELLED_LETTERS;
	reader->spec->ignore_merges = gpt_reader_switch(model, "ignore_merges", false);
	if (gpt_reader_switch(model, "byte_fallback", false))
		gpt_reader_unsupported("byte_fallback");
	gpt_reader_decoder(reader, gpt_json_field(root, "decoder"));
}

/* BPE of characters, of the kind that SentencePiece makes. */
static void
read_letters_bpe(GptTokenizerReader *reader, const GptJson *root, const GptJson *model)
{
	LmTokenizerSpec *spec = reader->spec;

	spec->kind = LM_TOKENIZER_SENTENCEPIECE;
	reader->spelling = spec->space_sign ? GPT_SPELLED_SIGNS : GPT_SPELLED_PLAIN;
	reader->byte_fallback = gpt_reader_switch(model, "byte_fallback", false);
	reader->unknown = gpt_json_string(gpt_json_field(model, "unk_token"));
	spec->fuse_unknown = gpt_reader_switch(model, "fuse_unk", false);
	if (gpt_reader_switch(model, "ignore_merges", false))
		gpt_reader_unsupported("ignore_merges of a model of characters");
	gpt_reader_decoder(reader, gpt_json_field(root, "decoder"));
}

/* The unigram model of SentencePiece. */
static void
read_unigram(GptTokenizerReader *reader, const GptJson *root, const GptJson *model)
{
	const GptJson *vocabulary = gpt_json_field(model, "vocab");
	const GptJson *added = gpt_json_field(root, "added_tokens");
	LmTokenizerSpec *spec = reader->spec;
	const GptJson *unknown = gpt_json_field(model, "unk_id");

	gpt_reader_pre_tokenizer(reader, gpt_json_field(root, "pre_tokenizer"));
	if (reader->byte_level)
		gpt_reader_unsupported("pre_tokenizer \"ByteLevel\" of the model \"Unigram\"");
	spec->kind = LM_TOKENIZER_UNIGRAM;
	spec->fuse_unknown = true;
	/* gpt's own field: the file was a tokenizer.model of SentencePiece. */
	spec->single_precision = gpt_reader_switch(model, "single_precision", false);
	reader->spelling = spec->space_sign ? GPT_SPELLED_SIGNS : GPT_SPELLED_PLAIN;
	reader->byte_fallback = gpt_reader_switch(model, "byte_fallback", false);
	gpt_reader_decoder(reader, gpt_json_field(root, "decoder"));
	gpt_reader_scores(reader, vocabulary, added, unknown);
	gpt_reader_index(reader);
}

/* Refuses variants of BPE that would encode differently from the engine. */
static void
check_bpe_options(const GptJson *model)
{
	static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
	const GptJson *dropout = gpt_json_field(model, "dropout");

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
	const GptJson *decoder = gpt_json_field(root, "decoder");

	reader->spec->kind = LM_TOKENIZER_CHARS;
	reader->spelling = GPT_SPELLED_PLAIN;
	if (!split || strcmp(gpt_reader_type(split), "Split") != 0 ||
		strcmp(gpt_reader_split(split), GPT_PATTERN_CHARACTER) != 0 || reader->spec->space_sign)
		gpt_reader_unsupported("model \"WordLevel\" with words of several characters");
	if (decoder && strcmp(gpt_reader_type(decoder), "Fuse") != 0)
		gpt_reader_unsupported("decoder \"%s\" of this model", gpt_reader_type(decoder));
	reader->unknown = gpt_json_string(gpt_json_field(model, "unk_token"));
	gpt_reader_allocate(reader, vocabulary, added);
	gpt_reader_added_tokens(reader, added);
	gpt_reader_vocabulary(reader, vocabulary);
	gpt_reader_index(reader);
}

/* A vocabulary of nothing but bytes in their order is the tokenizer of bytes. */
static void
recognise_bytes(GptTokenizerReader *reader)
{
	LmTokenizerSpec *spec = reader->spec;

	if (spec->kind != LM_TOKENIZER_BPE || spec->n_merges > 0 || spec->normalize_nfc ||
		spec->normalize_nfkc || spec->charsmap.size > 0 || spec->collapse_spaces ||
		spec->further[0] || spec->prefix != LM_PREFIX_NONE || spec->n_tokens < 256 ||
		!spec->pattern || strcmp(spec->pattern, GPT_PATTERN_WHOLE) != 0)
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
