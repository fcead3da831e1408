/*
 * src/train/train_base.c
 *
 * A job goes in; the version whose weights it begins with comes out, and the options that this
 * version decides.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "core/lora_targets.h"
#include "core/statement.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "engine/model.h"
#include "engine/params.h"
#include "store/weights.h"
#include "train/train_architecture.h"
#include "train/train_base.h"
#include "train/train_plan.h"

/* Factor on the learning rate of a new training of that width. */
#define FINETUNE_RATE_SHARE 0.2
#define ADAPTER_RATE_SHARE 2.0

static GptVersion *base_of_finetune(const GptJob *job);
static GptVersion *own_partial(const GptJob *job, int64 *step);
static void take_labels(GptGivenTokenizer *given, const GptVersion *version);

GptTrainBase *
gpt_train_base_find(const GptJob *job, GptTrainOptions *options, bool lost)
{
	GptTrainBase *base = palloc0(sizeof(GptTrainBase));
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
	MemoryContextSwitchTo(transaction.context);
	base->version = lost ? own_partial(job, &base->step) : NULL;
	if (base->version == NULL && job->base != NULL)
		base->version = base_of_finetune(job);
	if (base->version != NULL)
	{
		gpt_catalog_check_use(base->version);
		gpt_train_check_method(options, base->version);
		options->file_type = gpt_train_base_type(base->version);
		base->full = base->version->base != NULL ? gpt_catalog_base(base->version) : base->version;
		base->tokenizer.spec = gpt_catalog_read_tokenizer(base->version->tokenizer);
		base->tokenizer.stored = true;
		memcpy(base->tokenizer.sha256, base->version->tokenizer, GPT_SHA256_SIZE);
		take_labels(&base->tokenizer, base->version);
	}
	gpt_transaction_commit(&transaction);
	if (base->version == NULL)
	{
		pfree(base);
		return NULL;
	}
	gpt_plan_take_shape(options, &base->version->config);
	if (base->step > 0)
		options->steps = job->steps;
	options->head_rate_is_open = options->head_rate_is_open && base->version->config.labels == 0;
	if (job->base != NULL && isnan(options->learning_rate))
		options->learning_rate =
			(gpt_options_lora(options) ? ADAPTER_RATE_SHARE : FINETUNE_RATE_SHARE) *
			Min(3e-3, 0.4 / base->version->config.channels);
	return base;
}

static void
take_labels(GptGivenTokenizer *given, const GptVersion *version)
{
	given->labels = version->labels;
	given->n_labels = version->config.labels;
	given->multi_label = version->config.multi_label;
	given->prompted = version->prompted;
	given->pair = version->config.pair;
	given->numbers = gpt_numbers_of(&version->config);
	given->extras = version->extras;
	given->search = gpt_catalog_search(&given->search_size, version);
}

void
gpt_train_base_labels(GptGivenTokenizer *given, const GptJob *job)
{
	GptTransaction transaction;
	const GptVersion *version;

	if (job->base == NULL || job->base_version <= 0)
		return;
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	version = gpt_catalog_version(psprintf("%s@%d", job->base, job->base_version), true);
	if (version != NULL)
		take_labels(given, version);
	gpt_transaction_commit(&transaction);
}

char *
gpt_train_base_since(const GptJob *job, GptTrainOptions *options, const GptTrainBase *base)
{
	int32 number = job->base_version > 0 ? job->base_version
				   : base != NULL		 ? base->version->version
										 : 0;
	GptTransaction transaction;
	const GptVersion *version;
	char *since;

	if (options->since == GPT_SINCE_EVER)
		return NULL;
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	version = gpt_catalog_version(psprintf("%s@%d", job->base, number), false);
	gpt_catalog_check_use(version);
	since = gpt_train_since(options, version);
	gpt_transaction_commit(&transaction);
	return since;
}

char *
gpt_train_since(GptTrainOptions *options, const GptVersion *version)
{
	char *column;
	char *since = gpt_catalog_watermark(&column, version);

	if (since == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\", version %d, has no watermark", version->model,
							   version->version),
						errhint("Train once on all rows with the option \"watermark\", the name of "
								"a column, and without \"since\".")));
	if (options->watermark != NULL && strcmp(options->watermark, column) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the watermark of model \"%s\", version %d, is of column \"%s\", not \"%s\"",
					version->model, version->version, column, options->watermark)));
	options->watermark = column;
	return since;
}

static void
raise_classifier(const GptVersion *version)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 version->config.number
				 ? errmsg("model \"%s\", version %d, is a regression model", version->model,
						  version->version)
				 : errmsg("model \"%s\", version %d, is a classifier of %d labels", version->model,
						  version->version, version->config.labels),
			 errdetail("The query has no column \"label\"."),
			 version->config.number ? errhint("Fine-tune it on rows with numbers.")
									: errhint("Fine-tune a classifier on rows with labels.")));
}

