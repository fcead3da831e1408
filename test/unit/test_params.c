/*
 * test/unit/test_params.c
 *
 * The parameter table of each architecture: names and shapes of the tensors of its files, and the
 * order of their elements.
 */
#include "engine/params.h"
#include "tap.h"

static LmConfig
config_of(LmModelType model_type)
{
	LmConfig config = lm_config_default();

	config.model_type = model_type;
	config.vocabulary = 11;
	config.context = 8;
	config.layers = 2;
	config.heads = 4;
	config.channels = 8;
	config.head_size = 6;
	config.mlp_channels = 10;
	config.tie_embeddings = false;
	if (model_type == LM_GPT_NEO)
		config.qkv_bias = LM_QKV_NO_BIAS;
	if (model_type <= LM_GPT_NEO)
		return config;
	config.position = LM_ROPE;
	if (model_type == LM_GPT_NEOX)
		return config;
	config.kv_heads = 2;
	config.norm = LM_RMSNORM;
	config.bias = false;
	config.mlp = LM_SWIGLU;
	config.qk_norm = model_type == LM_QWEN3 || model_type == LM_GEMMA3;
	config.post_norm = model_type == LM_GEMMA2 || model_type == LM_GEMMA3;
	config.qkv_bias = model_type == LM_QWEN2 ? LM_QKV_BIAS : LM_QKV_AS_OTHERS;
	return config;
}

static LmParamTable *
table_of(const LmHost *host, const LmConfig *config)
{
	LmError error;
	LmParamTable *table = lm_param_table_create(host, config, &error);

	if (!table)
	{
		printf("Bail out! table: %s\n", error.message);
		exit(1);
	}
	return table;
}

/* "name [shape]" of every tensor outside the blocks and of block 1, in the order of the file. */
static char *
list_of(const LmParamTable *table)
{
	char *list = calloc((size_t) table->n_tensors, 128);

	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++)
		{
			const LmParam *param = &table->params[i];
			int shape[2], n = lm_part_shape(shape, param, &param->parts[part]);

			if (param->layer == 0)
				continue;
			sprintf(list + strlen(list), n == 1 ? "%s [%d]\n" : "%s [%d, %d]\n",
					param->parts[part].name, shape[0], shape[1]);
		}
	return list;
}

static void
test_names(const LmHost *host, const LmConfig *config, const char *wanted)
{
	LmParamTable *table = table_of(host, config);
	char *list = list_of(table);
	int n = 0;

	if (!ok(strcmp(list, wanted) == 0, "the tensors of a file of %s have their names and shapes",
			lm_model_type_name((int) config->model_type)))
		printf("# got:\n%s# wanted:\n%s", list, wanted);
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
			if (lm_part_first(&table->params[i], &table->params[i].parts[part]) !=
				(part == 0
					 ? 0
					 : lm_part_first(&table->params[i], &table->params[i].parts[part - 1]) +
						   lm_part_count(&table->params[i], &table->params[i].parts[part - 1])))
				n = -1000;
	ok(n == table->n_tensors, "its parts follow each other, %d in all", table->n_tensors);
	free(list);
	lm_param_table_free(host, table);
}

/* A block of the decoder has cross-attention, one of the encoder does not. */
static void
test_encoder(const LmHost *host)
{
	LmConfig config = config_of(LM_GPT);
	LmParamTable *table;
	const LmParam *cross, *up;
	LmError error;
	size_t total;

	config.layers = 1;
	config.architecture = LM_ENCODER_DECODER;
	ok(!lm_param_table_create(host, &config, &error) &&
		   strcmp(error.message, "encoder_layers is 0, at least 1 is needed") == 0,
	   "an encoder without layers is refused");
	config.encoder_layers = 2;
	table = table_of(host, &config);
	cross = lm_param_find(table, LM_CROSS_KEY_VALUE_WEIGHT, 0);
	up = lm_param_find(table, LM_UP_WEIGHT, 2);
	ok(cross && cross->rows == 48 && cross->columns == 8 &&
		   strcmp(cross->parts[0].name, "transformer.h.0.crossattention.c_attn.weight") == 0,
	   "a block of the decoder has keys and values of the encoder's output");
	ok(up && strcmp(up->name, "encoder.1.up.weight") == 0 &&
		   strcmp(up->parts[0].name, "encoder.h.1.mlp.c_fc.weight") == 0,
	   "a block of the encoder is found after those of the decoder");
	ok(!lm_param_find(table, LM_CROSS_QUERY_WEIGHT, 1) && !lm_param_find(table, LM_UP_WEIGHT, 3),
	   "a block of the encoder has no cross-attention");
	ok(lm_param_find(table, LM_ENCODER_NORM_WEIGHT, -1) && lm_param_total(&total, &config) &&
		   total == table->total && lm_param_table_count(&config) == (size_t) table->n_params,
	   "sizes that are computed without the table are those of the table");
	lm_param_table_free(host, table);
	config.model_type = LM_LLAMA;
	ok(!lm_param_table_create(host, &config, &error), "files of Llama have no encoder");
}

