/*
 * include/core/version.h
 *
 * The version of the library, GPT_VERSION: the Makefile takes it from gpt.control. Tables of
 * another version are not touched.
 */
#ifndef GPT_VERSION_H
#define GPT_VERSION_H

#ifndef GPT_VERSION
#error "GPT_VERSION must be defined by the Makefile"
#endif

#endif /* GPT_VERSION_H */
