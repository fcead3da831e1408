/*
 * test/unit/test_safetensors.c
 *
 * Headers of safetensors files: what is read, what is refused and with which words, and faults of
 * other readers, one by one.
 */
#include "file_support.h"
#include "counting_host.h"
#include "engine/safetensors.h"

static CountingHost counting;
static LmHost host;

/* A file with a header of text and n bytes of data. */
static Bytes
make_file(const char *header, size_t n)
{
	Bytes bytes = {0};

	bytes_string(&bytes, header);
	bytes_zeros(&bytes, n);
	return bytes;
}

static LmSafetensors *
opened(Bytes *bytes, const char *name)
{
	LmFile file = bytes_file(bytes);
	LmError error = {0};
	LmSafetensors *safetensors;

	counting.peak = counting.live;
	safetensors = lm_safetensors_open(&file, &host, &error);
	if (!ok(safetensors && counting.peak <= 1024 + LM_SAFETENSORS_MEMORY * bytes->size, "%s", name))
		printf("# %s; peak %zu\n", error.message, counting.peak);
	return safetensors;
}

static void
refused_bytes(Bytes *bytes, const char *part, const char *name)
{
	LmFile file = bytes_file(bytes);
	LmError error = {0};
	LmSafetensors *safetensors;

	counting.peak = counting.live;
	safetensors = lm_safetensors_open(&file, &host, &error);
	if (!ok(!safetensors && strstr(error.message, part) && counting.live == 0 &&
				counting.peak <= 1024 + LM_SAFETENSORS_MEMORY * bytes->size,
			"%s", name))
		printf("# got \"%s\", wanted \"%s\"; peak %zu\n", safetensors ? "a file" : error.message,
			   part, counting.peak);
	lm_safetensors_close(safetensors);
	bytes_free(bytes);
}

static void
refused(const char *header, size_t n, const char *part, const char *name)
{
	Bytes bytes = make_file(header, n);

	refused_bytes(&bytes, part, name);
}

/* A tensor "a" of F32 with shape and offsets. */
#define TENSOR(name, type, shape, offsets) \
	"\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const char good[] =
	"{\n\"__metadata__\" : {\"format\":\"pt\", \"text\":\"a\\n\\u00e9\\ud83d\\ude00\\\"\\/\", "
	"\"empty\":\"\", \"zero\":\"\\u0000\", \"half\":\"\\ud83d \", \"with blank\":\"x\"},\n" //
	TENSOR("b", "F16", "[ 2 , 3 ]", "[ 24 , 36 ]") " , " //
	TENSOR("a", "F32", "[2,3]", "[0,24]") "," //
	TENSOR("mask", "BOOL", "[1,1,2,2]",
		   "[36,40]") "," //
					  "\"scalar\":{\"data_offsets\":[40,42],\"shape\":[],\"dtype\":\"BF16\"}," //
	TENSOR("none", "I64", "[0]", "[42,42]") "}   ";

static void
test_texts(const LmSafetensors *safetensors)
{
	LmError error;
	char *text = lm_safetensors_text(safetensors, "text", 100, &error);

	ok(text && strcmp(text, "a\n\303\251\360\237\230\200\"/") == 0, "escapes become UTF-8");
	lm_free(&host, text);
	text = lm_safetensors_text(safetensors, "empty", 0, &error);
	ok(text && text[0] == 0, "a text may be empty");
	lm_free(&host, text);
	ok(!lm_safetensors_text(safetensors, "zero", 100, &error) &&
		   strstr(error.message, "a zero byte or half of a character"),
	   "a zero byte is refused");
	ok(!lm_safetensors_text(safetensors, "half", 100, &error) && strstr(error.message, "half of"),
	   "half of a surrogate pair is refused");
	ok(!lm_safetensors_text(safetensors, "format", 1, &error) &&
		   strstr(error.message, "\"format\" has 2 bytes, the limit is 1"),
	   "a text over the limit is refused");
	ok(!lm_safetensors_text(safetensors, "other", 1, &error) && strstr(error.message, "have no"),
	   "a missing text is an error");
	ok(lm_safetensors_has_text(safetensors, "format") &&
		   !lm_safetensors_has_text(safetensors, "with blank"),
	   "a key that is not plain is passed over");
	is_int((long long) counting.questions, -1, "no stop was asked for");
}

