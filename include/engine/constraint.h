/*
 * include/engine/constraint.h
 *
 * Texts that a generation may write: a list of choices, a regular expression, or a JSON Schema.
 *
 *   LmVocabulary   the tokens of a model in the order of their bytes
 *   LmBuilder      pattern, schema or choices -> LmAutomaton over bytes
 *   LmConstraint   automaton and vocabulary: for each state the tokens that may follow
 *
 * All of it is deterministic, and bounded: a limit that is passed is an error (LM_ERR_LIMIT).
 */
#ifndef LM_CONSTRAINT_H
#define LM_CONSTRAINT_H

#include "engine/tokenizer.h"

#define LM_MOST_STATES (1 << 20) /* of an automaton */
#define LM_MOST_CHOICES 1000000
#define LM_MOST_PATTERN 65536 /* bytes of a regular expression */
#define LM_MOST_NESTED 100 /* groups of a pattern, levels of a schema */
#define LM_MOST_VALUES 100000 /* of a JSON Schema */

/* engine/serve.h has these. */
struct LmSession;
struct LmConstraint;

/*
 * The tokens of a session's model, with copies of their bytes: it outlives the session. Without
 * special tokens and those that end a text. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
typedef struct LmVocabulary LmVocabulary;

LmVocabulary *lm_vocabulary_create(const LmHost *host, struct LmSession *session, LmError *error);
void lm_vocabulary_free(LmVocabulary *vocabulary);
size_t lm_vocabulary_memory(const LmVocabulary *vocabulary);

/* Code points low .. high, both included. */
typedef struct LmCodeRange
{
	int32_t low;
	int32_t high;
} LmCodeRange;

/* The kinds of JSON values. */
typedef enum LmJsonKind
{
	LM_JSON_NULL,
	LM_JSON_FALSE,
	LM_JSON_TRUE,
	LM_JSON_NUMBER,
	LM_JSON_STRING,
	LM_JSON_ARRAY,
	LM_JSON_OBJECT,
} LmJsonKind;

/*
 * A JSON value, one of an array in which every value comes after the one that it is part of.
 * Children are linked from `first` by `next`; -1 is none.
 */
typedef struct LmJsonValue
{
	LmJsonKind kind;
	LmBytes name; /* of a member of an object */
	LmBytes text; /* of a string, or of a number in decimal digits */
	int32_t first;
	int32_t next;
} LmJsonValue;

/*
 * Builds an automaton as a stack machine: most functions push a language, or replace the languages
 * on top of the stack by another one. The first error stays: later calls do nothing, and
 * lm_builder_finish returns it.
 */
typedef struct LmBuilder LmBuilder;
typedef struct LmAutomaton LmAutomaton;

/* vocabulary, which must outlive the builder: no character that it cannot write; NULL: all. */
LmBuilder *lm_builder_create(const LmHost *host, const LmVocabulary *vocabulary, LmError *error);
void lm_builder_free(LmBuilder *builder);
/*
 * Whether characters that follow are written as in a JSON string: '"', '\' and control characters
 * as escapes. Returns what was set before.
 */
bool lm_builder_quote(LmBuilder *builder, bool quoted);

void lm_build_text(LmBuilder *builder, LmBytes text); /* exactly this UTF-8 text */
void lm_build_nothing(LmBuilder *builder); /* no text at all, not even the empty one */
/* one character of n ranges, which are sorted and apart; U+0000 and surrogates never are */
void lm_build_class(LmBuilder *builder, const LmCodeRange *ranges, int n);
void lm_build_join(LmBuilder *builder); /* a b -> ab */
void lm_build_join_behind(LmBuilder *builder); /* a b -> ba */
void lm_build_either(LmBuilder *builder); /* a b -> a or b */
void lm_build_both(LmBuilder *builder); /* a b -> the texts that are in a and in b */
void lm_build_copy(LmBuilder *builder); /* a -> a and a again, on top */
void lm_build_repeat(LmBuilder *builder, int64_t min, int64_t max); /* a; max -1: for ever */
/* item separator -> item separator item ... with min .. max items */
void lm_build_list(LmBuilder *builder, int64_t min, int64_t max);
/* n items -> some of them in their order, with commas between them; the first ones are required */
void lm_build_members(LmBuilder *builder, int n, int n_required);

/*
 * Numbers in decimal digits, no zeros in front, with up to `fraction` digits after the point and no
 * exponent. min and max in the same form, or size 0: none; then the number has up to `digits`
 * digits in front of the point.
 */
typedef struct LmDecimals
{
	LmBytes min;
	LmBytes max;
	bool open_min; /* more than min, not min itself */
	bool open_max;
	int fraction;
	int digits;
} LmDecimals;

void lm_build_decimals(LmBuilder *builder, const LmDecimals *decimals);

/*
 * A regular expression (src/engine/text/regex.c has the syntax); with `search` a text only needs to
 * contain a match, unless ^ and $ stand at the ends. LM_ERR_FORMAT with the position, LM_ERR_LIMIT.
 */
void lm_build_regex(LmBuilder *builder, LmBytes pattern, bool search);

/*
 * JSON texts that a schema describes (src/engine/text/schema.c has the subset). bare: a text that
 * is a JSON string stands without its quotes and escapes. LM_ERR_FORMAT.
 */
void lm_build_schema(LmBuilder *builder, const LmJsonValue *values, int n, bool bare);

/*
 * The automaton of the one language on the stack, and the end of the builder, which is freed. NULL
 * with the first error; LM_ERR_ARGUMENT where no text is left. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
LmAutomaton *lm_builder_finish(LmBuilder *builder, LmError *error);
/*
 * The automaton of a list of texts, of which those go that the vocabulary (NULL: any) cannot write.
 * The texts are copied. LM_ERR_ARGUMENT for no texts, LM_ERR_LIMIT, LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
LmAutomaton *lm_choices_create(const LmHost *host, const LmBytes *texts, int n,
							   const LmVocabulary *vocabulary, LmError *error);
void lm_automaton_free(LmAutomaton *automaton);
/* Whether the automaton accepts a text; for tests. False with an error, or with LM_OK. */
bool lm_automaton_accepts(LmAutomaton *automaton, LmBytes text, LmError *error);

/*
 * What a generation obeys (LmSampling.constraint). Takes over the automaton, also where it fails;
 * the vocabulary must outlive it. most: bytes of states and masks that are kept at most, beside
 * those in use.
 */
struct LmConstraint *lm_constraint_create(const LmHost *host, LmAutomaton *automaton,
										  const LmVocabulary *vocabulary, size_t most,
										  LmError *error);
void lm_constraint_free(struct LmConstraint *constraint);
size_t lm_constraint_memory(const struct LmConstraint *constraint);
/* Generations that follow it: it must not be freed before their end. */
int lm_constraint_users(const struct LmConstraint *constraint);
/* Tokens with which a text can surely be written that the constraint allows. */
bool lm_constraint_need(struct LmConstraint *constraint, int *tokens, LmError *error);

#endif /* LM_CONSTRAINT_H */
