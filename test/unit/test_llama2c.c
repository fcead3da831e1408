/*
 * test/unit/test_llama2c.c
 *
 * Files of llama2.c: where the tensors of both layouts are, what is refused, and the published
 * model of 260 thousand parameters, whose layouts must have the same numbers.
 */
#include "file_support.h"
#include "counting_host.h"
#include "safetensors.h"
#include "engine/llama2c.h"

static CountingHost counting;
static LmHost host;

/* C, M, L, H, K, V, T */
static const int32_t small[7] = {8, 12, 2, 4, 2, 5, 6};

/* The floats of a small model without rotation tables and output. */
#define SMALL_FLOATS (5 * 8 + 2 * (8 + 64 + 32 + 32 + 64 + 8 + 3 * 96) + 8)
#define SMALL_TABLES (6 * 2)

/* A header with one of the sizes changed, and zeros for n floats. */
static void
write_model(Bytes *bytes, int version, bool tied, int changed, int32_t value, size_t n)
{
	bytes_free(bytes);
	if (version > 0)
	{
		bytes_add(bytes, "24ka", 4);
		bytes_u32(bytes, (uint32_t) version);
	}
	for (int i = 0; i < 7; i++)
	{
		int32_t size = i == changed ? value : small[i];

		bytes_u32(bytes, (uint32_t) (version == 0 && i == 5 && !tied ? -size : size));
	}
	if (version > 0)
	{
		bytes_u8(bytes, tied);
		bytes_zeros(bytes, 256 - 37);
	}
	bytes_zeros(bytes, 4 * n);
}

static void
refused(Bytes *bytes, const char *part, const char *name)
{
	LmFile file = bytes_file(bytes);
	LmError error = {0};
	LmLlama2c *model = lm_llama2c_open(&file, &host, &error);

	if (!ok(!model && strstr(error.message, part) && counting.live == 0, "%s", name))
		printf("# got \"%s\", wanted \"%s\"\n", model ? "a model" : error.message, part);
	lm_free(&host, model);
	bytes_free(bytes);
}

/* The floats before a tensor, or -1. */
static long
floats_before(const LmLlama2c *model, const char *name)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (strcmp(model->tensors[i].name, name) == 0)
			return (long) (model->tensors[i].offset - (model->version ? 256 : 28)) / 4;
	return -1;
}

static void
test_places(int version, bool tied)
{
	Bytes bytes = {0};
	LmFile file;
	LmError error = {0};
	LmLlama2c *model;
	LmTensorRoom room = {version ? 256 : 28, 0, version ? 0 : 4 * SMALL_TABLES, 4 * SMALL_TABLES};
	size_t rest = (version ? 0 : SMALL_TABLES) + (tied ? 0 : 40);
	size_t n = SMALL_FLOATS + rest;

	write_model(&bytes, version, tied, -1, 0, n);
	file = bytes_file(&bytes);
	room.end = file.size;
	ok(lm_llama2c_looks(&file), "version %d, %s: the file looks like one", version,
	   tied ? "tied" : "untied");
	counting.peak = counting.live;
	model = lm_llama2c_open(&file, &host, &error);
	if (!ok(model != NULL, "is read"))
	{
		printf("# %s\n", error.message);
		return;
	}
	ok(model->version == version && model->tied == tied && model->vocabulary == 5 &&
		   model->channels == 8 && model->mlp_channels == 12 && model->layers == 2 &&
		   model->heads == 4 && model->kv_heads == 2 && model->context == 6,
	   "has its sizes");
	is_int((long long) model->n_tensors, tied ? 20 : 21, "has its tensors");
	ok(counting.peak <= 1000 + 200 * model->n_tensors, "within the memory that is promised");
	ok(lm_tensor_list_check(model->tensors, model->n_tensors, &room, &host, &error),
	   "which lie one after another");
	is_int(floats_before(model, "model.embed_tokens.weight"), version ? 5 * 8 : 0, "embedding");
	is_int(floats_before(model, "model.layers.1.self_attn.k_proj.weight"),
		   40 + 2 * (8 + 64) + 32 + (version ? 16 + 8 : 0), "keys of the second layer");
	is_int(floats_before(model, "model.layers.0.mlp.up_proj.weight"),
		   40 + 2 * (8 + 64 + 32 + 32 + 64 + 8 + 2 * 96) + (version ? 8 : 0),
		   "w3 of the first layer");
	is_int(floats_before(model, "lm_head.weight"), tied ? -1 : (long) n - 40, "output");
	lm_free(&host, model);
	bytes_free(&bytes);
}

