/*
 * src/engine/model/objective.h
 *
 * The objectives of training, a row of one table each: the loss of a batch's windows, from the
 * normalised outputs of the last block. lm_network_loss, the network's layout and the trainer read
 * the table. A further objective is an enumerator in engine/trainer.h, a row of objective.c, and a
 * file of its own.
 *
 *   | objective  | group  | a window's targets                                               |
 *   | language   | 1      | each row's next token, or -1                                     |
 *   | labels     | 1      | the last row's label, or set of labels; else -1                  |
 *   | number     | 1      | the last row's is 0, and its value the number; else -1           |
 *   | contrastive | 2, 3  | as language; only their weight counts (model/contrastive.h)       |
 *   | dpo, orpo  | 2      | each row's next token, or -1 (model/preference.h)                |
 */
#ifndef LM_OBJECTIVE_H
#define LM_OBJECTIVE_H

#include "engine/trainer.h"
#include "model/network.h"

typedef struct LmObjective
{
	const char *name;
	/* windows that belong together: from least_group to most_group */
	int least_group;
	int most_group;
	/*
	 * the first pass of a step writes the gradient of the head (or the tied embedding) instead of
	 * adding to it
	 */
	bool writes_head;
	/* in this order; NULL after the last */
	const char *figures[LM_MAX_FIGURES + 1];
	/*
	 * From the means of the sums in LmNetwork.figures, [LM_MAX_FIGURES], to the values of the
	 * figures; may not be the same array. NULL: the means are the values.
	 */
	void (*finish)(double *values, const double *means, const LmConfig *config);
	/* Slices of activations of its own, after the network's others; NULL: none. */
	void (*layout)(LmNetwork *network, LmArena *arena);
	/* Bytes of activations.scratch that it asks for; NULL: none. */
	size_t (*scratch)(const LmNetwork *network);
	/* Targets of a batch are below it. */
	int64_t (*n_targets)(const LmConfig *config, const LmBatch *batch);
	/* The batch's part of the divisor of a step's loss. */
	double (*weight)(const LmBatch *batch);
	/*
	 * Σ weight loss after lm_network_forward, over rows (groups of 1) or over groups. With scale
	 * above 0 also the gradient of scale times that sum: in activations.narrow with respect to
	 * activations.norm, and += (or =: writes_head) in the head's. Adds to network->figures, each
	 * times the weight. With scale 0, leaves losses in activations.nll: of the rows with a target,
	 * or of a group at its last row. A figure that is not counted with this scale is NaN.
	 */
	double (*loss)(LmNetwork *network, const LmPass *pass, float scale);
} LmObjective;

/*
 * That of a training; options->objective LM_OBJECTIVE_OF_MODEL: the one that the configuration
 * means. NULL for none of the table.
 */
const LmObjective *lm_objective(const LmConfig *config, const LmTrainOptions *options);

/* The sum of the weights of groups, each of which has that of its first window's last target. */
double lm_group_weight(const LmBatch *batch);

/* The loss and the parts of it that other objectives use (model/language.c). */
double lm_language_loss(LmNetwork *network, const LmPass *pass, float scale);
/* That of language models, which also counts the tokens that are the most probable, without scale.
 */
double lm_language_objective(LmNetwork *network, const LmPass *pass, float scale);
/*
 * The same gradient with other weights of the rows, [n_tokens], which may be negative, and without
 * smoothing; nll as it is.
 */
void lm_language_gradient(LmNetwork *network, const LmPass *pass, const float *weights,
						  float scale);

#endif /* LM_OBJECTIVE_H */
