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

-- special tokens on request
SELECT gpt_tokenize('bytes', 'a<|endoftext|>b', true) AS tokens, gpt_count_tokens('bytes', 'a<|endoftext|>b', true) AS n,
	gpt_tokenize('bytes', 'a<|endoftext|>b', false) = gpt_tokenize('bytes', 'a<|endoftext|>b') AS as_text, gpt_tokenize('bytes', 'a', NULL) IS NULL AS null;

-- what a token spells: bytes that are no whole character, and zero, by their number
SELECT gpt_token_text('bytes', 97) AS letter, gpt_token_text('bytes', 195) AS byte, gpt_token_text('bytes', 0) AS zero, gpt_token_text('bytes', 256) AS special,
	gpt_token_text(NULL, 1) IS NULL AND gpt_token_text('bytes', NULL::integer) IS NULL AND gpt_token_text('bytes', NULL::integer[]) IS NULL AS null;
SELECT gpt_token_text('bytes', gpt_tokenize('bytes', 'é!')) AS tokens, gpt_token_text('bytes', '{}'::integer[]) AS none,
	gpt_token_text('bytes', '[0:1][2:3]={{97,NULL},{98,99}}'::integer[]) AS shape;
SELECT gpt_token_text('bytes', 257);
SELECT gpt_token_text('bytes', '{97,-1}'::integer[]);
SELECT gpt_token_text('nothing', 1);

-- errors
SELECT gpt_detokenize('bytes', '{97,257}');
SELECT gpt_detokenize('bytes', '{-1}');
SELECT gpt_detokenize('bytes', '{97,NULL}');
SELECT gpt_tokenize('nothing', 'a');
SELECT gpt_tokenize('nothing@1', 'a');
SELECT gpt_tokenize('', 'a');
