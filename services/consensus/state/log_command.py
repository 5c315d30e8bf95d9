"""What all commands of the log share."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct


def _kind_of(class_name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


class LogCommand(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=_kind_of):
    """A command: never changed, and written under the name of its class.

    Structs and not dataclasses, as all values made for each entry: theirs is the JSON of the log, and making one costs
    a sixth.

    Attributes:
        version: Group version that brought its form (18.4); another one is not read.
    """

    version: Literal[1] = 1