#define LLAMA_BEGIN                                    \
	"model.embed_tokens.weight [11, 8]\n"              \
	"model.layers.1.input_layernorm.weight [8]\n"      \
	"model.layers.1.self_attn.q_proj.weight [24, 8]\n" \
	"model.layers.1.self_attn.k_proj.weight [12, 8]\n" \
	"model.layers.1.self_attn.v_proj.weight [12, 8]\n"
#define LLAMA_QK_NORM                              \
	"model.layers.1.self_attn.q_norm.weight [6]\n" \
	"model.layers.1.self_attn.k_norm.weight [6]\n"
#define LLAMA_O "model.layers.1.self_attn.o_proj.weight [8, 24]\n"
#define LLAMA_NORM2 "model.layers.1.post_attention_layernorm.weight [8]\n"
#define LLAMA_MLP                                   \
	"model.layers.1.mlp.gate_proj.weight [10, 8]\n" \
	"model.layers.1.mlp.up_proj.weight [10, 8]\n"   \
	"model.layers.1.mlp.down_proj.weight [8, 10]\n"
#define LLAMA_END             \
	"model.norm.weight [8]\n" \
	"lm_head.weight [11, 8]\n"
#define GEMMA_MLP                                                     \
	"model.layers.1.post_attention_layernorm.weight [8]\n"            \
	"model.layers.1.pre_feedforward_layernorm.weight [8]\n" LLAMA_MLP \
	"model.layers.1.post_feedforward_layernorm.weight [8]\n"

