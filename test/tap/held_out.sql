-- test/tap/held_out.sql - what is held out to measure a model on: as many rows and tokens as were asked for, or a note; the rest is learnt.
-- What a row of the table of cases has to learn, it has a character of its own for: the tokenizer "chars" has those that are learnt.
-- One schema is enough: the file tests validation rows, and others call the same functions in the second schema.
SELECT no_plan();
SET client_min_messages = error;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "chars", "steps": 1, "batch_size": 4, "publish": "last"}'::jsonb || further $$;
CREATE TABLE tried (
	name text,
	query text,
	options jsonb DEFAULT '{}',
	held_out int, -- rows
	tokens_as_asked boolean DEFAULT true,
	note text, -- a pattern
	learnt int, -- characters beyond U+0100
	job bigint);

INSERT INTO tried (name, query, held_out, learnt) VALUES
	('five prompts', $$SELECT chr(1000 + i % 5) AS prompt, 'item ' || i AS completion FROM generate_series(1, 500) i$$, 25, 5),
	('one prompt', $$SELECT chr(1000) AS prompt, 'item ' || i AS completion FROM generate_series(1, 500) i$$, 25, 1),
	('two prompts, 999 to 1', $$SELECT chr(1000 + (i = 1)::int) AS prompt, 'item ' || i AS completion FROM generate_series(1, 1000) i$$, 50, 2),
	('a text in three of five rows', $$SELECT CASE WHEN i % 5 < 3 THEN 'fast' || chr(1000) ELSE 'lamp ' || i END AS body FROM generate_series(1, 1000) i$$, 50, 1),
	('labels, 199 to 1', $$SELECT 'item ' || i || CASE WHEN i % 200 = 0 THEN chr(1000) ELSE '' END AS body, i % 200 = 0 AS label FROM generate_series(1, 200) i$$, 10, 1),
	('rows of unequal length', $$SELECT i || repeat(' item', 1 + (1000 / i)) AS body FROM generate_series(1, 400) i$$, 20, 0);
INSERT INTO tried (name, query, options, held_out, learnt) VALUES
	('forty prompts, a thousandth', $$SELECT chr(1000 + i % 40) AS prompt, 'item ' || i AS completion FROM generate_series(1, 2000) i$$, '{"validation_fraction": 0.001}', 2, 40),
	('two prompts, half', $$SELECT chr(1000 + i % 2) AS prompt, 'item ' || i AS completion FROM generate_series(1, 100) i$$, '{"validation_fraction": 0.5}', 50, 2),
	('sets of labels', $$SELECT 'item ' || i AS body, CASE i WHEN 1 THEN ARRAY['rare', 'x'] WHEN 2 THEN '{}' ELSE ARRAY['x'] END AS label FROM generate_series(1, 20) i$$, '{"validation_fraction": 0.5}', 10, 0);
INSERT INTO tried (name, query, options, held_out, tokens_as_asked, note, learnt) VALUES
	('five rows', $$SELECT chr(999 + i) || ' is a line' AS body FROM generate_series(1, 5) i$$, '{}', 0, false, 'the job holds out no row and measures no validation loss: 5 % of 5 rows is less than one; option "validation_query"%', 5),
	('equal rows', $$SELECT chr(1000) || ' is a line' AS body FROM generate_series(1, 50) i$$, '{}', 0, false, '%: all rows are equal;%', 1),
	('prompts of equal rows', $$SELECT chr(1000 + i % 20) AS prompt, 'item ' || i % 20 AS completion FROM generate_series(1, 200) i$$, '{}', 0, false,
	 '%: frequent rows train the model, and every prompt of several rows keeps a training row;%', 20),
	('a long row', $$SELECT string_agg('works very well ' || i, ' ') || ' is it' AS body FROM generate_series(1, 305) i UNION ALL SELECT 'note ' || i FROM generate_series(1, 5) i$$,
	 '{}', 0, true, 'the job holds out the last 5 % of the longest row (99.% of the text) and no other row', 0),
	('a single text', $$SELECT string_agg('works very well ' || i, ' ') AS body FROM generate_series(1, 305) i$$, '{}', 0, true, 'the job holds out the last 5 % of the text', 0),
	('a long row with a prompt', $$SELECT 'p' || i AS prompt, repeat('item ' || i, CASE i WHEN 1 THEN 10000 ELSE 1 END) AS completion FROM generate_series(1, 100) i$$, '{}', 5, false,
	 'the job holds out 5 rows (5 \%), with % of the tokens, instead of 5 \%: a few long rows have most of the text', 0);

