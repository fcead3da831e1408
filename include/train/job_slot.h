/*
 * include/train/job_slot.h
 *
 * The slot of gpt.max_workers that a running job holds, as its training sees it: the rooms above
 * have it.
 */
#ifndef GPT_JOB_SLOT_H
#define GPT_JOB_SLOT_H

typedef struct GptJobSlot
{
	void (*leave)(void); /* gives it to the next job for good; this one goes on without */
	void (*lend)(void); /* gives it to whoever wants it */
	bool (*take)(void); /* takes one back; false: none is free */
} GptJobSlot;

#endif /* GPT_JOB_SLOT_H */
