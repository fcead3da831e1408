/*
 * test/unit/test_attention.c
 *
 * Attention of every shape against its naive twin in float64: outputs, gradients, and the twin's
 * central differences; its rows in each instruction set; its bits against the number of threads.
 */
#include "kernels.h"

typedef struct Case
{
	const char *name;
	int n_rows;
	LmAttentionShape shape;
	int lengths[8]; /* of the documents, 0 ends; the last one is the rest */
	float rate;
	int prefixes[8]; /* of the documents: the length of each one's prefix */
	bool cross; /* rows after the prefix see it alone, and its rows ask nothing */
} Case;

typedef struct Arrays
{
	const Case *of;
	LmEngine *engine;
	float *qkv, *out, *lse, *dout, *dqkv;
	size_t n_qkv, n_out, n_lse;
	int A, ld;
	int32_t *starts, *prefixes, *positions, *examples;
	LmDropout dropout;
	void *scratch;
} Arrays;

static Arrays
make_arrays(const Case *of, LmEngine *engine)
{
	Arrays arrays = {.of = of,
					 .engine = engine,
					 .A = lm_attention_query_channels(&of->shape),
					 .ld = lm_attention_qkv_channels(&of->shape)};
	size_t n = (size_t) of->n_rows;
	int start = 0, document = 0;

	arrays.n_qkv = n * (size_t) arrays.ld;
	arrays.n_out = n * (size_t) arrays.A;
	arrays.n_lse = n * (size_t) of->shape.heads;
	arrays.qkv = random_floats(arrays.n_qkv, 1, 1);
	arrays.dout = random_floats(arrays.n_out, 1, 2);
	arrays.out = random_floats(arrays.n_out, 1, 4);
	arrays.lse = zero_array(arrays.n_lse);
	arrays.dqkv = random_floats(arrays.n_qkv, 1, 3);
	arrays.starts = calloc(n, sizeof(int32_t));
	arrays.prefixes = calloc(n, sizeof(int32_t));
	arrays.positions = calloc(n, sizeof(int32_t));
	arrays.examples = calloc(n, sizeof(int32_t));
	for (int i = 0; i < of->n_rows; i++)
	{
		if (of->lengths[document] > 0 && i - start == of->lengths[document])
		{
			start = i;
			document++;
		}
		arrays.starts[i] = start;
		arrays.prefixes[i] = start + of->prefixes[document];
		arrays.positions[i] = i - start;
		arrays.examples[i] = document + 5;
	}
	arrays.dropout = (LmDropout){of->rate, lm_key(3, LM_RANDOM_ATTENTION_DROPOUT, 1, 1),
								 arrays.examples, arrays.positions};
	arrays.scratch = test_scratch(lm_attention_scratch(engine, of->n_rows));
	return arrays;
}

static void
free_arrays(Arrays *arrays)
{
	free(arrays->qkv);
	free(arrays->out);
	free(arrays->lse);
	free(arrays->dout);
	free(arrays->dqkv);
	free(arrays->starts);
	free(arrays->prefixes);
	free(arrays->positions);
	free(arrays->examples);
	free(arrays->scratch);
}

static LmDocumentRows
rows_of(const Arrays *arrays)
{
	return (LmDocumentRows){.n_rows = arrays->of->n_rows,
							.starts = arrays->starts,
							.prefixes = arrays->of->prefixes[0] > 0 ? arrays->prefixes : NULL};
}

/* ---- Cross-attention, by the same arrays as the others ------------------ */

/* Rows that ask, and rows that are asked, each without gaps. */
typedef struct Cross
{
	int n_queries, n_keys;
	int32_t *starts, *first_keys, *last_keys, *positions, *examples;
	float *q, *kv, *dq, *dkv, *out, *dout, *lse;
	LmDropout dropout;
	LmCrossRows rows;
} Cross;

TAP_TWIN static bool
asks(const Arrays *arrays, int row)
{
	return row >= arrays->prefixes[row];
}

static void
place_rows(Cross *cross, const Arrays *arrays)
{
	int start = 0, first_key = 0;

	for (int row = 0; row < arrays->of->n_rows; row++)
	{
		if (row == arrays->starts[row])
		{
			start = cross->n_queries;
			first_key = cross->n_keys;
		}
		if (!asks(arrays, row))
		{
			cross->n_keys++;
			continue;
		}
		cross->starts[cross->n_queries] = start;
		cross->first_keys[cross->n_queries] = first_key;
		cross->last_keys[cross->n_queries] = cross->n_keys;
		cross->positions[cross->n_queries] = arrays->positions[row];
		cross->examples[cross->n_queries++] = arrays->examples[row];
	}
}

