#!/usr/bin/env python3
"""bench/classify.py DIRECTORY NAME: what scikit-learn and fastText make of the rows of NAME.train.csv and NAME.test.csv."""
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC


def rows(directory, name, part):
    with open(os.path.join(directory, f"{name}.{part}.csv"), encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [row["text"] for row in found], [row["label"] for row in found]


def tfidf(**options):
    return TfidfVectorizer(sublinear_tf=True, **options)


def fasttext(train, test):
    program = shutil.which("fasttext")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        for part, (texts, labels) in (("train", train), ("test", test)):
            with open(os.path.join(directory, part), "w", encoding="utf-8") as file:
                for text, label in zip(texts, labels):
                    spread = "".join(f" {c} " if c > "\u2e80" else c for c in text.lower())
                    file.write(f"__label__{label.replace(' ', '_')} {' '.join(spread.split())}\n")
        subprocess.run([program, "supervised", "-input", "train", "-output", "model", "-wordNgrams", "2", "-epoch", "25", "-lr", "0.5",
                        "-dim", "50", "-thread", "1"], cwd=directory, check=True, capture_output=True)
        out = subprocess.run([program, "test", "model.bin", "test"], cwd=directory, check=True, capture_output=True, text=True).stdout
    return float(next(line.split()[1] for line in out.splitlines() if line.startswith("P@1")))


def main():
    directory, name = sys.argv[1:]
    train, test = rows(directory, name, "train"), rows(directory, name, "test")
    words = r"(?u)[\u2e80-\u9fff]|[^\W\u2e80-\u9fff]+"
    models = {
        "LinearSVC, words": make_pipeline(tfidf(ngram_range=(1, 2), token_pattern=words), LinearSVC()),
        "LinearSVC, letters": make_pipeline(tfidf(analyzer="char_wb", ngram_range=(2, 5)), LinearSVC()),
        "LinearSVC, both": make_pipeline(make_union(tfidf(ngram_range=(1, 2), token_pattern=words),
                                                    tfidf(analyzer="char_wb", ngram_range=(2, 5))), LinearSVC()),
        "naive Bayes": make_pipeline(CountVectorizer(ngram_range=(1, 2), token_pattern=words), MultinomialNB()),
    }
    for kind, model in models.items():
        started = time.process_time()
        accuracy = model.fit(*train).score(*test)
        print(f"{name}: {kind} {accuracy:.4f}, {time.process_time() - started:.1f} s")
    accuracy = fasttext(train, test)
    if accuracy is not None:
        print(f"{name}: fastText {accuracy:.4f}")


main()
