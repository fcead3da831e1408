/*
 * src/tokenizer_json.c
 *
 * The text of a tokenizer.json goes in, the description of a tokenizer comes out.
 *
 *   1. the server parses the JSON;
 *   2. the parts around the model tell the kind, or name what the engine does not do;
 *   3. vocabulary and added tokens become tokens by id;
 *   4. merges become pairs of ids, found by name.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "tokenizer_json.h"

/* Names of tokens as they stand in the file, for merges: open addressing, id + 1. */
typedef struct Names
{
	uint32 mask;
	int32 *slots;
	const LmBytes *names; /* by id */
} Names;

static LmTokenizerSpec *read_encoder(JsonbContainer *top);
static void read_normalizer(LmTokenizerSpec *spec, JsonbContainer *top);
static void read_pre_tokenizer(LmTokenizerSpec *spec, JsonbContainer *top);
static void read_post_processor(JsonbContainer *top);
static void read_model_type(LmTokenizerSpec *spec, JsonbContainer *model);
static LmBytes *read_tokens(LmTokenizerSpec *spec, JsonbContainer *vocabulary, JsonbContainer *added);
static void read_merges(LmTokenizerSpec *spec, JsonbContainer *merges, const LmBytes *names);
static void find_special_ids(LmTokenizerSpec *spec);
static void tell_bytes_from_bpe(LmTokenizerSpec *spec);

/* ---- Values ---------------------------------------------------------------------------------------- */

static void
malformed(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("tokenizer is malformed: %s", what)));
}

static void
not_supported(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("tokenizer has %s, which is not supported", what),
			 errhint("Supported are byte-level BPE as in GPT-2, and what gpt_train makes.")));
}

/* The value of a key, NULL where it is missing or null. */
static JsonbValue *
member(JsonbContainer *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, (int) strlen(key), NULL);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

static JsonbContainer *
container(JsonbContainer *object, const char *key, bool array)
{
	JsonbValue *value = member(object, key);

	if (value == NULL)
		return NULL;
	if (value->type != jbvBinary || (array ? !JsonContainerIsArray(value->val.binary.data) : !JsonContainerIsObject(value->val.binary.data)))
		malformed(psprintf("\"%s\" is no %s", key, array ? "array" : "object"));
	return value->val.binary.data;
}

static bool
is_string(JsonbContainer *object, const char *key, const char *wanted)
{
	JsonbValue *value = member(object, key);

	return value != NULL && value->type == jbvString && value->val.string.len == (int) strlen(wanted) &&
		   memcmp(value->val.string.val, wanted, value->val.string.len) == 0;
}

static bool
flag(JsonbContainer *object, const char *key, bool missing)
{
	JsonbValue *value = member(object, key);

	if (value == NULL)
		return missing;
	if (value->type != jbvBool)
		malformed(psprintf("\"%s\" is neither true nor false", key));
	return value->val.boolean;
}

static int32
id_of(const JsonbValue *value)
{
	bool failed = true;
	int32 id = -1;

	if (value != NULL && value->type == jbvNumeric)
		id = numeric_int4_opt_error(value->val.numeric, &failed);
	if (failed || id < 0)
		malformed("an id is no integer from 0 on");
	if (id >= LM_MAX_VOCABULARY)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("tokenizer has id %d, the limit is %d", id, LM_MAX_VOCABULARY - 1)));
	return id;
}

static LmBytes
copy_string(const JsonbValue *value)
{
	LmBytes bytes = {pnstrdup(value->val.string.val, value->val.string.len), value->val.string.len};

	return bytes;
}

/* ---- The file -------------------------------------------------------------------------------------- */

LmTokenizerSpec *
gpt_tokenizer_from_json(const char *json, size_t size)
{
	LmTokenizerSpec *spec;
	JsonbContainer *top, *model, *vocabulary, *merges;
	LmBytes *names;
	Jsonb *parsed;

	if (size > GPT_TOKENIZER_JSON_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("tokenizer has %zu MB, the limit is %d MB", size >> 20, GPT_TOKENIZER_JSON_MAX >> 20)));
	parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json, size))));
	top = &parsed->root;
	if (!JsonContainerIsObject(top))
		malformed("it is no JSON object");
	if (member(top, "encoder") != NULL)
		return read_encoder(top);
	model = container(top, "model", false);
	if (model == NULL)
		malformed("it has no \"model\"");
	vocabulary = container(model, "vocab", false);
	if (vocabulary == NULL)
		malformed("its model has no \"vocab\"");

	spec = palloc0(sizeof(LmTokenizerSpec));
	read_model_type(spec, model);
	read_normalizer(spec, top);
	read_pre_tokenizer(spec, top);
	read_post_processor(top);
	names = read_tokens(spec, vocabulary, container(top, "added_tokens", true));
	merges = spec->kind == LM_TOKENIZER_CHARS ? NULL : container(model, "merges", true);
	if (merges != NULL)
		read_merges(spec, merges, names);
	tell_bytes_from_bpe(spec);
	find_special_ids(spec);
	return spec;
}