static Cross
make_cross(const Arrays *arrays)
{
	size_t n = (size_t) arrays->of->n_rows, q = 0, k = 0, A = (size_t) arrays->A;
	size_t K2 = (size_t) arrays->ld - A, heads = (size_t) arrays->of->shape.heads;
	Cross cross = {.starts = calloc(n, sizeof(int32_t)),
				   .first_keys = calloc(n, sizeof(int32_t)),
				   .last_keys = calloc(n, sizeof(int32_t)),
				   .positions = calloc(n, sizeof(int32_t)),
				   .examples = calloc(n, sizeof(int32_t)),
				   .q = zero_array(n * A),
				   .dq = random_floats(n * A, 1, 5),
				   .out = random_floats(n * A, 1, 6),
				   .dout = zero_array(n * A),
				   .kv = zero_array(n * K2),
				   .dkv = random_floats(n * K2, 1, 7),
				   .lse = zero_array(n * heads)};

	place_rows(&cross, arrays);
	for (size_t row = 0; row < n; row++)
		if (asks(arrays, (int) row))
		{
			memcpy(cross.q + q * A, arrays->qkv + row * (size_t) arrays->ld, A * sizeof(float));
			memcpy(cross.dout + q++ * A, arrays->dout + row * A, A * sizeof(float));
		}
		else
			memcpy(cross.kv + k++ * K2, arrays->qkv + row * (size_t) arrays->ld + A,
				   K2 * sizeof(float));
	cross.dropout = arrays->dropout;
	cross.dropout.positions = cross.positions;
	cross.dropout.examples = cross.examples;
	cross.rows = (LmCrossRows){cross.n_queries, cross.starts, cross.first_keys, cross.last_keys};
	return cross;
}

