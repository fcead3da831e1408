/*
 * src/train/publish_gate.h
 *
 * The gate of option "publish_if": whether the version that a job has made becomes the current one.
 */
#ifndef GPT_PUBLISH_GATE_H
#define GPT_PUBLISH_GATE_H

#include "core/json_writer.h"
#include "core/options.h"
#include "store/job.h"
#include "store/progress.h"

/* What was measured, and decided. */
typedef struct GptGate
{
	int32 current; /* number of the model's current version; 0: there is none, or no gate */
	double current_value;
	double new_value;
	bool passes;
} GptGate;

/*
 * Before the training: finds the current version of the model that the job makes, and measures it,
 * so that an error in the query or the metric shows at once. Without option "publish_if", and
 * without such a version, every version passes.
 */
extern void gpt_gate_begin(GptGate *gate, const GptJob *job, const GptTrainOptions *options,
						   GptProgress *progress);

/*
 * Measures the version that is current now, and version number `made`, which is partial, on the
 * same rows under one snapshot, and decides. beta: with which rows of preferences are measured; 0
 * for other rows. Raises the errors of gpt_evaluate.
 */
extern void gpt_gate_decide(GptGate *gate, const GptJob *job, const GptTrainOptions *options,
							double beta, int32 made, GptProgress *progress);

/* The decision as a remark for the job's note, palloc'd, and as a member of its report. */
extern char *gpt_gate_note(const GptGate *gate, const GptJob *job, const GptTrainOptions *options,
						   int32 made);
extern void gpt_gate_report(GptJsonWriter *json, const GptGate *gate,
							const GptTrainOptions *options);

#endif /* GPT_PUBLISH_GATE_H */
