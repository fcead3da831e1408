-- tokens of a text and their scores; words that are marked by them
CREATE TABLE passage (id serial, language text, body text);
INSERT INTO passage (language, body) VALUES
	('English', 'All human beings are born free and equal in dignity and rights.'),
	('German', 'Alle Menschen sind frei und gleich an Würde und Rechten geboren; „größer“ geht es nicht.'),
	('French', 'Tous les êtres humains naissent libres et égaux en dignité et en droits. Où ça ? Là-bas !'),
	('Spanish', '¿Todos los seres humanos nacen libres? ¡Mañana, quizá!'),
	('Polish', 'Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.'),
	('Turkish', 'Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İstanbul ılık.'),
	('Vietnamese', E'Tất cả mọi người sinh ra đều được tự do; decomposed: Tâ\u0301t ca\u0309'),
	('Russian', 'Все люди рождаются свободными и равными в своем достоинстве и правах.'),
	('Greek', 'Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.'),
	('Hebrew', 'כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.'),
	('Arabic', 'يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.'),
	('Persian', E'تمام افراد بشر آزاد به دنیا می\u200Cآیند.'),
	('Hindi', 'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।'),
	('Tamil', 'மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.'),
	('Thai', 'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์'),
	('Chinese', '人人生而自由，在尊严和权利上一律平等。𠀀𠮷'),
	('Japanese', 'すべての人間は、生まれながらにして自由であり、カタカナ。'),
	('Korean', '모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.'),
	('Amharic', 'የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።'),
	('emoji', E'👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇭 👍🏽 e\u0301\u0323 \t tab, line\n\n\r end  two  spaces ');
