"""A network of one hidden layer, its training, and its checkpoints."""

import numpy as np

PIXELS, CLASSES, ROWS = 16, 4, 256


class Network:
    def __init__(self, width: int) -> None:
        random = np.random.default_rng(0)
        self.state = {
            "hidden.weight": random.normal(scale=0.3, size=(PIXELS, width)),
            "output.weight": random.normal(scale=0.3, size=(width, CLASSES)),
        }

    def save(self, path: str) -> None:
        np.savez(path, **self.state)

    def load(self, path: str) -> None:
        with np.load(path) as checkpoint:
            for name, value in self.state.items():
                if checkpoint[name].shape != value.shape:
                    raise ValueError(
                        f"shape of {name} in checkpoint is {checkpoint[name].shape}, in the model {value.shape}"
                    )
            self.state = {name: checkpoint[name] for name in self.state}


def train(network: Network, epochs: int, first: int = 1) -> None:
    random = np.random.default_rng(1)
    images = random.normal(size=(ROWS, PIXELS))
    targets = np.eye(CLASSES)[images[:, :CLASSES].argmax(axis=1)]
    for epoch in range(first, first + epochs):
        hidden = np.tanh(images @ network.state["hidden.weight"])
        errors = hidden @ network.state["output.weight"] - targets
        back = errors @ network.state["output.weight"].T * (1 - hidden**2)
        network.state["output.weight"] -= 0.1 * hidden.T @ errors / ROWS
        network.state["hidden.weight"] -= 0.1 * images.T @ back / ROWS
        print(f"epoch={epoch} loss={float(np.mean(errors**2)):.6f}", flush=True)
