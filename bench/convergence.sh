#!/bin/bash
#
# bench/convergence.sh SAMPLE [FOLDER] - model S on Tiny Shakespeare's bytes, PyTorch against ours (about an hour).
#
# Both train from the same initial weights on the same batches (first 90 %), and are validated on the last 10 %.
# Fails unless the validation losses at steps 250 and 1,000 lie within 0.02 nats of each other. FOLDER keeps
# PyTorch's run: where it holds one, only ours is run.
set -euo pipefail

sample=$(realpath "${1:?the sample text is missing}")
folder=$(realpath -m "${2:-build/bench/convergence-run}")
cd "$(dirname "$0")/.."

mkdir -p "$folder"
if ! grep -q '"1000"' "$folder/torch.json" 2>/dev/null; then
	LD_LIBRARY_PATH=$(find /usr/lib -maxdepth 2 -type d -name openblas-openmp | head -n 1) \
		/usr/bin/python3 bench/convergence.py "$folder" "$sample"
fi
build/bench/convergence "$folder" "$sample" | tee "$folder/gpt.txt"
/usr/bin/python3 - "$folder" <<'PYTHON'
import json
import sys

torch = json.load(open(sys.argv[1] + "/torch.json"))["validation"]
ours = {}
for line in open(sys.argv[1] + "/gpt.txt"):
    fields = line.split()
    ours[fields[0]] = float(fields[2])
print("step  PyTorch  gpt      difference")
worst = 0
for step in torch:
    difference = ours[step] - torch[step]
    print("%4s  %.4f   %.4f   %+.4f" % (step, torch[step], ours[step], difference))
    if step in ("250", "1000"):
        worst = max(worst, abs(difference))
sys.exit(worst > 0.02)
PYTHON
