#!/usr/bin/env python3
"""bench/dedup.py - rows with planted near copies, and what of them was found (used by bench/dedup.sh).

dedup.py make CORPORA KIND EDIT ROWS: writes "row TAB group TAB text" lines. A row is made of pieces of 3 to 8 words (4 to 12
characters of Chinese) from random places of public texts, so that two rows have whole phrases in common, but no two are near by chance.
One row in ten is a copy of an earlier one, in which 5 % of the characters (EDIT chars) or of the words (EDIT words; each word
with probability 0.05) are replaced, removed or inserted at random. Both have the same group.

dedup.py judge ROWS-FILE: reads "row TAB kept row" lines from gpt_duplicates. Recall: planted pairs of which one row is not kept.
Precision: rows whose kept row is of the same group, or at most a tenth of the characters away (counted here by dynamic programming).
"""
import random
import sys

LENGTHS = {"short": (20, 50), "medium": (500, 500), "long": (5000, 5000), "zh": (40, 400)}


def pieces(corpora, kind):
    names = ["tang_poems_2000.txt"] if kind == "zh" else ["war-and-peace.txt", "tinyshakespeare.txt", "wikitext2.valid.txt"]
    text = " ".join(" ".join(open(f"{corpora}/{name}", encoding="utf-8").read() for name in names).split())
    return (text.replace(" ", ""), "", (4, 12)) if kind == "zh" else (text.split(" "), " ", (3, 8))


def make_row(units, joiner, sizes, length):
    row = ""
    while len(row) < length:
        size = random.randint(*sizes)
        at = random.randrange(len(units) - size)
        row += joiner.join(units[at:at + size]) + joiner
    return row[:length].strip()


def edit(items, chosen, source):
    for _ in range(chosen):
        at, kind = random.randrange(len(items)), random.randrange(3)
        if kind == 0:
            items[at] = random.choice(source)
        elif kind == 1:
            items.insert(at, random.choice(source))
        elif len(items) > 1:
            del items[at]
    return items


def copy_of(row, how, letters, words):
    if how == "chars":
        return "".join(edit(list(row), max(1, round(0.05 * len(row))), letters))
    units = row.split(" ")
    return " ".join(edit(units, sum(random.random() < 0.05 for _ in units), words))


def make(corpora, kind, how, n):
    random.seed(19)
    units, joiner, sizes = pieces(corpora, kind)
    letters, words = "".join(random.choices(units, k=5000)).replace("\t", " "), random.choices(units, k=5000)
    rows = [(group, make_row(units, joiner, sizes, random.randint(*LENGTHS[kind]))) for group in range(n * 9 // 10)]
    rows += [(group, copy_of(text, how, letters, words)) for group, text in random.sample(rows, n // 10)]
    random.shuffle(rows)
    for number, (group, text) in enumerate(rows, 1):
        print(number, group, text, sep="\t")


def distance(a, b, limit):
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        now = [i]
        for j, y in enumerate(b, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (x != y)))
        before = now
        if min(now) > limit:
            return limit + 1
    return before[-1]


def judge(path):
    group, text, pairs = {}, {}, {}
    for line in open(path, encoding="utf-8"):
        number, its_group, its_text = line.rstrip("\n").split("\t")
        group[int(number)], text[int(number)] = int(its_group), its_text
        pairs.setdefault(int(its_group), []).append(int(number))
    kept = dict(map(int, line.split()) for line in sys.stdin)
    planted = [pair for pair in pairs.values() if len(pair) == 2]
    found = sum(any(number in kept for number in pair) for pair in planted)
    right = sum(group[number] == group[other] for number, other in kept.items())
    near = 0
    for number, other in kept.items():
        if group[number] != group[other]:
            limit = max(len(text[number]), len(text[other])) // 10
            near += distance(text[number], text[other], limit) <= limit
    print(f"recall {found / len(planted):.4f}, precision {(right + near) / max(len(kept), 1):.4f} "
          f"({len(kept)} rows found, {len(planted)} planted, {near} near by chance)")


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
else:
    judge(sys.argv[2])
