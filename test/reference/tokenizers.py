"""test/reference/tokenizers.py [FILE [STRINGS]]

Small tokenizers of every kind that gpt reads, made by Hugging Face's `tokenizers` (0.23), with
strings and the ids and texts that the library gives for them: test/fixtures/tokenizer/library.psql.
It is a COPY
for psql, because psql finds no other files beside a script; each line of it is one object:

  {"name": ..., "tokenizer": <tokenizer.json>, "strings": [[text, ids, text of the ids], ...]}

Special tokens in a text are text, as in gpt (encode_special_tokens). Nothing here is needed to
build or to check the extension.
"""
import json
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CL100K = (r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"""
          r""" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
QWEN2 = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
         r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
         r"""\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
DEEPSEEK_LLM = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
DEEPSEEK_V3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
               r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
               r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]

TEXTS = [
    "Once upon a time, in a village by the sea, there lived an old fisherman who couldn't sleep.\n",
    "The quick brown fox jumps over the lazy dog; it's 1234567 times 89, isn't it? I'll see, we've DONE'S.\n",
    "def add(a, b):\n    return a + b\n\n\nfor i in range(10):\n\tprint(add(i, 2 ** i))  # comment\r\n",
    "Zażółć gęślą jaźń. Fußgänger übergehen Käse. L'été à Paris, où ça? Ærø, smørrebrød.\n",
    "Съешь ещё этих мягких французских булок, да выпей чаю. Ελληνικά γράμματα και λέξεις.\n",
    "床前明月光,疑是地上霜。举头望明月,低头思故乡。 日本語のテキストとカタカナ。 한국어 문장입니다.\n",
    "مرحبا بالعالم, שלום עולם, नमस्ते दुनिया, สวัสดีชาวโลก 😀👍🏽 🇩🇪 ½ ² Ⅷ ۱۲۳ ①\n",
    "   leading spaces,\ttabs\t\tand   trailing   \n\n  https://example.org/a/b?c=d&e=f#g [x]{y}(z) <a href='#'>\n",
]
PARTS = ["it's", "I'LL", "'ſ", "'re", "WE'VE", " don't", "hello", " World", "12345", " 678", "½", "²", "é", "e\u0301",
         "Å", "\u212b", "ﬁ", "世界", "你好。", "カタ", "한국", "😀", "👍🏽", "🇩🇪", "\u200d", "\u00a0", "\u3000", "\u2028", "\t",
         " ", "  ", "    ", "\n", "\r\n", "\n\n", "...", "!?", "-->", "<s>", "</s>", "<unk>", "<0x0A>", "<|end|>", "<tool>",
         "[W]", "▁", "▁▁", "_", "A", "zZ", "Ω", "ж", "Ж", "ü", "ß", "ﷺ", "٣", "\u0300", "\u1100\u1161", "#", "$5", "a/b", "/",
         "/\n", "'", "\"", "\u2019s", "𝒳", "ǅ", "ʰ", "ª", "\x85", "\x0b", "\u200b", "​x", "�", "\ue000", "ẞ", "İ", "ſ"]


def strings(rng, count):
    out = ["", " ", "  ", "a", " a", "\n", "▁", "▁a", " ▁"] + TEXTS
    while len(out) < count:
        kind = rng.random()
        if kind < 0.6:
            text = "".join(rng.choice(PARTS) for _ in range(rng.randint(1, 14)))
        elif kind < 0.8:
            line = rng.choice(TEXTS)
            start = rng.randrange(len(line))
            text = line[start:start + rng.randint(1, 40)] + rng.choice(PARTS)
        else:
            ranges = [(32, 126), (160, 0x24F), (0x370, 0x4FF), (0x5D0, 0x5EA), (0x900, 0x97F), (0x2000, 0x206F), (0x3040, 0x30FF),
                      (0x4E00, 0x4EFF), (0xAC00, 0xACFF), (0x1F600, 0x1F64F), (9, 13), (0x20, 0x20)]
            text = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 30)))
        out.append(text)
    return out


def byte_level(steps, use_regex=False, prefix=False, normalizer=None, ignore_merges=False, added=(), size=380):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex, trim_offsets=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps + [last]) if steps else last
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(TEXTS * 3, trainers.BpeTrainer(
        vocab_size=size, min_frequency=1, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    add(tokenizer, added)
    return tokenizer


def add(tokenizer, added):
    tokenizer.add_special_tokens(["<s>", "</s>", "<|end|>"])
    tokenizer.add_tokens(list(added))


def isolated(*patterns):
    return [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]


def characters(normalizer, pre_tokenizer, decoder, fallback=True, fuse=True, size=520, added=(), unknown=True):
    """BPE of characters as SentencePiece makes it: bytes, then the trained tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    special = ["<unk>", "<s>", "</s>"] if unknown else ["<s>", "</s>"]
    if fallback:
        special += ["<0x%02X>" % byte for byte in range(256)]
    tokenizer.train_from_iterator([t for t in TEXTS[:5]] * 3, trainers.BpeTrainer(
        vocab_size=size, min_frequency=1, show_progress=False, special_tokens=special))
    tokenizer.decoder = decoder
    data = json.loads(tokenizer.to_str())
    data["model"]["byte_fallback"] = fallback
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    if not unknown:
        data["model"]["unk_token"] = None
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.add_tokens(list(added))
    return tokenizer


def unigram(normalizer, pre_tokenizer, decoder, fallback=False, size=400):
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(TEXTS * 3, trainers.UnigramTrainer(
        vocab_size=size, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>"))
    vocabulary = [tuple(entry) for entry in json.loads(trained.to_str())["model"]["vocab"]]
    vocabulary = [v for v in vocabulary if v[0] not in "жΩ한😀世"]
    if fallback:
        vocabulary[3:3] = [("<0x%02X>" % byte, 0.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, fallback))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def llama_decoder(strip=True):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def all_tokenizers():
    sequence = pre_tokenizers.Sequence
    digits = pre_tokenizers.Digits
    signs = normalizers.Replace(" ", "▁")
    llama = normalizers.Sequence([normalizers.Prepend("▁"), signs])
    tools = [AddedToken("<tool>", normalized=False), AddedToken("    ", normalized=False),
             AddedToken("ẞ", normalized=True), AddedToken("[W]", single_word=True, normalized=False),
             AddedToken("👍", lstrip=True, rstrip=True, normalized=False)]
    meta = pre_tokenizers.Metaspace
    yield "gpt2", byte_level([], use_regex=True)
    yield "gpt2_prefix", byte_level([], use_regex=True, prefix=True, added=tools)
    yield "whole", byte_level([], added=tools)
    yield "pythia", byte_level([], use_regex=True, normalizer=normalizers.NFC(), added=tools)
    yield "cl100k", byte_level(isolated(CL100K))
    yield "llama3", byte_level(isolated(CL100K), ignore_merges=True, added=tools)
    yield "qwen2", byte_level(isolated(QWEN2), normalizer=normalizers.NFC(), added=tools)
    yield "o200k", byte_level(isolated(O200K))
    yield "removed", byte_level([pre_tokenizers.Split(Regex(CL100K), "removed", invert=True)])
    yield "smollm", byte_level([digits(individual_digits=True)], use_regex=True)
    yield "digits", byte_level([digits(individual_digits=False)], use_regex=True)
    yield "deepseek_llm", byte_level(isolated(*DEEPSEEK_LLM) + [digits(individual_digits=True)])
    yield "deepseek_v3", byte_level(isolated(*DEEPSEEK_V3))
    yield "punctuation", byte_level([pre_tokenizers.Punctuation("contiguous"), digits(individual_digits=True)], use_regex=True)
    yield "string_split", byte_level([pre_tokenizers.Split("a.b", "isolated"), pre_tokenizers.Split(" ", "isolated")])
    yield "nfkc", byte_level([], use_regex=True, normalizer=normalizers.NFKC())
    yield "llama", characters(llama, None, llama_decoder())
    yield "mistral", characters(None, meta(prepend_scheme="first", split=False), llama_decoder(), added=tools[:2])
    yield "gemma", characters(signs, pre_tokenizers.Split(" ", "merged_with_previous"),
                              decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
                              added=[AddedToken("\n\n", normalized=False)])
    yield "words", characters(None, meta(prepend_scheme="always", split=True), llama_decoder())
    yield "no_bytes", characters(llama, None, llama_decoder(), fallback=False, size=300)
    yield "no_fuse", characters(llama, None, llama_decoder(), fallback=False, fuse=False, size=300)
    yield "unigram", unigram(None, meta(prepend_scheme="always", split=True), decoders.Metaspace())
    yield "unigram_whole", unigram(llama, None, llama_decoder())
    yield "unigram_bytes", unigram(normalizers.NFKC(), meta(prepend_scheme="always", split=False), llama_decoder(), fallback=True)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "test/fixtures/tokenizer/library.psql"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 25
    with open(path, "w", encoding="utf-8") as file:
        file.write("COPY line FROM STDIN WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02');\n")
        for name, tokenizer in all_tokenizers():
            rng = random.Random(name)
            tokenizer.encode_special_tokens = True
            cases = []
            for text in strings(rng, count):
                # The library's unigram model makes tokens like <s> and <0x0A> from text, SentencePiece's does not.
                if name.startswith("unigram") and "<" in text:
                    text = text.replace("<", "(")
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                cases.append([text, ids, tokenizer.decode(ids, skip_special_tokens=True)])
            tokenizer.encode_special_tokens = False
            line = {"name": name, "tokenizer": json.loads(tokenizer.to_str()), "strings": cases}
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        file.write("\\.\n")


if __name__ == "__main__":
    main()
