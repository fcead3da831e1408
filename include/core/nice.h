/*
 * include/core/nice.h
 *
 * The priority of a worker, by gpt.nice: that of the server while it touches the server, a lower
 * one for what computes. Failures are ignored: a lower priority is a courtesy.
 */
#ifndef GPT_NICE_H
#define GPT_NICE_H

/*
 * A worker calls this once in its main function. In other processes the level stays 0, and the
 * functions below do nothing.
 */
extern void gpt_nice_init(void);

/* For a session that has computed as a worker does: its priority is that of the server again. */
extern void gpt_nice_end(void);

/* The nice level for LmEngineOptions.nice: 0 to 19. */
extern int gpt_nice_level(void);

/*
 * Called with true before, and false after, a computation of the engine during which this process
 * holds no lock of the server.
 */
extern void gpt_nice_compute(bool computes);

/*
 * Called every few milliseconds during a computation: lowers the priority of this process's group
 * as soon as the kernel allows it.
 */
extern void gpt_nice_lower(void);

/*
 * Called before this process takes a lock of the server. Waits if the kernel requires it: up to a
 * tenth of a second, seldom longer.
 */
extern void gpt_nice_raise(void);

/* The same without waiting, during a computation that should end soon. */
extern void gpt_nice_hurry(void);

#endif /* GPT_NICE_H */
