"""`report`: end a research with its findings. Each source must be one that a tool has shown."""

from pydantic import Field

from services.worker.tools.questioning import questioned
from services.worker.tools.tool import Call, Effect, Finished, Parameters, Replay, Result, Tool

_ADVICE = (
    "Name each source as a tool has named it: a path, an address, a step. Look at what you have not looked at, or "
    "leave it out and put what it would have shown under open_questions."
)


class Source(Parameters):
    where: str = Field(min_length=3, max_length=1_000, description="The path, address, id or step, as a tool named it.")
    what: str = Field(min_length=1, max_length=2_000, description="What of the findings rests on it.")


class Report(Parameters):
    findings: str = Field(
        min_length=1,
        max_length=40_000,
        description="The recipe: what to do, with which data, method and numbers, and why; the best first.",
    )
    sources: list[Source] = Field([], max_length=100, description="What the findings rest on; at least one.")
    open_questions: list[str] = Field([], max_length=50, description="What could not be found out.")


def recipe(report: Report) -> str:
    """The report as its parent reads it."""
    parts = [report.findings, "Sources:", *(f"- {source.where}: {source.what}" for source in report.sources)]
    parts += ["Open questions:", *(f"- {question}" for question in report.open_questions)]
    return "\n".join(parts if report.open_questions else parts[:-1])


def _run(call: Call, wanted: Report) -> Result:
    problems = [] if wanted.sources else ["there is no source; findings without one are an opinion"]
    problems += [
        f"source {source.where!r}: no tool has shown it to you"
        for source in wanted.sources
        if not call.has_met(source.where)
    ]
    if problems:
        return questioned(call.state, problems, _ADVICE)
    return Result("reported; the research is over", finished=Finished(recipe(wanted), {}, ()))


TOOL = Tool(
    name="report",
    description="End the research with its findings and what they rest on. Each source is checked.",
    parameters=Report,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.WRITES}),
)
