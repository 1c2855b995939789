"""Stand-in."""

from collections.abc import Sequence


class SeriesParser:
    def feed(self, data: bytes) -> Sequence[object]:
        return ()
