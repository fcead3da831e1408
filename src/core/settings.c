/*
 * src/core/settings.c
 *
 * Defines the settings of the extension, and turns a 0 that says "by the machine" into a number.
 */
#include "postgres.h"

#include <limits.h>
#include <unistd.h>

#include "datatype/timestamp.h"
#include "utils/guc.h"

#include "core/settings.h"
#include "engine/engine.h"

#define MAX_NICE 19
#define MEGABYTE INT64CONST(1048576)
#define MAX_BATCH_ROWS 10000
#define ASSUMED_MEMORY_MB 1024 /* where the machine does not say how much it has */

int gpt_max_workers = 1;
int gpt_train_threads = 0;
int gpt_threads = 1;
char *gpt_nice = NULL;
char *gpt_gradient_address = NULL;
int gpt_read_timeout = 3600;
int gpt_peer_timeout = 10000;
int gpt_max_corpus_size = 64 * 1024;
int gpt_checkpoint_interval = 5 * SECS_PER_MINUTE;
int gpt_checkpoint_retention = 7 * SECS_PER_DAY;
int gpt_publish_interval = 0;
bool gpt_autostart = true;
char *gpt_blas_library = NULL;
int gpt_max_maintain_workers = 1;
bool gpt_batching = true;
int gpt_prompt_cache = GPT_PROMPT_CACHE_ROLE;
int gpt_batch_rows = 64;
int gpt_on_error = GPT_ROW_ERROR_RAISED;

static const struct config_enum_entry on_error_words[] = {
	{"error", GPT_ROW_ERROR_RAISED, false}, {"null", GPT_ROW_ERROR_NULL, false}, {NULL, 0, false}};

static const struct config_enum_entry prompt_caches[] = {
	{"off", GPT_PROMPT_CACHE_OFF, false},
	{"role", GPT_PROMPT_CACHE_ROLE, false},
	{"all", GPT_PROMPT_CACHE_ALL, false},
	{"on", GPT_PROMPT_CACHE_ROLE, true},
	{"true", GPT_PROMPT_CACHE_ROLE, true},
	{"false", GPT_PROMPT_CACHE_OFF, true},
	{NULL, 0, false},
};

static int gpt_max_memory = 0; /* MB */
static int gpt_max_image_size = 0; /* MB */

static void define_job_settings(void);
static void define_compute_settings(void);
static bool check_threads(int *value, void **extra, GucSource source);
static bool check_memory(int *value, void **extra, GucSource source);
static bool check_nice(char **value, void **extra, GucSource source);

void
gpt_settings_define(void)
{
	define_job_settings();
	define_compute_settings();
}

int64
gpt_settings_max_memory(void)
{
	return gpt_max_memory * MEGABYTE;
}

int64
gpt_settings_max_image_size(void)
{
	return gpt_max_image_size * MEGABYTE;
}

/* In whole megabytes, as the settings are. */
int64
gpt_settings_quarter_of_memory(void)
{
	int64 pages = sysconf(_SC_PHYS_PAGES);
	int64 page_size = sysconf(_SC_PAGESIZE);
	int64 megabytes = ASSUMED_MEMORY_MB;

	if (pages > 0 && page_size > 0)
		megabytes = pages / 4 * page_size / MEGABYTE;
	return Max(1, Min(megabytes, INT_MAX)) * MEGABYTE;
}

int
gpt_settings_half_of_cores(void)
{
	return (int) Max(1, Min(sysconf(_SC_NPROCESSORS_ONLN) / 2, LM_MAX_THREADS));
}

