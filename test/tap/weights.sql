-- test/tap/weights.sql - any change of the bytes of a model is an error, and never another result.
-- One schema is enough: the file tests weights, and others call the same functions in the second schema.
SELECT no_plan();
SET client_min_messages = error;

CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "family": "gpt2", "tokenizer": "bytes", "steps": 2, "batch_size": 8}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a small model is trained');

-- The session that changes the object has not loaded the model: what is loaded is served by its content.
CREATE FUNCTION outcome_with(offset_changed integer, bytes bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	object oid := (SELECT weights FROM gpt_models);
	before bytea := lo_get(object, offset_changed, octet_length(bytes));
	outcome text;
BEGIN
	PERFORM lo_put(object, offset_changed, bytes);
	BEGIN
		PERFORM gpt_score('m', 'line');
		outcome := 'none';
	EXCEPTION WHEN data_corrupted OR undefined_object THEN
		outcome := SQLSTATE;
	END;
	PERFORM lo_put(object, offset_changed, before);
	RETURN outcome;
END $$;

CREATE TABLE changed AS
	SELECT place, flip, outcome_with(place, set_byte('\x00', 0, get_byte(lo_get(m.weights, place, 1), 0) # flip)) AS outcome
	FROM gpt_models m, generate_series(0, 1900, 2) place, (VALUES (1), (128)) f(flip);
SELECT is((SELECT count(*) FROM changed WHERE outcome = 'none'), 0::bigint, 'every changed bit of the header is noticed');
SELECT ok((SELECT avg((outcome = 'XX001')::integer) FROM changed) > 0.95, 'nearly always as data that are corrupted');
SELECT is((SELECT count(*) FROM (SELECT outcome_with(place, set_byte('\x00', 0, get_byte(lo_get(m.weights, place, 1), 0) # 1)) AS outcome
		FROM gpt_models m, generate_series(2000, m.size::integer - 1, 101) place) c WHERE outcome <> 'XX001'), 0::bigint,
	'every changed bit of the data is noticed');

-- headers that lie in more than one place
SELECT is(outcome_with(position("from" IN file) - 1, "to"), 'XX001', encode("from", 'escape') || ' to ' || encode("to", 'escape'))
FROM gpt_models m, lo_get(m.weights) file, (VALUES
	('"F32"'::bytea, '"F16"'::bytea), ('"F32"', '"f32"'), ('[257,16]', '[16,257]'), ('[257,16]', '[256,16]'), ('[257,16]', '[4112]  '), ('[257,16]', '[257,16e'),
	('[0,16448]', '[0,16444]'), ('[0,16448]', '[16448,0]'), ('[0,16448]', '[-1,6447]'), ('[0,16448]', '[0,1e999]'), ('[0,16448]', '[0,1.448]'),
	('[0,16448]', '{"a":1}  '), ('[0,16448]', '[[0,16]] '), ('[0,16448]', 'null     '), ('[0,16448]', '"16448"  '),
	('"transformer.wpe.weight"', '"transformer.wte.weight"'), ('"dtype"', '"shape"'), ('"shape"', '"other"'), ('"__metadata__"', '"__metadata_x"')
) v("from", "to");

SELECT ok(gpt_score('m', 'line') > 0, 'unchanged, it is used');
SELECT * FROM finish();