static void
test_good(void)
{
	Bytes bytes = make_file(good, 42);
	LmSafetensors *safetensors = opened(&bytes, "a file is read");
	const LmFileTensor *tensor;
	size_t data = bytes.size - 42;

	if (!safetensors)
		return;
	is_int((long long) lm_safetensors_n_tensors(safetensors), 5, "it has five tensors");
	tensor = lm_safetensors_find(safetensors, "b");
	ok(tensor == lm_safetensors_tensor(safetensors, 0) && strcmp(tensor->type->name, "F16") == 0 &&
		   tensor->n_dimensions == 2 && tensor->shape[0] == 2 && tensor->shape[1] == 3 &&
		   tensor->offset == data + 24 && tensor->size == 12,
	   "a tensor has type, shape and place");
	tensor = lm_safetensors_find(safetensors, "mask");
	ok(tensor && !tensor->type && strcmp(tensor->type_name, "BOOL") == 0 && tensor->size == 4,
	   "a type that is not computed with is listed");
	tensor = lm_safetensors_find(safetensors, "scalar");
	ok(tensor && tensor->n_dimensions == 0 && tensor->size == 2 && tensor->shape[0] == 1,
	   "fields come in any order, and a shape may be empty");
	tensor = lm_safetensors_find(safetensors, "none");
	ok(tensor && tensor->size == 0, "modelaudit pull 1607: a tensor may have no bytes");
	ok(!lm_safetensors_find(safetensors, "c"), "another is not found");
	test_texts(safetensors);
	lm_safetensors_close(safetensors);
	is_int((long long) counting.live, 0, "no memory is left");
	bytes_free(&bytes);
	bytes = make_file("{}", 0);
	safetensors = opened(&bytes, "a file without tensors");
	lm_safetensors_close(safetensors);
	bytes_free(&bytes);
}

/* Each beginning of a file, each failing read and allocation. */
static void
test_failures(void)
{
	Bytes bytes = make_file(good, 42);
	TapHost state;
	LmHost failing = tap_host(&state);
	LmFile file = bytes_file(&bytes);
	LmError error;
	int n_good = 0, n_reads;

	for (size_t size = 0; size < bytes.size; size++)
	{
		Bytes part = {malloc(size + 1), size};

		memcpy(part.data, bytes.data, size);
		file = bytes_file(&part);
		n_good += !lm_safetensors_open(&file, &failing, &error) && error.code == LM_ERR_FORMAT;
		bytes_free(&part);
	}
	is_int(n_good, (long long) bytes.size, "each file that is cut off is refused");
	file = bytes_file(&bytes);
	bytes.reads = 0;
	lm_safetensors_close(lm_safetensors_open(&file, &failing, &error));
	n_reads = (int) bytes.reads;
	n_good = 0;
	for (int i = 1; i <= n_reads; i++)
	{
		bytes.reads = 0;
		bytes.broken_read = i;
		n_good += !lm_safetensors_open(&file, &failing, &error) && error.code == LM_ERR_LIBRARY;
	}
	is_int(n_good, n_reads, "a read that fails is an error");
	bytes.broken_read = 0;
	n_good = 0;
	for (int i = 0; i < 2; i++)
	{
		state.fail_after = i;
		n_good += !lm_safetensors_open(&file, &failing, &error) && error.code == LM_ERR_MEMORY;
	}
	is_int(n_good, 2, "memory that is missing is an error");
	state.fail_after = -1;
	state.stop = true;
	ok(!lm_safetensors_open(&file, &failing, &error) && error.code == LM_ERR_STOPPED,
	   "a stop is obeyed");
	is_int(state.live, 0, "and nothing leaks");
	bytes_free(&bytes);
}

