/*
 * test/unit/test_gguf.c
 *
 * GGUF: what the writer writes, the reader reads; each fault of a header is an error that names its
 * place; and faults that were found in other readers, one by one.
 */
#include "file_support.h"
#include "counting_host.h"

static CountingHost counting;
static LmHost host;

/* ---- files ------------------------------------------------------------------------------------
 */

static void
start(Bytes *bytes, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
	bytes_free(bytes);
	bytes_add(bytes, "GGUF", 4);
	bytes_u32(bytes, version);
	bytes_u64(bytes, n_tensors);
	bytes_u64(bytes, n_keys);
}

static void
add_key(Bytes *bytes, const char *name, uint32_t type)
{
	bytes_string(bytes, name);
	bytes_u32(bytes, type);
}

static void
add_u32(Bytes *bytes, const char *name, uint32_t value)
{
	add_key(bytes, name, LM_GGUF_U32);
	bytes_u32(bytes, value);
}

static void
add_tensor(Bytes *bytes, const char *name, uint32_t n, const uint64_t *dims, uint32_t type,
		   uint64_t offset)
{
	bytes_string(bytes, name);
	bytes_u32(bytes, n);
	for (uint32_t i = 0; i < n; i++)
		bytes_u64(bytes, dims[i]);
	bytes_u32(bytes, type);
	bytes_u64(bytes, offset);
}

/* A vector of F32. */
static void
add_vector(Bytes *bytes, const char *name, uint64_t n, uint64_t offset)
{
	add_tensor(bytes, name, 1, &n, 0, offset);
}

/* Expects an error whose message has a part, and no memory left or taken beyond the limit. */
static void
refused(Bytes *bytes, const char *part, const char *name)
{
	LmFile file = bytes_file(bytes);
	LmError error = {0};
	LmGguf *gguf;
	bool pass;

	counting.peak = counting.live;
	gguf = lm_gguf_open(&file, &host, &error);
	pass = ok(!gguf && strstr(error.message, part) && counting.live == 0 &&
				  counting.peak <= 1024 + LM_GGUF_MEMORY * bytes->size,
			  "%s", name);
	if (!pass)
		printf("# got \"%s\", wanted \"%s\"; peak %zu\n", gguf ? "a file" : error.message, part,
			   counting.peak);
	lm_gguf_close(gguf);
	bytes_free(bytes);
}

/* Expects a file without an error. */
static LmGguf *
opened(Bytes *bytes, const char *name)
{
	LmFile file = bytes_file(bytes);
	LmError error = {0};
	LmGguf *gguf = lm_gguf_open(&file, &host, &error);

	if (!ok(gguf != NULL, "%s", name))
		printf("# %s\n", error.message);
	return gguf;
}

/* ---- what is good ------------------------------------------------------------------------------
 */

static const uint8_t data[72] = {1, 2, 3};

