"""Puts the shim and all it needs to run in any image into one directory, relocatable and without a file of the image:

    python carry.py SHIM TARGET

    TARGET/ld.so           the loader, started as a program
    TARGET/python3         this interpreter
    TARGET/lib/            its shared libraries, and lib/python3.X with the modules that the shim can come to import
    TARGET/shim.py         and host.py, which lies beside SHIM and needs no other modules

To be started as `TARGET/ld.so --library-path TARGET/lib TARGET/python3 -I -S TARGET/shim.py …`.
"""

import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# What the shim imports by itself, with good arguments and with bad ones, in any language, and what a traceback takes.
TRACE = """
import contextlib, io, json, os, sys
for absent in ("bz2", "lzma", "zlib", "_bz2", "_lzma"):
    sys.modules[absent] = None
sys.path.insert(0, sys.argv[1])
os.environ["LANGUAGE"] = "de_DE.ISO-8859-1@euro:fr"
import shim, host
for arguments in (["--help"], ["--deadline-seconds", "soon"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            shim.parse(arguments)
import ctypes, encodings.ascii, encodings.latin_1, encodings.utf_8, linecache, traceback
print(json.dumps([name for name, module in sys.modules.items() if module is not None]))
"""
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def main(shim: Path, target: Path) -> None:
    """Make `target`. Raises if anything is missing."""
    modules = target / "lib" / VERSION
    (modules / "lib-dynload").mkdir(parents=True)
    python = Path(sys.executable).resolve()
    install(python, target / "python3")
    binaries = [python]
    for name in traced(shim):
        origin = origin_of(name)
        if origin is not None and origin.suffix == ".py":
            compiled(name, origin, modules)
        elif origin is not None:
            install(origin, modules / "lib-dynload" / origin.name)
            binaries.append(origin)
    for binary in binaries:
        for library in libraries(binary):
            is_loader = library.name.startswith("ld-")
            install(library, target / "ld.so" if is_loader else target / "lib" / library.name)
    for program in (shim, shim.with_name("host.py")):
        shutil.copyfile(program, target / program.name)
        (target / program.name).chmod(0o644)


def traced(shim: Path) -> list[str]:
    """The modules that an interpreter has which has imported the shim."""
    command = [sys.executable, "-I", "-S", "-c", TRACE, str(shim.parent)]
    names: list[str] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [name for name in names if name not in {"__main__", "shim", "host"}]


def origin_of(name: str) -> Path | None:
    """The module's file; None where the interpreter has it within. Modules' second names (os.path) have none either."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        # Frozen modules of the standard library are looked for as files where the interpreter finds its own place.
        source = Path(sysconfig.get_path("stdlib"), *name.split(".")).with_suffix(".py")
        return source if spec is not None and spec.origin == "frozen" and source.exists() else None
    return Path(str(spec.origin))


def compiled(name: str, source: Path, modules: Path) -> None:
    """Put the module's code where its source would lie."""
    parts = name.split(".") + (["__init__"] if source.stem == "__init__" else [])
    target = modules.joinpath(*parts).with_suffix(".pyc")
    target.parent.mkdir(parents=True, exist_ok=True)
    shown = f"{VERSION}/{'/'.join(parts)}.py"
    never_checked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(target), shown, doraise=True, optimize=1, invalidation_mode=never_checked)
    target.chmod(0o644)


def libraries(binary: Path) -> list[Path]:
    """The shared libraries that the binary is linked with, and the loader."""
    output = subprocess.run(["/usr/bin/ldd", str(binary)], check=True, capture_output=True, text=True).stdout
    return [Path(found) for found in re.findall(r"(/\S+) \(0x", output)]


def install(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
