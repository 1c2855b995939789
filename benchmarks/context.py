"""What masking saves: the prompts of a recorded run with long outputs, as shown and as they would be whole."""

import time
from importlib.resources import files

from benchmarks.engine import play
from benchmarks.figures import Figure, figure
from benchmarks.stand import up
from services.core.window import Cuts, Window
from services.worker.context.tokens import tokens_of
from services.worker.context.view import Parts, budget_of, fit
from services.worker.conversation import opening, ordered
from services.worker.tools import TOOLS

_TURNS, _CHARS = 100, 40_000
_WINDOWS = (32_000, 128_000)
_REPLY_TOKENS = 8_192


def measure() -> list[Figure]:
    with up({"COHORT_MODEL_WINDOW_TOKENS": str(_WINDOWS[0])}) as stand:
        run = play(stand, f"turns={_TURNS} chars={_CHARS}", "scripted/long")
        state, talk = stand.store.state(run), ordered(stand.store.talk(run))
    system = files("services.worker.prompts").joinpath("system.md").read_text()
    begun, schemas = opening(system, state, []), tokens_of([tool.schema for tool in TOOLS.values()])
    turns = sorted({entry.turn for entry in talk})
    figures: list[Figure] = []
    for window in _WINDOWS:
        cuts, shown, whole, took = Cuts(), 0, 0, []
        for turn in turns:
            before = [entry for entry in talk if entry.turn < turn]
            since = time.perf_counter()
            view = fit(Parts(begun, before, "", schemas), cuts, budget_of(window, _REPLY_TOKENS, Window()))
            took.append((time.perf_counter() - since) * 1000)
            if view is None:
                raise RuntimeError(f"turn {turn} does not fit into a window of {window} tokens")
            cuts, shown, whole = view.cuts, shown + view.tokens, whole + view.whole_tokens
        name = f"{_TURNS} turns in a window of {window:,}"
        figures += [
            figure(f"prompt tokens shown, of those without masking: {name}", "%", [100 * shown / whole]),
            figure(f"prompt tokens shown: {name}", "thousand", [shown / 1000]),
            figure(f"making one view: {name}", "ms", took),
        ]
    return figures