static void
check_labels(const LmParamTable *table, const GptVersion *version)
{
	/* Rows may have further labels, which come after those of the version. */
	if (version->config.labels > 0 && table->config.labels < version->config.labels)
		raise_classifier(version);
}

void
gpt_train_check_columns(const GptSourceShape *shape, const GptVersion *version)
{
	if (version->config.embedding > 0 && strcmp(shape->task->name, GPT_TASK_RETRIEVAL) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\", version %d, has a trained embedding", version->model,
							   version->version),
						errdetail("The query has no columns \"query\" and \"positive\"."),
						errhint("Fine-tune the model that it was made from.")));
	if (version->config.labels == 0)
		return;
	if (shape->label_column == 0 && shape->number_column == 0)
		raise_classifier(version);
	gpt_source_check_head(shape, &version->config);
}

static void
raise_other_adapter(const GptVersion *version, const char *option, const char *value)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("model \"%s\", version %d, is an adapter with %s %s", version->model,
				version->version, option, value),
		 errdetail("Its matrices are trained further as they are."),
		 errhint("Leave option \"%s\" out, or fold the adapter into its base with gpt_merge first.",
				 option)));
}

void
gpt_train_check_method(GptTrainOptions *options, const GptVersion *version)
{
	const LmConfig *config = &version->config;

	if (!gpt_options_lora(options) || version->base == NULL)
		return;
	if (options->rank != GPT_CHOSEN && options->rank != config->lora_rank)
		raise_other_adapter(version, "rank", psprintf("%d", config->lora_rank));
	if (!isnan(options->alpha) && (float) options->alpha != config->lora_alpha)
		raise_other_adapter(version, "alpha", psprintf("%g", config->lora_alpha));
	if (options->targets != NULL && gpt_options_targets(options) != config->lora_targets)
		raise_other_adapter(version, "targets", gpt_lora_targets_words(config->lora_targets));
	options->rank = config->lora_rank;
	options->alpha = config->lora_alpha;
	options->targets = gpt_lora_targets_words(config->lora_targets);
	if (isnan(options->lora_dropout))
		options->lora_dropout = config->lora_dropout;
}

int
gpt_train_base_type(const GptVersion *version)
{
	return gpt_weights_base_type(version->base != NULL ? gpt_catalog_base(version) : version)
		->number;
}

/* The matrices of an adapter, palloc'd. */
static float *
read_adapter(const LmParamTable *table, const GptVersion *version)
{
	float *block = MemoryContextAllocHuge(CurrentMemoryContext, table->total * sizeof(float));

	gpt_weights_read(block, table, version);
	return block;
}

/*
 * A GptTakeRows: puts rows of a version's parameter into the trainer's parameter of the same kind,
 * if it has one. A head of fewer labels fills the first ones; what has other columns than the
 * trainer's (the bag of many more labels) is left out, of a label's weights the bag's part.
 */
static void
put_rows(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	LmTrainer *trainer = into;
	const LmParamTable *table = lm_trainer_table(trainer);
	const LmParam *own = lm_kind_is_linear(param->kind) || lm_param_of_ngrams(param)
							 ? NULL
							 : lm_param_find(table, param->kind, param->layer);
	Size columns;
	float *to;

	if (own == NULL)
		return;
	columns = Min(param->columns, own->columns);
	if (param->columns != own->columns && param->kind == LM_BAG_EMBEDDING)
		return;
	if (param->columns != own->columns && param->kind == LM_LABEL_WEIGHT)
		columns = table->config.channels;
	to = lm_trainer_params(trainer) + own->offset + (Size) first_row * own->columns;
	for (int row = 0; row < n_rows; row++)
		memcpy(to + (Size) row * own->columns, rows + (Size) row * param->columns,
			   columns * sizeof(float));
}

/* A GptTakeRows: the same, of a classifier's head alone. */
static void
put_head(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	if (lm_param_in_head(param))
		put_rows(into, param, first_row, n_rows, rows);
}

/*
 * Reads all weights. The head of a classifier comes last, and keeps its initial values if the
 * version has none.
 */
static void
read_all(LmTrainer *trainer, const GptTrainBase *base)
{
	const LmParamTable *table = lm_trainer_table(trainer);
	LmParamTable *full = gpt_weights_table(&base->full->config);
	LmEngine *engine = lm_trainer_engine(trainer);
	LmParamTable *adapter_table;
	float *adapter;

	gpt_weights_scan(base->full, full, put_rows, trainer);
	if (base->version->base == NULL)
		return;
	adapter_table = gpt_weights_table(&base->version->config);
	adapter = read_adapter(adapter_table, base->version);
	for (int layer = 0; layer < lm_config_blocks(&table->config); layer++)
	{
		lm_adapter_merge(engine, lm_trainer_params(trainer), table, adapter, adapter_table, layer);
		gpt_stop_check();
	}
	gpt_weights_scan(base->version, adapter_table, put_head, trainer);
}

