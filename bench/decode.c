/*
 * bench/decode.c [MODEL [TYPE]]
 *
 * Inference of models with random weights in each type of image, on THREADS threads (2): M and S,
 * and the shapes of SmolLM2-135M ("135M") and TinyLlama ("1.1B"), which bench/llama.sh compares
 * with llama.cpp. Medians over ROUNDS rounds (15), in each of which the limits are measured too:
 *
 *   decode 1        a token of one sequence at position 64, head and choice of the largest logit
 *                   included; bytes of weights a second, and their share of what the threads read
 *                   of a large buffer, one stream each
 *   decode 8, 32    that many sequences at once
 *   prefill 256     of one sequence, with the logits of the last token; only products that are
 *                   executed count, of attention half; their share of what multiply-adds in
 *                   registers reach
 *   score 256       the same with the logits of every token
 */
#include "peak.h"
#include "shapes.h"

#include "engine/model.h"

#define POSITION 64
#define MOST_SEQUENCES 32
#define PROMPT 256
#define READ_SIZE ((size_t) 512 << 20)
#define MOST_ROUNDS 101
#define PIECE_FLOATS ((size_t) 1 << 20) /* of rows that are written into an image at once */

typedef struct Bench
{
	LmEngine *engine;
	LmHost host;
	const char *name;
	LmConfig config;
	LmParamTable *table;
	char *buffer; /* READ_SIZE bytes to read */
	int n_rounds;
	bool alone; /* one sequence only, as llama.cpp's benchmark has it */

	const LmWeightType *type;
	void *image;
	LmModel *model;
	LmPages *pages;
	LmSequence sequences[MOST_SEQUENCES];
	LmInput inputs[PROMPT];
	void *workspace;
	float *logits;
	long long sum; /* of what was computed, so that it is */
} Bench;

typedef struct Series
{
	double values[MOST_ROUNDS];
	int n;
} Series;

static void
add(Series *series, double value)
{
	series->values[series->n++] = value;
}

static double
best(const Series *series)
{
	double most = 0;

	for (int i = 0; i < series->n; i++)
		most = series->values[i] > most ? series->values[i] : most;
	return most;
}

static double
median(Series *series)
{
	qsort(series->values, series->n, sizeof(double), compare_doubles);
	return series->values[series->n / 2];
}

typedef long long Lanes __attribute__((vector_size(64)));

/*
 * Loads of the widest vectors, asked for a page ahead: narrower ones, or fewer at once, keep a core
 * from what its memory can give.
 */
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static long long
read_all(const void *from, size_t size)
{
	const Lanes *lanes = from;
	Lanes sums[8] = {{0}};

	for (size_t i = 0; i < size / sizeof(Lanes); i += 8)
#pragma GCC unroll 8
		for (int j = 0; j < 8; j++)
		{
			__builtin_prefetch((const char *) &lanes[i + j] + 4096);
			sums[j] ^= lanes[i + j];
		}
	for (int j = 1; j < 8; j++)
		sums[0] ^= sums[j];
	return sums[0][0] ^ sums[0][7];
}

static void
read_piece(void *work, int piece, int thread)
{
	Bench *bench = work;
	size_t size = READ_SIZE / lm_engine_threads(bench->engine) / 512 * 512;

	__atomic_fetch_add(&bench->sum, read_all(bench->buffer + size * piece, size), __ATOMIC_RELAXED);
}

/* Bytes a second, one stream a thread. */
static double
read_rate(Bench *bench)
{
	double started = seconds_now();

	lm_engine_run(bench->engine, read_piece, bench, lm_engine_threads(bench->engine));
	return READ_SIZE / (seconds_now() - started);
}

/* The matrices of a block: inputs and outputs. */
static int
block_matrices(int sizes[4][2], const LmConfig *config)
{
	int C = config->channels, A = lm_config_query_channels(config);
	const int all[4][2] = {{C, lm_config_qkv_channels(config)},
						   {A, C},
						   {C, lm_config_up_channels(config)},
						   {config->mlp_channels, C}};

	memcpy(sizes, all, sizeof all);
	return 4;
}

