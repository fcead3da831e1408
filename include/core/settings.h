/*
 * include/core/settings.h
 *
 * The settings of the extension; src/core/settings.c defines and describes all of them.
 */
#ifndef GPT_SETTINGS_H
#define GPT_SETTINGS_H

/* Who finds the keys and values of a prompt's beginning that another session computed. */
typedef enum GptPromptCache
{
	GPT_PROMPT_CACHE_OFF, /* nobody */
	GPT_PROMPT_CACHE_ROLE, /* sessions of the same role */
	GPT_PROMPT_CACHE_ALL, /* of any role that may use the model */
} GptPromptCache;

extern int gpt_max_workers; /* training jobs that run at once in the cluster */
extern int gpt_train_threads; /* of a job */
extern int gpt_threads; /* of a session */
extern char *gpt_nice; /* "idle" or a nice level */
extern char *gpt_gradient_address; /* "HOST" or "HOST:PORT"; "": none */
extern int gpt_read_timeout; /* seconds */
extern int gpt_peer_timeout; /* milliseconds */
extern int gpt_max_corpus_size; /* MB */
extern int gpt_checkpoint_interval; /* seconds; 0: after every step */
extern int gpt_checkpoint_retention; /* seconds */
extern int gpt_publish_interval; /* seconds; 0: never */
extern int gpt_max_maintain_workers; /* that compute at once in the cluster */
extern bool gpt_autostart; /* jobs that a restart interrupted start again */
extern char *gpt_blas_library; /* path; "": search for one; "none": use none */
extern bool gpt_batching; /* statements get the plan node for calls of many rows */
extern int gpt_prompt_cache; /* GptPromptCache */
extern int gpt_batch_rows; /* rows that this node reads ahead */

/* What an error of a row does. */
typedef enum GptRowErrorAs
{
	GPT_ROW_ERROR_RAISED, /* it ends the statement */
	GPT_ROW_ERROR_NULL, /* it gives NULL and is counted */
} GptRowErrorAs;

extern int gpt_on_error;

/* Defines all settings; _PG_init calls it once. */
extern void gpt_settings_define(void);

/* gpt.max_memory and gpt.max_image_size in bytes. */
extern int64 gpt_settings_max_memory(void);
extern int64 gpt_settings_max_image_size(void);

/* What a 0 in these, and in gpt.train_threads, stands for on this machine. */
extern int64 gpt_settings_quarter_of_memory(void);
extern int gpt_settings_half_of_cores(void);

/* Threads of a job: as many as wanted (negative: not given), at most gpt.train_threads. */
extern int gpt_settings_train_threads(int64 wanted);

#endif /* GPT_SETTINGS_H */