/* Settings of training jobs: their number, priority, limits and files. */
static void
define_job_settings(void)
{
	DefineCustomIntVariable("gpt.max_workers",
							"Limits how many training jobs run at once in the cluster.", NULL,
							&gpt_max_workers, 1, 1, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"gpt.nice", "Sets the priority of training jobs: idle, or a nice level from 0 to 19.", NULL,
		&gpt_nice, "idle", PGC_SIGHUP, 0, check_nice, NULL, NULL);
	DefineCustomStringVariable(
		"gpt.gradient_address",
		"Sets where this server exchanges gradients with others: an address of it, HOST or "
		"HOST:PORT.",
		"Gradients are not encrypted: it should be of a private network. Empty means nowhere.",
		&gpt_gradient_address, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("gpt.read_timeout", "Limits how long a job may read its query.",
							"0 means no limit.", &gpt_read_timeout, 3600, 0, INT_MAX / 1000,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("gpt.max_corpus_size", "Limits how much text a job may read.", NULL,
							&gpt_max_corpus_size, 64 * 1024, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomIntVariable(
		"gpt.checkpoint_interval", "Sets the time between checkpoints of a training job.",
		"0 writes one after every step.", &gpt_checkpoint_interval, 5 * SECS_PER_MINUTE, 0,
		INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("gpt.checkpoint_retention",
							"Sets how long the files of a failed or cancelled job are kept.",
							"gpt_resume continues from them. 0 removes them at once.",
							&gpt_checkpoint_retention, 7 * SECS_PER_DAY, 0, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("gpt.publish_interval",
							"Sets the time between partial versions that a training job publishes.",
							"0 publishes the final version only.", &gpt_publish_interval, 0, 0,
							INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("gpt.max_maintain_workers",
							"Limits how many workers of maintained columns compute at once in the "
							"cluster.",
							NULL, &gpt_max_maintain_workers, 1, 1, 64, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable(
		"gpt.peer_timeout", "Sets after what silence a server of a training is lost.",
		"One that answers nothing at all is lost after a second.", &gpt_peer_timeout, 10000, 1000,
		3600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("gpt.autostart",
							 "Starts the jobs that a restart of the server interrupted.",
							 "Off keeps the jobs of a cloned cluster from continuing.",
							 &gpt_autostart, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Settings of computation: threads, memory, images, batching and the matrix library. */
static void
define_compute_settings(void)
{
	DefineCustomIntVariable("gpt.train_threads", "Sets how many threads a training job uses.",
							"0 means half of the machine's cores, at least one.",
							&gpt_train_threads, 0, 0, LM_MAX_THREADS, PGC_SUSET, 0, check_threads,
							NULL, NULL);
	DefineCustomIntVariable("gpt.threads",
							"Sets how many threads a session uses to generate and score.",
							"Parallel workers always use one.", &gpt_threads, 1, 1, LM_MAX_THREADS,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"gpt.max_memory", "Limits the memory of one training job, and of one session's models.",
		"It is checked before memory is taken. 0 means a quarter of the machine's memory.",
		&gpt_max_memory, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MB, check_memory, NULL, NULL);
	DefineCustomIntVariable(
		"gpt.max_image_size",
		"Limits the size of all images of models that sessions share, on disk and in the page "
		"cache.",
		"The least recently used images are removed. 0 means a quarter of the machine's memory.",
		&gpt_max_image_size, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB, check_memory, NULL, NULL);
	DefineCustomBoolVariable("gpt.batching",
							 "Evaluates calls of models for many rows of a statement together.",
							 "It takes effect when a statement is planned.", &gpt_batching, true,
							 PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomIntVariable("gpt.batch_rows", "Sets how many rows gpt.batching reads ahead.", NULL,
							&gpt_batch_rows, 64, 1, MAX_BATCH_ROWS, PGC_USERSET, 0, NULL, NULL,
							NULL);
	DefineCustomEnumVariable(
		"gpt.prompt_cache",
		"Sets which sessions find what this one has computed of its prompts' beginnings.",
		"role: those of the same role in this database; all: of any role that may use the model; "
		"off: none, and this one does not look for it.",
		&gpt_prompt_cache, GPT_PROMPT_CACHE_ROLE, prompt_caches, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"gpt.on_error", "Sets whether an error of a row ends the statement or gives null.",
		"The reasons of nulls are in gpt_errors().", &gpt_on_error, GPT_ROW_ERROR_RAISED,
		on_error_words, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("gpt.blas_library", "Sets the path of the matrix library.",
							   "Empty means the faster of the built-in kernels and the library in "
							   "the usual places, \"none\" the built-in kernels.",
							   &gpt_blas_library, "", PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, NULL,
							   NULL);
}

/*
 * Replaces 0 by the value that it stands for, also as the default, so that SHOW and pg_settings
 * show the value in force. postgresql.auto.conf and settings of roles keep the 0.
 */
static bool
check_threads(int *value, void **extra, GucSource source)
{
	if (*value == 0)
		*value = gpt_settings_half_of_cores();
	return true;
}

static bool
check_memory(int *value, void **extra, GucSource source)
{
	if (*value == 0)
		*value = (int) (gpt_settings_quarter_of_memory() / MEGABYTE);
	return true;
}

/* Check hook of gpt.nice; errno tells a number that is too large for a long. */
static bool
check_nice(char **value, void **extra, GucSource source)
{
	char *end;
	long level;

	if (strcmp(*value, "idle") == 0)
		return true;
	errno = 0;
	level = strtol(*value, &end, 10);
	if (errno == 0 && end != *value && *end == '\0' && level >= 0 && level <= MAX_NICE)
		return true;
	GUC_check_errdetail("It must be \"idle\" or a number from 0 to %d.", MAX_NICE);
	return false;
}

int
gpt_settings_train_threads(int64 wanted)
{
	return wanted < 0 ? gpt_train_threads : (int) Min(wanted, gpt_train_threads);
}
