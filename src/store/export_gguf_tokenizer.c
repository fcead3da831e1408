/*
 * src/store/export_gguf_tokenizer.c
 *
 * A tokenizer goes in, the keys by which llama.cpp has it come out. Keys and numbers of token
 * types: https://github.com/ggml-org/llama.cpp, gguf-py/gguf/constants.py.
 *
 *   BPE, bytes               "gpt2", tokens in the letters of ByteLevel, merges in order of rank
 *   SentencePiece's, chars   "llama": merges where the score of the result is highest
 *   unigram                  "t5"
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "store/export_gguf.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"
#include "store/tokenizer_split.h"

/* Types of tokens in GGUF. */
enum
{
	TYPE_NORMAL = 1,
	TYPE_UNKNOWN = 2,
	TYPE_CONTROL = 3,
	TYPE_USER_DEFINED = 4,
	TYPE_BYTE = 6,
};

static const char *const split_names[] = {"gpt-2",	"llama-bpe",	  "qwen2",	"gpt-4o",
										  "smollm", "deepseek-coder", "tekken", "deepseek-v3"};

/* The kinds of tokenizers that llama.cpp has. */
typedef enum Model
{
	MODEL_GPT2,
	MODEL_LLAMA,
	MODEL_T5,
} Model;

static const char *const model_names[] = {"gpt2", "llama", "t5"};

static Model model_of(const LmTokenizerSpec *spec);
static const char *split_of(const LmTokenizerSpec *spec);
static void write_tokens(GptGgufOutput *output, const LmTokenizerSpec *spec);
static void append_token(StringInfo text, const LmTokenizerSpec *spec, int id);
static int type_of(const LmTokenizerSpec *spec, int id);
static void write_scores(GptGgufOutput *output, const LmTokenizerSpec *spec);
static void write_merges(GptGgufOutput *output, const LmTokenizerSpec *spec);
static int write_ids(GptGgufOutput *output, const LmTokenizerSpec *spec);

int
gpt_gguf_tokenizer(GptGgufOutput *output, const LmTokenizerSpec *spec)
{
	Model model = model_of(spec);
	const char *split = split_of(spec);
	LmGgufWriter *writer = output != NULL ? &output->writer : NULL;

	if (output != NULL)
	{
		lm_gguf_write_string(writer, "tokenizer.ggml.model", model_names[model],
							 strlen(model_names[model]));
		lm_gguf_write_string(writer, "tokenizer.ggml.pre", split, strlen(split));
		write_tokens(output, spec);
		lm_gguf_write_array(writer, "tokenizer.ggml.token_type", LM_GGUF_I32, spec->n_tokens);
		for (int id = 0; id < spec->n_tokens; id++)
		{
			lm_gguf_write_integer_item(writer, type_of(spec, id));
			gpt_gguf_flush(output);
		}
		if (model == MODEL_GPT2)
			write_merges(output, spec);
		else
			write_scores(output, spec);
		lm_gguf_write_integer(writer, "tokenizer.ggml.add_space_prefix", LM_GGUF_BOOL,
							  spec->prefix != LM_PREFIX_NONE);
		/* A model sees the token at the beginning of a text in training, too. */
		lm_gguf_write_integer(writer, "tokenizer.ggml.add_bos_token", LM_GGUF_BOOL,
							  spec->beginning >= 0 || spec->end_of_text >= 0);
	}
	return 7 + write_ids(output, spec);
}

static Model
model_of(const LmTokenizerSpec *spec)
{
	const char *missing = NULL;

	if (spec->charsmap.size > 0 || spec->collapse_spaces)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("GGUF files with SentencePiece's table of characters are not "
							   "supported"),
						errhint("Export as \"safetensors\".")));
	if (spec->normalize_nfkc)
		missing = "normalisation to NFKC";
	if (missing != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("GGUF cannot have the tokenizer of the model"),
						errdetail("llama.cpp does not have %s.", missing),
						errhint("Export as \"safetensors\".")));
	switch (spec->kind)
	{
		case LM_TOKENIZER_BPE:
		case LM_TOKENIZER_BYTES:
			return MODEL_GPT2;
		case LM_TOKENIZER_CHARS:
		case LM_TOKENIZER_SENTENCEPIECE:
			return MODEL_LLAMA;
		case LM_TOKENIZER_UNIGRAM:
			break;
	}
	return MODEL_T5;
}

/* llama.cpp's name of the split. */
static const char *
split_of(const LmTokenizerSpec *spec)
{
	const char *patterns[LM_MAX_PATTERNS + 1] = {spec->pattern ? spec->pattern : lm_gpt2_pattern};

	if (spec->kind == LM_TOKENIZER_BYTES || (spec->kind == LM_TOKENIZER_BPE && spec->n_merges == 0))
		return "gpt-2"; /* without merges any will do */
	if (spec->kind != LM_TOKENIZER_BPE)
		return "default";
	for (int i = 0; i < LM_MAX_PATTERNS - 1; i++)
		patterns[i + 1] = spec->further[i];
	for (int i = 0; i < lengthof(split_names); i++)
	{
		const char **known = gpt_tokenizer_split(split_names[i]);
		int n = 0;

		while (known[n] != NULL && patterns[n] != NULL && strcmp(known[n], patterns[n]) == 0)
			n++;
		if (known[n] == NULL && patterns[n] == NULL)
			return split_names[i];
	}
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("GGUF cannot have the tokenizer of the model"),
					errdetail("llama.cpp has no name for the split \"%s\".", patterns[0]),
					errhint("Export as \"safetensors\".")));
	pg_unreachable();
}