/* One key of each type, an array of each kind, and two tensors. */
static void
write_all(Bytes *bytes)
{
	LmGgufWriter *writer = malloc(sizeof *writer);
	LmFileTensor matrix = {"matrix", lm_block_type_named("Q8_0"), "Q8_0", 2, {2, 32, 1, 1}};
	LmFileTensor vector = {"vector", lm_block_type_named("F32"), "F32", 1, {3, 1, 1, 1}};
	LmError error;
	char *text = malloc(10000);

	memset(text, 'x', 10000);
	bytes_free(bytes);
	lm_gguf_writer_start(writer, bytes_add, bytes, 15, 2);
	lm_gguf_write_integer(writer, "u8", LM_GGUF_U8, 255);
	lm_gguf_write_integer(writer, "i8", LM_GGUF_I8, -128);
	lm_gguf_write_integer(writer, "u16", LM_GGUF_U16, 65535);
	lm_gguf_write_integer(writer, "i16", LM_GGUF_I16, -32768);
	lm_gguf_write_integer(writer, "u32", LM_GGUF_U32, UINT32_MAX);
	lm_gguf_write_integer(writer, "i32", LM_GGUF_I32, INT32_MIN);
	lm_gguf_write_integer(writer, "u64", LM_GGUF_U64, INT64_MAX);
	lm_gguf_write_integer(writer, "i64", LM_GGUF_I64, INT64_MIN);
	lm_gguf_write_integer(writer, "bool", LM_GGUF_BOOL, 1);
	lm_gguf_write_float(writer, "f32", 0.5f);
	lm_gguf_write_string(writer, "string", "text", 4);
	lm_gguf_write_string(writer, "long", text, 10000);
	lm_gguf_write_array(writer, "strings", LM_GGUF_STRING, 3);
	lm_gguf_write_string_item(writer, "a", 1);
	lm_gguf_write_string_item(writer, "", 0);
	lm_gguf_write_string_item(writer, text, 5000);
	lm_gguf_write_array(writer, "integers", LM_GGUF_I32, 2);
	lm_gguf_write_integer_item(writer, -1);
	lm_gguf_write_integer_item(writer, 7);
	lm_gguf_write_array(writer, "floats", LM_GGUF_F32, 1);
	lm_gguf_write_float_item(writer, -2);
	lm_gguf_write_tensor(writer, &matrix);
	lm_gguf_write_tensor(writer, &vector);
	lm_gguf_write_data(writer, data, 60);
	lm_gguf_write_data(writer, data + 60, 8);
	lm_gguf_write_padding(writer);
	lm_gguf_write_data(writer, data, 12);
	lm_gguf_write_padding(writer);
	if (!ok(lm_gguf_writer_end(writer, &error), "a file is written"))
		printf("# %s\n", error.message);
	free(text);
	free(writer);
}

static void
test_integers(const LmGguf *gguf)
{
	static const struct
	{
		const char *key;
		int64_t value;
	} wanted[] = {{"u8", 255},		  {"i8", -128},		   {"u16", 65535},
				  {"i16", -32768},	  {"u32", UINT32_MAX}, {"i32", INT32_MIN},
				  {"u64", INT64_MAX}, {"i64", INT64_MIN},  {"bool", 1}};

	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
	{
		int64_t value = 0;
		LmError error;

		ok(lm_gguf_integer(&value, gguf, wanted[i].key, INT64_MIN, INT64_MAX, &error) &&
			   value == wanted[i].value,
		   "a value of type %s comes back", wanted[i].key);
	}
}

static void
test_values(const LmGguf *gguf)
{
	double number = 0;
	int64_t integer;
	bool yes = false;
	LmError error;
	char *text = lm_gguf_string(gguf, "string", 4, &error);

	ok(text && strcmp(text, "text") == 0, "a string comes back");
	lm_free(&host, text);
	text = lm_gguf_string(gguf, "long", 10000, &error);
	ok(text && strlen(text) == 10000, "a string longer than the buffers comes back");
	lm_free(&host, text);
	ok(!lm_gguf_string(gguf, "long", 9999, &error) &&
		   strcmp(error.message, "key \"long\" has 10000 bytes, the limit is 9999") == 0,
	   "a string over the caller's limit is refused");
	ok(lm_gguf_number(&number, gguf, "f32", &error) && number == 0.5, "a float comes back");
	ok(lm_gguf_number(&number, gguf, "i8", &error) && number == -128, "an integer is a number");
	ok(lm_gguf_bool(&yes, gguf, "bool", &error) && yes, "a bool comes back");
	ok(!lm_gguf_bool(&yes, gguf, "u8", &error) &&
		   strcmp(error.message, "key \"u8\" has type u8, must be bool") == 0,
	   "another type is refused by its name");
	ok(!lm_gguf_integer(&integer, gguf, "f32", 0, 1, &error) && strstr(error.message, "an integer"),
	   "a float is no integer");
	ok(!lm_gguf_integer(&integer, gguf, "i8", 0, 9, &error) &&
		   strcmp(error.message, "key \"i8\" is -128, must be 0 to 9") == 0,
	   "a value out of the caller's range is refused");
	ok(!lm_gguf_number(&number, gguf, "none", &error) &&
		   strcmp(error.message, "key \"none\" is missing") == 0,
	   "a missing key is an error of its name");
	ok(!lm_gguf_find(gguf, "none") && lm_gguf_find(gguf, "floats")->n == 1, "keys are found");
	ok(!lm_gguf_string(gguf, "u8", 9, &error) && strstr(error.message, "must be string"),
	   "a number is no string");
}

