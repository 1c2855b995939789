"""The documents say what the code does."""

from pathlib import Path

from services.core.lifecycle import diagram

ROOT = Path(__file__).parents[2]


def test_the_diagram_of_a_runs_life_is_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = text.split("<!-- lifecycle -->")[1].split("<!-- /lifecycle -->")[0]
    assert drawn.strip() == f"```mermaid\n{diagram()}\n```"
