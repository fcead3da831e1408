/*
 * src/nice.c
 *
 * Lowers the priority of this process. Linux schedules by groups of processes where autogroups are on, and
 * then a nice level counts only inside the group; so the group's level is set too, if there is one.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nice.h"
#include "settings.h"

#define LOWEST_PRIORITY 19

static void
set_autogroup(int level)
{
#ifdef __linux__
	char text_level[16];
	int file = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	snprintf(text_level, sizeof(text_level), "%d", level);
	if (write(file, text_level, strlen(text_level)) < 0)
		elog(DEBUG1, "could not set the priority of the autogroup: %m");
	close(file);
#endif
}

void
gpt_nice_apply(void)
{
	bool idle = strcmp(gpt_nice, "idle") == 0;
	int level = idle ? LOWEST_PRIORITY : atoi(gpt_nice);

	if (level == 0)
		return;
	set_autogroup(level);
	if (setpriority(PRIO_PROCESS, 0, level) != 0)
		elog(DEBUG1, "could not set the nice level: %m");
#ifdef SCHED_IDLE
	if (idle)
	{
		struct sched_param parameters = {0};

		if (sched_setscheduler(0, SCHED_IDLE, &parameters) != 0)
			elog(DEBUG1, "could not set the scheduling policy: %m");
	}
#endif
}
