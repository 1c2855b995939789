"""What can be wrong with a step, as one table: every class of failure, who can mend it, and what the class means.

The classes' names are part of the API. docs/failures.md is made from this table; a test holds the two together.
"""

from dataclasses import dataclass
from enum import StrEnum


class Owner(StrEnum):
    """Who can mend a failure.

    `resources`: whoever says how much the step asks for. `code` and `data`: whoever wrote them. `access`: whoever gives
    rights and names. `external`: a service that is not ours. `platform`: the cluster and whoever runs it.
    """

    RESOURCES = "resources"
    PLATFORM = "platform"
    CODE = "code"
    DATA = "data"
    ACCESS = "access"
    EXTERNAL = "external"
    NONE = "none"


class Failure(StrEnum):
    """A class of failures that are mended in the same way."""

    OUT_OF_GPU_MEMORY = "out_of_gpu_memory"
    OUT_OF_MEMORY = "out_of_memory"
    SHARED_MEMORY = "shared_memory"
    DISK_FULL = "disk_full"
    OS_LIMIT = "os_limit"
    DATA_WORKER_DIED = "data_worker_died"
    DEVICE_UNAVAILABLE = "device_unavailable"
    HARDWARE = "hardware"
    COLLECTIVE = "collective"
    UNSCHEDULABLE = "unschedulable"
    IMAGE_PULL = "image_pull"
    STOPPED = "stopped"
    DEADLINE = "deadline"
    HANG = "hang"
    NATIVE_CRASH = "native_crash"
    SHAPE_MISMATCH = "shape_mismatch"
    DTYPE_OR_DEVICE = "dtype_or_device"
    INDEX_OUT_OF_RANGE = "index_out_of_range"
    DATA_SCHEMA = "data_schema"
    DATA_CONTENT = "data_content"
    TOKENIZER = "tokenizer"
    SEQUENCE_TOO_LONG = "sequence_too_long"
    NUMERICS = "numerics"
    AUTOGRAD = "autograd"
    GRAPH_COMPILE = "graph_compile"
    DISTRIBUTED_USE = "distributed_use"
    LAUNCH = "launch"
    PROCESS_START = "process_start"
    CONFIG = "config"
    MISSING_MODULE = "missing_module"
    VERSION_MISMATCH = "version_mismatch"
    BUILD = "build"
    SYNTAX = "syntax"
    CODE_ERROR = "code_error"
    FILE_NOT_FOUND = "file_not_found"
    COMMAND_NOT_FOUND = "command_not_found"
    PERMISSION_DENIED = "permission_denied"
    ACCESS_DENIED = "access_denied"
    REMOTE_NOT_FOUND = "remote_not_found"
    NETWORK = "network"
    QUOTA = "quota"
    CHECKPOINT_MISMATCH = "checkpoint_mismatch"
    CHECKPOINT_CORRUPT = "checkpoint_corrupt"
    CHECKPOINT_WRITE = "checkpoint_write"
    NONE = "none"

    @property
    def owner(self) -> Owner:
        """Who can mend it, as a rule. A diagnosis that knows more may name another."""
        return TAXONOMY[self].owner

    @property
    def meaning(self) -> str:
        """The class in one sentence."""
        return TAXONOMY[self].meaning


@dataclass(frozen=True)
class Row:
    """One class of the table."""

    owner: Owner
    meaning: str


_R, _P, _C, _D, _A, _E = Owner.RESOURCES, Owner.PLATFORM, Owner.CODE, Owner.DATA, Owner.ACCESS, Owner.EXTERNAL

