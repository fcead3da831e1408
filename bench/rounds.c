/*
 * bench/rounds.c FILE MEMBERS STEPS ROUND BITS_UP BITS_DOWN
 *
 * DiLoCo (engine/outer.h) of MEMBERS that are simulated in one process: each trains MODEL (XS) on
 * the bytes of its own part of a text, STEPS steps of BATCH (1,024) tokens, and they meet after
 * each ROUND steps. With 1 of MEMBERS, one server on the whole text. Prints the validation loss on
 * the beginning of the last tenth. SEED, RATE (of the learning rate, which is that of gpt_train),
 * OPTIMIZER (muon) and THREADS (1) change it. OUTER=plain leaves out packing and momentum: the mean
 * of the weights.
 */
#include <math.h>

#include "engine/outer.h"
#include "engine/trainer.h"
#include "shapes.h"

#define VALIDATION_TOKENS 131072

typedef struct Text
{
	const unsigned char *bytes;
	size_t size;
} Text;

typedef struct Member
{
	LmTrainer *trainer;
	Text text;
	float *common;
	float *left;
	uint64_t random;
} Member;

/* The state of all meetings. */
typedef struct Meeting
{
	LmEngine *engine;
	size_t count;
	double rates; /* of the steps since the last one */
	float *sum;
	float *momentum;
	float *left;
	uint8_t *packed;
	int up;
	int down;
	double bytes;
} Meeting;

static Text
read_text(const char *path)
{
	FILE *file = fopen(path, "rb");
	unsigned char *bytes = malloc(1 << 26);
	Text text = {bytes, 0};

	if (!file)
	{
		perror(path);
		exit(1);
	}
	text.size = fread(bytes, 1, 1 << 26, file);
	fclose(file);
	return text;
}

/* Windows of a text at random places, or one after another from *at on. */
static void
fill(LmBatch *batch, int tokens, Text text, int context, uint64_t *random, size_t *at)
{
	batch->n_tokens = tokens;
	for (int first = 0; first < tokens; first += context)
	{
		size_t place;

		*random = *random * 6364136223846793005u + 1442695040888963407u;
		place = at ? *at : (size_t) (*random >> 20) % (text.size - (size_t) context - 1);
		for (int t = 0; t < context; t++)
		{
			int row = first + t;

			batch->tokens[row] = text.bytes[place + (size_t) t];
			batch->targets[row] = text.bytes[place + (size_t) t + 1];
			batch->weights[row] = 1;
			batch->positions[row] = t;
			batch->starts[row] = batch->prefixes[row] = first;
			batch->examples[row] = first / context;
		}
		if (at)
			*at += (size_t) context;
	}
}

static double
validate(LmTrainer *trainer, int tokens, Text text, int context, LmBatch *batch)
{
	double sum = 0, weight = 0;
	uint64_t random = 1;
	LmError error;

	for (size_t at = 0; at + (size_t) tokens < text.size;)
	{
		fill(batch, tokens, text, context, &random, &at);
		must(lm_trainer_evaluate(&sum, &weight, trainer, batch, &error), &error);
	}
	return sum / weight;
}

static void
meet(Meeting *meeting, Member *members, int n)
{
	size_t count = meeting->count;
	LmError error;

	lm_engine_begin(meeting->engine);
	memset(meeting->sum, 0, count * sizeof(float));
	if (getenv("OUTER"))
	{
		for (int k = 0; k < n; k++)
			for (size_t i = 0; i < count; i++)
				meeting->sum[i] += lm_trainer_params(members[k].trainer)[i] / (float) n;
		for (int k = 0; k < n; k++)
			memcpy(lm_trainer_params(members[k].trainer), meeting->sum, count * sizeof(float));
		return;
	}
	for (int k = 0; k < n; k++)
	{
		must(lm_outer_difference(meeting->packed, members[k].left, members[k].common,
								 lm_trainer_params(members[k].trainer), count, meeting->up,
								 meeting->engine, &error),
			 &error);
		lm_outer_add(meeting->sum, meeting->packed, 1.0f / (float) n, count, meeting->up,
					 meeting->engine);
	}
	must(lm_outer_update(meeting->packed, meeting->momentum, meeting->left, meeting->sum,
						 (float) meeting->rates, count, meeting->down, meeting->engine, &error),
		 &error);
	for (int k = 0; k < n; k++)
		lm_outer_apply(members[k].common, lm_trainer_params(members[k].trainer), meeting->packed,
					   count, meeting->down, meeting->engine);
	meeting->rates = 0;
	meeting->bytes +=
		(double) lm_outer_size(count, meeting->up) + (double) lm_outer_size(count, meeting->down);
}

