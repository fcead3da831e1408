/*
 * src/sql/sql_settings.c
 *
 * What the settings come to on this server, for the view gpt_settings.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/settings.h"
#include "jobs/launcher.h"
#include "sql/arguments.h"

PG_FUNCTION_INFO_V1(gpt_setting_rows);

/* palloc'd or constant texts; NULL: the value as SHOW prints it, and no reason beside its source.
 */
typedef struct Effect
{
	const char *effective;
	const char *reason;
} Effect;

static Effect
of_memory(int64 bytes)
{
	if (bytes != gpt_settings_quarter_of_memory())
		return (Effect){NULL, NULL};
	return (Effect){NULL, "a quarter of the machine's memory"};
}

static Effect
of_max_memory(void)
{
	return of_memory(gpt_settings_max_memory());
}

static Effect
of_max_image_size(void)
{
	return of_memory(gpt_settings_max_image_size());
}

static Effect
of_train_threads(void)
{
	if (gpt_train_threads != gpt_settings_half_of_cores())
		return (Effect){NULL, NULL};
	return (Effect){NULL, "half of the machine's cores, at least one"};
}

static Effect
of_max_workers(void)
{
	if (gpt_max_workers <= max_worker_processes)
		return (Effect){NULL, NULL};
	return (Effect){psprintf("%d", max_worker_processes), "max_worker_processes"};
}

static Effect
of_autostart(void)
{
	if (!gpt_autostart || gpt_launcher_present())
		return (Effect){NULL, NULL};
	return (Effect){"off", "the server does not preload gpt"};
}

static Effect
of_blas_library(void)
{
	if (gpt_blas_library[0] != '\0')
		return (Effect){NULL, NULL};
	return (Effect){"found", "gpt_version() has what training finds"};
}

static Effect
of_read_timeout(void)
{
	return (Effect){gpt_read_timeout == 0 ? "no limit" : NULL, NULL};
}

static Effect
of_checkpoint_interval(void)
{
	return (Effect){gpt_checkpoint_interval == 0 ? "every step" : NULL, NULL};
}

static Effect
of_checkpoint_retention(void)
{
	return (Effect){gpt_checkpoint_retention == 0 ? "none" : NULL, NULL};
}

static Effect
of_publish_interval(void)
{
	return (Effect){gpt_publish_interval == 0 ? "never" : NULL, NULL};
}

/* The settings whose value does not speak for itself. */
static const struct
{
	const char *name;
	Effect (*of)(void);
} settings[] = {
	{"gpt.autostart", of_autostart},
	{"gpt.blas_library", of_blas_library},
	{"gpt.checkpoint_interval", of_checkpoint_interval},
	{"gpt.checkpoint_retention", of_checkpoint_retention},
	{"gpt.max_image_size", of_max_image_size},
	{"gpt.max_memory", of_max_memory},
	{"gpt.max_workers", of_max_workers},
	{"gpt.publish_interval", of_publish_interval},
	{"gpt.read_timeout", of_read_timeout},
	{"gpt.train_threads", of_train_threads},
};

/*
 * gpt_setting_rows() RETURNS SETOF record    (name, effective, reason)
 *
 * The settings whose value does not speak for itself; NULL in effective means that it does.
 */
Datum
gpt_setting_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	gpt_argument_check_call(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(settings); i++)
	{
		Effect effect = settings[i].of();
		Datum values[3] = {CStringGetTextDatum(settings[i].name)};
		bool nulls[3] = {false, effect.effective == NULL, effect.reason == NULL};

		if (effect.effective != NULL)
			values[1] = CStringGetTextDatum(effect.effective);
		if (effect.reason != NULL)
			values[2] = CStringGetTextDatum(effect.reason);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