TAXONOMY: dict[Failure, Row] = {
    Failure.OUT_OF_GPU_MEMORY: Row(_R, "The program needed more memory than its accelerator has."),
    Failure.OUT_OF_MEMORY: Row(_R, "The program needed more main memory than it may use, and was refused or killed."),
    Failure.SHARED_MEMORY: Row(_R, "The shared memory under /dev/shm was too small for what was put there."),
    Failure.DISK_FULL: Row(_R, "There was no room left on a disk, or the step wrote more than it may."),
    Failure.OS_LIMIT: Row(_R, "The system allows no more open files, processes or locked memory."),
    Failure.DATA_WORKER_DIED: Row(_R, "A process that loads data died while the trainer waited for it."),
    Failure.DEVICE_UNAVAILABLE: Row(_P, "There is no accelerator, or its driver and the program do not fit together."),
    Failure.HARDWARE: Row(_P, "The accelerator itself reported a fault."),
    Failure.COLLECTIVE: Row(_P, "The ranks lost one another, and none of them failed before."),
    Failure.UNSCHEDULABLE: Row(_P, "The cluster found no place for the step."),
    Failure.IMAGE_PULL: Row(_P, "The container image could not be fetched."),
    Failure.STOPPED: Row(_P, "Somebody or something outside the program ended it."),
    Failure.DEADLINE: Row(_P, "The time allowed was over before the program was."),
    Failure.HANG: Row(_C, "The program lives and gets nowhere."),
    Failure.NATIVE_CRASH: Row(_C, "Compiled code crashed: a bad address, an abort, an illegal instruction."),
    Failure.SHAPE_MISMATCH: Row(_C, "Tensors meet whose shapes do not fit."),
    Failure.DTYPE_OR_DEVICE: Row(_C, "Tensors meet that differ in type or device, or a device is named that is none."),
    Failure.INDEX_OUT_OF_RANGE: Row(_D, "A label, token or index is larger than the model knows."),
    Failure.DATA_SCHEMA: Row(_D, "The data has other columns, fields or formats than the program reads."),
    Failure.DATA_CONTENT: Row(_D, "Values in the data are damaged, missing, empty or impossible."),
    Failure.TOKENIZER: Row(_C, "The tokenizer or one of its special tokens is wrong for this use."),
    Failure.SEQUENCE_TOO_LONG: Row(_C, "An input has more positions than the model."),
    Failure.NUMERICS: Row(_C, "The numbers left the reals: NaN, infinity, or a loss that runs away."),
    Failure.AUTOGRAD: Row(_C, "A gradient cannot be computed: its graph is missing, freed or overwritten."),
    Failure.GRAPH_COMPILE: Row(_C, "The model could not be traced or compiled."),
    Failure.DISTRIBUTED_USE: Row(_C, "The ranks do not do the same: unused parameters, models that differ."),
    Failure.LAUNCH: Row(_C, "The ranks never found each other: address, port or launcher are set wrong."),
    Failure.PROCESS_START: Row(_C, "Child processes could not be started: no main guard, or nothing to pickle."),
    Failure.CONFIG: Row(_C, "A setting, an argument or a configuration file is wrong or missing."),
    Failure.MISSING_MODULE: Row(_C, "The program imports what is not installed."),
    Failure.VERSION_MISMATCH: Row(_C, "A library is there in a version that the program cannot use."),
    Failure.BUILD: Row(_P, "An extension or a kernel could not be compiled."),
    Failure.SYNTAX: Row(_C, "The source is not valid code."),
    Failure.CODE_ERROR: Row(_C, "The program is wrong in some other way."),
    Failure.FILE_NOT_FOUND: Row(_C, "The program opens a path where nothing is."),
    Failure.COMMAND_NOT_FOUND: Row(_C, "The program, script or interpreter to run is not there."),
    Failure.PERMISSION_DENIED: Row(_A, "The file system does not let the program read, write or run that."),
    Failure.ACCESS_DENIED: Row(_A, "A remote service wants a token, or a better one."),
    Failure.REMOTE_NOT_FOUND: Row(_A, "A remote service has no such repository, revision or file."),
    Failure.NETWORK: Row(_E, "A remote service could not be reached, or hung up."),
    Failure.QUOTA: Row(_E, "A remote service takes no more requests for now."),
    Failure.CHECKPOINT_MISMATCH: Row(_C, "The checkpoint belongs to another model: keys or shapes differ."),
    Failure.CHECKPOINT_CORRUPT: Row(_D, "The checkpoint is cut off, damaged or of a format nobody reads."),
    Failure.CHECKPOINT_WRITE: Row(_C, "The checkpoint could not be written."),
    Failure.NONE: Row(Owner.NONE, "Nothing failed."),
}


def table() -> str:
    """The classes as a Markdown table, as it stands in docs/failures.md."""
    lines = ["| class | mended by | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{failure}` | {row.owner} | {row.meaning} |" for failure, row in TAXONOMY.items()]
    return "\n".join(lines)
