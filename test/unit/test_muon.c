/*
 * test/unit/test_muon.c
 *
 * Muon against its equations in double precision, and what a step with it promises.
 */
#include <math.h>

#include "kernels/bf16.h"
#include "train/muon.h"
#include "train_support.h"

static LmConfig
config_of(int channels, int mlp_channels)
{
	LmConfig config = small_config();

	config.channels = channels;
	config.mlp_channels = mlp_channels;
	return config;
}

/* Rows of length n: y = a b or a b'. */
TAP_TWIN static void
product(double *y, const double *a, const double *b, int m, int n, int k, bool transposed)
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
		{
			double sum = 0;

			for (int l = 0; l < k; l++)
				sum += a[i * k + l] * (transposed ? b[j * k + l] : b[l * n + j]);
			y[i * n + j] = sum;
		}
}

/*
 * Five iterations on x [rows, columns], as the equations have them; for more rows than columns on
 * the transposed.
 */
static void
newton_schulz(double *x, int rows, int columns)
{
	double *t = malloc(sizeof(double) * rows * columns),
		   *y = malloc(sizeof(double) * rows * columns);
	int m = rows < columns ? rows : columns, n = rows < columns ? columns : rows;
	double *a = malloc(sizeof(double) * m * m), *b = malloc(sizeof(double) * m * m);
	double norm = 0;

	for (int i = 0; i < rows * columns; i++)
		norm += x[i] * x[i];
	norm = sqrt(norm) + 1e-7;
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < columns; j++)
			t[rows <= columns ? i * columns + j : j * rows + i] = x[i * columns + j] / norm;
	for (int iteration = 0; iteration < 5; iteration++)
	{
		product(a, t, t, m, m, n, true);
		product(b, a, a, m, m, m, false);
		for (int i = 0; i < m * m; i++)
			b[i] = -4.7750 * a[i] + 2.0315 * b[i];
		product(y, b, t, m, n, m, false);
		for (int i = 0; i < m * n; i++)
			t[i] = 3.4445 * t[i] + y[i];
	}
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < columns; j++)
			x[i * columns + j] = t[rows <= columns ? i * columns + j : j * rows + i];
	free(t);
	free(y);
	free(a);
	free(b);
}

/*
 * Extreme eigenvalues of a symmetric matrix by cyclic Jacobi rotations (Golub and Van Loan 2013,
 * section 8.5), roots taken.
 */
TAP_TWIN static void
singular_values(double *least, double *most, const double *x, int rows, int columns)
{
	int n = rows < columns ? rows : columns;
	double *a = calloc((size_t) n * n, sizeof(double));

	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			for (int l = 0; l < (rows < columns ? columns : rows); l++)
				a[i * n + j] += rows < columns ? x[i * columns + l] * x[j * columns + l]
											   : x[l * columns + i] * x[l * columns + j];
	for (int sweep = 0; sweep < 12; sweep++)
		for (int p = 0; p < n; p++)
			for (int q = p + 1; q < n; q++)
			{
				double angle = 0.5 * atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]),
					   c = cos(angle), s = sin(angle);

				for (int i = 0; i < n; i++)
				{
					double u = a[i * n + p], v = a[i * n + q];

					a[i * n + p] = c * u - s * v;
					a[i * n + q] = s * u + c * v;
				}
				for (int i = 0; i < n; i++)
				{
					double u = a[p * n + i], v = a[q * n + i];

					a[p * n + i] = c * u - s * v;
					a[q * n + i] = s * u + c * v;
				}
			}
	*least = INFINITY;
	*most = 0;
	for (int i = 0; i < n; i++)
	{
		*least = fmin(*least, sqrt(fmax(0, a[i * n + i])));
		*most = fmax(*most, sqrt(fmax(0, a[i * n + i])));
	}
	free(a);
}

static float *
random_block(size_t count, float deviation, uint64_t state)
{
	float *block = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);

	for (size_t i = 0; i < count; i++)
		block[i] = deviation * ((float) (test_random(&state) % 2001) / 1000.0f - 1);
	return block;
}

