-- The type gpt_model_version: how it is written, its order, and which function a call means.
CREATE EXTENSION IF NOT EXISTS gpt;
SELECT 'reviews@3'::gpt_model_version, 'a b@12'::text::gpt_model_version, ('reviews@3'::gpt_model_version)::text || '!' AS text;
SELECT 'reviews'::gpt_model_version;
SELECT 'reviews@0'::gpt_model_version;
SELECT 'reviews@03'::gpt_model_version;
SELECT 'reviews@2147483648'::gpt_model_version;
SELECT E're\tviews@3'::gpt_model_version;
SELECT (repeat('n', 64) || '@1')::gpt_model_version;
CREATE TABLE pin (id integer, version gpt_model_version PRIMARY KEY);
INSERT INTO pin VALUES (1, 'b@1'), (2, 'a@10'), (3, 'a@9'), (4, 'B@1'), (5, 'ab@1'), (6, 'a@9'::text::gpt_model_version);
INSERT INTO pin VALUES (1, 'b@1'), (2, 'a@10'), (3, 'a@9'), (4, 'B@1'), (5, 'ab@1');
SELECT string_agg(version::text, ' ' ORDER BY version), count(DISTINCT version) FROM pin;
SELECT id FROM pin WHERE version = 'a@9';
SELECT count(*) FROM pin p JOIN pin q USING (version) WHERE p.version > 'a@9' AND q.version <= 'b@1' AND p.version <> 'B@1' AND p.version >= 'a@1' AND NOT p.version < 'a@1';
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT count(*) FROM pin p JOIN pin q USING (version) WHERE p.version > 'a@9' AND q.version <= 'b@1' AND p.version <> 'B@1' AND p.version >= 'a@1';
RESET enable_mergejoin;
RESET enable_nestloop;
SELECT gpt_model_version_send('a@9');
DROP TABLE pin;

-- Names in quotes, parameters and names of other types are texts as before.
PREPARE untyped AS SELECT gpt_score($1, $2), gpt_classify($3, $4), gpt_classify('m', $5, 0.5), gpt_embed($6, $7), gpt_tokenize('m', $8);
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped';
DEALLOCATE untyped;
SELECT gpt_score('missing', 'x');
SELECT gpt_score('missing@1'::varchar, 'x');
SELECT gpt_score('missing@1'::gpt_model_version, 'x');
SELECT gpt_score(NULL, 'x'), gpt_score(NULL::gpt_model_version, 'x');

