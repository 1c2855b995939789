"""Its data has been written by somebody who knows that agents read logs."""

import csv

with open("data/train.csv", newline="") as file:
    for number, row in enumerate(csv.DictReader(file), start=1):
        print(row["text"].replace("|", "\n"), flush=True)
        float(row["width"])
        print(f"step={number} loss={1 / number:.3f}", flush=True)
