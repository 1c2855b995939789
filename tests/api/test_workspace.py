import io
import tarfile

import httpx
import pytest

from services.core import events as ev
from services.core.store import Draft
from tests.api.conftest import Api
from tests.core.submitted import accept_run


@pytest.fixture
def snapshots(api: Api) -> list[str]:
    """Three versions of some files."""
    workspace = api.parts.workspace
    first = workspace.import_files({"train.py": b"print(1)\n", "data/a.txt": b"A\n"})
    second = workspace.write(first, "train.py", b"print(2)\n")
    return [first, second, workspace.delete(second, "data/a.txt")]


@pytest.fixture
def run(api: Api, snapshots: list[str]) -> str:
    """A run that had these versions after its events 1, 2 and 3."""
    run = accept_run(api.parts.store, snapshot=snapshots[0])
    for index in (1, 2):
        changed = ev.WorkspaceChanged(
            snapshot=snapshots[index], parent=snapshots[index - 1], tool_call_id=f"t{index}", paths=["x"]
        )
        api.parts.store.record(run, f"change:{index}", lambda _, changed=changed: Draft((changed,)))
    return run


def test_the_present_files_are_listed_and_read(http: httpx.Client, run: str, snapshots: list[str]) -> None:
    shown = http.get(f"/v1/runs/{run}/workspace").json()
    assert shown["snapshot"] == snapshots[2]
    assert [(entry["path"], entry["size"], entry["mode"]) for entry in shown["entries"]] == [("train.py", 9, 0o644)]
    response = http.get(f"/v1/runs/{run}/workspace/files/train.py")
    assert response.content == b"print(2)\n"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(("query", "content"), [({"seq": 1}, b"print(1)\n"), ({"seq": 2}, b"print(2)\n")])
def test_earlier_files_are_there_by_event(http: httpx.Client, run: str, query: dict[str, int], content: bytes) -> None:
    assert http.get(f"/v1/runs/{run}/workspace/files/train.py", params=query).content == content
    assert len(http.get(f"/v1/runs/{run}/workspace", params=query).json()["entries"]) == 2


def test_earlier_files_are_there_by_snapshot(http: httpx.Client, run: str, snapshots: list[str]) -> None:
    for snapshot in snapshots:
        assert http.get(f"/v1/runs/{run}/workspace", params={"snapshot": snapshot}).json()["snapshot"] == snapshot


def test_an_archive_holds_the_files(http: httpx.Client, run: str) -> None:
    response = http.get(f"/v1/runs/{run}/workspace/archive", params={"seq": 2})
    assert response.headers["content-type"] == "application/gzip"
    with tarfile.open(fileobj=io.BytesIO(response.content)) as tar:
        assert sorted(tar.getnames()) == ["data/a.txt", "train.py"]


def test_a_difference_is_between_the_input_and_the_present_unless_told(
    http: httpx.Client, run: str, snapshots: list[str]
) -> None:
    whole = http.get(f"/v1/runs/{run}/workspace/diff").text
    assert "-print(1)" in whole and "+print(2)" in whole and "data/a.txt" in whole
    last = http.get(f"/v1/runs/{run}/workspace/diff", params={"from": snapshots[1], "to": snapshots[2]}).text
    assert "train.py" not in last and "data/a.txt" in last


def test_a_snapshot_of_another_run_is_not_shown(api: Api, http: httpx.Client, run: str) -> None:
    foreign = api.parts.workspace.import_files({"secret.txt": b"theirs"})
    accept_run(api.parts.store, tenant="umbrella", snapshot=foreign)
    blob = api.parts.workspace.entry(foreign, "secret.txt").sha256
    for name in (foreign, blob, "0" * 64):
        for path in ("", "/archive", "/files/secret.txt"):
            assert http.get(f"/v1/runs/{run}/workspace{path}", params={"snapshot": name}).status_code == 404
        for side in ("from", "to"):
            assert http.get(f"/v1/runs/{run}/workspace/diff", params={side: name}).status_code == 404


@pytest.mark.parametrize("query", ["snapshot=x", "snapshot=" + "A" * 64, "seq=0", "seq=-1", "seq=x"])
def test_a_version_that_cannot_be_is_refused(http: httpx.Client, run: str, query: str) -> None:
    assert http.get(f"/v1/runs/{run}/workspace?{query}").status_code == 400


def test_a_snapshot_and_a_seq_at_once_are_refused(http: httpx.Client, run: str, snapshots: list[str]) -> None:
    query = {"snapshot": snapshots[0], "seq": 1}
    assert http.get(f"/v1/runs/{run}/workspace", params=query).status_code == 400


def test_an_event_that_has_not_happened_is_not_found(http: httpx.Client, run: str) -> None:
    assert http.get(f"/v1/runs/{run}/workspace", params={"seq": 4}).status_code == 404


@pytest.mark.parametrize("path", ["nothing.py", "data", "train.py/x"])
def test_a_file_that_is_not_there_is_not_found(http: httpx.Client, run: str, path: str) -> None:
    assert http.get(f"/v1/runs/{run}/workspace/files/{path}").status_code == 404


@pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "a%00b", "%ff", "a" * 300])
def test_a_path_that_breaks_a_rule_is_refused(http: httpx.Client, run: str, path: str) -> None:
    assert http.get(f"/v1/runs/{run}/workspace/files/{path}").status_code in (400, 404)
