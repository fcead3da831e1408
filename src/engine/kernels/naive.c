/* First version of every operation: plain loops on the calling thread, to be replaced file by file. */
#include <math.h>
#include <string.h>

#include "engine/ops.h"

void
lm_matmul(const LmEngine *engine, float *y, const float *a, const float *b, LmTranspose transpose,
		  int m, int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	lm_matmul_naive(y, a, b, transpose, m, n, k, ld_y, ld_a, ld_b, scale, beta);
}

void
lm_matmul_builtin(float *y, const float *a, const float *b, LmTranspose transpose,
				  int m, int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	lm_matmul_naive(y, a, b, transpose, m, n, k, ld_y, ld_a, ld_b, scale, beta);
}

void
lm_matmul_naive(float *y, const float *a, const float *b, LmTranspose transpose,
				int m, int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
		{
			float sum = 0;

			for (int l = 0; l < k; l++)
			{
				float a_il = transpose == LM_TN ? a[(size_t) l * ld_a + i] : a[(size_t) i * ld_a + l];
				float b_lj = transpose == LM_NT ? b[(size_t) j * ld_b + l] : b[(size_t) l * ld_b + j];

				sum += a_il * b_lj;
			}
			y[(size_t) i * ld_y + j] = (beta != 0 ? y[(size_t) i * ld_y + j] : 0) + scale * sum;
		}
}

const char *
lm_simd_name(void)
{
	return "base";
}

void
lm_linear_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows)
{
	int n_in = linear->n_in, n_out = linear->n_out;

	lm_matmul(engine, y, x, linear->w, LM_NT, n_rows, n_out, n_in, n_out, n_in, n_in, 1, 0);
	for (int i = 0; linear->bias && i < n_rows; i++)
		for (int j = 0; j < n_out; j++)
			y[(size_t) i * n_out + j] += linear->bias[j];
}

void
lm_linear_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy, const float *x,
				   const LmLinear *linear, int n_rows, void *scratch)
{
	int n_in = linear->n_in, n_out = linear->n_out;

	if (dx)
		lm_matmul(engine, dx, dy, linear->w, LM_NN, n_rows, n_in, n_out, n_in, n_out, n_in, 1, 0);
	if (dw)
		lm_matmul(engine, dw, dy, x, LM_TN, n_out, n_in, n_rows, n_in, n_out, n_in, 1, 1);
	for (int i = 0; dbias && i < n_rows; i++)
		for (int j = 0; j < n_out; j++)
			dbias[j] += dy[(size_t) i * n_out + j];
}

size_t
lm_linear_backward_scratch(int n_rows, int n_out)
{
	return ((size_t) n_rows / 64 + 1) * n_out * sizeof(float);
}

size_t
lm_linear_panels_count(int n_in, int n_out)
{
	return (size_t) ((n_out + LM_PANEL - 1) / LM_PANEL) * n_in * LM_PANEL;
}

void
lm_linear_pack(float *panels, const float *w, int n_in, int n_out)
{
	int n_panels = (n_out + LM_PANEL - 1) / LM_PANEL;

	for (int panel = 0; panel < n_panels; panel++)
		for (int i = 0; i < n_in; i++)
			for (int j = 0; j < LM_PANEL; j++)
			{
				int o = panel * LM_PANEL + j;

				*panels++ = o < n_out ? w[(size_t) o * n_in + i] : 0;
			}
}

void
lm_linear_infer(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows)
{
	for (int r = 0; r < n_rows; r++)
		for (int o = 0; o < linear->n_out; o++)
		{
			const float *w = linear->panels + (size_t) (o / LM_PANEL) * LM_PANEL * linear->n_in + o % LM_PANEL;
			float sum = 0;

			for (int i = 0; i < linear->n_in; i++)
				sum = fmaf(x[(size_t) r * linear->n_in + i], w[(size_t) i * LM_PANEL], sum);
			y[(size_t) r * linear->n_out + o] = sum + (linear->bias ? linear->bias[o] : 0);
		}
}

