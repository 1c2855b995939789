"""A threshold on one feature, from a table."""

import csv

with open("data/train.csv", newline="") as file:
    rows = list(csv.DictReader(file))

points = [(float(row["width"]), row["label"]) for row in rows]
for step, threshold in enumerate((0.5, 1.0, 1.5, 2.0), start=1):
    right = sum((width > threshold) == (label == "wide") for width, label in points)
    print(f"step={step} accuracy={right / len(points):.4f}", flush=True)
