"""Initialised data directories, made once per server version and copied for each instance."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.shared.topology.server import Flavor
from tests.support.lab.accounts import Credentials, account_statements
from tests.support.lab.cache import cache_directory, made_once
from tests.support.lab.distribution import Distribution
from tests.support.lab.errors import LabError
from tests.support.lab.options import user_options
from tests.support.lab.packages import Progress

_SCHEMA: Final = 2
"""Raise it when accounts, tables or file sizes of the template change."""

_TIMEOUT_S: Final = 120
_SIZE: Final = {Flavor.MYSQL: "--innodb-redo-log-capacity=16M", Flavor.MARIADB: "--innodb-log-file-size=16M"}
_MARIADB_SYSTEM_TABLES: Final = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mysql_sys_schema.sql",
)


@dataclass(frozen=True, slots=True)
class Template:
    """A data directory to copy: accounts and tables of the lab, no binary log, an empty GTID set, no identity."""

    directory: Path

    @property
    def data(self) -> Path:
        """The directory to copy."""
        return self.directory / "data"

    @property
    def credentials_file(self) -> Path:
        """Where `Credentials.load` finds the accounts."""
        return self.directory / "credentials.json"

    @property
    def credentials(self) -> Credentials:
        """The accounts in it."""
        return Credentials.load(self.credentials_file)


def find_template(distribution: Distribution, progress: Progress = lambda line: None) -> Template:
    """Return the template of `distribution`, made if absent.

    Raises:
        LabError: The server cannot initialise a data directory.
    """
    name = f"template-{distribution.flavor.value}-{distribution.version}-{_SCHEMA}"
    directory = cache_directory() / name
    with made_once(directory) as scratch:
        if scratch:
            progress(f"{distribution.flavor.value} {distribution.version}: preparing a data directory")
            _make(distribution, Template(scratch))
    return Template(directory)


def _make(distribution: Distribution, template: Template) -> None:
    credentials = Credentials.generate()
    credentials.save(template.credentials_file)
    data = template.directory / "initial"
    data.mkdir(mode=0o750)
    statements = account_statements(distribution.flavor, credentials)
    if distribution.flavor is Flavor.MYSQL:
        _initialize_mysql(distribution, data, statements)
    else:
        _initialize_mariadb(distribution, data, statements)
    # Most of a new data directory is zeros: as holes they cost the copies neither time nor disk.
    subprocess.run(["cp", "--archive", "--sparse=always", data, template.data], check=True, timeout=_TIMEOUT_S)
    shutil.rmtree(data)


def _initialize_mysql(distribution: Distribution, data: Path, statements: tuple[str, ...]) -> None:
    script = data.parent / "init.sql"
    script.touch(mode=0o600)
    # The binary log is off while a server initialises, so none of this is in a GTID set.
    script.write_text("".join(f"{line};\n" for line in (*statements, "DROP USER 'root'@'localhost'")))
    _run(distribution, data, "--initialize-insecure", f"--init-file={script}", "--secure-file-priv=NULL")
    script.unlink()
    (data / "auto.cnf").unlink()  # Has the server's UUID; each copy gets one of its own.


def _initialize_mariadb(distribution: Distribution, data: Path, statements: tuple[str, ...]) -> None:
    """Do what mariadb-install-db does, without the shell."""
    assert distribution.root is not None
    (data / "mysql").mkdir(mode=0o750)
    share = distribution.root / "usr" / "share" / "mysql"
    script = "\n".join(
        (
            "use mysql;",
            *((share / name).read_text(encoding="utf-8") for name in _MARIADB_SYSTEM_TABLES),
            "DELETE FROM mysql.global_priv WHERE User IN ('root', '');",
            "FLUSH PRIVILEGES;",
            *(f"{line};" for line in statements),
            "",
        )
    )
    _run(distribution, data, "--bootstrap", script=script)


def _run(distribution: Distribution, data: Path, *mode: str, script: str = "") -> None:
    done = subprocess.run(
        [
            *distribution.program,
            "--no-defaults",
            *mode,
            *user_options(),
            *distribution.directory_options,
            f"--datadir={data}",
            "--innodb-buffer-pool-size=16M",
            _SIZE[distribution.flavor],
        ],
        input=script,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0 or "ERROR: " in done.stderr:
        complaints = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise LabError("initialising a data directory failed:\n" + "\n".join(complaints[-12:]))
