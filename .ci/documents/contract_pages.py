"""Pages of the contract, from its descriptors and their comments: ``python -m documents.contract_pages SET FOLDER``.

``SET`` is a file descriptor set with source info, as ``buf build --as-file-descriptor-set -o SET`` writes it. Each
``.proto`` file becomes a page in ``FOLDER``, with its comments as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

PACKAGE = "flowstate.v1"
# Numbers of fields in descriptors, of which the places of comments are made: see SourceCodeInfo.Location.path.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, METHODS, VALUES = 2, 2, 2
REPEATED = FieldDescriptorProto.LABEL_REPEATED

Place = tuple[int, ...]


@dataclass(frozen=True)
class Contract:
    """On which page each message and enum is; where a type is of Google's, nowhere."""

    pages: Mapping[str, str]

    @classmethod
    def of(cls, files: Sequence[FileDescriptorProto]) -> Contract:
        pages: dict[str, str] = {}
        for file in files:
            names = [message.name for message in file.message_type] + [enum.name for enum in file.enum_type]
            pages |= {f".{PACKAGE}.{name}": page_name(file) for name in names}
        return cls(pages)

    def link(self, type_name: str, page: str) -> str:
        name = type_name.rpartition(".")[2]
        if type_name not in self.pages:
            return f"`{type_name.lstrip('.')}`"
        there = self.pages[type_name]
        return f"[`{name}`]({'' if there == page else there}#{name.lower()})"


def page_name(file: FileDescriptorProto) -> str:
    return f"{PurePosixPath(file.name).stem.removesuffix('_service')}.md"


def contract_page(file: FileDescriptorProto, contract: Contract) -> str:
    comments = {
        tuple(place.path): place.leading_comments
        for place in file.source_code_info.location
        if place.leading_comments
    }
    parts = [f"# {title(file)}", f"`{file.name}`, package `{PACKAGE}`."]
    for number, service in enumerate(file.service):
        parts += _service(service, (SERVICES, number), comments, contract, page_name(file))
    for number, message in enumerate(file.message_type):
        parts += _message(message, (MESSAGES, number), comments, contract, page_name(file))
    for number, enum in enumerate(file.enum_type):
        parts += _enum(enum, (ENUMS, number), comments)
    return "\n\n".join(parts) + "\n"


def title(file: FileDescriptorProto) -> str:
    return file.service[0].name if file.service else PurePosixPath(file.name).stem.title()


def _service(
    service: ServiceDescriptorProto,
    place: Place,
    comments: Mapping[Place, str],
    contract: Contract,
    page: str,
) -> Iterator[str]:
    yield _text(comments[place])
    for number, method in enumerate(service.method):
        answer = contract.link(method.output_type, page)
        yield f"## {method.name} {{ #{method.name.lower()} }}"
        stream = "a stream of " if method.server_streaming else ""
        yield f"{contract.link(method.input_type, page)} → {stream}{answer}"
        yield _text(comments[*place, METHODS, number])


def _message(
    message: DescriptorProto, place: Place, comments: Mapping[Place, str], contract: Contract, page: str
) -> Iterator[str]:
    yield f"## {message.name} {{ #{message.name.lower()} }}"
    yield _text(comments[place])
    rows = [
        f"| `{field.name}` | {_type(field, message, contract, page)} | {_cell(comments[*place, FIELDS, number])} |"
        for number, field in enumerate(message.field)
    ]
    if rows:
        yield "\n".join(("| field | type | |", "|---|---|---|", *rows))


def _type(field: FieldDescriptorProto, message: DescriptorProto, contract: Contract, page: str) -> str:
    entry = next(
        (
            nested
            for nested in message.nested_type
            if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}")
        ),
        None,
    )
    if entry is not None:
        key, value = (_type(part, entry, contract, page) for part in entry.field)
        return f"map of {key} to {value}"
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    named = contract.link(field.type_name, page) if field.type_name else f"`{scalar}`"
    optional = "optional " if field.proto3_optional else ""
    one_of = (
        f", one of `{message.oneof_decl[field.oneof_index].name}`"
        if field.HasField("oneof_index") and not field.proto3_optional
        else ""
    )
    return f"{'repeated ' if field.label == REPEATED else optional}{named}{one_of}"


def _enum(enum: EnumDescriptorProto, place: Place, comments: Mapping[Place, str]) -> Iterator[str]:
    yield f"## {enum.name} {{ #{enum.name.lower()} }}"
    yield _text(comments[place])
    rows = [
        f"| `{value.name}` | {value.number} | {_cell(comments[*place, VALUES, number])} |"
        for number, value in enumerate(enum.value)
    ]
    yield "\n".join(("| value | number | |", "|---|---|---|", *rows))


def _text(comment: str) -> str:
    """A comment as Markdown, which most of it is: only brackets are no links there."""
    lines = (line.removeprefix(" ") for line in comment.rstrip().split("\n"))
    return "\n".join(lines).replace("[", "\\[")


def _cell(comment: str) -> str:
    paragraphs = _text(comment).replace("|", "\\|").split("\n\n")
    return "<br>".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def write_pages(descriptors: FileDescriptorSet, folder: Path) -> None:
    """Write a page for each file of the contract into ``folder``, and remove those of files that there are no more."""
    files = [file for file in descriptors.file if file.package == PACKAGE]
    contract = Contract.of(files)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        old.unlink()
    for file in files:
        (folder / page_name(file)).write_text(contract_page(file, contract), "utf-8")


if __name__ == "__main__":
    read, written = (Path(argument) for argument in sys.argv[1:])
    write_pages(FileDescriptorSet.FromString(read.read_bytes()), written)
