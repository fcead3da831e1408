/*
 * test/unit/test_image.c
 *
 * Images: their headers, what is refused, and the writer that fills one in pieces.
 */
#include "serve_support.h"

#define TYPE_PLACE 88 /* of the type in an image's header */

static LmConfig
image_config(void)
{
	LmConfig config = small_config();

	config.vocabulary = 71;
	config.context = 100;
	config.layers = 3;
	config.channels = 42;
	config.heads = 3;
	config.mlp_channels = 161;
	return config;
}

static void
test_images(const LmHost *host, const LmWeightType *type)
{
	LmConfig config = image_config();
	TestModel one = test_model_of_type(host, &config, 6, 0.1f, type),
			  two = test_model_of_type(host, &config, 6, 0.1f, type);
	char *image = aligned_alloc(64, one.size);
	LmConfig found;
	LmError error;
	LmModel *model;
	bool refused = true;

	/* test_model fills the memory with other bytes before it builds. */
	ok(one.size == two.size && memcmp(one.image, two.image, one.size) == 0,
	   "%s: equal weights have equal images", type->name);
	found = *lm_model_config(one.model);
	ok(found.vocabulary == config.vocabulary && found.context == config.context &&
		   found.layers == config.layers && found.heads == config.heads &&
		   found.channels == config.channels && found.mlp_channels == config.mlp_channels &&
		   found.norm_epsilon == config.norm_epsilon && found.position == config.position &&
		   found.mlp == config.mlp && found.bias == config.bias &&
		   found.tie_embeddings == config.tie_embeddings,
	   "an image knows its configuration");
	for (size_t size = 0; size < one.size; size += 1 + size / 3)
		refused = refused && !lm_model_open(host, one.image, size, &error);
	ok(refused, "a truncated image is refused");
	refused = true;
	for (size_t i = 0; i < 16 + 6 * 4; i++)
	{
		memcpy(image, one.image, one.size);
		image[i] ^= 0x40;
		model = lm_model_open(host, image, one.size, &error);
		/* Other heads alone are another model of the same size. */
		refused = refused && (!model || lm_model_config(model)->heads != config.heads);
		lm_model_close(model);
	}
	ok(refused, "an image with another header is refused");
	refused = true;
	for (int32_t other = -2; other < lm_weight_type_count() + 2; other++)
	{
		const LmWeightType *known = lm_weight_type(other);
		size_t size = 0;
		bool has_size = known && lm_image_size(&size, &config, known, &error) && size == one.size;

		memcpy(image, one.image, one.size);
		memcpy(image + TYPE_PLACE, &other, sizeof other);
		model = lm_model_open(host, image, one.size, &error);
		refused = refused && (model != NULL) == has_size && (model || error.code == LM_ERR_FORMAT);
		lm_model_close(model);
	}
	ok(refused, "an image of a type of another size or of none is refused");
	free(image);
	test_model_free(&one);
	test_model_free(&two);
}

/* All parameters in pieces, the last ones first; a piece of a matrix has n_panels panels at most.
 */
static bool
put_all(LmImageWriter *writer, const TestModel *test, int n_panels, LmError *error)
{
	for (int i = test->table->n_params - 1; i >= 0; i--)
	{
		const LmParam *param = &test->table->params[i];
		int step = n_panels * LM_PANEL;

		for (int row = (param->rows - 1) / step * step; row >= 0; row -= step)
			if (!lm_image_put_rows(
					writer, param, row, param->rows - row < step ? param->rows - row : step,
					test->block + param->offset + (size_t) row * (size_t) param->columns, error))
				return false;
	}
	return true;
}

static void
test_writer(const LmHost *host, LmConfig config, const LmWeightType *type)
{
	TestModel test = test_model_of_type(host, &config, 6, 0.1f, type);
	char *image = aligned_alloc(64, test.size);
	LmImageWriter *writer;
	LmError error;

	for (int n_panels = 1; n_panels <= 2; n_panels++)
	{
		memset(image, 0x5A, test.size);
		writer = lm_image_begin(host, image, test.table, type, &error);
		ok(put_all(writer, &test, n_panels, &error) && lm_image_end(writer, &error) &&
			   memcmp(image, test.image, test.size) == 0,
		   "%s: rows of %d panels make the image that whole parameters make%s", type->name,
		   n_panels, config.tie_embeddings ? "" : " (untied)");
	}
	free(image);
	test_model_free(&test);
}

/* Rows that have no place, and an image that is not complete. */
static void
test_writer_refusals(const LmHost *host)
{
	LmConfig config = image_config(), other_config = config;
	TestModel test = test_model(host, &config, 6, 0.1f), other;
	char *image = aligned_alloc(64, test.size);
	LmImageWriter *writer;
	const LmParam *up, *bias;
	LmError error;

	other_config.tie_embeddings = false;
	other_config.mlp_channels = 131;
	other_config.position = LM_ROPE;
	other = test_model(host, &other_config, 6, 0.1f);
	up = lm_param_find(test.table, LM_UP_WEIGHT, 1);
	bias = lm_param_find(test.table, LM_UP_BIAS, 1);
	((TapHost *) host->context)->stop = true;
	ok(!lm_image_begin(host, image, other.table, other.type, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "tables of rotations are stopped");
	((TapHost *) host->context)->stop = false;
	writer = lm_image_begin(host, image, test.table, test.type, &error);
	ok(!lm_image_put_rows(writer, up, 5, 32, test.block + up->offset, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "refused: %s", error.message);
	ok(!lm_image_put_rows(writer, up, 0, 33, test.block + up->offset, &error),
	   "rows that are not whole panels have no place");
	ok(!lm_image_put_rows(writer, up, 160, 2, test.block + up->offset, &error) &&
		   !lm_image_put_rows(writer, up, 192, 1, test.block + up->offset, &error) &&
		   !lm_image_put_rows(writer, up, -32, 32, test.block + up->offset, &error) &&
		   !lm_image_put_rows(writer, up, 0, 0, test.block + up->offset, &error) &&
		   !lm_image_put_rows(writer, bias, 1, 1, test.block + bias->offset, &error),
	   "rows outside of the parameter have none");
	ok(!lm_image_put_rows(writer, lm_param_find(other.table, LM_HEAD_WEIGHT, -1), 0, 32,
						  other.block, &error) &&
		   !lm_image_put_rows(writer, lm_param_find(other.table, LM_UP_WEIGHT, 0), 0, 32,
							  other.block, &error),
	   "a parameter of another configuration has none");
	ok(lm_image_put_rows(writer, up, 128, 33, test.block + up->offset, &error),
	   "the last rows need not be whole panels");
	ok(!lm_image_end(writer, &error) && error.code == LM_ERR_FORMAT, "refused: %s", error.message);
	free(image);
	test_model_free(&test);
	test_model_free(&other);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmConfig untied = image_config();

	untied.tie_embeddings = untied.bias = false;
	untied.norm = LM_RMSNORM;
	untied.position = LM_ROPE;
	untied.qk_norm = true;
	for (int i = 0; i < lm_weight_type_count(); i++)
	{
		test_images(&host, lm_weight_type(i));
		test_writer(&host, image_config(), lm_weight_type(i));
		test_writer(&host, untied, lm_weight_type(i));
	}
	test_writer_refusals(&host);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
