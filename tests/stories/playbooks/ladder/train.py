"""Holds all of its data in memory, whatever the size of a batch."""

import argparse

import numpy as np

options = argparse.ArgumentParser()
options.add_argument("--batch-size", type=int, required=True)
options.add_argument("--accumulation-steps", type=int, default=1)
chosen = options.parse_args()
everything = np.ones((40_000, 4_096))
print(f"step=1 loss={everything[: chosen.batch_size].mean()}", flush=True)
