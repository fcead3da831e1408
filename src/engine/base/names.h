/*
 * src/engine/base/names.h
 *
 * LM_NAMES(function, [ENUMERATOR] = "name", ...); defines the public function from the enumerators
 * of a kind to their names: NULL for a number that is none of them. It ends in a declaration that
 * takes the semicolon.
 */
#ifndef LM_NAMES_H
#define LM_NAMES_H

#include <stddef.h>

#define LM_NAMES(function, ...)                                               \
	const char *function(int number)                                          \
	{                                                                         \
		static const char *const names[] = {__VA_ARGS__};                     \
		const size_t count = sizeof names / sizeof *names;                    \
                                                                              \
		return number >= 0 && (size_t) number < count ? names[number] : NULL; \
	}                                                                         \
	extern const char *function(int number)

#endif /* LM_NAMES_H */