static void
test_grammar(void)
{
	refused("[]", 0, "does not begin with {", "no object");
	refused(" {}", 0, "does not begin with {", "a blank before the object");
	refused("{}x", 0, "goes on after its object", "more than an object");
	refused("{\"a\"}", 0, "has no : where one is expected", "a name alone");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4]") ",}", 4, "no \" where one is expected",
			"a comma before the end");
	refused("{\"a\":[1]}", 0, "tensor \"a\" has no { where one is expected",
			"a tensor of an array");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "has no , where one is expected",
			"a tensor without offsets");
	refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
			"unknown or there twice", "a field that is there twice");
	refused("{\"a\":{\"dtype\":\"F32\",\"size\":[1],\"data_offsets\":[0,4]}}", 4,
			"unknown or there twice", "a field that the format does not have");
	refused("{" TENSOR("a\\u0041", "F32", "[1]", "[0,4]") "}", 4, "not of printable characters",
			"an escape in a name");
	refused("{" TENSOR("", "F32", "[1]", "[0,4]") "}", 4, "empty, too long", "an empty name");
	refused("{" TENSOR("\377\376", "F32", "[1]", "[0,4]") "}", 4, "not of printable characters",
			"bytes that are no text");
	refused("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ has no \"",
			"a number in the metadata");
	refused("{\"__metadata__\":{\"a\":\"\\x\"}}", 0, "an escape that JSON does not have",
			"an escape that JSON does not have");
	refused("{\"__metadata__\":{\"a\":\"\\u12g4\"}}", 0, "an escape that JSON does not have",
			"an escape without four digits");
	refused("{\"__metadata__\":{\"a\":\"\n\"}}", 0, "a control character", "a control character");
	refused("{\"__metadata__\":{\"a\":\"", 0, "ends within a string", "a string without an end");
	refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "is there twice", "metadata twice");
	refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "two keys \"a\"", "a key twice");
}

static void
test_numbers(void)
{
	static const char *const wrong[] = {"[-1]",	 "[1.0]", "[1e3]", "[+1]", "[\"1\"]",
										"[]1",	 "[1,]",  "[,1]",  "[01]", "[null]",
										"[[1]]", "1",	  "[0x1]", "[1 2]"};
	int n_good = 0, n = sizeof wrong / sizeof wrong[0];

	for (int i = 0; i < n; i++)
	{
		char header[200];
		Bytes bytes;
		LmFile file;
		LmError error;

		snprintf(header, sizeof header, "{" TENSOR("a", "F32", "%s", "[0,4]") "}", wrong[i]);
		bytes = make_file(header, 4);
		file = bytes_file(&bytes);
		n_good += !lm_safetensors_open(&file, &host, &error) && error.code == LM_ERR_FORMAT;
		bytes_free(&bytes);
	}
	is_int(n_good, n, "numbers have digits only");
	refused("{" TENSOR("a", "F32", "[1,1,1,1,1]", "[0,4]") "}", 4, "more numbers than are allowed",
			"five dimensions");
	refused("{" TENSOR("a", "F32", "[1]", "[0]") "}", 4, "has no two offsets", "one offset");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4,4]") "}", 4, "more numbers", "three offsets");
	refused("{" TENSOR("a", "F32", "[99999999999999999999]", "[0,4]") "}", 4, "out of range",
			"a number over 2^64");
	refused("{" TENSOR("a", "F32", "[18446744073709551617]", "[0,4]") "}", 4, "out of range",
			"a number that would be 1 in 64 bits");
	refused("{" TENSOR("a", "F32", "[1]", "[18446744073709551616,4]") "}", 4, "out of range",
			"an offset that would be 0 in 64 bits");
	refused("{" TENSOR("a", "F32", "[4611686018427387903,2]", "[0,4]") "}", 4, "over 2^63 bytes",
			"a shape whose product wraps");
	refused("{" TENSOR("a", "I64", "[2305843009213693952,8]", "[0,0]") "}", 0, "over 2^63 bytes",
			"the same for a type that is not computed with");
}