static void
test_items(const LmGguf *gguf)
{
	LmGgufItems *strings = malloc(sizeof *strings), *numbers = malloc(sizeof *numbers);
	const char *bytes;
	size_t size;
	int64_t first = 0, second = 0;
	double number = 0;
	LmError error;

	ok(lm_gguf_items(strings, gguf, "strings", &error) && strings->left == 3 &&
		   lm_gguf_items(numbers, gguf, "integers", &error),
	   "two arrays are begun");
	ok(lm_gguf_next_string(&bytes, &size, strings, &error) && size == 1 && bytes[0] == 'a' &&
		   lm_gguf_next_integer(&first, numbers, &error) && first == -1 &&
		   lm_gguf_next_string(&bytes, &size, strings, &error) && size == 0 &&
		   lm_gguf_next_integer(&second, numbers, &error) && second == 7 &&
		   lm_gguf_next_string(&bytes, &size, strings, &error) && size == 5000 &&
		   bytes[4999] == 'x',
	   "their items come in turn");
	ok(strings->left == 0 && !lm_gguf_next_string(&bytes, &size, strings, &error) &&
		   !lm_gguf_next_integer(&first, numbers, &error),
	   "there is no item after the last");
	ok(lm_gguf_items(numbers, gguf, "floats", &error) &&
		   lm_gguf_next_number(&number, numbers, &error) && number == -2,
	   "an array of floats");
	ok(lm_gguf_items(numbers, gguf, "floats", &error) &&
		   !lm_gguf_next_integer(&first, numbers, &error) &&
		   strcmp(error.message, "key \"floats\" is an array of f32, must be one of integers") ==
			   0 &&
		   !lm_gguf_next_string(&bytes, &size, numbers, &error),
	   "items of another type are refused");
	ok(!lm_gguf_items(numbers, gguf, "u8", &error) && strstr(error.message, "must be an array"),
	   "a number is no array");
	free(strings);
	free(numbers);
}

static void
test_round_trip(void)
{
	Bytes bytes = {0};
	LmGguf *gguf;
	const LmFileTensor *tensor;

	write_all(&bytes);
	gguf = opened(&bytes, "a written file is read");
	if (!gguf)
		return;
	ok(counting.peak <= 1024 + LM_GGUF_MEMORY * bytes.size, "within the memory that is promised");
	is_int((long long) lm_gguf_n_keys(gguf), 15, "it has its keys");
	test_integers(gguf);
	test_values(gguf);
	test_items(gguf);
	tensor = lm_gguf_find_tensor(gguf, "matrix");
	ok(tensor && tensor == lm_gguf_tensor(gguf, 0) && tensor->n_dimensions == 2 &&
		   tensor->shape[0] == 2 && tensor->shape[1] == 32 && tensor->shape[2] == 1 &&
		   tensor->size == 68 && memcmp(bytes.data + tensor->offset, data, 68) == 0,
	   "a tensor has its shape, rows first, and its data");
	tensor = lm_gguf_find_tensor(gguf, "vector");
	ok(tensor && tensor->offset % 32 == 0 && tensor->size == 12 &&
		   memcmp(bytes.data + tensor->offset, data, 12) == 0,
	   "and so has the next");
	ok(!lm_gguf_find_tensor(gguf, "none"), "another is not found");
	lm_gguf_close(gguf);
	is_int((long long) counting.live, 0, "no memory is left");
	bytes_free(&bytes);
}

