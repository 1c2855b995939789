"""A line through the points of a file."""

import numpy as np

points = np.loadtxt("dataset/train.txt")
slope, offset = np.polyfit(points[:, 0], points[:, 1], 1)
error = float(np.mean((slope * points[:, 0] + offset - points[:, 1]) ** 2))
print(f"slope={slope:.4f} error={error:.6f}", flush=True)
