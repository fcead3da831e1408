-- examples/show.sql - what the trained model says: its loss curve, generated texts, and the most surprising rows.
\set ON_ERROR_STOP on
\pset footer off

\echo 'Loss in nats per token'
SELECT log.step, round(log.loss::numeric, 3) AS loss, round(log.validation_loss::numeric, 3) AS validation_loss,
	repeat('*', round(8 * log.validation_loss)::integer) AS curve
FROM gpt_train_log log JOIN gpt_jobs job USING (job)
WHERE job.model = 'shakespeare' AND log.validation_loss IS NOT NULL
ORDER BY log.step;

-- Three texts with three seeds; a speech may end after a few words, so shorter ones are passed over.
CREATE TABLE generated AS
SELECT seed, prompt, gpt_generate('shakespeare', prompt, max_tokens => 60, temperature => 0.8, seed => seed) AS body
FROM generate_series(1, 12) AS seed, (VALUES (E'KING RICHARD III:\n')) AS p(prompt);
DELETE FROM generated WHERE seed NOT IN (SELECT seed FROM generated WHERE length(body) >= 80 ORDER BY seed LIMIT 3);

\echo 'Generated texts'
\pset format unaligned
\pset tuples_only on
SELECT format(E'[seed %s]\n%s%s\n', seed, prompt, body) FROM generated ORDER BY seed;
\pset format aligned
\pset tuples_only off

CREATE TABLE scored AS
SELECT 'unseen speech' AS kind, id, body, gpt_score('shakespeare', body) AS perplexity FROM unseen_speech
UNION ALL
SELECT kind, id, body, gpt_score('shakespeare', body) FROM planted;

\echo 'The most surprising of the planted rows and the unseen speeches'
SELECT round(perplexity) AS perplexity, kind, left(regexp_replace(body, '\s+', ' ', 'g'), 70) AS body
FROM scored ORDER BY scored.perplexity DESC LIMIT 16;

-- The words of a speech change places, deterministically; its first line and its line breaks stay where they are.
CREATE TABLE shuffled AS
WITH word AS (
	SELECT s.id, s.speaker, w.place, w.part[1] AS word, w.part[2] AS space,
		row_number() OVER (PARTITION BY s.id ORDER BY md5(s.id || ' ' || w.place)) AS new_place
	FROM unseen_speech s, regexp_matches(substr(s.body, length(s.speaker) + 3), '(\S+)(\s*)', 'g') WITH ORDINALITY AS w(part, place)
), speech AS (
	SELECT a.id, a.speaker || E':\n' || string_agg(b.word || a.space, '' ORDER BY a.place) AS body
	FROM word a JOIN word b ON a.id = b.id AND a.place = b.new_place
	GROUP BY a.id, a.speaker HAVING count(*) >= 8
	ORDER BY a.id LIMIT 200
)
SELECT id, speech.body, gpt_score('shakespeare', speech.body) AS perplexity, scored.perplexity AS original
FROM speech JOIN scored USING (id) WHERE scored.kind = 'unseen speech';
