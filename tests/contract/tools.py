"""The command line tools other people call our services with, behind one face."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from google.protobuf import json_format, symbol_database
from google.rpc import error_details_pb2

ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = ROOT / ".cache" / "tools" / "bin"
GRPCURL: Final = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
_CODES: Final = {3: "invalid_argument", 4: "deadline_exceeded", 5: "not_found", 9: "failed_precondition"}

assert error_details_pb2.DESCRIPTOR.package == "google.rpc"  # Registers the details for `_unpack`.


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to.

    Attributes:
        code: `ok`, or the gRPC code in lower case.
        messages: The responses, with the names of the JSON mapping.
        message: What the error says to people.
        details: Error details by type name, with the names of the JSON mapping.
    """

    code: str
    messages: tuple[dict[str, Any], ...] = ()
    message: str = ""
    details: dict[str, dict[str, Any]] = field(default_factory=dict)


class Tool(Protocol):
    """A generic gRPC client."""

    async def services(self, endpoint: str) -> list[str]:
        """Return the services an endpoint offers by reflection."""

    async def call(
        self,
        endpoint: str,
        method: str,
        request: dict[str, Any],
        *,
        within_s: float = 10.0,
        headers: Sequence[str] = (),
    ) -> Answer:
        """Call `package.Service/Method`; a stream ends with `deadline_exceeded` after `within_s` seconds."""


class BufCurl:
    """`buf curl`, with the schema from the repository or, by default, from reflection."""

    def __init__(self, *options: str) -> None:
        self._options = options

    async def services(self, endpoint: str) -> list[str]:
        """Return the services an endpoint offers by reflection."""
        code, out, err = await run(*self._command(), "--list-services", f"http://{endpoint}")
        assert code == 0, err
        return out.split()

    async def call(
        self,
        endpoint: str,
        method: str,
        request: dict[str, Any],
        *,
        within_s: float = 10.0,
        headers: Sequence[str] = (),
    ) -> Answer:
        """Call a method; what it prints on standard error is the error as JSON."""
        options = [option for header in headers for option in ("--header", header)]
        code, out, err = await run(
            *self._command(), *self._options, *options,
            "--timeout", f"{within_s}s", "--data", json.dumps(request), f"http://{endpoint}/{method}",
        )  # fmt: skip
        if code == 0:
            return Answer("ok", documents(out))
        assert code >= 8, err
        error = documents(err[err.index("{") :])[0]
        return Answer(error["code"], documents(out), error.get("message", ""), _unpack(error.get("details", [])))

    @staticmethod
    def _command() -> tuple[str, ...]:
        return (str(ROOT / ".venv/bin/buf"), "curl", "--protocol", "grpc", "--http2-prior-knowledge")


class Grpcurl:
    """`grpcurl`, by reflection."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def services(self, endpoint: str) -> list[str]:
        """Return the services an endpoint offers by reflection."""
        code, out, err = await run(self._path, "-plaintext", endpoint, "list")
        assert code == 0, err
        return out.split()

    async def call(
        self,
        endpoint: str,
        method: str,
        request: dict[str, Any],
        *,
        within_s: float = 10.0,
        headers: Sequence[str] = (),
    ) -> Answer:
        """Call a method; what it prints on standard error is the status as JSON."""
        options = [option for header in headers for option in ("-H", header)]
        code, out, err = await run(
            self._path, "-plaintext", "-format-error", *options,
            "-max-time", f"{within_s}", "-d", json.dumps(request), endpoint, method,
        )  # fmt: skip
        if code == 0:
            return Answer("ok", documents(out))
        assert code > 64, err
        error = documents(err)[0]
        details = {detail.pop("@type").rpartition("/")[2]: detail for detail in error.get("details", [])}
        return Answer(_CODES[error["code"]], documents(out), error.get("message", ""), details)


async def run(*command: str, deadline_s: float = 60.0) -> tuple[int, str, str]:
    """Run a program from the root of the repository; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(deadline_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{command} did not end within {deadline_s} s") from None
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def documents(text: str) -> tuple[dict[str, Any], ...]:
    """Return the JSON objects that follow one another in a text, names as in the JSON mapping."""
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    rest = text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(_camel(value))
        rest = rest[end:].strip()
    return tuple(found)


def _camel(value: Any) -> Any:
    """Return the value with `snake_case` names as `camelCase`; some versions of grpcurl print the former."""
    if isinstance(value, dict):
        return {_camel_word(name): _camel(each) for name, each in value.items()}
    return [_camel(each) for each in value] if isinstance(value, list) else value


def _camel_word(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _unpack(details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    unpacked = {}
    for detail in details:
        message = symbol_database.Default().GetSymbol(detail["type"])()
        message.ParseFromString(base64.b64decode(detail["value"] + "=="))
        unpacked[detail["type"]] = json_format.MessageToDict(message)
    return unpacked


async def find_grpcurl() -> str | None:
    """Return a grpcurl: from PATH, or made by the Go toolchain and kept; None where neither is there."""
    search = os.pathsep.join((str(TOOLS), os.environ.get("PATH", "")))
    found = shutil.which("grpcurl", path=search)
    go = shutil.which("go")
    if found is not None or go is None:
        return found
    TOOLS.mkdir(parents=True, exist_ok=True)
    code, _, err = await run("env", f"GOBIN={TOOLS}", go, "install", GRPCURL, deadline_s=500)
    assert code == 0, f"go could not make grpcurl: {err}"
    return str(TOOLS / "grpcurl")