static void
read_model_type(LmTokenizerSpec *spec, JsonbContainer *model)
{
	static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};

	if (is_string(model, "type", "WordLevel"))
	{
		spec->kind = LM_TOKENIZER_CHARS;
		if (!is_string(model, "unk_token", LM_UNKNOWN))
			not_supported("a model of words");
		return;
	}

	/* Files of 2020 and before have no type; merges then tell BPE. */
	if (member(model, "type") != NULL ? !is_string(model, "type", "BPE") : member(model, "merges") == NULL)
		not_supported("a model other than BPE");
	spec->kind = LM_TOKENIZER_BPE;
	if (member(model, "dropout") != NULL)
		not_supported("dropout of merges");
	if (member(model, "unk_token") != NULL && flag(model, "byte_fallback", false))
		not_supported("byte fallback (SentencePiece)");
	if (flag(model, "byte_fallback", false))
		not_supported("byte fallback");
	if (flag(model, "ignore_merges", false))
		not_supported("\"ignore_merges\"");
	for (int i = 0; i < lengthof(affixes); i++)
	{
		if (member(model, affixes[i]) != NULL && !is_string(model, affixes[i], ""))
			not_supported(psprintf("\"%s\"", affixes[i]));
	}
}

static void
read_normalizer(LmTokenizerSpec *spec, JsonbContainer *top)
{
	JsonbContainer *normalizer = container(top, "normalizer", false);

	if (normalizer == NULL)
		return;
	if (!is_string(normalizer, "type", "NFC"))
		not_supported("a normalizer other than NFC");
	spec->normalize_nfc = true;
}

static bool
read_byte_level(JsonbContainer *step)
{
	if (!is_string(step, "type", "ByteLevel"))
		not_supported("a pre-tokenizer other than ByteLevel");
	if (flag(step, "add_prefix_space", true))
		not_supported("\"add_prefix_space\"");
	return flag(step, "use_regex", true);
}

static char *
read_split(JsonbContainer *step)
{
	JsonbContainer *pattern = container(step, "pattern", false);
	JsonbValue *expression = pattern ? member(pattern, "Regex") : NULL;

	if (!is_string(step, "type", "Split") || expression == NULL || expression->type != jbvString)
		not_supported("a pre-tokenizer other than ByteLevel and a split by a regular expression");
	if (!is_string(step, "behavior", "Isolated") || flag(step, "invert", false))
		not_supported("a split that does not isolate");
	return (char *) copy_string(expression).data;
}

static void
read_pre_tokenizer(LmTokenizerSpec *spec, JsonbContainer *top)
{
	JsonbContainer *step = container(top, "pre_tokenizer", false);
	JsonbContainer *steps;
	JsonbValue *first, *second;

	if (step == NULL)
		not_supported("no pre-tokenizer");
	if (spec->kind == LM_TOKENIZER_CHARS)
	{
		if (strcmp(read_split(step), "[\\s\\S]") != 0)
			not_supported("a model of words");
		return;
	}
	if (!is_string(step, "type", "Sequence"))
	{
		/* Without the expression the text is one piece: only without merges does the engine do that. */
		if (!read_byte_level(step))
			spec->kind = LM_TOKENIZER_BYTES;
		return;
	}
	steps = container(step, "pretokenizers", true);
	if (steps == NULL || JsonContainerSize(steps) != 2)
		not_supported("a sequence of pre-tokenizers other than a split and ByteLevel");
	first = getIthJsonbValueFromContainer(steps, 0);
	second = getIthJsonbValueFromContainer(steps, 1);
	if (first->type != jbvBinary || second->type != jbvBinary)
		malformed("a pre-tokenizer is no object");
	spec->pattern = read_split(first->val.binary.data);
	if (read_byte_level(second->val.binary.data))
		not_supported("two splits");
}

static void
read_post_processor(JsonbContainer *top)
{
	JsonbContainer *processor = container(top, "post_processor", false);

	if (processor != NULL && !is_string(processor, "type", "ByteLevel") && !is_string(processor, "type", "TemplateProcessing"))
		not_supported("a post-processor other than ByteLevel and TemplateProcessing");
}

