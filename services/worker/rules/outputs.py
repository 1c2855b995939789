"""`outputs`: a dear training keeps what it makes."""

import re

from services.worker.rules.facts import Facts, dollars

_KEPT = re.compile(r"COHORT_(OUTPUT|CHECKPOINT)_DIR")
# Kept somewhere else; whether that works is the program's business.
_ELSEWHERE = re.compile(r"push_to_hub|upload_(file|folder|large_folder|blob)|\b(s3|gs|hf|az|abfs)://|log_artifact")


def refuse(facts: Facts) -> str | None:
    """None, or how to keep the result. Of a program whose text is not known nothing is said."""
    if not (facts.is_dear and facts.trains and facts.program.files):
        return None
    told = "\n".join([facts.asked.command, *facts.asked.env.values(), facts.program.text])
    if _KEPT.search(told) or _ELSEWHERE.search(told):
        return None
    program = ", ".join(facts.program.main)
    return (
        f"this step could cost {dollars(facts.asked.microdollars)}, and nothing that it writes would be kept: "
        f"neither the command nor {program} mentions $COHORT_OUTPUT_DIR or $COHORT_CHECKPOINT_DIR. Write the "
        'results there (pass it as an argument: --out "$COHORT_OUTPUT_DIR"); set evaluates if the step only measures'
    )
