"""On what kind of file system a directory is."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.consensus.store.file_system import file_system_of

ROOT = ("/", "ext4", "rw")


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        pytest.param([ROOT], "ext4", id="root"),
        pytest.param([ROOT, ("{here}", "xfs", "rw")], "xfs", id="deepest"),
        pytest.param([("{here}", "xfs", "rw"), ROOT], "xfs", id="deepest-whatever-the-order"),
        pytest.param([("{here}", "xfs", "rw"), ("{here}", "tmpfs", "rw")], "tmpfs", id="topmost"),
        pytest.param([ROOT, ("{here}-not", "tmpfs", "rw")], "ext4", id="names-are-not-prefixes"),
        pytest.param([("/", "overlay", "rw,lowerdir=/a"), ROOT], "ext4", id="later-mount-is-on-top"),
        pytest.param(
            [("{here}", "overlay", "rw,lowerdir=/a,upperdir={up},workdir=/w"), ("{up}", "tmpfs", "rw")],
            "tmpfs",
            id="overlay-on-tmpfs",
        ),
        pytest.param([("{here}", "overlay", "rw,upperdir=/does/not/exist")], "overlay", id="overlay-on-what-is-hidden"),
        pytest.param([], "", id="nothing-told"),
    ],
)
def test_file_system_is_that_which_keeps_the_files(
    tmp_path: Path, mounts: list[tuple[str, str, str]], kind: str
) -> None:
    places = {"here": tmp_path / "a b", "up": tmp_path / "up"}
    for place in places.values():
        place.mkdir()
    escaped = {name: str(place).replace(" ", "\\040") for name, place in places.items()}
    listed = tmp_path / "mountinfo"
    listed.write_text(
        "".join(
            f"36 35 98:0 / {point.format(**escaped)} rw,relatime shared:1 - {found} none {options.format(**escaped)}\n"
            for point, found, options in mounts
        ),
        encoding="utf-8",
    )
    assert file_system_of(places["here"], listed) == kind


def test_system_that_does_not_tell_is_believed(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, tmp_path / "missing") == ""
