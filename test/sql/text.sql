-- text to tokens and back
SELECT gpt_tokenize('bytes', 'aé') AS tokens, gpt_tokenize('bytes', '') AS none, gpt_count_tokens('bytes', 'aé') AS n;
SELECT gpt_tokenize(NULL, 'a') IS NULL AS tokenizer, gpt_tokenize('bytes', NULL) IS NULL AS input,
	gpt_detokenize('bytes', NULL) IS NULL AS tokens, gpt_count_tokens(NULL, NULL) IS NULL AS n;
SELECT gpt_detokenize('bytes', gpt_tokenize('bytes', 'Grüße, 世界 🙂')) AS round_trip;
SELECT gpt_detokenize('bytes', '{}') = '' AS empty;
SELECT gpt_detokenize('bytes', '{{97,98},{99,100}}') AS two_dimensions;

-- special tokens come from no text and give none
SELECT gpt_count_tokens('bytes', '<|endoftext|>') AS n, gpt_detokenize('bytes', '{97,256,98}') AS without;

-- bytes that are no text: one replacement for each longest beginning of a character
SELECT gpt_detokenize('bytes', '{97,195,98}') AS cut, gpt_detokenize('bytes', '{240,159,153}') AS incomplete,
	gpt_detokenize('bytes', '{255,128}') AS invalid, gpt_detokenize('bytes', '{237,160,128}') AS surrogate,
	gpt_detokenize('bytes', '{192,175}') AS overlong, gpt_detokenize('bytes', '{97,0,98}') AS zero;

-- errors
SELECT gpt_detokenize('bytes', '{97,257}');
SELECT gpt_detokenize('bytes', '{-1}');
SELECT gpt_detokenize('bytes', '{97,NULL}');
SELECT gpt_tokenize('nothing', 'a');
SELECT gpt_tokenize('nothing@1', 'a');
SELECT gpt_tokenize('', 'a');
