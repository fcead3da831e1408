-- examples/train.sql - trains the model "shakespeare" in the background and prints the number of the job.
SELECT gpt_train('shakespeare', $$SELECT body FROM speech$$, '{"minutes": 1.5, "seed": 1}');