static double
product_bytes(const Bench *bench)
{
	int sizes[4][2], n = block_matrices(sizes, &bench->config);
	double all;
	size_t size;

	lm_linear_panels_size(&size, bench->type, bench->config.channels, bench->config.vocabulary);
	all = (double) size;
	for (int i = 0; i < n; i++)
	{
		lm_linear_panels_size(&size, bench->type, sizes[i][0], sizes[i][1]);
		all += (double) size * bench->config.layers;
	}
	return all;
}

static void
infer(Bench *bench, int n)
{
	LmError error = {0};

	must(lm_infer(bench->logits, bench->engine, bench->model, bench->pages, bench->sequences,
				  MOST_SEQUENCES, bench->inputs, n, bench->workspace, &error),
		 &error);
}

static int32_t
largest(const float *logits, int n)
{
	int best = 0;

	for (int i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return best;
}

/*
 * One token for each of the first n sequences, which stand at POSITION before and after. Seconds.
 */
static double
decode(Bench *bench, int n)
{
	double started = seconds_now();

	for (int i = 0; i < n; i++)
		bench->inputs[i] = (LmInput){(i * 31 + 7) % bench->config.vocabulary, i, POSITION, true};
	infer(bench, n);
	for (int i = 0; i < n; i++)
	{
		bench->sum += largest(bench->logits + (size_t) i * bench->config.vocabulary,
							  bench->config.vocabulary);
		lm_sequence_truncate(&bench->sequences[i], bench->pages, POSITION);
	}
	return seconds_now() - started;
}

/* Seconds of PROMPT tokens of an empty sequence. */
static double
prefill(Bench *bench, bool all_wanted)
{
	double started;

	lm_sequence_truncate(&bench->sequences[0], bench->pages, 0);
	for (int i = 0; i < PROMPT; i++)
		bench->inputs[i] =
			(LmInput){(i * 31 + 7) % bench->config.vocabulary, 0, i, all_wanted || i == PROMPT - 1};
	started = seconds_now();
	infer(bench, PROMPT);
	return seconds_now() - started;
}

/* The last block's rows that are not wanted end with their keys and values. */
static double
prefill_flop(const Bench *bench, bool all_wanted)
{
	const LmConfig *config = &bench->config;
	double L = config->layers, T = PROMPT, rows = all_wanted ? T : 1, half = T * (T + 1) / 2;
	double A = lm_config_query_channels(config), flop;
	int sizes[4][2], n = block_matrices(sizes, config);

	flop = 2 * rows * config->channels * config->vocabulary;
	for (int i = 0; i < n; i++)
		flop += 2 * ((L - 1) * T + (i == 0 ? T : rows)) * sizes[i][0] * sizes[i][1];
	return flop + 4 * A * ((L - 1) * half + (all_wanted ? half : T));
}

/* Random weights, the same ones for each piece. */
static void
fill_image(Bench *bench)
{
	LmError error = {0};
	size_t most = PIECE_FLOATS;
	float *values;
	LmImageWriter *writer =
		lm_image_begin(&bench->host, bench->image, bench->table, bench->type, &error);

	must(writer != NULL, &error);
	for (int i = 0; i < bench->table->n_params; i++)
	{
		size_t panel = (size_t) bench->table->params[i].columns * LM_PANEL;

		most = panel > most ? panel : most;
	}
	values = lm_allocate_unset(&bench->host, most * sizeof(float));
	must(values != NULL, &error);
	lm_random_normal(values, most, 0.02f, lm_key(1, LM_RANDOM_INIT, 0, 0));
	for (int i = 0; i < bench->table->n_params; i++)
	{
		const LmParam *param = &bench->table->params[i];
		int step = (int) (most / (size_t) param->columns / LM_PANEL) * LM_PANEL;

		for (int row = 0; row < param->rows; row += step)
			must(lm_image_put_rows(writer, param, row,
								   param->rows - row < step ? param->rows - row : step, values,
								   &error),
				 &error);
	}
	must(lm_image_end(writer, &error), &error);
	lm_free(&bench->host, values);
}

static void
open_model(Bench *bench, const LmWeightType *type)
{
	LmError error = {0};
	size_t size;
	double started = seconds_now();

	bench->type = type;
	must(lm_image_size(&size, &bench->config, type, &error), &error);
	bench->image = lm_allocate_huge(&bench->host, size);
	must(bench->image != NULL, &error);
	fill_image(bench);
	bench->model = lm_model_open(&bench->host, bench->image, size, &error);
	must(bench->model != NULL, &error);
	printf("%s %-9s image             %8.1f MB, built in %.2f s\n", bench->name, type->name,
		   size / 1e6, seconds_now() - started);
	bench->pages = lm_pages_create(&bench->host, bench->model, MOST_SEQUENCES * 3 + 8, &error);
	must(bench->pages != NULL, &error);
	for (int i = 0; i < MOST_SEQUENCES; i++)
		must(lm_sequence_create(&bench->sequences[i], &bench->host, bench->model, &error), &error);
	bench->workspace =
		lm_allocate_huge(&bench->host, lm_infer_workspace(bench->model, PROMPT, PROMPT,
														  lm_engine_threads(bench->engine)));
	bench->logits =
		lm_allocate_huge(&bench->host, (size_t) PROMPT * bench->config.vocabulary * sizeof(float));
}

static void
close_model(Bench *bench)
{
	for (int i = 0; i < MOST_SEQUENCES; i++)
		lm_sequence_free(&bench->sequences[i], bench->pages, &bench->host);
	lm_pages_free(bench->pages);
	lm_model_close(bench->model);
	lm_free(&bench->host, bench->image);
	lm_free(&bench->host, bench->workspace);
	lm_free(&bench->host, bench->logits);
}

static void
run_decode(Bench *bench, int n_sequences)
{
	Series speed = {.n = 0}, rate = {.n = 0}, share = {.n = 0};
	int n_tokens = product_bytes(bench) * n_sequences > 2e8 ? 4 : 40;

	for (int round = 0; round < bench->n_rounds; round++)
	{
		double reading = read_rate(bench), seconds = 0;

		decode(bench, n_sequences);
		for (int i = 0; i < n_tokens; i++)
			seconds += decode(bench, n_sequences);
		seconds /= n_tokens;
		add(&speed, n_sequences / seconds);
		add(&rate, product_bytes(bench) / seconds);
		add(&share, product_bytes(bench) / seconds / reading);
	}
	printf(
		"%s %-9s decode %2d         %8.1f (best %.1f) tokens/s %8.1f GB/s, %.3f of what is read\n",
		bench->name, bench->type->name, n_sequences, median(&speed), best(&speed),
		median(&rate) * 1e-9, median(&share));
}

static void
run_prefill(Bench *bench, bool all_wanted)
{
	Series speed = {.n = 0}, rate = {.n = 0}, share = {.n = 0};
	double flop = prefill_flop(bench, all_wanted);

	prefill(bench, all_wanted);
	for (int round = 0; round < bench->n_rounds; round++)
	{
		double peak = strcmp(bench->type->name, "bfloat16") == 0 ? peak_vdpbf16(bench->engine)
																 : peak_float32(bench->engine);
		double seconds = prefill(bench, all_wanted);

		add(&speed, PROMPT / seconds);
		add(&rate, flop / seconds);
		add(&share, peak > 0 ? flop / seconds / peak : 0);
	}
	printf("%s %-9s %s %d       %8.1f (best %.1f) tokens/s %8.1f GFLOP/s, %.3f of the peak in %s\n",
		   bench->name, bench->type->name, all_wanted ? "score  " : "prefill", PROMPT,
		   median(&speed), best(&speed), median(&rate) * 1e-9, median(&share),
		   strcmp(bench->type->name, "bfloat16") == 0 ? "vdpbf16ps" : "float32");
}

static void
run_type(Bench *bench, const LmWeightType *type)
{
	open_model(bench, type);
	for (int s = 0; s < MOST_SEQUENCES; s++)
	{
		for (int i = 0; i < POSITION; i++)
			bench->inputs[i] = (LmInput){(i * 31 + 7) % bench->config.vocabulary, s, i, false};
		infer(bench, POSITION);
	}
	for (int n = 1; n <= (bench->alone ? 1 : MOST_SEQUENCES); n = n == 1 ? 8 : n * 4)
		run_decode(bench, n);
	run_prefill(bench, false);
	if (!bench->alone)
		run_prefill(bench, true);
	close_model(bench);
}

/* The shapes of Llama that are measured. */
static LmConfig
llama_config(bool small)
{
	LmConfig config = lm_config_default();

	config.context = 2048;
	config.norm = LM_RMSNORM;
	config.position = LM_ROPE;
	config.mlp = LM_SWIGLU;
	config.bias = false;
	config.model_type = LM_LLAMA;
	config.layers = small ? 30 : 22;
	config.channels = small ? 576 : 2048;
	config.heads = small ? 9 : 32;
	config.kv_heads = small ? 3 : 4;
	config.mlp_channels = small ? 1536 : 5632;
	config.vocabulary = small ? 49152 : 32000;
	config.tie_embeddings = small;
	return config;
}

static void
run_shape(Bench *bench, const char *name, const char *type)
{
	LmError error = {0};

	bench->name = name;
	if (strcmp(name, "135M") == 0 || strcmp(name, "1.1B") == 0)
		bench->config = llama_config(strcmp(name, "135M") == 0);
	else
		bench->config = shape_config(shape_named(name));
	must(lm_config_check(&bench->config, &error), &error);
	bench->table = lm_param_table_create(&bench->host, &bench->config, &error);
	must(bench->table != NULL, &error);
	for (int i = 0; i < lm_weight_type_count(); i++)
		if (!type || strcmp(type, lm_weight_type(i)->name) == 0)
			run_type(bench, lm_weight_type(i));
	lm_param_table_free(&bench->host, bench->table);
}

int
main(int argc, char **argv)
{
	Bench bench = {.host = {bench_reallocate, NULL, NULL}};
	LmEngineOptions options = {.n_threads = getenv("THREADS") ? atoi(getenv("THREADS")) : 2};
	LmError error = {0};

	setvbuf(stdout, NULL, _IOLBF, 0);
	bench.engine = lm_engine_start(&bench.host, &options, &error);
	must(bench.engine != NULL, &error);
	bench.n_rounds = getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : 15;
	bench.n_rounds = bench.n_rounds < MOST_ROUNDS ? bench.n_rounds : MOST_ROUNDS;
	bench.buffer = lm_allocate_unset(&bench.host, READ_SIZE);
	must(bench.buffer != NULL, &error);
	memset(bench.buffer, 1, READ_SIZE);
	printf("%s, %d threads, read %.1f GB/s, peak %.0f GFLOP/s, vdpbf16ps %.0f\n",
		   lm_linear_infer_name(), lm_engine_threads(bench.engine), read_rate(&bench) * 1e-9,
		   peak_float32(bench.engine) * 1e-9, peak_vdpbf16(bench.engine) * 1e-9);
	bench.alone = getenv("ALONE") != NULL;
	if (argc > 1)
		run_shape(&bench, argv[1], argc > 2 ? argv[2] : NULL);
	else
	{
		run_shape(&bench, "M", NULL);
		run_shape(&bench, "S", NULL);
	}
	return bench.sum == 1;
}
