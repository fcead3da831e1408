/*
 * bench/passes.c WORK [MODEL]
 *
 * The passes of training that are not products, on THREADS threads (2):
 *
 *   update MODEL   milliseconds of the gradient's norm and of AdamW over the model's parameters,
 *                  beside a pass that only clears the gradient
 *   tokens FILE    megabytes a second of encoding the file's paragraphs (cut at empty lines), by a
 *                  byte-level BPE of 8,192 tokens that is trained on them, on 1 thread and on
 *                  THREADS
 */
#include "shapes.h"
#include "train/adamw.h"

#include "engine/tokenizer.h"
#include "model/network.h"

#define ROUNDS 15

typedef struct Update
{
	LmEngine *engine;
	const LmParamTable *table;
	float *blocks[4]; /* parameters, moments, gradient */
	LmAdamWRange *ranges;
	void *scratch;
	double sum;
} Update;

static const LmAdamW decayed = {1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.5f, 0.9f};
static const LmAdamW plain = {1e-4f, 0.9f, 0.95f, 1e-8f, 0, 0.5f, 0.5f, 0.9f};

static void
clear(void *work)
{
	Update *update = work;

	lm_zero(update->engine, update->blocks[3], update->table->total);
}

static void
norm(void *work)
{
	Update *update = work;

	update->sum +=
		lm_sum_squares(update->engine, update->blocks[3], update->table->total, update->scratch);
}

static void
adamw(void *work)
{
	Update *update = work;

	lm_adamw_sweep(update->engine, update->blocks[0], update->blocks[1], update->blocks[2],
				   update->blocks[3], update->ranges, update->table->n_params);
}

static void
report(const char *name, double bytes, double *seconds)
{
	qsort(seconds, ROUNDS, sizeof(double), compare_doubles);
	printf("%-24s %8.2f ms median %8.2f ms best %7.1f GB/s\n", name, seconds[ROUNDS / 2] * 1e3,
		   seconds[0] * 1e3, bytes / seconds[ROUNDS / 2] / 1e9);
}

static void
update_mode(LmEngine *engine, const LmHost *host, const Shape *shape)
{
	LmConfig config = shape_config(shape);
	LmError error = {0};
	Update update = {engine, lm_param_table_create(host, &config, &error)};
	double seconds[4][ROUNDS], bytes = 4;
	void (*tasks[3])(void *) = {clear, norm, adamw};

	must(update.table != NULL, &error);
	bytes *= update.table->total;
	for (int i = 0; i < 4; i++)
	{
		update.blocks[i] = lm_allocate_unset(host, update.table->total * sizeof(float));
		must(update.blocks[i] != NULL, &error);
		lm_params_init(engine, update.blocks[i], update.table, i);
	}
	for (size_t i = 0; i < update.table->total; i++)
		update.blocks[2][i] *= update.blocks[2][i];
	update.scratch = lm_allocate(host, lm_sum_squares_scratch(update.table->total));
	update.ranges = lm_allocate(host, update.table->n_params * sizeof(LmAdamWRange));
	for (int i = 0; i < update.table->n_params; i++)
	{
		const LmParam *param = &update.table->params[i];

		update.ranges[i] =
			(LmAdamWRange){param->offset, param->count, param->decay ? &decayed : &plain, 0};
	}
	for (int round = 0; round < ROUNDS; round++)
	{
		double started = seconds_now();

		for (int task = 0; task < 3; task++)
		{
			double before = seconds_now();

			tasks[task](&update);
			seconds[task][round] = seconds_now() - before;
		}
		seconds[3][round] = seconds_now() - started - seconds[0][round];
	}
	printf("%s, %zu parameters, %d threads\n", shape->name, update.table->parameter_count,
		   lm_engine_threads(engine));
	report("clear (no longer done)", bytes, seconds[0]);
	report("norm", bytes, seconds[1]);
	report("AdamW", 7 * bytes, seconds[2]);
	report("norm and AdamW", 8 * bytes, seconds[3]);
}

typedef struct Paragraphs
{
	LmEncoding *all;
	int count;
	size_t size;
} Paragraphs;

