-- test/tap/report.sql - gpt_report and gpt_model_card: sections by the kind of model, hostile rows and names are inert, who sees what, rows of a query,
-- errors. test/browser/report.mjs opens reports in a browser, by hand.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset
CREATE ROLE gpt_report_reader;
CREATE ROLE gpt_report_stranger;
GRANT USAGE ON SCHEMA :schema, public TO gpt_report_reader, gpt_report_stranger;

CREATE TABLE hostile (i int, body text, label text, number float8);
INSERT INTO hostile SELECT i, (ARRAY['<script>alert(1)</script><img src=x onerror=alert(2)>', E'\x1b[31mred\x1b[0m \x07', E'a \u202Egnp.exe\u202C \u200B\uFEFF',
	$$"quoted" & 'single' </style></title><!-- ]]>$$, E'| `code` **b** [x](javascript:alert(1))\n# head\n```'])[1 + i % 5] || ' ' || i, '<b>' || i % 3, i % 7
	FROM generate_series(1, 200) i;
\set options '{"layers": 1, "heads": 1, "channels": 16, "context": 48, "steps": 4, "batch_size": 8, "tokenizer": "bytes", "validation_fraction": 0.3}'
SELECT E'te"xt <i> \\ \' \u202E' AS odd \gset
SELECT gpt_train(:'odd', 'SELECT body FROM hostile -- </pre><script>', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a language model of hostile rows, with a hostile name');
SELECT gpt_train('class', 'SELECT body, label FROM hostile', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a classifier');
SELECT gpt_train('number', 'SELECT body, number AS label FROM hostile', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a regression model');
SELECT gpt_train('prompt', 'SELECT body AS prompt, label AS completion FROM hostile', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model of completions');
SELECT gpt_finetune('prompt', $$SELECT body AS prompt, 'yes ' || i AS chosen, 'no ' || i AS rejected FROM hostile$$, '{"into": "prefer", "steps": 2}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model of preferences');

-- A report as XML: void elements are closed, and the type of the document is left out.
CREATE FUNCTION tree(report text) RETURNS xml LANGUAGE sql AS $$
	SELECT xmlparse(document regexp_replace(regexp_replace(report, '^<!DOCTYPE html>', ''), '<(meta|link)([^>]*)>', '<\1\2/>', 'g')) $$;
CREATE FUNCTION texts(report text, path text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(x::text, ' ') FROM unnest(xpath(path, tree(report))) x $$;
CREATE TABLE report AS SELECT m, gpt_report(m, '{"samples": 2, "sample_tokens": 24}') AS html FROM unnest(ARRAY[:'odd', 'class', 'number', 'prompt', 'prefer']) m;
SELECT is(count(tree(html)), 5::bigint, 'reports are well-formed') FROM report;
SELECT is((SELECT string_agg(DISTINCT texts(html, '//h2/text()'), '; ') FROM report), 'Model Data Training Quality Most surprising rows Samples Versions How to use it', 'they have the same sections');
SELECT is_empty($$SELECT m, e FROM report, unnest(xpath('//script | //iframe | //object | //form | //b | //i | //*[starts-with(local-name(@*), "on")] | //a[not(starts-with(@href, "#"))] | //img',
	tree(html))) e$$, 'nothing of a row, a query or a name is markup');
SELECT is_empty($$SELECT m FROM report WHERE html ~ '[\u0001-\u0008\u000B-\u001F\u007F-\u009F\u200B\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]'$$, 'no control character, no mark of direction is left');
SELECT matches(html, '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''; img-src data:', 'a policy forbids scripts') FROM report WHERE m = 'class';
SELECT is_empty($$SELECT m FROM report WHERE html ~* '(src|href)="?(https?:|//|javascript:)|url\(|@import'$$, 'nothing is loaded from elsewhere');
SELECT is((SELECT array_agg(x::text) FROM unnest(xpath('//svg[@role="img"]/title/text()', tree(html))) x), ARRAY['Losses by step', 'Metric of the task by step', 'Learning rate by step', 'Calibration'], 'charts have titles')
	FROM report WHERE m = 'class';
SELECT matches(texts(html, '//svg/title/text()'), 'Predicted against true numbers', 'a regression model has its numbers against the true ones') FROM report WHERE m = 'number';
SELECT is((xpath('count(//pre[contains(@class, "heat")])', tree(html)))[1]::text, wanted, 'rows with their tokens: ' || left(m, 6)) FROM report JOIN (VALUES (:'odd', '5'), ('prompt', '5'), ('class', '5'), ('number', '5')) v (m, wanted) USING (m);
SELECT is((SELECT x::text FROM unnest(xpath('(//pre[contains(@class, "heat")])[1]', tree(html))) x) ~ 't[1-5]"', true, 'tokens that cost more bits are darker') FROM report WHERE m = :'odd';
SELECT matches(html, ', labelled &quot;&lt;b&gt;[0-2]&quot;, (the model says &quot;&lt;b&gt;[0-2]&quot;|as the model does)', 'a row of a classifier has its label and that of the model') FROM report WHERE m = 'class';
SELECT is((SELECT string_agg(x::text, ' ') FROM unnest(xpath('//section[@aria-labelledby="surprising"]//li/p[@class="score"]/text()', tree(html))) x) ~ '^(\d+\.\d+ absolute error: it is \S+, predicted \S+ ?){5}$', true,
	'a row of a regression model has its number and that of the model') FROM report WHERE m = 'number';
SELECT is_empty($$SELECT m, e FROM report, unnest(xpath('//svg[@role="img"][not(desc/text())] | //table[not(caption/text())] | //th[not(@scope)] | //h1[2]', tree(html))) e$$, 'charts are described, tables have captions and scopes');
SELECT is((SELECT sum(x::text::int) FROM unnest(xpath('//table[contains(@class, "confusion")]//td/text()', tree(html))) x), (SELECT (evaluation->>'rows')::bigint FROM gpt_versions WHERE model = 'class'),
	'the confusion matrix has each measured row') FROM report WHERE m = 'class';
SELECT is(texts(html, '//section[@aria-labelledby="samples"]/p/text()'), wanted, 'samples of ' || left(m, 6)) FROM report JOIN (VALUES
	('class', 'This model writes no texts.'), ('prefer', 'This model answers prompts. Give gpt_report the option "prompt", or a "query" with a column "prompt".'),
	('prompt', 'Written by the model for this report, not chosen. Seed 1 and following. The prompts are those of the most surprising rows.'),
	(:'odd', 'Written by the model for this report, not chosen. Seed 1 and following.')) v (m, wanted) USING (m);
SELECT is(texts(html, '(//code)[last()]/text()'), $$SELECT * FROM gpt_evaluate(U&amp;'te"xt &lt;i&gt; \\ '' \202E');$$, 'the name is a literal that can be copied') FROM report WHERE m = :'odd';
SELECT is((SELECT count(*) FROM gpt_evaluate(U&'te"xt <i> \\ '' \202E')) > 0, true, 'and means the model');
SELECT is(texts(gpt_report(:'odd', '{"samples": 2, "sample_tokens": 24}'), '//section[@aria-labelledby="samples"]//pre'), texts(html, '//section[@aria-labelledby="samples"]//pre'), 'the same seed gives the same samples')
	FROM report WHERE m = :'odd';

-- options
SELECT matches(gpt_report('class', '{"title": "A <b>title</b>"}'), '<h1 dir="auto">A &lt;b&gt;title&lt;/b&gt;</h1>', 'a title');
SELECT is((xpath('count(//section[@aria-labelledby="samples"]//li)', tree(gpt_report('prompt', '{"prompt": "x", "samples": 4, "sample_tokens": 2}'))))[1]::text, '4', 'a prompt gives samples');
SELECT is((xpath('count(//section[@aria-labelledby="samples"]//li)', tree(gpt_report('prompt', '{"query": "SELECT body AS prompt, label AS completion FROM hostile", "max_rows": 5, "sample_tokens": 2}'))))[1]::text,
	'3', 'so do prompts of a query');
CREATE FUNCTION asked(model text, query text, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT texts(gpt_report(model, jsonb_build_object('query', query, 'samples', 0) || more), '//section[@aria-labelledby="quality"]/p[1]/text()') $$;
SELECT is(asked('class', 'SELECT body, label FROM hostile', '{"max_rows": 20}'), 'Measured now, on 20 rows of the query of this report.', 'rows of a query');
SELECT is(asked('class', 'SELECT body, CASE WHEN i < 10 THEN ''new'' ELSE label END AS label FROM hostile'), 'Measured now, on 191 rows of the query of this report.', 'a label that is not known is left out');
SELECT is(asked('number', 'SELECT body, number AS label FROM hostile'), 'Measured now, on 200 rows of the query of this report.', 'numbers');
SELECT is(asked(:'odd', 'SELECT body FROM hostile UNION ALL SELECT NULL'), 'Measured now, on 200 rows of the query of this report.', 'texts');
SELECT is(asked('prefer', 'SELECT body AS prompt, ''yes'' AS chosen, ''no'' AS rejected FROM hostile LIMIT 8'), 'Measured now, on 8 rows of the query of this report.', 'pairs of answers');
SELECT is(texts(gpt_report('class', '{"query": "SELECT body, label FROM hostile", "samples": 0}'), '(//table[@class="metrics"]//td)[1]/text()'),
	(SELECT trim(to_char(value, '0.0000')) FROM gpt_evaluate('class', 'SELECT body, label FROM hostile') WHERE metric = 'accuracy'), 'accuracy is that of gpt_evaluate');

-- the model card
SELECT is(card->>'model', 'class', 'JSON has the model') FROM (SELECT gpt_model_card('class', 'json')::jsonb AS card) c;
SELECT is(card->'evaluation', (SELECT evaluation FROM gpt_versions WHERE model = 'class'), 'and its evaluation') FROM (SELECT gpt_model_card('class', 'json')::jsonb AS card) c;
SELECT matches(gpt_model_card('class'), '\| Accuracy \| 0\.\d+ \| 0\.\d+ to 0\.\d+ \| \d+ \|', 'Markdown has metrics with their intervals');
SELECT matches(gpt_model_card(:'odd'), '^# te"xt &lt;i&gt; \\\\ '' \\\[U\+202E\\\]\n', 'a name is escaped');
SELECT is_empty($$SELECT 1 FROM regexp_split_to_table(gpt_model_card('class'), '\n') line WHERE line LIKE '|%' AND line ~ '<|[^\\]`'$$, 'labels are no markup');
SELECT gpt_finetune('class', 'SELECT body, label FROM hostile', '{"steps": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a second version');
SELECT is((SELECT string_agg(v->>'version', ' ') FROM jsonb_array_elements(gpt_model_card('class@1', 'json')::jsonb->'versions') v), '2 1', 'versions, the newest first');
SELECT matches(gpt_model_card('class@1'), 'gpt_classify\(''class@1'', body\)', 'a version that is not current is used by its number');

-- who sees what
SELECT gpt_grant('class', 'gpt_report_reader');
SELECT gpt_grant(:'odd', 'gpt_report_reader');
SELECT gpt_grant('number', 'gpt_report_reader');
SELECT is(evaluation ? 'pairs', true, 'the owner has numbers of rows') FROM gpt_versions WHERE model = 'number';
SET ROLE gpt_report_reader;
SELECT is(texts(gpt_report('class', '{"samples": 0}'), '//p[@class="missing"]/text()'), 'The query is shown only to members of the owner, postgres. '
	|| format('The log of job %s is shown only to members of the job''s owner, and goes with gpt_forget_jobs. ', :job) || 'Texts of held-out rows are shown only to members of the owner, postgres. No samples were asked for.',
	'a reader is told why there is no query, no curve and no row');
SELECT is(evaluation ? 'pairs', false, 'a reader has no numbers of rows') FROM gpt_versions WHERE model = 'number';
SELECT unalike(gpt_report(:'odd', '{"samples": 0}'), '%hostile%', 'and sees neither the query');
SELECT unalike(gpt_report(:'odd', '{"samples": 0}'), '%gnp.exe%', 'nor rows');
SELECT unalike(gpt_model_card(:'odd', 'json'), '%gnp.exe%', 'in the card neither');
SELECT is(asked('class', $$SELECT 'x'::text AS body, '<b>1' AS label$$), 'Measured now, on 1 rows of the query of this report.', 'but measures rows of its own');
SELECT throws_ok($$SELECT gpt_report('class', '{"query": "SELECT body, label FROM hostile"}')$$, '42501', 'permission denied for table hostile', 'and no others');
SET ROLE gpt_report_stranger;
SELECT throws_ok($$SELECT gpt_report('class')$$, '42501', NULL, 'a stranger has no report');
SELECT throws_ok($$SELECT gpt_model_card('class')$$, '42501', NULL, 'and no card');
RESET ROLE;

-- errors
SELECT throws_ok($$SELECT gpt_report(NULL)$$, '22004', 'model must not be null', 'no model');
SELECT lives_ok($$SELECT gpt_report('class', NULL)$$, 'NULL options are the defaults');
SELECT throws_ok($$SELECT gpt_report('nothing')$$, '42704', NULL, 'a model that does not exist');
SELECT throws_ok($$SELECT gpt_report('class', '{"sample": 1}')$$, '22023', 'option "sample" does not exist', 'an option that does not exist');
SELECT throws_ok($$SELECT gpt_report('class', '{"minutes": 1}')$$, '22023', 'gpt_report has no option "minutes"', 'an option of another function');
SELECT throws_ok($$SELECT gpt_report('class', '{"query": "SELECT body FROM hostile"}')$$, '42809', 'model "class" is a classifier', 'rows without labels');
SELECT throws_ok($$SELECT gpt_report('number', '{"query": "SELECT body FROM hostile"}')$$, '42809', 'model "number" is a regression model', 'or without numbers');
SELECT throws_ok($$SELECT gpt_report('prompt', '{"query": "SELECT body, label FROM hostile"}')$$, '42809', 'model "prompt" is not a classifier', 'labels are for classifiers');
SELECT throws_ok($$SELECT gpt_report('class', '{"query": "DELETE FROM hostile"}')$$, NULL, NULL, 'a query that writes');
SELECT throws_ok($$SELECT gpt_report('class', '{"query": "SELECT NULL::text AS body, NULL::text AS label"}')$$, 'P0002', NULL, 'no rows');
SELECT throws_ok($$SELECT gpt_model_card('class', 'html')$$, '22023', 'format "html" is not known', 'a format that does not exist');
SELECT throws_ok($$SELECT gpt_model_card('class', NULL)$$, '22004', 'format must not be null', 'no format');

DROP OWNED BY gpt_report_reader, gpt_report_stranger;
DROP ROLE gpt_report_reader, gpt_report_stranger;
SELECT * FROM finish();