int
main(int argc, char **argv)
{
	const Shape *shape = shape_named(getenv("MODEL") ? getenv("MODEL") : "XS");
	Text text = read_text(argc > 1 ? argv[1] : "/dev/null"), held;
	int n = argc > 2 ? atoi(argv[2]) : 2, steps = argc > 3 ? atoi(argv[3]) : 100;
	int round = argc > 4 ? atoi(argv[4]) : 50;
	int tokens = getenv("BATCH") ? atoi(getenv("BATCH")) : 1024;
	LmHost host = {.reallocate = bench_reallocate};
	LmEngineOptions engine_options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 1};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	Meeting meeting = {
		.engine = engine, .up = argc > 5 ? atoi(argv[5]) : 8, .down = argc > 6 ? atoi(argv[6]) : 8};
	LmConfig config = shape_config(shape);
	LmTrainOptions options = lm_train_options_default();
	Member members[64];
	LmBatch batch;

	must(engine != NULL, &error);
	config.vocabulary = 256;
	options.max_tokens = tokens;
	options.steps = steps;
	options.precision = lm_engine_bf16(engine) ? LM_BFLOAT16 : LM_FLOAT32;
	options.optimizer = LM_MUON;
	if (getenv("OPTIMIZER") && strcmp(getenv("OPTIMIZER"), "adamw") == 0)
		options.optimizer = LM_ADAMW;
	options.beta2 = tokens < 8192 ? 0.99 : 0.95;
	options.learning_rate = fmin(3e-3, 0.4 / shape->channels) * fmin(sqrt(n), 2);
	if (getenv("RATE"))
		options.learning_rate = atof(getenv("RATE"));
	options.min_learning_rate = options.learning_rate / 10;
	options.warmup_steps = steps / 20 < 100 ? steps / 20 : 100;
	options.seed = getenv("SEED") ? (uint64_t) atoi(getenv("SEED")) : 1;
	must(lm_batch_create(&batch, &host, tokens, &error), &error);
	held = (Text){text.bytes + text.size / 10 * 9, text.size / 10};
	if (held.size > VALIDATION_TOKENS + 1)
		held.size = VALIDATION_TOKENS + 1;
	text.size = text.size / 10 * 9;
	for (int k = 0; k < n; k++)
	{
		Member *member = &members[k];

		member->trainer = lm_trainer_create(engine, &config, &options, &error);
		must(member->trainer != NULL, &error);
		meeting.count = lm_trainer_table(member->trainer)->total;
		member->text =
			(Text){text.bytes + text.size / (size_t) n * (size_t) k, text.size / (size_t) n};
		member->random = options.seed * 100 + (uint64_t) k;
		member->left = calloc(meeting.count, sizeof(float));
		member->common = malloc(meeting.count * sizeof(float));
		memcpy(member->common, lm_trainer_params(member->trainer), meeting.count * sizeof(float));
	}
	meeting.sum = calloc(meeting.count, sizeof(float));
	meeting.momentum = calloc(meeting.count, sizeof(float));
	meeting.left = calloc(meeting.count, sizeof(float));
	meeting.packed = malloc(lm_outer_size(meeting.count, 8));
	for (int step = 0; step < steps; step++)
	{
		for (int k = 0; k < n; k++)
		{
			LmStepResult result;

			fill(&batch, tokens, members[k].text, shape->context, &members[k].random, NULL);
			must(lm_trainer_step(&result, members[k].trainer, step, &batch, 1, NULL, NULL, &error),
				 &error);
		}
		meeting.rates += lm_learning_rate(&options, step);
		if (n > 1 && ((step + 1) % round == 0 || step + 1 == steps))
			meet(&meeting, members, n);
	}
	printf("%s, %s, rate %g: %d members, %d steps each of %d tokens, rounds of %d, %d bits up, "
		   "%d down: %.3f MB a member, validation loss %.4f\n",
		   shape->name, lm_optimizer_name(options.optimizer), options.learning_rate, n, steps,
		   tokens, round, meeting.up, meeting.down, meeting.bytes * 1e-6,
		   validate(members[0].trainer, tokens, held, shape->context, &batch));
	return 0;
}