/* Each allocation and each read that fails, and a stop, is an error without a leak. */
static void
test_failures(void)
{
	Bytes bytes = {0};
	TapHost state;
	LmHost failing = tap_host(&state);
	LmFile file;
	LmError error;
	int n_good = 0; /* then the number of those that are not */

	write_all(&bytes);
	file = bytes_file(&bytes);
	for (int i = 0; i < 2; i++)
	{
		state.fail_after = i;
		n_good += !lm_gguf_open(&file, &failing, &error) && error.code == LM_ERR_MEMORY;
	}
	is_int(n_good, 2, "memory that is missing is an error");
	state.fail_after = -1;
	state.stop = true;
	ok(!lm_gguf_open(&file, &failing, &error) && error.code == LM_ERR_STOPPED, "a stop is obeyed");
	state.stop = false;
	n_good = 0;
	bytes.reads = 0;
	lm_gguf_close(lm_gguf_open(&file, &failing, &error));
	for (int n = (int) bytes.reads; n > 0; n--)
	{
		bytes.reads = 0;
		bytes.broken_read = n;
		n_good += lm_gguf_open(&file, &failing, &error) || error.code != LM_ERR_LIBRARY;
	}
	is_int(n_good, 0, "a read that fails is an error");
	is_int(state.live, 0, "and nothing leaks");
	bytes_free(&bytes);
}

/* Each beginning of a file is an error. */
static void
test_truncation(void)
{
	Bytes bytes = {0};
	LmError error;
	int n_good = 0, n = 0;

	write_all(&bytes);
	/* Of the data, the last 20 bytes are padding. */
	for (size_t size = 0; size < bytes.size - 20; size++, n++)
	{
		Bytes part = {malloc(size + 1), size};
		LmFile file = bytes_file(&part);
		LmGguf *gguf;

		memcpy(part.data, bytes.data, size);
		gguf = lm_gguf_open(&file, &host, &error);
		n_good += !gguf && error.code == LM_ERR_FORMAT;
		lm_gguf_close(gguf);
		bytes_free(&part);
	}
	is_int(n_good, n, "each file that is cut off is refused");
	is_int((long long) counting.live, 0, "and nothing leaks");
	bytes_free(&bytes);
}

/* ---- what is refused ---------------------------------------------------------------------------
 */

static void
test_counts(void)
{
	Bytes bytes = {0};

	bytes_add(&bytes, "GGML\3\0\0\0", 8);
	bytes_zeros(&bytes, 16);
	refused(&bytes, "does not begin with \"GGUF\"", "another magic");
	start(&bytes, 1, 0, 0);
	refused(&bytes, "version is 1", "version 1");
	start(&bytes, 4, 0, 0);
	refused(&bytes, "version is 4, versions 2 and 3 are read", "version 4");
	start(&bytes, 3u << 24, 0, 0);
	refused(&bytes, "big-endian", "a big-endian file");
	start(&bytes, 3, 65536, 0);
	refused(&bytes, "65536 tensors, the limit is 65535", "too many tensors");
	start(&bytes, 3, 0, 65536);
	refused(&bytes, "65536 keys, the limit is 65535", "too many keys");
	start(&bytes, 3, 1, 1);
	bytes_zeros(&bytes, 46);
	refused(&bytes, "1 keys and 1 tensors do not fit into a file of 70 bytes",
			"counts beyond the file's size");
}

/* Of n letters, valid until the next call. */
static const char *
long_name(size_t n)
{
	static char name[300];

	memset(name, 'x', n);
	name[n] = 0;
	return name;
}