/* Where the parameters of a version go that an adapter rests on. */
typedef struct Below
{
	LmTrainer *trainer;
	bool head; /* of a classifier, trained further */
} Below;

/* A GptTakeRows. */
static void
put_below(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	const Below *below = into;

	if (lm_trainer_put_base(below->trainer, param->kind, param->layer, first_row, n_rows, rows))
		return;
	if (below->head)
		put_head(below->trainer, param, first_row, n_rows, rows);
}

/*
 * The frozen parameters; and a classifier's head where the trainer trains it. Both a
 * version that is an adapter and the trainer have the matrices of blocks first.
 */
static void
read_below_adapter(LmTrainer *trainer, const GptTrainBase *base, bool frozen_only)
{
	LmParamTable *full = gpt_weights_table(&base->full->config);
	Below below = {.trainer = trainer, .head = !frozen_only && base->version->base == NULL};

	gpt_weights_scan(base->full, full, put_below, &below);
	if (base->version->base == NULL || frozen_only)
		return;
	gpt_weights_scan(base->version, gpt_weights_table(&base->version->config), put_rows, trainer);
}

void
gpt_train_base_changed(const GptTrainBase *base)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("model \"%s\", version %d, is not the one that the training started from",
					base->version->model, base->version->version),
			 errdetail("The model was dropped or renamed since, and another one has its name."),
			 errhint("Submit a new job.")));
}

static void
read_base(LmTrainer *trainer, const GptTrainBase *base, bool frozen_only)
{
	if (lm_trainer_base(trainer) == NULL)
		read_all(trainer, base);
	else
		read_below_adapter(trainer, base, frozen_only);
}

void
gpt_train_base_read(LmTrainer *trainer, const GptTrainBase *base, bool frozen_only)
{
	GptTransaction transaction;

	if (!gpt_architecture_fits(&base->full->config, &lm_trainer_table(trainer)->config))
		gpt_train_base_changed(base);
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	check_labels(lm_trainer_table(trainer), base->version);
	read_base(trainer, base, frozen_only);
	gpt_transaction_commit(&transaction);
}

GptTrainBase *
gpt_train_base_named(const char *name)
{
	GptTrainBase *base = palloc0(sizeof(GptTrainBase));

	base->version = gpt_catalog_version(name, false);
	gpt_catalog_check_use(base->version);
	base->full = base->version->base != NULL ? gpt_catalog_base(base->version) : base->version;
	base->tokenizer.spec = gpt_catalog_read_tokenizer(base->version->tokenizer);
	base->tokenizer.stored = true;
	memcpy(base->tokenizer.sha256, base->version->tokenizer, GPT_SHA256_SIZE);
	take_labels(&base->tokenizer, base->version);
	return base;
}

void
gpt_train_base_read_frozen(LmTrainer *trainer, const GptTrainBase *base)
{
	if (!gpt_architecture_fits(&base->full->config, &lm_trainer_table(trainer)->config))
		gpt_train_base_changed(base);
	read_below_adapter(trainer, base, true);
}

void
gpt_train_base_read_here(LmTrainer *trainer, const GptTrainBase *base)
{
	if (!gpt_architecture_fits(&base->full->config, &lm_trainer_table(trainer)->config))
		gpt_train_base_changed(base);
	read_base(trainer, base, false);
}

/* The version that the row names; the first time, the current one, which the row then names. */
static GptVersion *
base_of_finetune(const GptJob *job)
{
	GptVersion *version;

	if (job->base_version > 0)
		return gpt_catalog_version(psprintf("%s@%d", job->base, job->base_version), false);
	version = gpt_catalog_version(job->base, false);
	gpt_job_set_base(job->number, version->version);
	return version;
}

/*
 * The last partial version of this job's own run; the job continues it if its checkpoint is lost.
 */
static GptVersion *
own_partial(const GptJob *job, int64 *step)
{
	GptStatement statement;
	int32 number = 0;

	if (job->steps == 0)
		return NULL;
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, job->model);
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(&job->run_id));
	if (gpt_statement_run(
			&statement, "SELECT version, step FROM %s.gpt_version WHERE model = $1 AND run_id = $2 "
						"AND state = 'partial' AND step > 0 ORDER BY version DESC LIMIT 1") > 0)
	{
		bool is_null;

		number = DatumGetInt32(gpt_statement_value(&statement, 0, 1, &is_null));
		*step = DatumGetInt64(gpt_statement_value(&statement, 0, 2, &is_null));
	}
	gpt_statement_end(&statement);
	return number > 0 ? gpt_catalog_version(psprintf("%s@%d", job->model, number), true) : NULL;
}
