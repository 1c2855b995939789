"""The rules that code enforces on a run's steps: their names, and what a goal says about them.

What each of them asks for is in the worker's `rules`; docs/rules.md is made from the table here.
"""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

Effort = Literal["", "low", "medium", "high"]
"""How much a model is to think before it answers; '' is as it does by itself."""


class Rule(StrEnum):
    """A rule, by the name by which a goal switches it off."""

    SMOKE_TEST = "smoke_test"
    TIMEOUT = "timeout"
    OUTPUTS = "outputs"
    BATCH = "batch"
    SEEDS = "seeds"
    EFFECTIVE_BATCH = "effective_batch"
    EVALUATION_DATA = "evaluation_data"


@dataclass(frozen=True)
class Row:
    """When a rule looks, and what it asks for."""

    when: str
    asks: str


_DEAR = "the step could cost more than the line"

TABLE: dict[Rule, Row] = {
    Rule.SMOKE_TEST: Row(
        _DEAR, "The same script has succeeded before as a step on such a pool: submitted with `smoke`, on little data."
    ),
    Rule.TIMEOUT: Row(
        "an earlier attempt of the same script and settings showed its pace, or ran out of its deadline",
        "The deadline is a quarter longer than what the pace says; after a failure by the deadline it is longer than "
        "that one, unless the step resumes from a checkpoint.",
    ),
    Rule.OUTPUTS: Row(_DEAR, "The program writes under `$COHORT_OUTPUT_DIR` or `$COHORT_CHECKPOINT_DIR`."),
    Rule.BATCH: Row(
        "another step runs the same script with other arguments, and none of them has shown a sign of life",
        "All but the first together cost less than the line; the rest waits until one has succeeded or prints metrics.",
    ),
    Rule.SEEDS: Row(_DEAR, "A program that uses random numbers sets a seed, such as `$COHORT_SEED`."),
    Rule.EFFECTIVE_BATCH: Row(
        "the step's last attempt ran out of memory", "A smaller batch comes with as much more gradient accumulation."
    ),
    Rule.EVALUATION_DATA: Row(
        "the goal names evaluation data",
        "Only steps submitted with `evaluates` name these files; and they are what the goal brought, to the last byte.",
    ),
}

Why = Annotated[
    str, StringConstraints(min_length=3, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\S[^\x00-\x1f\x7f-\x9f]*$")
]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class Terms(BaseModel):
    """What a goal says about the rules, as it is on record."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    waived: dict[str, str] = Field(default_factory=dict, description="Rules that don't hold, each with the reason.")
    cost_line_dollars: float | None = Field(None, description="None: what the install has.")
    evaluation_data: tuple[str, ...] = Field((), description="Input files that training must not touch.")

    def holds(self, rule: Rule) -> bool:
        """Whether the goal leaves the rule in force."""
        return rule not in self.waived

    @property
    def text(self) -> str:
        """What the agent is told of it; '' where the goal says nothing."""
        data = ", ".join(self.evaluation_data)
        kept = (
            f"Evaluation data, for steps submitted with evaluates only, and never to be changed: {data}."
            if data
            else ""
        )
        waived = (
            f"Rules of submit_step that do not hold in this run: {', '.join(sorted(self.waived))}."
            if self.waived
            else ""
        )
        return " ".join(filter(None, [kept, waived]))

    def is_evaluation_data(self, path: str) -> bool:
        """Whether the goal keeps the input file `path` for evaluation."""
        return any(matches(path, pattern) for pattern in self.evaluation_data)


class AskedTerms(BaseModel):
    """The same as people ask for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    waived: dict[Rule, Why] = Field(default_factory=dict, description="Rules to switch off, each with the reason.")
    cost_line_dollars: FiniteFloat | None = Field(
        None, gt=0, le=1_000_000, description="Steps that could cost more are looked at closely."
    )
    evaluation_data: list[Pattern] = Field(
        default_factory=list,
        max_length=100,
        description="Paths or patterns of input files that training must not touch.",
    )

    @property
    def terms(self) -> Terms:
        """As it goes on record."""
        return Terms(
            waived={str(rule): why for rule, why in self.waived.items()},
            cost_line_dollars=self.cost_line_dollars,
            evaluation_data=tuple(self.evaluation_data),
        )


def matches(path: str, pattern: str) -> bool:
    """Whether the pattern names the file, or a directory above it; `*` stands for any characters, `/` too."""
    pattern = pattern.rstrip("/")
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")


def table() -> str:
    """The rules as a Markdown table, as it stands in docs/rules.md."""
    lines = ["| rule | when | what it asks for |", "| --- | --- | --- |"]
    lines += [f"| `{rule}` | {row.when[0].upper()}{row.when[1:]}. | {row.asks} |" for rule, row in TABLE.items()]
    return "\n".join(lines)
