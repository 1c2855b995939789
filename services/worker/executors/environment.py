"""What the user's program finds in its environment, wherever it runs."""

from services.worker.executors import AttemptSpec

# Bars redrawn ten times a second and calls home belong in no log.
_QUIET = {
    "PYTHONUNBUFFERED": "1",
    "TQDM_MININTERVAL": "10",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def program_environment(spec: AttemptSpec, root: str) -> dict[str, str]:
    """The program's environment but for its PATH. `root` is where the attempt's directories are, as the program sees
    them. The step cannot change what names the attempt."""
    return {
        "HOME": f"{root}/work",
        "LANG": "C.UTF-8",
        **_QUIET,
        **spec.env,
        "COHORT_RUN": spec.run,
        "COHORT_STEP": spec.step,
        "COHORT_ATTEMPT": spec.attempt,
        "COHORT_OUTPUT_DIR": f"{root}/out",
        "COHORT_INPUT_DIR": f"{root}/in",
        "COHORT_CHECKPOINT_DIR": f"{root}/checkpoint",
    }
