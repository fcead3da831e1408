-- what decides about tokens beside temperature: penalties of the output, biases, banned texts; the same alone, together and piece by piece
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('sampled', 'SELECT body FROM line',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "vocabulary": 270, "steps": 120, "batch_size": 16, "learning_rate": 0.02}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE FUNCTION written(options text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	text text;
BEGIN
	EXECUTE format('SELECT gpt_generate(''sampled'', ''line 1'', 24, 0%s)', options) INTO text;
	RETURN text;
END $$;
-- the model has learnt its text
SELECT written();

-- banned texts never occur, however they are cut into tokens; case counts
SELECT written(', banned => ''the''') AS word, position('the' IN written(', banned => ''the''')) AS at,
	position(' t' IN written(', banned => ''{" t",ne}''')) AS part, written(', banned => ''THE''') = written() AS other_case;
SELECT bool_and(text !~ 'the|of|e t' AND length(text) > 0) AS never, count(DISTINCT text) > 20 AS differ
FROM (SELECT gpt_generate('sampled', 'line ', 24, 1.3, seed => i, banned => ARRAY['the', 'of', 'e t']) AS text FROM generate_series(1, 40) i) s;
-- also not as a part of a stop text, which then cannot come
SELECT written(', banned => ''text'', stop => '' te''') <> split_part(written(), ' te', 1) AS other;

-- penalties: of tokens of the output, by presence and by number
SELECT gpt_generate('sampled', 'line 1 of the text', 24, 0, logit_bias => '{"<|endoftext|>": -100, " of": 30}') AS again,
	gpt_generate('sampled', 'line 1 of the text', 24, 0, logit_bias => '{"<|endoftext|>": -100, " of": 30}', presence_penalty => 100) ~ '^ of(?!.* of)' AS once,
	(SELECT count(*) FROM regexp_matches(gpt_generate('sampled', 'line 1 of the text', 24, 0, frequency_penalty => 10,
		logit_bias => '{"<|endoftext|>": -100, " of": 30}'), ' of', 'g')) BETWEEN 2 AND 5 AS some;

-- biases: by the text of a token, by its number, by the name of a special one
SELECT written(', logit_bias => ''{" of": -100}''') <> written() AS other, written(', logit_bias => ''{"<|endoftext|>": 100}''') = '' AS ends,
	written(format(', logit_bias => ''{"%s": -100}''', (gpt_tokenize('sampled', ' of'))[1])) = written(', logit_bias => ''{" of": -100}''') AS same,
	written(', logit_bias => ''{}''') = written() AS none;

-- the same bits from every form
SELECT many = one AS many, one = pieces AS pieces FROM (SELECT
	gpt_generate('sampled', ARRAY['line ', 'a'], 20, seed => 4, banned => 'of', logit_bias => '{"e": -3}', frequency_penalty => 1, presence_penalty => 0.5) AS many,
	ARRAY[gpt_generate('sampled', 'line ', 20, seed => 4, banned => 'of', logit_bias => '{"e": -3}', frequency_penalty => 1, presence_penalty => 0.5),
		gpt_generate('sampled', 'a', 20, seed => 4, banned => 'of', logit_bias => '{"e": -3}', frequency_penalty => 1, presence_penalty => 0.5)] AS one,
	ARRAY[(SELECT string_agg(text, '') FROM gpt_stream('sampled', 'line ', 20, seed => 4, banned => 'of', logit_bias => '{"e": -3}', frequency_penalty => 1, presence_penalty => 0.5)),
		(SELECT string_agg(text, '') FROM gpt_stream('sampled', 'a', 20, seed => 4, banned => 'of', logit_bias => '{"e": -3}', frequency_penalty => 1, presence_penalty => 0.5))]
		AS pieces) s;

-- several samples: those of the seeds that follow, with what their tokens add up to; the prompt goes through the model once
SELECT bool_and(m.text = gpt_generate('sampled', 'line ', 20, seed => 6 + m.sample, banned => 'x')) AS texts, count(DISTINCT text) > 2 AS differ,
	bool_and(abs(m.logprob - d.logprob) < 1e-12 AND m.tokens = d.n) AS sums, array_agg(sample) AS samples
FROM gpt_generate_many('sampled', 'line ', 5, 20, seed => 7, banned => 'x') m, LATERAL (SELECT sum(logprob) AS logprob, count(*) AS n
	FROM gpt_generate_detail('sampled', 'line ', 20, seed => 6 + m.sample, banned => 'x')) d;
SELECT gpt_stat_reset();
SELECT count(*) FROM gpt_generate_many('sampled', 'line 1 of the text ab', 8, 2, seed => 7, logit_bias => '{"<|endoftext|>": -100}');
-- the token in front and n tokens, of which the last one is read for each sample; then the first of two tokens of each
SELECT tokens_computed - gpt_count_tokens('sampled', 'line 1 of the text ab') AS more, tokens_out FROM gpt_stat_models WHERE model = 'sampled';
SELECT count(*) FROM gpt_generate_many('sampled', NULL, 3) m;
SELECT gpt_generate_many('sampled', 'line', NULL);
SELECT gpt_generate_many('sampled', 'line', 1001);

-- each token of an output: as gpt_tokens and gpt_logprob see it after the prompt, without what sampling makes of it
SELECT string_agg(d.text, '' ORDER BY d.position) = gpt_generate('sampled', 'line 1', 20, 0.3, seed => 3, logit_bias => '{"7": -5}') AS text,
	sum(d.logprob ORDER BY d.position) = gpt_logprob('sampled', 'line 1', string_agg(d.text, '' ORDER BY d.position)) AS sum, count(*) AS n
FROM gpt_generate_detail('sampled', 'line 1', 20, 0.3, seed => 3, logit_bias => '{"7": -5}') d;
SELECT count(*) > 3 AS many, bool_and(d.logprob = t.logprob AND d.rank = t.rank AND d.entropy = t.entropy AND d.expected = t.expected AND d.bytes = t.bytes AND d.text = t.text) AS same
FROM gpt_generate_detail('sampled', 'line 1', 20, 0.3, seed => 3, presence_penalty => 1) d
	JOIN gpt_tokens('sampled', gpt_generate('sampled', 'line 1', 20, 0.3, seed => 3, presence_penalty => 1), prompt => 'line 1') t USING (position, token);
-- the token that completes a stop text, and the end, have rows
SELECT position, text, convert_from(bytes, 'UTF8') AS bytes, rank FROM gpt_generate_detail('sampled', 'line 1', 20, 0, stop => 'ext');
SELECT token = (gpt_tokenize('sampled', ' text'))[1] + 4 AS is_end, text = '' AS empty, bytes = '' AS no_bytes, logprob > -0.1 AS likely
FROM gpt_generate_detail('sampled', 'line 1 of the text', 5, 0);
-- a token that replaces the end of the prompt
SELECT position, text, convert_from(bytes, 'UTF8') AS bytes, rank, entropy IS NULL AS no_entropy, logprob > -1 AS likely
FROM gpt_generate_detail('sampled', 'line 1 of th', 1, 0);

-- beams have them too
SELECT gpt_generate('sampled', 'line 1', 24, beams => 3) AS plain, gpt_generate('sampled', 'line 1', 24, beams => 3, banned => ' of') !~ ' of' AS banned,
	gpt_generate('sampled', 'line 1', 24, beams => 3, logit_bias => '{"<|endoftext|>": 100}') = '' AS ends;

-- a table's rows may have their own
SELECT count(*), count(DISTINCT text) > 3 AS differ, bool_and(strpos(text, word) = 0) AS without
FROM (SELECT word, gpt_generate('sampled', 'line ', 20, seed => 1, banned => word) AS text FROM unnest(ARRAY['o', 'e', ' ', 't', 'of', 'x']) word) s;

-- errors
SELECT written(', presence_penalty => 101');
SELECT written(', frequency_penalty => ''NaN''');
SELECT written(', logit_bias => ''{"of the": 1}''');
SELECT written(', logit_bias => ''{" of": 101}''');
SELECT written(', logit_bias => ''{" of": "1"}''');
SELECT written(', logit_bias => ''{"a": 1, "97": 1}''');
SELECT written(', logit_bias => ''{"270": 1}''');
SELECT written(', logit_bias => ''[1]''');
SELECT written(', logit_bias => ''{"": 1}''');
SELECT written(', logit_bias => (SELECT jsonb_object_agg(i, 1) FROM generate_series(1, 10001) i)');
SELECT written(', banned => ''{a,NULL}''');
SELECT written(', banned => ''''');
SELECT written(', banned => repeat(''a'', 1001)');

DROP FUNCTION written;
SELECT gpt_drop_model('sampled');
DROP TABLE line;
