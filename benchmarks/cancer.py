"""How good is the default recipe on the breast-cancer table? Mean over seeds of the split and the training.

python -m benchmarks.cancer [--seeds 10]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tabstudio import configure, read, split
from tabstudio.evaluation import evaluate
from tabstudio.recipes.demo import write_cancer_table
from tabstudio.recipes.fit import fit
from tabstudio.recipes.labeled_rows import LabeledRows

AIMS = {"accuracy": 0.97, "roc_auc": 0.994, "recall": 0.95}


def main() -> None:
    """Print the measures of each seed and their means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        table = read(write_cancer_table(Path(folder) / "cancer.csv"), target="diagnosis")
    rows = []
    for seed in range(seeds):
        config = configure(seed=seed)
        parts = split(table, config.split)
        train, test = table.take(parts.train), table.take(parts.test)
        fitted = fit(LabeledRows.of(train, parts.fold), config)
        evaluation = evaluate(
            table.schema.target,
            test.labels(),
            fitted.model.predict_proba(test.frame),
            threshold=fitted.model.threshold,
            resamples=0,
        )
        rows.append([evaluation.metrics[name].value for name in AIMS])
        print(
            f"seed {seed}  " + "  ".join(f"{n} {v:.4f}" for n, v in zip(AIMS, rows[-1], strict=True)),
            flush=True,
        )
    for name, value in zip(AIMS, np.mean(rows, axis=0), strict=True):
        print(f"mean {name:10} {value:.4f} (aim: {AIMS[name]})")


if __name__ == "__main__":
    main()
