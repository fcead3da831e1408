/*
 * bench/clean.c
 *
 * How fast texts are cleaned: each step alone and the default set, over the texts of a file in
 * pieces of 4 KiB, as rows are. Prints processor time, the best of three rounds.
 *
 *   build/bench/clean FILE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine/clean.h"
#include "text/utf8.h"

#define ROUNDS 3
#define PIECE_SIZE 4096
#define LEAST_SIZE 20e6 /* bytes of a round */

static const char *const steps[] = {"html",		  "control", "invisible",  "case",		 "NFC",
									"NFKC",		  "urls",	 "emails",	   "phones",	 "numbers",
									"stop_words", "lines",	 "paragraphs", "default set"};

static void *
reallocate(void *context, void *pointer, size_t size)
{
	if (size)
		return realloc(pointer, size);
	free(pointer);
	return NULL;
}

static const LmHost host = {.reallocate = reallocate};

static LmCleanOptions
options_of(const char *step)
{
	static const LmBytes words[] = {{"the", 3}, {"and", 3}, {"of", 2}, {"a", 1}, {"to", 2}};
	LmCleanOptions options = {.digits = 8};
	bool all = strcmp(step, "default set") == 0;

	options.html = all || strcmp(step, "html") == 0;
	options.control = all || strcmp(step, "control") == 0;
	options.invisible = all || strcmp(step, "invisible") == 0;
	options.letter_case = strcmp(step, "case") == 0 ? LM_CASE_LOWER : LM_CASE_KEEP;
	options.form = all || strcmp(step, "NFC") == 0 ? LM_FORM_NFC
				   : strcmp(step, "NFKC") == 0	   ? LM_FORM_NFKC
												   : LM_FORM_KEEP;
	for (int i = 0; i < LM_N_MASKS; i++)
	{
		options.masked[i] = strcmp(step, lm_mask_name(i)) == 0;
		options.placeholders[i] = (LmBytes){"<mask>", 6};
	}
	if (strcmp(step, "stop_words") == 0)
	{
		options.stop_words = words;
		options.n_stop_words = 5;
	}
	options.white_space = all || strcmp(step, "lines") == 0 ? LM_SPACE_LINES
						  : strcmp(step, "paragraphs") == 0 ? LM_SPACE_PARAGRAPHS
															: LM_SPACE_KEEP;
	return options;
}

/* The text of a file, valid UTF-8. */
static LmBytes
read_text(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *data;
	size_t size, valid;

	if (!file)
	{
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	size = (size_t) ftell(file);
	rewind(file);
	data = malloc(size + 1);
	size = data ? fread(data, 1, size, file) : 0;
	fclose(file);
	return (LmBytes){data, lm_utf8_valid(data, size, &valid) ? size : valid};
}

/* Seconds of one pass over the text; adds the bytes of the results. */
static double
pass(LmCleaner *cleaner, LmBytes text, size_t *cleaned_size)
{
	double start = processor_seconds();

	for (size_t i = 0, end; i < text.size; i = end)
	{
		LmCleaned cleaned;
		LmError error;

		end = lm_utf8_boundary(text.data, text.size, i + PIECE_SIZE);
		if (!lm_cleaner_run(cleaner, &cleaned, (LmBytes){text.data + i, end - i}, 0, &error))
		{
			fprintf(stderr, "%s\n", error.message);
			exit(1);
		}
		*cleaned_size += cleaned.text.size;
	}
	return processor_seconds() - start;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		LmBytes text = read_text(argv[i]);

		printf("%s, %zu bytes\n", argv[i], text.size);
		for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++)
		{
			LmCleanOptions options = options_of(steps[step]);
			LmCleaner *cleaner = lm_cleaner_create(&host, &options, NULL);
			int n_passes = 1 + (int) (LEAST_SIZE / (double) (text.size + 1));
			double best = 1e9;
			size_t cleaned_size = 0;

			for (int round = 0; round < ROUNDS; round++)
			{
				double spent = 0;

				cleaned_size = 0;
				for (int n = 0; n < n_passes; n++)
					spent += pass(cleaner, text, &cleaned_size);
				best = spent < best ? spent : best;
			}
			printf("  %-12s %7.0f MB/s, leaves %.3f of the text\n", steps[step],
				   (double) text.size * n_passes / best / 1e6,
				   (double) cleaned_size / ((double) text.size * n_passes));
			lm_cleaner_free(cleaner);
		}
		free((char *) text.data);
	}
	return 0;
}
