-- test/docs/shop.sql - the tables of a shop that README.md and docs/guide.md take for granted: reviews, questions with
-- answers, words, and lines of a log. Each document has its own copy: \i :source/test/docs/shop.sql
\set QUIET on
CREATE TABLE review AS
SELECT id, i.item || ' ' || v.verdict || ' after ' || id % 17 + 2 || ' days.' AS body, v.stars, v.tags, id % 9 AS shop,
	now() - id * interval '45 minutes' AS created, now() - id * interval '45 minutes' AS ts
FROM generate_series(1, 400) AS id
JOIN (VALUES (0, 'This phone'), (1, 'The lamp'), (2, 'Our kettle'), (3, 'My new camera'), (4, 'The battery')) AS i (n, item) ON i.n = id % 5
JOIN (VALUES (0, 'works well', 5, '{quality}'::text[]), (1, 'broke', 1, '{quality,return}'), (2, 'arrived late', 2, '{delivery}'),
	(3, 'is still fine', 4, '{}')) AS v (n, verdict, stars, tags) ON v.n = id % 4;
ALTER TABLE review ADD PRIMARY KEY (id);
CREATE TABLE review_test AS SELECT * FROM review WHERE id % 8 = 0;

CREATE TABLE faq AS
SELECT id, 'How do I return ' || item || '?' AS question, 'Send ' || item || ' back within ' || id % 3 + 2 || ' weeks.' AS answer, id % 4 + 1 AS votes
FROM generate_series(1, 60) AS id
JOIN (VALUES (0, 'a phone'), (1, 'a lamp'), (2, 'a kettle'), (3, 'a camera'), (4, 'a battery')) AS i (n, item) ON i.n = id % 5;
CREATE TABLE faq_test AS SELECT * FROM faq WHERE id % 6 = 0;
CREATE TABLE question AS SELECT id, question FROM faq WHERE id <= 5;

CREATE TABLE dictionary AS SELECT substr(md5(i::text), 1, i % 5 + 3) AS word FROM generate_series(1, 300) AS i;

CREATE TABLE log AS
SELECT now() - i * interval '20 minutes' AS at, i / 5 AS session,
	format('session %s %s from 10.0.0.%s', i / 5, (ARRAY['opened', 'reads', 'writes', 'reads', 'closed'])[i % 5 + 1], i % 7) AS message
FROM generate_series(1, 200) AS i;
ANALYZE;
-- A run that was cut off may have left the role that a document makes.
SET client_min_messages = warning;
DROP ROLE IF EXISTS analyst;
RESET client_min_messages;
\unset QUIET
