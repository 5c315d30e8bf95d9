"""The accounts every server of the lab has, with the rights their users have in production."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from services.shared.topology.server import Flavor

_MANAGEMENT_RIGHTS: Final = {
    Flavor.MYSQL: (
        "SELECT, RELOAD, PROCESS, SUPER, REPLICATION CLIENT, REPLICATION SLAVE, BACKUP_ADMIN, BINLOG_ADMIN, "
        "CONNECTION_ADMIN, PERSIST_RO_VARIABLES_ADMIN, REPLICATION_APPLIER, REPLICATION_SLAVE_ADMIN, "
        "SERVICE_CONNECTION_ADMIN, SESSION_VARIABLES_ADMIN, SYSTEM_USER, SYSTEM_VARIABLES_ADMIN"
    ),
    Flavor.MARIADB: (
        "SELECT, RELOAD, PROCESS, SUPER, REPLICATION SLAVE, BINLOG ADMIN, BINLOG MONITOR, BINLOG REPLAY, "
        "CONNECTION ADMIN, READ_ONLY ADMIN, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN, SLAVE MONITOR"
    ),
}
_TABLES: Final = (
    "CREATE DATABASE IF NOT EXISTS lab",
    "CREATE TABLE lab.placement (id TINYINT PRIMARY KEY DEFAULT 1, data_center VARCHAR(64) NOT NULL)",
    "CREATE DATABASE IF NOT EXISTS app",
    "CREATE TABLE app.writes (id BIGINT PRIMARY KEY, writer VARCHAR(64) NOT NULL DEFAULT '')",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A user and the password; the password shows in no text made of it."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The accounts of a server.

    Attributes:
        root: May do all.
        management: `primacy`: what discovery and recovery need.
        replication: `repl`: what a replica signs in with.
        app: Reads and writes rows of the database `app`, no more; stops at `read_only`.
    """

    root: Account
    management: Account
    replication: Account
    app: Account

    @classmethod
    def generate(cls) -> Self:
        """Return accounts with new random passwords: a lab server is open to every user of the machine."""
        return cls(*(Account(user, secrets.token_urlsafe(12)) for user in ("root", "primacy", "repl", "app")))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        stored: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{name: Account(**account) for name, account in stored.items()})

    def save(self, path: Path) -> None:
        """Write the accounts to `path`, for the owner's eyes only."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def account_statements(flavor: Flavor, credentials: Credentials) -> tuple[str, ...]:
    """Return the statements that make the accounts and the lab's tables on an empty server."""
    grants = (
        (credentials.root, "ALL ON *.*", " WITH GRANT OPTION"),
        (credentials.management, f"{_MANAGEMENT_RIGHTS[flavor]} ON *.*", ""),
        (credentials.replication, "REPLICATION SLAVE ON *.*", ""),
        (credentials.app, "SELECT, INSERT, UPDATE, DELETE ON app.*", ""),
    )
    accounts = tuple(
        statement
        for account, rights, suffix in grants
        for statement in (
            f"CREATE USER '{account.user}'@'127.0.0.1' IDENTIFIED BY '{account.password}'",
            f"GRANT {rights} TO '{account.user}'@'127.0.0.1'{suffix}",
        )
    )
    return (*_TABLES, *accounts)
