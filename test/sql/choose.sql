-- decisions without training for them, and texts as vectors
SET client_min_messages = warning;
CREATE TABLE fact AS SELECT (ARRAY['fire is hot', 'snow is cold', 'hot', 'cold'])[i % 4 + 1] AS body FROM generate_series(1, 200) i;
SELECT gpt_train('facts', 'SELECT body FROM fact',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 200, "batch_size": 16, "learning_rate": 0.01, "dropout": 0,
	  "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- what is likely behind the prompt, beside how likely it is by itself
SELECT gpt_choose('facts', 'fire is ', ARRAY['hot', 'cold']) AS fire, gpt_choose('facts', 'snow is ', ARRAY['hot', 'cold']) AS snow;
SELECT gpt_choose('facts', prompt, choices) = (SELECT choice FROM unnest(choices) choice
	ORDER BY gpt_logprob('facts', prompt, choice, false) - gpt_score('facts', choice, 'logprob') DESC LIMIT 1) AS by_definition,
	gpt_choose('facts', prompt, choices, per => 'token') = (SELECT choice FROM unnest(choices) choice
	ORDER BY (gpt_logprob('facts', prompt, choice, false) - gpt_score('facts', choice, 'logprob')) / gpt_score('facts', choice, 'tokens') DESC LIMIT 1) AS per_token,
	gpt_choose('facts', prompt, choices, subtract => false, per => 'byte') = (SELECT choice FROM unnest(choices) choice
	ORDER BY gpt_logprob('facts', prompt, choice, false) / octet_length(choice) DESC LIMIT 1) AS per_byte,
	gpt_choose('facts', prompt, choices, domain => 'snow is ') = (SELECT choice FROM unnest(choices) choice
	ORDER BY gpt_logprob('facts', prompt, choice, false) - gpt_logprob('facts', 'snow is ', choice, false) DESC LIMIT 1) AS by_domain,
	gpt_choose('facts', prompt, choices) = gpt_choose('facts', prompt, choices, NULL, NULL, NULL) AS defaults
FROM (VALUES ('fire is ', ARRAY['hot', 'cold', 'hotter']), ('', ARRAY['a', 'snow']), ('snow', ARRAY[' is', ' was', 's'])) v (prompt, choices);
SELECT gpt_choose('facts', 'fire is ', ARRAY[NULL, '', 'cold']) AS others_passed_over, gpt_choose('facts', 'fire is ', ARRAY[NULL, '']) IS NULL AS nothing,
	gpt_choose('facts', 'fire is ', '{}') IS NULL AS none, gpt_choose('facts', NULL, '{a}') IS NULL AS no_prompt, gpt_choose('facts', 'x', ARRAY['a', 'a']) AS equal;
SELECT gpt_choose('facts', 'fire is ', ARRAY[['hot', 'cold'], ['warm', 'cool']]) AS of_two_dimensions;

-- probabilities
SELECT choice, probability > 0.5 AS likely FROM gpt_choose_probs('facts', 'fire is ', ARRAY['cold', NULL, 'hot', '']);
SELECT count(*), abs(sum(probability) - 1) < 1e-6 AS whole, bool_and(probability <= before) AS descending FROM (SELECT probability, lag(probability, 1, 1::real) OVER () AS before
	FROM gpt_choose_probs('facts', 'fire is ', (SELECT array_agg(i::text) FROM generate_series(1, 200) i))) p;
SELECT bool_and(abs(probability - exp(rating) / sum) < 1e-6) AS by_definition FROM gpt_choose_probs('facts', 'snow', ARRAY[' is', ' was'], subtract => false) p,
	LATERAL (SELECT gpt_logprob('facts', 'snow', p.choice, false) AS rating, exp(gpt_logprob('facts', 'snow', ' is', false)) + exp(gpt_logprob('facts', 'snow', ' was', false)) AS sum) r;
SELECT count(*) AS none FROM gpt_choose_probs('facts', 'x', '{}');
SELECT count(*) AS null_prompt FROM gpt_choose_probs('facts', NULL, '{a}');

-- the user is told once if many prompts get one answer; not if some differ, if the prompt is the same, or if there is no choice
SET client_min_messages = notice;
SELECT count(gpt_choose('facts', 'fire ' || i || ' is ', ARRAY['hot', 'zzzz'])) FROM generate_series(1, 100) i;
SELECT count(gpt_choose('facts', CASE WHEN i = 20 THEN 'snow is ' ELSE 'fire ' || i || ' is ' END, ARRAY['hot', 'cold'])) AS differ FROM generate_series(1, 100) i;
SELECT count(gpt_choose('facts', 'fire is ', ARRAY['hot', 'cold'])) AS same_prompt FROM generate_series(1, 100) i;
SELECT count(gpt_choose('facts', 'fire ' || i, ARRAY['hot'])) AS no_choice FROM generate_series(1, 100) i;
SELECT count(gpt_choose('facts', 'fire ' || i || ' is ', ARRAY['hot', 'zzzz'])) AS few FROM generate_series(1, 29) i;
SET client_min_messages = warning;

-- vectors
SELECT cardinality(gpt_embed('facts', 'fire is hot', 'mean')) AS channels,
	abs((SELECT sum(x * x) FROM unnest(gpt_embed('facts', 'fire is hot', 'mean')) x) - 1) < 1e-5 AS normal,
	abs((SELECT sum(x * x) FROM unnest(gpt_embed('facts', 'fire is hot', 'mean', normalized => false)) x) - 1) > 0.1 AS as_it_is,
	gpt_embed('facts', 'fire is hot', 'last') <> gpt_embed('facts', 'fire is hot', 'mean') AS last,
	gpt_embed('facts', 'x', 'last') = gpt_embed('facts', 'x', 'mean') AS of_one_token,
	cardinality(gpt_embed('facts', repeat('fire is hot ', 100), 'mean')) AS long;
-- by rarity, unless the caller says otherwise
SELECT cardinality(gpt_embed('facts', 'fire is hot')) AS numbers, abs((SELECT sum(x * x) FROM unnest(gpt_embed('facts', 'fire is hot')) x) - 1) < 1e-5 AS normal,
	gpt_embed('facts', 'fire is hot') = gpt_embed('facts', 'fire is hot', NULL, NULL) AND gpt_embed('facts', 'fire is hot') = gpt_embed('facts', 'fire is hot', 'rarity') AS default_rarity,
	cardinality(gpt_embed('facts', repeat('fire is hot ', 10000))) AS long;
CREATE FUNCTION likeness(a real[], b real[]) RETURNS float8 LANGUAGE sql AS 'SELECT sum(x::float8 * y) FROM unnest(a, b) u (x, y)';
SELECT likeness(gpt_embed('facts', 'fire is hot'), gpt_embed('facts', 'fire is hott')) > likeness(gpt_embed('facts', 'fire is hot'), gpt_embed('facts', 'snow is cold')) AS alike,
	likeness(gpt_embed('facts', 'fire is', 'mean'), gpt_embed('facts', 'fire was', 'mean')) > 0 AS by_mean,
	abs(likeness(gpt_embed('facts', 'Fire IS hot'), gpt_embed('facts', 'fire is hot')) - 1) < 0.1 AS any_case;
SELECT gpt_embed('facts', '') IS NULL AS empty, gpt_embed('facts', NULL) IS NULL AS null, gpt_embed(NULL, 'x') IS NULL AS no_model;
SELECT abs(gpt_similarity('facts', 'fire is hot', 'snow is cold') - likeness(gpt_embed('facts', 'fire is hot'), gpt_embed('facts', 'snow is cold'))) < 1e-6 AS cosine,
	gpt_similarity('facts', 'hot', 'hot') > 0.999999 AS same, gpt_similarity('facts', '', 'hot') IS NULL AS empty, gpt_similarity('facts', NULL, 'hot') IS NULL AS null;
SELECT gpt_similarity('nobody', 'a', 'b');

-- mistakes
SELECT gpt_embed('facts', 'x', 'max');
SELECT gpt_embed('facts', 'x', 'trained');
SELECT gpt_embed('nobody', 'x');
SELECT gpt_choose('nobody', 'x', '{a}');
SELECT gpt_choose('facts', 'x', '{a}', per => 'word');

SELECT gpt_drop_model('facts');
DROP FUNCTION likeness;
DROP TABLE fact;
