-- what a training chooses by the rows where the options leave it open: family, optimizer, tokenizer, dropout

CREATE TABLE pair AS SELECT i || ' reversed:' AS prompt, reverse(i::text) AS completion, 'name' || i % 90 AS name, i % 2 AS label FROM generate_series(1, 200) i;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 2, "channels": 16, "context": 32, "steps": 1, "batch_size": 8}'::jsonb || further $$;
-- 95 % of the rows to learn decide: one in fifty may be as long as it likes, one in ten not
CREATE FUNCTION rows_of(n int, long int, every int) RETURNS SETOF text LANGUAGE SQL AS
	$$ SELECT lpad(i::text, CASE WHEN i % every = 0 THEN long ELSE n END, 'ab ') FROM generate_series(1, 100) i $$;
CREATE TABLE wanted (model text, query text, options jsonb);
INSERT INTO wanted VALUES
	('texts of 32 bytes', 'SELECT t FROM rows_of(32, 32, 1) t', '{}'),
	('texts of 33 bytes', 'SELECT t FROM rows_of(33, 33, 1) t', '{}'),
	('one text in 50 is long', 'SELECT t FROM rows_of(9, 300, 50) t', '{}'),
	('one text in 10 is long', 'SELECT t FROM rows_of(9, 300, 10) t', '{}'),
	('prompts, 64 bytes a row', 'SELECT t AS prompt, ''12345678'' AS completion FROM rows_of(56, 56, 1) t', '{}'),
	('prompts, 65 bytes a row', 'SELECT t AS prompt, ''123456789'' AS completion FROM rows_of(56, 56, 1) t', '{}'),
	('labels', 'SELECT name AS text, label FROM pair', '{}'),
	('joined', 'SELECT name FROM pair', '{"documents": "joined"}'),
	('a vocabulary is given', 'SELECT name FROM pair', '{"vocabulary": 260}'),
	('NFC is asked for', 'SELECT name FROM pair', '{"normalize": "NFC"}'),
	('bpe is given', 'SELECT name FROM pair', '{"tokenizer": "bpe"}'),
	('auto is given', 'SELECT name FROM pair', '{"tokenizer": "auto"}'),
	('bpe with a vocabulary', 'SELECT prompt, completion FROM pair', '{"tokenizer": "bpe", "vocabulary": 260}'),
	('another family and optimizer', 'SELECT name FROM pair', '{"family": "gpt2", "optimizer": "adamw"}'),
	('ten epochs of texts', 'SELECT name FROM pair', '{"steps": null, "epochs": 10}'),
	('ten epochs of prompts', 'SELECT prompt, completion FROM pair', '{"steps": null, "epochs": 10}'),
	('texts, nothing given', 'SELECT name FROM pair WHERE label = 0 LIMIT 20', '{"steps": null, "validation_fraction": 0}'),
	('prompts, nothing given', 'SELECT prompt, completion FROM pair LIMIT 20', '{"steps": null, "validation_fraction": 0}'),
	('dropout is given', 'SELECT prompt, completion FROM pair', '{"dropout": 0.3}');
CREATE TABLE run AS SELECT model, gpt_train(model, query, tiny(options)) AS job FROM wanted;
SELECT count(gpt_wait(job, '300 s')) FROM run;
SELECT w.model, split_part(m.tokenizer, '@', 1) AS tokenizer, m.architecture, j.conditions ->> 'optimizer' AS optimizer,
	round((j.conditions ->> 'dropout')::numeric, 2) AS dropout, round((j.conditions ->> 'epochs')::numeric, -1) AS tens_of_epochs, j.error
FROM run w JOIN gpt_jobs j USING (job) LEFT JOIN gpt_models m ON m.model = w.model ORDER BY w.model COLLATE "C";

-- the automatic family is modern; each of its switches can be taken back
SELECT DISTINCT config - '{layers,heads,channels,context,vocabulary,dropout,labels,multi_label,prompt,architecture,encoder_layers,model_type}'::text[] AS config
FROM gpt_version WHERE model IN (SELECT model FROM wanted WHERE model <> 'another family and optimizer') AND config ->> 'labels' IS NULL;
SELECT config - '{layers,heads,channels,context,vocabulary,dropout}'::text[] AS config FROM gpt_version WHERE model = 'another family and optimizer';

-- tokens a step, by those of all epochs: muon takes larger steps, of which it needs fewer
CREATE TABLE step AS SELECT optimizer, gpt_train('steps of ' || optimizer, 'SELECT name FROM pair', jsonb_build_object('layers', 1, 'heads', 1, 'channels', 8,
	'context', 64, 'epochs', 120, 'validation_fraction', 0, 'optimizer', optimizer)) AS job FROM unnest('{muon,adamw}'::text[]) optimizer;
SELECT optimizer, gpt_wait(job, '300 s') FROM step;
SELECT optimizer, (conditions ->> 'batch_size')::integer * (conditions ->> 'accumulate')::integer * 64 AS tokens,
	steps BETWEEN 125 AND 250 AS few_steps FROM step JOIN gpt_jobs USING (job) ORDER BY 1;
SELECT count(gpt_drop_model('steps of ' || optimizer)) FROM step;

-- a fine-tune has adamw, unless muon is asked for
SELECT gpt_finetune('ten epochs of texts', 'SELECT name FROM pair', '{"steps": 1}') AS plain,
	gpt_finetune('ten epochs of prompts', 'SELECT prompt, completion FROM pair', '{"steps": 1, "optimizer": "muon"}') AS muon \gset
SELECT gpt_wait(:plain, '300 s'), gpt_wait(:muon, '300 s');
SELECT conditions ->> 'optimizer' AS optimizer FROM gpt_jobs WHERE job IN (:plain, :muon) ORDER BY job;
SELECT gpt_finetune('prompts, nothing given', 'SELECT prompt, completion FROM pair LIMIT 20', '{"batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT round((conditions ->> 'dropout')::numeric, 2) AS dropout, round((conditions ->> 'epochs')::numeric, -1) AS tens_of_epochs FROM gpt_jobs WHERE job = :job;

-- no tokenizer has the name of a kind
SELECT gpt_train_tokenizer('bpe', 'SELECT name FROM pair');
SELECT gpt_train_tokenizer('auto', 'SELECT name FROM pair');
SELECT gpt_train('m', 'SELECT name FROM pair', '{"tokenizer": "bpe", "family": "gpt3"}');
SELECT count(gpt_drop_model(model)) FROM wanted;
DROP TABLE pair, wanted, run, step;
DROP FUNCTION tiny, rows_of;
