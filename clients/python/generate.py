"""What the wheel has beside its sources: the stubs of `proto/`, and the half without `await`.

Owns: both generators, as the wheel's build hook. Law: nothing that is generated is committed, so that
nothing can be out of date; the modules named in `TWINS` are written once, in `linmem/aio`, and their
blocking twins differ from them only by `WORDS`. Does not write into the source tree.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent

#: Modules of `linmem/aio` that have a twin of the same name in `linmem`.
TWINS = (
    "arrays", "atoms", "calls", "client", "events", "hooks", "memory", "resources", "strings",
    "transfer",
)

#: What becomes of asyncio's words, in this order.
WORDS = (
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bAsync(Iterator|Iterable|Generator)\b", r"\1"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\blinmem\.aio\b", "linmem"),
    (r"\basyncio\b", "the caller's thread"),
)


def twin(source: str) -> str:
    """The blocking form of a module of `linmem/aio`."""
    for pattern, word in WORDS:
        source = re.sub(pattern, word, source)
    return source


def stubs(proto: Path, out: Path) -> None:
    """Compiles every proto of linmem.v1, with types, below `out`."""
    from grpc_tools import protoc

    # The plugins are scripts beside this interpreter, which need not be on the path.
    scripts = Path(sys.executable).parent
    plugins = [
        f"--plugin={name}={found}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
        if (found := shutil.which(name, path=str(scripts)) or shutil.which(name))
    ]
    files = sorted(str(path) for path in (proto / "linmem" / "v1").glob("*.proto"))
    includes = Path(protoc.__file__).parent / "_proto"
    targets = ("python", "grpc_python", "mypy", "mypy_grpc")
    arguments = ["protoc", f"-I{proto}", f"-I{includes}", *plugins]
    arguments += [f"--{target}_out={'quiet:' if 'mypy' in target else ''}{out}" for target in targets]
    if protoc.main([*arguments, *files]) != 0:
        raise RuntimeError(f"the protos in {proto} do not compile")
    package = out / "linmem" / "v1" / "__init__.py"
    package.write_text('"""The messages and stubs of linmem.v1, as generated from its protos."""\n')


def generate(out: Path) -> None:
    """Writes everything that is generated below `out`."""
    # In a checkout the protos are the daemon's own; an archive of the sources has a copy.
    checkout = HERE.parent.parent / "proto"
    stubs(checkout if checkout.is_dir() else HERE / "proto", out)
    for name in TWINS:
        source = HERE / "src" / "linmem" / "aio" / f"{name}.py"
        (out / "linmem" / f"{name}.py").write_text(twin(source.read_text()))


class Generated(BuildHookInterface[Any]):
    """Adds what is generated to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the wheel is packed."""
        self.out = Path(tempfile.mkdtemp())
        generate(self.out)
        build_data["force_include"][str(self.out / "linmem")] = "linmem"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After it was."""
        shutil.rmtree(self.out)
