/*
 * test/unit/test_heads.c
 *
 * Queries and keys of heads against their naive twin in float64 and its central differences, the
 * tables of rotations against those of Hugging Face, and the bits against the number of threads.
 */
#include "kernels.h"

#define ROWS 70
#define CONTEXT 100

typedef struct Case
{
	const char *name;
	int heads;
	int kv_heads;
	int head_size;
	int rotary_size; /* 0: not rotated */
	LmRopeStyle style;
	bool norm;
} Case;

typedef struct Arrays
{
	const Case *of;
	LmEngine *engine;
	LmHeads heads;
	size_t row_size, n_heads, count;
	float *qkv, *before, *raw, *rstd, *weights, *dweights, *table, *dy, *dx;
	int32_t positions[ROWS];
	void *scratch;
} Arrays;

static Arrays
make_arrays(const Case *of, LmEngine *engine)
{
	size_t size = (size_t) of->head_size;
	LmRotation rotation = {.size = of->rotary_size, .base = 500};
	Arrays a = {.of = of, .engine = engine, .n_heads = (size_t) (of->heads + of->kv_heads)};

	a.row_size = (a.n_heads + (size_t) of->kv_heads) * size;
	a.count = ROWS * a.row_size;
	a.before = random_floats(a.count, 1, 5);
	a.qkv = copy_floats(a.before, a.count);
	a.raw = zero_array(ROWS * a.n_heads * size);
	a.rstd = zero_array(ROWS * a.n_heads);
	a.weights = random_floats(2 * size, 1, 6);
	a.dweights = zero_array(2 * size);
	a.table = zero_array((size_t) CONTEXT * (size_t) of->rotary_size);
	a.dy = random_floats(a.count, 1, 7);
	a.dx = copy_floats(a.dy, a.count);
	a.scratch = test_scratch(lm_heads_backward_scratch(ROWS, of->head_size));
	lm_rotary(a.table, &rotation, CONTEXT);
	for (int row = 0; row < ROWS; row++)
		a.positions[row] = (row * 37) % CONTEXT;
	a.heads = (LmHeads){.heads = of->heads,
						.kv_heads = of->kv_heads,
						.head_size = of->head_size,
						.query_weight = of->norm ? a.weights : NULL,
						.key_weight = of->norm ? a.weights + size : NULL,
						.epsilon = 1e-5f,
						.rotary_size = of->rotary_size,
						.style = of->style,
						.rotary = of->rotary_size > 0 ? a.table : NULL};
	return a;
}

static void
free_arrays(Arrays *a)
{
	free(a->qkv);
	free(a->before);
	free(a->raw);
	free(a->rstd);
	free(a->weights);
	free(a->dweights);
	free(a->table);
	free(a->dy);
	free(a->dx);
	free(a->scratch);
}

static void
both_ways(Arrays *a)
{
	size_t size = (size_t) a->of->head_size;

	lm_heads_forward(a->engine, a->qkv, a->of->norm ? a->raw : NULL, a->of->norm ? a->rstd : NULL,
					 a->positions, &a->heads, ROWS);
	lm_heads_backward(a->engine, a->dx, a->dweights, a->dweights + size, a->raw, a->rstd,
					  a->positions, &a->heads, ROWS, a->scratch);
}

/* One head of float64: the pairs of its first elements as complex numbers, by the definition. */
static void
twin(double *y, const double *x, const double *weight, const Case *of, int position)
{
	int size = of->head_size, half = of->rotary_size / 2;
	double squares = 0;

	for (int i = 0; i < size; i++)
		squares += x[i] * x[i] / size;
	for (int i = 0; i < size; i++)
		y[i] = of->norm ? x[i] / sqrt(squares + 1e-5) * weight[i] : x[i];
	for (int i = 0; i < half; i++)
	{
		double angle = position / pow(500, 2.0 * i / of->rotary_size);
		double *a = of->style == LM_ROPE_HALF ? &y[i] : &y[2 * i];
		double *b = of->style == LM_ROPE_HALF ? &y[i + half] : a + 1;
		double old = *a;

		*a = old * cos(angle) - *b * sin(angle);
		*b = *b * cos(angle) + old * sin(angle);
	}
}

static double
twin_objective(const double *x, const double *weight, const float *dy, const Case *of, int position)
{
	double y[256], sum = 0;

	twin(y, x, weight, of, position);
	for (int i = 0; i < of->head_size; i++)
		sum += y[i] * dy[i];
	return sum;
}

/* Central differences of one head's elements, and of its weight, which are added to dweight. */
static double
worst_slope(const Arrays *a, double *x, double *weight, double *dweight, size_t offset,
			int position)
{
	const double step = 1e-5;
	double worst = 0;

	for (int i = 0; i < 2 * a->of->head_size; i++)
	{
		bool is_weight = i >= a->of->head_size;
		double *at = is_weight ? &weight[i - a->of->head_size] : &x[i], old = *at, slope;

		*at = old + step;
		slope = twin_objective(x, weight, a->dy + offset, a->of, position);
		*at = old - step;
		slope -= twin_objective(x, weight, a->dy + offset, a->of, position);
		*at = old;
		slope /= 2 * step;
		if (is_weight)
			dweight[i - a->of->head_size] += slope;
		else
			worst = fmax(worst, fabs(a->dx[offset + (size_t) i] - slope) / (1 + fabs(slope)));
	}
	return worst;
}

