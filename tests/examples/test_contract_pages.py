"""The pages of the contract have everything that its descriptors have."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from documents.contract_pages import write_pages
from tests.support.pages import CHECKOUT

BUF = Path(sys.executable).with_name("buf")


def test_each_method_message_enum_and_field_is_told(tmp_path: Path) -> None:
    built = tmp_path / "contract.binpb"
    subprocess.run((BUF, "build", "--as-file-descriptor-set", "-o", built), cwd=CHECKOUT, check=True)
    descriptors = FileDescriptorSet.FromString(built.read_bytes())
    (tmp_path / "gone.md").write_text("of a file that is no more")
    write_pages(descriptors, tmp_path)
    ours = [file for file in descriptors.file if file.package == "flowstate.v1"]
    pages = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.md")}
    assert len(pages) == len(ours)
    text = "".join(pages.values())
    anchors = re.findall(r"^## .* \{ #(\w+) \}$", text, re.MULTILINE)
    for file in ours:
        named = {message.name for message in file.message_type} | {enum.name for enum in file.enum_type}
        named |= {method.name for service in file.service for method in service.method}
        assert {name.lower() for name in named} <= set(anchors)
        for message in file.message_type:
            assert {field.name for field in message.field} <= set(
                re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
            )
    assert "| `flow_kind` | `string` | The flow. |" in text
    assert "one of `payload`" in pages["events.md"]
    assert "](types.md#value)" in pages["flow.md"]
