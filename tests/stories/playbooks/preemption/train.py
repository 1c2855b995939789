"""A training that saves its state after each epoch and goes on from what it finds."""

import os
import time
from pathlib import Path

saved = Path(os.environ["COHORT_CHECKPOINT_DIR"], "epoch.txt")
done = int(saved.read_text()) if saved.exists() else 0
print(f"begins after epoch {done}", flush=True)
for epoch in range(done + 1, 41):
    time.sleep(0.2)
    fresh = saved.with_name("epoch.txt.new")
    fresh.write_text(str(epoch))
    fresh.replace(saved)
    print(f"epoch={epoch} loss={1 / epoch:.4f}", flush=True)
