/*
 * include/engine/params.h
 *
 * The parameter table: one row for each logical matrix or vector. Layout in memory, checkpoint,
 * optimizer, import, export and docs read it; there is no second list. Parameters, gradients and
 * moments are blocks of `total` floats in table order.
 *
 * The table of an adapter (lora_rank above 0) has the adapter's own matrices and the classifier's
 * head, but nothing of the base. So all code that works on a table sees only parameters that are
 * trained and stored.
 */
#ifndef LM_PARAMS_H
#define LM_PARAMS_H

#include "engine/config.h"
#include "engine/host.h"

/* How a parameter is initialised. */
typedef enum LmInit
{
	LM_INIT_NORMAL, /* N(0, 0.02) */
	LM_INIT_RESIDUAL, /* N(0, 0.02 / sqrt(2 layers)) (Radford et al. 2019, section 2.3) */
	LM_INIT_ZERO,
	LM_INIT_ONE,
	/*
	 * N(0, 1 / sqrt(3 columns)), the deviation of PEFT's uniform A (He et al. 2015, section 2.2,
	 * with slope sqrt(5))
	 */
	LM_INIT_FAN_IN,
} LmInit;

/*
 * A classifier reads two features of a text: the mean output of the last block, and the mean
 * embedding of the text's bag: its tokens and its runs of two to LM_BAG_RUN tokens, hashed n-grams
 * that share rows (Joulin et al. 2017, "Bag of tricks for efficient text classification"; runs
 * beyond pairs, because several tokens are a word). In training with dropout the mean output is 0
 * in LM_OUTPUTS_DROPOUT of the windows.
 */
#define LM_BAG_RUN 4
#define LM_BAG_CHANNELS 64 /* at most */
#define LM_BAG_LEAST_CHANNELS 16
#define LM_BAG_HASHED_FLOATS (1 << 23)
#define LM_OUTPUTS_DROPOUT 0.5

/* The kinds of parameters. C is channels, V the vocabulary. */
typedef enum LmParamKind
{
	LM_TOKEN_EMBEDDING,
	LM_POSITION_EMBEDDING,
	LM_NORM1_WEIGHT,
	LM_NORM1_BIAS,
	LM_ATTENTION_WEIGHT, /* [A + 2 K, C]: queries, keys, values (lm_config_query_channels, ..._kv_)
						  */
	LM_ATTENTION_BIAS,
	LM_PROJECTION_WEIGHT, /* [C, A] */
	LM_PROJECTION_BIAS,
	LM_NORM2_WEIGHT,
	LM_NORM2_BIAS,
	LM_UP_WEIGHT, /* [M, C]; [2 M, C] of a gated MLP: the gate's rows come first */
	LM_UP_BIAS,
	LM_DOWN_WEIGHT,
	LM_DOWN_BIAS,
	LM_FINAL_NORM_WEIGHT,
	LM_FINAL_NORM_BIAS,
	LM_HEAD_WEIGHT, /* only where embeddings are not tied */
	/* [head_size]; in a block after attention's. Numbers are keys of random streams, and stay. */
	LM_QUERY_NORM_WEIGHT,
	LM_KEY_NORM_WEIGHT,
	LM_BAG_EMBEDDING, /* [V + lm_bag_hashed, lm_bag_channels]; of a classifier, as the next two */
	LM_LABEL_WEIGHT, /* [labels, lm_label_features] */
	LM_LABEL_BIAS,
	/*
	 * Of an adapter, [rank, n_in] and [n_out, rank]; A and B of a target are LM_LORA_A and
	 * LM_LORA_B of it.
	 */
	LM_LORA_ATTENTION_A,
	LM_LORA_ATTENTION_B,
	LM_LORA_PROJECTION_A,
	LM_LORA_PROJECTION_B,
	LM_LORA_UP_A,
	LM_LORA_UP_B,
	LM_LORA_DOWN_A,
	LM_LORA_DOWN_B,
	/* Of the outputs of attention's and the MLP's branch; the biases with LM_LAYERNORM only. */
	LM_POST_NORM1_WEIGHT,
	LM_POST_NORM1_BIAS,
	LM_POST_NORM2_WEIGHT,
	LM_POST_NORM2_BIAS,
	/*
	 * Of LM_ENCODER_DECODER, in decoder blocks between attention and MLP: queries are of the
	 * normalised stream, keys and values of the encoder's output.
	 */
	LM_CROSS_NORM_WEIGHT,
	LM_CROSS_NORM_BIAS,
	LM_CROSS_QUERY_WEIGHT, /* [A, C] */
	LM_CROSS_QUERY_BIAS,
	LM_CROSS_KEY_VALUE_WEIGHT, /* [2 K, C]: keys, values */
	LM_CROSS_KEY_VALUE_BIAS,
	LM_CROSS_QUERY_NORM_WEIGHT, /* [head_size], with qk_norm */
	LM_CROSS_KEY_NORM_WEIGHT,
	LM_CROSS_PROJECTION_WEIGHT, /* [C, A] */
	LM_CROSS_PROJECTION_BIAS,
	LM_CROSS_POST_NORM_WEIGHT,
	LM_CROSS_POST_NORM_BIAS,
	LM_ENCODER_NORM_WEIGHT, /* the encoder's final norm */
	LM_ENCODER_NORM_BIAS,
	LM_EMBEDDING_RUNS, /* [embedding, LM_SEARCH_WIDE_RUNS]; of a trained embedding, as the next */
	LM_EMBEDDING_HIDDEN, /* [embedding, C] */
	/*
	 * N-grams beside the network (engine/ngram.h): LmNgram's arrays, last in the table. They are
	 * not trained, and not counted as parameters.
	 */
	LM_NGRAM_TOKENS,
	LM_NGRAM_ORDER,
	LM_NGRAM_WEIGHTING,
	/* Of a classifier's linear part (engine/feature_table.h), at the end of the table. */
	LM_FEATURE_KEY, /* [features, LM_FEATURE_KEY_COLUMNS] */
	LM_FEATURE_WEIGHT, /* [features, labels] */
	LM_PARAM_KINDS
} LmParamKind;