/* OpenAI's pair of files. */
static LmTokenizerSpec *
read_encoder(JsonbContainer *top)
{
	LmTokenizerSpec *spec = palloc0(sizeof(LmTokenizerSpec));
	JsonbContainer *vocabulary = container(top, "encoder", false);
	JsonbValue *text = member(top, "merges");
	JsonbParseState *state = NULL;
	JsonbValue *array;
	char *line, *rest;
	LmBytes *names;

	if (text == NULL || text->type != jbvString)
		malformed("\"merges\" beside \"encoder\" is no text");
	spec->kind = LM_TOKENIZER_BPE;
	names = read_tokens(spec, vocabulary, NULL);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	rest = (char *) copy_string(text).data;
	while ((line = strsep(&rest, "\n")) != NULL)
	{
		JsonbValue value = {.type = jbvString, .val.string = {(int) strlen(line), line}};

		if (line[0] != '\0' && strncmp(line, "#version", 8) != 0)
			pushJsonbValue(&state, WJB_ELEM, &value);
	}
	array = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	read_merges(spec, &JsonbValueToJsonb(array)->root, names);
	find_special_ids(spec);
	return spec;
}

/* ---- Tokens ---------------------------------------------------------------------------------------- */

/* From letters to bytes, in place of a copy; false where a code point is no letter. */
static bool
decode_letters(LmBytes *bytes, LmBytes letters)
{
	char *out = palloc(letters.size + 1);
	size_t size = 0;

	for (size_t i = 0; i < letters.size; i += pg_utf_mblen((const unsigned char *) letters.data + i))
	{
		int byte = gpt_letter_to_byte((int) utf8_to_unicode((const unsigned char *) letters.data + i));

		if (byte < 0)
			return false;
		out[size++] = (char) byte;
	}
	*bytes = (LmBytes){out, size};
	return true;
}

static int
count_ids(JsonbContainer *vocabulary, JsonbContainer *added)
{
	int64 n = (int64) JsonContainerSize(vocabulary) + (added ? (int64) JsonContainerSize(added) : 0);

	return (int) Min(n, LM_MAX_VOCABULARY);
}

static void
place_token(LmTokenizerSpec *spec, LmBytes *names, int n, int32 id, LmBytes name)
{
	if (id >= n)
		malformed(psprintf("id %d is beyond the number of tokens", id));
	if (names[id].data != NULL && (names[id].size != name.size || memcmp(names[id].data, name.data, name.size) != 0))
		malformed(psprintf("id %d is given twice", id));
	names[id] = name;
	spec->n_tokens = Max(spec->n_tokens, id + 1);
}

static void
read_vocabulary(LmTokenizerSpec *spec, LmBytes *names, int n, JsonbContainer *vocabulary)
{
	JsonbIterator *iterator = JsonbIteratorInit(vocabulary);
	JsonbIteratorToken token;
	JsonbValue value;
	LmBytes name = {NULL, 0};

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			name = copy_string(&value);
		else if (token == WJB_VALUE)
			place_token(spec, names, n, id_of(&value), name);
	}
}

static void
read_added(LmTokenizerSpec *spec, LmBytes *names, int n, JsonbContainer *added)
{
	JsonbIterator *iterator = JsonbIteratorInit(added);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		JsonbValue *content;
		int32 id;

		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			malformed("an added token is no object");
		content = member(value.val.binary.data, "content");
		if (content == NULL || content->type != jbvString)
			malformed("an added token has no \"content\"");
		if (!flag(value.val.binary.data, "special", false))
			not_supported("an added token that is not special");
		id = id_of(member(value.val.binary.data, "id"));
		place_token(spec, names, n, id, copy_string(content));
		spec->special[id] = true;
	}
}

/* Fills tokens and special; returns the names by id, as they stand in the file. */
static LmBytes *
read_tokens(LmTokenizerSpec *spec, JsonbContainer *vocabulary, JsonbContainer *added)
{
	int n = count_ids(vocabulary, added);
	LmBytes *names = palloc0((n + 1) * sizeof(LmBytes));

	spec->special = palloc0((n + 1) * sizeof(bool));
	spec->tokens = palloc0((n + 1) * sizeof(LmBytes));
	read_vocabulary(spec, names, n, vocabulary);
	if (added != NULL)
		read_added(spec, names, n, added);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		CHECK_FOR_INTERRUPTS();
		if (names[id].data == NULL)
			malformed(psprintf("id %d has no token", id));
		if (strncmp(names[id].data, LM_END_OF_TEXT, names[id].size + 1) == 0)
			spec->special[id] = true;
		if (spec->special[id] || spec->kind == LM_TOKENIZER_CHARS)
			spec->tokens[id] = names[id];
		else if (!decode_letters(&spec->tokens[id], names[id]))
			not_supported("tokens that are not in the alphabet of ByteLevel");
	}
	return names;
}

