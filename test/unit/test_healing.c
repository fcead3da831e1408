/*
 * test/unit/test_healing.c
 *
 * Prompts that end within a token: the order of tokens by their bytes, and the first token against
 * a naive distribution over all ways to go on with the prompt's bytes; alone, together, in chunks.
 */
#include "engine/many.h"
#include "serve_support.h"

#define SAMPLE "test/fixtures/tokenizer/shakespeare.txt"
#define TOKENS 600
#define CONTEXT 90
#define TEXTS 64
#define DEEPEST 16

static char *sample;
static size_t sample_size;

/* A way to go on: a token, and how many of the prompt's last tokens it stands in the place of. */
typedef struct Way
{
	int32_t id;
	size_t n_given; /* of its bytes, those that the prompt has */
	int dropped;
	double logprob; /* after its boundary */
} Way;

typedef struct Ways
{
	Way ways[TOKENS * (DEEPEST + 1)];
	int n;
	/* log p of the prompt's tokens up to there and, but for 0, of one of the ways */
	double boundaries[DEEPEST + 1];
} Ways;

static LmTokenizer *
train_tokenizer(const LmHost *host)
{
	LmTokenizer *tokenizer = NULL;
	LmBpeTrainer *trainer;
	int n_reached;
	LmError error;
	FILE *file = fopen(SAMPLE, "rb");

	sample = malloc(1 << 20);
	sample_size = file ? fread(sample, 1, 1 << 20, file) : 0;
	if (file)
		fclose(file);
	trainer = lm_bpe_trainer_create(host, NULL, &error);
	if (sample_size > 0 && lm_bpe_trainer_add(trainer, sample, sample_size, &error))
		tokenizer = lm_tokenizer_create(
			host, lm_bpe_trainer_finish(trainer, TOKENS, &n_reached, &error), &error);
	if (!tokenizer || n_reached != TOKENS)
	{
		printf("Bail out! no tokenizer\n");
		exit(1);
	}
	lm_bpe_trainer_free(trainer);
	return tokenizer;
}

/* ---- The order of tokens ------------------------------------------------ */

static bool
begins(LmBytes token, LmBytes beginning)
{
	return token.size > beginning.size && memcmp(token.data, beginning.data, beginning.size) == 0;
}

static bool
same_longer(const LmTokenizer *tokenizer, LmBytes beginning)
{
	LmTokenRange range = lm_tokenizer_longer(tokenizer, beginning);
	int n = 0;

	for (int32_t id = 0; id < TOKENS; id++)
		n += begins(lm_tokenizer_bytes(tokenizer, id), beginning);
	for (int32_t place = range.first; place < range.end; place++)
		n -= begins(lm_tokenizer_bytes(tokenizer, lm_tokenizer_ordered(tokenizer, place)),
					beginning);
	return n == 0 && range.end - range.first <= TOKENS;
}

/* Beginnings that tokens have, and others; that of the special token among them. */
static bool
all_same_longer(const LmTokenizer *tokenizer)
{
	bool same = same_longer(tokenizer, (LmBytes){"<|endof", 7}) &&
				same_longer(tokenizer, (LmBytes){"\xff\xff", 2});

	for (int byte = 0; byte < 256; byte++)
	{
		char one = (char) byte;

		same = same && same_longer(tokenizer, (LmBytes){&one, 1});
	}
	for (size_t at = 0; at + 8 < 4000; at += 3)
		same = same && same_longer(tokenizer, (LmBytes){sample + at, 1 + at % 8});
	return same;
}