void
lm_norm_forward(LmEngine *engine, float *y, float *mean, float *rstd, const float *x, const float *weight,
				const float *bias, int n_rows, int C, float epsilon)
{
	for (int t = 0; t < n_rows; t++)
	{
		const float *row = x + (size_t) t * C;
		double sum = 0, squares = 0;
		float m, r;

		for (int i = 0; i < C; i++)
			sum += row[i];
		m = (float) (sum / C);
		for (int i = 0; i < C; i++)
			squares += (row[i] - m) * (row[i] - m);
		r = (float) (1 / sqrt(squares / C + epsilon));
		for (int i = 0; i < C; i++)
			y[(size_t) t * C + i] = (row[i] - m) * r * weight[i] + (bias ? bias[i] : 0);
		if (mean)
			mean[t] = m;
		if (rstd)
			rstd[t] = r;
	}
}

void
lm_norm_backward(LmEngine *engine, float *dx, float *dweight, float *dbias, const float *dy, const float *x,
				 const float *mean, const float *rstd, const float *weight, int n_rows, int C, void *scratch)
{
	for (int t = 0; t < n_rows; t++)
	{
		double sum = 0, dot = 0;

		for (int i = 0; i < C; i++)
		{
			float normal = (x[(size_t) t * C + i] - mean[t]) * rstd[t];
			float d = dy[(size_t) t * C + i] * weight[i];

			sum += d;
			dot += d * normal;
			dweight[i] += dy[(size_t) t * C + i] * normal;
			if (dbias)
				dbias[i] += dy[(size_t) t * C + i];
		}
		for (int i = 0; i < C; i++)
		{
			float normal = (x[(size_t) t * C + i] - mean[t]) * rstd[t];

			dx[(size_t) t * C + i] += (float) ((dy[(size_t) t * C + i] * weight[i] - sum / C - normal * dot / C) * rstd[t]);
		}
	}
}

size_t
lm_norm_backward_scratch(int n_rows, int C)
{
	return ((size_t) n_rows / 64 + 1) * 2 * C * sizeof(float);
}

void
lm_gelu_forward(LmEngine *engine, float *y, const float *x, size_t count, LmActivation kind)
{
	for (size_t i = 0; i < count; i++)
	{
		double v = x[i];

		y[i] = (float) (kind == LM_GELU ? 0.5 * v * (1 + erf(v * M_SQRT1_2))
										: 0.5 * v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))));
	}
}

void
lm_gelu_backward(LmEngine *engine, float *dx, const float *dy, const float *x, size_t count, LmActivation kind)
{
	for (size_t i = 0; i < count; i++)
	{
		double v = x[i], slope;

		if (kind == LM_GELU)
			slope = 0.5 * (1 + erf(v * M_SQRT1_2)) + v * exp(-v * v / 2) / sqrt(2 * M_PI);
		else
		{
			double t = tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v));

			slope = 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * v * v);
		}
		dx[i] = (float) (dy[i] * slope);
	}
}

static float
dropout_mask(const LmDropout *dropout, int row, int channel, uint32_t head)
{
	uint32_t out[4], word, threshold;
	int group = channel / 64, quarter = channel % 64 / 16, lane = channel % 16 / 2, parity = channel % 2;

	if (dropout->rate == 0)
		return 1;
	threshold = (uint32_t) (dropout->rate * 65536 + 0.5f);
	lm_random(out, dropout->key, (uint32_t) (group * 8 + lane), (uint32_t) dropout->positions[row],
			  (uint32_t) dropout->examples[row], head);
	word = out[parity + (quarter / 2) * 2];
	if ((quarter % 2 ? word >> 16 : word & 0xffff) < threshold)
		return 0;
	return 1 / (1 - threshold / 65536.0f);
}

void
lm_dropout(LmEngine *engine, float *x, const LmDropout *dropout, int n_rows, int C)
{
	if (dropout->rate == 0)
		return;
	for (int t = 0; t < n_rows; t++)
		for (int c = 0; c < C; c++)
			x[(size_t) t * C + c] *= dropout_mask(dropout, t, c, 0);
}

void
lm_residual_forward(LmEngine *engine, float *y, const float *x, const float *branch, const LmDropout *dropout,
					int n_rows, int C)
{
	for (int t = 0; t < n_rows; t++)
		for (int c = 0; c < C; c++)
			y[(size_t) t * C + c] = x[(size_t) t * C + c] + dropout_mask(dropout, t, c, 0) * branch[(size_t) t * C + c];
}

