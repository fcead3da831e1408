/*
 * test/unit/test_panels.c
 *
 * Products for inference in each type of image: packing and its rounding, every kernel against the
 * naive twin, and the bits of a row against the number of rows and of threads.
 */
#include "kernels.h"
#include "kernels/bf16.h"
#include "kernels/panels.h"
#include "kernels/weight_types.h"

typedef struct Case
{
	LmLinear linear;
	int n_rows;
	size_t size;
	float *x, *w, *bias, *y, *wanted;
} Case;

static Case
make_case(const LmWeightType *type, int n_rows, int n_in, int n_out)
{
	Case c = {.n_rows = n_rows};
	void *panels;

	c.x = random_floats((size_t) n_rows * n_in, 1, 1);
	c.w = random_floats((size_t) n_out * n_in, 0.1f, 2);
	c.bias = random_floats((size_t) n_out, 1, 3);
	c.y = zero_array((size_t) n_rows * n_out);
	c.wanted = zero_array((size_t) n_rows * n_out);
	lm_linear_panels_size(&c.size, type, n_in, n_out);
	panels = test_scratch(c.size);
	memset(panels, 0xA5, c.size);
	lm_linear_pack(panels, type, c.w, n_in, n_out);
	c.linear =
		(LmLinear){.n_in = n_in, .n_out = n_out, .bias = c.bias, .panels = panels, .type = type};
	return c;
}

static void
free_case(Case *c)
{
	free(c->x);
	free(c->w);
	free(c->bias);
	free(c->y);
	free(c->wanted);
	free((void *) c->linear.panels);
}

static int
all_kernels(const LmPanelKernels *kernels[5])
{
	const LmPanelKernels *const known[] = {&lm_panels_base, &lm_panels_avx2, &lm_panels_avx512,
										   &lm_panels_avx512vnni, &lm_panels_avx512bf16};
	const LmPanelKernels *best = lm_panel_kernels();
	int n = 0;

	do
		kernels[n] = known[n];
	while (kernels[n++] != best);
	return n;
}

static void
multiply(const LmPanelKernels *kernels, const Case *c, float *y, const float *x, int n_rows)
{
	LmPanelRows rows = {x, n_rows, c->linear.n_in, NULL};

	kernels->multiply(c->linear.type, y, &rows, c->linear.panels, c->bias, c->linear.n_out,
					  c->linear.n_out);
}

/* The same from rows that were packed before, in three parts, the last one first. */
static void
multiply_packed(const LmPanelKernels *kernels, const Case *c, float *y, const float *x, int n_rows)
{
	size_t size = lm_linear_infer_scratch(n_rows, c->linear.n_in);
	uint32_t *packed = malloc(size); /* and not a byte more: the sanitizer sees it */
	LmPanelRows rows = {x, n_rows, c->linear.n_in, NULL};

	memset(packed, 0xff, size);
	for (int part = 2; part >= 0; part--)
		kernels->pack(c->linear.type, packed, &rows, part, 3);
	rows.packed = packed;
	kernels->multiply(c->linear.type, y, &rows, c->linear.panels, c->bias, c->linear.n_out,
					  c->linear.n_out);
	free(packed);
}

/* Rows 1 .. n_rows at once, against the naive twin. */
static void
test_kernels(const LmWeightType *type, int n_rows, int n_in, int n_out)
{
	Case c = make_case(type, n_rows, n_in, n_out);
	const LmPanelKernels *kernels[5];
	int n_kernels = all_kernels(kernels);

	lm_panel_multiply_naive(c.wanted, c.x, &c.linear, n_rows);
	for (int k = 0; k < n_kernels; k++)
	{
		/* The base kernels have no fused multiply-add, which only rows that stay float32 tell. */
		bool same = true, exact = type->unit > 1 || kernels[k] != &lm_panels_base;
		double difference = 0;

		for (int rows = 1; rows <= n_rows; rows += rows < 41 ? 1 : 53)
		{
			multiply(kernels[k], &c, c.y, c.x, rows);
			same = same && same_bits(c.y, c.wanted, (size_t) rows * n_out);
			difference = fmax(difference, largest_difference(c.y, c.wanted, (size_t) rows * n_out));
		}
		ok(exact ? same : difference < 1e-4, "%s, %s, 1 .. %d rows, %d -> %d: %s the naive twin",
		   kernels[k]->name, type->name, n_rows, n_in, n_out, exact ? "the bits of" : "close to");
		if (exact && !same)
			printf("# largest difference %g\n", difference);
	}
	free_case(&c);
}

