"""`python -m benchmarks [NAME …]`: run the benchmarks (all of them unless named), print a table, write JSON."""

import argparse
import sys
from pathlib import Path

from benchmarks import api, cli, engine, fleet, logs, parked, store
from benchmarks.figures import Figure, machine, table, write

BENCHMARKS = {
    "cli": cli.measure,
    "store": store.measure,
    "engine": engine.measure,
    "api": api.measure,
    "parked": parked.measure,
    "logs": logs.measure,
    "fleet": fleet.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/latest.json"), help="where the JSON goes")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    figures: list[Figure] = []
    for name in options.names or BENCHMARKS:
        print(f"… {name}", file=sys.stderr, flush=True)
        measured = BENCHMARKS[name]()
        print(table(measured), file=sys.stderr, flush=True)
        figures += measured
        write(figures, options.json)
    print(machine())
    print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
