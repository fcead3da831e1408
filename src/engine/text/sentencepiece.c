/*
 * src/engine/text/sentencepiece.c
 *
 * The bytes of a tokenizer.model in, its pieces and settings out (engine/sentencepiece.h). A
 * message of a protocol buffer is a list of fields
 * (https://protobuf.dev/programming-guides/encoding):
 *
 *   varint of number << 3 | wire type | value: a varint, 8 bytes, varint of size and bytes, 4 bytes
 *
 * A later value of a field that is not a list takes the place of an earlier one.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/sentencepiece.h"

/* Numbers of fields. */
#define MODEL_PIECES 1
#define MODEL_TRAINER 2
#define MODEL_NORMALIZER 3
#define PIECE_TEXT 1
#define PIECE_SCORE 2
#define PIECE_TYPE 3
#define TRAINER_MODEL_TYPE 3
#define TRAINER_SUFFIX 24
#define TRAINER_BYTE_FALLBACK 35
#define TRAINER_BOS 41
#define TRAINER_EOS 42
#define NORMALIZER_NAME 1
#define NORMALIZER_RULES 2
#define NORMALIZER_PREFIX 3
#define NORMALIZER_EXTRA_SPACES 4
#define NORMALIZER_ESCAPE 5

typedef enum WireType
{
	WIRE_VARINT = 0,
	WIRE_8_BYTES = 1,
	WIRE_BYTES = 2,
	WIRE_4_BYTES = 5,
} WireType;

/* A field: a number, or bytes. */
typedef struct Field
{
	uint32_t number;
	WireType type;
	uint64_t value; /* of a varint; the bits of 4 or 8 bytes */
	LmBytes bytes;
} Field;

static bool next_field(Field *field, LmBytes message, size_t *position, LmError *error);
static bool take_varint(uint64_t *value, LmBytes message, size_t *position);
static bool take_fixed(uint64_t *value, LmBytes message, size_t *position, size_t size);
static bool read_piece(LmSentencePiece *piece, LmBytes message, LmError *error);
static bool read_trainer(LmSentenceModel *model, LmBytes message, LmError *error);
static bool read_normalizer(LmSentenceModel *model, LmBytes message, LmError *error);
static bool name_piece(LmError *error, int id);
static bool check_piece(const LmSentencePiece *piece, int id, LmError *error);
static bool expect(const Field *field, WireType type, const char *name, LmError *error);

bool
lm_sentence_model_open(LmSentenceModel *model, LmBytes file, LmError *error)
{
	size_t position = 0;

	*model = (LmSentenceModel){.file = file,
							   .model_type = LM_SENTENCE_UNIGRAM,
							   .beginning = 1,
							   .end = 2,
							   .add_dummy_prefix = true,
							   .remove_extra_whitespaces = true,
							   .escape_whitespaces = true};
	while (position < file.size)
	{
		LmSentencePiece piece;
		Field field;

		if (!next_field(&field, file, &position, error))
			return false;
		if (field.number > MODEL_NORMALIZER)
			continue;
		if (!expect(&field, WIRE_BYTES, "of the model", error))
			return false;
		if (field.number == MODEL_TRAINER && !read_trainer(model, field.bytes, error))
			return false;
		if (field.number == MODEL_NORMALIZER && !read_normalizer(model, field.bytes, error))
			return false;
		if (field.number != MODEL_PIECES)
			continue;
		if (model->n_pieces == LM_MAX_VOCABULARY)
			return lm_fail(error, LM_ERR_LIMIT, (int64_t) position,
						   "tokenizer.model has more than %d pieces", LM_MAX_VOCABULARY);
		if (!read_piece(&piece, field.bytes, error))
			return name_piece(error, model->n_pieces);
		if (!check_piece(&piece, model->n_pieces, error))
			return false;
		model->n_pieces++;
	}
	if (model->n_pieces == 0)
		return lm_fail(error, LM_ERR_FORMAT, 0, "tokenizer.model has no pieces");
	if (model->beginning >= model->n_pieces)
		model->beginning = -1;
	if (model->end >= model->n_pieces)
		model->end = -1;
	return true;
}

