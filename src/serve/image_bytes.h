/*
 * src/serve/image_bytes.h
 *
 * The bytes of an image's file, written and checked in pieces that can be interrupted.
 */
#ifndef GPT_IMAGE_BYTES_H
#define GPT_IMAGE_BYTES_H

#include "port/pg_crc32c.h"

#define GPT_IMAGE_PIECE (2 * 1024 * 1024) /* bytes of a huge page */

/* The CRC-32C of bytes in memory. */
extern pg_crc32c gpt_image_bytes_crc(const char *bytes, size_t size);

/*
 * Writes all bytes at an offset of a file, and adds them to a crc that was begun (NULL: none).
 * False with errno if it cannot.
 */
extern bool gpt_image_bytes_write(int file, const char *bytes, size_t size, off_t offset,
								  pg_crc32c *crc);

#endif /* GPT_IMAGE_BYTES_H */
