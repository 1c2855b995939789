"""How a pod starts what is carried into it with its own interpreter: the shim, and the program of a sandbox."""

ROOT = "/cohort"

_RT = f"{ROOT}/rt"
_PYTHON = (f"{_RT}/ld.so", "--library-path", f"{_RT}/lib", f"{_RT}/python3", "-I", "-S")
SHIM = (*_PYTHON, f"{_RT}/shim.py")
# Its commands get the same grace as on a worker's own machine.
_COMMANDS = ("--commands", f"{ROOT}/spool/commands", "--cwd", f"{ROOT}/work", "--grace-seconds", "2.0")
HOST = (*_PYTHON, f"{_RT}/host.py", *_COMMANDS, "--", *SHIM)


def is_for_loader(name: str) -> bool:
    """Whether the variable changes how a program is loaded: what is carried must not have it."""
    return name.startswith("LD_") or name == "GLIBC_TUNABLES"
