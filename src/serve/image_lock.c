/*
 * src/serve/image_lock.c
 *
 * Locks on images (src/serve/image_lock.h).
 */
#include "postgres.h"

#include "core/lock.h"
#include "serve/image_lock.h"

static LOCKTAG
image_tag(const uint8 *sha256, GptImageType type)
{
	uint32 words[2];

	memcpy(words, sha256, sizeof(words));
	return gpt_lock_tag(0, words[0], words[1] + (uint32) type, GPT_LOCK_IMAGE);
}

static LOCKTAG
room_tag(void)
{
	return gpt_lock_tag(0, 0, 0, GPT_LOCK_ROOM);
}

void
gpt_image_lock(const uint8 *sha256, GptImageType type)
{
	LOCKTAG tag = image_tag(sha256, type);

	gpt_lock_wait(&tag, ExclusiveLock);
}

void
gpt_image_unlock(const uint8 *sha256, GptImageType type)
{
	LOCKTAG tag = image_tag(sha256, type);

	LockRelease(&tag, ExclusiveLock, false);
}

void
gpt_image_room_lock(void)
{
	LOCKTAG tag = room_tag();

	gpt_lock_wait(&tag, ExclusiveLock);
}

void
gpt_image_room_unlock(void)
{
	LOCKTAG tag = room_tag();

	LockRelease(&tag, ExclusiveLock, false);
}
