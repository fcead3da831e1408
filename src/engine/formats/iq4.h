/*
 * src/engine/formats/iq4.h
 *
 * The sixteen values of IQ4_NL and IQ4_XS: ggml-common.h, kvalues_iq4nl,
 * https://github.com/ggml-org/ggml.
 */
#ifndef LM_IQ4_H
#define LM_IQ4_H

#include <stdint.h>

static const int8_t lm_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
										 1,	   13,	 25,  38,  53,	69,	 89,  113};

#endif /* LM_IQ4_H */
