/*
 * test/unit/test_rows.c
 *
 * Both normalisations, cross-entropy and embeddings against naive twins, central differences and
 * the number of threads.
 */
#include "kernels.h"

typedef struct Norm
{
	LmEngine *engine;
	int n_rows;
	int C;
	LmNorm kind;
	float *x, *y, *mean, *rstd, *weight, *bias, *dy, *dx, *dweight, *dbias;
	void *scratch;
} Norm;

static Norm
make_norm(LmEngine *engine, int n_rows, int C, LmNorm kind)
{
	size_t count = (size_t) n_rows * C;
	Norm norm = {engine, n_rows, C, kind};

	norm.x = random_floats(count, 2, 1);
	norm.y = zero_array(count);
	norm.mean = zero_array((size_t) n_rows);
	norm.rstd = zero_array((size_t) n_rows);
	norm.weight = random_floats((size_t) C, 1, 2);
	norm.bias = random_floats((size_t) C, 1, 3);
	norm.dy = random_floats(count, 1, 4);
	norm.dx = zero_array(count);
	norm.dweight = zero_array((size_t) C);
	norm.dbias = zero_array((size_t) C);
	norm.scratch = test_scratch(lm_norm_backward_scratch(n_rows, C));
	for (size_t i = 0; i < count; i++)
		norm.x[i] += 3;
	return norm;
}

static void
free_norm(Norm *norm)
{
	free(norm->x);
	free(norm->y);
	free(norm->mean);
	free(norm->rstd);
	free(norm->weight);
	free(norm->bias);
	free(norm->dy);
	free(norm->dx);
	free(norm->dweight);
	free(norm->dbias);
	free(norm->scratch);
}

static void
norm_both(Norm *norm)
{
	lm_norm_forward(norm->engine, norm->y, norm->mean, norm->rstd, norm->x, norm->weight,
					norm->bias, norm->n_rows, norm->C, 1e-5f, norm->kind);
	lm_norm_backward(norm->engine, norm->dx, norm->dweight, norm->dbias, norm->dy, norm->x,
					 norm->mean, norm->rstd, norm->weight, norm->n_rows, norm->C, norm->kind,
					 norm->scratch);
}

static double
norm_objective(void *context)
{
	Norm *norm = context;

	lm_norm_forward(norm->engine, norm->y, NULL, NULL, norm->x, norm->weight, norm->bias,
					norm->n_rows, norm->C, 1e-5f, norm->kind);
	return weighted_sum(norm->y, norm->dy, (size_t) norm->n_rows * norm->C);
}

static void
test_norm(LmEngine *engine, int n_rows, int C, LmNorm kind)
{
	const char *kind_name = kind == LM_LAYERNORM ? "norm" : "RMSNorm";
	Norm norm = make_norm(engine, n_rows, C, kind);
	float *wanted = zero_array((size_t) n_rows * C);
	char name[100];

	norm_both(&norm);
	for (int row = 0; row < n_rows; row++)
	{
		const float *x = norm.x + (size_t) row * C;
		double mean = 0, variance = 0;

		for (int i = 0; i < C; i++)
			mean += kind == LM_LAYERNORM ? x[i] / (double) C : 0;
		for (int i = 0; i < C; i++)
			variance += (x[i] - mean) * (x[i] - mean) / C;
		for (int i = 0; i < C; i++)
			wanted[(size_t) row * C + i] =
				(float) ((x[i] - mean) / sqrt(variance + 1e-5) * norm.weight[i] + norm.bias[i]);
	}
	snprintf(name, sizeof name, "%s of %d channels agrees with the naive twin", kind_name, C);
	is_close(norm.y, wanted, (size_t) n_rows * C, 1e-4, name);
	if (C > 1)
	{
		snprintf(name, sizeof name, "dx of %s of %d channels agrees with central differences",
				 kind_name, C);
		gradient_holds(norm_objective, &norm, norm.x, norm.dx, (size_t) n_rows * C, 1e-2f, 3e-3,
					   name);
	}
	snprintf(name, sizeof name, "dweight of %s of %d channels agrees with central differences",
			 kind_name, C);
	gradient_holds(norm_objective, &norm, norm.weight, norm.dweight, (size_t) C, 1e-2f, 2e-3, name);
	snprintf(name, sizeof name, "dbias of %s of %d channels agrees with central differences",
			 kind_name, C);
	gradient_holds(norm_objective, &norm, norm.bias, norm.dbias, (size_t) C, 1e-2f, 2e-3, name);
	free(wanted);
	free_norm(&norm);
}