#define LM_LORA_A(target) ((LmParamKind) (LM_LORA_ATTENTION_A + 2 * (target)))
#define LM_LORA_B(target) ((LmParamKind) (LM_LORA_ATTENTION_B + 2 * (target)))

/* In which order a tensor of a file has the rows of its part of an engine's matrix. */
typedef enum LmRowOrder
{
	LM_ROWS_IN_ORDER,
	LM_ROWS_BY_HEAD, /* [head][query, key, value][element]: GPT-NeoX */
} LmRowOrder;

#define LM_FILE_PARTS 3 /* at most */

/* A tensor of a model's file: some rows of a parameter. The rows of a vector are its elements. */
typedef struct LmFilePart
{
	char name[96]; /* Hugging Face's: "model.layers.3.self_attn.q_proj.weight" */
	int first_row;
	int n_rows;
	LmRowOrder order;
} LmFilePart;

/*
 * One row of the table: a matrix or vector, its names and its place in a block. The parts follow
 * each other in the file and in the matrix, so that "the order of the file" is that of all their
 * elements.
 *
 * An adapter has one A and one B for each target, also where a file has the target in parts: its
 * names are those of PEFT with "qkv_proj" and "gate_up_proj" for the whole of the parts. For PEFT
 * each part has A as it is and its own rows of B.
 */
typedef struct LmParam
{
	LmParamKind kind;
	int layer; /* number of the block (lm_config_blocks); -1 outside the blocks */
	char name[64]; /* the engine's: "block.3.attention.weight", "encoder.0.up.weight" */
	int n_parts;
	LmFilePart parts[LM_FILE_PARTS];
	bool transposed; /* stored as [columns, rows] in the file: GPT-2's Conv1D; of one part */
	float file_offset; /* the file has engine's values less this: 1 in norms of Gemma, else 0 */
	int head_size; /* of LM_ROWS_BY_HEAD */
	int rows; /* of the engine's matrix; a vector has 1 row */
	int columns;
	bool vector; /* one dimension in the file */
	LmInit init;
	bool decay; /* weight decay: matrices of blocks and head and the tied embedding */
	size_t offset; /* of its first float in a block */
	size_t count; /* rows * columns */
} LmParam;

/* All parameters of a configuration, in the order of a block. */
typedef struct LmParamTable
{
	LmConfig config; /* checked */
	int n_params;
	int n_tensors; /* of the file: all parts of all parameters */
	LmParam *params;
	/* floats in a block; each parameter starts at a multiple of 16 floats, gaps are 0 */
	size_t total;
	size_t parameter_count; /* without gaps and n-grams */
} LmParamTable;

/* Caller frees with lm_param_table_free. NULL with LM_ERR_ARGUMENT, _LIMIT or _MEMORY. */
LmParamTable *lm_param_table_create(const LmHost *host, const LmConfig *config, LmError *error);
void lm_param_table_free(const LmHost *host, LmParamTable *table);
/*
 * Whether the files of the configuration's model_type have a name for each of its parameters;
 * LM_ERR_ARGUMENT with the first that has none. lm_param_table_create checks it.
 */
bool lm_params_have_names(const LmConfig *config, LmError *error);
/* Bytes of the one block that lm_param_table_create takes for a checked configuration. */
size_t lm_param_table_size(const LmConfig *config);
/* LmParamTable.n_params of a checked configuration. */
size_t lm_param_table_count(const LmConfig *config);
/*
 * LmParamTable.total of a checked configuration, without making the table; false beyond the address
 * space.
 */
bool lm_param_total(size_t *total, const LmConfig *config);

