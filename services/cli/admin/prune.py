"""`cohort admin prune`: what is old leaves Redis, and what nobody needs leaves the artifact store."""

from argparse import Namespace

from services.cli.admin.place import opened
from services.cli.look import bytes_text
from services.cli.output import print_json, remark
from services.cli.problems import FAILED, OK, Usage
from services.core.errors import CohortError, StoreUnavailable
from services.core.store import RunStore
from services.keeping.garbage import LEAST_GRACE_SECONDS, Garbage
from services.keeping.install import Install
from services.keeping.prune import Pruner


def run(options: Namespace) -> int:
    """Prune in the order in which one thing makes the next superfluous: runs, archives, objects."""
    if options.runs_older_than is None and options.archives_older_than is None and not options.artifacts:
        raise Usage("say what is to go: --runs-older-than 30d, --archives-older-than 365d, --artifacts")
    if options.grace < LEAST_GRACE_SECONDS:
        raise Usage("--grace is 2d at least: what is written now may be named a day later")
    done: dict[str, object] = {"dry_run": options.dry_run}
    failed = 0
    with opened() as install:
        if options.runs_older_than is not None:
            runs, failed = _runs(install, options.runs_older_than, options.dry_run)
            done |= runs
        garbage = Garbage(install, dry_run=options.dry_run)
        if options.archives_older_than is not None:
            done["archives"] = sum(1 for _ in garbage.archives(options.archives_older_than))
        if options.artifacts:
            swept = garbage.objects(options.grace)
            done |= {"objects": swept.objects, "object_bytes": swept.object_bytes, "objects_kept": swept.kept}
            done |= {"logs": swept.logs, "log_bytes": swept.log_bytes}
    if options.json:
        print_json(done)
    else:
        print("\n".join(_lines(done)))
    return FAILED if failed else OK


def _runs(install: Install, older_than: float, dry_run: bool) -> tuple[dict[str, object], int]:
    """What left, and how many could not."""
    pruner = Pruner(RunStore(install.client, install.keys, install.payloads), install.archive)
    left = failed = before = after = 0
    for run in pruner.old(older_than):
        size = pruner.bytes_of(run)
        if dry_run:
            left, before = left + 1, before + size
            continue
        try:
            is_gone = pruner.prune(run)
        except StoreUnavailable:
            raise
        except (CohortError, RuntimeError) as error:
            remark(f"{run} stays: {error}")
            failed += 1
            continue
        if is_gone:
            left, before, after = left + 1, before + size, after + pruner.bytes_of(run)
    return {"runs": left, "redis_bytes_before": before, "redis_bytes_after": after, "runs_failed": failed}, failed


def _lines(done: dict[str, object]) -> list[str]:
    is_dry = done["dry_run"]
    leave, go = ("would leave", "would go") if is_dry else ("left", "are gone")
    lines = []
    if "runs" in done:
        before, after = (
            bytes_text(int(str(done["redis_bytes_before"]))),
            bytes_text(int(str(done["redis_bytes_after"]))),
        )
        kept = "" if is_dry else f", of which {after} stay"
        lines.append(f"{done['runs']} run(s) {leave} Redis: {before}{kept}")
    if "archives" in done:
        lines.append(f"{done['archives']} archive(s) {go}")
    if "objects" in done:
        objects, logs = bytes_text(int(str(done["object_bytes"]))), bytes_text(int(str(done["log_bytes"])))
        lines.append(f"{done['objects']} object(s) {go}, {objects}; {done['objects_kept']} stay")
        lines.append(f"{done['logs']} log segment(s) of unknown runs {go}, {logs}")
    return lines
