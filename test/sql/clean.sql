-- gpt_clean, and option "clean" of trainings.

-- each step alone, and the default set
CREATE FUNCTION one_step(input text, options jsonb) RETURNS text LANGUAGE sql AS $$SELECT gpt_clean(input, '{"defaults": false}' || options)$$;
SELECT gpt_clean(E'<!DOCTYPE html><html><head><title>Caf\u0065\u0301</title><style>p { color: red }</style></head>\r\n<body>\r\n  <h1>Tea &amp; cake</h1>\r\n
  <p>One <b>bold</b> word&nbsp;&hellip;</p><script>if (a < b) x("</p>")</script>\r\n  <ul>\r\n    <li>a</li>\r\n    <li>b</li>\r\n  </ul></body></html>');
SELECT gpt_clean(line) = line AS stays, count(*) FROM unnest('{"a < b and c > d","I <3 SQL","if (x<y) and (z>3)","std::vector<int> v","<me@example.org>","AT&T &copy=1"}'::text[]) line GROUP BY 1;
SELECT gpt_clean(E'x\u200By\uFEFF\u00ADz\u202E') AS latin, gpt_clean(U&'\0645\06CC\200C\062E\0648\0627\0647\0645') = U&'\0645\06CC\200C\062E\0648\0627\0647\0645' AS persian,
	gpt_clean('👨‍👩‍👧 ❤️') = '👨‍👩‍👧 ❤️' AS emoji, gpt_clean(U&'\0E44\0E17\0E22\200B\0E44\0E17\0E22') = U&'\0E44\0E17\0E22\0E44\0E17\0E22' AS thai, one_step(E'a\x01b\x0Bc', '{"control": true}') AS control;
SELECT one_step('ＰＲＩＣＥ：１２３，ﬁne ①', '{"normalize": "NFKC"}') AS nfkc, one_step('ＰＲＩＣＥ', '{"normalize": "nfc"}') AS nfc, one_step('STRASSE Straße ΣΑΣ', '{"case": "lower"}') AS lower,
	one_step('STRASSE Straße ΣΑΣ', '{"case": "fold"}') AS fold;
SELECT one_step('见http://a.cn/b，或test@qq.com，电话13812345678，卡4111 1111 1111 1111。', '{"urls": true, "emails": "[MAIL]", "phones": true, "numbers": ""}') AS masked,
	one_step('1234567 123456', '{"numbers": true, "digits": 7}') AS digits;
SELECT one_step('The cat and the dog don''t', '{"stop_words": "english"}') AS english, one_step('der Hund und die Katze', '{"stop_words": "german"}') AS german,
	one_step('The CAT', '{"stop_words": ["cat"]}') AS own;
SELECT one_step(E' a \r\n\n\n b  c ', jsonb_build_object('white_space', kind)) FROM unnest('{keep,trim,lines,paragraphs,one_line}'::text[]) kind;
SELECT gpt_clean('ab', '{"min_length": 3}') IS NULL AS short, gpt_clean('世界人', '{"min_length": 3}') AS long, gpt_clean(NULL) IS NULL AND gpt_clean(NULL, '{}') IS NULL AS null,
	gpt_clean(' ') = '' AS empty, gpt_clean(' a ', NULL) = gpt_clean(' a ', '{}') AS defaults;
SELECT gpt_clean('<b>x</b>', 'true'), gpt_clean('<b>x</b>', 'false'), gpt_clean('<b>x</b>', 'null'), gpt_clean(NULL, 'false') IS NULL AS null;
-- a column that is generated, and options that change from row to row
CREATE TABLE page (body text, clean text GENERATED ALWAYS AS (gpt_clean(body)) STORED);
INSERT INTO page VALUES ('<p>x</p>') RETURNING clean;
SELECT gpt_clean('A  b', options) FROM unnest('{"{\"case\": \"lower\"}","{\"white_space\": \"one_line\"}",NULL}'::jsonb[]) options;

-- errors
SELECT gpt_clean('', '{"url": true}');
SELECT gpt_clean('', '{"quite different": true}');
SELECT gpt_clean('', '{"html": 1}');
SELECT gpt_clean('', '{"urls": 1}');
SELECT gpt_clean('', '{"case": "upper"}');
SELECT gpt_clean('', '{"digits": 3}');
SELECT gpt_clean('', '{"min_length": 1.5}');
SELECT gpt_clean('', '{"stop_words": "english_stem"}');
SELECT gpt_clean('', '{"stop_words": "../english"}');
SELECT gpt_clean('', '{"stop_words": true}');
SELECT gpt_clean('', '{"stop_words": ["a", 1]}');
SELECT gpt_clean('', '{"stop_words": [""]}');
SELECT gpt_clean('', jsonb_build_object('stop_words', (SELECT jsonb_agg('w' || n) FROM generate_series(1, 4097) n)));
SELECT gpt_clean('', jsonb_build_object('urls', repeat('x', 65)));
SELECT gpt_clean('', '[]');
SELECT gpt_train('none', 'SELECT body FROM page', '{"clean": "yes"}');
SELECT gpt_train('none', 'SELECT body FROM page', '{"clean": {"htm": true}}');
SELECT gpt_train('none', 'SELECT body FROM page', '{"html": true}');

-- a training cleans rows and validation rows, counts, and keeps the options
CREATE TABLE dirty AS SELECT '<p>Row ' || n || ' of ' || repeat('many ', 3) || '</p> mail a' || n || '@b.org' AS body FROM generate_series(1, 60) n UNION ALL SELECT '<b>x</b>' UNION ALL SELECT '<br>';
CREATE TABLE clean AS SELECT gpt_clean(body, '{"emails": true, "min_length": 5}') AS body FROM dirty;
CREATE FUNCTION tiny(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
	$$SELECT '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 2, "batch_size": 4, "seed": 1}' || more$$;
SELECT gpt_train('washed', 'SELECT body FROM dirty', tiny('{"clean": {"emails": true, "min_length": 5}}')) AS job \gset
SELECT gpt_wait(:job);
SELECT report -> 'rows' AS rows, report -> 'documents' AS documents, report -> 'skipped' AS skipped, report -> 'cleaned' AS cleaned FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('unwashed', 'SELECT body FROM clean', tiny()) AS job \gset
SELECT gpt_wait(:job);
SELECT a.loss = b.loss AND a.validation_loss = b.validation_loss AS same, b.clean FROM gpt_models a, gpt_models b WHERE a.model = 'washed' AND b.model = 'unwashed';
SELECT jsonb_pretty(clean) FROM gpt_models WHERE model = 'washed';
SELECT gpt_train('washed_seen', 'SELECT body FROM dirty', tiny('{"clean": {"emails": true}, "validation_query": "SELECT body FROM dirty"}')) AS job \gset
SELECT gpt_wait(:job);
SELECT report -> 'cleaned' AS cleaned, report -> 'validation' -> 'rows' AS validation FROM gpt_jobs WHERE job = :job;

-- a model cleans what it reads, but for the length, and for white space where text goes on
SELECT gpt_score('washed', '<b>Row</b> 1 x@y.org') = gpt_score('washed', 'Row 1 <email>') AS score, gpt_score('unwashed', '<b>Row</b> 1') <> gpt_score('unwashed', 'Row 1') AS other,
	gpt_score('washed', '<b>Row</b> 1', 'bits_per_byte') = gpt_score('unwashed', 'Row 1', 'bits_per_byte') AS bits_per_byte,
	gpt_score('washed', '{"<b>x</b>","x"}'::text[]) = gpt_score('unwashed', '{x,x}'::text[]) AS elements, gpt_score('washed', '<br>') IS NULL AS nothing;
SELECT gpt_logprob('washed', '<b>Row</b> ', ' 1<br>') = gpt_logprob('unwashed', 'Row ', ' 1') AS logprob, gpt_logprob('washed', 'Row', ' 1') <> gpt_logprob('washed', 'Row', '1') AS space_stays,
	gpt_choose('washed', '<i>Row</i>', '{" 1<br>"," many"}') IN (' 1<br>', ' many') AS choice, gpt_embed('washed', '<b>Row</b>') = gpt_embed('unwashed', 'Row') AS embed;
SELECT gpt_generate('washed', '<b>Row</b> ', 8, seed => 1) = gpt_generate('unwashed', 'Row ', 8, seed => 1) AS generate,
	(SELECT string_agg(text, '' ORDER BY position) FROM gpt_stream('washed', '<b>Row</b> ', 8, seed => 1)) = gpt_generate('unwashed', 'Row ', 8, seed => 1) AS stream;
SELECT gpt_perplexity('washed', body) = gpt_perplexity('washed', gpt_clean(body, '{"emails": true}')) AS perplexity FROM dirty;
SELECT count(*) AS metrics, bool_and(a.value = b.value) AS same FROM gpt_evaluate('washed', 'SELECT body FROM dirty') a JOIN gpt_evaluate('unwashed', 'SELECT body FROM clean') b USING (metric)
	WHERE metric NOT LIKE '%skipped%';

-- classifiers, conversations, prompts
CREATE TABLE chat AS SELECT jsonb_build_array(jsonb_build_object('role', 'user', 'content', '<p>Say ' || n || '</p>'), jsonb_build_object('role', 'assistant', 'content', 'It is&nbsp;' || n)) AS messages FROM generate_series(1, 30) n;
SELECT gpt_finetune('washed', 'SELECT messages FROM chat', '{"into": "washed_talk", "chat_template": "chatml", "steps": 2, "clean": {"case": "lower"}}') AS job \gset
SELECT gpt_wait(:job);
SELECT report -> 'cleaned' AS cleaned FROM gpt_jobs WHERE job = :job;
SELECT gpt_chat_tokens('washed_talk', '"<b>SAY</b> 1"') = gpt_chat_tokens('washed_talk', '"say 1"') AS tokens, gpt_chat('washed_talk', '"<b>SAY</b> 1"', 8, seed => 1) = gpt_chat('washed_talk', '"say 1"', 8, seed => 1) AS chat;
SELECT gpt_finetune('washed', 'SELECT body AS text, ascii(reverse(split_part(body, ''@'', 1))) % 2 AS label FROM dirty', '{"into": "washed_labels", "steps": 2}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_classify('washed_labels', '<b>Row</b>') = gpt_classify('washed_labels', 'Row') AS classify,
	(SELECT array_agg(p) FROM gpt_classify_probs('washed_labels', '<b>Row</b>') p) = (SELECT array_agg(p) FROM gpt_classify_probs('washed_labels', 'Row') p) AS probabilities;
SELECT gpt_finetune('washed', $$SELECT '<b>Row</b> ' || n AS prompt, ' is ' || n || ' ' AS completion FROM generate_series(1, 30) n$$, '{"into": "washed_pairs", "steps": 2, "clean": true}') AS job \gset
SELECT gpt_wait(:job);
SELECT report -> 'bytes' AS bytes, report -> 'cleaned' AS cleaned FROM gpt_jobs WHERE job = :job;

-- a fine-tune takes the base's options over, or its own; copies keep them
SELECT gpt_finetune('washed', 'SELECT body FROM dirty', '{"into": "washed_none", "steps": 2, "clean": false}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_export_file('washed', 'README.md') LIKE E'%## Cleaning%"emails": "<email>"%' AS export_says_so, gpt_export_file('unwashed', 'README.md') LIKE '%## Cleaning%' AS other;
SELECT gpt_copy_model('washed', 'washed_copy');
SELECT model, clean ->> 'emails' AS emails, clean ->> 'case' AS letter_case, clean IS NULL AS none FROM gpt_models WHERE model LIKE '%washed%' ORDER BY model;

SELECT count(gpt_drop_model(model)) FROM gpt_models WHERE model LIKE '%washed%';
DROP TABLE page, dirty, clean, chat;
DROP FUNCTION tiny, one_step;
