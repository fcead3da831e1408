/*
 * src/serve/image_lock.h
 *
 * Locks of the whole cluster about images, for the transaction; waited for,
 * interruptibly. They work on a standby. The processes of one parallel query do not shut each other
 * out.
 */
#ifndef GPT_IMAGE_LOCK_H
#define GPT_IMAGE_LOCK_H

#include "store/image_type.h"

/* Held by the session that makes the image of that content and type; waited for. */
extern void gpt_image_lock(const uint8 *sha256, GptImageType type);
extern void gpt_image_unlock(const uint8 *sha256, GptImageType type);

/*
 * Held by the session that makes room for an image; waited for. Taken after the lock on an image,
 * never before.
 */
extern void gpt_image_room_lock(void);
extern void gpt_image_room_unlock(void);

#endif /* GPT_IMAGE_LOCK_H */
