-- examples/load.sql - the sample as rows, one a speech: about nine tenths to train on, the rest unseen, and rows that
-- do not belong. The variable "file" names the text: psql -v file=examples/tinyshakespeare.txt -f examples/load.sql
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS gpt;

CREATE TABLE speech (id integer PRIMARY KEY, speaker text NOT NULL, body text NOT NULL);
CREATE TABLE unseen_speech (id integer PRIMARY KEY, speaker text NOT NULL, body text NOT NULL);
CREATE TABLE planted (id integer PRIMARY KEY, kind text NOT NULL, body text NOT NULL);
CREATE TABLE sample (body text NOT NULL);

\set sample `cat :'file'`
INSERT INTO sample VALUES (:'sample');

-- Equal speeches have equal hashes, so that none is both trained on and unseen.
WITH part AS (
	SELECT id, split_part(body, E':\n', 1) AS speaker, body,
		('x' || left(md5(body), 8))::bit(32)::bigint % 10 = 0 AS unseen
	FROM regexp_split_to_table(:'sample', E'\n\n+') WITH ORDINALITY AS t(body, id)
	WHERE body LIKE E'%:\n%'
), kept_back AS (
	INSERT INTO unseen_speech SELECT id, speaker, body FROM part WHERE unseen
)
INSERT INTO speech SELECT id, speaker, body FROM part WHERE NOT unseen;

INSERT INTO planted VALUES
	(1, 'log', 'Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh'),
	(2, 'log', '2024-05-06 07:08:09.123 UTC [4711] ERROR:  duplicate key value violates unique constraint "orders_pkey"'),
	(3, 'log', '127.0.0.1 - - [10/Oct/2023:13:55:36 +0000] "GET /index.php?id=42 HTTP/1.1" 404 2326'),
	(4, 'source code', E'static int\ncompare(const void *a, const void *b)\n{\n\treturn *(const int *) a - *(const int *) b;\n}'),
	(5, 'source code', E'for (let i = 0; i < items.length; i++) {\n  console.log(JSON.stringify(items[i], null, 2));\n}'),
	(6, 'source code', E'def fit(self, X, y=None, **kwargs):\n    return np.linalg.lstsq(X.T @ X + 1e-6, X.T @ y)[0]'),
	(7, 'SQL', 'SELECT o.id, sum(l.qty * l.price) FROM orders o JOIN lines l USING (order_id) GROUP BY 1 HAVING count(*) > 3;'),
	(8, 'JSON', '{"user": {"id": 90210, "email": "a.b@example.org", "roles": ["admin", "dev"]}, "ok": true}'),
	(9, 'German', 'Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller staatlichen Gewalt.'),
	(10, 'French', 'Longtemps, je me suis couché de bonne heure. Parfois, à peine ma bougie éteinte, mes yeux se fermaient.'),
	(11, 'Russian', 'Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.'),
	(12, 'Chinese', '床前明月光,疑是地上霜。舉頭望明月,低頭思故鄉。');

ANALYZE speech, unseen_speech, planted;
SELECT (SELECT count(*) FROM speech) AS speeches, (SELECT count(*) FROM unseen_speech) AS unseen,
	(SELECT count(*) FROM planted) AS planted;
