"""`ask`: put a question to a person, and stop until it is answered."""

from pydantic import Field

from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool

NOT_ASKED = "not asked: a person has just said something, which comes next, or the run ends"


class Ask(Parameters):
    question: str = Field(min_length=1, max_length=4_000, description="What is needed, and why nothing else will do.")


def _run(_: Call, wanted: Ask) -> Result:
    return Result("asked; the answer comes as the next message", asked=wanted.question)


TOOL = Tool(
    name="ask",
    description=(
        "Ask a person for what you cannot do or decide yourself: access, data, a choice that changes the goal. The run "
        "stops until somebody answers, which may be never: do everything else first."
    ),
    parameters=Ask,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.WRITES}),
)
