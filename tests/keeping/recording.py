"""Records a small install as this version leaves it: `python -m tests.keeping.recording NAME`.

Everything in Redis and in the artifact store, as `recorded/NAME.json.gz`, for later versions to find sound.
"""

import base64
import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.redis import Client, connect
from services.keeping.install import install_of
from tests.keeping.conftest import House
from tests.servers import RedisServer

PLACE = Path(__file__).parent / "recorded"


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def taken(client: Client, directory: Path) -> dict[str, Any]:
    """What there is in Redis, by type, and the files of the artifact store."""
    redis = {_text(key): _value(client, key) for key in sorted(client.scan_iter())}
    files = {
        path.relative_to(directory).as_posix(): base64.b64encode(path.read_bytes()).decode()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    return {"redis": redis, "files": files}


def _value(client: Client, key: bytes) -> list[Any]:
    match client.type(key):
        case b"hash":
            return ["hash", {_text(name): _text(value) for name, value in client.hgetall(key).items()}]
        case b"list":
            return ["list", [_text(row) for row in client.lrange(key, 0, -1)]]
        case b"set":
            return ["set", sorted(_text(row) for row in client.smembers(key))]
        case b"zset":
            return ["zset", {_text(name): score for name, score in client.zrange(key, 0, -1, withscores=True)}]
        case b"stream":
            rows = client.xrange(key)
            return ["stream", [[_text(name), {_text(f): _text(v) for f, v in row.items()}] for name, row in rows]]
        case kind:
            return [_text(kind), _text(client.get(key))]


def put_back(recorded: dict[str, Any], client: Client, directory: Path) -> None:
    """Make Redis and the artifact store what was recorded."""
    for key, (kind, value) in recorded["redis"].items():
        name = key.encode("latin-1")
        match kind:
            case "hash":
                client.hset(name, mapping={f.encode("latin-1"): v.encode("latin-1") for f, v in value.items()})
            case "list":
                client.rpush(name, *(row.encode("latin-1") for row in value))
            case "set":
                client.sadd(name, *value)
            case "zset":
                client.zadd(name, value)
            case "stream":
                for entry, row in value:
                    client.xadd(name, {f.encode("latin-1"): v.encode("latin-1") for f, v in row.items()}, id=entry)
            case _:
                client.set(name, value.encode("latin-1"))
    for path, text in recorded["files"].items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(text))


def load(name: str) -> dict[str, Any]:
    return dict(json.loads(gzip.decompress((PLACE / f"{name}.json.gz").read_bytes())))


def main() -> None:
    name = sys.argv[1]
    with tempfile.TemporaryDirectory() as place:
        server = RedisServer(Path(place) / "redis")
        server.start()
        client = connect(server.url)
        house = House(install_of(client, Keys(), ArtifactStore(f"file://{place}/artifacts")))
        over, pruned = house.story(), house.story()
        house.pruner.prune(pruned)
        live = house.accept()
        house.pay(live, "c1", 700)
        house.step(live)
        house.install.ledger.set_cap("acme", 100.0)
        document = {"over": over, "pruned": pruned, "live": live, **taken(client, Path(place) / "artifacts")}
        server.kill()
    PLACE.mkdir(exist_ok=True)
    target = PLACE / f"{name}.json.gz"
    if target.exists():
        raise SystemExit(f"{target} is there: what an earlier version has recorded stays")
    target.write_bytes(gzip.compress(json.dumps(document, indent=1).encode(), mtime=0))


if __name__ == "__main__":
    main()