static void
test_case(const Case *of, LmEngine *engine)
{
	Arrays a = make_arrays(of, engine);
	double x[256], y[256], weight[256], dweight[512] = {0};
	double worst = 0, worst_dx = 0, worst_dweight = 0;
	int size = of->head_size;
	bool values_stay = true;

	both_ways(&a);
	for (int row = 0; row < ROWS; row++)
	{
		for (int head = 0; head < of->heads + of->kv_heads; head++)
		{
			size_t offset = (size_t) row * a.row_size + (size_t) (head * size);
			int part = head < of->heads ? 0 : size;

			for (int i = 0; i < size; i++)
			{
				x[i] = a.before[offset + (size_t) i];
				weight[i] = a.weights[part + i];
			}
			twin(y, x, weight, of, a.positions[row]);
			for (int i = 0; i < size; i++)
				worst = fmax(worst, fabs(a.qkv[offset + (size_t) i] - y[i]));
			worst_dx = fmax(worst_dx,
							worst_slope(&a, x, weight, dweight + part, offset, a.positions[row]));
		}
		for (size_t i = a.n_heads * (size_t) size; i < a.row_size; i++)
			values_stay &=
				a.qkv[(size_t) row * a.row_size + i] == a.before[(size_t) row * a.row_size + i] &&
				a.dx[(size_t) row * a.row_size + i] == a.dy[(size_t) row * a.row_size + i];
	}
	for (int i = 0; i < 2 * size; i++)
		worst_dweight = fmax(worst_dweight, fabs(a.dweights[i] - (of->norm ? dweight[i] : 0)) /
												(1 + fabs(dweight[i])));
	ok(worst < 3e-6, "%s: queries and keys agree with float64: %.1e", of->name, worst);
	ok(worst_dx < 2e-6 && worst_dweight < 2e-5,
	   "%s: gradients agree with central differences: %.1e, weights %.1e", of->name, worst_dx,
	   worst_dweight);
	ok(values_stay, "%s: values are not touched", of->name);
	free_arrays(&a);
}

/* Both styles in each instruction set, at sizes beside those of vectors. */
static void
test_styles(const LmSimd *simd)
{
	double worst = 0, worst_back = 0;

	for (int size = 2; size <= 80; size += 2)
		for (int style = 0; style < 2; style++)
		{
			Case of = {.head_size = size, .rotary_size = size, .style = (LmRopeStyle) style};
			LmRotation rotation = {.size = size, .base = 500};
			float *x = random_floats(81, 1, 1), *y = copy_floats(x, 81), table[8 * 80];
			double exact_x[80], exact[80];

			lm_rotary(table, &rotation, 8);
			for (int i = 0; i < size; i++)
				exact_x[i] = x[i];
			twin(exact, exact_x, NULL, &of, 7);
			(style == LM_ROPE_HALF ? simd->rotate : simd->rotate_pairs)(y, table + 7 * size, size,
																		1);
			for (int i = 0; i < size; i++)
				worst = fmax(worst, fabs(y[i] - exact[i]));
			worst = fmax(worst, fabsf(y[size] - x[size]));
			(style == LM_ROPE_HALF ? simd->rotate : simd->rotate_pairs)(y, table + 7 * size, size,
																		-1);
			for (int i = 0; i < size; i++)
				worst_back = fmax(worst_back, fabsf(y[i] - x[i]));
			free(x);
			free(y);
		}
	ok(worst < 1e-6 && worst_back < 1e-6,
	   "%s: rotations of 2 to 80 elements, and back, within 1e-6: %.1e %.1e", simd->name, worst,
	   worst_back);
}

typedef struct Frequency
{
	int pair;
	double value;
} Frequency;

typedef struct Table
{
	const char *name;
	LmRotation rotation;
	double factor;
	Frequency frequencies[9];
} Table;

/*
 * Inverse frequencies and factors that Hugging Face's transformers 5.12 computes from the same
 * parameters (modeling_rope_utils.py, ROPE_INIT_FUNCTIONS, float32).
 */
