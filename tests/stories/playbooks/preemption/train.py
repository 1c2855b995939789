"""A training that saves its state after each epoch, goes on from what it finds, and leaves when it is told to."""

import os
import signal
import sys
import time
from pathlib import Path

told = []
signal.signal(signal.SIGTERM, lambda number, _: told.append(number))

saved = Path(os.environ["COHORT_CHECKPOINT_DIR"], "epoch.txt")
done = int(saved.read_text()) if saved.exists() else 0
print(f"begins after epoch {done}", flush=True)
for epoch in range(done + 1, 41):
    time.sleep(0.2)
    fresh = saved.with_name("epoch.txt.new")
    fresh.write_text(str(epoch))
    fresh.replace(saved)
    print(f"epoch={epoch} loss={1 / epoch:.4f}", flush=True)
    if told:
        print(f"told to end, after epoch {epoch}", flush=True)
        sys.exit(1)
