"""bench/translate.py DIRECTORY

A translator as a user of PyTorch would train it: torch.nn.Transformer on the pairs of DIRECTORY (train.en.gz, train.de.gz,
and val), for MINUTES of training (15), on THREADS threads (2), with SEED (1). Prints BLEU and chrF of val, greedy and by
BEAMS (4) beams; with HYPOTHESES it writes the translations there. SIDE=train measures on every 29th pair of train, which is
then left out of training: for choosing options.

A fair peer: joint byte-pair encoding (sentencepiece) of VOCABULARY (4000) tokens; CHANNELS (256), LAYERS (3) of each
kind, HEADS (4), four times the channels in feed-forward layers, pre-norm; sinusoidal positions; one matrix for both
embeddings and the head; dropout (DROPOUT, 0.1), label smoothing (0.1); Adam with betas 0.9 and 0.98 (Vaswani et al.
2017, section 5.3), learning rate RATE (0.001) after a warm-up of 5 %, linearly to 0 at the end of the time, which the clock
decides; batches of pairs of similar length, BATCH (2048) target tokens each; float32 or bfloat16 (autocast), whichever
makes the faster steps.
"""
import gzip
import math
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter

import sentencepiece
import torch
from torch import nn

PAD, BEGIN, END = 0, 1, 2
number = lambda name, default: type(default)(os.environ.get(name, default))
directory = sys.argv[1]
minutes, threads, seed = number("MINUTES", 15.0), number("THREADS", 2), number("SEED", 1)
channels, layers, heads = number("CHANNELS", 256), number("LAYERS", 3), number("HEADS", 4)
dropout, rate, batch_tokens = number("DROPOUT", 0.1), number("RATE", 0.001), number("BATCH", 2048)
vocabulary, beams = number("VOCABULARY", 4000), number("BEAMS", 4)
torch.set_num_threads(threads)
torch.manual_seed(seed)
random.seed(seed)


# ---- BLEU and chrF by sacreBLEU's definitions -------------------------------------------------------------------------

RULES = [(re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "), (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
         (re.compile(r"([\.,])([^0-9])"), r" \1 \2"), (re.compile(r"([0-9])(-)"), r"\1 \2 ")]


def words(line):
    line = " %s " % line.rstrip()
    for rule, written in RULES:
        line = rule.sub(written, line)
    return line.split()


def grams(units, n):
    return Counter(tuple(units[i:i + n]) for i in range(len(units) - n + 1))


def bleu(found, wanted):
    matches, totals, found_size, wanted_size = [0] * 4, [0] * 4, 0, 0
    for one, other in zip(map(words, found), map(words, wanted)):
        found_size, wanted_size = found_size + len(one), wanted_size + len(other)
        for n in range(4):
            ours = grams(one, n + 1)
            totals[n] += sum(ours.values())
            matches[n] += sum((ours & grams(other, n + 1)).values())
    if not all(matches):
        return 0.0
    penalty = min(0.0, 1 - wanted_size / found_size)
    return 100 * math.exp(penalty + sum(math.log(m / t) for m, t in zip(matches, totals)) / 4)


def chrf(found, wanted):
    sums = [[0, 0, 0] for _ in range(6)]
    for one, other in zip(found, wanted):
        one, other = "".join(one.split()), "".join(other.split())
        for n in range(6):
            ours, theirs = grams(one, n + 1), grams(other, n + 1)
            sums[n][0] += sum(ours.values()) if theirs else 0
            sums[n][1] += sum(theirs.values())
            sums[n][2] += sum((ours & theirs).values())
    used = [s for s in sums if s[0] and s[1]]
    precision, recall = (sum(s[2] / s[i] for s in used) / len(used) for i in (0, 1))
    return 500 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


# ---- Rows -------------------------------------------------------------------------------------------------------------

def read(name):
    sides = [gzip.open(os.path.join(directory, "%s.%s.gz" % (name, side)), "rt", encoding="utf-8").read().split("\n")
             for side in ("en", "de")]
    return [(en, de) for en, de in zip(*sides) if en and de]


train = read("train")
if os.environ.get("SIDE") == "train":
    test = train[::29]
    train = [pair for i, pair in enumerate(train) if i % 29 != 0]
else:
    test = read("val")
started = time.time()
with tempfile.TemporaryDirectory() as place:
    text = os.path.join(place, "text")
    with open(text, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for pair in train for line in pair)
    sentencepiece.SentencePieceTrainer.train(
        input=text, model_prefix=os.path.join(place, "bpe"), model_type="bpe", vocab_size=vocabulary, pad_id=PAD, bos_id=BEGIN,
        eos_id=END, unk_id=3, character_coverage=1.0, minloglevel=2, num_threads=threads)
    bpe = sentencepiece.SentencePieceProcessor(model_file=os.path.join(place, "bpe.model"))
ids = [(bpe.encode(en) + [END], [BEGIN] + bpe.encode(de) + [END]) for en, de in train]


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


def batches():
    """Pairs in random order, those of similar length together; batches in random order."""
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i][1]) + random.random() * 3, len(ids[i][0])))
    groups, group, width = [], [], 0
    for i in order:
        width = max(width, len(ids[i][1]), len(ids[i][0]))
        if group and width * (len(group) + 1) > batch_tokens:
            groups.append(group)
            group, width = [], max(len(ids[i][1]), len(ids[i][0]))
        group.append(i)
    groups.append(group)
    random.shuffle(groups)
    for group in groups:
        yield padded([ids[i][0] for i in group]), padded([ids[i][1] for i in group])