static void
test_all_names(const LmHost *host)
{
	static const char *const wanted[] = {
		[LM_GPT] = "transformer.wte.weight [11, 8]\ntransformer.wpe.weight [8, 8]\n"
				   "transformer.h.1.ln_1.weight [8]\ntransformer.h.1.ln_1.bias [8]\n"
				   "transformer.h.1.attn.c_attn.weight [8, 72]\n"
				   "transformer.h.1.attn.c_attn.bias [72]\n"
				   "transformer.h.1.attn.c_proj.weight [24, 8]\n"
				   "transformer.h.1.attn.c_proj.bias [8]\n"
				   "transformer.h.1.ln_2.weight [8]\ntransformer.h.1.ln_2.bias [8]\n"
				   "transformer.h.1.mlp.c_fc.weight [8, 10]\ntransformer.h.1.mlp.c_fc.bias [10]\n"
				   "transformer.h.1.mlp.c_proj.weight [10, 8]\n"
				   "transformer.h.1.mlp.c_proj.bias [8]\n"
				   "transformer.ln_f.weight [8]\ntransformer.ln_f.bias [8]\n"
				   "lm_head.weight [11, 8]\n",
		[LM_GPT_NEO] = "transformer.wte.weight [11, 8]\ntransformer.wpe.weight [8, 8]\n"
					   "transformer.h.1.ln_1.weight [8]\ntransformer.h.1.ln_1.bias [8]\n"
					   "transformer.h.1.attn.attention.q_proj.weight [24, 8]\n"
					   "transformer.h.1.attn.attention.k_proj.weight [24, 8]\n"
					   "transformer.h.1.attn.attention.v_proj.weight [24, 8]\n"
					   "transformer.h.1.attn.attention.out_proj.weight [8, 24]\n"
					   "transformer.h.1.attn.attention.out_proj.bias [8]\n"
					   "transformer.h.1.ln_2.weight [8]\ntransformer.h.1.ln_2.bias [8]\n"
					   "transformer.h.1.mlp.c_fc.weight [10, 8]\n"
					   "transformer.h.1.mlp.c_fc.bias [10]\n"
					   "transformer.h.1.mlp.c_proj.weight [8, 10]\n"
					   "transformer.h.1.mlp.c_proj.bias [8]\n"
					   "transformer.ln_f.weight [8]\ntransformer.ln_f.bias [8]\n"
					   "lm_head.weight [11, 8]\n",
		[LM_GPT_NEOX] = "gpt_neox.embed_in.weight [11, 8]\n"
						"gpt_neox.layers.1.input_layernorm.weight [8]\n"
						"gpt_neox.layers.1.input_layernorm.bias [8]\n"
						"gpt_neox.layers.1.attention.query_key_value.weight [72, 8]\n"
						"gpt_neox.layers.1.attention.query_key_value.bias [72]\n"
						"gpt_neox.layers.1.attention.dense.weight [8, 24]\n"
						"gpt_neox.layers.1.attention.dense.bias [8]\n"
						"gpt_neox.layers.1.post_attention_layernorm.weight [8]\n"
						"gpt_neox.layers.1.post_attention_layernorm.bias [8]\n"
						"gpt_neox.layers.1.mlp.dense_h_to_4h.weight [10, 8]\n"
						"gpt_neox.layers.1.mlp.dense_h_to_4h.bias [10]\n"
						"gpt_neox.layers.1.mlp.dense_4h_to_h.weight [8, 10]\n"
						"gpt_neox.layers.1.mlp.dense_4h_to_h.bias [8]\n"
						"gpt_neox.final_layer_norm.weight [8]\n"
						"gpt_neox.final_layer_norm.bias [8]\nembed_out.weight [11, 8]\n",
		[LM_LLAMA] = LLAMA_BEGIN LLAMA_O LLAMA_NORM2 LLAMA_MLP LLAMA_END,
		[LM_MISTRAL] = LLAMA_BEGIN LLAMA_O LLAMA_NORM2 LLAMA_MLP LLAMA_END,
		[LM_QWEN2] = LLAMA_BEGIN
		"model.layers.1.self_attn.q_proj.bias [24]\n"
		"model.layers.1.self_attn.k_proj.bias [12]\n"
		"model.layers.1.self_attn.v_proj.bias [12]\n" LLAMA_O LLAMA_NORM2 LLAMA_MLP LLAMA_END,
		[LM_QWEN3] = LLAMA_BEGIN LLAMA_QK_NORM LLAMA_O LLAMA_NORM2 LLAMA_MLP LLAMA_END,
		[LM_SMOLLM3] = LLAMA_BEGIN LLAMA_O LLAMA_NORM2 LLAMA_MLP LLAMA_END,
		[LM_GEMMA2] = LLAMA_BEGIN LLAMA_O GEMMA_MLP LLAMA_END,
		[LM_GEMMA3] = LLAMA_BEGIN LLAMA_QK_NORM LLAMA_O GEMMA_MLP LLAMA_END,
	};

	for (int type = 0; type < (int) (sizeof wanted / sizeof *wanted); type++)
	{
		LmConfig config = config_of((LmModelType) type);

		test_names(host, &config, wanted[type]);
	}
}

static void
test_adapter_names(const LmHost *host)
{
	LmConfig config = config_of(LM_LLAMA);

	config.lora_rank = 3;
	config.lora_targets = 1 << LM_TARGET_ATTENTION | 1 << LM_TARGET_UP;
	test_names(host, &config,
			   "base_model.model.model.layers.1.self_attn.qkv_proj.lora_A.weight [3, 8]\n"
			   "base_model.model.model.layers.1.self_attn.qkv_proj.lora_B.weight [48, 3]\n"
			   "base_model.model.model.layers.1.mlp.gate_up_proj.lora_A.weight [3, 8]\n"
			   "base_model.model.model.layers.1.mlp.gate_up_proj.lora_B.weight [20, 3]\n");
	config.model_type = LM_GPT_NEOX;
	config.kv_heads = 0;
	config.lora_targets = 1 << LM_TARGET_ATTENTION;
	test_names(host, &config,
			   "base_model.model.gpt_neox.layers.1.attention.query_key_value.lora_A.weight [3, 8]\n"
			   "base_model.model.gpt_neox.layers.1.attention.query_key_value.lora_B.weight "
			   "[72, 3]\n");
}

