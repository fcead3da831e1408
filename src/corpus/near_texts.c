/*
 * src/corpus/near_texts.c
 *
 * The places of two records go in; whether their texts are near, and how much, comes out.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "corpus/duplicates.h"
#include "corpus/spool_private.h"
#include "engine/minhash.h"

/* The texts of a record. */
typedef struct Texts
{
	uint64 place;
	LmCodePoints texts[GPT_ROW_TEXTS];
} Texts;

struct GptNearTexts
{
	GptSpool *spool;
	const LmHost *host;
	Texts left;
	Texts right;
	LmEditScratch scratch;
};

#define NO_PLACE PG_UINT64_MAX

GptNearTexts *
gpt_near_texts_create(GptSpool *spool)
{
	GptNearTexts *texts = palloc0(sizeof(GptNearTexts));

	texts->spool = spool;
	texts->host = gpt_bridge_host(CurrentMemoryContext);
	texts->left.place = texts->right.place = NO_PLACE;
	return texts;
}

static void
read_texts(GptNearTexts *near, Texts *texts, uint64 place)
{
	GptSpool *spool = near->spool;
	const char *text = NULL;
	LmError error;

	if (texts->place == place)
		return;
	texts->place = NO_PLACE;
	gpt_spool_read_at(spool, place);
	text = spool->text;
	for (int i = 0; i < GPT_ROW_TEXTS; i++)
	{
		while (!lm_code_points(&texts->texts[i], text, spool->record.sizes[i], near->host, &error))
			gpt_bridge_retry(&error);
		text += spool->record.sizes[i];
	}
	texts->place = place;
}

bool
gpt_near_texts_compare(float *similarity, GptNearTexts *texts, uint64 left, uint64 right)
{
	size_t edits = 0, length = 0;
	LmError error;

	read_texts(texts, &texts->left, left);
	read_texts(texts, &texts->right, right);
	for (int i = 0; i < GPT_ROW_TEXTS; i++)
	{
		const LmCodePoints *a = &texts->left.texts[i];
		const LmCodePoints *b = &texts->right.texts[i];
		size_t limit = lm_near_limit(a->n, b->n);
		size_t distance;

		while (!lm_edit_distance(&distance, a->codes, a->n, b->codes, b->n, limit, &texts->scratch,
								 texts->host, &error))
			gpt_bridge_retry(&error);
		if (distance > limit)
			return false;
		edits += distance;
		length += Max(a->n, b->n);
	}
	*similarity = 1 - (float) edits / (float) Max(length, 1);
	return true;
}
