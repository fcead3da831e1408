-- what can be known when a job is submitted is said then
CREATE TABLE submit_row AS SELECT 'text ' || i AS body, i % 2 AS stars FROM generate_series(1, 20) i;
\set options '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "steps": 2, "batch_size": 1, "tokenizer": "bytes", "family": "gpt2", "optimizer": "adamw", "publish": "last"}'
SELECT gpt_train('submit_stars', 'SELECT body, stars AS label FROM submit_row', :'options') AS stars, gpt_train('submit_tags', 'SELECT body, ARRAY[stars::text] AS label FROM submit_row', :'options') AS tags,
	gpt_train('submit_plain', 'SELECT body FROM submit_row', (:'options'::jsonb - 'layers' - 'heads' - 'channels' - 'preset' - 'context') || '{"preset": "base", "context": 256, "steps": 1}') AS plain \gset
SELECT gpt_wait(:stars), gpt_wait(:tags), gpt_wait(:plain);

-- rule: labels are needed by classifiers, one or several
SELECT gpt_finetune('submit_stars', 'SELECT body FROM submit_row');
SELECT gpt_finetune('submit_stars', 'SELECT body FROM submit_row', '{"into": "submit_other", "method": "lora"}');
SELECT gpt_finetune('submit_stars', 'SELECT body AS prompt, body AS completion FROM submit_row');
SELECT gpt_finetune('submit_stars', 'SELECT body, ARRAY[stars::text] AS label FROM submit_row');
SELECT gpt_finetune('submit_tags', 'SELECT body, stars AS label FROM submit_row');
SELECT gpt_evaluate('submit_stars', 'SELECT body FROM submit_row');
SELECT gpt_evaluate('submit_plain', 'SELECT body, stars AS label FROM submit_row');

-- rule: what does not fit into memory is refused, with options that would fit; how much memory that is depends on the processor
CREATE FUNCTION submit_hint(options jsonb, base text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM CASE WHEN base IS NULL THEN gpt_train('submit_other', 'SELECT body FROM submit_row', options)
		ELSE gpt_finetune(base, 'SELECT body FROM submit_row', options) END;
	RAISE 'accepted' USING ERRCODE = 'GP001';
EXCEPTION WHEN configuration_limit_exceeded THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint;
WHEN SQLSTATE 'GP001' THEN
	RETURN 'accepted';
END $$;
SET gpt.max_memory = '400MB';
SET gpt.train_threads = 1;
CREATE TABLE submit_large AS SELECT n, base, options::jsonb || '{"precision": "float32"}' AS options, submit_hint(options::jsonb || '{"precision": "float32"}', base) AS hint FROM (VALUES
	(1, 'submit_plain', '{}'),
	(2, NULL, '{"preset": "gpt2"}'),
	(3, NULL, '{"preset": "mini", "batch_size": 512, "context": 512}'),
	(4, NULL, '{"layers": 64, "channels": 512, "heads": 8}'),
	(5, NULL, '{"preset": "nano", "vocabulary": 1000000, "context": 64}'),
	(6, NULL, '{"preset": "base", "batch_size": 64, "context": 512, "recompute": false}'),
	(8, NULL, '{"preset": "small", "batch_size": 65536, "context": 1024}'),
	(9, 'submit_plain', '{"batch_size": 1024}'),
	(7, NULL, '{"layers": 1, "channels": 65536, "heads": 1024}')) w(n, base, options);
SELECT n, regexp_replace(hint, '\d+', 'N', 'g') AS hint FROM submit_large ORDER BY n;
SELECT n, o[1] AS option, submit_hint(options - CASE o[1] WHEN 'preset' THEN '{layers,heads,channels}'::text[] ELSE '{}' END
		- CASE WHEN hint LIKE '%left out%' THEN '{batch_size,accumulate,recompute}'::text[] ELSE '{}' END || format('{"%s": %s}', o[1], o[2])::jsonb, base) AS is
FROM submit_large, regexp_matches(hint, '"(\w+)": ("?\w+"?)', 'g') o ORDER BY n, o[1] COLLATE "C";
RESET gpt.max_memory;
RESET gpt.train_threads;

SELECT gpt_drop_model('submit_stars'), gpt_drop_model('submit_tags'), gpt_drop_model('submit_plain');
DROP FUNCTION submit_hint;
DROP TABLE submit_row, submit_large;