/* In each instruction set many rows give the bits of each row alone, whatever its neighbours. */
static void
test_rows(const LmWeightType *type)
{
	enum
	{
		ROWS = 231,
		IN = 519,
		OUT = 77
	};
	Case c = make_case(type, ROWS, IN, OUT);
	const LmPanelKernels *kernels[5];
	int n_kernels = all_kernels(kernels);

	for (int i = 0; i < IN; i++)
	{
		c.x[5 * IN + i] = NAN;
		c.x[6 * IN + i] *= 1e30f;
		c.x[7 * IN + i] = 0;
	}
	for (int k = 0; k < n_kernels; k++)
	{
		static const int counts[] = {2, 3, 12, 13, 40, 131, ROWS};
		bool same = true;

		for (int row = 0; row < ROWS; row++)
			multiply(kernels[k], &c, c.wanted + row * OUT, c.x + row * IN, 1);
		for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		{
			multiply(kernels[k], &c, c.y, c.x, counts[i]);
			for (int row = 0; row < counts[i]; row++)
				same = same && (row == 5 || same_bits(c.y + row * OUT, c.wanted + row * OUT, OUT));
			same = same && (counts[i] < 6 || isnan(c.y[5 * OUT]));
			multiply_packed(kernels[k], &c, c.y, c.x, counts[i]);
			for (int row = 0; row < counts[i]; row++)
				same = same && (row == 5 || same_bits(c.y + row * OUT, c.wanted + row * OUT, OUT));
		}
		ok(same, "%s, %s: many rows give the bits of one, packed before or not", kernels[k]->name,
		   type->name);
	}
	free_case(&c);
}

static void
test_threads(const LmWeightType *type)
{
	static const int counts[] = {1, 9, 200};
	Case c = make_case(type, 200, 384, 1000);

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		for (int n_threads = 1; n_threads <= 4; n_threads *= 2)
		{
			LmEngine *engine = test_engine(n_threads, NULL);
			float *y = n_threads == 1 ? c.wanted : c.y;
			void *scratch = malloc(lm_linear_infer_scratch(counts[i], 384));

			lm_linear_infer(engine, y, c.x, &c.linear, counts[i], n_threads == 1 ? NULL : scratch);
			if (n_threads > 1)
				ok(same_bits(c.y, c.wanted, (size_t) counts[i] * 1000),
				   "%s, %d rows: %d threads give the bits of one", type->name, counts[i],
				   n_threads);
			free(scratch);
			lm_engine_stop(engine);
		}
	free_case(&c);
}

/* Stored weights differ from the given ones by no more than their type allows. */
static void
test_rounding(const LmWeightType *type)
{
	enum
	{
		IN = 100,
		OUT = 45
	};
	Case c = make_case(type, 1, IN, OUT);
	float row[IN];
	double square = 0, worst = 0, all = 0;
	bool right = true;

	for (int output = 0; output < OUT; output++)
	{
		lm_linear_weights(row, &c.linear, output);
		for (int i = 0; i < IN; i++)
		{
			const float *w = c.w + output * IN;
			double largest = 0, error = fabs(row[i] - w[i]);

			for (int j = i / LM_GROUP * LM_GROUP; j < IN && j < i / LM_GROUP * LM_GROUP + LM_GROUP;
				 j++)
				largest = fmax(largest, fabs(w[j]));
			if (type->number == LM_WEIGHTS_FLOAT32)
				right = right && row[i] == w[i];
			else if (type->number == LM_WEIGHTS_BFLOAT16)
				right = right && row[i] == lm_bf16_to_float(lm_bf16_from_float(w[i]));
			else
				worst = fmax(worst, error / largest);
			square += error * error;
			all += (double) w[i] * w[i];
		}
	}
	if (type->number == LM_WEIGHTS_INT8)
		right = worst <= 0.5 / 127 * (1 + 1.0 / 128) * (1 + 1e-6);
	else if (type->number == LM_WEIGHTS_INT4)
		right = worst <= 0.2 && sqrt(square / all) < 0.085;
	right = right && sqrt(square / all) <= type->error;
	ok(right, "%s: weights are stored within the promised error", type->name);
	if (!right)
		printf("# worst %g of the largest, %g in the mean\n", worst, sqrt(square / all));
	free_case(&c);
}

