"""Where a URL of Postgres leads to."""

from __future__ import annotations

import pytest

from flowstate_server.errors import StoreOpenError
from flowstate_server.stores.postgres.address import parse_address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://a:1,b:2/db?target_session_attrs=read-write", "a:1,b:2/db"),
        ("postgresql://ann:c4nary@a:1,b:2,c/db", "a:1,b:2,c:5432/db"),
        ("postgres://ann:c4nary@/db?host=a,b&port=1,2", "a:1,b:2/db"),
        ("postgres:///db?host=a,b&port=6432", "a:6432,b:6432/db"),
        ("postgres:///db?host=a,b", "a:5432,b:5432/db"),
        ("postgres://[::1]:1,[fe80::2]/db", "[::1]:1,[fe80::2]:5432/db"),
        ("postgres:///db?host=/var/run/postgresql", "/var/run/postgresql:5432/db"),
        ("postgres://a/db?host=ignored", "a:5432/db"),
        ("postgres:///db", "localhost:5432/db"),
    ],
)
def test_a19_all_hosts_are_named(url: str, shown: str) -> None:
    assert parse_address(url).shown == shown


def test_a19_each_host_has_a_url_of_its_own() -> None:
    address = parse_address(
        "postgres://ann:p%40w@a:1,[::1]:2/db?target_session_attrs=read-write&host=x&port=9"
    )
    assert [address.at(host) for host in address.hosts] == [
        "postgres://ann:p%40w@/db?target_session_attrs=read-write&host=a&port=1",
        "postgres://ann:p%40w@/db?target_session_attrs=read-write&host=%5B%3A%3A1%5D&port=2",
    ]


def test_without_a_host_the_driver_looks_for_one() -> None:
    address = parse_address("postgres://ann@/db?sslmode=disable")
    assert [address.at(host) for host in address.hosts] == ["postgres://ann@/db?sslmode=disable"]


@pytest.mark.parametrize(
    "url",
    [
        "postgres://a:1,b:x/db",
        "postgres://a:1:2/db",
        "postgres:///db?host=a,b&port=1,2,3",
        "postgres:///db?host=a&port=c4nary",
        "postgres://u:c4nary/x@h:1,i:2/db",
    ],
)
def test_a19_what_is_no_list_of_hosts_is_refused(url: str) -> None:
    with pytest.raises(StoreOpenError, match="several hosts are host:port,host:port") as refused:
        parse_address(url)
    assert "c4nary" not in str(refused.value)
