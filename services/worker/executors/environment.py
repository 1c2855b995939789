"""What the user's program finds in its environment, wherever it runs."""

from services.core.spans import attempt_key, traceparent
from services.worker.executors import AttemptSpec

# Bars redrawn ten times a second and calls home belong in no log.
_QUIET = {
    "PYTHONUNBUFFERED": "1",
    "TQDM_MININTERVAL": "10",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


_MASTER_PORT = 29500


def launch_environment(spec: AttemptSpec, node_rank: str, master_address: str) -> dict[str, str]:
    """What `torchrun` (PET_…) and plain torch read to find the other processes; nothing where there is one process.

    Every GPU has a process, and a node without GPUs has one. RANK, LOCAL_RANK and WORLD_SIZE are of a process: they are
    only set where a node has one, for programs without a launcher. `accelerate launch` reads no environment: NNODES,
    NODE_RANK, NPROC_PER_NODE, MASTER_ADDR and MASTER_PORT are there to be given to it.
    """
    nodes, processes = spec.resources.nodes, spec.resources.processes_per_node
    if nodes * processes == 1:
        return {}
    port = str(_MASTER_PORT)
    shared = {"NNODES": str(nodes), "NODE_RANK": node_rank, "NPROC_PER_NODE": str(processes)}
    shared |= {"MASTER_ADDR": master_address, "MASTER_PORT": port}
    rendezvous = {"BACKEND": "static", "ENDPOINT": f"{master_address}:{port}", "ID": spec.attempt}
    single = {"RANK": node_rank, "LOCAL_RANK": "0", "WORLD_SIZE": str(nodes)} if processes == 1 else {}
    return {
        **shared,
        **{f"PET_{name}": value for name, value in shared.items()},
        **{f"PET_RDZV_{name}": value for name, value in rendezvous.items()},
        **single,
    }


def program_environment(spec: AttemptSpec, root: str) -> dict[str, str]:
    """The program's environment but for its PATH. `root` is where the attempt's directories are, as the program sees
    them. The step cannot change what names the attempt."""
    return {
        "HOME": f"{root}/work",
        "LANG": "C.UTF-8",
        **_QUIET,
        # For a program that traces itself: its spans are parts of the attempt's.
        "TRACEPARENT": traceparent(spec.run, attempt_key(spec.attempt)),
        **spec.env,
        "COHORT_RUN": spec.run,
        "COHORT_STEP": spec.step,
        "COHORT_ATTEMPT": spec.attempt,
        "COHORT_OUTPUT_DIR": f"{root}/out",
        "COHORT_INPUT_DIR": f"{root}/in",
        "COHORT_CHECKPOINT_DIR": f"{root}/checkpoint",
    }