static void
test_order(const LmHost *host, LmTokenizer *tokenizer)
{
	LmTokenizer *fork, *bytes = bytes_tokenizer(host), *opened;
	LmTokenRange none = lm_tokenizer_longer(tokenizer, (LmBytes){" ", 1});
	size_t size;
	void *image;
	LmError error;

	ok(none.first == none.end, "a tokenizer that is not sorted finds nothing");
	ok(lm_tokenizer_sort(tokenizer, &error) && all_same_longer(tokenizer),
	   "the tokens that begin with some bytes are those of a naive search");
	fork = lm_tokenizer_fork(tokenizer, host, &error);
	ok(all_same_longer(fork), "for a fork too");
	lm_tokenizer_free(fork);
	size = lm_tokenizer_image_size(tokenizer);
	image = aligned_alloc(64, size);
	lm_tokenizer_image_build(image, tokenizer);
	opened = lm_tokenizer_open(host, image, size, &error);
	ok(all_same_longer(opened) && lm_tokenizer_sort(opened, &error), "an image has the order");
	lm_tokenizer_free(opened);
	free(image);
	ok(lm_tokenizer_sort(bytes, &error) && lm_tokenizer_longer(bytes, (LmBytes){"a", 1}).end == 0,
	   "no token of bytes is longer than another");
	lm_tokenizer_free(bytes);
}

/* ---- The first token ---------------------------------------------------- */

static void
log_softmax(double *logprobs, LmEngine *engine, const LmHost *host, const TestModel *test,
			const int32_t *ids, int n)
{
	LmInput inputs[CONTEXT];
	void *workspace =
		aligned_alloc(64, lm_infer_workspace(test->model, n, 1, lm_engine_threads(engine)));
	float row[TOKENS];
	LmSequence sequence;
	LmPages *pages;
	double sum = 0;
	LmError error;

	pages = lm_pages_create(host, test->model, 4, &error);
	lm_sequence_create(&sequence, host, test->model, &error);
	for (int i = 0; i < n; i++)
		inputs[i] = (LmInput){ids[i], 0, i, i == n - 1};
	lm_infer(row, engine, test->model, pages, &sequence, 1, inputs, n, workspace, &error);
	for (int i = 0; i < TOKENS; i++)
		sum += exp(row[i]);
	for (int i = 0; i < TOKENS; i++)
		logprobs[i] = row[i] - log(sum);
	lm_sequence_free(&sequence, pages, host);
	lm_pages_free(pages);
	free(workspace);
}

static bool
is_ascii(LmBytes bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		if ((unsigned char) bytes.data[i] >= 0x80 || bytes.data[i] == 0)
			return false;
	return bytes.size > 0;
}

/*
 * All ways after a prompt, each boundary by a pass of its own; those of whole ASCII characters
 * alone, and the end.
 */
static void
find_ways(Ways *ways, LmEngine *engine, const LmHost *host, const TestModel *test,
		  LmTokenizer *tokenizer, const char *prompt)
{
	int32_t ids[CONTEXT] = {TOKENS - 1};
	LmTokens tokens = {0};
	double logprobs[TOKENS], path = 0;
	int size;
	LmError error;

	ways->n = 0;
	for (int i = 0; i <= DEEPEST; i++)
		ways->boundaries[i] = -INFINITY;
	lm_tokenizer_encode(tokenizer, &tokens, prompt, strlen(prompt), &error);
	size = (int) tokens.count + 1;
	memcpy(ids + 1, tokens.ids, tokens.count * sizeof *ids);
	/* path: log p of the kept tokens after the deepest boundary, so the deepest comes first */
	for (int dropped = size - 1 < DEEPEST ? size - 1 : DEEPEST; dropped >= 0; dropped--)
	{
		LmBytes rest = {prompt, strlen(prompt)};
		double mass = 0;

		for (int i = 1; i < size - dropped; i++)
		{
			size_t given = lm_tokenizer_bytes(tokenizer, ids[i]).size;

			rest = (LmBytes){rest.data + given, rest.size - given};
		}
		log_softmax(logprobs, engine, host, test, ids, size - dropped);
		for (int32_t id = 0; id < TOKENS; id++)
		{
			LmBytes bytes = lm_tokenizer_bytes(tokenizer, id);

			if (dropped == 0 ? id != TOKENS - 1 && !is_ascii(bytes)
							 : !is_ascii(bytes) || !begins(bytes, rest))
				continue;
			ways->ways[ways->n++] = (Way){id, rest.size, dropped, logprobs[id]};
			mass += exp(logprobs[id]);
		}
		ways->boundaries[dropped] = path + (dropped > 0 ? log(mass) : 0);
		if (dropped > 0)
			path += logprobs[ids[size - dropped]];
	}
	lm_tokens_free(host, &tokens);
}

