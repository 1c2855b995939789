"""`evaluation_data`: what a model is measured on is neither seen by its training nor changed."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from services.core.workspace import Entry
from services.worker.rules.facts import Facts

_EVALUATION_MODULE = re.compile(r"(^|[_-])(eval|evaluate|evaluation|test|tests|score|scoring|metrics?)([_-]|$)")


def refuse(facts: Facts) -> str | None:
    """None, or which file keeps the step from being submitted, and why."""
    if facts.altered:
        return altered_text(facts.altered)
    if facts.asked.evaluates or not facts.evaluation:
        return None
    for path, text in _training_texts(facts):
        for data in facts.evaluation:
            if _names(path, text, data, facts.inputs):
                where = "the command" if path == "" else path
                return (
                    f"{where} names {data}, which the goal keeps for evaluation: a step that trains must not read it. "
                    "Take a part of the training data for validation. If this step only measures, submit it with "
                    "evaluates true, from a program of its own"
                )
    return None


def altered(brought: Sequence[Entry], now: Iterable[Entry]) -> tuple[str, ...]:
    """Of the evaluation files as the goal `brought` them, the paths of those that are not the same any more."""
    there = {entry.path: entry.sha256 for entry in now}
    return tuple(entry.path for entry in brought if there.get(entry.path) != entry.sha256)


def altered_text(paths: Sequence[str]) -> str:
    """What is said of evaluation files that have been changed, and are put back."""
    shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
    return (
        f"evaluation data of the goal was changed or deleted ({shown}); it has been put back as it was. Leave it alone"
    )


def _training_texts(facts: Facts) -> Iterator[tuple[str, str]]:
    """The command, and the files of the program but those that evaluate."""
    yield "", facts.asked.command
    evaluating = {script for one in facts.earlier if one.attempt.evaluates for script in one.scripts}
    for path, text in facts.program.files.items():
        is_main = path in facts.program.main
        is_evaluation = path in evaluating or _EVALUATION_MODULE.search(PurePosixPath(path).stem.lower())
        if is_main or not is_evaluation:
            yield path, text


def _names(path: str, text: str, data: str, inputs: Sequence[str]) -> bool:
    """Whether the text names the file: by its path, or by its name where no other input is called so."""
    name = PurePosixPath(data).name
    is_unique = sum(PurePosixPath(one).name == name for one in inputs) <= 1
    wanted = name if is_unique else data
    pattern = re.compile(rf"(?<![\w.-]){re.escape(wanted)}(?![\w-])")
    return any(pattern.search(one) for one in (_literals(text) if path.endswith(".py") else [_without_comments(text)]))


def _literals(text: str) -> list[str]:
    """The strings of a Python program but its docstrings; all of it where it is not Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [_without_comments(text)]
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone
    ]


def _without_comments(text: str) -> str:
    return re.sub(r"(^|\s)#.*", "", text)
