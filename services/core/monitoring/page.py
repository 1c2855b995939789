"""The table of docs/monitoring.md, made from what the processes declare; a test holds the two together. Pure."""

from collections.abc import Mapping, Sequence

from services.core.monitoring.series import Series


def table(declared: Mapping[str, Sequence[Series]]) -> str:
    """Every series of the parts of an install as a Markdown table: first what several of them have."""
    known = {one.name: one for series in declared.values() for one in series}
    parts = {
        name: [part for part, series in declared.items() if name in {one.name for one in series}] for name in known
    }
    lines = ["| series | type | labels | what it is | of |", "| --- | --- | --- | --- | --- |"]
    for name in sorted(known, key=lambda name: -len(parts[name])):
        series = known[name]
        labels = ", ".join(f"`{label}`" for label in series.labels)
        lines.append(f"| `{name}` | {series.kind} | {labels} | {series.meaning} | {', '.join(parts[name])} |")
    return "\n".join(lines)