static void
test_norm_adds(LmEngine *engine)
{
	Norm norm = make_norm(engine, 3, 40, LM_LAYERNORM);
	float *dx, *dweight;
	bool right = true;

	norm_both(&norm);
	dx = copy_floats(norm.dx, 120);
	dweight = copy_floats(norm.dweight, 40);
	norm_both(&norm);
	for (int i = 0; i < 120; i++)
		right &= fabsf(norm.dx[i] - 2 * dx[i]) < 1e-4f;
	for (int i = 0; i < 40; i++)
		right &= fabsf(norm.dweight[i] - 2 * dweight[i]) < 1e-4f;
	ok(right, "the backward pass of norm adds to its gradients");
	free(dx);
	free(dweight);
	free_norm(&norm);
}

typedef struct Entropy
{
	LmEngine *engine;
	int n_rows;
	int V;
	float smoothing;
	float *logits, *gradient, *nll, *weights;
	int32_t *targets;
} Entropy;

static Entropy
make_entropy(LmEngine *engine, int n_rows, int V, float smoothing)
{
	size_t count = (size_t) n_rows * V;
	Entropy e = {engine, n_rows, V, smoothing};

	e.logits = random_floats(count, 3, 1);
	e.gradient = zero_array(count);
	e.nll = zero_array((size_t) n_rows);
	e.weights = random_floats((size_t) n_rows, 1, 2);
	e.targets = calloc((size_t) n_rows, sizeof *e.targets);
	for (int i = 0; i < n_rows; i++)
		e.targets[i] = i * 7919 % V;
	return e;
}

static void
free_entropy(Entropy *e)
{
	free(e->logits);
	free(e->gradient);
	free(e->nll);
	free(e->weights);
	free(e->targets);
}

static void
entropy_gradient(Entropy *e)
{
	memcpy(e->gradient, e->logits, (size_t) e->n_rows * e->V * sizeof *e->logits);
	lm_cross_entropy(e->engine, e->gradient, e->nll, e->targets, e->weights, 0.25f, e->smoothing,
					 e->n_rows, e->V);
}

/* (1 - smoothing) nll + smoothing (lse - average of the logits), for each row */
static double
entropy_objective(void *context)
{
	Entropy *e = context;
	double sum = 0;

	lm_cross_entropy_forward(e->engine, e->nll, e->logits, e->targets, e->n_rows, e->V);
	for (int row = 0; row < e->n_rows; row++)
	{
		const float *x = e->logits + (size_t) row * e->V;
		double average = 0, rest;

		for (int i = 0; i < e->V; i++)
			average += (double) x[i] / e->V;
		rest = e->targets[row] < 0 ? 0 : lm_log_sum_exp(x, e->V) - average;
		sum += e->weights[row] * ((1 - e->smoothing) * (double) e->nll[row] + e->smoothing * rest);
	}
	return 0.25 * sum;
}