static Paragraphs
read_paragraphs(const char *path)
{
	Paragraphs paragraphs = {NULL, 0, 0};
	FILE *file = fopen(path, "rb");
	char *text, *end;
	long size;

	if (!file)
	{
		fprintf(stderr, "cannot open %s\n", path);
		exit(2);
	}
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = calloc(size + 1, 1);
	size = fread(text, 1, size, file);
	fclose(file);
	paragraphs.all = calloc(size / 2 + 2, sizeof(LmEncoding));
	for (char *at = text; at < text + size; at = end)
	{
		LmEncoding *document = &paragraphs.all[paragraphs.count++];

		end = strstr(at, "\n\n");
		end = end ? end + 2 : text + size;
		document->text = at;
		document->size = document->capacity = end - at;
		document->ids = malloc(document->size * sizeof(int32_t));
		paragraphs.size += document->size;
	}
	return paragraphs;
}

static double
encode_all(LmEncoder *encoder, LmEngine *engine, const Paragraphs *paragraphs, int64_t *n_tokens)
{
	double started = seconds_now();

	*n_tokens = 0;
	lm_engine_begin(engine);
	for (int first = 0; first < paragraphs->count; first += LM_ENCODER_DOCUMENTS)
	{
		int left = paragraphs->count - first;

		lm_encoder_run(encoder, paragraphs->all + first,
					   left < LM_ENCODER_DOCUMENTS ? left : LM_ENCODER_DOCUMENTS);
	}
	started = seconds_now() - started;
	for (int i = 0; i < paragraphs->count; i++)
		*n_tokens += paragraphs->all[i].count;
	return started;
}

static void
tokens_mode(LmEngine *many, const LmHost *host, const char *path)
{
	LmEngineOptions options = {1, ""};
	LmError error = {0};
	LmEngine *engines[2] = {lm_engine_start(host, &options, &error), many};
	LmEncoder *encoders[2];
	LmBpeTrainer *trainer = lm_bpe_trainer_create(host, NULL, &error);
	Paragraphs paragraphs = read_paragraphs(path);
	LmTokenizer *tokenizer;
	double seconds[2][ROUNDS];
	int64_t n_tokens[2];
	int n_reached;

	for (int i = 0; i < paragraphs.count; i++)
		must(lm_bpe_trainer_add(trainer, paragraphs.all[i].text, paragraphs.all[i].size, &error),
			 &error);
	tokenizer =
		lm_tokenizer_create(host, lm_bpe_trainer_finish(trainer, 8192, &n_reached, &error), &error);
	must(tokenizer != NULL, &error);
	for (int i = 0; i < 2; i++)
	{
		encoders[i] = lm_encoder_create(engines[i], tokenizer, host, &error);
		must(encoders[i] != NULL, &error);
		encode_all(encoders[i], engines[i], &paragraphs, &n_tokens[i]);
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < 2; i++)
			seconds[i][round] = encode_all(encoders[i], engines[i], &paragraphs, &n_tokens[i]);
	for (int i = 0; i < 2; i++)
	{
		qsort(seconds[i], ROUNDS, sizeof(double), compare_doubles);
		printf("%d threads: %.1f MB/s median %.1f best (%zu bytes, %d documents, %lld tokens)\n",
			   lm_engine_threads(engines[i]), paragraphs.size / seconds[i][ROUNDS / 2] / 1e6,
			   paragraphs.size / seconds[i][0] / 1e6, paragraphs.size, paragraphs.count,
			   (long long) n_tokens[i]);
	}
}

int
main(int argc, char **argv)
{
	const char *work = argc > 1 ? argv[1] : "";
	LmHost host = {.reallocate = bench_reallocate};
	LmEngineOptions options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 2, ""};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &options, &error);

	must(engine != NULL, &error);
	if (strcmp(work, "update") == 0)
		update_mode(engine, &host, shape_named(argc > 2 ? argv[2] : "M"));
	else if (strcmp(work, "tokens") == 0 && argc > 2)
		tokens_mode(engine, &host, argv[2]);
	else
	{
		fprintf(stderr, "usage: %s update [XS|S|M] | tokens FILE\n", argv[0]);
		return 2;
	}
	lm_engine_stop(engine);
	return 0;
}
