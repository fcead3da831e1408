/*
 * src/sql/gpt.c
 *
 * The library's beginning: what the server needs to load it, settings, callbacks, and the launcher
 * where the library is preloaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "serve/batching.h"
#include "store/blob.h"
#include "core/compat.h"
#include "jobs/launcher.h"
#include "core/settings.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	gpt_settings_define();
	MarkGUCPrefixReserved("gpt");
	gpt_blob_init();
	gpt_batching_init();
	gpt_launcher_init();
}
