-- a word decides the label; the rest is noise
CREATE TABLE planted AS SELECT n, l AS label, replace('the order from our CAUSE shop came with a box ' || n % 7, 'CAUSE', (ARRAY['broken', 'lovely', 'blue'])[c]) AS body
	FROM generate_series(1, 80) n, (VALUES ('angry', 1), ('happy', 2), ('neutral', 3)) v(l, c);
SELECT gpt_train('planted', 'SELECT body AS text, label FROM planted', '{"tokenizer": "bytes", "layers": 1, "channels": 32, "heads": 2, "context": 48, "steps": 20, "batch_size": 32, "threads": 1, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);

-- gradients
SELECT position, text, start, part, explained, weight > 0.5 AS pushes, weight = max(weight) OVER () AS most FROM gpt_explain('planted', 'our broken  shop, 2');
WITH e AS MATERIALIZED (SELECT * FROM gpt_explain('planted', 'our broken shop, and what is more than a context has room for')),
	p AS (SELECT ln(max(probability) FILTER (WHERE label = 'angry')) - ln(sum(probability) FILTER (WHERE label <> 'angry')) AS odds
		FROM gpt_classify_probs('planted', 'our broken shop, and what is more than a context has room for'))
SELECT abs(sum(weight) - min(score - baseline)) < 0.01 * abs(min(score - baseline)) AS complete, abs(min(score) - min(odds)) < 1e-3 AS log_odds FROM e, p;
SELECT text, weight < -0.5 AS against FROM gpt_explain('planted', 'a broken box', 'happy') ORDER BY weight LIMIT 1;
SELECT count(*), count(*) FILTER (WHERE text = '') AS without_text, string_agg(text, '' ORDER BY position) AS texts FROM gpt_explain('planted', 'our brökén 世界 ', unit => 'token');
SELECT bool_and(abs(a.weight - b.weight) < 1e-9) AS words_sum_tokens FROM
	(SELECT sum(weight) AS weight FROM gpt_explain('planted', 'our broken box')) a, (SELECT sum(weight) AS weight FROM gpt_explain('planted', 'our broken box', unit => 'token')) b;
SELECT count(DISTINCT p.n) AS texts, bool_and(e.text IN ('broken', 'lovely', 'blue')) AS found FROM planted p,
	LATERAL (SELECT text FROM gpt_explain('planted', body, label) ORDER BY weight DESC LIMIT 1) e WHERE n % 10 = 1;
SELECT count(*) FROM gpt_explain('planted', '') UNION ALL SELECT count(*) FROM gpt_explain('planted', NULL) UNION ALL SELECT count(*) FROM gpt_explain(NULL, 'a');
SELECT quote_literal(text) FROM gpt_explain('planted', E' \n');

-- occlusion
SELECT position, text, start, explained, baseline, weight > 0.5 AS pushes FROM gpt_explain('planted', 'our broken  shop, 2', method => 'occlusion');
WITH l AS (SELECT input, ln(max(probability) FILTER (WHERE label = 'angry')) - ln(sum(probability) FILTER (WHERE label <> 'angry')) AS odds
	FROM (VALUES ('our broken  shop, 2'), ('our broken, 2')) v(input), gpt_classify_probs('planted', input) GROUP BY input)
SELECT abs(e.weight - (a.odds - b.odds)) < 1e-3 AS exact, abs(e.score - a.odds) < 1e-3 AS score FROM gpt_explain('planted', 'our broken  shop, 2', 'angry', 'occlusion') e, l a, l b
	WHERE e.text = 'shop' AND a.input = 'our broken  shop, 2' AND b.input = 'our broken, 2';
SELECT count(*) FROM gpt_explain('planted', '', method => 'occlusion');

-- language models
SELECT gpt_train('said', 'SELECT body FROM planted', '{"layers": 2, "channels": 32, "heads": 2, "context": 48, "steps": 10, "batch_size": 8, "threads": 1, "seed": 1, "tokenizer": "bytes", "ngrams": false}') AS job \gset
SELECT gpt_wait(:job);
SELECT explained = gpt_generate('said', 'the ord', 1, temperature => 0) AS next, abs(score - gpt_logprob('said', 'the ord', explained, false)) < 1e-4 AS logprob FROM gpt_explain('said', 'the ord') LIMIT 1;
SELECT abs(sum(weight) - min(score - baseline)) < 0.01 * abs(min(score - baseline)) AS complete, abs(min(score) - gpt_logprob('said', 'the order', ' from', false)) < 1e-4 AS logprob FROM gpt_explain('said', 'the order', ' from');
SELECT abs(min(score) - gpt_logprob('said', 'the order', '', true)) < 1e-4 AS end_of_text FROM gpt_explain('said', 'the order', '');
SELECT abs(weight - (gpt_logprob('said', 'the order', ' from', false) - gpt_logprob('said', 'the', ' from', false))) < 1e-5 AS exact FROM gpt_explain('said', 'the order', ' from', 'occlusion') WHERE text = 'order';
SELECT count(*) FROM gpt_explain('said', repeat('the order ', 10), ' x');

SELECT gpt_finetune('said', 'SELECT body FROM planted', '{"method": "lora", "into": "tuned", "steps": 10, "learning_rate": 0.01, "threads": 1, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT abs(score - gpt_logprob('tuned', 'the order', ' from', false)) < 1e-4 AS adapted, abs(score - gpt_logprob('said', 'the order', ' from', false)) > 0.1 AS moved FROM gpt_explain('tuned', 'the order', ' from') LIMIT 1;

-- layers
SELECT count(*), count(DISTINCT query) AS queries, min(query), max(abs(s - 1)) < 1e-5 AS sums FROM (SELECT query, key, sum(weight) OVER (PARTITION BY query) AS s FROM gpt_attention('said', 'the or', 2, 1)) t;
SELECT query_text, key_text FROM gpt_attention('said', 'thé', 1) WHERE query = 4 ORDER BY key;
SELECT bool_and(abs(m.weight - (a.weight + b.weight) / 2) < 1e-6) AS mean_of_heads FROM gpt_attention('said', 'the or', 1) m JOIN gpt_attention('said', 'the or', 1, 1) a USING (query, key) JOIN gpt_attention('said', 'the or', 1, 2) b USING (query, key);
SELECT count(*), count(DISTINCT layer) AS layers, count(next_rank) AS followed FROM gpt_logit_lens('said', 'the or');
SELECT abs(sum(next_logprob) - gpt_score('said', 'the or', 'logprob')) < 1e-4 AS last_layer_is_the_model FROM gpt_logit_lens('said', 'the or') WHERE layer = 2;
SELECT token = gpt_generate('said', 'the or', 1, temperature => 0) AS guess FROM gpt_logit_lens('said', 'the or') WHERE layer = 2 AND position = 6;
SELECT count(*) FROM gpt_attention('said', NULL, 1) UNION ALL SELECT count(*) FROM gpt_attention('said', 'a', NULL) UNION ALL SELECT count(*) FROM gpt_logit_lens('said', NULL);

-- numbers, pairs, an encoder
SELECT gpt_train('length', 'SELECT body, length(body)::float8 AS label FROM planted', '{"tokenizer": "bytes", "layers": 1, "channels": 16, "heads": 1, "context": 48, "steps": 1, "threads": 1, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT abs(min(score) - gpt_predict('length', 'a lovely box')) < 1e-3 AS number, abs(sum(weight) - min(score - baseline)) < 0.01 * abs(min(score - baseline)) AS complete, count(explained) FROM gpt_explain('length', 'a lovely box');
SELECT gpt_train('pair', 'SELECT body AS a, label AS b, n % 2 = 0 AS label FROM planted', '{"tokenizer": "bytes", "layers": 1, "channels": 16, "heads": 1, "context": 64, "steps": 1, "threads": 1, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT position, text, start, part FROM gpt_explain('pair', 'a box', other => 'happy box');
SELECT a.text, a.part = b.part AS same FROM gpt_explain('pair', 'a box', other => 'happy box') a JOIN gpt_explain('pair', 'a box', method => 'occlusion', other => 'happy box') b USING (position, start);
SELECT gpt_train('translator', 'SELECT label AS prompt, body AS completion FROM planted', '{"tokenizer": "bytes", "architecture": "encoder_decoder", "layers": 1, "channels": 16, "heads": 1, "context": 80, "steps": 1, "threads": 1, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT count(*) FROM gpt_explain('translator', 'happy', ' box', 'occlusion');

-- errors
SELECT gpt_explain('planted', 'a', 'sad');
SELECT gpt_explain('planted', 'a', method => 'lime');
SELECT gpt_explain('planted', 'a', unit => 'line');
SELECT gpt_explain('planted', 'a', method => 'occlusion', unit => 'token');
SELECT gpt_explain('planted', 'a', other => 'b');
SELECT gpt_explain('pair', 'a');
SELECT gpt_explain('length', 'a', '3');
SELECT gpt_explain('planted', repeat('a ', 200000));
SELECT gpt_explain('planted', repeat('a ', 5000), method => 'occlusion');
SELECT gpt_explain('said', 'the', repeat('x', 60));
SELECT gpt_explain('translator', 'a', 'b');
SELECT gpt_attention('translator', 'a', 1);
SELECT gpt_attention('pair', 'a', 1);
SELECT gpt_attention('said', 'a', 3);
SELECT gpt_attention('said', 'a', 1, 0);
SELECT gpt_attention('said', repeat('x', 60), 1);
SELECT gpt_logit_lens('planted', 'a');
SET gpt.max_memory = '64MB';
SELECT gpt_explain('planted', repeat('a', 250000));
RESET gpt.max_memory;
SET statement_timeout = '200ms';
SELECT count(*) FROM generate_series(1, 100000), gpt_explain('planted', repeat('our broken shop ', 100));
RESET statement_timeout;
SET client_min_messages = warning;
SELECT count(gpt_drop_model(model)) FROM unnest('{tuned,said,planted,length,pair,translator}'::text[]) WITH ORDINALITY m(model, n);
RESET client_min_messages;
