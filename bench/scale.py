#!/usr/bin/env python3
"""bench/scale.py [RESULTS] - the cost model of docs/scale.md.

Without arguments it prints the predicted tables as Markdown. With a file of bench/servers.sh it fits the share of the
line's rate that is reached and the time that a step loses beside bytes, and prints measured and predicted seconds.

  step    time = compute + channel + exposed bytes / (share x rate) + 2 latency + message x 2 (n - 1);
          what is sent beside the backward pass of the last micro-batch is not exposed
          bytes that a member sends, and receives: 2 (n - 1) / n x width x P
  DiLoCo  time of a round = N compute + pack + (n - 1) (2 x 1.016 P / (share x rate) + add)  + update + apply + latency
"""
import math
import sys

# ---- constants. Measured: Zen 5, two cores, 2026-11-30, docs/scale.md says how.
GFLOPS_CORE = 320e9        # training, bfloat16 products, one thread: S 300, M 335 (build/bench/train)
CORES = {"2 cores": (2, 0.93), "32 cores": (32, 0.8)}  # the share of perfect scaling: measured for 2, assumed for 32
LIBPQ = 176e6              # bytes a second of one session with TLS, one core, a busy machine
MESSAGE = 20e-6            # seconds a message; assumed
# seconds a parameter and step of the channel, by bytes of a number: sockets, tags, copies, sums; bench/tree_networks.sh
CHANNEL = {4: 7.5e-9, 2: 5.5e-9}
PACK, CHECK, ADD, UPDATE, APPLY = 0.76e-9, 0.35e-9, 0.30e-9, 1.34e-9, 1.0e-9  # seconds a parameter, one core, 8 bits
PIECE = 16e6               # bytes a call of gpt_member_put or gpt_member_delta
UP, DOWN = 0.5 + 4 / 256, 1 + 4 / 256  # bytes a parameter of a packed difference of 4 bits and of an update of 8
ROUND = 50                 # inner steps
# bytes a second, seconds one way, and the share of the rate that TCP reaches in both directions at once: measured with
# iperf3 in bench/network.sh at 1 Gbit/s and 100 Mbit/s, assumed at 10 Gbit/s
NETWORKS = {"10 Gbit/s, 0.1 ms": (10e9 / 8, 1e-4, 0.8), "1 Gbit/s, 1 ms": (1e9 / 8, 1e-3, 0.8),
            "100 Mbit/s, 50 ms": (1e8 / 8, 5e-2, 0.55)}
SERVERS = (2, 4, 8, 16, 64, 512)

# name: layers, channels, heads, heads of keys and values, size of a head, mlp channels, matrices of the mlp,
# vocabulary, whether the head is the embedding, context, sequences of a micro-batch
SHAPES = {
    "nano": (4, 128, 4, 4, 32, 512, 2, 1024, True, 256, 4),
    "mini": (6, 192, 6, 6, 32, 768, 2, 2048, True, 256, 4),
    "small (S)": (6, 384, 6, 6, 64, 1536, 2, 256, True, 256, 4),
    "base": (8, 512, 8, 8, 64, 2048, 2, 8192, True, 256, 4),
    "gpt2 (M)": (12, 768, 12, 12, 64, 3072, 2, 50257, True, 256, 4),
    "SmolLM2 135M": (30, 576, 9, 3, 64, 1536, 3, 49152, True, 512, 2),
    "SmolLM2 360M": (32, 960, 15, 5, 64, 2560, 3, 49152, True, 512, 2),
    "Qwen2.5 0.5B": (24, 896, 14, 2, 64, 4864, 3, 151936, True, 512, 2),
    "Qwen3 0.6B": (28, 1024, 16, 8, 128, 3072, 3, 151936, True, 512, 2),
    "TinyLlama 1.1B": (22, 2048, 32, 4, 64, 5632, 3, 32000, False, 512, 2),
}
MICRO_BATCHES = 4          # of a server in a step: each server always has the same work


