#!/usr/bin/env python3
"""bench/tokenizers.py DATA JAPANESE FOLDER - writes the ten corpora of bench/tokenizers.sh to FOLDER.

Each is NAME.csv with the columns body and is_validation. DATA is the folder of test data (GPT_TEST_DATA), JAPANESE the
folder usr/share/debian-reference of the Debian package debian-reference-ja. Held out are the rows whose hash is below a
share of 5 %, or of 60,000 bytes in larger corpora; equal rows are on one side.
"""
import csv
import glob
import gzip
import hashlib
import html
import json
import re
import sys
from pathlib import Path

SHARE = 0.05
MOST_BYTES = 60000


def cut(text, separator):
    return [row.strip("\n") for row in re.split(separator, text) if row.strip(" \n")]


def tables(data):
    """Rows of five tables of pagila, as JSON objects."""
    rows = []
    columns = None
    for line in (data / "db/pagila.sql").read_text(encoding="utf8").split("\n"):
        match = re.match(r"COPY public\.(film|customer|address|rental|payment)[a-z0-9_]* \((.*)\) FROM stdin;", line)
        if match:
            columns = match[2].split(", ")
        elif line == "\\.":
            columns = None
        elif columns:
            values = [None if v == "\\N" else int(v) if v.isdigit() and len(v) < 10 else v for v in line.split("\t")]
            rows.append(json.dumps(dict(zip(columns, values)), ensure_ascii=False))
    return rows[::3]


def code(_):
    """The functions, declarations and comments of this project's C sources."""
    root = Path(__file__).resolve().parent.parent
    files = sorted([*root.glob("src/**/*.c"), *root.glob("include/**/*.h")])
    return [row for file in files for row in cut(re.sub(r"(?m)^}\n", "}\n\0", file.read_text()), "\0")]


def paragraphs(folder):
    """The paragraphs of the HTML pages."""
    rows = []
    element = re.compile(r"(?s)<(?:p|h[1-6]|li|dt|td)\b[^>]*>(.*?)</(?:p|h[1-6]|li|dt|td)>")
    for file in sorted(glob.glob(f"{folder}/*.ja.html")):
        for part in element.findall(Path(file).read_text(encoding="utf8")):
            text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", part))).strip()
            if re.search(r"[\u3040-\u30ff]", text):
                rows.append(text)
    return rows


def logs(data):
    names = ("Apache", "BGL", "HDFS", "Linux", "OpenSSH")
    texts = ((data / f"logs/{name}_2k.log").read_text(errors="replace") for name in names)
    return [row for text in texts for row in cut(text, r"\r?\n")]


def german(data):
    with gzip.open(data / "mt/train.de.gz", "rt", encoding="utf8") as file:
        return cut(file.read(), "\n")


def plain(name, separator):
    return lambda data: cut((data / "corpora" / name).read_text(encoding="utf8"), separator)


def held_out(rows):
    share = min(SHARE, MOST_BYTES / sum(len(row.encode()) for row in rows))
    return [(row, int(hashlib.sha256(row.encode()).hexdigest()[:8], 16) < share * 2**32) for row in rows]


def main(data, japanese, folder):
    corpora = {
        "shakespeare": plain("tinyshakespeare.txt", r"\n\n+"),
        "tolstoy": plain("war-and-peace.txt", r"\n\n+"),
        "stories": plain("tinystories_sample.txt", r"\n\n+"),
        "tang": plain("tang_poems_2000.txt", r"\n\n+"),
        "names": plain("names.txt", r"\n"),
        "logs": logs,
        "code": code,
        "json": tables,
        "japanese": lambda _: paragraphs(japanese),
        "german": german,
    }
    for name, rows_of in corpora.items():
        with open(Path(folder) / f"{name}.csv", "w", newline="", encoding="utf8") as file:
            csv.writer(file).writerows([("body", "is_validation"), *held_out(rows_of(Path(data)))])


if __name__ == "__main__":
    main(*sys.argv[1:])
