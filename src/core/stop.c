/*
 * src/core/stop.c
 *
 * What asks a worker to stop: signals and time-outs go in, an error at the next look comes out.
 *
 * SIGTERM is not an ordinary error because the user's query could catch that one.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/wait_event.h"

#include "core/settings.h"
#include "core/stop.h"

/* between cancelling the user's query for its time and ending the process */
#define TIMEOUT_GRACE_MS 5000
/* the least time between a cancellation by a user and ending the process */
#define CANCEL_GRACE_MS 1000

static TimeoutId read_timeout;
static TimeoutId cancel_timeout;
static TimeoutId lock_timeout;
static volatile sig_atomic_t cancel_requested = false;
static volatile sig_atomic_t cancel_ticks = 0; /* of the user's query since then */
static volatile sig_atomic_t terminated = false;
static volatile sig_atomic_t read_timed_out = 0;
static volatile sig_atomic_t lock_timed_out = false;

static void handle_cancel(SIGNAL_ARGS);
static void handle_terminate(SIGNAL_ARGS);
static void handle_read_timeout(void);
static void handle_cancel_timeout(void);
static void handle_lock_timeout(void);

void
gpt_stop_handle_signals(void)
{
	pqsignal(SIGINT, handle_cancel);
	pqsignal(SIGTERM, handle_terminate);
}

void
gpt_stop_register_timeouts(void)
{
	read_timeout = RegisterTimeout(USER_TIMEOUT, handle_read_timeout);
	cancel_timeout = RegisterTimeout(USER_TIMEOUT, handle_cancel_timeout);
	lock_timeout = RegisterTimeout(USER_TIMEOUT, handle_lock_timeout);
}

bool
gpt_stop_is_cancelled(void)
{
	return cancel_requested;
}

bool
gpt_stop_is_terminated(void)
{
	return terminated;
}

bool
gpt_stop_read_timed_out(void)
{
	return read_timed_out;
}

bool
gpt_stop_lock_timed_out(void)
{
	return lock_timed_out;
}

void
gpt_stop_arm_timeout(void)
{
	int64 milliseconds = (int64) gpt_read_timeout * 1000;

	if (gpt_read_timeout > 0)
		enable_timeout_every(read_timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds),
							 TIMEOUT_GRACE_MS);
	enable_timeout_every(cancel_timeout,
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CANCEL_GRACE_MS),
						 CANCEL_GRACE_MS);
}

void
gpt_stop_disarm_timeout(void)
{
	disable_timeout(read_timeout, false);
	disable_timeout(cancel_timeout, false);
}

void
gpt_stop_check(void)
{
	if (!PostmasterIsAlive())
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (cancel_requested || read_timed_out)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling the job due to user request")));
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
gpt_stop_arm_lock_timeout(int milliseconds)
{
	lock_timed_out = false;
	if (milliseconds > 0)
		enable_timeout_every(lock_timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds),
							 milliseconds);
}

/* A cancellation that is on its way is of no use any more, unless it is a user's. */
void
gpt_stop_disarm_lock_timeout(void)
{
	disable_timeout(lock_timeout, false);
	if (lock_timed_out && !cancel_requested)
		QueryCancelPending = false;
}

/* ---- Handlers ----------------------------------------------------------- */

static void
handle_cancel(SIGNAL_ARGS)
{
	int save_errno = errno;

	cancel_requested = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
handle_terminate(SIGNAL_ARGS)
{
	terminated = true;
	die(postgres_signal_arg);
}

/* First a cancellation; whoever catches that one is ended. */
static void
handle_read_timeout(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
	if (read_timed_out)
		ProcDiePending = true;
	read_timed_out = true;
	SetLatch(MyLatch);
}

/*
 * Comes again and again while the user's query runs: a function of it that catches query_canceled
 * keeps the slot no longer.
 */
static void
handle_cancel_timeout(void)
{
	if (!cancel_requested || ++cancel_ticks <= 1)
		return;
	terminated = true;
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

/* Comes again and again: cancels the transaction where this process waits for a lock just now. */
static void
handle_lock_timeout(void)
{
	if ((MyProc->wait_event_info & 0xFF000000) != PG_WAIT_LOCK)
		return;
	lock_timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}