UPDATE tried SET job = gpt_train('held ' || name, query, tiny(options));
SELECT is(gpt_wait(job, '300 s'), 'succeeded', name || ': it is trained') FROM tried;
SELECT is((conditions->'validation_documents')::int, held_out, name || ': ' || held_out || ' rows are held out') FROM tried JOIN gpt_jobs USING (job);
SELECT is((conditions->'validation_tokens')::int BETWEEN 0.5 * fraction * tokens AND 1.5 * fraction * tokens, tokens_as_asked,
	name || ': tokens are ' || CASE WHEN tokens_as_asked THEN 'as asked' ELSE 'not as asked' END)
FROM tried JOIN gpt_jobs j USING (job),
	LATERAL (SELECT COALESCE((tried.options->>'validation_fraction')::numeric, 0.05) AS fraction,
		(conditions->'validation_tokens')::int + (conditions->'training_tokens')::int AS tokens) x;
SELECT CASE WHEN tried.note IS NULL THEN unalike(COALESCE(j.note, ''), '%holds out %', name || ': there is no note') ELSE alike(j.note, tried.note || '%', name || ': the note says it') END
FROM tried JOIN gpt_jobs j USING (job);
SELECT is((m.validation_loss > 0), NULLIF(held_out > 0 OR tokens_as_asked, false), name || ': it is measured where something is held out')
FROM tried JOIN gpt_models m ON model = 'held ' || name;
SELECT is((SELECT count(*) FROM generate_series(999, 1040) c WHERE gpt_detokenize(m.model, gpt_tokenize(m.model, chr(c))) = chr(c))::int, learnt, name || ': everything is learnt')
FROM tried JOIN gpt_models m ON model = 'held ' || name;

-- the context: a single text, and a long one among notes, are long
SELECT gpt_train('one', $$SELECT string_agg('works very well ' || i, ' ') AS body FROM generate_series(1, 305) i$$, tiny() - 'context') AS one \gset
SELECT gpt_train('few', $$SELECT 'note ' || i || repeat(' and so on', CASE i WHEN 1 THEN 500 ELSE 1 END) AS body FROM generate_series(1, 100) i$$, tiny() - 'context') AS few \gset
SELECT gpt_train('notes', $$SELECT 'note ' || i AS body FROM generate_series(1, 100) i$$, tiny() - 'context') AS notes \gset
SELECT is(gpt_wait(job, '300 s'), 'succeeded', 'the context is chosen') FROM unnest(ARRAY[:one, :few, :notes]) job;
SELECT is((SELECT array_agg((conditions->'context')::int ORDER BY job) FROM gpt_jobs WHERE job IN (:one, :few, :notes)), '{512,512,64}', 'for long texts it is long');

-- replay: as many old rows as were asked for, however many of them are equal; the same ones in whatever order they are read
SELECT gpt_train('base', 'SELECT 1000 AS id, ''a row'' AS body FROM generate_series(1, 3)', tiny('{"tokenizer": "bytes", "watermark": "id"}')) AS base \gset
SELECT is(gpt_wait(:base, '300 s'), 'succeeded', 'a model has a watermark');
CREATE TABLE replayed AS SELECT k, share, skew, gpt_finetune('base', format($$SELECT id, CASE WHEN id > 1000 THEN 'new ' || id WHEN %2$s > 0 AND id %% (%2$s + 1) <> 0 THEN 'old'
	ELSE 'old ' || id %% %1$s END AS body FROM generate_series(1, 1080) id ORDER BY id * %3$s$$, k, skew, CASE skew WHEN 9 THEN -1 ELSE 1 END),
	jsonb_build_object('steps', 1, 'since', 'watermark', 'replay', share, 'into', format('r%s %s %s', k, share, skew))) AS job