# ---- Model ------------------------------------------------------------------------------------------------------------

class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, channels, padding_idx=PAD)
        self.body = nn.Transformer(channels, heads, layers, layers, 4 * channels, dropout, batch_first=True, norm_first=True)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=channels ** -0.5)
        place = torch.arange(512)[:, None] / 10000 ** (torch.arange(0, channels, 2) / channels)
        self.register_buffer("places", torch.stack([place.sin(), place.cos()], -1).flatten(1))

    def embed(self, tokens):
        return self.dropout(self.embedding(tokens) * math.sqrt(channels) + self.places[:tokens.shape[1]])

    def encode(self, source):
        return self.body.encoder(self.embed(source), src_key_padding_mask=source == PAD)

    def decode(self, target, memory, source):
        mask = torch.full((target.shape[1],) * 2, -math.inf).triu(1)
        return self.body.decoder(self.embed(target), memory, tgt_mask=mask, tgt_key_padding_mask=target == PAD,
                                 memory_key_padding_mask=source == PAD)

    def loss(self, source, target):
        output = self.decode(target[:, :-1], self.encode(source), source)
        logits = output @ self.embedding.weight.T
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD,
                                           label_smoothing=0.1)


model = Translator()
optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-9)


def step(source, target, bfloat16):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        loss = model.loss(source, target)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def fastest():
    """Whether steps in bfloat16 are faster than those in float32; they change nothing, at a learning rate of 0."""
    times, some = {}, list(batches())[:2]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for bfloat16 in (False, True):
        before = time.time()
        try:
            for source, target in some:
                step(source, target, bfloat16)
            times[bfloat16] = time.time() - before
        except RuntimeError:
            times[bfloat16] = math.inf
    optimizer.state.clear()
    return times[True] < times[False]


# ---- Training ---------------------------------------------------------------------------------------------------------

bfloat16 = fastest()
epochs, steps, total, loss = 0, 0, minutes * 60, 0.0
while time.time() - started < total:
    for source, target in batches():
        used = (time.time() - started) / total
        if used >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(used / 0.05, (1 - used) / 0.95)
        loss = step(source, target, bfloat16)
        steps += 1
    epochs += 1
print("PyTorch %s, seed %d: %.1f M parameters, %d steps, %d epochs begun, %s, last loss %.3f, %.0f s" % (
    torch.__version__, seed, sum(p.numel() for p in model.parameters()) / 1e6, steps, epochs,
    "bfloat16" if bfloat16 else "float32", loss, time.time() - started), flush=True)


# ---- Translations -----------------------------------------------------------------------------------------------------

@torch.no_grad()
def translate(rows, n_beams):
    """Beam search of one batch; the score is the log-likelihood over the length (Wu et al. 2016, equation 14, alpha 1)."""
    source = padded([bpe.encode(row) + [END] for row in rows])
    memory = model.encode(source).repeat_interleave(n_beams, 0)
    source = source.repeat_interleave(n_beams, 0)
    texts = torch.full((len(source), 1), BEGIN)
    scores = torch.full((len(rows), n_beams), -math.inf)
    scores[:, 0] = 0
    best = [(-math.inf, [])] * len(rows)
    for length in range(1, 2 * source.shape[1] + 16):
        logits = model.decode(texts, memory, source)[:, -1] @ model.embedding.weight.T
        logprobs = logits.float().log_softmax(-1)
        logprobs[:, [PAD, BEGIN]] = -math.inf
        candidates = scores[:, :, None] + logprobs.view(len(rows), n_beams, -1)
        ended = candidates[:, :, END] / length
        for i, (score, beam) in enumerate(zip(*ended.max(1))):
            if score > best[i][0]:
                best[i] = (score.item(), texts[i * n_beams + beam, 1:].tolist())
        candidates[:, :, END] = -math.inf
        scores, places = candidates.flatten(1).topk(n_beams)
        if all(best[i][0] >= scores[i, 0].item() / length for i in range(len(rows))):
            break
        chosen = (torch.arange(len(rows))[:, None] * n_beams + places // vocabulary).flatten()
        texts = torch.cat([texts[chosen], (places % vocabulary).view(-1, 1)], 1)
    return [bpe.decode(text) for _, text in best]


model.eval()
order = sorted(range(len(test)), key=lambda i: len(test[i][0]))
for n_beams in sorted({1, beams}):
    found = [""] * len(test)
    for i in range(0, len(order), 64):
        some = order[i:i + 64]
        for place, text in zip(some, translate([test[j][0] for j in some], n_beams)):
            found[place] = text
    wanted = [de for _, de in test]
    print("PyTorch, seed %d, %d beams: BLEU %.2f, chrF %.2f of %d rows" % (
        seed, n_beams, bleu(found, wanted), chrf(found, wanted), len(test)), flush=True)
    if os.environ.get("HYPOTHESES"):
        with open("%s.%d" % (os.environ["HYPOTHESES"], n_beams), "w", encoding="utf-8") as file:
            file.writelines(text + "\n" for text in found)