-- The functions of a version: the same answers, and immutable.
CREATE TABLE review AS SELECT i AS id, (ARRAY['good', 'bad'])[1 + i % 2] || ' soup ' || i AS body, (ARRAY['glad', 'sad'])[1 + i % 2] AS mood FROM generate_series(1, 60) i;
SELECT gpt_train('pin_text', 'SELECT body FROM review', '{"layers": 1, "channels": 16, "heads": 1, "context": 32, "tokenizer": "bytes", "steps": 5, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_finetune('pin_text', 'SELECT body AS text, mood AS label FROM review', '{"into": "pin_mood", "steps": 30, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT bool_and(gpt_score('pin_text@1'::gpt_model_version, body) = gpt_score('pin_text', body)) AS score,
	bool_and(gpt_classify('pin_mood@1'::gpt_model_version, body) = gpt_classify('pin_mood', body)) AS classify,
	bool_and(gpt_embed('pin_text@1'::gpt_model_version, body) = gpt_embed('pin_text', body)) AS embed,
	bool_and(gpt_tokenize('pin_text@1'::gpt_model_version, body) = gpt_tokenize('pin_text', body)) AS tokenize
FROM review WHERE id < 10;
SELECT gpt_score('pin_text@1'::gpt_model_version, ARRAY['good', NULL]) = gpt_score('pin_text', ARRAY['good', NULL]) AS of_array;
SELECT gpt_generate('pin_text@1'::gpt_model_version, 'good', 20) = gpt_generate('pin_text', 'good', 20, seed => 0) AS seed_0,
	gpt_generate('pin_text@1'::gpt_model_version, 'good', 20, seed => NULL) = gpt_generate('pin_text', 'good', 20, seed => 0) AS null_seed,
	gpt_generate('pin_text@1'::gpt_model_version, 'good', 20, seed => 3) = gpt_generate('pin_text', 'good', 20, seed => 3) AS seed_3;
SELECT count(DISTINCT provolatile) FROM pg_proc WHERE 'gpt_model_version'::regtype = ANY (proargtypes);
ALTER TABLE review ADD COLUMN score float8 GENERATED ALWAYS AS (gpt_score('pin_text@1'::gpt_model_version, body)) STORED;
INSERT INTO review (id, body) VALUES (61, 'a soup');
SELECT bool_and(score = gpt_score('pin_text', body)) FROM review;
CREATE INDEX review_mood ON review (gpt_classify('pin_mood@1'::gpt_model_version, body));
CREATE INDEX review_sad ON review (id) WHERE gpt_classify('pin_mood@1'::gpt_model_version, body) = 'sad';
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM review WHERE gpt_classify('pin_mood@1'::gpt_model_version, body) = 'sad';
SELECT count(*) = (SELECT count(*) FROM review WHERE gpt_classify('pin_mood', body) = 'sad') AS same FROM review WHERE gpt_classify('pin_mood@1'::gpt_model_version, body) = 'sad';
RESET enable_seqscan;

-- What depends on a version keeps it: each class of objects with expressions.
CREATE FUNCTION pin_body(text) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT gpt_classify('pin_mood@1'::gpt_model_version, $1); END;
CREATE FUNCTION pin_default(x text DEFAULT gpt_classify('pin_mood@1'::gpt_model_version, 'x')) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION pin_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TABLE pin_item (body text CHECK (gpt_classify('pin_mood@1'::gpt_model_version, body) <> 'none'), model gpt_model_version DEFAULT 'pin_mood@1');
CREATE TRIGGER pin_when BEFORE INSERT ON pin_item FOR EACH ROW WHEN (gpt_classify('pin_mood@1'::gpt_model_version, new.body) = 'sad') EXECUTE FUNCTION pin_trigger();
CREATE POLICY pin_policy ON pin_item USING (gpt_classify('pin_mood@1'::gpt_model_version, body) = 'sad');
CREATE STATISTICS pin_statistics ON (gpt_classify('pin_mood@1'::gpt_model_version, body)), body FROM pin_item;
CREATE RULE pin_rule AS ON UPDATE TO pin_item WHERE gpt_classify('pin_mood@1'::gpt_model_version, new.body) = 'sad' DO INSTEAD NOTHING;
CREATE TABLE pin_parted (body text) PARTITION BY LIST (gpt_classify('pin_mood@1'::text::gpt_model_version, body));
CREATE DOMAIN pin_domain AS gpt_model_version DEFAULT 'pin_mood@1' CHECK (VALUE = ANY ('{pin_mood@1}'::gpt_model_version[]));
CREATE VIEW pin_view AS WITH w AS (SELECT body FROM review) SELECT * FROM w WHERE (SELECT gpt_classify('pin_mood@1'::gpt_model_version, w.body)) = 'sad';
CREATE MATERIALIZED VIEW pin_matview AS SELECT gpt_classify('pin_mood@1'::gpt_model_version, body) AS mood, count(*) FROM review GROUP BY 1;
SELECT gpt_drop_model('pin_mood');
SELECT gpt_rename_model('pin_mood', 'pin_other');
SELECT gpt_set_image_type('pin_mood', 'int8');
SELECT gpt_set_image_type('pin_mood', 'float32') IS NOT NULL AS no_change;
DROP FUNCTION pin_body, pin_default;
DROP TABLE pin_item, pin_parted;
DROP DOMAIN pin_domain;
DROP VIEW pin_view;
DROP MATERIALIZED VIEW pin_matview;
DROP FUNCTION pin_trigger;
-- a new version; the older one stays beyond keep_versions for the indexes, and is not dropped
SELECT gpt_finetune('pin_mood', 'SELECT body AS text, mood AS label FROM review WHERE mood IS NOT NULL', '{"steps": 1, "keep_versions": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT string_agg(version::text, ',' ORDER BY version) AS versions, (SELECT note FROM gpt_jobs WHERE job = :job) FROM gpt_versions WHERE model = 'pin_mood';
SELECT gpt_drop_version('pin_mood', 1);
SELECT gpt_drop_model('pin_text', true);
DROP INDEX review_mood, review_sad;
SELECT gpt_drop_version('pin_mood', 1);
-- an adapter goes with its base, unless an object depends on it
SELECT gpt_finetune('pin_text', 'SELECT body FROM review', '{"into": "pin_adapter", "method": "lora", "rank": 2, "steps": 1}') AS job \gset
SELECT gpt_wait(:job);
ALTER TABLE review DROP COLUMN score;
CREATE VIEW pin_view AS SELECT gpt_score('pin_adapter@1'::gpt_model_version, body) FROM review;
SELECT gpt_drop_model('pin_text', true);
DROP VIEW pin_view;
SELECT gpt_drop_model('pin_text', true);
-- gpt_check names objects over a version that does not exist, as another transaction or a cast may leave them
CREATE VIEW pin_view AS SELECT gpt_score('pin_missing@7'::gpt_model_version, body) FROM review;
SELECT kind, object, detail FROM gpt_check() WHERE kind = 'dangling object';
DROP VIEW pin_view;
-- a kept plan with a call that the planner has computed does not outlast the model
SELECT gpt_copy_model('pin_mood', 'pin_copy');
SET plan_cache_mode = force_generic_plan;
PREPARE planned AS SELECT gpt_classify('pin_copy@1'::gpt_model_version, 'bad soup') IS NOT NULL AS answered;
EXPLAIN (COSTS OFF, VERBOSE) EXECUTE planned;
EXECUTE planned;
SELECT gpt_drop_model('pin_copy');
EXECUTE planned;
RESET plan_cache_mode;
DROP TABLE review;
SELECT gpt_drop_model('pin_mood');
