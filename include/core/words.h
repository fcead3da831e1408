/*
 * include/core/words.h
 *
 * Words for enumerators, as SQL has them.
 *
 * A list of words is a function from an enumerator, counted from 0, to its word, NULL after the
 * last: lm_optimizer_name, gpt_method_name ...
 */
#ifndef GPT_WORDS_H
#define GPT_WORDS_H

/* A list of words by number from 0; NULL after the last. */
typedef const char *(*GptWordOf)(int number);

/*
 * GPT_WORDS(function, [ENUMERATOR] = "word", ...); defines such a function. It ends in a
 * declaration, so that a semicolon can follow.
 */
#define GPT_WORDS(function, ...)                                               \
	const char *function(int number)                                           \
	{                                                                          \
		static const char *const words[] = {__VA_ARGS__};                      \
                                                                               \
		return number >= 0 && number < lengthof(words) ? words[number] : NULL; \
	}                                                                          \
	extern const char *function(int number)

/* The number of a word of `length` bytes; -1 if the list does not have it. */
extern int gpt_word_find(GptWordOf word_of, const char *word, size_t length);

/* The words of a list, palloc'd: "a, b and c" where last is " and ". */
extern char *gpt_words_list(GptWordOf word_of, const char *last);

#endif /* GPT_WORDS_H */
