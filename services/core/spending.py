"""Changes of a run's spend: what is held, what is settled, what was used. Pure."""

from services.core import events as ev
from services.core.records import MICRODOLLARS, Spend


def hold(spend: Spend, name: str, microdollars: int) -> Spend:
    """`microdollars` are held under `name` until they are settled."""
    return spend.model_copy(update={"holds": {**spend.holds, name: microdollars}}) if microdollars else spend


def settle(spend: Spend, name: str, cost_usd: float) -> Spend:
    """What was held under `name` has cost so much."""
    holds = {key: value for key, value in spend.holds.items() if key != name}
    return spend.model_copy(
        update={"holds": holds, "microdollars": spend.microdollars + round(cost_usd * MICRODOLLARS)}
    )


def with_tokens(spend: Spend, data: ev.LlmCall | ev.ResearchFinished) -> Spend:
    """The tokens of a model call, or of all calls of a research, were used."""
    return spend.model_copy(
        update={
            "prompt_tokens": spend.prompt_tokens + data.prompt_tokens,
            "completion_tokens": spend.completion_tokens + data.completion_tokens,
            "cached_tokens": spend.cached_tokens + data.cache_read_tokens,
        }
    )