SELECT gpt_train('pieces', 'SELECT body FROM passage',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bpe", "vocabulary": 320, "steps": 30, "batch_size": 8, "validation_fraction": 0, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('letters', 'SELECT body FROM passage WHERE id <= 5',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "chars", "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('normal', 'SELECT body FROM passage',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bpe", "vocabulary": 300, "normalize": "NFC", "clean": {"case": "lower"}, "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('answers', $$SELECT language AS prompt, body AS completion FROM passage$$,
	'{"architecture": "encoder_decoder", "layers": 1, "heads": 1, "channels": 16, "context": 512, "tokenizer": "bytes", "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- texts together are the text, and log probabilities its score, bit for bit; none is split
CREATE FUNCTION read(model text, input text, prompt text, OUT whole text, OUT total float8, OUT scored bigint, OUT in_place boolean) LANGUAGE SQL AS $$
	SELECT string_agg(t.text, '' ORDER BY position), sum(logprob ORDER BY position), count(logprob),
		bool_and(bytes = substring(convert_to(input, 'UTF8') FROM "offset" + 1 FOR t.length))
	FROM gpt_tokens(model, input, prompt) t
$$;
SELECT model, count(*), bool_and(whole = body) AS is_input, bool_and(total = gpt_score(model, body, 'logprob')) AS is_score,
	bool_and(scored = gpt_score(model, body, 'tokens')) AS counts, bool_and(in_place) AS in_place
FROM unnest(ARRAY['pieces', 'letters', 'answers']) model, passage, read(model, body, NULL) GROUP BY model ORDER BY model;
SELECT model, count(*), bool_and(whole = body) AS is_input, bool_and(total = gpt_logprob(model, language, body, false)) AS is_logprob
FROM unnest(ARRAY['pieces', 'letters', 'answers']) model, passage, read(model, body, language) GROUP BY model ORDER BY model;

-- offsets are those of the text that the model reads
SELECT bool_and(whole = normalize(gpt_clean(body, '{"case": "lower"}'), NFC)) AS is_clean, bool_or(whole <> body) AS differs,
	bool_and(total = gpt_score('normal', body, 'logprob')) AS is_score
FROM passage, read('normal', body, NULL);
-- a tokenizer that changes texts by rules of its own: what the tokens spell
SELECT gpt_train('changed', 'SELECT body FROM passage',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "unigram", "vocabulary": 380, "normalize": "NFKC", "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT whole, in_place, total = gpt_score('changed', 'Ｎr. ① ﬁn 中', 'logprob') AS is_score FROM read('changed', 'Ｎr. ① ﬁn 中', NULL);

-- what a row says
SELECT position, text, bytes, "offset", length, logprob IS NULL AS unscored, rank > 0 AS ranked, entropy BETWEEN 0 AND ln(321::float8) AS bounded FROM gpt_tokens('pieces', '中é');
SELECT bool_and((rank = 1) = (expected = gpt_token_text('pieces', token))) AS ranks, bool_and(logprob < 0) AS likely FROM passage, gpt_tokens('pieces', body);
SELECT bool_and(expected = gpt_generate('letters', left(body, 8), 1, 0)) AS is_generated FROM passage, gpt_tokens('letters', body)
WHERE position = 9 AND expected NOT LIKE '<%';

-- words are marked by the bits of the tokens that end in them, white space by the word after it; marks taken away leave the text
WITH span AS (SELECT id, s.*, start + length(segment) - 1 AS last FROM passage, gpt_segment(body, 'span') s WHERE language <> 'emoji'),
	word AS (SELECT id, position, last, lag(last, 1, 0) OVER (PARTITION BY id ORDER BY position) AS before FROM span WHERE type <> 'space'),
	level AS (SELECT w.id, w.position, width_bucket(-sum(t.logprob) / ln(2::float8), ARRAY[8, 12, 16, 20]::float8[]) AS level
		FROM word w JOIN passage USING (id), gpt_tokens('letters', body) t WHERE t.position > before AND t.position <= last GROUP BY 1, 2),
	marked AS (SELECT id, string_agg(CASE WHEN coalesce(level, 0) = 0 THEN segment ELSE '‹' || segment || '›' || substr('¹²³⁴', level, 1) END, '' ORDER BY position) AS marked
		FROM span LEFT JOIN level USING (id, position) GROUP BY id)
SELECT bool_and(marked = gpt_highlight('letters', body)) AS by_bits, count(DISTINCT m) > 1 AS differ
FROM marked JOIN passage USING (id), regexp_matches(marked, '›([¹²³⁴])', 'g') m;
SELECT bool_and(regexp_replace(gpt_highlight('pieces', body), '‹([^›]*)›[¹²³⁴]', '\1', 'g') = body) AS brackets,
	bool_and(regexp_replace(gpt_highlight('pieces', body, style => 'ansi'), E'\u001b\\[38;5;16;48;5;\\d+m([^\u001b]*)\u001b\\[0m', '\1', 'g') = body) AS colours
FROM passage WHERE language <> 'emoji';
SELECT gpt_highlight('pieces', E'a\u001b[31m \u202e \u0007 ‹x›⁴ \r\n\tb', 'surprise', style) !~ E'[\u0001-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]' AS inert,
	position('[U+202E]' IN gpt_highlight('pieces', E'\u202e', 'surprise', style)) > 0 AS visible
FROM unnest(ARRAY['brackets', 'ansi']) style;
SELECT regexp_count(gpt_highlight('pieces', E'\u001b[31mx', style => 'ansi'), E'\u001b\\[(0|38;5;16;48;5;\\d+)m') = regexp_count(gpt_highlight('pieces', E'\u001b[31mx', style => 'ansi'), E'\u001b') AS colours_of_ours,
	gpt_highlight('pieces', '‹x›⁴ y') ~ '\[U\+2039\].*\[U\+203A\]' AS brackets_of_ours;
SELECT gpt_highlight('pieces', '') = '' AS empty, gpt_highlight('pieces', NULL) IS NULL AS input, gpt_highlight(NULL, 'x') IS NULL AS model,
	gpt_highlight('pieces', 'x', NULL, NULL) = gpt_highlight('pieces', 'x') AS defaults;
SELECT gpt_highlight('pieces', 'x', 'surprised');
SELECT gpt_highlight('pieces', 'x', style => 'html');

-- nothing, and what has no tokens of its own
SELECT (SELECT count(*) FROM gpt_tokens(NULL, 'x')) AS model, (SELECT count(*) FROM gpt_tokens('pieces', NULL)) AS input,
	(SELECT count(*) FROM gpt_tokens('pieces', '')) AS empty, (SELECT count(*) FROM gpt_tokens('pieces', '', 'prompt')) AS after_prompt;
SELECT gpt_tokens('nobody', 'x');

-- of a classifier the words that decide are marked, for the answer or against it
SELECT gpt_train('causes', $$SELECT 'the parcel came ' || CASE WHEN i % 2 = 0 THEN 'kindly' ELSE 'broken' END || ' on day ' || i AS text, i % 2 AS label FROM generate_series(1, 100) i$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 30, "batch_size": 8, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT method, h ~ '‹kindly›⁻[¹²³⁴]' AS against, h ~ '(‹broken›⁺[¹²³⁴]\s+){3}' AS cause, h !~ E'[\u001b\u202e]' AS inert,
	replace(regexp_replace(h, '‹([^›]*)›[⁺⁻][¹²³⁴]', '\1', 'g'), '[U+202E]', E'\u202e') = input AS is_input
FROM unnest(ARRAY['gradients', 'occlusion']) method, (VALUES (E' kindly‼ broken\t broken\n broken 中文 \u202e')) v (input), gpt_highlight('causes', input, method) h;
SELECT gpt_tokens('causes', 'x');
SELECT gpt_highlight('causes', 'x', 'surprise');
SELECT gpt_highlight('causes', 'kindly', style => 'ansi') ~ E'^\u001b\\[38;5;16;48;5;81mkindly\u001b\\[0m$' AS blue_by_default;

-- bounds: memory, and time
SET gpt.max_memory = '16MB';
SELECT gpt_tokens('letters', repeat('text ', 100000));
RESET gpt.max_memory;
SET statement_timeout = '200ms';
SELECT count(*) FROM gpt_tokens('pieces', repeat('text ', 500000));
RESET statement_timeout;
SET client_min_messages = warning;
SELECT count(gpt_drop_model(model)) FROM unnest('{pieces,letters,normal,answers,changed,causes}'::text[]) model;
RESET client_min_messages;
