"""test/reference/token_parity.py COMMAND ...

The steps of test/reference/token_parity.sh. Rows end with a NUL; ids are int32: of each row their number, then they.

  copy ROWS                    writes rows for COPY: number, text
  arrays ROWS IDS              reads int[] literals, a line a row, from standard input
  library TOKENIZER ROWS IDS   ids by Hugging Face's `tokenizers` (special tokens in a text are text)
  pieces MODEL ROWS IDS        ids by `sentencepiece`
  ranks ENCODER.json           ranks of npm tiktoken as a tiktoken file
  compare ROWS OURS THEIRS     prints what differs: the shortest row; exit status 1 if any does
"""
import array
import base64
import json
import sys
import unicodedata


def read_rows(path):
    with open(path, "rb") as file:
        return [row.decode("utf-8") for row in file.read().split(b"\0")[:-1]]


def write_ids(path, lists):
    with open(path, "wb") as file:
        for ids in lists:
            array.array("i", [len(ids)] + list(ids)).tofile(file)


def read_ids(path):
    with open(path, "rb") as file:
        flat = array.array("i", file.read())
    position = 0
    while position < len(flat):
        yield flat[position + 1:position + 1 + flat[position]]
        position += 1 + flat[position]


def copy(rows):
    for number, row in enumerate(read_rows(rows)):
        escaped = row.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
        sys.stdout.buffer.write(b"%d\t%s\n" % (number, escaped.encode("utf-8")))


def arrays(rows, ids):
    lines = sys.stdin.read().splitlines()
    write_ids(ids, ([int(i) for i in line[1:-1].split(",")] if len(line) > 2 else [] for line in lines))


def library(path, rows, ids):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    texts, note = read_rows(rows), ""
    forms = [form for form in ("NFC", "NFKC") if '{"type":"%s"}' % form in tokenizer.to_str()]
    if forms:
        # The library's own tables are those of Unicode 9: it does not know the order of later combining marks.
        texts = [unicodedata.normalize(forms[0], text) for text in texts]
        note = ", %s by Unicode %s" % (forms[0], unicodedata.unidata_version)
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    write_ids(ids, (encoding.ids for encoding in encodings))
    print("tokenizers " + tokenizers.__version__ + note)


def pieces(path, rows, ids):
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    write_ids(ids, (model.encode(row) for row in read_rows(rows)))
    print("sentencepiece", sentencepiece.__version__)


def ranks(path):
    """Lines of `! first token token ...`, base64, with ranks that go on from the first."""
    with open(path, encoding="utf-8") as file:
        lines = json.load(file)["bpe_ranks"].split("\n")
    for line in lines:
        fields = line.split(" ")
        for number, token in enumerate(fields[2:], int(fields[1]) if len(fields) > 2 else 0):
            base64.b64decode(token)
            print(token, number)


def compare(rows, ours, theirs):
    texts = read_rows(rows)
    a, b = list(read_ids(ours)), list(read_ids(theirs))
    wrong = [i for i in range(len(texts)) if i >= len(a) or i >= len(b) or a[i] != b[i]]
    print("%d rows, %d bytes, %d tokens: %d rows differ" % (
        len(texts), sum(len(t.encode("utf-8")) for t in texts), sum(map(len, b)), len(wrong)))
    for i in sorted(wrong, key=lambda i: len(texts[i]))[:3]:
        place = next((k for k in range(min(len(a[i]), len(b[i]))) if a[i][k] != b[i][k]), min(len(a[i]), len(b[i])))
        print("row %d %r: from token %d on ours %s, theirs %s" % (i, texts[i][:300], place, list(a[i][place:place + 12]),
                                                                 list(b[i][place:place + 12])))
    return 1 if wrong or len(a) != len(b) else 0


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
