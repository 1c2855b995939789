"""Every series that a process has is in docs/monitoring.md, and named as Prometheus asks."""

import re
from pathlib import Path

import pytest

from services.api.metrics import Metrics as ApiMetrics
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.hints import counted_hints
from services.core.monitoring.instruments import Registry
from services.core.monitoring.page import table
from services.core.monitoring.series import Kind, Series
from services.core.pools import Pools
from services.core.redis import connect
from services.worker.controller import figures
from services.worker.controller.figures import tell_state
from services.worker.controller.metrics import ControllerMetrics
from services.worker.executors.kubernetes.metrics import Metrics as KubernetesMetrics
from services.worker.metrics import WorkerMetrics
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
IDENTITIES = {"run", "run_id", "step", "attempt", "key", "key_id", "user", "id", "url", "path", "goal"}
# Prometheus' own units; what is counted in things has the things in its name.
UNITS = {"seconds", "bytes", "dollars"}
NO_UNITS = {"ms", "milliseconds", "minutes", "hours", "kb", "mb", "gb", "mib", "percent", "usd", "microdollars"}


def registries() -> dict[str, Registry]:
    """What each part of an install has, put together as its process does. Nothing is connected to."""
    made = {part: Registry(part) for part in ("api", "worker", "controller")}
    nowhere = connect(f"redis://127.0.0.1:{free_port()}/0")
    for registry in made.values():
        Counting(registry, nowhere, Vocabulary(pools=("cpu",), tools=("read",), failures=("timeout",)))
        counted_hints(registry)
    ApiMetrics(made["api"])
    WorkerMetrics(made["worker"])
    ControllerMetrics(made["controller"])
    KubernetesMetrics(made["controller"])
    tell_state(made["controller"], Pools.local(), lambda _: pytest.fail("nobody scrapes"), lambda: None)
    return made


def declared() -> dict[str, list[Series]]:
    return {part: list(registry.declared) for part, registry in registries().items()}


def test_the_page_is_what_the_processes_declare() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    assert f"<!-- series -->\n{table(declared())}\n<!-- /series -->" in text


def test_a_name_in_the_documents_is_one_that_there_is() -> None:
    known = {one.name for series in declared().values() for one in series}
    endings = {f"{name}{end}" for name in known for end in ("", "_bucket", "_sum", "_count")}
    for document in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"):
        named = set(re.findall(r"`(cohort_[a-z_]+)(?:\{[^`]*\})?`", document.read_text()))
        assert named <= endings, document


def test_a_name_in_the_code_is_declared() -> None:
    known = {one.name for series in declared().values() for one in series}
    for path in (ROOT / "services").rglob("*.py"):
        assert set(re.findall(r"\"(cohort_[a-z_]+)\"", path.read_text())) <= known, path


@pytest.mark.parametrize("part", ["api", "worker", "controller"])
def test_names_are_as_prometheus_asks(part: str) -> None:
    for series in declared()[part]:
        words = series.name.split("_")
        assert re.fullmatch(r"cohort(_[a-z0-9]+)+", series.name), series.name
        assert (words[-1] == "total") is (series.kind is Kind.COUNTER), series.name
        assert not NO_UNITS & set(words), f"{series.name}: not in a base unit"
        assert words[-1] not in {"bucket", "count", "sum", "info"} or series.name == "cohort_build_info", series.name
        if series.kind is Kind.HISTOGRAM:
            assert words[-1] in UNITS, f"{series.name}: no unit"
        if series.kind is Kind.COUNTER and UNITS & set(words):
            assert words[-2] in UNITS, f"{series.name}: the unit stands before _total"


@pytest.mark.parametrize("part", ["api", "worker", "controller"])
def test_labels_are_few_and_identify_nobody(part: str) -> None:
    for series in declared()[part]:
        assert len(series.labels) <= 3, series.name
        assert not set(series.labels) & IDENTITIES, series.name
        for label in series.labels:
            assert re.fullmatch(r"[a-z][a-z_]*", label), series.name
            assert label not in {"le", "quantile", "job", "instance"}, series.name


@pytest.mark.parametrize("part", ["api", "worker", "controller"])
def test_each_says_what_it_is_in_a_sentence(part: str) -> None:
    for series in declared()[part]:
        assert re.fullmatch(r"\S.{10,220}\.", series.meaning), series.name
        assert "\n" not in series.meaning and "|" not in series.meaning, series.name


def test_what_two_parts_have_means_the_same_in_both() -> None:
    seen: dict[str, Series] = {}
    for series in (one for declarations in declared().values() for one in declarations):
        assert seen.setdefault(series.name, series) is series, series.name


def test_buckets_rise() -> None:
    for series in (one for declarations in declared().values() for one in declarations):
        assert list(series.buckets) == sorted(set(series.buckets)), series.name
        assert bool(series.buckets) is (series.kind is Kind.HISTOGRAM), series.name


def test_every_figure_of_the_state_is_declared_in_one_place() -> None:
    made = {value.name for value in vars(figures).values() if isinstance(value, Series)}
    assert {series.name for series in figures.ALL} == made