static const Table tables[] = {
	{"linear",
	 {.size = 64, .base = 1e6f, .scaling = LM_ROPE_LINEAR, .factor = 8},
	 1,
	 {{0, 0.125},
	  {1, 0.0811727047},
	  {8, 0.00395284733},
	  {10, 0.00166690187},
	  {16, 0.000125000006},
	  {21, 1.44347741e-05},
	  {24, 3.95284678e-06},
	  {30, 2.96421717e-07},
	  {31, 1.92490816e-07}}},
	{"llama3",
	 {.size = 64,
	  .base = 5e5f,
	  .scaling = LM_ROPE_LLAMA3,
	  .factor = 32,
	  .low = 1,
	  .high = 4,
	  .original_context = 8192},
	 1,
	 {{0, 1},
	  {1, 0.663601279},
	  {8, 0.0376060307},
	  {10, 0.0165604409},
	  {16, 0.000429556705},
	  {21, 5.68723226e-06},
	  {24, 1.66196742e-06},
	  {30, 1.41927202e-07},
	  {31, 9.41830649e-08}}},
	{"yarn",
	 {.size = 128,
	  .base = 1e6f,
	  .scaling = LM_ROPE_YARN,
	  .factor = 4,
	  .low = 1,
	  .high = 32,
	  .original_context = 32768},
	 1.138629436111989,
	 {{0, 1},
	  {1, 0.805842221},
	  {16, 0.0316227786},
	  {21, 0.0107460786},
	  {32, 0.000602941145},
	  {42, 2.88695483e-05},
	  {48, 7.90569356e-06},
	  {62, 3.84981632e-07},
	  {63, 3.10234441e-07}}},
	{"yarn with its own factor",
	 {.size = 32,
	  .base = 1e4f,
	  .scaling = LM_ROPE_YARN,
	  .factor = 16,
	  .low = 2,
	  .high = 16,
	  .original_context = 2048,
	  .attention = 1.5f},
	 1.5,
	 {{0, 1},
	  {1, 0.562341332},
	  {4, 0.100000001},
	  {5, 0.0562341288},
	  {8, 0.00296874996},
	  {10, 0.000197642366},
	  {12, 6.2500003e-05},
	  {14, 1.97642366e-05},
	  {15, 1.11142463e-05}}},
};

/* At position 1 the angle is the frequency. */
static void
test_scalings(void)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
	{
		int size = tables[i].rotation.size;
		float *table = zero_array(2 * (size_t) size);
		double worst = 0, worst_factor = 0;

		lm_rotary(table, &tables[i].rotation, 2);
		for (int j = 0; j < 9; j++)
		{
			Frequency frequency = tables[i].frequencies[j];
			double cosine = table[size + frequency.pair];
			double sine = table[size + size / 2 + frequency.pair];

			worst = fmax(worst, fabs(atan2(sine, cosine) / frequency.value - 1));
			worst_factor = fmax(worst_factor, fabs(hypot(sine, cosine) / tables[i].factor - 1));
		}
		ok(worst < 1e-6 && worst_factor < 1e-6, "%s: frequencies are Hugging Face's: %.1e %.1e",
		   tables[i].name, worst, worst_factor);
		free(table);
	}
}

static void
test_threads(const Case *of)
{
	Arrays one = {0};

	for (int n_threads = 1; n_threads <= 8; n_threads *= 2)
	{
		LmEngine *engine = test_engine(n_threads, "");
		Arrays a = make_arrays(of, engine);

		both_ways(&a);
		if (n_threads == 1)
			one = a;
		else
		{
			ok(same_bits(one.qkv, a.qkv, a.count) && same_bits(one.dx, a.dx, a.count) &&
				   same_bits(one.dweights, a.dweights, 2 * (size_t) of->head_size),
			   "%d threads give the same bits as one", n_threads);
			free_arrays(&a);
		}
		lm_engine_stop(engine);
	}
	free_arrays(&one);
}

int
main(void)
{
	static const Case cases[] = {
		{"3 heads of 32", 3, 3, 32, 32, LM_ROPE_HALF, true},
		{"2 heads of 6", 2, 2, 6, 6, LM_ROPE_HALF, true},
		{"a head of 74", 1, 1, 74, 74, LM_ROPE_HALF, true},
		{"no norm", 3, 3, 20, 20, LM_ROPE_HALF, false},
		{"6 heads over 2", 6, 2, 16, 16, LM_ROPE_HALF, true},
		{"4 heads over 1, no norm", 4, 1, 24, 24, LM_ROPE_HALF, false},
		{"a quarter is rotated", 2, 2, 64, 16, LM_ROPE_HALF, false},
		{"a part is rotated after a norm", 4, 2, 26, 10, LM_ROPE_HALF, true},
		{"interleaved", 3, 3, 32, 32, LM_ROPE_INTERLEAVED, false},
		{"interleaved, a part, 4 heads over 2", 4, 2, 33, 18, LM_ROPE_INTERLEAVED, true},
		{"norm alone", 4, 2, 17, 0, LM_ROPE_HALF, true},
		{"neither norm nor rotation", 2, 1, 8, 0, LM_ROPE_HALF, false},
	};
	LmEngine *engine = test_engine(2, "");
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		test_case(&cases[i], engine);
	lm_engine_stop(engine);
	for (int i = 0; i < n_simds; i++)
		test_styles(simds[i]);
	test_scalings();
	test_threads(&cases[7]);
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
