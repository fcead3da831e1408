-- gpt_options lists what gpt_train takes, and gpt_train takes nothing else

SELECT option, type, default_value, minimum, maximum FROM gpt_options() ORDER BY option COLLATE "C";
SELECT count(*) = count(description) AS each_option_is_described FROM gpt_options('gpt_train');
SELECT string_agg(option, ' ' ORDER BY option COLLATE "C") FROM (SELECT option FROM gpt_options('gpt_train') EXCEPT SELECT option FROM gpt_options('gpt_finetune')) o;
SELECT string_agg(option, ' ' ORDER BY option COLLATE "C") FROM (SELECT option FROM gpt_options('gpt_finetune') EXCEPT SELECT option FROM gpt_options('gpt_train')) o;
SELECT * FROM gpt_options('gpt_sing');
SELECT * FROM gpt_options(NULL);

-- docs/sql.md has these options, with these words, and no others
\set document `cat "$PG_ABS_SRCDIR/../docs/sql.md"`
WITH listed AS (
	SELECT function, o.* FROM unnest(ARRAY['gpt_train', 'gpt_finetune', 'gpt_evaluate', 'gpt_train_tokenizer', 'gpt_report', 'gpt_maintain']) function, gpt_options(function) o
), wanted AS (
	SELECT option, format('| `%s` | %s | %s | %s | %s |', option, type, coalesce(default_value, 'chosen'), minimum || ' to ' || maximum,
		CASE WHEN count(*) > 1 OR max(function) NOT IN ('gpt_finetune', 'gpt_train_tokenizer') THEN description
			WHEN type = 'word' THEN regexp_replace(description, '\)$', format('; `%s` only)', max(function)))
			ELSE format('%s (`%s` only)', description, max(function)) END) AS row
	FROM listed GROUP BY option, type, default_value, minimum, maximum, description
), documented AS (
	SELECT row FROM regexp_split_to_table(:'document', E'\n') row WHERE row ~ '^\| `[a-z0-9_]+` \| (boolean|integer|number|word|text|json|names) \|[^|]*\|[^|]*\|[^|]*\|$'
)
SELECT count(*) > 50 AS all, count(*) FILTER (WHERE wanted IS NULL OR documented IS NULL) AS differ,
	string_agg(row, E'\n' ORDER BY row COLLATE "C") FILTER (WHERE wanted IS NULL OR documented IS NULL) AS rows
FROM wanted FULL JOIN documented USING (row);

-- names are an array of different texts
SELECT gpt_train('m', 'SELECT 1', '{"servers": "east"}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": []}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east", 1]}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east", null]}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east", "west", "east"]}');
SELECT gpt_train('m', 'SELECT 1', jsonb_build_object('servers', array(SELECT 's' || i FROM generate_series(1, 64) i)));
-- that foreign servers have
SELECT gpt_train('m', $$SELECT 'text'$$, '{"servers": ["east"]}');
SELECT gpt_finetune('m', 'SELECT 1', '{"servers": ["east"], "data": "local", "since": "watermark"}');
SELECT gpt_estimate($$SELECT 'text'$$, '{"servers": ["east"]}');
-- an integer, or one word
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": "steps"}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": ""}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": 0}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": 2.5}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": true}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": ["step"]}');
-- words of training over servers
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "data": "remote"}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "on_loss": "retry"}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "on_loss": false}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "sync": "step", "gradient_type": "float16"}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "gradient_type": "float32"}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "data": "dealt", "word_floor": 5}');
SELECT gpt_train('m', 'SELECT 1', '{"servers": ["east"], "accumulate": 5000}');
-- without servers they would be ignored
SELECT gpt_train('m', 'SELECT 1', '{"sync": 50}');
SELECT gpt_train('m', 'SELECT 1', '{"on_loss": "wait", "servers": null}');
SELECT gpt_train('m', 'SELECT 1', '{"gradient_type": "bfloat16", "sync": "step", "steps": 9}');
SELECT gpt_train('m', 'SELECT 1', '{"data": "local", "on_loss": null}');

CREATE TABLE review (body text);

-- options are one JSON object
SELECT gpt_train('m', 'SELECT body FROM review', '[1]');
SELECT gpt_train('m', 'SELECT body FROM review', '"steps"');

-- a name that does not exist
SELECT gpt_train('m', 'SELECT body FROM review', '{"lerning_rate": 0.1}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"colour": "red"}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"Steps": 10}');

-- a wrong type
SELECT gpt_train('m', 'SELECT body FROM review', '{"steps": "10"}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"steps": 1.5}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"shuffle": 1}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"preset": true}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"minutes": [1]}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"minutes": {"steps": 1}}');

-- a value out of range
SELECT gpt_train('m', 'SELECT body FROM review', '{"dropout": 2}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"steps": 0}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"steps": 1e30}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"validation_fraction": -0.1}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"preset": "huge"}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"publish": ""}');

-- options that do not go together
SELECT gpt_train('m', 'SELECT body FROM review', '{"steps": 10, "minutes": 1}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"heads": 3, "channels": 32}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"tokenizer": "bytes", "vocabulary": 300}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"tokenizer": "chars", "normalize": "NFC"}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"learning_rate": 0.001, "min_learning_rate": 0.1}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"shuffle": false}');
SELECT gpt_train('m', 'SELECT body, true AS is_validation FROM review', '{"validation_query": "SELECT body FROM review"}');

-- what a fine-tune takes is not what a training takes
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"layers": 2}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"tokenizer": "bytes"}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"bias": false}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"stepps": 2}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"into": "n"}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"keep_versions": 0}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"if_running": "wait"}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"steps": 10, "minutes": 1}');
SELECT gpt_finetune('m', 'SELECT body FROM review', '{"into": ""}');

-- a tokenizer that does not exist
SELECT gpt_train('m', 'SELECT body FROM review', '{"tokenizer": "nobody''s"}');

-- memory is checked before anything is taken
-- how much depends on the processor: its own kernels take copies
CREATE PROCEDURE needs_memory(query text, options jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM gpt_train('m', query, options);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%, %', regexp_replace(SQLERRM, '\d+ MB', 'n MB'), hint;
END $$;
SET gpt.max_memory = '64MB';
CALL needs_memory('SELECT body FROM review', '{"layers": 12, "heads": 12, "channels": 768, "context": 512, "steps": 1, "precision": "float32"}');
RESET gpt.max_memory;
DROP PROCEDURE needs_memory;

-- JSON null means the default: nothing is wrong with these options, so the next check fails
SELECT gpt_train('m', 'SELECT nothing FROM review', '{"steps": null, "preset": null, "minutes": null}');
SELECT gpt_train('m', 'SELECT nothing FROM review', NULL);

SELECT count(*) AS jobs FROM gpt_jobs WHERE model = 'm';
DROP TABLE review;