static void
test_entropy(LmEngine *engine, int n_rows, int V, float smoothing)
{
	Entropy e = make_entropy(engine, n_rows, V, smoothing);
	float *nll, *gradient = zero_array((size_t) n_rows * V), *wanted = zero_array((size_t) n_rows);
	char name[100];

	if (n_rows > 3)
	{
		e.targets[1] = -1;
		e.weights[2] = 0;
	}
	for (int row = 0; row < n_rows; row++)
	{
		const float *x = e.logits + (size_t) row * V;
		double sum = 0;

		for (int i = 0; i < V; i++)
			sum += exp(x[i]);
		for (int i = 0; i < V && e.targets[row] >= 0; i++)
			gradient[(size_t) row * V + i] =
				(float) ((exp(x[i]) / sum - (1 - smoothing) * (i == e.targets[row]) -
						  smoothing / V) *
						 e.weights[row] * 0.25);
		wanted[row] =
			e.targets[row] < 0 || e.weights[row] == 0 ? 0 : (float) (log(sum) - x[e.targets[row]]);
	}
	entropy_gradient(&e);
	nll = copy_floats(e.nll, (size_t) n_rows);
	snprintf(name, sizeof name, "losses over %d tokens agree with the naive twin", V);
	is_close(nll, wanted, (size_t) n_rows, 2e-6 * (1 + log(V)), name);
	snprintf(name, sizeof name, "gradients over %d tokens agree with the naive twin", V);
	is_close(e.gradient, gradient, (size_t) n_rows * V, 3e-7, name);
	if (n_rows > 3)
		ok(e.nll[1] == 0 && e.nll[2] == 0 && e.gradient[V] == 0 && e.gradient[2 * V] == 0,
		   "rows without target or weight have no loss and no gradient (%d tokens)", V);
	lm_cross_entropy_forward(engine, e.nll, e.logits, e.targets, n_rows, V);
	if (n_rows > 3)
		nll[2] = e.nll[2];
	ok(same_bits(e.nll, nll, (size_t) n_rows), "losses alone have the same bits (%d tokens)", V);
	if (V < 100)
	{
		snprintf(name, sizeof name, "gradients over %d tokens agree with central differences", V);
		gradient_holds(entropy_objective, &e, e.logits, e.gradient, (size_t) n_rows * V, 1e-2f,
					   1e-3, name);
	}
	free(nll);
	free(gradient);
	free(wanted);
	free_entropy(&e);
}

static void
test_log_sum_exp(void)
{
	float *x = random_floats(50257, 4, 1), one = -1234.5f, hot[3] = {1000, 1000, -1000},
		  broken[40] = {0};
	double sum = 0;

	for (int i = 0; i < 50257; i++)
		sum += exp(x[i]);
	is_near(lm_log_sum_exp(x, 50257), log(sum), 1e-6, "the sum of 50257 exponentials is right");
	is_near(lm_log_sum_exp(&one, 1), -1234.5, 0, "the sum of one exponential is itself");
	is_near(lm_log_sum_exp(hot, 3), 1000 + log(2), 1e-6, "large logits do not overflow");
	broken[20] = NAN;
	ok(isnan(lm_log_sum_exp(broken, 40)), "NaN among the logits is not lost");
	free(x);
}

