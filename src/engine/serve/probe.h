/*
 * src/engine/serve/probe.h
 *
 * The inside of a probe: a network of model/network.h without gradients of parameters. A classifier
 * is the network below its head, which src/engine/serve/path.c computes.
 */
#ifndef LM_SERVE_PROBE_H
#define LM_SERVE_PROBE_H

#include "engine/probe.h"
#include "model/network.h"
#include "serve/image.h"
#include "serve/session.h"

/* Its memory is one block, in which params and activations lie, and the tables of lm_allocate. */
struct LmProbe
{
	LmHost host;
	LmEngine *engine;
	const LmModel *model;
	LmParamTable *table; /* of the network alone */
	void *memory;
	float *params; /* [table->total] */
	float *inputs; /* [capacity, C] for LmPass.inputs */
	int n_filled; /* parameters that have their values */
	LmNetwork network;
	LmTrainOptions options; /* all zeros: the model's objective, without smoothing */
	LmBatch batch;
	int n_read; /* rows of the text that lm_probe_read has read; 0: none */
	int layer; /* of lm_probe_layer */
	int64_t n_computed; /* tokens, in all passes */
};

/* The pass over the probe's batch; inputs NULL: of its tokens. */
static inline LmPass
lm_probe_pass(const LmProbe *probe, const float *inputs)
{
	return (LmPass){
		.batch = &probe->batch, .training = true, .inputs = inputs, .options = &probe->options};
}

/* A pass, whose tokens are counted. */
static inline void
lm_probe_forward(LmProbe *probe, const LmPass *pass)
{
	probe->n_computed += probe->batch.n_tokens;
	lm_network_forward(&probe->network, pass);
}

/*
 * Adds rows of a window to the probe's batch: n ids from position 0 on, of which n_prefix are the
 * prefix, without targets. Returns the first row.
 */
int lm_probe_add_window(LmProbe *probe, const int32_t *ids, int n, int n_prefix);

#endif /* LM_SERVE_PROBE_H */
