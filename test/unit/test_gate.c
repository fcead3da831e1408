/*
 * test/unit/test_gate.c
 *
 * The gate of an MLP and the soft cap of logits against float64 and its central differences, for
 * each instruction set, and their bits against the number of threads.
 */
#include "kernels.h"

static const LmActivation kinds[] = {LM_SWIGLU, LM_GEGLU};
static const char *const names[] = {"SwiGLU", "GeGLU"};

/* Shazeer (2020), section 2, with the tanh approximation of GELU. */
static double
exact_gate(double gate, double up, LmActivation kind)
{
	if (kind == LM_SWIGLU)
		return gate / (1 + exp(-gate)) * up;
	return 0.5 * gate * (1 + tanh(sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))) * up;
}

static double
slope_of_gate(double gate, double up, LmActivation kind)
{
	return (exact_gate(gate + 1e-5, up, kind) - exact_gate(gate - 1e-5, up, kind)) / 2e-5;
}

static void
test_gate(const LmSimd *simd, LmActivation kind, const char *name)
{
	enum
	{
		COUNT = 20011
	};
	float gate[COUNT], y[COUNT], dgate[COUNT], dup[COUNT];
	float *up = random_floats(COUNT, 1, 1), *dy = random_floats(COUNT, 1, 2);
	double worst = 0, worst_gate = 0, worst_up = 0;
	float far[4] = {-1e30f, 1e30f, -200, 40}, ones[4] = {1, 1, 1, 1};

	for (int i = 0; i < COUNT; i++)
		gate[i] = (float) (i - COUNT / 2) * 24.0f / COUNT;
	simd->gate_forward(y, gate, up, COUNT, kind);
	simd->gate_backward(dgate, dup, dy, gate, up, COUNT, kind);
	for (int i = 0; i < COUNT; i++)
	{
		double size = (1 + fabs(gate[i])) * (1 + fabs(up[i]));
		double both = (1 + fabs(up[i])) * (1 + fabs(dy[i]));

		worst = fmax(worst, fabs(y[i] - exact_gate(gate[i], up[i], kind)) / size);
		worst_gate =
			fmax(worst_gate, fabs(dgate[i] - dy[i] * slope_of_gate(gate[i], up[i], kind)) / both);
		worst_up = fmax(worst_up, fabs(dup[i] - dy[i] * exact_gate(gate[i], 1, kind)) /
									  ((1 + fabs(gate[i])) * (1 + fabs(dy[i]))));
	}
	ok(worst < 3e-7, "%s: %s agrees with float64: %.1e", simd->name, name, worst);
	ok(worst_gate < 1e-6 && worst_up < 1e-6,
	   "%s: the gradient of %s agrees with central differences: %.1e %.1e", simd->name, name,
	   worst_gate, worst_up);
	simd->gate_forward(y, far, ones, 4, kind);
	simd->gate_backward(dgate, dup, ones, far, ones, 4, kind);
	ok(y[0] == 0 && y[1] == 1e30f && y[2] == 0 && y[3] == 40 && dgate[0] == 0 && dgate[1] == 1 &&
		   dgate[2] == 0 && dgate[3] == 1,
	   "%s: %s far from 0", simd->name, name);
	free(up);
	free(dy);
}

/* Only the elements of a row are written, whatever their number. */
static void
test_edges(const LmSimd *simd)
{
	bool right = true;

	for (size_t n = 0; n < 70; n++)
	{
		float *gate = random_floats(70, 1, 1), *up = random_floats(70, 1, 2),
			  *dy = random_floats(70, 1, 3);
		float y[71], dgate[71], dup[71];

		y[n] = dgate[n] = dup[n] = 123;
		simd->gate_forward(y, gate, up, n, LM_SWIGLU);
		simd->gate_backward(dgate, dup, dy, gate, up, n, LM_SWIGLU);
		right &= y[n] == 123 && dgate[n] == 123 && dup[n] == 123;
		/* in place, as a layer uses it */
		simd->gate_backward(gate, up, dy, gate, up, n, LM_SWIGLU);
		right &= same_bits(gate, dgate, n) && same_bits(up, dup, n);
		free(gate);
		free(up);
		free(dy);
	}
	ok(right, "%s: gates of 0 to 69 elements touch nothing else, and work in place", simd->name);
}

