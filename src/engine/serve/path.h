/*
 * src/engine/serve/path.h
 *
 * The inside of an explanation: the points of the path, and what they add up to. path.c has the
 * quadrature, path_point.c the score and its derivatives at points, explain_parts.c the parts of a
 * classifier beside its network, explain_rows.c the rows.
 */
#ifndef LM_PATH_H
#define LM_PATH_H

#include "engine/explain.h"
#include "serve/linear_part.h"
#include "serve/probe.h"

#define LM_PATH_NODES 5 /* of an interval: exact up to degree 9 */
#define LM_PATH_POINTS (2 * LM_PATH_NODES + 2)

/* A point of the path, 0 <= alpha <= 1. */
typedef struct LmPathPoint
{
	double alpha;
	double weight; /* in the sum of its interval; 0: only the score is wanted */
	int interval;
	double value; /* F */
} LmPathPoint;

/* A part of the path; sums over its points of weight times ... */
typedef struct LmPathInterval
{
	double first; /* alpha */
	double last;
	double first_value; /* F */
	double last_value;
	double gap; /* of its part of the sum */
	double *tokens; /* [n] derivatives by embeddings times differences from the baseline */
	double *labels; /* [labels] derivatives by logits */
} LmPathInterval;

/* Tokens that go through the network together. */
typedef struct LmPathWindow
{
	size_t start; /* the first one's number */
	int n;
	int first_wanted; /* row whose output counts */
	int prefix;
} LmPathWindow;

/* A text of one or two, as the model reads it. */
typedef struct LmExplainText
{
	char *bytes;
	size_t size;
	double *weights; /* [size + 1] of bytes, as differences (lm_features_spread) */
	LmExplainRow *rows;
	size_t n_rows;
} LmExplainText;

typedef enum LmExplainPhase
{
	LM_EXPLAIN_PREPARE, /* the parts beside the network */
	LM_EXPLAIN_CHOOSE, /* the label */
	LM_EXPLAIN_FOLLOW, /* the path */
	LM_EXPLAIN_SHARE, /* the weights of tokens and bytes */
	LM_EXPLAIN_DONE,
} LmExplainPhase;

struct LmExplain
{
	LmHost host;
	LmSession *session;
	LmTask task;
	LmTokens tokens;
	size_t n; /* tokens that are read: SCORE all but the last */
	size_t n_first; /* of the first text of a pair; else all */
	size_t first_target; /* SCORE: number of the target's first token */
	LmPathWindow *windows; /* SCORE: one */
	int n_windows;
	LmExplainPhase phase;
	LmExplanation result;
	uint8_t *fixed; /* [tokens.count] is no input that is explained */

	/* beside the network, [labels]: logits of any point, and those that grow with alpha */
	double *constant;
	double *linear;
	double *bag; /* [lm_bag_channels] mean of the text's runs */
	double overlaps[LM_PAIR_OVERLAPS];
	LmFeatures features;
	LmFeaturePair pair;
	LmFeatureText text;

	/* scratch of path_point.c */
	float *baseline; /* [C] the embedding of a token that says nothing */
	bool has_baseline;
	double *hidden; /* [LM_PATH_POINTS, 2 C] means of outputs */
	float *combined; /* [2, 4 C] features of the head and their derivatives */
	double *logits; /* [LM_PATH_POINTS, labels] and their derivatives */
	double *dots; /* [LM_PATH_POINTS or, of several windows, 1][n] of one set of points */

	LmPathPoint points[LM_PATH_POINTS]; /* of the present job */
	int n_points;
	int next_point;
	LmPathInterval intervals[LM_EXPLAIN_INTERVALS];
	int n_intervals;

	double *token_weights; /* [tokens.count] */
	LmExplainText texts[2];
};

/* explain_parts.c: the parts beside the network; their weights. LM_ERR_MEMORY, LM_ERR_STOPPED. */
bool lm_explain_prepare(LmExplain *explain, LmError *error);
bool lm_explain_share(LmExplain *explain, LmError *error);
/* The tokens of a text, from *first to before *last. */
void lm_explain_range(size_t *first, size_t *last, const LmExplain *explain, int number);

/*
 * path_point.c: the score of n of the explanation's points from number `first` on, their
 * derivatives by logits in explain->logits, and by tokens in explain->dots. With several windows n
 * is 1. LM_ERR_STOPPED, LM_ERR_NUMERIC.
 */
bool lm_path_evaluate(LmExplain *explain, LmProbe *probe, int first, int n, LmError *error);

/* The number of the most probable label at a point that was evaluated. */
int lm_path_label(const LmExplain *explain);

#endif /* LM_PATH_H */
