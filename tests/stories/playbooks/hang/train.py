"""A loader on a thread of its own, and a training that takes what it has loaded."""

import queue
import threading

shards: "queue.Queue[int]" = queue.Queue(maxsize=2)


def load() -> None:
    for shard in range(8):
        shards.put(shard)


loader = threading.Thread(target=load, daemon=True)
loader.start()
print("loading 8 shards", flush=True)
loader.join()
for step in range(1, 9):
    print(f"step={step} loss={1 / (1 + shards.get()):.4f}", flush=True)
