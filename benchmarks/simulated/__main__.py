"""`python -m benchmarks.simulated`: play the scenario on the fleet that `KUBECONFIG` names; 1 if something is wrong."""

import argparse
import sys
from pathlib import Path

from benchmarks.figures import machine, table, write
from benchmarks.simulated.scenario import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.simulated", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/simulated.json"))
    options = parser.parse_args()
    outcome = play(lambda text: print(f"… {text}", file=sys.stderr, flush=True))
    write(outcome.figures, options.json)
    print(machine())
    print(table(outcome.figures))
    for wrong in outcome.wrong:
        print(f"WRONG: {wrong}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
