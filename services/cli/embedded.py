"""`python -m services.cli.embedded --port N`: what stands in for Redis where no redis-server is installed.

fakeredis over TCP, in memory: a restart loses everything, and it knows no password. Good for a first look, not for use.
"""

import argparse

from fakeredis import TcpFakeServer


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m services.cli.embedded")
    options.add_argument("--port", type=int, required=True)
    server = TcpFakeServer(("127.0.0.1", options.parse_args().port), server_type="redis", server_version=(7, 0))
    # A client that stays connected must not keep the process from ending.
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
