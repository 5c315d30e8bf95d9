"""Servers out of Debian packages, unpacked into a folder of their own; the system stays untouched.

apt runs with a configuration, package lists and an empty status file below that folder, so it fetches a server with all
its libraries, down to the C library and the dynamic loader, for a machine that has nothing. It checks signatures with
the system's keyring for Debian's archive and needs no privileges.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.lab.errors import ServerUnavailable

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEFAULT_MIRROR: Final = "http://deb.debian.org/debian"
_DOWNLOAD_TIMEOUT_S: Final = 900

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PackageSource:
    """What to fetch, from where.

    Attributes:
        server: Product and series for people, such as `MySQL 9.7`.
        suite: Debian's suite that has it.
        packages: Their dependencies come with them. The first is the server.
        series: What the version of the first has to start with, epoch left out.
    """

    server: str
    suite: str
    packages: tuple[str, ...]
    series: str
    remedy: str


def unpack(source: PackageSource, root: Path, progress: Progress) -> None:
    """Download `source` and unpack it below `root`, an empty directory.

    Raises:
        ServerUnavailable: This machine has no apt for Debian, or the archive has no such package.
    """
    _require_debian(source)
    work = root / ".apt"
    environment = _apt_environment(source, work)
    progress(f"{source.server}: reading Debian's {source.suite} package list")
    _apt(source, environment, "update", "--quiet=2")
    _check_series(source, environment)
    progress(f"{source.server}: downloading {' '.join(source.packages)} and their libraries")
    _apt(source, environment, "install", "--quiet=2", "--yes", "--download-only", *source.packages)
    archives = sorted((work / "archives").glob("*.deb"))
    progress(f"{source.server}: unpacking {len(archives)} packages")
    for archive in archives:
        subprocess.run(["dpkg-deb", "--extract", archive, root], check=True, timeout=_DOWNLOAD_TIMEOUT_S)
    shutil.rmtree(work)


def _require_debian(source: PackageSource) -> None:
    missing = [tool for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise ServerUnavailable(source.server, f"this machine has no {', '.join(missing)}", source.remedy)
    if not KEYRING.exists():
        why = f"{KEYRING} is missing (package debian-archive-keyring), so Debian's signature can not be checked"
        raise ServerUnavailable(source.server, why, source.remedy)


def _apt_environment(source: PackageSource, work: Path) -> dict[str, str]:
    """Write apt's configuration below `work`; return the environment that makes apt use it and nothing else."""
    for directory in ("lists/partial", "archives/partial"):
        (work / directory).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {source.suite} main\n")
    (work / "apt.conf").write_text(
        # How to reach the network (proxies) is the machine's knowledge; all else of its configuration stays out. A
        # mirror that is weeks behind will do: the signature is checked, its date need not be.
        _run(["apt-config", "dump", "Acquire"])
        + f"""
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{work}";
Dir::State::status "{work}/status";
Dir::State::lists "{work}/lists";
Dir::Cache "{work}";
Dir::Cache::archives "{work}/archives";
Dir::Log "{work}";
APT::Install-Recommends "false";
APT::Sandbox::User "{pwd.getpwuid(os.geteuid()).pw_name}";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""
    )
    return {
        **os.environ,
        "APT_CONFIG": str(work / "apt.conf"),
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }


def _mirror() -> str:
    """Return the Debian mirror this machine is configured with."""
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"])
    for line in targets.splitlines():
        uri, _, label = line.partition(" ")
        if label == "Debian" or (not label and "security" not in uri):
            return uri
    return _DEFAULT_MIRROR


def _check_series(source: PackageSource, environment: dict[str, str]) -> None:
    policy = _run(["apt-cache", "policy", source.packages[0]], environment)
    candidate = next((line.split()[-1] for line in policy.splitlines() if "Candidate:" in line), "no package")
    if not candidate.rpartition(":")[2].startswith(source.series):
        why = f"Debian's {source.suite} has {candidate} of {source.packages[0]}, not {source.series}*"
        raise ServerUnavailable(source.server, why, source.remedy)


def _apt(source: PackageSource, environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_TIMEOUT_S,
        check=False,
    )
    # `apt-get update` succeeds with warnings when a mirror is down; the package is missing afterwards.
    if done.returncode != 0:
        why = f"apt-get {arguments[0]} failed: {' '.join(done.stderr.split())}"
        raise ServerUnavailable(source.server, why, source.remedy)


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
