/*
 * include/corpus/agreement.h
 *
 * What the servers of a training agree on, each of which has rows of its own: the coordinator makes
 * it of their surveys (survey.h), and sends it to all, so that their token files fit one model.
 *
 *   each     gpt_corpus_part_read -> gpt_survey_write -> bytes to the coordinator
 *   coord.   gpt_survey_read of all -> gpt_agree_on -> tokenizer, and the agreement as jsonb, to
 * all each     gpt_agreement_from_json -> gpt_corpus_part_write -> its own token file
 *
 * The coordinator's own corpus goes the same way inside gpt_corpus_create_together (corpus.h).
 *
 * What needs no agreement: which rows are held out follows on each server from the hashes of its
 * texts, by the same rule; a server's share is that of its own rows. Where two servers have an
 * equal row, both train on it, unless both hold it out; near the end of the share one may hold it
 * out and the other one train on it.
 */
#ifndef GPT_AGREEMENT_H
#define GPT_AGREEMENT_H

#include "corpus/corpus.h"
#include "corpus/survey.h"
#include "storage/fd.h"
#include "utils/jsonb.h"

typedef struct GptAgreement
{
	LmTokenizer *tokenizer; /* of the coordinator; NULL after _from_json */
	const char *why_tokenizer; /* NULL: it was given */
	int context; /* of windows; 0: what the options or joined documents say, the same everywhere */
	int n_labels;
	char **labels; /* [n_labels] those of a base, then the others in the order of their bytes */
	GptNumbers numbers; /* scale 0: rows have none */
	GptPromptForm prompt;
	Jsonb *json; /* all of it that travels, and facts about each server */
} GptAgreement;

/*
 * Makes the agreement; in the current memory context. given: the base's, or NULL. tokenizer: a
 * stored one, or the base's, which the surveys were written with; NULL: one is trained of the
 * words. Errors: the servers' rows differ in task, labels as sets, normalisation or split, which
 * names two of them; there are fewer than two labels in all; a tokenizer of characters is asked for
 * and some characters have stayed on their server; those of gpt_corpus_tokenizer.
 */
extern GptAgreement *gpt_agree_on(const GptTrainOptions *options, const GptGivenTokenizer *given,
								  LmTokenizer *tokenizer, GptSurvey *const *surveys, int n,
								  GptProgress *progress);

/* src/corpus/agreement_json.c: least: see GptWordCounts. */
extern Jsonb *gpt_agreement_to_json(const GptAgreement *agreement, GptSurvey *const *surveys, int n,
									int64 least);

/* Reads an agreement; ERRCODE_INVALID_PARAMETER_VALUE for JSON that is none. */
extern GptAgreement *gpt_agreement_from_json(const char *json, size_t size);

/* ---- src/corpus/corpus_part.c ---------------------------------------------------- */

/*
 * Reads the rows of the query, in the current transaction, under the active snapshot; the spool
 * outlasts it. normalize_nfc: of a tokenizer that there is, or else as options->normalize says.
 */
extern GptSpool *gpt_corpus_part_read(const char *query, const GptTrainOptions *options,
									  const GptGivenTokenizer *given, bool normalize_nfc);

/*
 * Encodes the rows into a token file, as they were agreed on. Returns a temporary file that
 * outlasts the transaction, until FileClose. Inside a transaction.
 */
extern File gpt_corpus_part_write(GptJobCorpus *counts, const GptTrainOptions *options,
								  const GptAgreement *agreement, GptSpool *spool,
								  LmTokenizer *tokenizer, GptProgress *progress);

#endif /* GPT_AGREEMENT_H */
