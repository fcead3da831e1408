-- texts that should be found: training, evaluation, embeddings
SET client_min_messages = warning;
CREATE TABLE question AS SELECT i, (ARRAY['my parcel', 'the screen', 'a refund', 'the battery', 'your shop', 'this invoice'])[i % 6 + 1] || (ARRAY[' please', ' again', ' today', ' now'])[i / 6 % 4 + 1] AS asked,
	(ARRAY['Delivery takes long', 'Glass breaks', 'Money comes back', 'Charge it at night', 'We open at nine', 'Taxes are in it'])[i % 6 + 1] AS answer,
	(ARRAY['Glass breaks', 'Money comes back', 'Charge it at night', 'We open at nine', 'Taxes are in it', 'Delivery takes long'])[i % 6 + 1] AS wrong
	FROM generate_series(0, 95) i;
SELECT gpt_train('plain', 'SELECT asked || '': '' || answer FROM question',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 2, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT metric, round(value::numeric, 1) AS value FROM gpt_evaluate('plain', 'SELECT asked AS query, answer AS positive FROM question') WHERE metric IN ('documents', 'skipped');
SELECT gpt_finetune('plain', 'SELECT asked AS query, answer AS positive FROM question', '{"into": "found", "steps": 60, "batch_size": 48, "learning_rate": 0.01, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT task FROM gpt_versions WHERE model = 'found';
SELECT (measures->>'recall_at_1')::float8 > 0.9 AS learnt FROM gpt_train_log WHERE job = :job ORDER BY step DESC LIMIT 1;
SELECT a.metric, a.value > b.value AS better, a.value > 0.95 AS found FROM gpt_evaluate('found', 'SELECT asked AS query, answer AS positive FROM question') a
	JOIN gpt_evaluate('plain', 'SELECT asked AS query, answer AS positive FROM question') b USING (metric) WHERE metric IN ('recall_at_1', 'mean_reciprocal_rank') ORDER BY 1;
SELECT cardinality(gpt_embed('found', 'my parcel')) AS numbers, gpt_embed('found', 'my parcel') = gpt_embed('found', 'my parcel', 'trained') AS by_default, cardinality(gpt_embed('found', 'my parcel', 'rarity')) AS rarity,
	gpt_embed('found', '') IS NULL AS empty, gpt_similarity('found', 'my parcel', 'Delivery takes long') > gpt_similarity('found', 'my parcel', 'Glass breaks') AS alike;
SELECT gpt_embed('found', 'my parcel') = v AS of_many FROM gpt_embed('found', ARRAY['my parcel', 'Glass breaks']) v LIMIT 1;

-- with a negative, as an adapter, and the same for any number of threads
SELECT gpt_finetune('plain', 'SELECT asked AS query, answer AS positive, wrong AS negative FROM question', '{"into": "against", "method": "lora", "steps": 3, "threads": 1, "validation_fraction": 0.1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('plain', 'SELECT asked AS query, answer AS positive, wrong AS negative FROM question', '{"into": "again", "method": "lora", "steps": 3, "threads": 2, "validation_fraction": 0.1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT measures ? 'validation_recall_at_1' AS measured FROM gpt_train_log WHERE job = :job ORDER BY step LIMIT 1;
SELECT gpt_embed('against', 'a refund') = gpt_embed('again', 'a refund') AS same_bits, cardinality(gpt_embed('again', 'a refund')) AS numbers;
SELECT gpt_finetune('found', 'SELECT asked AS query, answer AS positive FROM question', '{"steps": 2, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- only dropout tells a text from itself
SELECT gpt_finetune('plain', 'SELECT asked AS query, asked AS positive FROM question', '{"into": "noise", "steps": 1, "validation_fraction": 0}') AS noise \gset
SELECT gpt_wait(:noise, '300 s');
SELECT gpt_finetune('plain', 'SELECT asked AS query, answer AS positive FROM question', '{"into": "noise", "steps": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT (SELECT conditions -> 'dropout' FROM gpt_jobs WHERE job = :noise) AS same_text, (SELECT conditions -> 'dropout' FROM gpt_jobs WHERE job = :job) AS others;

-- mistakes
SELECT gpt_finetune('found', 'SELECT asked FROM question');
SELECT gpt_embed('plain', 'x', 'trained');
SELECT gpt_generate('found', 'my parcel');
SELECT gpt_score('against', 'my parcel');
SELECT * FROM gpt_evaluate('found', 'SELECT asked FROM question');
SELECT gpt_export('found');
SELECT gpt_export('against');

SELECT count(gpt_drop_model(model, true)) FROM unnest(ARRAY['found', 'against', 'again', 'noise', 'plain']) model;
DROP TABLE question;