static void
test_keys(void)
{
	Bytes bytes = {0};

	start(&bytes, 3, 0, 1);
	add_u32(&bytes, "", 1);
	refused(&bytes, "the name of key 1 has 0 bytes", "an empty key");
	start(&bytes, 3, 0, 1);
	add_u32(&bytes, long_name(256), 1);
	refused(&bytes, "the name of key 1 has 256 bytes, 1 to 255", "a key of 256 bytes");
	start(&bytes, 3, 1, 0);
	add_vector(&bytes, long_name(128), 1, 0);
	refused(&bytes, "the name of tensor 1 has 128 bytes, 1 to 127", "a tensor's name of 128 bytes");
	start(&bytes, 3, 0, 1);
	add_u32(&bytes, long_name(255), 1);
	lm_gguf_close(opened(&bytes, "a key of 255 bytes"));
	start(&bytes, 3, 0, 1);
	add_u32(&bytes, "a b", 1);
	refused(&bytes, "key 1 is \"a b\", with a byte", "a blank in a key");
	start(&bytes, 3, 0, 1);
	add_u32(&bytes, "\xff\xfe\n", 1);
	refused(&bytes, "key 1 is \"???\", with a byte",
			"bytes that are no text do not reach a message");
	start(&bytes, 3, 0, 2);
	add_u32(&bytes, "twice", 1);
	add_u32(&bytes, "twice", 1);
	refused(&bytes, "two keys \"twice\"", "a key that is there twice");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", 13);
	bytes_zeros(&bytes, 8);
	refused(&bytes, "key \"key\" has type 13", "a type that GGUF does not have");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_BOOL);
	bytes_u8(&bytes, 2);
	refused(&bytes, "key \"key\" is a bool of 2", "a bool that is neither 0 nor 1");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_ARRAY);
	bytes_u32(&bytes, 99);
	bytes_u64(&bytes, 1);
	bytes_zeros(&bytes, 9);
	refused(&bytes, "is an array of type 99", "an array of a type that GGUF does not have");
}

static void
test_alignment(void)
{
	static const uint32_t wrong[] = {0, 3, 48, 1u << 21, 1u << 31};
	Bytes bytes = {0};
	LmGguf *gguf;

	for (int i = 0; i < 5; i++)
	{
		start(&bytes, 3, 0, 1);
		add_u32(&bytes, "general.alignment", wrong[i]);
		refused(&bytes, "must be a power of two up to 1048576", "an alignment is no power of two");
	}
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "general.alignment", LM_GGUF_I32);
	bytes_u32(&bytes, 32);
	refused(&bytes, "has type i32, must be u32", "an alignment of another type");
	start(&bytes, 3, 1, 1);
	add_u32(&bytes, "general.alignment", 8);
	add_vector(&bytes, "v", 2, 0);
	bytes_align(&bytes, 8);
	bytes_zeros(&bytes, 8);
	gguf = opened(&bytes, "an alignment of 8");
	lm_gguf_close(gguf);
	bytes_free(&bytes);
}

static void
test_shapes(void)
{
	static const uint64_t dims[5] = {256, 1, 1, 1, 1}, zero[2] = {4, 0};
	Bytes bytes = {0};

	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 0, dims, 0, 0);
	bytes_zeros(&bytes, 64);
	refused(&bytes, "tensor \"t\" has 0 dimensions", "no dimension");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 5, dims, 0, 0);
	refused(&bytes, "tensor \"t\" has 5 dimensions", "five dimensions");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 2, zero, 0, 0);
	refused(&bytes, "dimension of length 0", "a length of 0");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 1, dims, 16, 0);
	bytes_zeros(&bytes, 2000);
	refused(&bytes, "tensor \"t\" has type 16 of ggml", "a type that is not read");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 1, (uint64_t[]){33}, 8, 0);
	bytes_zeros(&bytes, 2000);
	refused(&bytes, "rows of 33 elements, blocks of Q8_0 have 32", "a row of parts of blocks");
}

