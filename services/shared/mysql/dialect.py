"""Statements by flavor and version, as text: nothing here talks to a server.

MySQL renamed its statements in steps (8.0.22 replica, 8.0.23 source, 8.2 binary log status) and dropped the old names
in 8.4; MariaDB keeps the old names. `Statement` keeps secrets out of every text that is shown or recorded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

_NUMBERS: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_MASK: Final = "'***'"


def parse_version(text: str) -> tuple[int, int, int]:
    """Return the three numbers a version starts with (`10.11.6-MariaDB-log`, `8.4.2`).

    Raises:
        ValueError: It does not start with numbers.
    """
    match = _NUMBERS.match(text.removeprefix("5.5.5-"))  # Replication prefix that MariaDB 10 sends in its handshake.
    if match is None:
        raise ValueError(f"{text!r} is not a server version")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def flavor_of(version: str, version_comment: str) -> Flavor:
    """Return the family of a server by what it says of itself."""
    return Flavor.MARIADB if "mariadb" in f"{version} {version_comment}".lower() else Flavor.MYSQL


def literal(text: str) -> str:
    """Return a string literal that is read the same with and without `NO_BACKSLASH_ESCAPES`.

    Raises:
        ValueError: The text has a backslash or a control character, whose meaning depends on the SQL mode.
    """
    if "\\" in text or any(ord(character) < 32 for character in text):
        raise ValueError("a backslash or a control character cannot be written in a statement of ours")
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement.

    Attributes:
        text: For people, logs and records; a secret in it is shown as `'***'`.
    """

    text: str
    _secret: str | None = field(default=None, repr=False)

    def sql(self) -> str:
        """Return what goes to the server, secret included: never log it."""
        return self.text if self._secret is None else self.text.replace(_MASK, _quote_any(self._secret))

    def __str__(self) -> str:
        return self.text