/* One matrix [rows, columns] at a place of the blocks against the twin. */
static void
compare(double *difference, double *least, double *most, const float *directions,
		const float *moments, const float *gradient, float scale, size_t offset, int rows,
		int columns)
{
	double *x = malloc(sizeof(double) * rows * columns);
	double low, high;

	for (int i = 0; i < rows * columns; i++)
	{
		double g = (double) gradient[offset + i] * scale,
			   m = (double) LM_MUON_MOMENTUM * moments[offset + i] + g;

		x[i] = g + (double) LM_MUON_MOMENTUM * m;
	}
	newton_schulz(x, rows, columns);
	for (int i = 0; i < rows * columns; i++)
		*difference = fmax(*difference, fabs(x[i] - directions[offset + i]));
	for (int i = 0; i < rows * columns; i++)
		x[i] = directions[offset + i];
	singular_values(&low, &high, x, rows, columns);
	/* A square of random numbers has singular values near 0, which five iterations do not lift. */
	if (rows >= 2 * columns || columns >= 2 * rows)
		*least = fmin(*least, low);
	*most = fmax(*most, high);
	free(x);
}

static void
test_directions_of(const LmHost *host, LmConfig config, bool bf16)
{
	LmMuon muon = {.rate = 0.01f, .decay = 0.1f, .gradient_scale = 0.5f, .bf16 = bf16};
	double difference = 0, least = INFINITY, most = 0;
	float *moments, *gradient, *directions[3];
	LmParamTable *table;
	size_t scratch_size;
	void *scratch;
	bool same = true;
	LmError error;

	table = lm_param_table_create(host, &config, &error);
	if (!ok(table && lm_muon_scratch(&scratch_size, &table->config, bf16),
			"%d channels, %d in the MLP%s%s", config.channels, config.mlp_channels,
			lm_activation_is_gated(config.mlp) ? " with a gate" : "", bf16 ? ", bfloat16" : ""))
		return;
	moments = random_block(table->total, 1e-3f, 1);
	gradient = random_block(table->total, 1e-3f, 2);
	scratch = aligned_alloc(64, scratch_size);
	for (int i = 0; i < 3; i++)
	{
		LmEngine *engine = start_engine(host, i + 1);

		directions[i] = calloc(table->total, sizeof(float));
		lm_engine_begin(engine);
		lm_muon_directions(engine, directions[i], moments, gradient, table, &muon, scratch);
		same = same && memcmp(directions[i], directions[0], table->total * sizeof(float)) == 0;
		lm_engine_stop(engine);
	}
	ok(same, "one, two and three threads agree bit by bit");
	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		int rows[LM_FILE_PARTS], n = lm_param_stack(rows, param, &config);
		size_t offset = param->offset;

		/* Every block has the same matrices. */
		if (tap_is_sanitized() && param->layer > 0)
			continue;
		for (int part = 0; part < n && lm_muon_takes(param); part++)
		{
			compare(&difference, &least, &most, directions[0], moments, gradient,
					muon.gradient_scale, offset, rows[part], param->columns);
			offset += (size_t) rows[part] * (size_t) param->columns;
		}
	}
	is_near(difference, 0, bf16 ? 0.02 : 1e-5,
			"the directions are those of the equations in double precision");
	printf("# largest difference %.2g\n", difference);
	ok(least > 0.6 && most < 1.3, "their singular values lie near 1: %.3f to %.3f", least, most);
	for (int i = 0; i < 3; i++)
		free(directions[i]);
	free(moments);
	free(gradient);
	free(scratch);
	lm_param_table_free(host, table);
}

static void
test_directions(const LmHost *host, int channels, int mlp_channels, bool bf16)
{
	test_directions_of(host, config_of(channels, mlp_channels), bf16);
}

/* Queries, keys, values, gate and its factors are matrices of their own, of unequal sizes. */
static void
test_family(const LmHost *host)
{
	LmConfig config = config_of(40, 24);

	config.heads = 4;
	config.kv_heads = 1;
	config.head_size = 20;
	config.mlp = LM_SWIGLU;
	test_directions_of(host, config, false);
}

static void
fill(LmBatch *batch, const LmConfig *config, uint64_t seed)
{
	batch->n_tokens = 0;
	append_sequence(batch, 12, config->vocabulary, false, 0, &seed);
	append_sequence(batch, 12, config->vocabulary, false, 1, &seed);
}

