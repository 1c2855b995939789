"""Small random changes of position, angle and size, so that the network doesn't learn pixels by heart."""

import numpy as np

SIDE = 8
MARGIN = 2  # Zeros around the image, so that what a warp looks up beyond the edge is empty.
MOVE_PIXELS = 0.6
TURN_RADIANS = 0.15
STRETCH = 0.1


class Warp:
    """Warps batches of images by a random affine map each, with bilinear interpolation.

    The padded canvas is allocated once and filled again for each batch.
    """

    def __init__(self, batch: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.canvas = np.zeros((batch, SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), dtype=np.float32)
        centre = (SIDE - 1) / 2
        self.down, self.right = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - centre

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return warped copies of `images` (n, 64)."""
        canvas = self.canvas
        canvas[:, MARGIN:-MARGIN, MARGIN:-MARGIN] = images.reshape(-1, SIDE, SIDE)
        down, right = self._sources(len(images))
        row, column = down.astype(np.intp), right.astype(np.intp)
        below, beside = down - row, right - column
        image = np.arange(len(images))[:, None, None]
        upper = canvas[image, row, column] * (1 - beside) + canvas[image, row, column + 1] * beside
        lower = canvas[image, row + 1, column] * (1 - beside) + canvas[image, row + 1, column + 1] * beside
        return (upper * (1 - below) + lower * below).reshape(-1, SIDE * SIDE).astype(np.float32)

    def _sources(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Where on the canvas each pixel of each warped image comes from: (down, right), each (count, 8, 8)."""
        angle, shear = (self._uniform(TURN_RADIANS, count), self._uniform(TURN_RADIANS, count))
        tall, wide = (1 + self._uniform(STRETCH, count), 1 + self._uniform(STRETCH, count))
        down = (np.cos(angle) * self.down - np.sin(angle) * self.right) * tall
        right = (np.sin(angle) * self.down + np.cos(angle) * self.right + shear * self.down) * wide
        corner = MARGIN + (SIDE - 1) / 2
        highest = SIDE + 2 * MARGIN - 1.001
        down = down + corner + self._uniform(MOVE_PIXELS, count)
        right = right + corner + self._uniform(MOVE_PIXELS, count)
        return np.clip(down, 0, highest), np.clip(right, 0, highest)

    def _uniform(self, limit: float, count: int) -> np.ndarray:
        return self.rng.uniform(-limit, limit, (count, 1, 1)).astype(np.float32)
