/*
 * src/core/options_rows.c
 *
 * Options and the kind of the rows go in; an error comes out where an option would have no effect
 * on them. One table names the options that are not for rows of all kinds.
 */
#include "postgres.h"

#include "core/options.h"

#define BIT(kind) (1 << (kind))
#define TEXTS BIT(GPT_ROWS_TEXT)
#define COMPLETIONS BIT(GPT_ROWS_COMPLETION)
#define CHATS BIT(GPT_ROWS_CHAT)
#define PREFERENCES BIT(GPT_ROWS_PREFERENCE)
#define RETRIEVAL BIT(GPT_ROWS_RETRIEVAL)
#define LABELS BIT(GPT_ROWS_LABELS)
#define GENERATED (COMPLETIONS | CHATS)
/* of models that write texts */
#define WRITTEN (TEXTS | GENERATED | PREFERENCES)

#define PAIRS "columns \"prompt\", \"chosen\" and \"rejected\""
#define PROMPTS "a column \"prompt\" or \"messages\""
#define NO_OTHER "rows of texts, prompts or conversations"

/* An option that only rows of some kinds make use of. */
typedef struct OptionRows
{
	const char *option;
	int rows; /* BIT of each kind */
	const char *needs; /* after "option ... needs" */
	const char *hint; /* or NULL */
} OptionRows;

static const OptionRows table[] = {
	{"preference", PREFERENCES, PAIRS},
	{"beta", PREFERENCES, PAIRS},
	{"base", PREFERENCES, PAIRS},
	{"temperature", RETRIEVAL, "columns \"query\" and \"positive\"",
	 "The temperature of generated texts is an argument of gpt_generate."},
	{"ngrams", TEXTS, "one column of text, without prompt or label"},
	{"label_smoothing", WRITTEN | LABELS, "labels, or texts to predict"},
	{"prompt_template", WRITTEN, NO_OTHER},
	{"chat_template", WRITTEN, NO_OTHER},
	{"logit_softcap", WRITTEN, NO_OTHER},
	{"max_tokens", GENERATED | PREFERENCES, PROMPTS},
	{"beams", GENERATED, PROMPTS " and answers to compare with"},
	{"length_penalty", GENERATED, PROMPTS " and answers to compare with"},
	{"include_end", TEXTS | COMPLETIONS, "rows of texts, or of prompts and completions"},
};

void
gpt_options_check_rows(const GptTrainOptions *options, GptRows rows, const char *task)
{
	for (int i = 0; i < lengthof(table); i++)
	{
		const OptionRows *row = &table[i];

		if ((row->rows & BIT(rows)) != 0 || !gpt_options_ask(options, row->option))
			continue;
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" needs %s", row->option, row->needs),
						errdetail("The columns of query are those of %s.", task),
						row->hint != NULL ? errhint("%s", row->hint) : 0));
	}
}
