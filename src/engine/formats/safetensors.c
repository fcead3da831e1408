/*
 * src/engine/formats/safetensors.c
 *
 * Reads the header of a safetensors file, byte by byte through a cursor that ends with the header.
 * As for GGUF there are two passes: the first one checks and counts, the second one keeps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/half.h"
#include "formats/safetensors_private.h"

#define METADATA "__metadata__"
#define NAME_SIZE (LM_SAFETENSORS_KEY + 1)

/* A pass over the header. */
typedef struct Pass
{
	LmCursor cursor;
	int byte; /* the next one, -1 at the end */
	LmSafetensors *file; /* NULL in the first pass */
	char *names; /* the next name goes here */
	uint64_t names_left; /* bytes, in the second pass */
	uint64_t names_size; /* of all names with their zero bytes */
	uint64_t n_tensors;
	uint64_t n_texts;
	uint64_t data; /* the first byte after the header */
	bool metadata; /* it was there */
	LmError *error;
} Pass;

/* Types that the engine does not compute with, but whose tensors a file may have. */
static const struct
{
	const char *name;
	uint64_t size;
} other_types[] = {
	{"F64", 8}, {"I64", 8}, {"U64", 8}, {"C64", 8},	 {"I32", 4},	 {"U32", 4},	 {"I16", 2},
	{"U16", 2}, {"I8", 1},	{"U8", 1},	{"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
};

static bool run(Pass *pass, const LmFile *file, const LmHost *host);
static bool read_object(Pass *pass, bool (*read_field)(Pass *pass));
static bool read_member(Pass *pass);
static bool read_text(Pass *pass);
static bool read_tensor(Pass *pass, const char *name);
static bool read_fields(Pass *pass, LmFileTensor *tensor, uint64_t *offsets, char *type);
static int read_numbers(Pass *pass, uint64_t *numbers, int most);
static bool read_number(Pass *pass, uint64_t *number);
static bool set_type(Pass *pass, LmFileTensor *tensor, const char *type);
static bool read_name(Pass *pass, char *name, size_t *size);
static bool pass_string(Pass *pass, char *name, size_t *size, bool *plain);
static bool pass_escape(Pass *pass);
static bool keep_name(Pass *pass, const char **kept, const char *name, size_t size);
static LmSafetensors *allocate(const Pass *counted, const LmFile *file, const LmHost *host);
static bool finish(LmSafetensors *safetensors, const Pass *pass);
static bool advance(Pass *pass);
static bool skip_blanks(Pass *pass);
static bool expect(Pass *pass, char byte);
static bool wrong(const Pass *pass, const char *problem);
static bool changed(const Pass *pass);
static int compare_tensors(const void *a, const void *b);
static int compare_texts(const void *a, const void *b);

LmSafetensors *
lm_safetensors_open(const LmFile *file, const LmHost *host, LmError *error)
{
	Pass pass = {.error = error};
	LmSafetensors *safetensors;

	if (!run(&pass, file, host) || !(safetensors = allocate(&pass, file, host)))
		return NULL;
	pass.file = safetensors;
	pass.names = (char *) (safetensors->texts + safetensors->n_texts);
	pass.names_left = pass.names_size;
	if (run(&pass, file, &safetensors->host) && finish(safetensors, &pass))
		return safetensors;
	lm_safetensors_close(safetensors);
	return NULL;
}

void
lm_safetensors_close(LmSafetensors *safetensors)
{
	LmHost host;

	if (!safetensors)
		return;
	host = safetensors->host;
	lm_free(&host, safetensors);
}

/* One pass. The cursor sees the header only. */
static bool
run(Pass *pass, const LmFile *file, const LmHost *host)
{
	LmCursor *cursor = &pass->cursor;
	LmFile header = *file;
	uint64_t size;

	pass->n_tensors = pass->n_texts = pass->names_size = 0;
	pass->metadata = false;
	lm_cursor_start(cursor, file, host, 0);
	if (!lm_cursor_u64(cursor, &size, pass->error))
		return false;
	if (size > LM_SAFETENSORS_MOST_HEADER || size > lm_cursor_left(cursor) ||
		file->size > INT64_MAX)
		return lm_fail(pass->error, LM_ERR_FORMAT, 0,
					   "the header has %llu bytes, the file has %llu, the limit is %d",
					   (unsigned long long) size, (unsigned long long) file->size,
					   LM_SAFETENSORS_MOST_HEADER);
	pass->data = header.size = 8 + size;
	lm_cursor_start(cursor, &header, host, 8);
	if (!advance(pass))
		return false;
	if (pass->byte != '{')
		return wrong(pass, "does not begin with {");
	if (!read_object(pass, read_member) || !skip_blanks(pass))
		return false;
	if (pass->byte != -1)
		return wrong(pass, "goes on after its object");
	return true;
}

/* {"name": field, ...}: read_field begins at the name. */
static bool
read_object(Pass *pass, bool (*read_field)(Pass *pass))
{
	if (!expect(pass, '{') || !skip_blanks(pass))
		return false;
	if (pass->byte == '}')
		return advance(pass);
	for (;;)
	{
		if (!read_field(pass) || !skip_blanks(pass))
			return false;
		if (pass->byte == '}')
			return advance(pass);
		if (!expect(pass, ','))
			return false;
	}
}

/* The metadata, or a tensor. */
static bool
read_member(Pass *pass)
{
	char name[NAME_SIZE];
	size_t size;

	snprintf(pass->cursor.part, sizeof pass->cursor.part, "the name of tensor %llu",
			 (unsigned long long) pass->n_tensors + 1);
	if (!read_name(pass, name, &size) || !expect(pass, ':') || !skip_blanks(pass))
		return false;
	if (strcmp(name, METADATA) != 0)
		return read_tensor(pass, name);
	strcpy(pass->cursor.part, METADATA);
	if (pass->metadata)
		return wrong(pass, "is there twice");
	pass->metadata = true;
	return read_object(pass, read_text);
}

/* "key": "text" of the metadata. */
static bool
read_text(Pass *pass)
{
	LmSafetensorsText text = {0};
	char name[NAME_SIZE];
	size_t size;
	bool plain;

	if (!skip_blanks(pass) || !pass_string(pass, name, &size, &plain) || !expect(pass, ':') ||
		!skip_blanks(pass))
		return false;
	/* The next byte, which is the quotation mark, was taken already. */
	text.offset = pass->cursor.at;
	if (!pass_string(pass, NULL, NULL, NULL))
		return false;
	text.size = pass->cursor.at - text.offset - (pass->byte == -1 ? 1 : 2);
	if (!plain)
		return true;
	if (pass->n_texts >= LM_SAFETENSORS_MOST_TEXTS)
		return wrong(pass, "has too many keys");
	if (!keep_name(pass, &text.key, name, size))
		return false;
	if (pass->file && pass->n_texts >= pass->file->n_texts)
		return changed(pass);
	if (pass->file)
		pass->file->texts[pass->n_texts] = text;
	pass->n_texts++;
	return true;
}

/* Begins at the object; the offsets are counted from the end of the header. */
static bool
read_tensor(Pass *pass, const char *name)
{
	LmFileTensor tensor = {.name = name};
	uint64_t offsets[2];
	char type[NAME_SIZE];

	snprintf(pass->cursor.part, sizeof pass->cursor.part, "tensor \"%.70s\"", name);
	for (int i = 0; i < LM_FILE_DIMENSIONS; i++)
		tensor.shape[i] = 1;
	if (pass->n_tensors >= LM_SAFETENSORS_MOST_TENSORS)
		return wrong(pass, "is one too many");
	if (!read_fields(pass, &tensor, offsets, type) || !set_type(pass, &tensor, type))
		return false;
	if (offsets[0] > offsets[1] || offsets[1] - offsets[0] != tensor.size)
		return lm_fail(pass->error, LM_ERR_FORMAT, (int64_t) pass->cursor.at,
					   "%s has %llu bytes by type and shape, its offsets are %llu and %llu",
					   pass->cursor.part, (unsigned long long) tensor.size,
					   (unsigned long long) offsets[0], (unsigned long long) offsets[1]);
	/* Both are below 2^63. */
	tensor.offset = pass->data + offsets[0];
	if (!keep_name(pass, &tensor.name, name, strlen(name)))
		return false;
	if (pass->file && pass->n_tensors >= pass->file->n_tensors)
		return changed(pass);
	if (pass->file)
		pass->file->tensors[pass->n_tensors] = tensor;
	pass->n_tensors++;
	return true;
}

/* {"dtype": ..., "shape": ..., "data_offsets": ...} in any order, each once. */
static bool
read_fields(Pass *pass, LmFileTensor *tensor, uint64_t *offsets, char *type)
{
	bool has_type = false, has_shape = false, has_offsets = false;
	char name[NAME_SIZE];
	size_t size;

	if (!expect(pass, '{'))
		return false;
	for (int i = 0; i < 3; i++)
	{
		if ((i > 0 && !expect(pass, ',')) || !read_name(pass, name, &size) || !expect(pass, ':') ||
			!skip_blanks(pass))
			return false;
		if (strcmp(name, "dtype") == 0 && !has_type)
			has_type = read_name(pass, type, &size);
		else if (strcmp(name, "shape") == 0 && !has_shape)
		{
			tensor->n_dimensions = read_numbers(pass, tensor->shape, LM_FILE_DIMENSIONS);
			has_shape = tensor->n_dimensions >= 0;
		}
		else if (strcmp(name, "data_offsets") == 0 && !has_offsets)
		{
			int n = read_numbers(pass, offsets, 2);

			has_offsets = n == 2;
			if (n >= 0 && n != 2)
				return wrong(pass, "has no two offsets");
		}
		else
			return wrong(pass, "has a field that is unknown or there twice");
		if (has_type + has_shape + has_offsets != i + 1)
			return false;
	}
	return expect(pass, '}');
}

/* [1, 2, ...]: how many there are, or -1 with an error. */
static int
read_numbers(Pass *pass, uint64_t *numbers, int most)
{
	int n = 0;

	if (!expect(pass, '[') || !skip_blanks(pass))
		return -1;
	if (pass->byte == ']')
		return advance(pass) ? 0 : -1;
	for (;;)
	{
		if (n == most)
			return wrong(pass, "has more numbers than are allowed"), -1;
		if (!skip_blanks(pass) || !read_number(pass, &numbers[n++]) || !skip_blanks(pass))
			return -1;
		if (pass->byte == ']')
			return advance(pass) ? n : -1;
		if (!expect(pass, ','))
			return -1;
	}
}

/* Digits, of a number below 2^62, without zeros before it. */
static bool
read_number(Pass *pass, uint64_t *number)
{
	const uint64_t most = (1ull << 62) - 1;
	int first = pass->byte;

	if (first < '0' || first > '9')
		return wrong(pass, "has no whole number where one is expected");
	*number = 0;
	while (pass->byte >= '0' && pass->byte <= '9')
	{
		uint64_t digit = (uint64_t) (pass->byte - '0');

		/* Before the product: one that has passed 2^64 looks small. */
		if (*number > (most - digit) / 10 || (first == '0' && digit > 0))
			return wrong(pass, "has a number that is out of range");
		*number = *number * 10 + digit;
		if (!advance(pass))
			return false;
	}
	return true;
}

/* Sets type and size. */
static bool
set_type(Pass *pass, LmFileTensor *tensor, const char *type)
{
	const LmBlockType *block = lm_block_type_named(type);
	size_t i = 0;

	if (block && block->elements == 1)
	{
		tensor->type = block;
		tensor->type_name = block->name;
		return lm_file_tensor_size(tensor, pass->error);
	}
	while (i < sizeof other_types / sizeof other_types[0] && strcmp(other_types[i].name, type) != 0)
		i++;
	if (i == sizeof other_types / sizeof other_types[0])
		return lm_fail(pass->error, LM_ERR_FORMAT, (int64_t) pass->cursor.at,
					   "%s has dtype \"%.40s\", which is not read", pass->cursor.part, type);
	tensor->type_name = other_types[i].name;
	tensor->size = other_types[i].size;
	for (int j = 0; j < tensor->n_dimensions; j++)
		if (__builtin_mul_overflow(tensor->size, tensor->shape[j], &tensor->size) ||
			tensor->size > INT64_MAX)
			return wrong(pass, "has a shape of over 2^63 bytes");
	return true;
}

/* A string that is a plain name. */
static bool
read_name(Pass *pass, char *name, size_t *size)
{
	bool plain;

	if (!skip_blanks(pass) || !pass_string(pass, name, size, &plain))
		return false;
	return (plain && *size <= LM_FILE_TENSOR_NAME) ||
		   wrong(pass, "has a name that is empty, too long or not of printable characters");
}

/*
 * Goes over a string. Where name is not NULL it gets the first bytes and a zero byte, and plain
 * says whether these are all, and printable characters without escapes.
 */
static bool
pass_string(Pass *pass, char *name, size_t *size, bool *plain)
{
	size_t n = 0;
	bool escaped = false;

	if (!expect(pass, '"'))
		return false;
	while (pass->byte != '"')
	{
		if (pass->byte < 0x20)
			return wrong(pass, pass->byte < 0 ? "ends within a string"
											  : "has a control character in a string");
		if (name && n < NAME_SIZE - 1)
			name[n] = (char) pass->byte;
		n++;
		escaped |= pass->byte == '\\';
		if (pass->byte == '\\' && !pass_escape(pass))
			return false;
		if (!advance(pass))
			return false;
	}
	if (name)
	{
		*size = n < NAME_SIZE ? n : NAME_SIZE - 1;
		name[*size] = 0;
		*plain = !escaped && lm_name_is_plain(name, n, NAME_SIZE - 1);
	}
	return advance(pass);
}

/* From the backslash to the last byte of the escape. */
static bool
pass_escape(Pass *pass)
{
	if (!advance(pass))
		return false;
	if (pass->byte < 0 || !strchr("\"\\/bfnrtu", pass->byte) || pass->byte == 0)
		return wrong(pass, "has an escape that JSON does not have");
	for (int i = 0; pass->byte == 'u' || i > 0; i++)
	{
		if (i == 4)
			return true;
		if (!advance(pass))
			return false;
		if (pass->byte < 0 || !strchr("0123456789abcdefABCDEF", pass->byte) || pass->byte == 0)
			return wrong(pass, "has an escape that JSON does not have");
	}
	return true;
}

/* *kept = the name in the block of names; in the first pass, the name itself. */
static bool
keep_name(Pass *pass, const char **kept, const char *name, size_t size)
{
	pass->names_size += size + 1;
	*kept = name;
	if (!pass->file)
		return true;
	if (size + 1 > pass->names_left)
		return changed(pass);
	memcpy(pass->names, name, size + 1);
	*kept = pass->names;
	pass->names += size + 1;
	pass->names_left -= size + 1;
	return true;
}

static LmSafetensors *
allocate(const Pass *counted, const LmFile *file, const LmHost *host)
{
	size_t tensors_size = counted->n_tensors * (sizeof(LmFileTensor) + sizeof(LmFileTensor *));
	size_t texts_size = counted->n_texts * sizeof(LmSafetensorsText);
	size_t size = sizeof(LmSafetensors) + tensors_size + texts_size + counted->names_size;
	LmSafetensors *safetensors = lm_allocate(host, size);

	if (!safetensors)
	{
		lm_fail(counted->error, LM_ERR_MEMORY, -1, "out of memory for a header of %zu bytes", size);
		return NULL;
	}
	safetensors->file = *file;
	safetensors->host = *host;
	safetensors->n_tensors = counted->n_tensors;
	safetensors->n_texts = counted->n_texts;
	safetensors->tensors = (LmFileTensor *) (safetensors + 1);
	safetensors->sorted = (const LmFileTensor **) (safetensors->tensors + counted->n_tensors);
	safetensors->texts = (LmSafetensorsText *) (safetensors->sorted + counted->n_tensors);
	return safetensors;
}

/* Sorts what is looked up by name, and checks what concerns all. */
static bool
finish(LmSafetensors *safetensors, const Pass *pass)
{
	LmTensorRoom room = {.begin = pass->data, .end = safetensors->file.size};
	LmSafetensorsText *texts = safetensors->texts;

	if (pass->n_tensors != safetensors->n_tensors || pass->n_texts != safetensors->n_texts)
		return changed(pass);
	qsort(texts, safetensors->n_texts, sizeof *texts, compare_texts);
	for (size_t i = 1; i < safetensors->n_texts; i++)
		if (strcmp(texts[i - 1].key, texts[i].key) == 0)
			return lm_fail(pass->error, LM_ERR_FORMAT, -1, "the metadata have two keys \"%.100s\"",
						   texts[i].key);
	for (size_t i = 0; i < safetensors->n_tensors; i++)
		safetensors->sorted[i] = &safetensors->tensors[i];
	qsort(safetensors->sorted, safetensors->n_tensors, sizeof *safetensors->sorted,
		  compare_tensors);
	return lm_tensor_list_check(safetensors->tensors, safetensors->n_tensors, &room,
								&safetensors->host, pass->error);
}

static int
compare_tensors(const void *a, const void *b)
{
	return strcmp((*(LmFileTensor *const *) a)->name, (*(LmFileTensor *const *) b)->name);
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(((const LmSafetensorsText *) a)->key, ((const LmSafetensorsText *) b)->key);
}

/* Takes the next byte. */
static bool
advance(Pass *pass)
{
	const uint8_t *byte;

	pass->byte = -1;
	if (lm_cursor_left(&pass->cursor) == 0)
		return true;
	byte = lm_cursor_take(&pass->cursor, 1, pass->error);
	if (byte)
		pass->byte = *byte;
	return byte != NULL;
}

static bool
skip_blanks(Pass *pass)
{
	while (pass->byte == ' ' || pass->byte == '\n' || pass->byte == '\r' || pass->byte == '\t')
		if (!advance(pass))
			return false;
	return true;
}

/* Blanks and the byte. */
static bool
expect(Pass *pass, char byte)
{
	char problem[] = "has no ? where one is expected";

	problem[7] = byte;
	return skip_blanks(pass) && (pass->byte == byte ? advance(pass) : wrong(pass, problem));
}

static bool
wrong(const Pass *pass, const char *problem)
{
	return lm_fail(pass->error, LM_ERR_FORMAT, (int64_t) pass->cursor.at, "%s %s, at byte %llu",
				   pass->cursor.part, problem, (unsigned long long) pass->cursor.at);
}

static bool
changed(const Pass *pass)
{
	return lm_fail(pass->error, LM_ERR_FORMAT, -1, "the file changed while it was read");
}