void
lm_embedding_forward(LmEngine *engine, float *y, const int32_t *tokens, const int32_t *positions,
					 const float *wte, const float *wpe, int n_rows, int C)
{
	for (int t = 0; t < n_rows; t++)
		for (int c = 0; c < C; c++)
			y[(size_t) t * C + c] = wte[(size_t) tokens[t] * C + c] + (wpe ? wpe[(size_t) positions[t] * C + c] : 0);
}

void
lm_embedding_backward(LmEngine *engine, float *dwte, float *dwpe, const float *dy, const int32_t *tokens,
					  const int32_t *positions, int n_rows, int C)
{
	for (int t = 0; t < n_rows; t++)
		for (int c = 0; c < C; c++)
		{
			dwte[(size_t) tokens[t] * C + c] += dy[(size_t) t * C + c];
			if (dwpe)
				dwpe[(size_t) positions[t] * C + c] += dy[(size_t) t * C + c];
		}
}

void
lm_sinusoid(float *table, int context, int C)
{
	for (int position = 0; position < context; position++)
		for (int c = 0; c < C; c++)
		{
			double angle = position / pow(10000, (double) (c - c % 2) / C);

			table[(size_t) position * C + c] = (float) (c % 2 ? cos(angle) : sin(angle));
		}
}

void
lm_attention_forward(LmEngine *engine, float *out, float *lse, const float *qkv, const int32_t *starts,
					 const LmDropout *dropout, int n_rows, int H, int C, void *scratch)
{
	int hs = C / H;
	float *p = scratch;

	for (int t = 0; t < n_rows; t++)
		for (int h = 0; h < H; h++)
		{
			const float *q = qkv + (size_t) t * 3 * C + h * hs;
			float *o = out + (size_t) t * C + h * hs;
			float max = -INFINITY;
			double sum = 0;

			for (int s = starts[t]; s <= t; s++)
			{
				float dot = 0;

				for (int i = 0; i < hs; i++)
					dot += q[i] * qkv[(size_t) s * 3 * C + C + h * hs + i];
				p[s] = dot / sqrtf((float) hs);
				max = fmaxf(max, p[s]);
			}
			for (int s = starts[t]; s <= t; s++)
				sum += exp(p[s] - max);
			lse[(size_t) t * H + h] = (float) (max + log(sum));
			memset(o, 0, (size_t) hs * sizeof *o);
			for (int s = starts[t]; s <= t; s++)
			{
				float weight = (float) (exp(p[s] - max) / sum) * dropout_mask(dropout, t, s - starts[t], (uint32_t) h);

				for (int i = 0; i < hs; i++)
					o[i] += weight * qkv[(size_t) s * 3 * C + 2 * C + h * hs + i];
			}
		}
}

void
lm_attention_backward(LmEngine *engine, float *dqkv, const float *dout, const float *out, const float *lse,
					  const float *qkv, const int32_t *starts, const LmDropout *dropout, int n_rows, int H, int C,
					  void *scratch)
{
	int hs = C / H;
	float scale = 1 / sqrtf((float) hs);

	memset(dqkv, 0, (size_t) n_rows * 3 * C * sizeof *dqkv);
	for (int t = 0; t < n_rows; t++)
		for (int h = 0; h < H; h++)
		{
			const float *q = qkv + (size_t) t * 3 * C + h * hs;
			const float *d_o = dout + (size_t) t * C + h * hs;
			float *dq = dqkv + (size_t) t * 3 * C + h * hs;
			float delta = 0;

			for (int i = 0; i < hs; i++)
				delta += d_o[i] * out[(size_t) t * C + h * hs + i];
			for (int s = starts[t]; s <= t; s++)
			{
				const float *k = qkv + (size_t) s * 3 * C + C + h * hs;
				const float *v = k + C;
				float *dk = dqkv + (size_t) s * 3 * C + C + h * hs;
				float *dv = dk + C;
				float mask = dropout_mask(dropout, t, s - starts[t], (uint32_t) h);
				float dot = 0, dp = 0, p, ds;

				for (int i = 0; i < hs; i++)
				{
					dot += q[i] * k[i];
					dp += d_o[i] * v[i];
				}
				p = expf(dot * scale - lse[(size_t) t * H + h]);
				ds = p * (mask * dp - delta) * scale;
				for (int i = 0; i < hs; i++)
				{
					dq[i] += ds * k[i];
					dk[i] += ds * q[i];
					dv[i] += p * mask * d_o[i];
				}
			}
		}
}