bool
lm_sentence_model_next(LmSentencePiece *piece, size_t *position, const LmSentenceModel *model)
{
	while (*position < model->file.size)
	{
		Field field;

		if (!next_field(&field, model->file, position, NULL))
			return false;
		if (field.number == MODEL_PIECES)
			return read_piece(piece, field.bytes, NULL);
	}
	return false;
}

/* ------------------------------------------------------------ messages */

static bool
read_piece(LmSentencePiece *piece, LmBytes message, LmError *error)
{
	size_t position = 0;

	*piece = (LmSentencePiece){.text = {message.data, 0}, .type = LM_PIECE_NORMAL};
	while (position < message.size)
	{
		uint32_t bits;
		Field field;

		if (!next_field(&field, message, &position, error))
			return false;
		switch (field.number)
		{
			case PIECE_TEXT:
				if (!expect(&field, WIRE_BYTES, "of a piece's text", error))
					return false;
				piece->text = field.bytes;
				break;
			case PIECE_SCORE:
				if (!expect(&field, WIRE_4_BYTES, "of a piece's score", error))
					return false;
				bits = (uint32_t) field.value;
				memcpy(&piece->score, &bits, sizeof bits);
				break;
			case PIECE_TYPE:
				if (!expect(&field, WIRE_VARINT, "of a piece's type", error))
					return false;
				piece->type = field.value <= LM_PIECE_BYTE ? (LmPieceType) field.value : 0;
				break;
		}
	}
	return true;
}

/* Says in the message of an error in which piece it is. */
static bool
name_piece(LmError *error, int id)
{
	size_t size = error ? strlen(error->message) : 0;

	if (error)
		snprintf(error->message + size, sizeof error->message - size, " of piece %d", id);
	return false;
}

static bool
check_piece(const LmSentencePiece *piece, int id, LmError *error)
{
	size_t position;

	if (piece->text.size == 0)
		return lm_fail(error, LM_ERR_FORMAT, id, "piece %d of tokenizer.model is empty", id);
	if (piece->text.size > LM_MAX_TOKEN_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, id,
					   "piece %d of tokenizer.model has %zu bytes, the limit is %d", id,
					   piece->text.size, LM_MAX_TOKEN_SIZE);
	if (!lm_utf8_valid(piece->text.data, piece->text.size, &position) ||
		memchr(piece->text.data, 0, piece->text.size))
		return lm_fail(error, LM_ERR_FORMAT, id, "piece %d of tokenizer.model is not text", id);
	if (piece->type < LM_PIECE_NORMAL)
		return lm_fail(error, LM_ERR_FORMAT, id, "piece %d of tokenizer.model has no known type",
					   id);
	if (!isfinite(piece->score))
		return lm_fail(error, LM_ERR_FORMAT, id, "score of piece %d of tokenizer.model is %g", id,
					   (double) piece->score);
	return true;
}

static bool
read_trainer(LmSentenceModel *model, LmBytes message, LmError *error)
{
	size_t position = 0;

	while (position < message.size)
	{
		Field field;

		if (!next_field(&field, message, &position, error))
			return false;
		if (field.number != TRAINER_MODEL_TYPE && field.number != TRAINER_SUFFIX &&
			field.number != TRAINER_BYTE_FALLBACK && field.number != TRAINER_BOS &&
			field.number != TRAINER_EOS)
			continue;
		if (!expect(&field, WIRE_VARINT, "of the trainer", error))
			return false;
		if (field.number == TRAINER_MODEL_TYPE)
			model->model_type = field.value <= LM_SENTENCE_CHAR ? (int) field.value : 0;
		if (field.number == TRAINER_SUFFIX)
			model->space_is_suffix = field.value != 0;
		if (field.number == TRAINER_BYTE_FALLBACK)
			model->byte_fallback = field.value != 0;
		/* A negative number is one of 64 bits: no piece. */
		if (field.number == TRAINER_BOS)
			model->beginning = field.value < LM_MAX_VOCABULARY ? (int32_t) field.value : -1;
		if (field.number == TRAINER_EOS)
			model->end = field.value < LM_MAX_VOCABULARY ? (int32_t) field.value : -1;
	}
	return true;
}

