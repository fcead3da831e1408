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

GptMoments
gpt_spool_moments(GptSpool *spool)
{
	GptMoments moments = {0, 0, 0};
	GptDocument document;

	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		double difference = document.target - moments.mean;

		/* Of two texts of a row the second counts. */
		if (document.side != GPT_SIDE_TRAIN || document.is_pair)
			continue;
		moments.weight += document.weight;
		moments.mean += difference * document.weight / moments.weight;
		moments.squares += document.weight * difference * (document.target - moments.mean);
	}
	return moments;
}

void
gpt_moments_add(GptMoments *moments, const GptMoments *further)
{
	double weight = moments->weight + further->weight;
	double difference = further->mean - moments->mean;

	if (further->weight <= 0)
		return;
	moments->squares +=
		further->squares + difference * difference * moments->weight * further->weight / weight;
	moments->mean += difference * further->weight / weight;
	moments->weight = weight;
}

GptNumbers
gpt_moments_numbers(const GptMoments *moments)
{
	double scale = sqrt(moments->squares / moments->weight);

	/* Of equal numbers any scale will do; a very small one would make rounding errors large. */
	if (scale <= fabs(moments->mean) * FLT_EPSILON || scale < FLT_MIN)
		scale = 1;
	return (GptNumbers){(float) moments->mean, (float) scale};
}

uint32
gpt_spool_number_bits(const GptSpool *spool, double number)
{
	float standardized = (float) gpt_number_standardize(&spool->numbers, number);
	uint32 bits;

	memcpy(&bits, &standardized, sizeof(bits));
	return bits;
}