size_t
lm_attention_scratch_for(int n_threads, int n_rows, int H, int C)
{
	return (size_t) n_rows * 16 + (size_t) n_threads * (1 << 20);
}

size_t
lm_attention_scratch(const LmEngine *engine, int n_rows, int H, int C)
{
	return lm_attention_scratch_for(lm_engine_threads(engine), n_rows, H, C);
}

void
lm_attention_row(float *out, const float *q, const float *const *key_pages, const float *const *value_pages,
				 int page_rows, int n_keys, int first_head, int last_head, int head_size, int C, float *scratch)
{
	for (int h = first_head; h < last_head; h++)
	{
		float max = -INFINITY;
		float sum = 0;

		for (int s = 0; s < n_keys; s++)
		{
			const float *k = key_pages[s / page_rows] + (size_t) (s % page_rows) * C + h * head_size;
			float dot = 0;

			for (int i = 0; i < head_size; i++)
				dot += q[h * head_size + i] * k[i];
			scratch[s] = dot / sqrtf((float) head_size);
			max = fmaxf(max, scratch[s]);
		}
		for (int s = 0; s < n_keys; s++)
			sum += scratch[s] = expf(scratch[s] - max);
		for (int i = 0; i < head_size; i++)
			out[h * head_size + i] = 0;
		for (int s = 0; s < n_keys; s++)
		{
			const float *v = value_pages[s / page_rows] + (size_t) (s % page_rows) * C + h * head_size;

			for (int i = 0; i < head_size; i++)
				out[h * head_size + i] += scratch[s] / sum * v[i];
		}
	}
}

void
lm_cross_entropy(LmEngine *engine, float *logits, float *nll, const int32_t *targets, const float *weights,
				 float scale, int n_rows, int V)
{
	for (int t = 0; t < n_rows; t++)
	{
		float *row = logits + (size_t) t * V;
		double lse = lm_log_sum_exp(row, V);

		nll[t] = 0;
		if (targets[t] < 0 || weights[t] == 0)
		{
			memset(row, 0, (size_t) V * sizeof *row);
			continue;
		}
		nll[t] = (float) (lse - row[targets[t]]);
		for (int v = 0; v < V; v++)
			row[v] = (float) ((exp(row[v] - lse) - (v == targets[t])) * weights[t] * scale);
	}
}

void
lm_cross_entropy_forward(LmEngine *engine, float *nll, const float *logits, const int32_t *targets, int n_rows, int V)
{
	for (int t = 0; t < n_rows; t++)
		nll[t] = targets[t] < 0 ? 0 : (float) (lm_log_sum_exp(logits + (size_t) t * V, V) - logits[(size_t) t * V + targets[t]]);
}

double
lm_log_sum_exp(const float *x, int n)
{
	double sum = 0, max = -INFINITY;

	for (int i = 0; i < n; i++)
		max = fmax(max, x[i]);
	for (int i = 0; i < n; i++)
		sum += exp(x[i] - max);
	return max + log(sum);
}

double
lm_sum_squares(LmEngine *engine, const float *x, size_t count, void *scratch)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (double) x[i] * x[i];
	return sum;
}

size_t
lm_sum_squares_scratch(size_t count)
{
	return (count / 65536 + 1) * sizeof(double);
}

void
lm_adamw_update(LmEngine *engine, float *p, float *m, float *v, const float *gradient, size_t count,
				const LmAdamW *adamw)
{
	for (size_t i = 0; i < count; i++)
	{
		float g = gradient[i] * adamw->gradient_scale;

		m[i] = adamw->beta1 * m[i] + (1 - adamw->beta1) * g;
		v[i] = adamw->beta2 * v[i] + (1 - adamw->beta2) * g * g;
		p[i] -= adamw->rate * (m[i] / adamw->correction1) / (sqrtf(v[i] / adamw->correction2) + adamw->epsilon) +
				adamw->rate * adamw->decay * p[i];
	}
}

void
lm_add(LmEngine *engine, float *y, const float *x, size_t count)
{
	for (size_t i = 0; i < count; i++)
		y[i] += x[i];
}