static void
test_places(void)
{
	Bytes bytes = {0};

	start(&bytes, 3, 1, 0);
	add_vector(&bytes, "t", 1, 4);
	bytes_zeros(&bytes, 100);
	refused(&bytes, "has offset 4, the alignment is 32", "an offset that is not aligned");
	start(&bytes, 3, 2, 0);
	add_vector(&bytes, "a", 9, 0);
	add_vector(&bytes, "b", 9, 32);
	bytes_zeros(&bytes, 200);
	refused(&bytes, "within tensor \"a\"", "tensors that overlap");
	start(&bytes, 3, 2, 0);
	add_vector(&bytes, "a", 1, 0);
	add_vector(&bytes, "b", 1, 64);
	bytes_zeros(&bytes, 200);
	refused(&bytes, "before tensor \"b\", belong to no tensor", "a gap of more than the alignment");
	start(&bytes, 3, 1, 0);
	add_vector(&bytes, "a", 9, 0);
	bytes_align(&bytes, 32);
	bytes_zeros(&bytes, 35);
	refused(&bytes, "tensor \"a\" has 36 bytes at byte 64, data are bytes 64 to 99",
			"data beyond the end");
	start(&bytes, 3, 2, 0);
	add_vector(&bytes, "a", 1, 0);
	add_vector(&bytes, "a", 1, 32);
	bytes_zeros(&bytes, 200);
	refused(&bytes, "two tensors \"a\"", "a tensor that is there twice");
	start(&bytes, 3, 1, 0);
	add_vector(&bytes, "a", 1, 0);
	refused(&bytes, "data begin at byte 64, the file has 57", "a file that ends with its header");
}

/* ---- faults of other readers -------------------------------------------------------------------
 */

/* Faults of llama.cpp and ggml that TALOS and others reported in 2024 and 2025. */
static void
test_llama_cpp(void)
{
	static const uint64_t product[2] = {1ull << 32, 1ull << 32}, negative[2] = {INT64_MAX, 2};
	static const uint64_t wrap[2] = {256, 1ull << 57};
	Bytes bytes = {0};

	start(&bytes, 3, 0, (UINT64_MAX / 48) + 2);
	refused(&bytes, "keys, the limit is", "CVE-2024-23496, TALOS-2024-1913: n_kv * size wraps");
	start(&bytes, 3, (UINT64_MAX / 88) + 2, 0);
	refused(&bytes, "tensors, the limit is",
			"CVE-2024-21825, TALOS-2024-1912: n_tensors * size wraps");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_STRING);
	bytes_u64(&bytes, UINT64_MAX);
	refused(&bytes, "key \"key\" needs 18446744073709551615 bytes",
			"CVE-2024-23605, TALOS-2024-1916: the length of a string + 1 wraps");
	start(&bytes, 3, 0, 1);
	bytes_u64(&bytes, UINT64_MAX);
	bytes_zeros(&bytes, 32);
	refused(&bytes, "the name of key 1 has 18446744073709551615 bytes", "the same for a key");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_ARRAY);
	bytes_u32(&bytes, LM_GGUF_STRING);
	bytes_u64(&bytes, (UINT64_MAX / 16) + 2);
	bytes_zeros(&bytes, 32);
	refused(&bytes, "key \"key\" has 1152921504606846977 items",
			"CVE-2024-21836, TALOS-2024-1915: the length of an array of strings wraps");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_ARRAY);
	bytes_u32(&bytes, LM_GGUF_U64);
	bytes_u64(&bytes, (UINT64_MAX / 8) + 2);
	bytes_zeros(&bytes, 32);
	refused(&bytes, "items, the file has", "CVE-2024-21836: the same for an array of numbers");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 65536, (uint64_t[65536]){0}, 0, 0);
	refused(&bytes, "has 65536 dimensions",
			"CVE-2024-21802, TALOS-2024-1914: more dimensions than the array has");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 2, product, 0, 0);
	refused(&bytes, "a shape of over 2^63 bytes", "ne[0] * ne[1] wraps to 0");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 2, negative, 0, 0);
	refused(&bytes, "a shape of over 2^63 bytes",
			"llama.cpp issue 27203: the product turns negative");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 2, wrap, 14, 0);
	refused(&bytes, "a shape of over 2^63 bytes",
			"GHSA-96jg-mvhq-q7q7: elements * bytes of a block wraps");
	start(&bytes, 3, 1, 0);
	add_vector(&bytes, "t", UINT64_MAX / 4, 0);
	bytes_zeros(&bytes, 64);
	refused(&bytes, "a shape of over 2^63 bytes",
			"llama.cpp pull 24759: padding a size wraps to 0");
}