static void
test_refusals(void)
{
	static const int32_t wrong[] = {0, -1, INT32_MIN, INT32_MAX};
	Bytes bytes = {0};
	int n_good = 0, n = 0;
	LmError error;

	write_model(&bytes, 2, true, -1, 0, SMALL_FLOATS);
	refused(&bytes, "llama2.c version is 2", "the quantised version 2");
	write_model(&bytes, 1, true, -1, 0, SMALL_FLOATS - 1);
	refused(&bytes, "of these sizes has 4416 bytes, this one has 4412", "a file that is cut off");
	write_model(&bytes, 1, true, -1, 0, SMALL_FLOATS + 1);
	refused(&bytes, "has 4416 bytes, this one has 4420", "a file with more");
	write_model(&bytes, 1, true, 2, 1025, SMALL_FLOATS);
	refused(&bytes, "1025 layers, 1 to 1024", "too many layers");
	write_model(&bytes, 1, true, 3, 3, SMALL_FLOATS);
	refused(&bytes, "8 channels, 3 heads and 2 kv heads", "heads that do not divide the channels");
	write_model(&bytes, 1, true, 4, 3, SMALL_FLOATS);
	refused(&bytes, "4 heads and 3 kv heads", "kv heads that do not divide the heads");
	write_model(&bytes, 1, true, 5, -5, SMALL_FLOATS);
	refused(&bytes, "vocabulary -5", "a negative vocabulary in version 1");
	write_model(&bytes, 1, true, -1, 0, SMALL_FLOATS);
	bytes.data[36] = 2;
	refused(&bytes, "tied output is 2", "a flag that is neither 0 nor 1");
	write_model(&bytes, 0, true, 6, INT32_MAX, SMALL_FLOATS);
	refused(&bytes, "this one has", "a table of rotations longer than the file");
	bytes_add(&bytes, "24ka\1\0\0\0", 8);
	bytes_zeros(&bytes, 100);
	refused(&bytes, "needs 256 bytes at byte 0, the file has 108", "a file of a part of a header");
	/* No size, however wrong, is accepted or overflows. */
	for (int version = 0; version < 2; version++)
		for (int i = 0; i < 7; i++)
			for (int j = 0; j < 4; j++, n++)
			{
				LmFile file;
				LmLlama2c *model;

				write_model(&bytes, version, true, i, wrong[j], SMALL_FLOATS + SMALL_TABLES);
				file = bytes_file(&bytes);
				model = lm_llama2c_open(&file, &host, &error);
				/* Version 1 does not use the context. */
				n_good += model == NULL && error.code == LM_ERR_FORMAT;
				lm_free(&host, model);
			}
	is_int(n_good, n, "each size that is 0, negative or huge is refused");
	is_int((long long) counting.live, 0, "and nothing leaks");
	bytes_free(&bytes);
}

