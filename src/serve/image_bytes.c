/*
 * src/serve/image_bytes.c
 *
 * The bytes of an image go into its file, or into a checksum, piece by piece.
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"

#include "serve/image_bytes.h"

pg_crc32c
gpt_image_bytes_crc(const char *bytes, size_t size)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	for (size_t done = 0; done < size; done += GPT_IMAGE_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		COMP_CRC32C(crc, bytes + done, Min(size - done, GPT_IMAGE_PIECE));
	}
	FIN_CRC32C(crc);
	return crc;
}

/*
 * Writes end where a huge page of the file does: file systems that cache a file in pages as large
 * as the writes (ext4 from Linux 6.16, XFS from 5.18) then have an image that is mapped by huge
 * pages.
 */
bool
gpt_image_bytes_write(int file, const char *bytes, size_t size, off_t offset, pg_crc32c *crc)
{
	size_t done = 0;

	while (done < size)
	{
		size_t wanted =
			Min(size - done, GPT_IMAGE_PIECE - (size_t) (offset + (off_t) done) % GPT_IMAGE_PIECE);
		ssize_t n;

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		n = pg_pwrite(file, bytes + done, wanted, offset + (off_t) done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			errno = errno != 0 ? errno : ENOSPC;
			return false;
		}
		if (crc != NULL)
			COMP_CRC32C(*crc, bytes + done, n);
		done += (size_t) n;
	}
	return true;
}
