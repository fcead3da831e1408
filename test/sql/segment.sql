-- words of languages with and without spaces; ICU has dictionaries for Chinese, Japanese and Thai
SELECT * FROM gpt_segment('Don''t stop: it''s 3.14!');
SELECT string_agg(segment, '|' ORDER BY position) AS words FROM gpt_segment('我喜欢吃苹果。你好，世界！');
SELECT string_agg(segment, '|' ORDER BY position) AS words FROM gpt_segment('東京は日本の首都です。', locale => 'ja');
SELECT string_agg(segment, '|' ORDER BY position) AS words FROM gpt_segment('ภาษาไทยง่ายมาก', 'word', 'th');
SELECT count(*) AS emoji_are_no_words FROM gpt_segment('🙂 👩‍🔬 …');

-- spans are words and what is between them
SELECT * FROM gpt_segment('a 1, 世 🙂', 'span');
SELECT string_agg(segment, '' ORDER BY position) = input AS whole, bool_and(substr(input, start, length(segment)) = segment) AS places
	FROM (VALUES (E'Grüße, 世界!\r\n  e\u0301 👨‍👩‍👧 ภาษาไทย ')) v(input), gpt_segment(input, 'span') GROUP BY input;

-- sentences, without the white space around them
SELECT position, start, segment, type FROM gpt_segment(E'  Mr. Fox ran.  "Did he?"\nYes! 是的。不是！', 'sentence');

-- lines are what may not be broken; graphemes are what people call a character
SELECT string_agg(quote_literal(segment), ' ' ORDER BY position) AS lines FROM gpt_segment('a well-known word, 世界', 'line');
SELECT string_agg(segment, '|' ORDER BY position) AS graphemes, max(position) AS n FROM gpt_segment(E'e\u0301👨‍👩‍👧🇩🇪🇫🇷', 'grapheme');

-- a locale may have rules of its own: a colon is inside of Swedish words
SELECT locale, string_agg(segment, '|' ORDER BY position) AS words FROM (VALUES ('root'), ('sv'), ('sv_SE.UTF-8')) v(locale), gpt_segment('EU:s regler', 'word', locale) GROUP BY locale ORDER BY locale;

-- nothing
SELECT count(*) FROM gpt_segment('') UNION ALL SELECT count(*) FROM gpt_segment(E' \n') UNION ALL SELECT count(*) FROM gpt_segment(NULL)
	UNION ALL SELECT count(*) FROM gpt_segment('a', NULL) UNION ALL SELECT count(*) FROM gpt_segment('a', locale => NULL);

-- rows of a table, with kinds and locales that change from row to row; also in the select list
SELECT n, kind, segment FROM (VALUES (1, 'word'), (2, 'sentence'), (3, 'word'), (4, 'span')) v(n, kind), gpt_segment('A b.', kind) ORDER BY n, position;
SELECT (gpt_segment(body)).segment FROM (VALUES ('a b'), ('c')) v(body);

-- a text larger than a window has the segments of its parts
SELECT count(*) AS words, count(DISTINCT segment) AS different, max(start) FROM gpt_segment(repeat('one two three. ', 20000));
SELECT count(*) AS sentences, max(length(segment)) FROM gpt_segment(repeat('One two three. ', 20000), 'sentence');

-- errors
SELECT gpt_segment('a', 'words');
SELECT gpt_segment('a', 'word', 'german');
