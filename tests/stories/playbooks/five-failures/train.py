"""Written in a hurry: behind each mistake is the next one."""

import csv
import importlib
import sys

import numpy as np

MENDED = 0

if MENDED < 1:
    importlib.import_module("fastmetrics")
if MENDED < 2:
    open("data/valid.csv").close()
if MENDED < 3:
    np.ones((4, 3)) @ np.ones((4, 3))
if MENDED < 4:
    [row["label"] for row in csv.DictReader(["width,kind", "1,wide"])]
if MENDED < 5:
    sys.exit(f"rate must be positive, and is {len(sys.argv) - 1}")
print("accuracy=0.5", flush=True)