static void
test_tokens(void)
{
	Bytes bytes = {0};
	LmFile file;
	LmLlama2cTokens *tokens = malloc(sizeof *tokens);
	const char *text;
	size_t size;
	float score = 0;
	LmError error = {0};

	bytes_u32(&bytes, 3);
	bytes_u32(&bytes, lm_float_bits(-1.5f));
	bytes_u32(&bytes, 3);
	bytes_add(&bytes, " a\0", 3);
	bytes_u32(&bytes, lm_float_bits(2));
	bytes_u32(&bytes, 4);
	bytes_add(&bytes, "long", 4);
	file = bytes_file(&bytes);
	ok(lm_llama2c_tokens(tokens, &file, &host, &error) && lm_llama2c_more(tokens) &&
		   lm_llama2c_next(&text, &size, &score, tokens, &error) && size == 3 && score == -1.5f &&
		   memcmp(text, " a\0", 3) == 0,
	   "a token has its bytes and its score");
	ok(lm_llama2c_more(tokens) && !lm_llama2c_next(&text, &size, &score, tokens, &error) &&
		   strcmp(error.message, "token 1 of tokenizer.bin has 4 bytes, the longest has 3") == 0,
	   "a token longer than the longest is refused");
	bytes.size = file.size = 14;
	ok(lm_llama2c_tokens(tokens, &file, &host, &error) &&
		   !lm_llama2c_next(&text, &size, &score, tokens, &error) &&
		   strcmp(error.message,
				  "token 0 of tokenizer.bin needs 3 bytes at byte 12, the file has 14") == 0,
	   "and so is one that is cut off");
	bytes.data[3] = 0x80;
	ok(!lm_llama2c_tokens(tokens, &file, &host, &error) &&
		   strstr(error.message, "2147483651 bytes"),
	   "and a longest token of 2 GB");
	free(tokens);
	bytes_free(&bytes);
}

/* Of a published file: each tensor of the legacy layout against version 1 and against safetensors.
 */
static void
test_published(void)
{
	const char *folder = tap_data_folder();
	static const char *const names[2] = {"stories260K.bin", "stories260K_v1.bin"};
	char path[4096];
	Bytes bytes[2] = {{0}, {0}};
	LmLlama2c *models[2] = {NULL, NULL};
	Safetensors tensors = {0};
	LmError error;
	int n_same = 0, n_found = 0;

	if (!folder)
	{
		skip("a published model", "the shared test data are missing");
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		LmFile file;

		snprintf(path, sizeof path, "%s/models/stories260K/%s", folder, names[i]);
		bytes[i].data = (uint8_t *) tap_read_file(path, &bytes[i].size);
		file = bytes_file(&bytes[i]);
		models[i] = lm_llama2c_open(&file, &host, &error);
		ok(models[i] && models[i]->n_tensors == 47 && models[i]->tied, "%s is read", names[i]);
	}
	snprintf(path, sizeof path, "%s/models/stories260K/model.safetensors", folder);
	ok(safetensors_open(&tensors, path), "model.safetensors is read");
	for (size_t i = 0; i < models[0]->n_tensors; i++)
	{
		const LmFileTensor *tensor = &models[0]->tensors[i];
		long other = floats_before(models[1], tensor->name);
		size_t count = 0;
		const float *values = safetensors_find(&tensors, tensor->name, &count);

		n_same += memcmp(bytes[0].data + tensor->offset, bytes[1].data + 256 + 4 * other,
						 tensor->size) == 0;
		n_found += values && 4 * count == tensor->size &&
				   (strstr(tensor->name, "q_proj") || strstr(tensor->name, "k_proj") ||
					memcmp(bytes[0].data + tensor->offset, values, tensor->size) == 0);
	}
	is_int(n_same, 47, "both layouts have the same tensors");
	is_int(n_found, 47, "which safetensors has too, queries and keys in another order");
	for (int i = 0; i < 2; i++)
	{
		lm_free(&host, models[i]);
		bytes_free(&bytes[i]);
	}
	safetensors_close(&tensors);
}

int
main(void)
{
	host = counting_host(&counting);
	for (int i = 0; i < 4; i++)
		test_places(i / 2, i % 2);
	test_refusals();
	test_tokens();
	test_published();
	return done_testing();
}
