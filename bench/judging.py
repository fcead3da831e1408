#!/usr/bin/env python3
"""bench/judging.py DIRECTORY OUTPUT - pairs of questions, and what linear models make of the rows of bench/judging.sh.

Makes OUTPUT/pairs.train.csv and OUTPUT/pairs.test.csv (first, second, label): questions of banking77 of the same intent or not, half and half.
With JUDGES=1, fits ridge regression and logistic regression on TF-IDF of words and runs of letters (scikit-learn) and prints their measures.
"""
import csv
import os
import random
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pairs_of(rows, n, seed):
    """n pairs, of which every second one has the same label."""
    draw = random.Random(seed)
    by_label = {}
    for row in rows:
        by_label.setdefault(row["label"], []).append(row["text"])
    labels = sorted(by_label)
    for i in range(n):
        label = draw.choice(labels)
        if i % 2:
            yield (*draw.sample(by_label[label], 2), 1)
        else:
            other = draw.choice([each for each in labels if each != label])
            yield draw.choice(by_label[label]), draw.choice(by_label[other]), 0


def vectorizers(texts):
    from sklearn.feature_extraction.text import TfidfVectorizer

    return [TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True).fit(texts)]


def judge_numbers(train, test):
    import numpy
    import scipy.sparse
    from scipy.stats import spearmanr
    from sklearn.linear_model import Ridge

    both = vectorizers([row["text"] for row in train])
    x, z = (scipy.sparse.hstack([v.transform([row["text"] for row in rows]) for v in both]).tocsr() for rows in (train, test))
    y, w = (numpy.array([float(row["label"]) for row in rows]) for rows in (train, test))
    for alpha in (1, 2, 4):
        found = Ridge(alpha=alpha, solver="sparse_cg").fit(x, y).predict(z)
        print(f"ridge, alpha {alpha}: r2 {1 - ((found - w) ** 2).mean() / w.var():.4f}, spearman {spearmanr(found, w)[0]:.4f}")


def judge_pairs(train, test):
    import scipy.sparse
    from sklearn.linear_model import LogisticRegression

    both = vectorizers([text for pair in train for text in pair[:2]])

    def features(pairs):
        parts = []
        for v in both:
            a, b = (v.transform([pair[side] for pair in pairs]) for side in (0, 1))
            parts += [abs(a - b), a.multiply(b) * 5, scipy.sparse.csr_matrix(a.multiply(b).sum(1)) * 5]
        return scipy.sparse.hstack(parts).tocsr()

    x, z = features(train), features(test)
    for cost in (0.3, 1, 3):
        model = LogisticRegression(C=cost, max_iter=1000).fit(x, [pair[2] for pair in train])
        print(f"logistic regression, C {cost}: accuracy {model.score(z, [pair[2] for pair in test]):.4f}")


def main():
    directory, output = sys.argv[1:3]
    made = []
    for part, n, seed in (("train", 6000, 1), ("test", 2000, 2)):
        made.append(list(pairs_of(read(f"{directory}/banking77.{part}.csv"), n, seed)))
        with open(f"{output}/pairs.{part}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(made[-1])
    if os.environ.get("JUDGES"):
        judge_numbers(*(read(f"{directory}/sst2.{part}.csv") for part in ("train", "test")))
        judge_pairs(*made)


if __name__ == "__main__":
    main()