static void
test_softcap(const LmSimd *simd)
{
	enum
	{
		COUNT = 4003
	};
	const float caps[] = {0.5f, 30};
	float x[COUNT], y[COUNT], dx[COUNT];
	float *dy = random_floats(COUNT, 1, 1);
	double worst = 0;

	for (int k = 0; k < 2; k++)
	{
		double cap = caps[k];

		for (int i = 0; i < COUNT; i++)
			x[i] = (float) (i - COUNT / 2) * 8 * caps[k] / COUNT;
		simd->softcap(y, x, caps[k], COUNT);
		simd->softcap_gradient(dx, dy, y, caps[k], COUNT);
		for (int i = 0; i < COUNT; i++)
		{
			double step = 1e-5 * cap;
			double slope = cap * (tanh((x[i] + step) / cap) - tanh((x[i] - step) / cap));

			worst = fmax(worst, fabs(dx[i] - dy[i] * slope / (2 * step)) / (1 + fabs(dy[i])));
		}
	}
	ok(worst < 5e-7, "%s: the gradient of a cap agrees with central differences: %.1e", simd->name,
	   worst);
	free(dy);
}

/* Rows of a layer: their layout, several pieces, and any number of threads. */
static void
test_rows(LmActivation kind, const char *name)
{
	enum
	{
		ROWS = 300,
		M = 333
	};
	float *x = random_floats(ROWS * 2 * M, 2, 1), *dy = random_floats(ROWS * M, 1, 2);
	float *y = zero_array(ROWS * M), *dx = zero_array(ROWS * 2 * M), *capped, *dcapped;
	double worst = 0;

	capped = zero_array(ROWS * 2 * M);
	dcapped = zero_array(ROWS * 2 * M);
	for (int n_threads = 1; n_threads <= 8; n_threads *= 2)
	{
		LmEngine *engine = test_engine(n_threads, "");
		float *other = copy_floats(y, ROWS * M), *dother = copy_floats(x, ROWS * 2 * M);
		float *caps = copy_floats(x, ROWS * 2 * M), *dcaps = copy_floats(x, ROWS * 2 * M);

		lm_gate_forward(engine, other, x, ROWS, M, kind);
		lm_gate_backward(engine, dother, dy, dother, ROWS, M, kind);
		lm_softcap_forward(engine, caps, caps, ROWS * 2 * M, 3);
		lm_softcap_backward(engine, dcaps, dcaps, caps, ROWS * 2 * M, 3);
		if (n_threads == 1)
		{
			memcpy(y, other, ROWS * M * sizeof *y);
			memcpy(dx, dother, ROWS * 2 * M * sizeof *dx);
			memcpy(capped, caps, ROWS * 2 * M * sizeof *caps);
			memcpy(dcapped, dcaps, ROWS * 2 * M * sizeof *caps);
		}
		else
			ok(same_bits(y, other, ROWS * M) && same_bits(dx, dother, ROWS * 2 * M) &&
				   same_bits(capped, caps, ROWS * 2 * M) && same_bits(dcapped, dcaps, ROWS * 2 * M),
			   "%s and caps on %d threads give the same bits as on one", name, n_threads);
		free(other);
		free(dother);
		free(caps);
		free(dcaps);
		lm_engine_stop(engine);
	}
	for (int row = 0; row < ROWS; row++)
		for (int i = 0; i < M; i++)
		{
			double gate = x[row * 2 * M + i], up = x[row * 2 * M + M + i], d = dy[row * M + i];

			worst = fmax(worst, fabs(y[row * M + i] - exact_gate(gate, up, kind)));
			worst = fmax(worst, fabs(dx[row * 2 * M + i] - d * slope_of_gate(gate, up, kind)));
			worst = fmax(worst, fabs(dx[row * 2 * M + M + i] - d * exact_gate(gate, 1, kind)));
		}
	ok(worst < 1e-5, "rows of %s have the gate first: %.1e", name, worst);
	worst = 0;
	for (int i = 0; i < ROWS * 2 * M; i++)
	{
		double tangent = tanh(x[i] / 3);

		worst = fmax(worst, fabs(capped[i] - 3 * tangent));
		worst = fmax(worst, fabs(dcapped[i] - x[i] * (1 - tangent * tangent)));
	}
	ok(worst < 2e-6, "rows of capped logits agree with float64: %.1e", worst);
	free(x);
	free(dy);
	free(y);
	free(dx);
	free(capped);
	free(dcapped);
}

int
main(void)
{
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);

	for (int i = 0; i < n_simds; i++)
	{
		for (int kind = 0; kind < 2; kind++)
			test_gate(simds[i], kinds[kind], names[kind]);
		test_edges(simds[i]);
		test_softcap(simds[i]);
	}
	for (int kind = 0; kind < 2; kind++)
		test_rows(kinds[kind], names[kind]);
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