static void
free_cross(Cross *cross)
{
	void *all[] = {cross->starts,	cross->first_keys, cross->last_keys, cross->positions,
				   cross->examples, cross->q,		   cross->kv,		 cross->dq,
				   cross->dkv,		cross->out,		   cross->dout,		 cross->lse};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* Both directions; the results go where those of self-attention do. */
static void
run_cross(Arrays *arrays)
{
	Cross cross = make_cross(arrays);
	size_t q = 0, k = 0, A = (size_t) arrays->A, ld = (size_t) arrays->ld, K2 = ld - A;
	size_t heads = (size_t) arrays->of->shape.heads;

	lm_cross_attention_forward(arrays->engine, cross.out, cross.lse, cross.q, cross.kv, &cross.rows,
							   &cross.dropout, &arrays->of->shape, arrays->scratch);
	lm_cross_attention_backward(arrays->engine, cross.dq, cross.dkv, cross.dout, cross.out,
								cross.lse, cross.q, cross.kv, &cross.rows, &cross.dropout,
								&arrays->of->shape, arrays->scratch);
	memset(arrays->dqkv, 0, arrays->n_qkv * sizeof(float));
	memset(arrays->out, 0, arrays->n_out * sizeof(float));
	for (size_t row = 0; row < (size_t) arrays->of->n_rows; row++)
		if (asks(arrays, (int) row))
		{
			memcpy(arrays->dqkv + row * ld, cross.dq + q * A, A * sizeof(float));
			memcpy(arrays->out + row * A, cross.out + q * A, A * sizeof(float));
			memcpy(arrays->lse + row * heads, cross.lse + q++ * heads, heads * sizeof(float));
		}
		else
			memcpy(arrays->dqkv + row * ld + A, cross.dkv + k++ * K2, K2 * sizeof(float));
	free_cross(&cross);
}

static void
run(Arrays *arrays)
{
	LmDocumentRows rows = rows_of(arrays);

	if (arrays->of->cross)
	{
		run_cross(arrays);
		return;
	}
	lm_attention_forward(arrays->engine, arrays->out, arrays->lse, arrays->qkv, &rows,
						 &arrays->dropout, &arrays->of->shape, arrays->scratch);
	lm_attention_backward(arrays->engine, arrays->dqkv, arrays->dout, arrays->out, arrays->lse,
						  arrays->qkv, &rows, &arrays->dropout, &arrays->of->shape,
						  arrays->scratch);
}

/* ---- The naive twin, in float64 ----------------------------------------- */

typedef struct Twin
{
	const Arrays *arrays;
	double *qkv, *out, *lse, *dqkv;
	double *p, *slopes; /* of one query's keys: probabilities, and the slopes of the cap */
} Twin;

static Twin
make_twin(const Arrays *arrays)
{
	size_t n = (size_t) arrays->of->n_rows;
	Twin twin = {.arrays = arrays,
				 .qkv = calloc(arrays->n_qkv, sizeof(double)),
				 .out = calloc(arrays->n_out, sizeof(double)),
				 .lse = calloc(arrays->n_lse, sizeof(double)),
				 .dqkv = calloc(arrays->n_qkv, sizeof(double)),
				 .p = calloc(n, sizeof(double)),
				 .slopes = calloc(n, sizeof(double))};

	for (size_t i = 0; i < arrays->n_qkv; i++)
		twin.qkv[i] = arrays->qkv[i];
	return twin;
}

static void
free_twin(Twin *twin)
{
	free(twin->qkv);
	free(twin->out);
	free(twin->lse);
	free(twin->dqkv);
	free(twin->p);
	free(twin->slopes);
}

TAP_TWIN static double
dot(const double *x, const double *y, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

/* Part 0 query, 1 key, 2 value of a row, as a head of queries reads it. */
TAP_TWIN static size_t
place(const Arrays *arrays, int row, int part, int head)
{
	const LmAttentionShape *shape = &arrays->of->shape;
	int kv_head = head * shape->kv_heads / shape->heads;
	int heads_before[] = {head, shape->heads + kv_head, shape->heads + shape->kv_heads + kv_head};

	return (size_t) row * (size_t) arrays->ld +
		   (size_t) heads_before[part] * (size_t) shape->head_size;
}

/* The first key that a row sees. */
TAP_TWIN static int
first_key(const Arrays *arrays, int row)
{
	int window = arrays->of->shape.window, start = arrays->starts[row];

	return window > 0 && row - window + 1 > start ? row - window + 1 : start;
}

/* And the one after the last. */
TAP_TWIN static int
end_key(const Arrays *arrays, int row)
{
	int prefix = arrays->prefixes[row];

	if (arrays->of->cross)
		return asks(arrays, row) ? prefix : first_key(arrays, row);
	return row + 1 > prefix ? row + 1 : prefix;
}

/* p and slopes of one query's keys, and the log of the sum of exponentials */
TAP_TWIN static double
twin_probabilities(Twin *twin, int row, int head)
{
	const Arrays *arrays = twin->arrays;
	const LmAttentionShape *shape = &arrays->of->shape;
	int first = first_key(arrays, row), end = end_key(arrays, row);
	double max = -INFINITY, sum = 0, cap = shape->softcap;

	for (int key = first; key < end; key++)
	{
		double score = dot(twin->qkv + place(arrays, row, 0, head),
						   twin->qkv + place(arrays, key, 1, head), shape->head_size) *
					   shape->scale;
		double tangent = cap > 0 ? tanh(score / cap) : 0;

		twin->p[key - first] = cap > 0 ? cap * tangent : score;
		twin->slopes[key - first] = 1 - tangent * tangent;
		max = fmax(max, twin->p[key - first]);
	}
	if (first == end)
		return 0;
	for (int key = first; key < end; key++)
		sum += exp(twin->p[key - first] - max);
	for (int key = first; key < end; key++)
		twin->p[key - first] = exp(twin->p[key - first] - max) / sum;
	return max + log(sum);
}

TAP_TWIN static double
twin_mask(const Twin *twin, int row, int key, int head)
{
	return naive_mask(&twin->arrays->dropout, row, key - twin->arrays->starts[row],
					  (uint32_t) head);
}

TAP_TWIN static void
twin_forward(Twin *twin)
{
	const Arrays *arrays = twin->arrays;
	const LmAttentionShape *shape = &arrays->of->shape;

	for (int row = 0; row < arrays->of->n_rows; row++)
		for (int head = 0; head < shape->heads; head++)
		{
			int first = first_key(arrays, row);
			double *out = twin->out + (size_t) row * (size_t) arrays->A + head * shape->head_size;

			twin->lse[row * shape->heads + head] = twin_probabilities(twin, row, head);
			memset(out, 0, (size_t) shape->head_size * sizeof *out);
			for (int key = first; key < end_key(arrays, row); key++)
			{
				double p = twin->p[key - first] * twin_mask(twin, row, key, head);

				for (int i = 0; i < shape->head_size; i++)
					out[i] += p * twin->qkv[place(arrays, key, 2, head) + (size_t) i];
			}
		}
}

/* After twin_forward. */
TAP_TWIN static void
twin_backward(Twin *twin)
{
	const Arrays *arrays = twin->arrays;
	const LmAttentionShape *shape = &arrays->of->shape;
	int size = shape->head_size;

	for (int row = 0; row < arrays->of->n_rows; row++)
		for (int head = 0; head < shape->heads; head++)
		{
			size_t offset = (size_t) row * (size_t) arrays->A + (size_t) (head * size);
			size_t q = place(arrays, row, 0, head);
			double dout[128], delta;
			int first = first_key(arrays, row);

			for (int i = 0; i < size; i++)
				dout[i] = arrays->dout[offset + (size_t) i];
			delta = dot(dout, twin->out + offset, size);
			twin_probabilities(twin, row, head);
			for (int key = first; key < end_key(arrays, row); key++)
			{
				size_t k = place(arrays, key, 1, head), v = place(arrays, key, 2, head);
				double p = twin->p[key - first], mask = twin_mask(twin, row, key, head);
				double ds = p * (mask * dot(dout, twin->qkv + v, size) - delta) *
							twin->slopes[key - first] * shape->scale;

				for (int i = 0; i < size; i++)
				{
					twin->dqkv[q + (size_t) i] += ds * twin->qkv[k + (size_t) i];
					twin->dqkv[k + (size_t) i] += ds * twin->qkv[q + (size_t) i];
					twin->dqkv[v + (size_t) i] += p * mask * dout[i];
				}
			}
		}
}

/* Largest relative difference |x - y| / (1 + |y|); infinite when x is not a number. */
static double
worst_difference(const float *x, const double *y, size_t count)
{
	double worst = 0;

	for (size_t i = 0; i < count; i++)
	{
		double difference = fabs(x[i] - y[i]) / (1 + fabs(y[i]));

		if (!(difference <= worst))
			worst = isnan(difference) ? INFINITY : difference;
	}
	return worst;
}

/* The largest relative difference of some gradients and the twin's central differences. */
static double
worst_slope(Twin *twin)
{
	const Arrays *arrays = twin->arrays;
	size_t stride = arrays->n_qkv / 11 + 1;
	const double step = 1e-5;
	double worst = 0;

	for (size_t i = 0; i < arrays->n_qkv; i += stride)
	{
		double old = twin->qkv[i], slope = 0;

		for (int sign = -1; sign <= 1; sign += 2)
		{
			twin->qkv[i] = old + sign * step;
			twin_forward(twin);
			for (size_t j = 0; j < arrays->n_out; j++)
				slope += sign * twin->out[j] * arrays->dout[j];
		}
		twin->qkv[i] = old;
		slope /= 2 * step;
		worst = fmax(worst, fabs(arrays->dqkv[i] - slope) / (1 + fabs(slope)));
	}
	return worst;
}

/* Returns whether everything about a case is right, and says what is not. */
static bool
case_holds(const Case *of, LmEngine *engine)
{
	Arrays arrays = make_arrays(of, engine);
	Twin twin = make_twin(&arrays);
	double out, lse, dqkv, slopes;

	run(&arrays);
	twin_forward(&twin);
	twin_backward(&twin);
	out = worst_difference(arrays.out, twin.out, arrays.n_out);
	lse = worst_difference(arrays.lse, twin.lse, arrays.n_lse);
	dqkv = worst_difference(arrays.dqkv, twin.dqkv, arrays.n_qkv);
	slopes = of->n_rows <= 100 ? worst_slope(&twin) : 0;
	printf("# output %.1e, sum %.1e, gradient %.1e, central differences %.1e\n", out, lse, dqkv,
		   slopes);
	free_twin(&twin);
	free_arrays(&arrays);
	return out <= 1e-5 && lse <= 1e-5 && dqkv <= 2e-5 && slopes <= 2e-5;
}

static void
test_case(const Case *of, LmEngine *engine)
{
	ok(case_holds(of, engine), "%s: outputs, sums and gradients agree with float64", of->name);
}

/* Shapes of every kind: of 36 cases each one has other heads, sizes, documents, window and cap. */
static void
test_random_shapes(LmEngine *engine)
{
	static const int groups[] = {1, 2, 3, 4, 7}, sizes[] = {1, 3, 8, 20, 33, 64},
					 windows[] = {0, 1, 2, 7, 63, 64, 65, 130, 1000};
	static const float caps[] = {0, 0.7f, 5, 50};

	for (uint32_t i = 0; i < 36; i++)
	{
		Case of = {.shape = {.kv_heads = 1 + (int) (i % 3)}};
		LmKey key = lm_key(i, LM_RANDOM_INIT, 0, 0);
		uint32_t random[4];
		char name[150];
		int left;

		lm_random(random, key, 0, 0, 0, 0);
		of.n_rows = i % 9 == 8 ? 600 : 20 + (int) (random[2] % 80);
		of.shape.heads = of.shape.kv_heads * groups[random[0] % (of.n_rows < 600 ? 5 : 2)];
		of.shape.head_size = of.n_rows < 600 ? sizes[i % 6] : 5;
		of.shape.window = windows[random[1] % 9];
		of.shape.softcap = caps[random[1] / 9 % 4];
		of.shape.scale = i % 4 == 0 ? 0.3f : 1 / sqrtf((float) of.shape.head_size);
		of.rate = i % 5 == 4 ? 0.25f : 0;
		left = of.n_rows;
		for (int document = 0; document < 5 && left > 1 && i % 3 != 0; document++)
		{
			lm_random(random, key, 1 + (uint32_t) document, 0, 0, 0);
			of.lengths[document] = 1 + (int) (random[3] % (uint32_t) left);
			left -= of.lengths[document];
		}
		snprintf(name, sizeof name, "%d rows, %d heads of %d over %d, window %d, cap %g%s",
				 of.n_rows, of.shape.heads, of.shape.head_size, of.shape.kv_heads, of.shape.window,
				 of.shape.softcap, of.rate > 0 ? ", dropout" : "");
		of.name = name;
		test_case(&of, engine);
	}
}

/* A window as long as the document, and heads that share nothing, are plain attention to the bit.
 */
static void
test_plain(LmEngine *engine)
{
	static const Case plain = {"", 300, {4, 4, 16, 0.25f, 0, 0}, {37, 150}, 0.1f};
	static const Case wide = {"", 300, {4, 4, 16, 0.25f, 0, 150}, {37, 150}, 0.1f};
	Arrays a = make_arrays(&plain, engine), b = make_arrays(&wide, engine);

	run(&a);
	run(&b);
	ok(same_bits(a.out, b.out, a.n_out) && same_bits(a.lse, b.lse, a.n_lse) &&
		   same_bits(a.dqkv, b.dqkv, a.n_qkv),
	   "a window as long as every document gives the bits of none");
	free_arrays(&a);
	free_arrays(&b);
}

static void
test_threads(const Case *of)
{
	float *out = NULL, *dqkv = NULL;

	for (int n_threads = 1; n_threads <= 8;
		 n_threads *= tap_is_sanitized() && !tap_looks_for_races() ? 8 : 2)
	{
		LmEngine *engine = test_engine(n_threads, NULL);
		Arrays arrays = make_arrays(of, engine);

		run(&arrays);
		if (out)
			ok(same_bits(out, arrays.out, arrays.n_out) &&
				   same_bits(dqkv, arrays.dqkv, arrays.n_qkv),
			   "%d threads give the same bits as one: %s", n_threads, of->name);
		else
		{
			out = copy_floats(arrays.out, arrays.n_out);
			dqkv = copy_floats(arrays.dqkv, arrays.n_qkv);
		}
		free_arrays(&arrays);
		lm_engine_stop(engine);
	}
	free(out);
	free(dqkv);
}

/* A row's scores against a block of keys, the first of which a window hides. */
static void
test_rows(const LmSimd *simd)
{
	double worst = 0, worst_gradient = 0;
	bool zero = true;

	for (int n = 1; n < 80; n++)
		for (int hidden = 0; hidden < n; hidden += 7)
		{
			int seen = n - (n - hidden) / 3;
			float *s = random_floats(80, 3, (uint64_t) n), *p = copy_floats(s, 80);
			float *dp = random_floats(80, 1, 99), *ds = copy_floats(dp, 80);
			float max = -INFINITY, sum = 0, lse;
			double exact = 0, delta = 0.25;

			simd->attention_softmax(p + hidden, &max, &sum, seen - hidden, n - hidden);
			for (int i = hidden; i < seen; i++)
			{
				worst = fmax(worst, fabs(p[i] - exp((double) s[i] - max)));
				exact += exp((double) s[i] - max);
			}
			worst = fmax(worst, fabs(sum / exact - 1));
			lse = max + logf(sum);
			memcpy(p, s, 80 * sizeof *p);
			simd->attention_gradient(p + hidden, ds + hidden, NULL, lse, (float) delta,
									 seen - hidden, n - hidden);
			for (int i = hidden; i < seen; i++)
				worst_gradient =
					fmax(worst_gradient, fabs(ds[i] - exp((double) s[i] - lse) * (dp[i] - delta)));
			for (int i = seen; i < n; i++)
				zero &= p[i] == 0 && ds[i] == 0;
			zero &= memcmp(p, s, (size_t) hidden * sizeof *p) == 0 && p[n] == s[n];
			free(s);
			free(p);
			free(dp);
			free(ds);
		}
	ok(worst < 1e-6 && worst_gradient < 1e-6,
	   "%s: softmax of a row and its gradient agree with float64: %.1e %.1e", simd->name, worst,
	   worst_gradient);
	ok(zero, "%s: keys after the last are 0, those before the first are not touched", simd->name);
}

int
main(void)
{
	static const Case cases[] = {
		{"short documents", 50, {2, 2, 16, 0.25f, 0, 0}, {1, 2, 13, 17, 3}, 0},
		{"short documents with dropout", 50, {2, 2, 16, 0.25f, 0, 0}, {1, 2, 13, 17, 3}, 0.3f},
		{"odd head size", 70, {3, 3, 7, 0.378f, 0, 0}, {65}, 0},
		{"head size 1", 9, {4, 4, 1, 1, 0, 0}, {4}, 0},
		{"one document of several blocks of keys", 1100, {1, 1, 16, 0.25f, 0, 0}, {0}, 0},
		{"several blocks with dropout", 1100, {2, 2, 8, 0.35f, 0, 0}, {30, 1050}, 0.1f},
		{"documents of 128", 300, {2, 2, 64, 0.125f, 0, 0}, {128, 128}, 0},
		{"a window in several blocks", 1100, {4, 2, 8, 0.35f, 3, 600}, {30}, 0.1f},
		{"a window shorter than a block of queries", 1100, {2, 1, 8, 0.35f, 0, 20}, {700}, 0},
		{"eight queries a key", 260, {8, 1, 32, 0.2f, 2, 100}, {130}, 0.1f},
		{"prefixes", 80, {4, 2, 16, 0.25f, 0, 0}, {20, 30, 9}, 0.2f, {7, 30, 0, 1}},
		{"a prefix of several blocks", 1300, {2, 1, 8, 0.35f, 3, 0}, {40, 1200}, 0.1f, {1, 1150}},
		{"cross-attention", 80, {4, 2, 16, 0.25f, 3, 0}, {20, 30, 9}, 0.2f, {7, 29, 0, 1}, true},
		{"cross-attention to several blocks",
		 1500,
		 {2, 1, 8, 0.35f, 0, 0},
		 {40, 1400},
		 0.1f,
		 {1, 1100},
		 true},
		{"cross-attention to nothing", 20, {1, 1, 8, 0.35f, 0, 0}, {9}, 0, {0}, true},
	};
	LmEngine *engine = test_engine(2, NULL);
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);

	for (size_t i = 0; i < sizeof cases / sizeof *cases && !tap_looks_for_races(); i++)
		test_case(&cases[i], engine);
	if (!tap_looks_for_races())
	{
		test_random_shapes(engine);
		test_plain(engine);
	}
	lm_engine_stop(engine);
	for (int i = 0; i < n_simds && !tap_looks_for_races(); i++)
		test_rows(simds[i]);
	test_threads(&cases[1]);
	test_threads(&cases[5]);
	test_threads(&cases[7]);
	test_threads(&cases[9]);
	test_threads(&cases[11]);
	test_threads(&cases[13]);
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
