"""The wheel of the contracts, installed alone, is all that another team's client needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.conftest import Staging
from tests.contract.tools import ROOT, run

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

PACKAGES = ("topology", "discovery", "analysis", "recovery", "consensus")

# A client as another team would write it; prints what it met as JSON.
CLIENT = """
import importlib.util, json, sys, uuid
import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from primacy.consensus.v1 import consensus_pb2 as pb, consensus_pb2_grpc as rpc

leader, follower = sys.argv[1:]
met = {"product_is_absent": importlib.util.find_spec("services") is None}
with grpc.insecure_channel(leader) as channel:
    status = rpc.GroupServiceStub(channel).GetStatus(pb.GetStatusRequest(), timeout=10)
    met["leader"] = status.leader.api_endpoint
    met["role"] = pb.Role.Name(status.role)
    watch = rpc.RegistryServiceStub(channel).WatchPrimaries(pb.WatchPrimariesRequest(), timeout=10)
    met["first_revision_is_known"] = next(watch).revision >= 0
    watch.cancel()
with grpc.insecure_channel(follower) as channel:
    ids = [str(uuid.uuid4()) for _ in "ab"]
    request = pb.RegisterRecoveryRequest(
        recovery_id=ids[0], cluster_id=ids[1], failed_instance="db1:3306", fencing_token=1
    )
    try:
        rpc.JournalServiceStub(channel).RegisterRecovery(request, timeout=10, metadata=[("primacy-forward", "never")])
    except grpc.RpcError as error:
        met["code"] = error.code().name
        metadata = dict(error.trailing_metadata())
        from google.rpc import status_pb2
        details = status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details
        info = error_details_pb2.ErrorInfo()
        assert details[0].Unpack(info)
        met["reason"], met["endpoint"] = info.reason, info.metadata["endpoint"]
print(json.dumps(met))
"""


def find_uv() -> str:
    """Return uv: the repository's own, or one on PATH."""
    search = os.pathsep.join((str(ROOT / ".tools/bin"), os.environ.get("PATH", "")))
    found = shutil.which("uv", path=search)
    if found is None:
        pytest.skip("uv is neither in .tools/bin (make setup) nor on PATH")
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: the build writes stubs beside the protos."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "protos"
    shutil.copytree(ROOT / "protos", source, ignore=shutil.ignore_patterns("python", "dist"))
    command = [find_uv(), "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", f"{directory}"]
    command.append(f"{source}")
    subprocess.run(command, check=True, timeout=200)
    (built,) = directory.glob("primacy_protos-*.whl")
    return built


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh virtual environment that has the wheel and what it asks for, nothing else."""
    environment = tmp_path_factory.mktemp("client") / "venv"
    uv = find_uv()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True, timeout=60)
    interpreter = environment / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, wheel], check=True, timeout=200)
    return interpreter


async def test_the_wheel_has_typed_stubs_of_every_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        module = f"primacy/{package}/v1/{package}_pb2"
        assert {f"{module}.py", f"{module}.pyi", f"{module}_grpc.py", f"{module}_grpc.pyi"} <= names
        assert f"primacy/{package}/v1/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"primacy", "primacy_protos"}


async def test_stubs_import_without_the_product(python: Path) -> None:
    modules = [f"primacy.{package}.v1.{package}_pb2_grpc" for package in PACKAGES]
    code, out, err = await run(str(python), "-c", f"import {', '.join(modules)}; print('ok')")
    assert (code, out.strip()) == (0, "ok"), err


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def met(python: Path, staging: Staging, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a client met that has the wheel alone; it runs outside of the repository."""
    script = tmp_path_factory.mktemp("script") / "client.py"
    script.write_text(CLIENT, encoding="utf-8")
    code, out, err = await run(str(python), "-I", str(script), staging.leader.consensus, staging.followers[0].consensus)
    assert code == 0, err
    return dict(json.loads(out))


async def test_a_client_with_the_wheel_alone_calls_the_group(met: dict[str, object], staging: Staging) -> None:
    assert met["product_is_absent"] is True
    assert (met["leader"], met["role"]) == (staging.leader.consensus, "ROLE_LEADER")
    assert met["first_revision_is_known"] is True


async def test_a_client_with_the_wheel_alone_reads_error_details(met: dict[str, object], staging: Staging) -> None:
    assert (met["code"], met["reason"], met["endpoint"]) == (
        "FAILED_PRECONDITION",
        "NOT_LEADER",
        staging.leader.consensus,
    )
