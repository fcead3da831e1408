/*
 * src/engine/model/number.c
 *
 * Outputs of regression and the numbers that they should be go in, losses and gradients come out.
 */
#include "model/number.h"

void
lm_number_loss(float *outputs, float *losses, const float *values, const float *weights,
			   float scale, int n)
{
	for (int i = 0; i < n; i++)
	{
		float difference = outputs[i] - values[i];

		losses[i] = difference * difference;
		if (scale > 0)
			outputs[i] = 2 * scale * weights[i] * difference;
	}
}
