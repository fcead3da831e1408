/*
 * src/engine/serve/image_writer.c
 *
 * Rows of parameters go in, piece by piece and in any order, and become an image. So a model can be
 * read from its file in pieces: beside the image no memory is needed but that of a piece.
 */
#include <string.h>

#include "kernels/panels.h"
#include "kernels/pieces.h"
#include "serve/image.h"

#define BUILD_FLOATS ((size_t) 1 << 20) /* packed between two questions whether to stop */

struct LmImageWriter
{
	LmHost host;
	LmModel *model;
	size_t missing; /* rows that were not put yet */
	const char *unsound; /* name of a parameter whose values are out of range; NULL: none */
};

/* Where a parameter lies: in a slice of floats, or in panels. */
typedef struct Place
{
	const float *floats;
	const LmLinear *panels;
} Place;

static bool put_positions(LmModel *model, const LmHost *host, LmError *error);
static Place place_of(const LmModel *model, LmParamKind kind, int layer);
static Place place_in_cross(const LmImageCross *cross, LmParamKind kind);
static Place place_in_block(const LmImageBlock *block, LmParamKind kind);
static void put_floats(float *place, const LmParam *param, int first_row, int n_rows,
					   const float *rows);
static void clear_rest(const float *slice, size_t count);
static bool put_param(LmImageWriter *writer, const float *values, const LmParam *param,
					  const LmHost *host, LmError *error);

LmImageWriter *
lm_image_begin(const LmHost *host, void *image, const LmParamTable *table, const LmWeightType *type,
			   LmError *error)
{
	const LmConfig *config = &table->config;
	LmImageWriter *writer;
	size_t size;

	if (!lm_image_size(&size, config, type, error))
		return NULL;
	writer = lm_allocate(host, sizeof *writer);
	if (!writer)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for an image");
		return NULL;
	}
	writer->host = *host;
	writer->missing = 0;
	writer->model = lm_model_lay_out(host, image, config, type, error);
	if (!writer->model)
	{
		lm_free(host, writer);
		return NULL;
	}
	for (int i = 0; i < table->n_params; i++)
		writer->missing += (size_t) table->params[i].rows;
	lm_image_put_header(image, config, type, size);
	if (!put_positions(writer->model, host, error))
	{
		lm_model_close(writer->model);
		lm_free(host, writer);
		return NULL;
	}
	return writer;
}

/* Computes the sinusoids or the tables of rotations; learned positions are a parameter. */
static bool
put_positions(LmModel *model, const LmHost *host, LmError *error)
{
	const LmConfig *config = &model->config;
	size_t T = (size_t) config->context;

	if (config->position == LM_SINUSOIDAL)
	{
		lm_sinusoid((float *) model->positions, config->context, config->channels);
		clear_rest(model->positions, T * (size_t) config->channels);
	}
	for (int local = 0; local < 2; local++)
	{
		const float *table = local ? model->local_rotary : model->rotary;
		LmRotation rotation = lm_config_rotation(config, local != 0);

		if (!table)
			continue;
		/* A long context with wide heads has gigabytes of them. */
		for (int pair = 0; pair < rotation.size / 2; pair++)
		{
			if (host->should_stop && host->should_stop(host->context))
				return lm_fail(error, LM_ERR_STOPPED, -1, "building the model's image was stopped");
			lm_rotary_pair((float *) table, &rotation, config->context, pair);
		}
		clear_rest(table, T * (size_t) rotation.size);
	}
	return true;
}

bool
lm_image_put_rows(LmImageWriter *writer, const LmParam *param, int first_row, int n_rows,
				  const float *rows, LmError *error)
{
	Place place = place_of(writer->model, param->kind, param->layer);
	const LmLinear *panels = place.panels;
	int limit;
	bool inside = first_row >= 0 && first_row < param->rows && n_rows > 0 &&
				  n_rows <= param->rows - first_row && (size_t) n_rows <= writer->missing;
	bool fits = panels && panels->n_in == param->columns && panels->n_out == param->rows &&
				first_row % LM_PANEL == 0 &&
				(n_rows % LM_PANEL == 0 || first_row + n_rows == param->rows);

	if (!inside || (!place.floats && !fits))
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "rows %d .. %d of \"%s\" have no place in the image", first_row,
					   first_row + n_rows - 1, param->name);
	/* Until the file's hash is known, damage may be the reason: _end reports it. */
	if (lm_param_of_ngrams(param) &&
		lm_param_unsound(&limit, param, &writer->model->config, rows) >= 0)
		writer->unsound = param->name;
	if (place.floats)
		put_floats((float *) place.floats, param, first_row, n_rows, rows);
	else
		lm_linear_pack((char *) panels->panels + (size_t) (first_row / LM_PANEL) *
													 lm_panel_size(panels->type, panels->n_in),
					   panels->type, rows, panels->n_in, n_rows);
	writer->missing -= (size_t) n_rows;
	return true;
}

