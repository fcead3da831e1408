-- what an error says about columns of a query
CREATE TABLE shape_row (id int, body text, title text, note text, question text, answer text, stars int, at timestamptz, size float8);
INSERT INTO shape_row SELECT i, 'body ' || i, 'title', 'note', 'question', 'answer', i % 2, now(), 1 FROM generate_series(1, 20) i;
\set options '{"layers": 1, "heads": 1, "channels": 8, "context": 8, "steps": 2, "batch_size": 1, "tokenizer": "bytes", "publish": "last"}'

-- rule: one text needs no name
SELECT gpt_train('shape', 'SELECT ''a '' || body FROM shape_row', :'options') AS job \gset
SELECT gpt_wait(:job);
SELECT documents FROM gpt_jobs WHERE job = :job;
SELECT gpt_finetune('shape', 'SELECT ''a '' || body, 2 AS weight, id FROM shape_row', '{"steps": 1, "watermark": "id", "publish": "last"}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_finetune('shape', 'SELECT ''a '' || body, 2 AS weight, id + 10 AS id FROM shape_row', '{"steps": 1, "since": "watermark", "publish": "last"}') AS job \gset
SELECT gpt_wait(:job);
SELECT documents FROM gpt_jobs WHERE job = :job;
SELECT gpt_finetune('shape', 'SELECT body || title, stars AS label FROM shape_row', '{"into": "shape_stars", "steps": 1, "publish": "last"}') AS job \gset
SELECT gpt_wait(:job);
SELECT value FROM gpt_evaluate('shape', 'SELECT body || title FROM shape_row') WHERE metric = 'documents';
SELECT value FROM gpt_evaluate('shape_stars', 'SELECT body || title, stars AS label FROM shape_row') WHERE metric = 'documents';
SELECT gpt_train_tokenizer('shape', 'SELECT body || title FROM shape_row', '{"vocabulary": 258}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- rule: others do
SELECT gpt_train('none', 'SELECT body || ''a'', title || ''b'' FROM shape_row');
SELECT gpt_train('none', 'SELECT body, 1 + 1 FROM shape_row');

-- rule: the column that is too much is named
SELECT gpt_train('none', 'SELECT id, body FROM shape_row');
SELECT gpt_train('none', 'SELECT id, at, body FROM shape_row');
SELECT gpt_train('none', 'SELECT title, body FROM shape_row');
SELECT gpt_train('none', 'SELECT * FROM shape_row');
SELECT gpt_train('none', 'SELECT id, question AS prompt, answer AS completion, body, stars AS label FROM shape_row');
SELECT gpt_train('none', 'SELECT body, title, note, stars AS label FROM shape_row');
SELECT gpt_evaluate('shape', 'SELECT id, body FROM shape_row');
SELECT gpt_train_tokenizer('none', 'SELECT body, 1 AS weight FROM shape_row');

-- rule: what is named well and has the wrong type is not to be left out
SELECT gpt_train('none', 'SELECT body, at AS label FROM shape_row');
SELECT gpt_train('none', 'SELECT id AS prompt, answer AS completion FROM shape_row');
SELECT gpt_train('none', 'SELECT id FROM shape_row');

-- rule: a prompt without a completion is no plain text, nor the other way round
SELECT gpt_train('none', 'SELECT question AS prompt FROM shape_row');
SELECT gpt_train('none', 'SELECT answer AS completion FROM shape_row');
SELECT gpt_train('none', 'SELECT question AS prompt, answer FROM shape_row');
SELECT gpt_train('none', 'SELECT question AS prompt, stars AS label FROM shape_row');
SELECT gpt_finetune('shape', 'SELECT question AS prompt FROM shape_row');
SELECT value FROM gpt_evaluate('shape', 'SELECT question AS prompt FROM shape_row') WHERE metric = 'documents';
SELECT gpt_evaluate('shape', 'SELECT question AS prompt, answer FROM shape_row');
SELECT gpt_train('none', 'SELECT body FROM shape_row', '{"validation_query": "SELECT question AS prompt FROM shape_row"}');
SELECT gpt_train_tokenizer('shape', 'SELECT question || body AS prompt FROM shape_row', '{"vocabulary": 258}') AS job \gset
SELECT gpt_wait(:job, '300 s');

SELECT gpt_drop_tokenizer('shape');
SELECT gpt_drop_model('shape'), gpt_drop_model('shape_stars');
DROP TABLE shape_row;
