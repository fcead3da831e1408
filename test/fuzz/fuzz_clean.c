/*
 * test/fuzz/fuzz_clean.c
 *
 * Any valid text through any steps of the cleaner: valid text comes out, of a bounded size, the
 * same one twice, and nothing is left. The first three bytes choose the steps.
 */
#include "engine/clean.h"
#include "fuzz.h"

#define MOST (64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static LmCleanOptions
options_of(const uint8_t *choice)
{
	static const LmBytes words[] = {{"the", 3}, {"don", 3}, {"t", 1}, {"größe", 7}};
	LmCleanOptions options = {
		.html = choice[0] & 1,
		.control = choice[0] & 2,
		.invisible = choice[0] & 4,
		.letter_case = (LmCleanCase) ((choice[0] >> 3) % 3),
		.form = (LmCleanForm) ((choice[0] >> 5) % 3),
		.digits = 4 + (choice[1] >> 4),
		.stop_words = words,
		.n_stop_words = choice[2] & 4,
		.white_space = (LmCleanSpace) ((choice[2] >> 3) % 5),
		.min_length = choice[2] & 3,
	};

	for (int i = 0; i < LM_N_MASKS; i++)
	{
		options.masked[i] = (choice[1] & 1 << i) != 0;
		options.placeholders[i] = (LmBytes){"<mask>", i == LM_MASK_EMAIL ? 0 : 6};
	}
	return options;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzHost state = {.most = MOST};
	LmHost host = {.reallocate = fuzz_reallocate, .context = &state};
	LmCleanOptions options;
	LmCleaner *cleaner;
	LmCleaned cleaned, again;
	LmError error;
	LmBytes text;
	char *first;
	size_t valid;

	if (size < 3)
		return 0;
	options = options_of(data);
	text = (LmBytes){(const char *) data + 3, size - 3};
	if (!lm_utf8_valid(text.data, text.size, &valid))
		text.size = valid;
	cleaner = lm_cleaner_create(&host, &options, &error);
	FUZZ_CHECK(cleaner);
	FUZZ_CHECK(lm_cleaner_run(cleaner, &cleaned, text, size % 4, &error));
	FUZZ_CHECK(lm_utf8_valid(cleaned.text.data, cleaned.text.size, &valid));
	FUZZ_CHECK(cleaned.changed || cleaned.text.data == text.data);
	/* U+FDFA becomes 18 characters of NFKC; a placeholder stands for four digits or more. */
	FUZZ_CHECK(cleaned.text.size <= 11 * text.size + 16);
	first = malloc(cleaned.text.size + 1);
	FUZZ_CHECK(first);
	memcpy(first, cleaned.text.data, cleaned.text.size);
	FUZZ_CHECK(lm_cleaner_run(cleaner, &again, text, size % 4, &error));
	FUZZ_CHECK(again.text.size == cleaned.text.size && again.changed == cleaned.changed &&
			   memcmp(again.text.data, first, again.text.size) == 0);
	free(first);
	lm_cleaner_free(cleaner);
	FUZZ_CHECK(state.live == 0);
	return 0;
}
