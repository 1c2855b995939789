"""A multi-layer perceptron in numpy: how it starts, its gradients, and Adam."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from predict import activations

LAYERS = (64, 512, 256, 10)


class Network:
    """Fully connected layers with ReLU between them and softmax at the end; the forward pass is predict.py's."""

    def __init__(self, rng: np.random.Generator) -> None:
        """He initialisation (arXiv:1502.01852), biases zero."""
        self.parameters: list[np.ndarray] = []  # w0, b0, w1, b1, ...
        for inputs, outputs in pairwise(LAYERS):
            self.parameters.append(rng.normal(0.0, np.sqrt(2.0 / inputs), (inputs, outputs)).astype(np.float32))
            self.parameters.append(np.zeros(outputs, dtype=np.float32))

    def save(self, path: Path) -> None:
        np.savez(path, **{f"p{index}": value for index, value in enumerate(self.parameters)})

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most likely digit of each row of `images` (n, 64), scaled to 0..1."""
        return activations(self.parameters, images)[-1].argmax(axis=1)

    def gradients(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Mean cross-entropy of a batch, and its gradient for each parameter."""
        values = activations(self.parameters, images)
        logits = values[-1] - values[-1].max(axis=1, keepdims=True)
        log_total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        rows = np.arange(len(labels))
        loss = float((log_total[:, 0] - logits[rows, labels]).mean())

        error = np.exp(logits - log_total)
        error[rows, labels] -= 1.0
        error /= len(labels)
        gradients: list[np.ndarray] = []
        for layer in reversed(range(len(LAYERS) - 1)):
            gradients[:0] = [values[layer].T @ error, error.sum(axis=0)]
            if layer:
                error = (error @ self.parameters[2 * layer].T) * (values[layer] > 0)
        return loss, gradients


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
        for value, gradient, first, second in zip(self.parameters, gradients, self.first, self.second, strict=True):
            first += (1.0 - b1) * (gradient - first)
            second += (1.0 - b2) * (gradient * gradient - second)
            value -= rate * first / (np.sqrt(second) + 1e-8)