/* The first token, and how many of its bytes the prompt had. */
static Way
first_way(LmSession *session, LmTokenizer *tokenizer, const char *prompt,
		  const LmSampling *sampling)
{
	bool truncated, done;
	LmBytes piece;
	LmError error;
	LmGeneration *generation =
		lm_generation_start(session, prompt, strlen(prompt), sampling, &truncated, &error);
	Way way = {.id = -1};

	if (generation && next_piece(session, generation, &piece, &done, &error))
	{
		way.id = lm_generation_token(generation);
		if (way.id < 0)
			way.id = TOKENS - 1;
		else
			way.n_given = lm_tokenizer_bytes(tokenizer, way.id).size - piece.size;
	}
	lm_generation_free(generation);
	return way;
}

static int
find_way(const Ways *ways, Way wanted)
{
	for (int i = 0; i < ways->n; i++)
		if (ways->ways[i].id == wanted.id && ways->ways[i].n_given == wanted.n_given)
			return i;
	return -1;
}

/* The most likely token at the most likely boundary. */
static int
most_likely(const Ways *ways)
{
	int boundary = 0, best = -1;

	for (int i = 1; i <= DEEPEST; i++)
		boundary = ways->boundaries[i] > ways->boundaries[boundary] ? i : boundary;
	for (int i = 0; i < ways->n; i++)
		if (ways->ways[i].dropped == boundary &&
			(best < 0 || ways->ways[i].logprob > ways->ways[best].logprob))
			best = i;
	return best;
}

/* Of a way, at a temperature: that of its boundary among boundaries, and its own after it. */
static double
probability_of(const Ways *ways, int way, double temperature)
{
	double boundaries = 0, tokens = 0, boundary = ways->boundaries[ways->ways[way].dropped];

	for (int i = 0; i <= DEEPEST; i++)
		boundaries += exp((ways->boundaries[i] - boundary) / temperature);
	for (int i = 0; i < ways->n; i++)
		if (ways->ways[i].dropped == ways->ways[way].dropped)
			tokens += exp((ways->ways[i].logprob - ways->ways[way].logprob) / temperature);
	return 1 / boundaries / tokens;
}

/*
 * How far the frequencies of many draws are from the naive distribution: half the sum of
 * differences.
 */
static double
distance(const Ways *ways, LmSession *session, LmTokenizer *tokenizer, const char *prompt,
		 LmSampling sampling, int n_draws)
{
	int *counts = calloc((size_t) ways->n, sizeof *counts);
	double sum = 0;

	for (int i = 0; i < n_draws; i++)
	{
		int way;

		sampling.seed = (uint64_t) i;
		way = find_way(ways, first_way(session, tokenizer, prompt, &sampling));
		if (way >= 0)
			counts[way]++;
	}
	for (int i = 0; i < ways->n; i++)
		sum +=
			fabs(probability_of(ways, i, sampling.temperature) - (double) counts[i] / n_draws) / 2;
	free(counts);
	return sum;
}