def _quote_any(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """How a channel connects; what is None stays as the server has it.

    Attributes:
        source: Whom to read from.
        name: Channel; empty is the default one.
        user: Replication account.
        password: Its password.
        heartbeat_period: Must be given to be kept: a change of host or port resets it to half of
            `replica_net_timeout`.
        sql_delay: Delay of the applier, whole seconds.
        tls: Whether the channel encrypts.
        get_public_key: Ask the source for its RSA key: needed by `caching_sha2_password` without TLS (MySQL).
        connect_retry: Between attempts to connect, whole seconds.
        using_gtid: MariaDB: `slave_pos` or `current_pos`.
    """

    source: InstanceKey
    name: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    heartbeat_period: timedelta | None = None
    sql_delay: timedelta | None = None
    tls: bool | None = None
    get_public_key: bool | None = None
    connect_retry: timedelta | None = None
    using_gtid: str = "slave_pos"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words one server understands. Make it with `for_server`."""

    flavor: Flavor
    version: tuple[int, int, int]

    @classmethod
    def for_server(cls, flavor: Flavor, version: str | tuple[int, ...]) -> Self:
        """Return the dialect of a server by its flavor and `@@version`.

        Raises:
            ValueError: The version is no version.
        """
        if isinstance(version, str):
            return cls(flavor, parse_version(version))
        major, minor, patch = (*version, 0, 0, 0)[:3]
        return cls(flavor, (major, minor, patch))

    @property
    def mariadb(self) -> bool:
        """Whether this is MariaDB."""
        return self.flavor is Flavor.MARIADB

    def _since(self, *version: int) -> bool:
        return not self.mariadb and self.version >= version

    @property
    def _replica(self) -> str:
        return "REPLICA" if self._since(8, 0, 22) else "SLAVE"

    @property
    def _source(self) -> str:
        return "SOURCE" if self._since(8, 0, 23) else "MASTER"

    # Statements that read.

    @property
    def show_replication_status(self) -> str:
        """All channels, a row each."""
        return "SHOW ALL SLAVES STATUS" if self.mariadb else f"SHOW {self._replica} STATUS"

    @property
    def show_replicas(self) -> str:
        """Replicas that are connected and registered: `Server_id`, `Host`, `Port`, MySQL also their UUID."""
        return "SHOW REPLICAS" if self._since(8, 0, 22) else "SHOW SLAVE HOSTS"

    @property
    def show_binary_log_status(self) -> str:
        """End of the own binary log: `File`, `Position`; no row when it is off."""
        return "SHOW BINARY LOG STATUS" if self._since(8, 2, 0) else "SHOW MASTER STATUS"

    @property
    def select_dump_threads(self) -> str:
        """Clients (`host:port` in column `client`) that read the binary log now."""
        table = "performance_schema.processlist" if self._since(8, 0, 22) else "information_schema.processlist"
        return f"SELECT HOST AS client FROM {table} WHERE COMMAND LIKE 'Binlog Dump%'"  # noqa: S608  both names are ours

    @property
    def log_replica_updates_variable(self) -> str:
        """Name of the variable that says whether replicated transactions are logged."""
        return "log_replica_updates" if self._since(8, 0, 26) else "log_slave_updates"

    def wait_for_gtids(self, gtids: str, timeout: timedelta) -> Statement:
        """Wait until the applier has executed a set; column `done` is 0 when it has, else the time ran out.

        MariaDB's `MASTER_GTID_WAIT` looks at `gtid_slave_pos` only.
        """
        seconds = f"{max(timeout.total_seconds(), 0.001):.3f}"
        name = "MASTER_GTID_WAIT" if self.mariadb else "WAIT_FOR_EXECUTED_GTID_SET"
        return Statement(f"SELECT {name}({literal(gtids)}, {seconds}) AS done")

    # Statements that change a server: for the executor of recoveries only.

    def _verb(self, verb: str, threads: str, channel: str | None) -> Statement:
        if not self.mariadb:
            of = "" if channel is None else f" FOR CHANNEL {literal(channel)}"
            return Statement(f"{verb} {self._replica}{threads}{of}")
        if channel is None:
            return Statement(f"{verb} ALL SLAVES" if not threads else f"{verb} SLAVE{threads}")
        return Statement(f"{verb} SLAVE {literal(channel)}{threads}")

    def stop_replica(self, channel: str | None = None) -> Statement:
        """Stop both threads of one channel, or of all of them (None)."""
        return self._verb("STOP", "", channel)

    def start_replica(self, channel: str | None = None) -> Statement:
        """Start both threads of one channel, or of all of them (None)."""
        return self._verb("START", "", channel)

    def stop_io_thread(self, channel: str | None = None) -> Statement:
        """Stop receiving; what was received is still applied. None: all channels (MariaDB: the default one)."""
        return self._verb("STOP", " IO_THREAD", channel)

    def start_io_thread(self, channel: str | None = None) -> Statement:
        """Receive again. None: all channels (MariaDB: the default one)."""
        return self._verb("START", " IO_THREAD", channel)

    def start_sql_thread(self, channel: str | None = None) -> Statement:
        """Apply what was received. None: all channels (MariaDB: the default one)."""
        return self._verb("START", " SQL_THREAD", channel)

    def reset_replica_all(self, channel: str = "") -> Statement:
        """Forget a stopped channel and its relay logs."""
        if self.mariadb:
            return Statement(f"RESET SLAVE {literal(channel)} ALL")
        # Without FOR CHANNEL all channels go, so the default one is named too.
        return Statement(f"RESET {self._replica} ALL FOR CHANNEL {literal(channel)}")

    def change_source(self, config: ChannelConfig) -> Statement:
        """Point a stopped channel at a source, positioned by GTID; options not given stay as they are."""
        word = self._source
        options = [
            f"{word}_HOST = {literal(config.source.host)}",
            f"{word}_PORT = {config.source.port}",
            *self._positioning(config),
        ]
        if config.user is not None:
            options.append(f"{word}_USER = {literal(config.user)}")
        if config.password is not None:
            options.append(f"{word}_PASSWORD = {_MASK}")
        if config.heartbeat_period is not None:
            options.append(f"{word}_HEARTBEAT_PERIOD = {config.heartbeat_period.total_seconds():.3f}")
        if config.connect_retry is not None:
            options.append(f"{word}_CONNECT_RETRY = {int(config.connect_retry.total_seconds())}")
        if config.sql_delay is not None:
            options.append(f"{word}_DELAY = {int(config.sql_delay.total_seconds())}")
        if config.tls is not None:
            options.append(f"{word}_SSL = {int(config.tls)}")
        if config.get_public_key is not None and not self.mariadb:
            key = "GET_SOURCE_PUBLIC_KEY" if self._source == "SOURCE" else "GET_MASTER_PUBLIC_KEY"
            options.append(f"{key} = {int(config.get_public_key)}")
        return Statement(self._change(config.name, ", ".join(options)), config.password)

    def _positioning(self, config: ChannelConfig) -> list[str]:
        if not self.mariadb:
            return [f"{self._source}_AUTO_POSITION = 1"]
        using = config.using_gtid.lower()
        assert using in ("slave_pos", "current_pos"), using
        return [f"MASTER_USE_GTID = {using}"]

    def _change(self, channel: str, options: str) -> str:
        if self.mariadb:
            return f"CHANGE MASTER {literal(channel)} TO {options}"
        statement = "CHANGE REPLICATION SOURCE TO" if self._source == "SOURCE" else "CHANGE MASTER TO"
        return f"{statement} {options} FOR CHANNEL {literal(channel)}"

    def set_read_only(self, read_only: bool) -> Statement:
        """Take or refuse writes; on MySQL also those of privileged accounts (`super_read_only`)."""
        if self.mariadb:
            return Statement(f"SET GLOBAL read_only = {int(read_only)}")
        # super_read_only = ON implies read_only = ON, and read_only = OFF implies super_read_only = OFF (MySQL manual).
        return Statement("SET GLOBAL super_read_only = ON" if read_only else "SET GLOBAL read_only = OFF")
