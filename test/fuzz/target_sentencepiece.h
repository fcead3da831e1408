/*
 * test/fuzz/target_sentencepiece.h
 *
 * Any bytes as a tokenizer.model: an error, or pieces whose texts lie in the file.
 */
#ifndef TEST_TARGET_SENTENCEPIECE_H
#define TEST_TARGET_SENTENCEPIECE_H

#include "fuzz.h"
#include "engine/sentencepiece.h"

static inline bool
fuzz_lies_in(LmBytes part, const uint8_t *data, size_t size)
{
	const uint8_t *begin = (const uint8_t *) part.data;

	return part.size == 0 ||
		   (begin >= data && begin <= data + size && part.size <= (size_t) (data + size - begin));
}

/* Whether the bytes are a model. */
static inline bool
target_sentencepiece(const uint8_t *data, size_t size)
{
	LmSentenceModel model;
	LmSentencePiece piece;
	LmError error = {0};
	size_t position = 0;
	int n = 0;

	if (!lm_sentence_model_open(&model, (LmBytes){(const char *) data, size}, &error))
	{
		fuzz_check_error(&error);
		return false;
	}
	while (lm_sentence_model_next(&piece, &position, &model))
	{
		FUZZ_CHECK(piece.text.size > 0 && piece.text.size <= LM_MAX_TOKEN_SIZE &&
				   fuzz_lies_in(piece.text, data, size));
		FUZZ_CHECK(lm_utf8_valid(piece.text.data, piece.text.size, &(size_t){0}));
		FUZZ_CHECK(piece.type >= LM_PIECE_NORMAL && piece.type <= LM_PIECE_BYTE);
		FUZZ_CHECK(piece.score == piece.score);
		n++;
	}
	FUZZ_CHECK(n == model.n_pieces && position == size && n > 0);
	FUZZ_CHECK(model.beginning >= -1 && model.beginning < n && model.end >= -1 && model.end < n);
	FUZZ_CHECK(fuzz_lies_in(model.normalizer, data, size));
	return true;
}

#endif /* TEST_TARGET_SENTENCEPIECE_H */