static void
test_first(LmEngine *engine, const LmHost *host, const TestModel *test, LmTokenizer *tokenizer)
{
	static const char *const prompts[] = {"I am a",	   "What, is ",	  "the worl", "O",
										  " ",		   "my l",		  "Fir",	  "Speak, spe",
										  "You are\n", "the the the", "Wher"};
	LmSession *session = create_session(engine, test, tokenizer);
	Ways *ways = malloc(sizeof *ways);
	int n_prompts = (int) (sizeof prompts / sizeof *prompts), n_healed = 0, greedy = 0, narrow = 0;
	double healed_distance = 0, unhealed = 0;

	for (int i = 0; i < n_prompts; i++)
	{
		LmSampling sampling = {
			.max_tokens = 4, .temperature = 0, .top_p = 1, .repetition_penalty = 1, .heal = true};
		int best;

		find_ways(ways, engine, host, test, tokenizer, prompts[i]);
		best = most_likely(ways);
		n_healed += ways->ways[best].n_given > 0;
		greedy += find_way(ways, first_way(session, tokenizer, prompts[i], &sampling)) == best;
		sampling.temperature = 0.2;
		sampling.top_k = 1;
		narrow += find_way(ways, first_way(session, tokenizer, prompts[i], &sampling)) == best;
		sampling.top_k = 0;
		healed_distance =
			fmax(healed_distance, distance(ways, session, tokenizer, prompts[i], sampling, 4000));
		sampling.heal = false;
		unhealed = fmax(unhealed, distance(ways, session, tokenizer, prompts[i], sampling, 200));
	}
	ok(n_healed > 2 && n_healed < n_prompts,
	   "the most likely way is within a token after some of the prompts: %d", n_healed);
	is_int(greedy, n_prompts, "greedy takes the most likely token at the most likely boundary");
	is_int(narrow, n_prompts, "top_k 1 too");
	ok(healed_distance < 0.1, "draws have the distribution of the ways: %.3f from it",
	   healed_distance);
	ok(unhealed > 0.3, "which without healing they have not: %.3f", unhealed);
	free(ways);
	lm_session_free(session);
}

/* ---- Together ----------------------------------------------------------- */

static char *
generate_alone(size_t *size, LmSession *session, const LmRequest *request)
{
	char *text = malloc(1 << 14);
	bool truncated, done;
	LmError error;
	LmGeneration *generation =
		lm_generation_start(session, request->prompt.data, request->prompt.size, &request->sampling,
							&truncated, &error);

	*size = 0;
	done = generation == NULL;
	while (!done)
	{
		LmBytes piece;

		if (!next_piece(session, generation, &piece, &done, &error))
			break;
		memcpy(text + *size, piece.data, piece.size);
		*size += piece.size;
	}
	lm_generation_free(generation);
	return text;
}

/* Cuts of the sample of all lengths, many with a beginning in common, some beyond the context. */
static void
ask(LmRequest *requests)
{
	static const LmBytes stops[] = {{"e", 1}, {"th", 2}};

	for (int i = 0; i < TEXTS; i++)
	{
		size_t begin = i % 4 == 0 ? (size_t) i * 37 : 0, size = i % 9 == 0 ? 600 + (size_t) i
																: i % 4 == 0
																	? (size_t) (i % 7)
																	: 90 + (size_t) (i * 3);
		LmSampling sampling = {.max_tokens = 1 + i % 12,
							   .temperature = i % 3,
							   .top_p = i % 5 == 0 ? 0.7 : 1,
							   .repetition_penalty = i % 3 == 0 ? 1.3 : 1,
							   .seed = (uint64_t) i,
							   .n_stops = i % 2 == 0 ? 2 : 0,
							   .stops = stops,
							   .heal = i % 8 != 7};

		requests[i] = (LmRequest){.task = LM_TASK_GENERATE,
								  .prompt = {sample + begin, size},
								  .text = {"", 0},
								  .sampling = sampling};
	}
}

static void
test_together(LmEngine *engine, const TestModel *test, LmTokenizer *tokenizer)
{
	static const int sequences[] = {1, 5, 64};
	LmSession *session = create_session(engine, test, tokenizer);
	LmRequest *requests = malloc(sizeof(LmRequest) * TEXTS);
	int different = 0, healed = 0;
	LmError error;

	for (int k = 0; k < 3; k++)
	{
		LmMany *many = lm_many_create(session, sequences[k], 5 + 8 * k, &error);
		bool done = false;

		ask(requests);
		lm_many_start(many, requests, TEXTS, &error);
		while (!done && lm_many_step(many, &done, &error))
			continue;
		for (int i = 0; i < TEXTS; i++)
		{
			LmRequest without = requests[i];
			size_t size;
			char *text = generate_alone(&size, session, &requests[i]);

			different += requests[i].error.code != LM_OK || size != requests[i].output.size ||
						 memcmp(text, requests[i].output.data, size) != 0;
			free(text);
			without.sampling.heal = false;
			text = generate_alone(&size, session, &without);
			healed +=
				size != requests[i].output.size || memcmp(text, requests[i].output.data, size) != 0;
			free(text);
		}
		lm_many_free(many);
	}
	ok(different == 0, "prompts together have the bits of each alone, with %d threads; differ: %d",
	   lm_engine_threads(engine), different);
	ok(healed > TEXTS / 2, "and many of them are healed: %d", healed);
	free(requests);
	lm_session_free(session);
}