/* Groups of zeros, tiny, huge and infinite weights. */
static void
test_odd_weights(const LmWeightType *type)
{
	enum
	{
		IN = 4 * LM_GROUP
	};
	static const float odd[] = {0, 1e-34f, 3e38f, INFINITY};
	Case c = make_case(type, 1, IN, 4);
	float row[IN];
	bool right = true;

	for (int output = 0; output < 4; output++)
		for (int i = 0; i < IN; i++)
			c.w[output * IN + i] =
				i / LM_GROUP == 1 ? odd[output] * (i % 2 ? 1 : -1) : c.w[output * IN + i];
	lm_linear_pack((void *) c.linear.panels, type, c.w, IN, 4);
	for (int output = 0; output < 3; output++)
	{
		lm_linear_weights(row, &c.linear, output);
		for (int i = LM_GROUP; i < 2 * LM_GROUP; i++)
			right = right && fabs(row[i] - c.w[output * IN + i]) <=
								 (type->error > 0.05 ? 1.36 * type->error : 0.01) * odd[output];
	}
	lm_panel_multiply_naive(c.wanted, c.x, &c.linear, 1);
	multiply(lm_panel_kernels(), &c, c.y, c.x, 1);
	ok(right, "%s: groups of zeros, of tiny and of huge weights are stored", type->name);
	ok(isfinite(c.y[0]) && isfinite(c.y[1]) && !isfinite(c.y[3]) && c.y[0] == c.wanted[0] &&
		   c.y[1] == c.wanted[1],
	   "%s: an infinite weight is not hidden", type->name);
	free_case(&c);
}

/* Against the product of the weights before they were rounded. */
static void
test_closeness(const LmWeightType *type)
{
	Case c = make_case(type, 40, 300, 90);
	double square = 0, all = 0;

	multiply(lm_panel_kernels(), &c, c.y, c.x, 40);
	for (int row = 0; row < 40; row++)
		for (int output = 0; output < 90; output++)
		{
			double sum = 0;

			for (int i = 0; i < 300; i++)
				sum += (double) c.x[row * 300 + i] * c.w[output * 300 + i];
			square += pow(c.y[row * 90 + output] - c.bias[output] - sum, 2);
			all += sum * sum;
		}
	is_near(sqrt(square / all), type->error / 2, type->error / 2, type->name);
	free_case(&c);
}

static void
test_layout(void)
{
	float w[40 * 3], panels[64 * 3];
	bool right = true;
	size_t size;

	for (int i = 0; i < 120; i++)
		w[i] = (float) (i + 1);
	lm_linear_panels_size(&size, lm_weight_type(LM_WEIGHTS_FLOAT32), 3, 40);
	is_int((long long) size, 192 * 4, "panels are padded to 32 outputs");
	lm_linear_pack(panels, lm_weight_type(LM_WEIGHTS_FLOAT32), w, 3, 40);
	for (int panel = 0; panel < 2; panel++)
		for (int i = 0; i < 3; i++)
			for (int j = 0; j < 32; j++)
				right &= panels[(panel * 3 + i) * 32 + j] ==
						 (panel * 32 + j < 40 ? w[(panel * 32 + j) * 3 + i] : 0);
	ok(right, "float32 panels hold [panel][input][output], zero beyond the outputs");
	lm_linear_panels_size(&size, lm_weight_type(LM_WEIGHTS_BFLOAT16), 3, 40);
	is_int((long long) size, 2 * 2 * 128, "bfloat16 takes two bytes a weight");
	lm_linear_panels_size(&size, lm_weight_type(LM_WEIGHTS_INT8), 768, 768);
	is_int((long long) size, 768 * 768 * 17 / 16, "int8 takes 8.5 bits a weight");
	lm_linear_panels_size(&size, lm_weight_type(LM_WEIGHTS_INT4), 768, 768);
	is_int((long long) size, 768 * 768 * 9 / 16, "int4 takes 4.5 bits a weight");
}

int
main(void)
{
	for (int i = 0; i < lm_weight_type_count(); i++)
		test_threads(lm_weight_type(i));
	/* The rest has one thread. */
	if (tap_looks_for_races())
		return done_testing();
	test_layout();
	for (int i = 0; i < lm_weight_type_count(); i++)
	{
		const LmWeightType *type = lm_weight_type(i);

		test_kernels(type, 40, 1, 1);
		test_kernels(type, 40, 33, 31);
		test_kernels(type, 41, 65, 130);
		test_kernels(type, 300, 203, 37);
		test_kernels(type, 40, 3072, 40);
		test_rows(type);
		test_rounding(type);
		if (i != LM_WEIGHTS_FLOAT32)
			test_odd_weights(type);
		test_closeness(type);
	}
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