static bool
read_normalizer(LmSentenceModel *model, LmBytes message, LmError *error)
{
	size_t position = 0;

	while (position < message.size)
	{
		Field field;
		bool bytes;

		if (!next_field(&field, message, &position, error))
			return false;
		if (field.number > NORMALIZER_ESCAPE)
			continue;
		bytes = field.number == NORMALIZER_NAME || field.number == NORMALIZER_RULES;
		if (!expect(&field, bytes ? WIRE_BYTES : WIRE_VARINT, "of the normaliser", error))
			return false;
		if (field.number == NORMALIZER_NAME)
			model->normalizer = field.bytes;
		if (field.number == NORMALIZER_RULES)
			model->rules = field.bytes;
		if (field.number == NORMALIZER_PREFIX)
			model->add_dummy_prefix = field.value != 0;
		if (field.number == NORMALIZER_EXTRA_SPACES)
			model->remove_extra_whitespaces = field.value != 0;
		if (field.number == NORMALIZER_ESCAPE)
			model->escape_whitespaces = field.value != 0;
	}
	return true;
}

/* ------------------------------------------------------------ fields */

static bool
next_field(Field *field, LmBytes message, size_t *position, LmError *error)
{
	size_t start = *position;
	uint64_t tag, size;
	bool whole = take_varint(&tag, message, position);

	if (whole && (tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) start,
					   "tokenizer.model has a field without a number at byte %zu", start);
	*field = (Field){.number = (uint32_t) (tag >> 3), .type = (WireType) (tag & 7)};
	if (whole)
		switch (field->type)
		{
			case WIRE_VARINT:
				whole = take_varint(&field->value, message, position);
				break;
			case WIRE_8_BYTES:
				whole = take_fixed(&field->value, message, position, 8);
				break;
			case WIRE_4_BYTES:
				whole = take_fixed(&field->value, message, position, 4);
				break;
			case WIRE_BYTES:
				whole = take_varint(&size, message, position) && size <= message.size - *position;
				if (!whole)
					break;
				field->bytes = (LmBytes){message.data + *position, (size_t) size};
				*position += (size_t) size;
				break;
			default:
				return lm_fail(error, LM_ERR_FORMAT, (int64_t) start,
							   "tokenizer.model has a field of wire type %d at byte %zu",
							   (int) field->type, start);
		}
	return whole || lm_fail(error, LM_ERR_FORMAT, (int64_t) start,
							"tokenizer.model ends within the field that begins at byte %zu", start);
}

/* Seven bits a byte, the lowest first, at most ten bytes; false where the message ends before. */
static bool
take_varint(uint64_t *value, LmBytes message, size_t *position)
{
	*value = 0;
	for (int shift = 0; shift < 64 && *position < message.size; shift += 7)
	{
		unsigned char byte = (unsigned char) message.data[(*position)++];

		*value |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

static bool
take_fixed(uint64_t *value, LmBytes message, size_t *position, size_t size)
{
	*value = 0;
	if (message.size - *position < size)
		return false;
	for (size_t i = 0; i < size; i++)
		*value |= (uint64_t) (unsigned char) message.data[*position + i] << 8 * i;
	*position += size;
	return true;
}

static bool
expect(const Field *field, WireType type, const char *name, LmError *error)
{
	return field->type == type ||
		   lm_fail(error, LM_ERR_FORMAT, -1, "field %u %s in tokenizer.model has wire type %d",
				   field->number, name, (int) field->type);
}