/* A tied embedding lies in the head's panels. */
static Place
place_of(const LmModel *model, LmParamKind kind, int layer)
{
	if (layer >= 0)
		return layer < lm_config_blocks(&model->config)
				   ? place_in_block(&model->blocks[layer], kind)
				   : (Place){NULL, NULL};
	switch (kind)
	{
		case LM_TOKEN_EMBEDDING:
			return model->token_embedding ? (Place){model->token_embedding, NULL}
										  : (Place){NULL, &model->head};
		case LM_HEAD_WEIGHT:
			return (Place){NULL, model->token_embedding ? &model->head : NULL};
		case LM_POSITION_EMBEDDING:
			return (Place){model->config.position == LM_LEARNED ? model->positions : NULL, NULL};
		case LM_ENCODER_NORM_WEIGHT:
			return (Place){model->encoder_norm_weight, NULL};
		case LM_ENCODER_NORM_BIAS:
			return (Place){model->encoder_norm_bias, NULL};
		case LM_FINAL_NORM_WEIGHT:
			return (Place){model->final_norm_weight, NULL};
		case LM_FINAL_NORM_BIAS:
			return (Place){model->final_norm_bias, NULL};
		case LM_EMBEDDING_RUNS:
			return (Place){model->embedding_runs, NULL};
		case LM_EMBEDDING_HIDDEN:
			return (Place){model->embedding_hidden, NULL};
		case LM_BAG_EMBEDDING:
			return (Place){model->bag_embedding, NULL};
		case LM_LABEL_WEIGHT:
			return (Place){model->label_weight, NULL};
		case LM_LABEL_BIAS:
			return (Place){model->label_bias, NULL};
		case LM_NGRAM_TOKENS:
			return (Place){model->ngram.tokens, NULL};
		case LM_NGRAM_ORDER:
			return (Place){model->ngram.order, NULL};
		case LM_NGRAM_WEIGHTING:
			return (Place){model->ngram.weights, NULL};
		case LM_FEATURE_KEY:
			return (Place){model->features.keys, NULL};
		case LM_FEATURE_WEIGHT:
			return (Place){model->features.weights, NULL};
		default:
			return (Place){NULL, NULL};
	}
}

/* The places of a block's parameters. */
static Place
place_in_block(const LmImageBlock *block, LmParamKind kind)
{
	switch (kind)
	{
		case LM_NORM1_WEIGHT:
			return (Place){block->norm1_weight, NULL};
		case LM_NORM1_BIAS:
			return (Place){block->norm1_bias, NULL};
		case LM_NORM2_WEIGHT:
			return (Place){block->norm2_weight, NULL};
		case LM_NORM2_BIAS:
			return (Place){block->norm2_bias, NULL};
		case LM_QUERY_NORM_WEIGHT:
			return (Place){block->query_norm_weight, NULL};
		case LM_KEY_NORM_WEIGHT:
			return (Place){block->key_norm_weight, NULL};
		case LM_POST_NORM1_WEIGHT:
			return (Place){block->post_norm1_weight, NULL};
		case LM_POST_NORM1_BIAS:
			return (Place){block->post_norm1_bias, NULL};
		case LM_POST_NORM2_WEIGHT:
			return (Place){block->post_norm2_weight, NULL};
		case LM_POST_NORM2_BIAS:
			return (Place){block->post_norm2_bias, NULL};
		case LM_ATTENTION_WEIGHT:
			return (Place){NULL, &block->attention};
		case LM_ATTENTION_BIAS:
			return (Place){block->attention.bias, NULL};
		case LM_PROJECTION_WEIGHT:
			return (Place){NULL, &block->projection};
		case LM_PROJECTION_BIAS:
			return (Place){block->projection.bias, NULL};
		case LM_UP_WEIGHT:
			return (Place){NULL, &block->up};
		case LM_UP_BIAS:
			return (Place){block->up.bias, NULL};
		case LM_DOWN_WEIGHT:
			return (Place){NULL, &block->down};
		case LM_DOWN_BIAS:
			return (Place){block->down.bias, NULL};
		default:
			return place_in_cross(&block->cross, kind);
	}
}