/* p and m after the step, from those before, the gradient and the directions. */
static void
test_update(const LmHost *host)
{
	LmConfig config = small_config();
	LmTrainOptions options = small_options(24);
	LmEngine *engine = start_engine(host, 2);
	LmTrainer *trainer, *adamw;
	const LmParamTable *table;
	LmBatch batch = create_batch(host, 24);
	LmStepResult result;
	LmError error;
	float *before, *others;
	double wrong = 0, wrong_moment = 0, other = 0;
	float clip;

	options.warmup_steps = 0;
	adamw = create_trainer(engine, &config, &options);
	options.optimizer = LM_MUON;
	trainer = create_trainer(engine, &config, &options);
	table = lm_trainer_table(trainer);
	fill(&batch, &config, 3);
	before = malloc(table->total * sizeof(float));
	memcpy(before, lm_trainer_params(trainer), table->total * sizeof(float));
	if (!ok(lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, &error),
			"a step with Muon"))
		return;
	lm_trainer_step(&result, adamw, 0, &batch, 1, NULL, NULL, &error);
	clip = (float) fmin(1, options.grad_clip / (result.grad_norm + 1e-6));
	others = lm_trainer_params(adamw);
	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		int rows = param->kind == LM_ATTENTION_WEIGHT ? param->rows / 3 : param->rows;
		double larger = rows > param->columns ? rows : param->columns;

		for (size_t j = param->offset; j < param->offset + param->count; j++)
		{
			double p =
				before[j] * (1 - result.learning_rate * options.weight_decay) -
				result.learning_rate * 0.2 * sqrt(larger) * lm_trainer_moments(trainer, 1)[j];

			if (lm_muon_takes(param))
			{
				wrong = fmax(wrong, fabs(p - lm_trainer_params(trainer)[j]));
				wrong_moment =
					fmax(wrong_moment, fabs((double) clip * lm_trainer_gradient(trainer)[j] -
											lm_trainer_moments(trainer, 0)[j]));
			}
			else
				other = fmax(other, fabs((double) others[j] - lm_trainer_params(trainer)[j]));
		}
	}
	is_near(wrong, 0, 1e-7, "matrices go along their directions");
	is_near(wrong_moment, 0, 1e-8, "the moment is that of the clipped gradient");
	is_near(other, 0, 0, "everything else is updated by AdamW");
	lm_trainer_free(trainer);
	lm_trainer_free(adamw);
	lm_batch_free(&batch, host);
	free(before);
	lm_engine_stop(engine);
}

/* The host says stop while directions are computed: nothing has changed. */
static bool
stop_now(void *context, float *gradient, size_t count, LmError *error)
{
	((TapHost *) context)->stop = true;
	return true;
}

static void
test_stop(const LmHost *host, TapHost *state)
{
	LmConfig config = config_of(64, 256);
	LmTrainOptions options = small_options(24);
	LmEngine *engine = start_engine(host, 1);
	LmTrainer *trainer;
	LmBatch batch = create_batch(host, 24);
	LmStepResult result;
	LmError error;
	float *before;
	size_t size;
	bool done;

	options.optimizer = LM_MUON;
	trainer = create_trainer(engine, &config, &options);
	size = lm_trainer_table(trainer)->total * sizeof(float);
	before = malloc(2 * size);
	memcpy(before, lm_trainer_params(trainer), size);
	memcpy((char *) before + size, lm_trainer_moments(trainer, 0), size);
	fill(&batch, &config, 3);
	done = lm_trainer_step(&result, trainer, 0, &batch, 1, stop_now, state, &error);
	state->stop = false;
	ok(!done && error.code == LM_ERR_STOPPED, "a stop after the gradient stops the step");
	ok(memcmp(before, lm_trainer_params(trainer), size) == 0 &&
		   memcmp((char *) before + size, lm_trainer_moments(trainer, 0), size) == 0,
	   "and leaves parameters and moments as they were");
	lm_trainer_free(trainer);
	lm_batch_free(&batch, host);
	free(before);
	lm_engine_stop(engine);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_directions(&host, 16, 64, false);
	test_directions(&host, 40, 24, false);
	test_directions(&host, 200, 232, false);
	test_family(&host);
	test_directions(&host, 40, 24, true);
	if (lm_bf16_best())
	{
		test_directions(&host, 64, 256, true);
		test_directions(&host, 224, 96, true);
	}
	test_update(&host);
	test_stop(&host, &state);
	is_int(state.live, 0, "nothing is left");
	return done_testing();
}
