"""What the tests of the command line may ask for: the real API, a key for it, and `cohort` itself."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.core.apikeys import ApiKeys, Scope
from services.core.artifacts import ArtifactStore
from services.core.redis import Client
from services.core.store import RunStore
from tests.cli.api import ApiProcess, Story
from tests.servers import RedisServer


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


Cohort = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and nothing of the environment that the tests run in."""
    for name in ("COHORT_URL", "COHORT_KEY", "COHORT_MODEL", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COHORT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cohort(capsys: pytest.CaptureFixture[str]) -> Cohort:
    """Run a command in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def artifact_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def artifacts(artifact_directory: Path) -> ArtifactStore:
    """The store the API has too."""
    return ArtifactStore(artifact_directory.as_uri())


@pytest.fixture(scope="session")
def api_process(redis_process: RedisServer, artifact_directory: Path) -> Iterator[ApiProcess]:
    """One API for each process of pytest. Tests ask for `api`."""
    process = ApiProcess(redis_process.url, redis_process.url_of(1), artifact_directory)
    yield process
    process.kill()


@pytest.fixture
def api(
    redis_server: RedisServer, api_process: ApiProcess, client: Client, monkeypatch: pytest.MonkeyPatch
) -> ApiProcess:
    """A running API with nothing in it, which `cohort` finds and may use as tenant `local`."""
    if not api_process.is_running:
        api_process.start()
    _, key = ApiKeys(client).create("local", [Scope.ADMIN], "tests")
    monkeypatch.setenv("COHORT_URL", api_process.url)
    monkeypatch.setenv("COHORT_KEY", key)
    return api_process


@pytest.fixture
def story(api: ApiProcess, cohort: Cohort, store: RunStore) -> Story:
    """A submitted run."""
    submitted = cohort("submit", "train a model")
    assert submitted.code == 0, submitted.err
    return Story(store, submitted.out.strip())


@pytest.fixture
def command() -> list[str]:
    """`cohort` as a process of its own."""
    return [sys.executable, "-m", "services.cli"]