/* Sums of sizes and offsets, limits, nesting, and duplicates. */
static void
test_other_readers(void)
{
	Bytes bytes = {0};
	uint64_t large = 1ull << 60;

	start(&bytes, 3, 4, 0);
	for (uint64_t i = 0; i < 4; i++)
		add_vector(&bytes, (const char *[]){"a", "b", "c", "d"}[i], large, i * 4 * large);
	refused(&bytes, "bytes at offset 0, the file has",
			"CVE-2025-53630, GHSA-vgg9-87g3-85w8: the sum of the tensors' sizes wraps");
	start(&bytes, 3, 1, 0);
	add_vector(&bytes, "t", 1, UINT64_MAX - 31);
	bytes_zeros(&bytes, 64);
	refused(&bytes, "at offset 18446744073709551584", "an offset + size wraps");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_ARRAY);
	for (int i = 0; i < 1000; i++)
	{
		bytes_u32(&bytes, LM_GGUF_ARRAY);
		bytes_u64(&bytes, 1);
	}
	refused(&bytes, "is an array of arrays", "huggingface.js pull 2028: arrays within arrays");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "tokenizer.ggml.tokens", LM_GGUF_ARRAY);
	bytes_u32(&bytes, LM_GGUF_STRING);
	bytes_u64(&bytes, 1);
	bytes_u64(&bytes, (1ull << 32) - 1);
	bytes_zeros(&bytes, 64);
	refused(&bytes, "key \"tokenizer.ggml.tokens\" needs 4294967295 bytes",
			"CVE-2025-49847, GHSA-8wwf-w4qm-gpqr: a token's size as a signed number is -1");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "tokenizer.ggml.tokens", LM_GGUF_ARRAY);
	bytes_u32(&bytes, LM_GGUF_U8);
	bytes_u64(&bytes, 1ull << 63);
	refused(&bytes, "has 9223372036854775808 items",
			"llama.cpp pull 27188: 43 bytes claim 2^63 items");
	start(&bytes, 3, 1, 1);
	add_u32(&bytes, "general.alignment", 1u << 30);
	add_vector(&bytes, "t", 1, 0);
	refused(&bytes, "must be a power of two up to", "ggml pull 1516: an alignment of 1 GB");
	start(&bytes, 3, 1, 0);
	add_tensor(&bytes, "t", 9, (uint64_t[9]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 0);
	refused(&bytes, "has 9 dimensions", "gguf-tools issue 25: more dimensions than eight");
	start(&bytes, 3, 0, 1);
	add_key(&bytes, "key", LM_GGUF_STRING);
	bytes_u64(&bytes, 1u << 30);
	refused(&bytes, "key \"key\" needs 1073741824 bytes",
			"ollama issue 17042: a small file asks for a string of 1 GB");
	start(&bytes, 3, 1, 1);
	add_u32(&bytes, "general.alignment", 1);
	add_tensor(&bytes, "t", 1, (uint64_t[]){UINT64_MAX}, 0, 0);
	refused(&bytes, "a shape of over 2^63 bytes", "gguf-parser-go issue 20: a shape of 2^64 - 1");
}

/* From the second read on, another file of the same size. */
static bool
changing_read(void *context, uint64_t offset, void *buffer, size_t size)
{
	Bytes *files = context;

	return bytes_read(&files[files[0].reads > 0], offset, buffer, size);
}

