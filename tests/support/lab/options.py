"""Command lines of servers: small, but as durable and as strict as in production."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.shared.topology.server import Flavor
from tests.support.lab.distribution import Distribution

HOST: Final = "127.0.0.1"

_SIZE: Final = ("--innodb-buffer-pool-size=16M", "--max-connections=200", "--table-open-cache=400")
_FLAVOR: Final = {
    Flavor.MYSQL: (
        "--innodb-redo-log-capacity=16M",
        "--mysqlx=0",
        "--secure-file-priv=NULL",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
    ),
    Flavor.MARIADB: (
        "--innodb-log-file-size=16M",
        "--binlog-format=ROW",
        "--log-slave-updates",
        "--sync-binlog=1",  # MySQL's default; the others that make commits durable are MariaDB's defaults too.
    ),
}
_READ_ONLY: Final = {
    Flavor.MYSQL: ("--read-only=ON", "--super-read-only=ON"),
    Flavor.MARIADB: ("--read-only=ON",),
}
_SEMI_SYNC: Final = {
    Flavor.MYSQL: ("--plugin-load-add=semisync_source.so", "--plugin-load-add=semisync_replica.so"),
    Flavor.MARIADB: (),  # Built in.
}
_SEMI_SYNC_SOURCE: Final = {
    Flavor.MYSQL: "--rpl-semi-sync-source-enabled=ON",
    Flavor.MARIADB: "--rpl-semi-sync-master-enabled=ON",
}
_SEMI_SYNC_REPLICA: Final = {
    Flavor.MYSQL: "--rpl-semi-sync-replica-enabled=ON",
    Flavor.MARIADB: "--rpl-semi-sync-slave-enabled=ON",
}


@dataclass(frozen=True, slots=True)
class Role:
    """What an instance is deployed as; it is that again after each restart.

    Attributes:
        replica: It replicates, so it is read-only; else it is a writable primary.
        semi_sync: A primary waits for a replica's receipt, a replica sends one.
        extra: Further options, which win over the lab's.
    """

    replica: bool
    semi_sync: bool
    extra: tuple[str, ...] = ()


def user_options() -> tuple[str, ...]:
    """Return what lets a server run as root, which it refuses unless told."""
    return (f"--user={pwd.getpwuid(0).pw_name}",) if os.geteuid() == 0 else ()


def server_options(
    distribution: Distribution, role: Role, *, data: Path, error_log: Path, server_id: int, port: int, report_port: int
) -> tuple[str, ...]:
    """Return all options of one server, `--no-defaults` first as it has to be."""
    flavor = distribution.flavor
    return (
        "--no-defaults",
        *user_options(),
        *distribution.directory_options,
        f"--datadir={data}",
        f"--log-error={error_log}",
        "--socket=mysqld.sock",  # Below the data directory: a full path may exceed the 107 bytes a socket's has.
        "--pid-file=mysqld.pid",
        f"--bind-address={HOST}",
        f"--port={port}",
        "--skip-name-resolve",
        f"--server-id={server_id}",
        "--log-bin=binlog",
        "--relay-log=relay",
        f"--report-host={HOST}",
        f"--report-port={report_port}",
        *_SIZE,
        *_FLAVOR[flavor],
        *(_READ_ONLY[flavor] if role.replica else ()),
        *(_semi_sync_options(flavor, role) if role.semi_sync else ()),
        *role.extra,
    )


def _semi_sync_options(flavor: Flavor, role: Role) -> tuple[str, ...]:
    return (*_SEMI_SYNC[flavor], (_SEMI_SYNC_REPLICA if role.replica else _SEMI_SYNC_SOURCE)[flavor])
