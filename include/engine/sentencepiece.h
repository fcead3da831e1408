/*
 * include/engine/sentencepiece.h
 *
 * A tokenizer.model of SentencePiece: a protocol buffer (ModelProto of
 * https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto) with a list of
 * pieces, the settings of the trainer and those of the normaliser. Only what decides about tokens
 * is read; all of the file is checked, and nothing is allocated.
 */
#ifndef LM_SENTENCEPIECE_H
#define LM_SENTENCEPIECE_H

#include "engine/tokenizer.h"

/* The types of pieces, with their numbers in files; GGUF has the same ones. */
typedef enum LmPieceType
{
	LM_PIECE_NORMAL = 1,
	LM_PIECE_UNKNOWN = 2,
	LM_PIECE_CONTROL = 3,
	LM_PIECE_USER_DEFINED = 4, /* is found in a text before the model is asked */
	LM_PIECE_UNUSED = 5,
	LM_PIECE_BYTE = 6,
} LmPieceType;

/* A piece; its text lies in the file and is valid UTF-8. */
typedef struct LmSentencePiece
{
	LmBytes text;
	float score;
	LmPieceType type;
} LmSentencePiece;

/* The kinds of models, with their numbers in files. */
typedef enum LmSentenceModelType
{
	LM_SENTENCE_UNIGRAM = 1,
	LM_SENTENCE_BPE = 2,
	LM_SENTENCE_WORD = 3,
	LM_SENTENCE_CHAR = 4,
} LmSentenceModelType;

/* A file that was checked. It owns nothing: strings lie in the file. */
typedef struct LmSentenceModel
{
	LmBytes file;
	int n_pieces;
	int model_type; /* of LmSentenceModelType */
	bool byte_fallback;
	bool space_is_suffix; /* treat_whitespace_as_suffix */
	int32_t beginning, end; /* ids of pieces, or -1 */
	LmBytes normalizer; /* its name */
	LmBytes rules; /* its table of characters (precompiled_charsmap); size 0: there is none */
	bool add_dummy_prefix;
	bool remove_extra_whitespaces;
	bool escape_whitespaces;
} LmSentenceModel;

/* LM_ERR_FORMAT with the place, LM_ERR_LIMIT for too many pieces. */
bool lm_sentence_model_open(LmSentenceModel *model, LmBytes file, LmError *error);

/*
 * The pieces in their order: *position is 0 at first. False after the last one; the file has been
 * checked, so that there are no errors.
 */
bool lm_sentence_model_next(LmSentencePiece *piece, size_t *position, const LmSentenceModel *model);

#endif /* LM_SENTENCEPIECE_H */