/* The reader goes through a header twice. */
static void
test_changes(void)
{
	Bytes files[2] = {{0}, {0}};
	LmError error;

	for (int i = 0; i < 2; i++)
	{
		LmFile file = {changing_read, files};

		start(&files[0], 3, 0, 1);
		add_u32(&files[0], "key", 1);
		bytes_zeros(&files[0], 64);
		start(&files[1], 3, 0, 1 + (uint64_t) i);
		add_u32(&files[1], i ? "key" : "longer_key", 1);
		add_u32(&files[1], "more", 1);
		bytes_zeros(&files[1], 64);
		files[1].size = file.size = files[0].size;
		files[0].reads = 0;
		ok(!lm_gguf_open(&file, &host, &error) &&
			   strcmp(error.message, "the file changed while it was read") == 0,
		   "a file that changes between the passes is refused: %s", i ? "a count" : "a name");
		bytes_free(&files[0]);
		bytes_free(&files[1]);
	}
}

static void
test_strings(void)
{
	Bytes bytes = {0};
	LmGguf *gguf;
	LmGgufItems *items = malloc(sizeof *items);
	LmError error;
	const char *item;
	size_t size;

	start(&bytes, 3, 0, 2);
	add_key(&bytes, "zero", LM_GGUF_STRING);
	bytes_u64(&bytes, 3);
	bytes_add(&bytes, "a\0b", 3);
	add_key(&bytes, "items", LM_GGUF_ARRAY);
	bytes_u32(&bytes, LM_GGUF_STRING);
	bytes_u64(&bytes, 1);
	bytes_u64(&bytes, 20000);
	bytes_zeros(&bytes, 20000);
	gguf = opened(&bytes, "a string with a zero byte, and a long item");
	ok(!lm_gguf_string(gguf, "zero", 100, &error) &&
		   strcmp(error.message, "key \"zero\" has a zero byte") == 0,
	   "the string is refused when it is read");
	ok(lm_gguf_items(items, gguf, "items", &error) &&
		   !lm_gguf_next_string(&item, &size, items, &error) &&
		   strstr(error.message, "has an item of 20000 bytes, the limit is 16384"),
	   "and so is the item");
	lm_gguf_close(gguf);
	bytes_free(&bytes);
	free(items);
}

/* Real files that others made. */
static void
test_real_files(void)
{
	static const struct
	{
		const char *name;
		size_t n_keys, n_tensors;
	} files[] = {{"models/stories260K/stories260K-F32.gguf", 25, 47},
				 {"models/TinyStories-656K/TinyStories-656K-Q4_0.gguf", 25, 20},
				 {"tokenizers/ggml-vocab-gpt-2.gguf", 16, 0},
				 {"tokenizers/ggml-vocab-llama-spm.gguf", 22, 0},
				 {"tokenizers/ggml-vocab-deepseek-coder.gguf", 25, 0}};

	for (int i = 0; i < 5; i++)
	{
		char path[4096];
		Bytes bytes = {0};
		LmGguf *gguf;

		if (!tap_data_folder())
		{
			skip(files[i].name, "the shared test data are missing");
			continue;
		}
		snprintf(path, sizeof path, "%s/%s", tap_data_folder(), files[i].name);
		bytes.data = (uint8_t *) tap_read_file(path, &bytes.size);
		gguf = opened(&bytes, files[i].name);
		ok(gguf && lm_gguf_n_keys(gguf) == files[i].n_keys &&
			   lm_gguf_n_tensors(gguf) == files[i].n_tensors,
		   "has %zu keys and %zu tensors", files[i].n_keys, files[i].n_tensors);
		lm_gguf_close(gguf);
		bytes_free(&bytes);
	}
}

int
main(void)
{
	host = counting_host(&counting);
	test_round_trip();
	test_failures();
	test_truncation();
	test_counts();
	test_keys();
	test_alignment();
	test_shapes();
	test_places();
	test_llama_cpp();
	test_other_readers();
	test_changes();
	test_strings();
	test_real_files();
	return done_testing();
}