/* github.com: QuintinShaw/openasr, antirez/h3.c, leejet/stable-diffusion.cpp and others. */
static void
test_other_readers(void)
{
	Bytes bytes = {0};

	bytes_u64(&bytes, UINT64_MAX);
	bytes_add(&bytes, "{}", 2);
	refused_bytes(&bytes, "header has 18446744073709551615 bytes, the file has 10",
				  "fastllm issue 712: the size of the header + 5 wraps");
	bytes_u64(&bytes, 100000001);
	bytes_add(&bytes, "{}", 2);
	refused_bytes(&bytes, "the limit is 100000000", "openasr pull 73: a header of over 100 MB");
	bytes_u64(&bytes, 3);
	bytes_add(&bytes, "{}", 2);
	refused_bytes(&bytes, "header has 3 bytes, the file has 10",
				  "stable-diffusion.cpp pull 1754: the size does not count its own eight bytes");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}", 8,
			"two tensors \"a\"", "openasr pull 73: a tensor that is there twice");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("b", "F32", "[1]", "[2,6]") "}", 6,
			"within tensor \"a\"", "h3.c pull 48: tensors that overlap");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("b", "F32", "[1]", "[8,12]") "}", 12,
			"belong to no tensor", "h3.c pull 48: bytes between tensors");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 8, "after the last tensor",
			"the format's polyglot files: bytes after the last tensor");
	refused("{" TENSOR("a", "F32", "[1]", "[4,8]") "}", 8, "belong to no tensor",
			"bytes before the first tensor");
	refused("{" TENSOR("a", "F32", "[1]", "[4,0]") "}", 8, "its offsets are 4 and 0",
			"audio.cpp pull 138: an end before its beginning");
	refused("{" TENSOR("a", "F32", "[2]", "[0,4]") "}", 4, "has 8 bytes by type and shape",
			"fastllm pull 713: a shape of more bytes than the offsets");
	refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 3, "data are bytes",
			"runai-model-streamer pull 121: data beyond the end");
	refused("{" TENSOR("a", "Q4", "[1]", "[4611686018427387000,4611686018427387001]") "}", 4,
			"dtype \"Q4\", which is not read", "imp issue 1603: an unknown type is no way past");
	refused("{" TENSOR("a", "I8", "[1]", "[4611686018427387902,4611686018427387903]") "}", 4,
			"data are bytes", "imp issue 1603: huge offsets of a type that is not computed with");
	refused("{" TENSOR("a", "F32", "[]", "[0,0]") "}", 0, "has 4 bytes by type and shape",
			"modelaudit pull 1607: an empty shape has one element");
}

/* Real files that others made. */
static void
test_real_files(void)
{
	static const struct
	{
		const char *name;
		size_t n;
	} files[] = {{"models/stories260K/model.safetensors", 47},
				 {"models/TinyStories-656K/model.safetensors", 20},
				 {"models/tiny-gpt2-random/model.safetensors", 28}};

	for (int i = 0; i < 3; i++)
	{
		char path[4096];
		Bytes bytes = {0};
		LmSafetensors *safetensors;

		if (!tap_data_folder())
		{
			skip(files[i].name, "the shared test data are missing");
			continue;
		}
		snprintf(path, sizeof path, "%s/%s", tap_data_folder(), files[i].name);
		bytes.data = (uint8_t *) tap_read_file(path, &bytes.size);
		safetensors = opened(&bytes, files[i].name);
		is_int(safetensors ? (long long) lm_safetensors_n_tensors(safetensors) : -1,
			   (long long) files[i].n, "has its tensors");
		lm_safetensors_close(safetensors);
		bytes_free(&bytes);
	}
}

int
main(void)
{
	host = counting_host(&counting);
	test_good();
	test_failures();
	test_grammar();
	test_numbers();
	test_other_readers();
	test_real_files();
	return done_testing();
}