class Model:
    def __init__(self, shape):
        self.layers, self.channels, heads, kv, size, mlp, matrices, self.vocabulary, tied = shape[:-2]
        self.context, self.batch = shape[-2:]
        block = self.channels * size * (2 * heads + 2 * kv) + matrices * self.channels * mlp
        products = self.layers * block + self.vocabulary * self.channels
        self.parameters = products + (0 if tied else self.vocabulary * self.channels) + self.layers * 2 * self.channels
        self.parameters += 0 if kv < heads or matrices == 3 else self.context * self.channels
        self.flop = 6 * products + 12 * self.layers * heads * size * self.context  # of a token
        self.micro_tokens = self.batch * self.context

    def compute(self, cores, micro_batches):
        count, scaling = CORES[cores]
        return self.flop * self.micro_tokens * micro_batches / (GFLOPS_CORE * count * scaling)

    def memory(self, role):
        """Bytes: parameters, gradient, two moments, the bfloat16 copy, activations, and what servers add."""
        own = 18 * self.parameters + self.micro_tokens * (64 * self.layers * self.channels + 8 * self.vocabulary)
        if role == "step":     # lm_tree_buffers of 4 leaves a server and the wire's slices
            return own + 4 * self.parameters * (2 + 1)
        if role == "member":   # common weights, what rounding left, packed difference
            return own + 9 * self.parameters
        if role == "coordinator":  # the same; sum, outer momentum, what rounding left
            return own + 21 * self.parameters
        return own


def busy(cores):
    count, scaling = CORES[cores]
    return 1 / (count * scaling)


def step_seconds(model, n, network, cores, width=4):
    rate, delay, share = network
    compute = model.compute(cores, MICRO_BATCHES)
    half = (n - 1) / n * width * model.parameters / (share * rate)  # one of the two exchanges
    half = max(half, CHANNEL[width] * model.parameters / 2)  # one thread serves the channel
    scatter = max(0, half - model.compute(cores, 1) * 2 / 3)  # beside the backward pass of the last micro-batch
    taken = CHANNEL[width] * model.parameters * busy(cores)  # from the computation
    return compute + taken + scatter + half + 2 * delay + 2 * (n - 1) * MESSAGE


def round_seconds(model, n, network, cores, steps=ROUND):
    rate, delay, share = network
    compute = steps * model.compute(cores, MICRO_BATCHES)
    p, packed = model.parameters, (UP + DOWN) * model.parameters
    line = min(share * rate, LIBPQ)  # one process at the coordinator does all of its encryption
    pieces = math.ceil(packed / 2 / PIECE) + 1
    local = p * busy(cores) * (PACK + CHECK + UPDATE + APPLY)
    return compute + (n - 1) * (packed / line + p * busy(cores) * (CHECK + ADD)) + local + 2 * pieces * 2 * delay


def efficiency(model, n, network, cores, way):
    if way == "DiLoCo":
        return ROUND * model.compute(cores, MICRO_BATCHES) / round_seconds(model, n, network, cores)
    width = 2 if "bfloat16" in way else 4
    return model.compute(cores, MICRO_BATCHES) / step_seconds(model, n, network, cores, width)


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")


