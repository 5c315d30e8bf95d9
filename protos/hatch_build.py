"""Build hook: compiles the protos into typed Python stubs and adds them to the wheel."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsBuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling ships no types
    """Writes the stubs to `python/` (never committed) and includes them under `primacy/`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the stubs; `version` is hatchling's build target version and does not matter here."""
        root = Path(self.root)
        target = root / "python"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        generate_stubs(root, target)
        build_data["force_include"][str(target / "primacy")] = "primacy"


def generate_stubs(root: Path, target: Path) -> None:
    """Compile every proto below `root/primacy` into `target`.

    Raises:
        RuntimeError: protoc refused a file; its message is on standard error.
    """
    from grpc_tools import protoc

    files = sorted(str(path.relative_to(root)) for path in (root / "primacy").rglob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    plugins = Path(sys.executable).parent
    search = [
        shutil.which(name, path=f"{plugins}") or shutil.which(name)
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={root}",
            f"--proto_path={well_known}",
            f"--plugin=protoc-gen-mypy={search[0]}",
            f"--plugin=protoc-gen-mypy_grpc={search[1]}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out={target}",
            f"--mypy_grpc_out={target}",
            *files,
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc failed with exit code {status}")
    for package in {path.parent for path in target.rglob("*_pb2.py")} | {target / "primacy"}:
        (package / "py.typed").touch()
