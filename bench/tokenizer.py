"""bench/tokenizer.py COMMAND ... - the parts of bench/tokenizer.sh that need JSON or Hugging Face's `tokenizers`.

  spec TOKENIZER.json SPEC     writes what build/bench/tokenizer reads: the description that src/store reads from the file, for the
                               shapes of the vocabularies that we measure (other shapes are an error)
  rows BYTES FILE TEXT...      the texts over and over as rows of a paragraph or of about 500 characters, each ended by a NUL
  library TOKENIZER.json ROWS  bytes, tokens, a hash of the ids and seconds of processor time of one thread
"""
import json
import sys
import time
import unicodedata

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ADDED, NORMALIZED, OUTSIDE, BYTE = 1, 16, 32, 64


def letters():
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def steps(node, list_name):
    return node[list_name] if node and node["type"] == "Sequence" else [node] if node else []


def spec(path, out):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    model, lines, patterns = data["model"], [], []
    unigram, added = model.get("type") == "Unigram" or isinstance(model["vocab"], list), data["added_tokens"]
    byte_level, settings = False, {"unknown": -1}
    for step in steps(data["normalizer"], "normalizers"):
        if step["type"] in ("NFC", "NFKC"):
            settings["normalize_" + step["type"].lower()] = 1
        elif step["type"] == "Prepend":
            settings["prefix"] = 1
        elif step["type"] != "Replace":
            sys.exit("normalizer " + step["type"])
    for step in steps(data["pre_tokenizer"], "pretokenizers"):
        if step["type"] == "Split" and "Regex" in step["pattern"]:
            patterns.append(step["pattern"]["Regex"])
        elif step["type"] == "Digits":
            patterns.append(r"\p{N}" if step["individual_digits"] else r"\p{N}+")
        elif step["type"] == "ByteLevel":
            byte_level = True
            patterns += [GPT2] if step.get("use_regex", True) else []
        elif step["type"] == "Metaspace":
            settings["split_spaces"] = int(step.get("split", True))
            settings["prefix"] = 2 if step.get("prepend_scheme") in ("always", "first") else 0
            settings["prefix_once"] = int(step.get("prepend_scheme") == "first")
        elif step["type"] != "Split":
            sys.exit("pre_tokenizer " + step["type"])
    alphabet = letters()
    vocabulary = model["vocab"] if unigram else sorted(model["vocab"].items(), key=lambda item: item[1])
    size = max([len(vocabulary)] + [v[1] + 1 for v in vocabulary if not unigram] + [token["id"] + 1 for token in added])
    tokens = [None] * size
    for number, (name, value) in enumerate(vocabulary):
        flags, token = 0, name.encode("utf-8")
        if byte_level:
            token = bytes(alphabet[c] for c in name) if all(c in alphabet for c in name) else token
        elif len(name) == 6 and name.startswith("<0x") and (unigram or model["byte_fallback"]):
            flags, token = BYTE, bytes([int(name[3:5], 16)])
        else:
            token = name.replace("▁", " ").encode("utf-8")
        unknown = name == model.get("unk_token") or (unigram and number == model["unk_id"])
        if unknown:
            settings["unknown"] = number if unigram else value
        tokens[number if unigram else value] = (name.encode("utf-8") if unknown else token, flags, int(unknown), value if unigram else 0)
    for token in added:
        same = tokens[token["id"]]
        content, special = token["content"].encode("utf-8"), token["special"]
        flags = (NORMALIZED if token["normalized"] else 0) | (0 if special else ADDED)
        if same and not special:
            tokens[token["id"]] = (same[0], flags if same[0] == content else 0, 0, same[3])
        else:
            tokens[token["id"]] = (content, flags | (0 if special else OUTSIDE), int(special), 0)
    tokens = [token or (b"<gap %d>" % i, 0, 1, 0) for i, token in enumerate(tokens)]
    settings["ignore_merges"] = int(bool(model.get("ignore_merges")))
    settings["fuse_unknown"] = int(unigram or bool(model.get("fuse_unk")))
    settings["space_sign"] = int(not byte_level)
    lines.append("kind %d" % (4 if unigram else 0 if byte_level else 3))
    lines += ["pattern " + p.encode("utf-8").hex() for p in patterns if byte_level]
    lines += ["%s %d" % item for item in settings.items()]
    lines.append("tokens %d" % size)
    lines += ["%s %d %d %r" % (t[0].hex(), t[1], t[2], float(t[3])) for t in tokens]
    if not unigram:
        ids = {token[0]: i for i, token in enumerate(tokens) if not token[2] and not token[1] & (OUTSIDE | BYTE)}
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        spell = (lambda s: bytes(alphabet[c] for c in s)) if byte_level else (lambda s: s.replace("▁", " ").encode("utf-8"))
        lines.append("merges %d" % len(pairs))
        lines += ["%d %d %d" % (ids[spell(a)], ids[spell(b)], ids[spell(a + b)]) for a, b in pairs]
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\nend 0\n")


def rows(size, out, *paths):
    parts = []
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            row = ""
            for line in file:
                row += line
                if len(row) >= 500:
                    parts.append(row.encode("utf-8").replace(b"\0", b" "))
                    row = ""
            parts.append(row.encode("utf-8"))
    written = 0
    with open(out, "wb") as file:
        while written < int(size):
            for part in parts:
                file.write(part + b"\0")
                written += len(part)


def library(path, rows_path):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True
    with open(rows_path, "rb") as file:
        texts = [row.decode("utf-8") for row in file.read().split(b"\0")[:-1]]
    if '{"type":"NFC"}' in tokenizer.to_str():
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    tokenizer.encode_batch_fast(texts[:200], add_special_tokens=False)
    start = time.process_time()
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    seconds = time.process_time() - start
    count, check = 0, 14695981039346656037
    for encoding in encodings:
        count += len(encoding.ids)
        check = (check ^ len(encoding.ids)) * 1099511628211 & (1 << 64) - 1
        for token in encoding.ids:
            check = (check ^ token) * 1099511628211 & (1 << 64) - 1
    size = sum(len(text.encode("utf-8")) for text in texts)
    print("tokenizers %s: bytes %d tokens %d ids %016x seconds %.3f MB/s %.2f" % (
        tokenizers.__version__, size, count, check, seconds, size / seconds / 1e6))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
