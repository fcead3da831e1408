/*
 * include/version.h
 *
 * The version of the library; a test compares it with gpt.control.
 */
#ifndef GPT_VERSION_H
#define GPT_VERSION_H

#define GPT_VERSION "0.1.0"

#endif /* GPT_VERSION_H */