FROM (VALUES (1, 0.2, 0), (3, 0.2, 0), (20, 0.2, 0), (1000, 0.01, 0), (2, 0.9, 999), (7, 0.2, 9)) t(k, share, skew);
SELECT is(gpt_wait(job, '300 s'), 'succeeded', 'old rows are replayed') FROM replayed;
SELECT is(documents, 80 + round(80 * share / (1 - share))::bigint, format('of %s different old rows, %s to 1, a share of %s is replayed', k, skew, share)) FROM replayed JOIN gpt_jobs USING (job);
SELECT gpt_finetune('base', $$SELECT id, CASE WHEN id > 1000 THEN 'new ' || id WHEN id % 10 <> 0 THEN 'old' ELSE 'old ' || id % 7 END AS body FROM generate_series(1, 1080) id$$,
	'{"steps": 1, "since": "watermark", "replay": 0.2, "into": "in order"}') AS ordered \gset
SELECT is(gpt_wait(:ordered, '300 s'), 'succeeded', 'once more in another order');
SELECT is((SELECT validation_loss FROM gpt_models WHERE model = 'r7 0.2 9'), (SELECT validation_loss FROM gpt_models WHERE model = 'in order'), 'the same rows are replayed');
SELECT gpt_finetune('base', $$SELECT id, 'row ' || id AS body FROM generate_series(991, 1080) id$$, '{"steps": 1, "since": "watermark", "replay": 0.5, "into": "few"}') AS few \gset
SELECT is(gpt_wait(:few, '300 s'), 'succeeded', 'fewer old rows are there');
SELECT alike((SELECT note FROM gpt_jobs WHERE job = :few), 'there are only 10 rows up to the watermark to replay, not 80%', 'the note says that there were fewer');

-- more rows than there is memory for, in two orders
SET gpt.max_memory = '20MB';
SELECT gpt_train('up', 'SELECT (i % 30000)::text AS prompt, i::text AS completion FROM generate_series(1, 60000) i', tiny('{"tokenizer": "bytes"}')) AS up \gset
SELECT gpt_train('down', 'SELECT (i % 30000)::text AS prompt, i::text AS completion FROM generate_series(60000, 1, -1) i', tiny('{"tokenizer": "bytes"}')) AS down \gset
RESET gpt.max_memory;
SELECT is(gpt_wait(job, '300 s'), 'succeeded', 'many rows are trained on') FROM unnest(ARRAY[:up, :down]) job;
SELECT is((SELECT (conditions->'validation_documents')::int FROM gpt_jobs WHERE job = :up), 3000, 'of many rows a twentieth is held out');
SELECT is((SELECT validation_loss FROM gpt_models WHERE model = 'up'), (SELECT validation_loss FROM gpt_models WHERE model = 'down'), 'the same ones in whatever order they are read');

-- a tokenizer that is trained on a sample, because half of gpt.max_memory is too small for all words, has the frequent text whatever its hash
SELECT 'wonderful product ' || n AS phrase FROM generate_series(1, 100) n WHERE hashtextextended('wonderful product ' || n, 1) < 0 ORDER BY n LIMIT 1 \gset
SET gpt.max_memory = '24MB';
SELECT gpt_train('sampled', format($$SELECT CASE WHEN i %% 5 < 3 THEN %L ELSE (SELECT string_agg(translate(md5(i || '-' || j), '0123456789', 'ghijklmnop'), ' ')
	FROM generate_series(1, 10) j) END AS body FROM generate_series(1, 40000) i$$, :'phrase'), tiny('{"vocabulary": 300}') - 'tokenizer') AS job \gset
RESET gpt.max_memory;
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a tokenizer is trained on a sample');
SELECT ok(gpt_count_tokens('sampled', 'wonderful product') <= 4, 'which has the frequent text');

SELECT * FROM finish();
