/*
 * include/engine/weight_type.h
 *
 * The types that packed weights can have. They are rows of one table
 * (src/engine/kernels/weight_types.h), which everything reads that lists types or asks for one of
 * their properties.
 */
#ifndef LM_WEIGHT_TYPE_H
#define LM_WEIGHT_TYPE_H

#include <stddef.h>

/* A panel holds this many outputs of a matrix (kernels/panels.h). */
#define LM_PANEL 32

/* A row of the table of weight types. */
typedef struct LmWeightType
{
	const char *name; /* as SQL, names of files, messages and docs spell it */
	int number; /* place in the table; images store it */
	int unit; /* inputs of a unit of a panel */
	int group; /* inputs that share a scale; 0: no scales */
	size_t unit_size; /* bytes of a unit */
	double bits; /* of a weight, with its share of the scale */
	/* Bound on the relative root mean square error of a product of random numbers. */
	double error;

	/* Fills a panel with n_rows rows w of n_in weights, zero up to LM_PANEL rows and whole units.
	 */
	void (*pack)(void *panel, const float *w, int n_in, int n_rows);
	/* Weight i of a column of a unit, as stored. */
	float (*weight)(const void *unit, int column, int i);
	/* The reference of the kernels: sum + the product of n inputs with a column of a unit. */
	float (*add)(float sum, const float *x, const void *unit, int column, int n);
} LmWeightType;

/* The number of rows; their numbers are 0 .. count - 1. */
int lm_weight_type_count(void);

/* The row of a number, or of a name; NULL where no type has it. */
const LmWeightType *lm_weight_type(int number);
const char *lm_weight_type_name(int number);
const LmWeightType *lm_weight_type_find(const char *name);

#endif /* LM_WEIGHT_TYPE_H */
