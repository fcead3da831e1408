/*
 * src/corpus/spool_numbers.c
 *
 * The rows of a spool go in; out come the mean and the standard deviation of the numbers that are
 * trained on, each with the weight of its row (West 1979, "Updating mean and variance estimates",
 * Communications of the ACM 22(9)).
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "corpus/spool_private.h"

GptNumbers
gpt_spool_measure_numbers(GptSpool *spool)
{
	double weight = 0;
	double mean = 0;
	double squares = 0; /* of differences from the mean */
	double scale;
	GptDocument document;

	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		double difference = document.target - mean;

		/* Of two texts of a row the second counts. */
		if (document.side != GPT_SIDE_TRAIN || document.is_pair)
			continue;
		weight += document.weight;
		mean += difference * document.weight / weight;
		squares += document.weight * difference * (document.target - mean);
	}
	/* Of equal numbers any scale will do; a very small one would make rounding errors large. */
	scale = sqrt(squares / weight);
	if (scale <= fabs(mean) * FLT_EPSILON || scale < FLT_MIN)
		scale = 1;
	return (GptNumbers){(float) mean, (float) scale};
}

uint32
gpt_spool_number_bits(const GptSpool *spool, double number)
{
	float standardized = (float) gpt_number_standardize(&spool->numbers, number);
	uint32 bits;

	memcpy(&bits, &standardized, sizeof(bits));
	return bits;
}
