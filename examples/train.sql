-- examples/train.sql - trains the model "shakespeare" in the background and prints the number of the job. Short texts and
-- little time: a small vocabulary, context and batch give many steps.
SELECT gpt_train('shakespeare', $$SELECT body FROM speech$$,
	'{"minutes": 1.5, "vocabulary": 512, "context": 128, "batch_size": 8, "seed": 1}');