/*
 * The matrices that stand one above the other in a parameter: queries, keys and values, or a gate
 * and its factors; else the parameter itself. Returns their number and the rows of each.
 */
int lm_param_stack(int rows[LM_FILE_PARTS], const LmParam *param, const LmConfig *config);

/* The number of elements of a part, and of those before it, in the order of the file. */
static inline size_t
lm_part_count(const LmParam *param, const LmFilePart *part)
{
	return (size_t) part->n_rows * (param->vector ? 1 : (size_t) param->columns);
}

static inline size_t
lm_part_first(const LmParam *param, const LmFilePart *part)
{
	return (size_t) part->first_row * (param->vector ? 1 : (size_t) param->columns);
}

/* The shape of a part in the file; returns the number of dimensions. */
static inline int
lm_part_shape(int shape[2], const LmParam *param, const LmFilePart *part)
{
	shape[0] = param->transposed ? param->columns : part->n_rows;
	shape[1] = param->transposed ? part->n_rows : param->columns;
	return param->vector ? 1 : 2;
}

/* Whether a kind belongs to cross-attention. */
static inline bool
lm_param_kind_is_cross(LmParamKind kind)
{
	return kind >= LM_CROSS_NORM_WEIGHT && kind <= LM_CROSS_POST_NORM_BIAS;
}

static inline bool
lm_param_of_ngrams(const LmParam *param)
{
	return param->kind >= LM_NGRAM_TOKENS && param->kind <= LM_NGRAM_WEIGHTING;
}

/*
 * The place of the first of the values [param->count] that a parameter of n-grams cannot have,
 * whoever wrote the file; -1: there is none. Ids and places are indexes: none may be out of its
 * array. Weights are finite. *limit: ids and places are below it; 0 for weights.
 */
long lm_param_unsound(int *limit, const LmParam *param, const LmConfig *config,
					  const float *values);

/* Whether parameters of a kind belong to a classifier's head, or to its linear part. */
static inline bool
lm_kind_in_head(LmParamKind kind)
{
	return kind == LM_BAG_EMBEDDING || kind == LM_LABEL_WEIGHT || kind == LM_LABEL_BIAS ||
		   kind == LM_FEATURE_KEY || kind == LM_FEATURE_WEIGHT || kind == LM_EMBEDDING_RUNS ||
		   kind == LM_EMBEDDING_HIDDEN;
}

/* The linear part is fitted apart; nothing trains it together with the network. */
static inline bool
lm_kind_is_linear(LmParamKind kind)
{
	return kind == LM_FEATURE_KEY || kind == LM_FEATURE_WEIGHT;
}

/* Whether a parameter stands beside the network: it belongs to a classifier's head, or to n-grams.
 */
static inline bool
lm_param_in_head(const LmParam *param)
{
	return lm_kind_in_head(param->kind) || lm_param_of_ngrams(param);
}

/*
 * The number of channels of a bag's embedding: a power of two, one channel for each label where
 * that is possible.
 */
static inline int
lm_bag_channels(int labels)
{
	int channels = LM_BAG_LEAST_CHANNELS;

	while (channels < LM_BAG_CHANNELS && channels < labels)
		channels *= 2;
	return channels;
}

/*
 * The number of rows that the hashed n-grams share. Their memory is the same for any number of
 * labels: with fewer labels they have fewer channels and more rows, so that fewer n-grams share a
 * row.
 */
static inline int
lm_bag_hashed(int labels)
{
	return LM_BAG_HASHED_FLOATS / lm_bag_channels(labels);
}

/* The first features of a head: the mean of the outputs, or those of both texts, combined. */
static inline int
lm_label_hidden(const LmConfig *config)
{
	return config->pair ? 4 * config->channels : config->channels;
}

#define LM_PAIR_OVERLAPS 8

/* All features of a head: those, the bag, and of a pair of texts how much they have in common. */
static inline int
lm_label_features(const LmConfig *config)
{
	return lm_label_hidden(config) + lm_bag_channels(config->labels) +
		   (config->pair ? LM_PAIR_OVERLAPS : 0);
}

/* The entry of a kind in a layer (-1 outside blocks); NULL where the configuration has none. */
const LmParam *lm_param_find(const LmParamTable *table, LmParamKind kind, int layer);

/*
 * Initialises a block [table->total]: a function of seed, kind and layer alone. Its contents are
 * undefined when the engine was stopped meanwhile; the caller calls lm_engine_begin.
 */
void lm_params_init(LmEngine *engine, float *block, const LmParamTable *table, uint64_t seed);

/*
 * Copies elements first .. first + count - 1 of one parameter, counted in the order of the file,
 * between the block and values, which are those of the file.
 */
void lm_param_get(float *values, const float *block, const LmParam *param, size_t first,
				  size_t count);
void lm_param_set(float *block, const float *values, const LmParam *param, size_t first,
				  size_t count);

#endif /* LM_PARAMS_H */