static void
test_embedding(LmEngine *engine)
{
	enum
	{
		ROWS = 50,
		C = 70,
		V = 11,
		CONTEXT = 9
	};
	int32_t tokens[ROWS], positions[ROWS];
	float *wte = random_floats(V * C, 1, 1), *wpe = random_floats(CONTEXT * C, 1, 2),
		  *y = zero_array(ROWS * C);
	float *dy = random_floats(ROWS * C, 1, 3), *dwte = random_floats(V * C, 1, 4),
		  *dwpe = random_floats(CONTEXT * C, 1, 5);
	float *wanted_wte = copy_floats(dwte, V * C), *wanted_wpe = copy_floats(dwpe, CONTEXT * C);
	bool right = true, alone = true;

	for (int i = 0; i < ROWS; i++)
	{
		tokens[i] = i * i % V;
		positions[i] = i % CONTEXT;
	}
	lm_embedding_forward(engine, y, tokens, positions, wte, wpe, 1, ROWS, C);
	for (int i = 0; i < ROWS * C; i++)
		right &= y[i] == wte[tokens[i / C] * C + i % C] + wpe[positions[i / C] * C + i % C];
	ok(right, "embeddings of token and position are added");
	lm_embedding_forward(engine, y, tokens, positions, wte, NULL, 1, ROWS, C);
	for (int i = 0; i < ROWS * C; i++)
		alone &= y[i] == wte[tokens[i / C] * C + i % C];
	ok(alone, "without a table of positions tokens stand alone");
	lm_embedding_backward(engine, dwte, dwpe, dy, tokens, positions, 1, ROWS, C);
	for (int i = 0; i < ROWS * C; i++)
	{
		wanted_wte[tokens[i / C] * C + i % C] += dy[i];
		wanted_wpe[positions[i / C] * C + i % C] += dy[i];
	}
	ok(same_bits(dwte, wanted_wte, V * C) && same_bits(dwpe, wanted_wpe, CONTEXT * C),
	   "gradients of embeddings are added in order of rows");
	lm_embedding_backward(engine, dwte, NULL, dy, tokens, positions, 1, ROWS, C);
	ok(same_bits(dwpe, wanted_wpe, CONTEXT * C), "a fixed table gets no gradient");
	lm_sinusoid(y, 5, 4);
	is_near(y[3 * 4 + 0], sin(3), 1e-6, "sinusoids: the first channel is the sine of the position");
	is_near(y[3 * 4 + 3], cos(0.03), 1e-6, "sinusoids: the last is the cosine of position / 100");
	free(wte);
	free(wpe);
	free(y);
	free(dy);
	free(dwte);
	free(dwpe);
	free(wanted_wte);
	free(wanted_wpe);
}

static void
test_threads(void)
{
	Norm one = {0};
	Entropy single = {0};

	for (int n_threads = 1; n_threads <= 8; n_threads *= 2)
	{
		LmEngine *engine = test_engine(n_threads, "");
		Norm norm = make_norm(engine, 700, 130, LM_RMSNORM);
		Entropy e = make_entropy(engine, 300, 1000, 0.1f);

		norm_both(&norm);
		entropy_gradient(&e);
		if (n_threads == 1)
		{
			one = norm;
			single = e;
		}
		else
		{
			ok(same_bits(one.y, norm.y, 700 * 130) && same_bits(one.dx, norm.dx, 700 * 130) &&
				   same_bits(one.dweight, norm.dweight, 130) &&
				   same_bits(one.dbias, norm.dbias, 130),
			   "norm on %d threads gives the same bits as on one", n_threads);
			ok(same_bits(single.nll, e.nll, 300) && same_bits(single.gradient, e.gradient, 300000),
			   "cross-entropy on %d threads gives the same bits as on one", n_threads);
			free_norm(&norm);
			free_entropy(&e);
		}
		lm_engine_stop(engine);
	}
	free_norm(&one);
	free_entropy(&single);
}

int
main(void)
{
	LmEngine *engine = test_engine(2, "");

	test_norm(engine, 5, 64, LM_LAYERNORM);
	test_norm(engine, 5, 64, LM_RMSNORM);
	test_norm(engine, 130, 33, LM_LAYERNORM);
	test_norm(engine, 130, 33, LM_RMSNORM);
	test_norm(engine, 3, 1, LM_LAYERNORM);
	test_norm(engine, 3, 1, LM_RMSNORM);
	test_norm_adds(engine);
	test_entropy(engine, 1, 1, 0);
	test_entropy(engine, 9, 50, 0);
	test_entropy(engine, 9, 50, 0.3f);
	test_entropy(engine, 5, 50257, 0);
	test_entropy(engine, 5, 50257, 0.1f);
	test_log_sum_exp();
	test_embedding(engine);
	lm_engine_stop(engine);
	test_threads();
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
