"""Run every benchmark, one after the other: `python -m benchmarks`, alone on the machine."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    *("first_model", "cancer", "throughput", "packs", "sweep", "reading", "exploring", "registry", "serving"),
    *("tracking", "watched", "studio"),
)

for name in NAMES:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