static Place
place_in_cross(const LmImageCross *cross, LmParamKind kind)
{
	bool exists = cross->query.panels != NULL;

	switch (kind)
	{
		case LM_CROSS_NORM_WEIGHT:
			return (Place){cross->norm_weight, NULL};
		case LM_CROSS_NORM_BIAS:
			return (Place){cross->norm_bias, NULL};
		case LM_CROSS_QUERY_NORM_WEIGHT:
			return (Place){cross->query_norm_weight, NULL};
		case LM_CROSS_KEY_NORM_WEIGHT:
			return (Place){cross->key_norm_weight, NULL};
		case LM_CROSS_POST_NORM_WEIGHT:
			return (Place){cross->post_norm_weight, NULL};
		case LM_CROSS_POST_NORM_BIAS:
			return (Place){cross->post_norm_bias, NULL};
		case LM_CROSS_QUERY_WEIGHT:
			return (Place){NULL, exists ? &cross->query : NULL};
		case LM_CROSS_QUERY_BIAS:
			return (Place){cross->query.bias, NULL};
		case LM_CROSS_KEY_VALUE_WEIGHT:
			return (Place){NULL, exists ? &cross->key_value : NULL};
		case LM_CROSS_KEY_VALUE_BIAS:
			return (Place){cross->key_value.bias, NULL};
		case LM_CROSS_PROJECTION_WEIGHT:
			return (Place){NULL, exists ? &cross->projection : NULL};
		case LM_CROSS_PROJECTION_BIAS:
			return (Place){cross->projection.bias, NULL};
		default:
			return (Place){NULL, NULL};
	}
}

static void
put_floats(float *place, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	size_t columns = (size_t) param->columns;

	memcpy(place + (size_t) first_row * columns, rows, (size_t) n_rows * columns * sizeof(float));
	if (first_row + n_rows == param->rows)
		clear_rest(place, param->count);
}

/* Clears the last 64 bytes of a slice beyond count, so that equal models have equal images. */
static void
clear_rest(const float *slice, size_t count)
{
	for (size_t i = count; i % 16 != 0; i++)
		((float *) slice)[i] = 0;
}

bool
lm_image_end(LmImageWriter *writer, LmError *error)
{
	LmHost host = writer->host;
	size_t missing = writer->missing;
	const char *unsound = writer->unsound;

	lm_model_close(writer->model);
	lm_free(&host, writer);
	if (unsound)
		return lm_fail(error, LM_ERR_FORMAT, -1, "values of \"%s\" are out of range", unsound);
	return missing == 0 ||
		   lm_fail(error, LM_ERR_FORMAT, -1, "%zu rows of the model's image are missing", missing);
}

bool
lm_image_build(void *image, const float *block, const LmParamTable *table, const LmWeightType *type,
			   const LmHost *host, LmError *error)
{
	LmImageWriter *writer = lm_image_begin(host, image, table, type, error);
	LmError ignored;
	bool good = writer != NULL;

	for (int i = 0; good && i < table->n_params; i++)
		good = put_param(writer, block + table->params[i].offset, &table->params[i], host, error);
	if (writer && !good)
		lm_image_end(writer, &ignored);
	return good && lm_image_end(writer, error);
}

/* Puts a parameter in pieces of whole panels, and asks after each whether to stop. */
static bool
put_param(LmImageWriter *writer, const float *values, const LmParam *param, const LmHost *host,
		  LmError *error)
{
	int step = (int) (BUILD_FLOATS / (size_t) param->columns / LM_PANEL + 1) * LM_PANEL;

	for (int row = 0; row < param->rows; row += step)
	{
		if (!lm_image_put_rows(writer, param, row, lm_smaller(step, param->rows - row),
							   values + (size_t) row * (size_t) param->columns, error))
			return false;
		if (host->should_stop && host->should_stop(host->context))
			return lm_fail(error, LM_ERR_STOPPED, -1, "building the model's image was stopped");
	}
	return true;
}
