/*
 * include/core/nice.h
 *
 * The priority of a worker, by gpt.nice: that of the server while it touches the server, a lower
 * one for what computes. Failures are ignored: a lower priority is a courtesy.
 */
#ifndef GPT_NICE_H
#define GPT_NICE_H

/*
 * Once, in the main function of a worker. In other processes the level stays 0, and nothing below
 * does anything.
 */
extern void gpt_nice_init(void);

/* For the engine: LmEngineOptions.nice. */
extern int gpt_nice_level(void);

/* Around what the engine computes, while which the process holds nothing of the server. */
extern void gpt_nice_compute(bool computes);

/*
 * While it computes, every few milliseconds: lowers the group of this process as soon as the kernel
 * allows it.
 */
extern void gpt_nice_lower(void);

/*
 * Before this process takes a lock of the server; waits where the kernel asks for it, up to a tenth
 * of a second, seldom longer.
 */
extern void gpt_nice_raise(void);

/* While it computes, when that should end soon: the same without waiting. */
extern void gpt_nice_hurry(void);

#endif /* GPT_NICE_H */
