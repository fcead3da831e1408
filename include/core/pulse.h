/*
 * include/core/pulse.h
 *
 * Signs of life of a session that works for another server: while it computes, its client gets a
 * notice a few times a second, and the session learns soon that the client has gone.
 */
#ifndef GPT_PULSE_H
#define GPT_PULSE_H

/* Writes what the session does, as a member list of JSON without braces, into text[size]. */
typedef void (*GptPulseText)(char *text, size_t size);

/*
 * From _begin to _end each gpt_pulse() sends, at most every GPT_PULSE_MS milliseconds, the notice
 * "gpt progress {...}" with SQLSTATE 00000. The end of the statement ends it too, an error for one.
 */
extern void gpt_pulse_begin(GptPulseText text);
extern void gpt_pulse_end(void);

#define GPT_PULSE_MS 200

/*
 * Called every few milliseconds by the thread of the process, also while the engine computes: it
 * raises nothing and never waits. A client whose connection is closed becomes an interrupt.
 */
extern void gpt_pulse(void);

#endif /* GPT_PULSE_H */
