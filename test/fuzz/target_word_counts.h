/*
 * test/fuzz/target_word_counts.h
 *
 * Any bytes as a table of counted words: an error, or words that ascend, each of them text.
 */
#ifndef TEST_TARGET_WORD_COUNTS_H
#define TEST_TARGET_WORD_COUNTS_H

#include "fuzz.h"
#include "engine/word_counts.h"

/* Whether the bytes are a table. */
static inline bool
target_word_counts(const uint8_t *data, size_t size)
{
	char before[LM_MAX_TOKEN_SIZE];
	size_t before_size = 0, position;
	int64_t count, total = 0;
	LmWordReader reader;
	LmError error = {0};
	LmBytes word;
	bool good = lm_word_reader_open(&reader, (LmBytes){(const char *) data, size}, &error);

	while (good && (good = lm_word_reader_next(&word, &count, &reader, &error)) && word.size > 0)
	{
		size_t common = word.size < before_size ? word.size : before_size;
		int order = memcmp(before, word.data, common);

		FUZZ_CHECK(word.size <= LM_MAX_TOKEN_SIZE &&
				   lm_utf8_valid(word.data, word.size, &position));
		FUZZ_CHECK(order < 0 || (order == 0 && before_size < word.size));
		FUZZ_CHECK(count > 0 && count <= LM_COUNTED_MOST / (int64_t) word.size);
		total += count * (int64_t) word.size;
		FUZZ_CHECK(total <= LM_COUNTED_MOST);
		memcpy(before, word.data, word.size);
		before_size = word.size;
	}
	if (!good)
		fuzz_check_error(&error);
	return good;
}

#endif /* TEST_TARGET_WORD_COUNTS_H */
