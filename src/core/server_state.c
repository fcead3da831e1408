/*
 * src/core/server_state.c
 *
 * Reads what the postmaster writes about itself, also while a process exits, when nothing may fail.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/pmsignal.h"
#include "utils/pidfile.h"
#include "utils/timestamp.h"

#include "core/server_state.h"

bool
gpt_server_is_stopping(void)
{
	char content[BLCKSZ];
	char *line = content;
	ssize_t size;
	int file;

	if (!PostmasterIsAlive())
		return true;
	file = open("postmaster.pid", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return true;
	size = read(file, content, sizeof(content) - 1);
	close(file);
	if (size <= 0)
		return true;
	content[size] = '\0';
	for (int i = 1; i < LOCK_FILE_LINE_PM_STATUS && line != NULL; i++)
	{
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return line != NULL && strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

char *
gpt_server_place(void)
{
	return psprintf(UINT64_FORMAT "/%u/" INT64_FORMAT, GetSystemIdentifier(), MyDatabaseId,
					PgStartTime);
}
