/*
 * bench/tokenizer.c
 *
 *   build/bench/tokenizer SPEC ROWS [ROUNDS]
 *
 * The speed of lm_tokenizer_encode on one thread, row by row, as SQL functions call it: ROUNDS (3)
 * times all rows of a file, each ended by a NUL. Prints the bytes, the tokens, a hash of the ids
 * (of each row the number, then the ids; FNV-1a by words), and of the fastest round the seconds of
 * processor time. bench/tokenizer.py makes SPEC of a tokenizer.json.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine/tokenizer.h"

static void *
reallocate(void *context, void *pointer, size_t size)
{
	(void) context;
	if (size > 0)
		return realloc(pointer, size);
	free(pointer);
	return NULL;
}

static const LmHost host = {.reallocate = reallocate};

static void
fail(const char *message)
{
	fprintf(stderr, "tokenizer: %s\n", message);
	exit(1);
}

static char *
read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *data;

	if (!file)
		fail(path);
	fseek(file, 0, SEEK_END);
	*size = (size_t) ftell(file);
	rewind(file);
	data = malloc(*size + 1);
	if (!data || fread(data, 1, *size, file) != *size)
		fail(path);
	fclose(file);
	data[*size] = '\0';
	return data;
}

/* Hexadecimal digits at *cursor, up to a blank or a newline, as bytes in their place. */
static LmBytes
read_hex(char **cursor)
{
	char *start = *cursor, *out = start, digits[3] = {0};

	while (**cursor != ' ' && **cursor != '\n')
	{
		digits[0] = *(*cursor)++;
		digits[1] = *(*cursor)++;
		*out++ = (char) strtol(digits, NULL, 16);
	}
	return (LmBytes){start, (size_t) (out - start)};
}

static void
read_tokens(LmTokenizerSpec *spec, char **cursor, int n)
{
	spec->n_tokens = n;
	spec->tokens = calloc((size_t) n, sizeof *spec->tokens);
	spec->special = calloc((size_t) n, sizeof *spec->special);
	spec->flags = calloc((size_t) n, sizeof *spec->flags);
	spec->scores = calloc((size_t) n, sizeof *spec->scores);
	for (int i = 0; i < n; i++)
	{
		*cursor = strchr(*cursor, '\n') + 1;
		spec->tokens[i] = read_hex(cursor);
		spec->flags[i] = (uint8_t) strtol(*cursor, cursor, 10);
		spec->special[i] = strtol(*cursor, cursor, 10) != 0;
		spec->scores[i] = strtod(*cursor, cursor);
	}
}

static void
read_merges(LmTokenizerSpec *spec, char **cursor, int n)
{
	spec->n_merges = n;
	spec->merges = calloc((size_t) n, sizeof *spec->merges);
	for (int i = 0; i < n; i++)
	{
		spec->merges[i].left = (int32_t) strtol(*cursor, cursor, 10);
		spec->merges[i].right = (int32_t) strtol(*cursor, cursor, 10);
		spec->merges[i].result = (int32_t) strtol(*cursor, cursor, 10);
	}
}

static void
set_field(LmTokenizerSpec *spec, const char *name, int value)
{
	if (strcmp(name, "kind") == 0)
		spec->kind = (LmTokenizerKind) value;
	else if (strcmp(name, "unknown") == 0)
		spec->unknown = value;
	else if (strcmp(name, "normalize_nfc") == 0)
		spec->normalize_nfc = value;
	else if (strcmp(name, "normalize_nfkc") == 0)
		spec->normalize_nfkc = value;
	else if (strcmp(name, "prefix") == 0)
		spec->prefix = (LmPrefix) value;
	else if (strcmp(name, "prefix_once") == 0)
		spec->prefix_once = value;
	else if (strcmp(name, "split_spaces") == 0)
		spec->split_spaces = value;
	else if (strcmp(name, "ignore_merges") == 0)
		spec->ignore_merges = value;
	else if (strcmp(name, "fuse_unknown") == 0)
		spec->fuse_unknown = value;
	else if (strcmp(name, "space_sign") == 0)
		spec->space_sign = value;
}

/* The description in a file of lines "name value"; it stays in memory. */
static LmTokenizer *
read_spec(const char *path)
{
	LmTokenizerSpec spec = {.end_of_text = -1, .beginning = -1, .unknown = -1};
	LmError error = {0};
	LmTokenizer *tokenizer;
	size_t size;
	char *cursor = read_file(path, &size), name[32];
	int n_patterns = 0, used;

	while (sscanf(cursor, "%31s%n", name, &used) == 1 && strcmp(name, "end") != 0)
	{
		cursor += used + 1;
		if (strcmp(name, "pattern") == 0)
		{
			LmBytes pattern = read_hex(&cursor);
			const char *copy = strndup(pattern.data, pattern.size);

			*(n_patterns == 0 ? &spec.pattern : &spec.further[n_patterns - 1]) = copy;
			n_patterns++;
			continue;
		}
		used = (int) strtol(cursor, &cursor, 10);
		if (strcmp(name, "tokens") == 0)
			read_tokens(&spec, &cursor, used);
		else if (strcmp(name, "merges") == 0)
			read_merges(&spec, &cursor, used);
		else
			set_field(&spec, name, used);
	}
	tokenizer = lm_tokenizer_create(&host, &spec, &error);
	if (!tokenizer)
		fail(error.message);
	return tokenizer;
}

static uint64_t
hash_ids(uint64_t hash, const LmTokens *tokens)
{
	hash = (hash ^ tokens->count) * UINT64_C(1099511628211);
	for (size_t i = 0; i < tokens->count; i++)
		hash = (hash ^ (uint64_t) tokens->ids[i]) * UINT64_C(1099511628211);
	return hash;
}

int
main(int argc, char **argv)
{
	int rounds = argc > 3 ? atoi(argv[3]) : 3;
	uint64_t hash = UINT64_C(14695981039346656037);
	size_t size, bytes = 0, count = 0;
	double best = 0;
	LmTokens tokens = {NULL};
	LmTokenizer *tokenizer;
	char *rows;

	if (argc < 3)
		fail("SPEC ROWS [ROUNDS]");
	tokenizer = read_spec(argv[1]);
	rows = read_file(argv[2], &size);
	for (int round = 0; round < rounds; round++)
	{
		double start = processor_seconds(), seconds;

		for (size_t i = 0, length; i < size; i += length + 1)
		{
			LmError error = {0};

			length = strlen(rows + i);
			tokens.count = 0;
			if (!lm_tokenizer_encode(tokenizer, &tokens, rows + i, length, &error))
				fail(error.message);
			if (round > 0)
				continue;
			hash = hash_ids(hash, &tokens);
			bytes += length;
			count += tokens.count;
		}
		seconds = processor_seconds() - start;
		if (round == 0 || seconds < best)
			best = seconds;
	}
	printf("gpt: bytes %zu tokens %zu ids %016llx seconds %.3f MB/s %.2f\n", bytes, count,
		   (unsigned long long) hash, best, (double) bytes / best / 1e6);
	lm_tokens_free(&host, &tokens);
	lm_tokenizer_free(tokenizer);
	free(rows);
	return 0;
}
