"""test/reference/bpe.py

Byte-level BPE as slow and plain as it can be written: the other side of every comparison of tokens. It shares
no method with the engine: the split works on a string of character classes, training counts everything anew
for each merge, encoding tries the merges in order.

Makes test/fixtures/tokenizer/{shakespeare.merges,strings.json} from shakespeare.txt (the start of
tinyshakespeare, public domain):

    python3 test/reference/bpe.py                      # the project's own vocabulary
    python3 test/reference/bpe.py path/to/vocab.bpe    # also the ids of GPT-2's, when its merges are at hand
"""
import collections
import json
import os
import re
import sys
import unicodedata

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "tokenizer")
N_MERGES = 400

WHITE_SPACE = set("\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)}


def skeleton(text):
    """One character for each of text: itself where the contractions name it, else its class."""
    out = []
    for c in text:
        category = unicodedata.category(c)[0]
        if c in WHITE_SPACE:
            out.append(" " if c == " " else "W")
        elif c in "'stredvml":
            out.append(c)
        else:
            out.append(category if category in "LN" else "O")
    return "".join(out)


SPLIT = re.compile("'s|'t|'re|'ve|'m|'ll|'d| ?[Lstredvml]+| ?N+| ?[O']+|[ W]+(?![^ W])|[ W]+")


def split(text):
    return [text[m.start():m.end()] for m in SPLIT.finditer(skeleton(text))]


def merge_word(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def train(text, n_merges):
    words = collections.Counter(
        tuple(bytes([b]) for b in piece.encode()) for piece in split(text))
    merges, counts = [], []
    while len(merges) < n_merges:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        counts.append(pairs[best])
        merged = collections.Counter()
        for word, count in words.items():
            merged[merge_word(word, best)] += count
        words = merged
    return merges, counts


def encode(text, merges, ids):
    out = []
    for piece in split(text):
        word = tuple(bytes([b]) for b in piece.encode())
        while True:
            known = [merges[pair] for pair in zip(word, word[1:]) if pair in merges]
            if not known:
                break
            rank = min(known)
            word = merge_word(word, next(p for p in zip(word, word[1:]) if merges.get(p) == rank))
        out += [ids[symbol] for symbol in word]
    return out


def printable(byte):
    return 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255


def alphabet():
    """Byte -> the character that stands for it in a vocabulary file."""
    others = iter(range(256, 512))
    return {byte: chr(byte if printable(byte) else next(others)) for byte in range(256)}


def write_merges(path, merges, counts):
    letters = alphabet()
    with open(path, "w", encoding="utf-8") as file:
        for (left, right), count in zip(merges, counts):
            left, right = ("".join(letters[b] for b in side) for side in (left, right))
            file.write(f"{left} {right} {count}\n")


def read_merges(path):
    values = {letter: byte for byte, letter in alphabet().items()}
    lines = open(path, encoding="utf-8").read().split("\n")
    sides = [line.split(" ")[:2] for line in lines if line and not line.startswith("#version")]
    return [tuple(bytes(values[c] for c in side) for side in pair) for pair in sides]


def vocabulary(merges, byte_order):
    """The 256 bytes, then what each merge makes."""
    symbols = [bytes([b]) for b in byte_order] + [left + right for left, right in merges]
    return {symbol: i for i, symbol in enumerate(symbols)}


STRINGS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", " \n", "\n ", "\n  a", "a\n\n\nb", "  a", "   a", " a ", "a  b   c    d",
    "First Citizen:\nBefore we proceed any further, hear me speak.", "ROMEO and JULIET", "it's, I'll, we've, they're, he'd, I'm, can't",
    "IT'S I'LL", "''s", "'", "''", " 's", "'S", "'re're", "o'er 'tis ne'er", "rock'n'roll", "a'b", "'ll've",
    "12345 67.89 3,141", "x1y2z3", "1st 2nd", "٣٤٥ ½ ² Ⅷ 五", "e=mc²", "100%", "$5.00", "--", "---- ----", "...", "a.b,c;d:e!f?g",
    "<|endoftext|>", "a<|endoftext|>b", "<|unknown|>", "<|endoftext", "#include <stdio.h>\nint\tmain(void)\n{\n\treturn 0;\n}\n",
    "café", "cafe\u0301", "naïve façade", "Ångström", "A\u030angstro\u0308m", "ÄÖÜäöüß", "Привет, мир!", "Γειά σου Κόσμε", "שלום עולם",
    "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "안녕하세요 세계", "\u1112\u1161\u11ab\u1100\u1173\u11af", "你好,世界!", "春眠不覺曉,處處聞啼鳥。", "こんにちは世界", "カタカナ ひらがな 漢字",
    "🙂", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "👍🏽!", "𝒳 𝔘nicode", "𐍈 gothic", "\U000f0000 private", "zero\u200bwidth\u200djoiner", "soft\u00adhyphen", "\ufefftext",
    "no\u00a0break\u00a0space", "\u3000ideographic\u3000space\u3000", "line\u2028sep\u2029para", "thin\u2009space\u200a", "\u0085next\u0085line", "tab\tand\x0bvt\x0cff\rcr\r\n",
    "\u0301combining first", "a\u0301\u0301\u0301\u0301", "क्षि", "\x01\x02\x7f", "\x1b[0m", "mixed漢字and英語", "x" * 100, "ab" * 60, " " * 50, "\n" * 30, "!" * 40,
    "the " * 20, "antidisestablishmentarianism", "Lorem ipsum dolor sit amet", "SELECT count(*) FROM t WHERE a <> 'b''c';", "https://example.org/path?x=1&y=2#z",
    "user@example.org", "C:\\temp\\new", "snake_case camelCase kebab-case", "a\u2019s \u2018quoted\u2019 \u201ctext\u201d \u2013 dash \u2014", "© ® ™ € £ ¥", "∑∫√∞≠≈", "→ ⇒ ↔", "█▓▒░", "ﬁ ligature ﬂ",
    "ǅ titlecase ʰ modifier ª º", "1\u20442", "१२३", "㊿ ㋿", "\ud7ff\ue000", "\uffff", "\U0010ffff", "tail  ", "tail\n", "tail \n ", "  \n\t  mixed \t\n white   ",
]


def main():
    text = open(os.path.join(FOLDER, "shakespeare.txt"), encoding="utf-8").read()
    merges, counts = train(text, N_MERGES)
    write_merges(os.path.join(FOLDER, "shakespeare.merges"), merges, counts)
    sets = {"own": (merges, range(256))}
    if len(sys.argv) > 1:
        order = [b for b in range(256) if printable(b)] + [b for b in range(256) if not printable(b)]
        sets["gpt2"] = (read_merges(sys.argv[1]), order)
    ids = {name: vocabulary(*arguments) for name, arguments in sets.items()}
    ranks = {name: {pair: i for i, pair in enumerate(m)} for name, (m, _) in sets.items()}
    rows = []
    for string in STRINGS:
        row = {"text": string, "nfc": unicodedata.normalize("NFC", string)}
        for name in sets:
            row[name] = encode(string, ranks[name], ids[name])
        row["own_nfc"] = encode(row["nfc"], ranks["own"], ids["own"])
        rows.append(json.dumps(row))
    with open(os.path.join(FOLDER, "strings.json"), "w", encoding="ascii") as file:
        file.write("[" + ",\n".join(rows) + "]\n")


if __name__ == "__main__":
    main()