/* log p of a way by its boundary and after it, up to a constant; the end is no way of a search. */
static double
logprob_of(const Ways *ways, int number)
{
	const Way *way = &ways->ways[number];
	double mass = 0;

	for (int i = 0; i < ways->n; i++)
		if (ways->ways[i].dropped == way->dropped)
			mass += exp(ways->ways[i].logprob);
	return ways->boundaries[way->dropped] + way->logprob - (way->dropped > 0 ? log(mass) : 0);
}

/* A beam search compares the ways of all boundaries: its first token is the best of all. */
static void
test_beams(LmEngine *engine, const LmHost *host, const TestModel *test, LmTokenizer *tokenizer)
{
	static const char *const prompts[] = {"I am a", "What, is ",  "the worl",  "O",	  " ",
										  "my l",	"Speak, spe", "You are\n", "Wher"};
	LmSession *session = create_session(engine, test, tokenizer);
	Ways *ways = malloc(sizeof *ways);
	int n_prompts = (int) (sizeof prompts / sizeof *prompts), same = 0, n_healed = 0;
	LmError error;
	LmMany *many = lm_many_create(session, 3, 9, &error);

	for (int i = 0; i < n_prompts; i++)
	{
		LmRequest request = {
			.task = LM_TASK_GENERATE,
			.prompt = {prompts[i], strlen(prompts[i])},
			.text = {"", 0},
			.sampling = {
				.max_tokens = 1, .top_p = 1, .repetition_penalty = 1, .heal = true, .beams = 3}};
		bool done = false;
		int best = 0;
		LmBytes bytes;

		find_ways(ways, engine, host, test, tokenizer, prompts[i]);
		for (int k = 1; k < ways->n; k++)
			best = logprob_of(ways, k) > logprob_of(ways, best) ? k : best;
		bytes = lm_tokenizer_bytes(tokenizer, ways->ways[best].id);
		lm_many_start(many, &request, 1, &error);
		while (!done && lm_many_step(many, &done, &error))
			;
		same += request.output.size == bytes.size - ways->ways[best].n_given &&
				memcmp(request.output.data, bytes.data + ways->ways[best].n_given,
					   request.output.size) == 0;
		n_healed += ways->ways[best].n_given > 0;
	}
	ok(same == n_prompts && n_healed > 2,
	   "the best token of all boundaries comes first in a beam search: %d of %d, %d healed", same,
	   n_prompts, n_healed);
	free(ways);
	lm_many_free(many);
	lm_session_free(session);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmConfig config = small_config();
	LmTokenizer *tokenizer = train_tokenizer(&host);
	LmEngine *engine;
	TestModel test;

	config.vocabulary = TOKENS;
	config.context = CONTEXT;
	test = test_model(&host, &config, 7, 0.25f);
	test_order(&host, tokenizer);
	engine = start_engine(&host, 1);
	test_first(engine, &host, &test, tokenizer);
	test_beams(engine, &host, &test, tokenizer);
	test_together(engine, &test, tokenizer);
	lm_engine_stop(engine);
	engine = start_engine(&host, 4);
	test_together(engine, &test, tokenizer);
	lm_engine_stop(engine);
	test_model_free(&test);
	lm_tokenizer_free(tokenizer);
	free(sample);
	return done_testing();
}