def heading(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def gib(size):
    return "%.2f" % (size / 2**30) if size < 10 * 2**30 else "%.0f" % (size / 2**30)


def print_models():
    heading("model", "parameters, million", "tokens a step and server", "compute of a step, 2 cores, 32 cores, s",
            "sent a step, GB", "sent a round, member, GB",
            "memory: one server, step, DiLoCo's member, coordinator, GiB")
    for name, shape in SHAPES.items():
        m = Model(shape)
        row(name, "%.1f" % (m.parameters / 1e6), "{:,}".format(m.micro_tokens * MICRO_BATCHES),
            "%.2f, %.3f" % (m.compute("2 cores", MICRO_BATCHES), m.compute("32 cores", MICRO_BATCHES)),
            "%.3f" % (8 * m.parameters / 1e9), "%.4f" % (UP * m.parameters / 1e9),
            ", ".join(gib(m.memory(r)) for r in ("one", "step", "member", "coordinator")))


def print_efficiency(way, cores):
    print("\n%s, servers of %s:\n" % (way, cores))
    heading("model", "network", *SERVERS)
    for name in ("small (S)", "TinyLlama 1.1B"):
        for network, values in NETWORKS.items():
            m = Model(SHAPES[name])
            row(name, network, *("%.2f" % efficiency(m, n, values, cores, way) for n in SERVERS))


def print_limits():
    """The star: servers up to which a round has an efficiency of 0.9, and at which its line is busy half the time."""
    heading("servers of", "network", *("%s: 0.9, 0.5" % name for name in ("small (S)", "gpt2 (M)", "TinyLlama 1.1B")))
    for cores in CORES:
        for network, values in NETWORKS.items():
            cells = []
            for name in ("small (S)", "gpt2 (M)", "TinyLlama 1.1B"):
                m = Model(SHAPES[name])
                of = {n: efficiency(m, n, values, cores, "DiLoCo") for n in range(2, 4000)}
                most = [max([n for n in of if of[n] >= least], default=1) for least in (0.9, 0.5)]
                cells.append("%s, %s" % tuple(str(n) if n > 1 else "none" for n in most))
            row(cores, network, *cells)


def print_lever():
    """Thousands of tokens that a server must compute between two exchanges for an efficiency of 0.9, 8 servers."""
    heading("servers of", "network", "step, float32", "step, bfloat16", "DiLoCo")
    m = Model(SHAPES["gpt2 (M)"])
    for cores in CORES:
        second = m.compute(cores, 1) / m.micro_tokens  # of a token
        for network, values in NETWORKS.items():
            cells = []
            for way in ("float32", "bfloat16"):
                cost = step_seconds(m, 8, values, cores, 4 if way == "float32" else 2) \
                    - m.compute(cores, MICRO_BATCHES)
                cells.append("{:,.0f}".format(9 * cost / second / 1000))
            cost = round_seconds(m, 8, values, cores) - ROUND * m.compute(cores, MICRO_BATCHES)
            cells.append("{:,.0f}".format(9 * cost / second / 1000))
            row(cores, network, *cells)


def read_results(path):
    names = ("network", "mode", "type", "model", "n", "parameters", "tokens", "seconds", "processor", "bytes", "most",
             "waiting", "loss")
    for line in open(path):
        fields = dict(zip(names, line.split("\t")))
        yield {k: v if k in ("network", "mode", "type", "model") else float(v) for k, v in fields.items()}


def fit(path):
    """Seconds beyond those of one server's work, by least squares over the bytes' time and one constant."""
    rows = list(read_results(path))
    alone = {(r["mode"], r["model"]): r for r in rows if r["n"] == 1}
    points = []
    for r in rows:
        base = alone.get((r["mode"], r["model"]))
        if r["n"] == 1 or base is None:
            continue
        work = base["seconds"] / r["n"] if r["mode"] == "step" else base["seconds"]
        rate = 0 if r["network"] == "loopback" else float(r["network"].split(":")[0]) * 1e6 / 8
        delay = 0 if r["network"] == "loopback" else float(r["network"].split(":")[1]) / 1e3
        points.append((r, work, r["most"] / rate if rate else 0.0, delay))
    for mode in sorted({p[0]["mode"] for p in points}):
        of = [p for p in points if p[0]["mode"] == mode]
        x, y = [p[2] for p in of], [p[0]["seconds"] - p[1] for p in of]
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        spread = sum((a - mean_x) ** 2 for a in x)
        slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / spread if spread else 0
        print("mode %s: share of the rate %.2f, beside bytes %.4f s a step" %
              (mode, 1 / slope if slope > 0 else float("nan"), mean_y - slope * mean_x))
        heading("network", "model", "servers", "measured, s a step", "by the fit", "efficiency", "by processor time",
                "MB a step, all", "loss")
        for (r, work, bytes_seconds, _), b in zip(of, y):
            base = alone[(r["mode"], r["model"])]
            processor = base["processor"] * (1 if mode == "step" else r["n"]) / r["processor"] if r["processor"] else 0
            row(r["network"], r["model"], int(r["n"]), "%.3f" % r["seconds"],
                "%.3f" % (work + slope * bytes_seconds + mean_y - slope * mean_x), "%.2f" % (work / r["seconds"]),
                "%.2f" % processor, "%.3f" % (r["bytes"] / 1e6), "%.4f" % r["loss"])


if len(sys.argv) > 1:
    fit(sys.argv[1])
else:
    print_models()
    for way_, cores_ in (("step, float32", "2 cores"), ("step, bfloat16", "2 cores"),
                         ("step, bfloat16", "32 cores"), ("DiLoCo", "2 cores"), ("DiLoCo", "32 cores")):
        print_efficiency(way_, cores_)
    print()
    print_limits()
    print()
    print_lever()