static void
write_tokens(GptGgufOutput *output, const LmTokenizerSpec *spec)
{
	StringInfoData text;

	initStringInfo(&text);
	lm_gguf_write_array(&output->writer, "tokenizer.ggml.tokens", LM_GGUF_STRING, spec->n_tokens);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		append_token(&text, spec, id);
		lm_gguf_write_string_item(&output->writer, text.data, text.len);
		gpt_gguf_flush(output);
	}
	pfree(text.data);
}

static bool
is_added(const LmTokenizerSpec *spec, int id)
{
	/* Tokens that signs of spaces spell are found in other texts here, so that merges make them. */
	return spec->special[id] ||
		   (spec->flags != NULL &&
			(spec->flags[id] & (LM_TOKEN_ADDED | LM_TOKEN_SIGNS)) == LM_TOKEN_ADDED);
}

static bool
is_byte(const LmTokenizerSpec *spec, int id)
{
	return spec->flags != NULL && spec->flags[id] & LM_TOKEN_BYTE;
}

/* The spelling of a token in GGUF: that of Hugging Face's tokenizer.json. */
static void
append_token(StringInfo text, const LmTokenizerSpec *spec, int id)
{
	const LmBytes *token = &spec->tokens[id];

	resetStringInfo(text);
	if (is_added(spec, id) || spec->kind == LM_TOKENIZER_CHARS)
		appendBinaryStringInfo(text, token->data, token->size);
	else
		(void) gpt_tokenizer_spell(text, spec, id);
	if (spec->kind == LM_TOKENIZER_CHARS && strcmp(text->data, " ") == 0)
	{
		resetStringInfo(text);
		appendStringInfoString(text, LM_SPACE_SIGN);
	}
}

static int
type_of(const LmTokenizerSpec *spec, int id)
{
	if (id == spec->unknown)
		return TYPE_UNKNOWN;
	if (spec->special[id])
		return TYPE_CONTROL;
	if (is_added(spec, id))
		return TYPE_USER_DEFINED;
	return is_byte(spec, id) ? TYPE_BYTE : TYPE_NORMAL;
}

/* Scores of a unigram model; else a merge of a lower rank has the higher one. */
static void
write_scores(GptGgufOutput *output, const LmTokenizerSpec *spec)
{
	double *scores = palloc0(spec->n_tokens * sizeof(double));

	for (int id = 0; id < spec->n_tokens; id++)
		scores[id] = spec->scores != NULL ? spec->scores[id] : -(double) (spec->n_merges + id);
	for (int rank = spec->n_merges - 1; rank >= 0; rank--)
		scores[spec->merges[rank].result] = -(double) rank;
	lm_gguf_write_array(&output->writer, "tokenizer.ggml.scores", LM_GGUF_F32, spec->n_tokens);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		lm_gguf_write_float_item(&output->writer, (float) scores[id]);
		gpt_gguf_flush(output);
	}
	pfree(scores);
}

static void
write_merges(GptGgufOutput *output, const LmTokenizerSpec *spec)
{
	StringInfoData text;

	initStringInfo(&text);
	lm_gguf_write_array(&output->writer, "tokenizer.ggml.merges", LM_GGUF_STRING, spec->n_merges);
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		char *merge;

		append_token(&text, spec, spec->merges[rank].left);
		merge = pstrdup(text.data);
		append_token(&text, spec, spec->merges[rank].right);
		merge = psprintf("%s %s", merge, text.data);
		lm_gguf_write_string_item(&output->writer, merge, strlen(merge));
		gpt_gguf_flush(output);
		pfree(merge);
	}
	pfree(text.data);
}

/* The ids of tokens with a meaning; returns their number. */
static int
write_ids(GptGgufOutput *output, const LmTokenizerSpec *spec)
{
	const struct
	{
		const char *key;
		int32 id;
	} ids[] = {
		{"tokenizer.ggml.bos_token_id", spec->beginning >= 0 ? spec->beginning : spec->end_of_text},
		{"tokenizer.ggml.eos_token_id", spec->end_of_text},
		{"tokenizer.ggml.unknown_token_id", spec->unknown},
	};
	int n = 0;

	for (int i = 0; i < lengthof(ids); i++)
	{
		if (ids[i].id < 0)
			continue;
		n++;
		if (output != NULL)
			lm_gguf_write_integer(&output->writer, ids[i].key, LM_GGUF_U32, ids[i].id);
	}
	return n;
}
