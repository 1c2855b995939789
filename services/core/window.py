"""What is known of how much of a run's history its model can be shown: part of the run's state."""

from services.core.record import Record


class Cuts(Record):
    """Where the model's view of the history is cut: turns before `outlined` are lines of an outline, answers of turns
    before `masked` are lines with a pointer."""

    masked: int = 0
    outlined: int = 0

    def forward(self, masked: int = 0, outlined: int = 0) -> "Cuts":
        """These cuts, moved forward to there; a cut never moves back."""
        return Cuts(masked=max(self.masked, masked, outlined), outlined=max(self.outlined, outlined))


class Window(Record):
    """What is known of how much of the history the model can be shown.

    `tokens_per_estimated`: the provider's count of a prompt over ours, of the last call. `most`: the most tokens, by
    our count, since the provider has refused a longer prompt; `refused`: how often in a row it has.
    """

    cuts: Cuts = Cuts()
    tokens_per_estimated: float = 1.0
    most: int | None = None
    refused: int = 0
