"""The one-line description of a topology.

Grammar; blanks separate, and are free around every sign:

    line     = cluster { ";" cluster }
    cluster  = instance [ "->" replicas ]
    replicas = replica { replica }
    replica  = instance [ "(" replicas ")" ]            replicates from what stands before the parenthesis
    instance = name [ "@" data-centre ] [ "{" option { "," option } "}" ]
    option   = "delay=" seconds                         the replica applies that much later
             | "semi_sync=" ( "on" | "off" )            overrides what the deployment says
    name, data-centre = letter { letter | digit | "_" | "-" }

`p@east -> r1@east r2@west{delay=5}(r3)`: p is the primary, r1 and r2 replicate from it, r3 from r2. An instance without
a data centre is in that of its source, a primary without one in `DEFAULT_DATA_CENTER`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_DATA_CENTER: Final = "dc1"

_TOKEN: Final = re.compile(r"\s*(->|[@{}(),;=]|[A-Za-z][A-Za-z0-9_-]*?(?=->|[^A-Za-z0-9_-]|$)|\d+)")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SWITCH: Final = {"on": True, "off": False}


class InvalidTopology(ValueError):
    """The line does not follow the grammar."""

    def __init__(self, line: str, position: int, problem: str) -> None:
        super().__init__(f"{problem} at column {position + 1} of {line!r}")
        self.position = position
        self.problem = problem


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One instance of a topology, before it has a port.

    Attributes:
        source: Name of the instance it replicates from; None for a primary.
        delay_s: Seconds its applier stays behind, 0 for none.
        semi_sync: Whether it takes part in semi-sync replication; None leaves that to the deployment.
    """

    name: str
    data_center: str = DEFAULT_DATA_CENTER
    source: str | None = None
    delay_s: int = 0
    semi_sync: bool | None = None


def parse_topology(line: str) -> tuple[InstanceSpec, ...]:
    """Return the instances of `line`, a source always before its replicas.

    Raises:
        InvalidTopology: The line does not follow the grammar, or a name stands there twice.
    """
    return _Parser(line).parse()


class _Parser:
    """Recursive descent, one method per line of the grammar."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._tokens = _tokenize(line)
        self._next = 0
        self._specs: dict[str, InstanceSpec] = {}

    def parse(self) -> tuple[InstanceSpec, ...]:
        self._cluster()
        while self._accept(";"):
            self._cluster()
        if self._peek():
            raise self._refuse(f"unexpected {self._peek()!r}")
        return tuple(self._specs.values())

    def _cluster(self) -> None:
        primary = self._instance(source=None)
        if self._accept("->"):
            self._replicas(primary)

    def _replicas(self, source: InstanceSpec) -> None:
        self._replica(source)
        while _NAME.fullmatch(self._peek()):
            self._replica(source)

    def _replica(self, source: InstanceSpec) -> None:
        replica = self._instance(source)
        if self._accept("("):
            self._replicas(replica)
            self._expect(")")

    def _instance(self, source: InstanceSpec | None) -> InstanceSpec:
        name = self._name("a name")
        if name in self._specs:
            raise self._refuse(f"{name!r} a second time", back=1)
        inherited = source.data_center if source else DEFAULT_DATA_CENTER
        data_center = self._name("a data centre") if self._accept("@") else inherited
        delay_s, semi_sync = self._options(is_replica=source is not None)
        spec = InstanceSpec(name, data_center, source.name if source else None, delay_s, semi_sync)
        self._specs[name] = spec
        return spec

    def _options(self, *, is_replica: bool) -> tuple[int, bool | None]:
        delay_s, semi_sync = 0, None
        if not self._accept("{"):
            return delay_s, semi_sync
        while True:
            match self._name("an option"):
                case "delay" if is_replica:
                    delay_s = self._seconds()
                case "semi_sync":
                    semi_sync = self._switch()
                case other:
                    raise self._refuse(f"no option {other!r} here", back=1)
            if not self._accept(","):
                break
        self._expect("}")
        return delay_s, semi_sync

    def _seconds(self) -> int:
        self._expect("=")
        if not self._peek().isdigit():
            raise self._refuse("expected whole seconds")
        return int(self._take())

    def _switch(self) -> bool:
        self._expect("=")
        if self._peek() not in _SWITCH:
            raise self._refuse("expected on or off")
        return _SWITCH[self._take()]

    def _name(self, what: str) -> str:
        if not _NAME.fullmatch(self._peek()):
            raise self._refuse(f"expected {what}")
        return self._take()

    def _peek(self) -> str:
        return self._tokens[self._next][1]

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]

    def _accept(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._next += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise self._refuse(f"expected {sign!r}")

    def _refuse(self, problem: str, *, back: int = 0) -> InvalidTopology:
        return InvalidTopology(self._line, self._tokens[self._next - back][0], problem)


def _tokenize(line: str) -> list[tuple[int, str]]:
    """Return positions and texts; the last token is empty, so that there is always one to look at."""
    tokens: list[tuple[int, str]] = []
    position = 0
    text = line.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InvalidTopology(line, position, f"unexpected {text[position:].lstrip()[0]!r}")
        tokens.append((match.start(1), match[1]))
        position = match.end()
    return [*tokens, (len(text), "")]
