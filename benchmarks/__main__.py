"""`python -m benchmarks [NAME …]`: run the benchmarks (all that need no cluster), print a table, write JSON."""

import argparse
import sys
from pathlib import Path

from benchmarks import api, cli, cluster, context, digest, engine, fleet, keeping, logs, metrics, parked, scrape, store
from benchmarks.figures import Figure, machine, table, write
from benchmarks.simulated import scenario

BENCHMARKS = {
    "cli": cli.measure,
    "store": store.measure,
    "engine": engine.measure,
    "context": context.measure,
    "api": api.measure,
    "parked": parked.measure,
    "logs": logs.measure,
    "digest": digest.measure,
    "metrics": metrics.measure,
    "scrape": scrape.measure,
    "fleet": fleet.measure,
    "keeping": keeping.measure,
}
ON_A_CLUSTER = {"cluster": cluster.measure, "simulated": scenario.measure}


def main() -> int:
    every = BENCHMARKS | ON_A_CLUSTER
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(every)}")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/latest.json"), help="where the JSON goes")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in every]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    figures: list[Figure] = []
    for name in options.names or BENCHMARKS:
        print(f"… {name}", file=sys.stderr, flush=True)
        measured = every[name]()
        print(table(measured), file=sys.stderr, flush=True)
        figures += measured
        write(figures, options.json)
    print(machine())
    print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
