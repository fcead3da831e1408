/*
 * src/engine/model/number.h
 *
 * The loss of regression. Numbers and outputs are standardised (LmConfig.number_mean, _scale), so
 * that a loss of 1 is that of always saying the mean.
 */
#ifndef LM_NUMBER_H
#define LM_NUMBER_H

/*
 * losses [n] = (output - value)^2. scale above 0: their gradients, times scale and the weight, take
 * the place of the outputs.
 */
void lm_number_loss(float *outputs, float *losses, const float *values, const float *weights,
					float scale, int n);

#endif /* LM_NUMBER_H */
