/*
 * include/core/stop.h
 *
 * How a worker is asked to stop: by a user (SIGINT), by an administrator or the server (SIGTERM),
 * or because the user's query takes longer than gpt.read_timeout.
 */
#ifndef GPT_STOP_H
#define GPT_STOP_H

/*
 * Called once in a worker: the first before signals are unblocked, the second after the connection
 * to the database exists.
 */
extern void gpt_stop_handle_signals(void);
extern void gpt_stop_register_timeouts(void);

/*
 * Raises an error if the process was asked to stop, even if the user's query caught the first
 * request. Also reads changed settings.
 */
extern void gpt_stop_check(void);

/*
 * Around the user's query: cancels the query after gpt.read_timeout, and ends the process if the
 * query catches the cancellation. (statement_timeout does not work in a background worker.)
 */
extern void gpt_stop_arm_timeout(void);
extern void gpt_stop_disarm_timeout(void);

/* Around a transaction: cancels it if it waits for a lock after so many milliseconds; 0: never. */
extern void gpt_stop_arm_lock_timeout(int milliseconds);
extern void gpt_stop_disarm_lock_timeout(void);

/*
 * The requests that have arrived so far; lock_timed_out counts from the last
 * gpt_stop_arm_lock_timeout.
 */
extern bool gpt_stop_is_cancelled(void);
extern bool gpt_stop_is_terminated(void);
extern bool gpt_stop_read_timed_out(void);
extern bool gpt_stop_lock_timed_out(void);

#endif /* GPT_STOP_H */
