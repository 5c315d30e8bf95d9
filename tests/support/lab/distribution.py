"""Which server software the lab runs, and how to start a program of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.shared.topology.server import Flavor
from tests.support.lab.cache import cache_directory, made_once
from tests.support.lab.errors import LabError
from tests.support.lab.packages import PackageSource, Progress, unpack

_SOURCES: Final = {
    Flavor.MYSQL: PackageSource(
        server="MySQL 9.7",
        suite="sid",
        packages=("mysql-server-core", "mysql-client-core"),
        series="9.7.",
        remedy="Install a MySQL server 8.4 or later so that `mysqld` is on PATH (Debian: mysql-server-core; "
        "elsewhere: mysql-community-server of repo.mysql.com), or run on Debian with apt-get, dpkg and "
        "debian-archive-keyring.",
    ),
    Flavor.MARIADB: PackageSource(
        server="MariaDB 10.11",
        suite="bookworm",
        packages=("mariadb-server-core", "mariadb-client-core"),
        series="10.11.",
        remedy="Run on Debian with apt-get, dpkg and debian-archive-keyring.",
    ),
}
_PROGRAM: Final = {Flavor.MYSQL: "mysqld", Flavor.MARIADB: "mariadbd"}
_OLDEST_MYSQL: Final = (8, 4)  # The first with the statements of today, such as RESET BINARY LOGS AND GTIDS.
_VERSION: Final = re.compile(r"Ver (\d+)\.(\d+)\.(\d+)\S*")


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed server.

    Attributes:
        version: As its binary says it, such as `9.7.4-2`.
        program: Start of each command line: the server itself, or the dynamic loader it came with, which loads it.
        root: Folder with the unpacked packages; None for one that the system installed.
    """

    flavor: Flavor
    version: str
    program: tuple[str, ...]
    root: Path | None

    @property
    def directory_options(self) -> tuple[str, ...]:
        """Options that say where messages, character sets and plugins are."""
        if self.root is None:
            return ()
        usr = self.root / "usr"
        options = (f"--basedir={usr}", f"--lc-messages-dir={usr}/share/mysql")
        return (*options, f"--plugin-dir={usr}/lib/mysql/plugin") if self.flavor is Flavor.MYSQL else options


def find_distribution(flavor: Flavor, progress: Progress = lambda line: None) -> Distribution:
    """Return the server of `flavor`, installed into the cache if need be.

    MySQL may come from PATH; MariaDB never does, because any version but 10.11 would change what a test means.

    Raises:
        ServerUnavailable: It is not there and this machine cannot install it; the text names the packages.
    """
    if flavor is Flavor.MYSQL and (installed := _mysql_on_path()):
        progress(f"MySQL {installed.version}: found on PATH")
        return installed
    source = _SOURCES[flavor]
    root = cache_directory() / source.server.lower().replace(" ", "-")
    with made_once(root) as scratch:
        if scratch:
            unpack(source, scratch, progress)
            _run_version(_loaded(scratch, flavor))
    program = _loaded(root, flavor)
    version = _run_version(program)
    progress(f"{source.server}: {version} in {root}")
    return Distribution(flavor, version, program, root)


def _mysql_on_path() -> Distribution | None:
    path = shutil.which("mysqld")
    if path is None:
        return None
    text = subprocess.run([path, "--no-defaults", "--version"], capture_output=True, text=True, timeout=30, check=False)
    match = _VERSION.search(text.stdout)
    if match is None or "MariaDB" in text.stdout or (int(match[1]), int(match[2])) < _OLDEST_MYSQL:
        return None
    return Distribution(Flavor.MYSQL, match[0].removeprefix("Ver "), (path,), root=None)


def _loaded(root: Path, flavor: Flavor) -> tuple[str, ...]:
    """Return the start of a command line that runs the server below `root` with the libraries there."""
    loaders = sorted(path for path in root.glob("**/ld-linux-*.so.*") if path.is_file())
    libraries = sorted({str(path.parent) for path in root.glob("**/lib/**/*.so.*") if "/share/" not in str(path)})
    if not loaders:
        raise LabError(f"{root} has no dynamic loader; remove that directory to install again")
    server = root / "usr" / "sbin" / _PROGRAM[flavor]
    return (str(loaders[0]), "--library-path", ":".join(libraries), str(server))


def _run_version(program: tuple[str, ...]) -> str:
    done = subprocess.run(
        [*program, "--no-defaults", "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    match = _VERSION.search(done.stdout)
    if match is None:
        raise LabError(f"{program[-1]} does not run: {done.stderr.strip() or done.stdout.strip()}")
    return match[0].removeprefix("Ver ")
