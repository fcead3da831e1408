/*
 * src/core/nice.c
 *
 * What gpt.nice says goes in; the priority of a worker comes out. A process that computes at idle
 * priority while it holds a lock of the server makes everybody wait for that lock at idle priority,
 * and Linux does not let a thread without privileges raise its priority again. So only threads of
 * the engine have the low priority, and the thread that touches the server never lowers its own.
 *
 * Where autogroups are on, Linux first divides the processor among groups, of which each process of
 * the server is one, and a thread's priority counts only inside its group. A group's level may be
 * raised again, by somebody who is not root a tenth of a second after the last change of any group.
 * So it is lowered while the engine computes, and raised before a transaction begins.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/nice.h"
#include "core/settings.h"
#include "engine/engine.h"

#define LOWEST_NICE 19
#define AUTOGROUP "/proc/self/autogroup"
#define CHANGE_MS 110 /* between two changes: the kernel asks for 100 */
#define RETRY_MS 20
#define MOST_RETRIES 15

static int level = 0; /* of what computes, as LmEngineOptions.nice */
static bool has_group = false; /* whose level can be changed */
static int server_level = 0; /* of the group, as the server was started */
static bool is_lowered = false;
static bool is_computing = false;
static TimestampTz changed_at = 0;

/* False where the group does not exist, or cannot be changed now: errno says which. */
static bool
write_group(int value)
{
	char text_level[16];
	int length = snprintf(text_level, sizeof(text_level), "%d", value);
	int file = open(AUTOGROUP, O_WRONLY | O_CLOEXEC);
	bool written;

	if (file < 0)
		return false;
	written = write(file, text_level, length) == length;
	if (written)
		changed_at = GetCurrentTimestamp();
	close(file);
	return written;
}

/* "/autogroup-25 nice 0" */
static void
read_group(void)
{
	char line[128];
	int file = open(AUTOGROUP, O_RDONLY | O_CLOEXEC);
	ssize_t size = file < 0 ? -1 : read(file, line, sizeof(line) - 1);

	if (file >= 0)
		close(file);
	line[Max(size, 0)] = '\0';
	has_group = sscanf(line, "/autogroup-%*d nice %d", &server_level) == 1;
}

void
gpt_nice_init(void)
{
	level = strcmp(gpt_nice, "idle") == 0 ? LM_NICE_IDLE : atoi(gpt_nice);
	if (level > 0)
		read_group();
}

void
gpt_nice_end(void)
{
	gpt_nice_raise();
	is_computing = false;
	has_group = false;
	level = 0;
}

int
gpt_nice_level(void)
{
	return level;
}

void
gpt_nice_compute(bool computes)
{
	is_computing = computes;
	/* A short step is over before the engine asks whether to stop, so this happens here, too. */
	if (computes)
		gpt_nice_lower();
}

void
gpt_nice_lower(void)
{
	if (!is_computing || !has_group || is_lowered ||
		!TimestampDifferenceExceeds(changed_at, GetCurrentTimestamp(), CHANGE_MS))
		return;
	if (write_group(Min(level, LOWEST_NICE)))
		is_lowered = true;
	else if (errno != EAGAIN)
		has_group = false;
}

/* False where it may be tried again. */
static bool
raised(void)
{
	if (is_lowered && !write_group(server_level) && errno == EAGAIN)
		return false;
	is_lowered = false;
	return true;
}

void
gpt_nice_hurry(void)
{
	(void) raised();
}

void
gpt_nice_raise(void)
{
	for (int i = 0; i < MOST_RETRIES && !raised(); i++)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS,
						 gpt_wait_event("GptPriorityRaise"));
}
