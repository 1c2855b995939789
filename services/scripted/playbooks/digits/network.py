"""A multi-layer perceptron in numpy: forward pass, gradients, Adam."""

from pathlib import Path

import numpy as np

LAYERS = (64, 512, 256, 10)


class Network:
    """Weights and biases of fully connected layers: ReLU between them, softmax at the end."""

    def __init__(self, parameters: list[np.ndarray]) -> None:
        self.parameters = parameters  # w0, b0, w1, b1, ...

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Network":
        """He initialisation (arXiv:1502.01852), biases zero."""
        parameters: list[np.ndarray] = []
        for inputs, outputs in zip(LAYERS, LAYERS[1:]):
            parameters.append(rng.normal(0.0, np.sqrt(2.0 / inputs), (inputs, outputs)).astype(np.float32))
            parameters.append(np.zeros(outputs, dtype=np.float32))
        return cls(parameters)

    @classmethod
    def load(cls, path: Path) -> "Network":
        with np.load(path, allow_pickle=False) as file:
            return cls([file[f"p{index}"] for index in range(len(file.files))])

    def save(self, path: Path) -> None:
        np.savez(path, **{f"p{index}": value for index, value in enumerate(self.parameters)})

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self._activations(images)[-1]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most likely digit of each row of `images` (n, 64), scaled to 0..1."""
        return self.logits(images).argmax(axis=1)

    def gradients(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Mean cross-entropy of a batch, and its gradient for each parameter."""
        activations = self._activations(images)
        logits = activations[-1] - activations[-1].max(axis=1, keepdims=True)
        log_total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        rows = np.arange(len(labels))
        loss = float((log_total[:, 0] - logits[rows, labels]).mean())

        error = np.exp(logits - log_total)
        error[rows, labels] -= 1.0
        error /= len(labels)
        gradients: list[np.ndarray] = []
        for layer in reversed(range(len(LAYERS) - 1)):
            gradients[:0] = [activations[layer].T @ error, error.sum(axis=0)]
            if layer:
                error = (error @ self.parameters[2 * layer].T) * (activations[layer] > 0)
        return loss, gradients

    def _activations(self, images: np.ndarray) -> list[np.ndarray]:
        values = [images]
        last = len(LAYERS) - 2
        for layer in range(last + 1):
            values.append(values[-1] @ self.parameters[2 * layer] + self.parameters[2 * layer + 1])
            if layer < last:
                np.maximum(values[-1], 0.0, out=values[-1])
        return values


class Adam:
    """Adam (arXiv:1412.6980) over a list of arrays that it changes in place."""

    def __init__(self, parameters: list[np.ndarray], decay: tuple[float, float] = (0.9, 0.999)) -> None:
        self.parameters = parameters
        self.decay = decay
        self.first = [np.zeros_like(value) for value in parameters]
        self.second = [np.zeros_like(value) for value in parameters]
        self.steps = 0

    def step(self, gradients: list[np.ndarray], learning_rate: float) -> None:
        self.steps += 1
        b1, b2 = self.decay
        rate = learning_rate * np.sqrt(1.0 - b2**self.steps) / (1.0 - b1**self.steps)
        for value, gradient, first, second in zip(self.parameters, gradients, self.first, self.second):
            first += (1.0 - b1) * (gradient - first)
            second += (1.0 - b2) * (gradient * gradient - second)
            value -= rate * first / (np.sqrt(second) + 1e-8)
