"""What a service brings with it: the sum of the import contracts in pyproject.toml, taken in a process of its own."""

import json
import subprocess
import sys

import pytest

HEAVY = {"litellm", "openai", "kubernetes", "huggingface_hub"}
SERVERS = {"celery", "kombu", "fastapi", "starlette", "uvicorn", "redis", "fsspec", "fakeredis"}
LIST_MODULES = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    ("module", "barred"),
    [
        ("services.runner.__main__", HEAVY | SERVERS | {"prometheus_client"}),
        ("services.runner.shim", HEAVY | SERVERS | {"prometheus_client", "httpx", "pydantic", "structlog"}),
        ("services.api.app", HEAVY | {"fakeredis"}),
        ("services.cli.__main__", HEAVY | SERVERS | {"prometheus_client"}),
        ("services.worker.controller.__main__", HEAVY | {"fastapi", "fakeredis"}),
        ("services.worker.__main__", HEAVY | {"fastapi", "fakeredis"}),
    ],
)
def test_importing_a_service_brings_only_what_it_needs(module: str, barred: set[str]) -> None:
    command = [sys.executable, "-c", LIST_MODULES, module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) & barred == set()
