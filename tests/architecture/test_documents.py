"""What the documents say is what the code says."""

import re
from pathlib import Path

from services.core import rules
from services.core.lifecycle import diagram
from services.core.taxonomy import table

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_diagram_of_a_runs_life_is_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert f"<!-- lifecycle -->\n```mermaid\n{diagram()}\n```\n<!-- /lifecycle -->" in text


def test_the_table_of_failures_is_the_taxonomy() -> None:
    text = (ROOT / "docs" / "failures.md").read_text()
    assert f"<!-- taxonomy -->\n{table()}\n<!-- /taxonomy -->" in text


def test_the_table_of_rules_is_theirs() -> None:
    text = (ROOT / "docs" / "rules.md").read_text()
    assert f"<!-- rules -->\n{rules.table()}\n<!-- /rules -->" in text


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert broken == []


def test_a_make_target_that_is_named_is_there() -> None:
    for document in DOCUMENTS:
        assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", document.read_text(), re.MULTILINE)) <= TARGETS, document
