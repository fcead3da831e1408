-- what a training query may be; all of this is checked when the job is submitted

CREATE TABLE review (id int, body text, title varchar(20), score int, held_out boolean);

-- exactly one plain SELECT
SELECT gpt_train('m', '');
SELECT gpt_train('m', 'SELEC body FROM review');
SELECT gpt_train('m', 'SELECT body FROM review; SELECT body FROM review');
SELECT gpt_train('m', 'DELETE FROM review RETURNING body');
SELECT gpt_train('m', 'EXPLAIN SELECT body FROM review');
SELECT gpt_train('m', 'SELECT body INTO other FROM review');
SELECT gpt_train('m', 'SELECT body INTO other FROM review UNION SELECT body FROM review');
SELECT gpt_train('m', 'WITH gone AS (DELETE FROM review RETURNING body) SELECT body FROM gone');
SELECT gpt_train('m', 'SELECT body FROM review FOR UPDATE');
SELECT gpt_train('m', 'SELECT body FROM (SELECT body FROM review FOR SHARE) r');
SELECT gpt_train('m', 'SELECT body FROM review WHERE score > $1');
SELECT gpt_train('m', 'COPY review TO STDOUT');

-- of relations that exist and that another process can read
SELECT gpt_train('m', 'SELECT body FROM no_such_table');
CREATE TEMP TABLE passing (body text);
CREATE TEMP VIEW passing_view AS SELECT body FROM review;
CREATE VIEW lasting_view AS SELECT body FROM review;
SELECT gpt_train('m', 'SELECT body FROM passing');
SELECT gpt_train('m', 'SELECT body FROM passing_view');
SELECT gpt_train('m', 'SELECT r.body FROM review r WHERE EXISTS (SELECT FROM passing)');

-- with named columns of a known meaning
SELECT gpt_train('m', 'SELECT');
SELECT gpt_train('m', 'SELECT lower(body) || title, id + 1 FROM review');
SELECT gpt_train('m', 'SELECT body, body FROM review');
SELECT gpt_train('m', 'SELECT id FROM review');
SELECT gpt_train('m', 'SELECT body, title FROM review');
SELECT gpt_train('m', 'SELECT body, score FROM review');
SELECT gpt_train('m', 'SELECT body, score AS is_validation FROM review');
SELECT gpt_train('m', 'SELECT held_out AS is_validation FROM review');
SELECT gpt_train('m', 'SELECT body FROM review', '{"validation_query": "SELECT id FROM review"}');
SELECT gpt_train('m', 'SELECT body FROM review', '{"validation_query": "SELECT body FROM passing"}');

-- the name of the model
SELECT gpt_train(NULL, 'SELECT body FROM review');
SELECT gpt_train('m', NULL);
SELECT gpt_train('', 'SELECT body FROM review');
SELECT gpt_train('m@2', 'SELECT body FROM review');
SELECT gpt_train(repeat('x', 64), 'SELECT body FROM review');

-- of all these no job is left
SELECT count(*) AS jobs FROM gpt_jobs WHERE model = 'm';

-- these pass; the rollback takes the jobs back
BEGIN;
SELECT gpt_train('m1', 'SELECT body FROM review') > 0 AS submitted;
SELECT gpt_train('m2', 'SELECT title FROM review ORDER BY id;', '{"shuffle": false}') > 0 AS submitted;
SELECT gpt_train('m3', 'TABLE lasting_view') > 0 AS submitted;
SELECT gpt_train('m4', 'VALUES (''a''), (''b'')') > 0 AS submitted;
SELECT gpt_train('m5', 'SELECT body, held_out AS is_validation FROM review') > 0 AS submitted;
SELECT gpt_train('m6', 'SELECT body FROM review UNION ALL SELECT title FROM review') > 0 AS submitted;
SELECT gpt_train('m7', 'WITH r AS (SELECT body FROM review) SELECT upper(body) AS body FROM r LIMIT 5') > 0 AS submitted;
\set VERBOSITY sqlstate
SELECT gpt_train('m1', 'SELECT body FROM review');
\set VERBOSITY default
ROLLBACK;
SELECT count(*) AS jobs FROM gpt_jobs WHERE model ~ '^m\d$';

DROP VIEW lasting_view, passing_view;
DROP TABLE review;