/* Elements pass from the file to the block and back in pieces of any size. */
static void
test_copies(const LmHost *host, LmModelType model_type)
{
	LmConfig config = config_of(model_type);
	LmParamTable *table = table_of(host, &config);
	float *block = calloc(table->total, sizeof(float));
	bool good = true, distinct = true;

	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		float *file = malloc(param->count * sizeof(float)),
			  *again = malloc(param->count * sizeof(float));

		for (size_t j = 0; j < param->count; j++)
			file[j] = (float) j / 16;
		for (size_t first = 0; first < param->count; first += 7)
			lm_param_set(block, file + first, param, first,
						 param->count - first < 7 ? param->count - first : 7);
		for (size_t first = 0; first < param->count; first += 5)
			lm_param_get(again + first, block, param, first,
						 param->count - first < 5 ? param->count - first : 5);
		good = good && memcmp(file, again, param->count * sizeof(float)) == 0;
		lm_param_get(again, block, param, 0, param->count);
		distinct = distinct && memcmp(file, again, param->count * sizeof(float)) == 0;
		free(file);
		free(again);
	}
	ok(good && distinct, "elements of a file of %s pass to the block and back",
	   lm_model_type_name((int) model_type));
	free(block);
	lm_param_table_free(host, table);
}

/* Row (head, which, element) of GPT-NeoX's file is row (which, head, element) of the engine. */
static void
test_rows_by_head(const LmHost *host)
{
	LmConfig config = config_of(LM_GPT_NEOX);
	LmParamTable *table = table_of(host, &config);
	const LmParam *weight = lm_param_find(table, LM_ATTENTION_WEIGHT, 1);
	const LmParam *bias = lm_param_find(table, LM_ATTENTION_BIAS, 1);
	float *block = calloc(table->total, sizeof(float)), file[72 * 8];
	bool good = true;

	for (int i = 0; i < 72 * 8; i++)
		file[i] = (float) i;
	lm_param_set(block, file, weight, 0, 72 * 8);
	lm_param_set(block, file, bias, 0, 72);
	for (int which = 0; which < 3; which++)
		for (int head = 0; head < 4; head++)
			for (int element = 0; element < 6; element++)
			{
				size_t engine = (size_t) (which * 24 + head * 6 + element),
					   row = (size_t) (head * 18 + which * 6 + element);

				good = good && block[bias->offset + engine] == (float) row;
				for (size_t column = 0; column < 8; column++)
					good = good && block[weight->offset + engine * 8 + column] ==
									   (float) (row * 8 + column);
			}
	ok(good, "GPT-NeoX's queries, keys and values of each head become those of all heads");
	free(block);
	lm_param_table_free(host, table);
}

static void
test_offset(const LmHost *host)
{
	LmConfig config = config_of(LM_GEMMA3);
	LmParamTable *table = table_of(host, &config);
	float *block = calloc(table->total, sizeof(float)), value = 0.25f;
	int n = 0;

	for (int i = 0; i < table->n_params; i++)
		n += table->params[i].file_offset == 1 && table->params[i].vector;
	lm_param_set(block, &value, lm_param_find(table, LM_KEY_NORM_WEIGHT, 1), 2, 1);
	ok(n == 2 * 6 + 1 && block[lm_param_find(table, LM_KEY_NORM_WEIGHT, 1)->offset + 2] == 1.25f,
	   "a file of Gemma has weights of norms less 1, and nothing else");
	free(block);
	lm_param_table_free(host, table);
}

static void
test_refusals(const LmHost *host)
{
	LmConfig config = config_of(LM_LLAMA);
	LmError error;

	config.mlp = LM_GELU;
	ok(!lm_param_table_create(host, &config, &error) &&
		   strstr(error.message, "model_type llama has no up.weight without a gate"),
	   "an MLP without a gate has no names in Llama: %s", error.message);
	config = config_of(LM_GEMMA2);
	config.bias = true;
	config.norm = LM_LAYERNORM;
	ok(!lm_param_table_create(host, &config, &error) &&
		   strstr(error.message, "model_type gemma2 has no norm1.bias"),
	   "nor have biases of norms in Gemma: %s", error.message);
	config = config_of(LM_GPT_NEOX);
	config.kv_heads = 2;
	ok(!lm_config_check(&config, &error) && error.code == LM_ERR_ARGUMENT,
	   "GPT-NeoX shares no keys: %s", error.message);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_all_names(&host);
	test_adapter_names(&host);
	test_copies(&host, LM_GPT);
	test_copies(&host, LM_GPT_NEOX);
	test_copies(&host, LM_GEMMA3);
	test_rows_by_head(&host);
	test_offset(&host);
	test_encoder(&host);
	test_refusals(&host);
	return done_testing();
}
