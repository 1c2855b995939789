"""What may help against each class of failure, the mildest first. None changes what the goal asks for in silence: not
the method, not the sequence length, not the data, not the effective batch.
"""

from services.core.taxonomy import Failure

REMEDIES: dict[Failure, tuple[str, ...]] = {
    Failure.OUT_OF_GPU_MEMORY: (
        "halve the micro-batch and double the gradient accumulation, so that the effective batch stays the same",
        "turn on gradient checkpointing and mixed precision (bf16), and check that no graph or output is "
        "kept from step to step",
        "shard optimizer, gradients and weights over the GPUs that are there (FSDP, ZeRO)",
        "ask for a pool whose GPUs have more memory",
    ),
    Failure.OUT_OF_MEMORY: (
        "stream or memory-map the data instead of loading it whole, and use fewer or leaner data workers",
        "free what is kept from step to step (lists of tensors with their graphs, caches without a bound)",
        "ask for more memory for the step",
    ),
    Failure.SHARED_MEMORY: (
        "ask for more shared memory (shm) for the step",
        "use fewer data workers, or num_workers=0",
    ),
    Failure.DISK_FULL: (
        "keep fewer checkpoints, delete caches and intermediate files, write large files where there is room",
        "ask for more storage for the step",
    ),
    Failure.OS_LIMIT: (
        "close files and pools that are done with; use fewer workers and threads",
        "torch.multiprocessing.set_sharing_strategy('file_system') where data workers run out of file descriptors",
        "raise the limit (ulimit) where the image allows it",
    ),
    Failure.DATA_WORKER_DIED: (
        "run once with num_workers=0 to see the worker's own error",
        "check main and shared memory: workers are most often killed for those",
    ),
    Failure.DEVICE_UNAVAILABLE: (
        "check that the step asks for a GPU and that the library's build fits the driver "
        "(torch.version.cuda, nvidia-smi)",
        "use an image, or a version of the library, built for this GPU",
    ),
    Failure.HARDWARE: (
        "try once more on another node, from the last checkpoint",
        "tell whoever runs the cluster which node it was",
    ),
    Failure.COLLECTIVE: (
        "look for the rank that stopped or was silent first: its log says more than those that waited for it",
        "give slow parts (loading, evaluation, saving on one rank) a longer timeout, or a barrier",
        "if no rank is at fault, try once more from the last checkpoint, with NCCL_DEBUG=INFO",
    ),
    Failure.UNSCHEDULABLE: ("ask for what some pool has: fewer GPUs, less memory, another pool",),
    Failure.IMAGE_PULL: ("check the image's name and tag, and that the cluster may pull it",),
    Failure.STOPPED: ("run it again from the last checkpoint; save checkpoints often enough that little is lost",),
    Failure.DEADLINE: (
        "measure the time per step and set a deadline with room to spare; resume from the last checkpoint",
        "make each step faster first: data loading, mixed precision, compiled model, more GPUs",
    ),
    Failure.HANG: (
        "find where it waits: faulthandler.dump_traceback_later, py-spy dump, or prints with flush around "
        "loading and collectives",
        "check that all ranks run the same number of steps and the same collectives; try num_workers=0",
    ),
    Failure.NATIVE_CRASH: (
        "run with PYTHONFAULTHANDLER=1 (and CUDA_LAUNCH_BLOCKING=1 on a GPU) to see which call crashes",
        "suspect compiled extensions built for another version or processor",
    ),
    Failure.SHAPE_MISMATCH: (
        "print the shapes where it failed, and correct the layer's size, the reshape or the collation that is wrong",
    ),
    Failure.DTYPE_OR_DEVICE: (
        "convert at one place: .to(device) for model and batch, .float() or .long() where the operation asks for it",
    ),
    Failure.INDEX_OUT_OF_RANGE: (
        "check min and max of labels and token ids against the number of classes and the vocabulary, before training",
        "if ids are right, resize what is too small (embeddings, classes); do not clamp them",
    ),
    Failure.DATA_SCHEMA: ("print the data's columns and one record, and make the program read those names and types",),
    Failure.DATA_CONTENT: (
        "find the records at fault and how many they are; repair them, or leave them out and say so in the result",
    ),
    Failure.TOKENIZER: ("set the special token that is missing (pad token, chat template) as the model's authors do",),
    Failure.SEQUENCE_TOO_LONG: (
        "count the tokens: truncate or split inputs as the goal allows, and say so; or take a model with "
        "more positions",
    ),
    Failure.NUMERICS: (
        "find the first step that is not finite; look at its batch, the learning rate and the loss's "
        "logarithms and divisions",
        "clip gradients, warm up, use bf16 in place of fp16; keep what was changed in the record",
    ),
    Failure.AUTOGRAD: (
        "keep the graph where it is needed: no .item(), .numpy(), detach or in-place change before backward",
    ),
    Failure.GRAPH_COMPILE: (
        "run without compilation to see that the model itself is right, then rewrite the part that depends on data",
    ),
    Failure.DISTRIBUTED_USE: (
        "make every rank use the same parameters and collectives; find_unused_parameters=True where a branch "
        "is skipped",
    ),
    Failure.LAUNCH: (
        "start it with torchrun or the launcher it expects, so that RANK, WORLD_SIZE, MASTER_ADDR and "
        "MASTER_PORT are set",
        "take a free port (--rdzv-endpoint localhost:0) and check the number of processes",
    ),
    Failure.PROCESS_START: (
        "start processes under `if __name__ == '__main__':`, and give them module-level functions, not lambdas",
        "use the start method spawn where the parent has used CUDA",
    ),
    Failure.CONFIG: ("correct the setting that the message names",),
    Failure.MISSING_MODULE: ("add the package to the step's requirements, or take an image that has it",),
    Failure.VERSION_MISMATCH: (
        "pin the version that the program was written for, or change the call to what the installed version expects",
    ),
    Failure.BUILD: (
        "take a prebuilt wheel, or an image with the compiler, headers and CUDA toolkit that the build needs",
    ),
    Failure.SYNTAX: (
        "correct the line that the message names; compile all files (python -m compileall) before the next attempt",
    ),
    Failure.CODE_ERROR: (
        "read the innermost frame in the program's own files, correct it, and try it on tiny data first",
    ),
    Failure.FILE_NOT_FOUND: (
        "list the directory and correct the path; what one step wrote, another has to name as its input",
    ),
    Failure.COMMAND_NOT_FOUND: ("check the command, its interpreter line and line endings; install what is missing",),
    Failure.PERMISSION_DENIED: ("write into the step's working directory, or make the file executable or writable",),
    Failure.ACCESS_DENIED: (
        "give the step a secret with a token that may read this; accept a gated model's terms first",
    ),
    Failure.REMOTE_NOT_FOUND: (
        "check name, revision and file at the service; a private one looks as if it were not there",
    ),
    Failure.NETWORK: (
        "try again later, with retries and back-off; fetch data and weights once, in a step of their own",
        "check that the cluster lets the step reach that address",
    ),
    Failure.QUOTA: ("wait as long as the service says; ask for less at a time, cache, or raise the quota",),
    Failure.CHECKPOINT_MISMATCH: (
        "build the model as it was when the checkpoint was saved; strip or add prefixes such as `module.`",
        "load with strict=False only for layers that are meant to be new, and list which those are",
    ),
    Failure.CHECKPOINT_CORRUPT: (
        "go back to the checkpoint before it, or fetch the file again; write checkpoints to a temporary name "
        "and rename them",
    ),
    Failure.CHECKPOINT_WRITE: ("check the directory, the room on the disk, and that what is saved can be serialized",),
    Failure.NONE: (),
}


def table() -> str:
    """The remedies as a Markdown table, as it stands in docs/failures.md."""
    rows = [f"| `{failure}` | {'; '.join(remedies)} |" for failure, remedies in REMEDIES.items() if remedies]
    return "\n".join(["| class | what may help, the mildest first |", "| --- | --- |", *rows])
