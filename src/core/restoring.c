/*
 * src/core/restoring.c
 *
 * Tells a session that restores a dump from others.
 */
#include "postgres.h"

#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "utils/guc.h"

#include "core/restoring.h"

bool
gpt_restoring(void)
{
	return application_name != NULL && strcmp(application_name, GPT_RESTORE_PROGRAM) == 0;
}

const char *
gpt_restoring_hint(void)
{
	bool copies = ActivePortal != NULL && ActivePortal->commandTag == CMDTAG_COPY;

	if (!copies && !gpt_restoring())
		return NULL;
	return "If this restores a dump: its models come after its tables. Restore it with "
		   "scripts/gpt-restore. Or, once the models are there, repeat only the part that failed: "
		   "pg_restore --data-only --table, or --index.";
}
