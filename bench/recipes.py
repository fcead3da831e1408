#!/usr/bin/env python3
"""bench/recipes.py DATA FOLDER - writes the rows of twelve tasks, and of three more texts, to FOLDER: TASK.train.csv to learn, TASK.test.csv to measure on.

DATA is the folder of test data (GPT_TEST_DATA). Tasks with a column "prompt" are measured by exact completions, the others, with a column
"body", by bits a byte. Whatever is drawn is drawn by a generator with a fixed seed, so that the rows are always the same.
"""
import csv
import datetime
import gzip
import json
import random
import re
import sys
from pathlib import Path

PAIR = ["prompt", "completion"]
MONTHS = "January February March April May June July August September October November December".split()


def split(rows, n_test):
    """Rows to learn and rows to measure on; equal rows and equal prompts are once there."""
    rows = list({row[0]: row for row in rows}.values())
    random.Random(1).shuffle(rows)
    return rows[n_test:], rows[:n_test]


def lines_of(path):
    with gzip.open(path, "rt", encoding="utf8") as file:
        return file.read().splitlines()


def translation(data):
    read = lambda part: [(de + " => ", en) for de, en in zip(*(lines_of(data / f"mt/{part}.{l}.gz") for l in ("de", "en")))]
    return read("train"), read("val")


def text_to_sql(data):
    """Questions about geography with names taken out, by the split of questions of Finegan-Dollak et al. 2018."""
    sides = {"train": [], "dev": [], "test": []}
    for query in json.loads((data / "sql/geography.json").read_text()):
        for sentence in query["sentences"]:
            sides[sentence["question-split"]].append((sentence["text"] + " => ", re.sub(r"alias0\b", "", query["sql"][0])))
    return sides["train"] + sides["dev"], sides["test"]


def dates(_):
    formats = {
        "iso": lambda d: d.isoformat(),
        "long": lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
        "german": lambda d: d.strftime("%d.%m.%Y"),
        "short": lambda d: f"{d.day} {MONTHS[d.month - 1][:3]} {d.year}",
    }
    draw = random.Random(2)
    rows = []
    for number in draw.sample(range((datetime.date(2100, 1, 1) - datetime.date(1900, 1, 1)).days), 21000):
        day = datetime.date(1900, 1, 1) + datetime.timedelta(number)
        one, other = draw.sample(sorted(formats), 2)
        rows.append((f"{formats[one](day)} as {other}: ", formats[other](day)))
    return split(rows, 1000)


def sums(_):
    draw = random.Random(3)
    number = lambda: draw.randrange(10 ** draw.choice((1, 2, 3, 3, 3)))
    return split(((f"{a}+{b}=", str(a + b)) for a, b in ((number(), number()) for _ in range(60000))), 1000)


def reversing(data):
    words = sorted(set(re.findall(r"[a-z]{3,}", (data / "corpora/war-and-peace.txt").read_text().lower())))
    return split([(word + " = ", word[::-1]) for word in words], 1000)


def sorting(_):
    draw = random.Random(4)
    rows = ([draw.randrange(100) for _ in range(draw.randint(3, 6))] for _ in range(21000))
    return split(((" ".join(map(str, r)) + " = ", " ".join(map(str, sorted(r)))) for r in rows), 1000)


def numerals(_):
    signs = list(zip((1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1), "M CM D CD C XC L XL X IX V IV I".split()))

    def roman(number):
        text = ""
        for value, sign in signs:
            text += sign * (number // value)
            number %= value
        return text
    return split([(f"{n} = ", roman(n)) for n in range(1, 4000)], 400)


def headline(_):
    """A record of a match, its fields in any order, and what a newspaper says of it."""
    draw = random.Random(5)
    teams = "Falcons Harbour City Rovers Wolves Northern Lights Old Mill Eagles Granite Lions Riverside United Comets Bay Stars Pioneers".split()
    cities = "Riga Porto Lyon Gdansk Turin Malmo Bilbao Cork Basel Graz Ghent Split".split()
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    rows = []
    for _ in range(6000):
        (home, away), city, day = draw.sample(teams, 2), draw.choice(cities), draw.choice(days)
        ours, theirs, seen = draw.randrange(6), draw.randrange(6), draw.randrange(900, 60000)
        fields = [f"home={home}", f"away={away}", f"goals={ours}:{theirs}", f"city={city}", f"day={day}", f"seen by={seen}"]
        draw.shuffle(fields)
        what = (f"{home} beat {away} {ours}-{theirs}" if ours > theirs else f"{away} win {theirs}-{ours} at {home}" if ours < theirs
                else f"{home} and {away} share {2 * ours} goals" if ours else f"No goals for {home} and {away}")
        rows.append(("; ".join(fields) + " => ", f"{what} in {city} on {day}" + (" before a full house" if seen >= 40000 else "")))
    return split(rows, 500)


def pieces(path, separator, n_test):
    return split([(piece.strip(),) for piece in re.split(separator, path.read_text(encoding="utf8", errors="replace")) if piece.strip()], n_test)


def poems(data):
    return pieces(data / "corpora/tang_poems_2000.txt", r"\n\n+", 200)


def names(data):
    return pieces(data / "corpora/names.txt", r"\n", 2000)


def stories(data):
    return pieces(data / "corpora/tinystories_sample.txt", r"\n\n+", 250)


def tolstoy(data):
    return pieces(data / "corpora/war-and-peace.txt", r"\n\n+", 1200)


def shakespeare(data):
    return pieces(data / "corpora/tinyshakespeare.txt", r"\n\n+", 720)


def wikitext(data):
    return pieces(data / "corpora/wikitext2.valid.txt", r"\n", 250)


def logs(data):
    rows = []
    for name in ("Apache", "BGL", "HDFS", "Linux", "OpenSSH"):
        rows += [(line,) for line in (data / f"logs/{name}_2k.log").read_text(encoding="utf8", errors="replace").splitlines() if line]
    return split(rows, 1000)


TASKS = [translation, text_to_sql, dates, sums, reversing, sorting, numerals, headline, poems, names, stories, logs, tolstoy, shakespeare, wikitext]

data, folder = Path(sys.argv[1]), Path(sys.argv[2])
for task in TASKS:
    for part, rows in zip(("train", "test"), task(data)):
        with open(folder / f"{task.__name__}.{part}.csv", "w", newline="", encoding="utf8") as file:
            writer = csv.writer(file)
            writer.writerow(PAIR if len(rows[0]) == 2 else ["body"])
            writer.writerows(rows)
