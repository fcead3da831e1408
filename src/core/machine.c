/*
 * src/core/machine.c
 *
 * The name of the processor, from the system.
 */
#include "postgres.h"

#include "storage/fd.h"

#include "core/machine.h"

char *
gpt_machine_cpu(void)
{
	FILE *file = AllocateFile("/proc/cpuinfo", "r");
	char line[256];
	char *name = pstrdup("not known");

	if (file == NULL)
		return name;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || colon == NULL)
			continue;
		name = pstrdup(colon + 2);
		name[strcspn(name, "\n")] = '\0';
		break;
	}
	FreeFile(file);
	return name;
}
