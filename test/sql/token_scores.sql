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
SELECT gpt_wait(:job, '60 s');
SELECT gpt_train('letters', 'SELECT body FROM passage WHERE id <= 5',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "chars", "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '60 s');
SELECT gpt_train('normal', 'SELECT body FROM passage',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bpe", "vocabulary": 300, "normalize": "NFC", "clean": {"case": "lower"}, "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '60 s');
SELECT gpt_train('answers', $$SELECT language AS prompt, body AS completion FROM passage$$,
	'{"architecture": "encoder_decoder", "layers": 1, "heads": 1, "channels": 16, "context": 512, "tokenizer": "bytes", "steps": 3, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '60 s');

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
SELECT gpt_wait(:job, '60 s');
SELECT whole, in_place, total = gpt_score('changed', 'Ｎr. ① ﬁn 中', 'logprob') AS is_score FROM read('changed', 'Ｎr. ① ﬁn 中', NULL);

-- what a row says
SELECT position, text, bytes, "offset", length, logprob IS NULL AS unscored, rank > 0 AS ranked, entropy BETWEEN 0 AND ln(321::float8) AS bounded FROM gpt_tokens('pieces', '中é');
SELECT bool_and((rank = 1) = (expected = gpt_token_text('pieces', token))) AS ranks, bool_and(logprob < 0) AS likely FROM passage, gpt_tokens('pieces', body);
SELECT bool_and(expected = gpt_generate('letters', left(body, 8), 1, 0)) AS is_generated FROM passage, gpt_tokens('letters', body)
WHERE position = 9 AND expected NOT LIKE '<%';

-- nothing, and what has no tokens of its own
SELECT (SELECT count(*) FROM gpt_tokens(NULL, 'x')) AS model, (SELECT count(*) FROM gpt_tokens('pieces', NULL)) AS input,
	(SELECT count(*) FROM gpt_tokens('pieces', '')) AS empty, (SELECT count(*) FROM gpt_tokens('pieces', '', 'prompt')) AS after_prompt;
SELECT gpt_train('classes', 'SELECT body AS text, language AS label FROM passage', '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 1}') AS job \gset
SELECT gpt_wait(:job, '60 s');
SELECT gpt_tokens('classes', 'x');
SELECT gpt_tokens('nobody', 'x');

-- bounds: memory, and time
SET gpt.max_memory = '16MB';
SELECT gpt_tokens('letters', repeat('text ', 100000));
RESET gpt.max_memory;
SET statement_timeout = '200ms';
SELECT count(*) FROM gpt_tokens('pieces', repeat('text ', 500000));
RESET statement_timeout;
