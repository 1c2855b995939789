"""Reads a table that somebody has still to deliver in full."""

import csv

with open("data/train.csv", newline="") as file:
    rows = list(csv.DictReader(file))
if len(rows) < 4:
    raise RuntimeError(f"only {len(rows)} rows of the 4 that were agreed")
print(f"rows={len(rows)}", flush=True)