static void
find_special_ids(LmTokenizerSpec *spec)
{
	spec->end_of_text = spec->beginning = spec->unknown = -1;
	for (int id = 0; id < spec->n_tokens; id++)
	{
		const char *name = spec->tokens[id].data;

		if (!spec->special[id])
			continue;
		if (strcmp(name, LM_END_OF_TEXT) == 0 || (spec->end_of_text < 0 && strcmp(name, "<|end_of_text|>") == 0))
			spec->end_of_text = id;
		else if (strcmp(name, "<|begin_of_text|>") == 0)
			spec->beginning = id;
		else if (spec->kind == LM_TOKENIZER_CHARS && strcmp(name, LM_UNKNOWN) == 0)
			spec->unknown = id;
	}
}

static void
tell_bytes_from_bpe(LmTokenizerSpec *spec)
{
	if (spec->kind != LM_TOKENIZER_BYTES)
		return;
	if (spec->n_merges > 0 || spec->n_tokens < 256)
		not_supported("byte-level BPE without a split");
	for (int id = 0; id < 256; id++)
	{
		if (spec->special[id] || spec->tokens[id].size != 1 || (unsigned char) spec->tokens[id].data[0] != id)
			not_supported("bytes in another order than their values");
	}
}

/* ---- Merges ---------------------------------------------------------------------------------------- */

static uint32
hash_name(LmBytes name)
{
	return hash_bytes((const unsigned char *) name.data, (int) name.size);
}

static void
index_names(Names *index, const LmTokenizerSpec *spec, const LmBytes *names)
{
	index->mask = 1023;
	while (index->mask < 2 * (uint32) spec->n_tokens)
		index->mask = 2 * index->mask + 1;
	index->slots = palloc0((index->mask + 1) * sizeof(int32));
	index->names = names;
	for (int id = 0; id < spec->n_tokens; id++)
	{
		uint32 slot = hash_name(names[id]) & index->mask;

		while (index->slots[slot] != 0)
			slot = (slot + 1) & index->mask;
		index->slots[slot] = id + 1;
	}
}

static int32
find_name(const Names *index, LmBytes name)
{
	uint32 slot = hash_name(name) & index->mask;

	for (; index->slots[slot] != 0; slot = (slot + 1) & index->mask)
	{
		const LmBytes *other = &index->names[index->slots[slot] - 1];

		if (other->size == name.size && memcmp(other->data, name.data, name.size) == 0)
			return index->slots[slot] - 1;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("tokenizer is malformed: a merge speaks of \"%s\", which is no token", pnstrdup(name.data, Min(name.size, 100)))));
}

/* "left right", or ["left", "right"] */
static void
parts_of_merge(LmBytes *left, LmBytes *right, const JsonbValue *value)
{
	if (value->type == jbvString)
	{
		const char *space = memchr(value->val.string.val, ' ', value->val.string.len);

		if (space == NULL)
			malformed("a merge has no space");
		*left = (LmBytes){value->val.string.val, space - value->val.string.val};
		*right = (LmBytes){space + 1, value->val.string.len - left->size - 1};
	}
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) && JsonContainerSize(value->val.binary.data) == 2)
	{
		JsonbValue *first = getIthJsonbValueFromContainer(value->val.binary.data, 0);
		JsonbValue *second = getIthJsonbValueFromContainer(value->val.binary.data, 1);

		if (first->type != jbvString || second->type != jbvString)
			malformed("a merge is no pair of texts");
		*left = copy_string(first);
		*right = copy_string(second);
	}
	else
		malformed("a merge is neither a text nor a pair");
}

static void
read_merges(LmTokenizerSpec *spec, JsonbContainer *merges, const LmBytes *names)
{
	JsonbIterator *iterator = JsonbIteratorInit(merges);
	JsonbIteratorToken token;
	JsonbValue value;
	StringInfoData joined;
	Names index;

	index_names(&index, spec, names);
	initStringInfo(&joined);
	spec->merges = MemoryContextAllocHuge(CurrentMemoryContext, (JsonContainerSize(merges) + 1) * sizeof(LmMerge));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		LmMerge *merge = &spec->merges[spec->n_merges];
		LmBytes left, right;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		parts_of_merge(&left, &right, &value);
		resetStringInfo(&joined);
		appendBinaryStringInfo(&joined, left.data, (int) left.size);
		appendBinaryStringInfo(&joined, right.data, (int) right.size);
		merge->left = find_name(&index, left);
		merge->right = find_name(&index, right);
		merge->result = find_name(&index, (LmBytes){joined.data, joined.len});
		spec->n_merges++;
	}
}
