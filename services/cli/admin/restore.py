"""`cohort admin restore`: archived runs come back where Redis is lost."""

from argparse import Namespace
from collections import Counter

from services.cli.admin.place import opened
from services.cli.output import print_json, remark
from services.cli.problems import FAILED, OK
from services.keeping.restore import Outcome, Restorer


def run(options: Namespace) -> int:
    """Restore, and say what could not be. 1 where an archive cannot be read."""
    counts: Counter[Outcome] = Counter()
    told: list[dict[str, str]] = []
    with opened() as install:
        for done in Restorer(install, dry_run=options.dry_run).restore(options.run):
            counts[done.outcome] += 1
            if done.detail:
                remark(f"{done.run}: {done.detail}")
                told.append({"run": done.run, "outcome": done.outcome, "detail": done.detail})
    document = {str(outcome): counts[outcome] for outcome in Outcome}
    if options.json:
        print_json({"dry_run": options.dry_run, **document, "runs": told})
    else:
        verb = "would be" if options.dry_run else "are"
        print(f"{counts[Outcome.RESTORED]} run(s) {verb} restored; {counts[Outcome.THERE]} are there already")
        print(f"{counts[Outcome.AHEAD]} are older in Redis, {counts[Outcome.UNREADABLE]} cannot be read")
    return FAILED if counts[Outcome.UNREADABLE] else OK
