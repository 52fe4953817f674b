"""What the wheel has, and has not."""

from __future__ import annotations

import re
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.packaging.conftest import CHECKOUT

PROTOS = sorted(
    path.relative_to(CHECKOUT / "protos").as_posix() for path in CHECKOUT.glob("protos/**/*.proto")
)
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(contents: dict[str, bytes]) -> Message:
    [name] = [name for name in contents if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(contents[name])


def test_it_has_the_contract(contents: dict[str, bytes]) -> None:
    assert sorted(name for name in contents if name.endswith(".proto")) == PROTOS
    for name in PROTOS:
        assert contents[name] == (CHECKOUT / "protos" / name).read_bytes()


def test_it_has_a_descriptor_set_of_it(contents: dict[str, bytes]) -> None:
    held = FileDescriptorSet.FromString(contents["flowstate/flowstate.binpb"])
    names = [file.name for file in held.file]
    assert sorted(name for name in names if name.startswith("flowstate/")) == PROTOS
    told = {path for file in held.file for path in file.dependency}
    assert told <= set(names)  # whole without anything else
    services = {service.name for file in held.file for service in file.service}
    written = re.findall(r"^service (\w+)", b"\n".join(contents[name] for name in PROTOS).decode(), re.M)
    assert services == set(written)
    assert any(location.leading_comments for file in held.file for location in file.source_code_info.location)


def test_it_has_the_packages_whole_and_nothing_else(contents: dict[str, bytes]) -> None:
    folders = {"flowstate_server": "", "flowstate_client": "", "flowstate": "protos/"}
    wanted = {
        path.relative_to(CHECKOUT / within).as_posix()
        for folder, within in folders.items()
        for path in (CHECKOUT / within / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in contents if ".dist-info/" not in name} == wanted
    assert {f"{folder}/py.typed" for folder in folders} <= wanted


def test_its_metadata(metadata: Message, contents: dict[str, bytes]) -> None:
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "Apache-2.0")
    assert metadata["Summary"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    base = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert len(base) == len(PROJECT["dependencies"])
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents)
    classifiers = metadata.get_all("Classifier", [])
    versions = {one.rsplit(" ", 1)[-1] for one in classifiers if re.search(r":: 3\.\d+$", one)}
    assert versions == {"3.11", "3.12", "3.13"}
    assert "Typing :: Typed" in classifiers


def test_the_changelog_knows_no_version_that_is_not_there() -> None:
    """What is released has its section; the version of the checkout may be on its way."""
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (CHECKOUT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert released == [] or released[0] == PROJECT["version"]
