"""`python -m services.scripted`: serve a directory of playbooks."""

import argparse
import socket
import sys
from pathlib import Path

import uvicorn

from services.scripted.app import build_app
from services.scripted.loading import PlaybookInvalid, load_playbooks

SHIPPED = Path(__file__).parent / "playbooks"
BACKLOG = 2048
GRACE_SECONDS = 1


def main() -> None:
    options = _options()
    try:
        playbooks = load_playbooks(options.playbooks, *options.more)
    except PlaybookInvalid as error:
        sys.exit(str(error))
    config = uvicorn.Config(
        build_app(playbooks, delay_seconds=options.delay_seconds),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with _listen(options.host, options.port) as listener:
        host, port = listener.getsockname()[:2]
        # The socket listens already, so whoever reads this line can connect.
        print(f"scripted model (not a language model) at http://{host}:{port}/v1: {', '.join(playbooks)}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m services.scripted",
        description="Serve playbooks over the OpenAI chat-completions API. They are scripts, not language models.",
    )
    parser.add_argument(
        "--port", type=int, required=True, help="0 takes a free one; the line printed at start names it"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--playbooks", type=Path, default=SHIPPED, help="directory of NAME/playbook.yaml; default: the shipped ones"
    )
    parser.add_argument("--more", type=Path, nargs="*", default=(), help="further directories of playbooks")
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="pause before each delta of a stream")
    return parser.parse_args()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


if __name__ == "__main__":
    main()
