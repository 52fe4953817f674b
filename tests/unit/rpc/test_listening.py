from __future__ import annotations

import socket
from typing import Any

import pytest

from flowstate_server.rpc.listening import check_free, check_listening, is_loopback, refusal


@pytest.mark.parametrize(
    "address", ["127.0.0.1:7437", "127.9.9.9:1", "localhost:0", "[::1]:7437", "unix:/run/flowstate.sock"]
)
def test_loopback(address: str) -> None:
    assert is_loopback(address)
    check_listening(address, tls=False, credentials=False, insecure=False)


@pytest.mark.parametrize("address", ["0.0.0.0:7437", "[::]:7437", ":7437", "10.0.0.1:1", "example.org:1"])
def test_beyond_loopback_takes_tls_and_credentials_or_an_explicit_wish(address: str) -> None:
    assert not is_loopback(address)
    check_listening(address, tls=True, credentials=True, insecure=False)
    check_listening(address, tls=False, credentials=False, insecure=True)
    with pytest.raises(ValueError, match="certificate"):
        check_listening(address, tls=False, credentials=True, insecure=False)
    with pytest.raises(ValueError, match="token file"):
        check_listening(address, tls=True, credentials=False, insecure=False)


@pytest.mark.parametrize(
    "address", ["banana", "localhost", "localhost:", "localhost:http", "::1:7437", "localhost:65536", ""]
)
def test_what_is_no_address_is_named_as_such(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        check_listening(address, tls=True, credentials=True, insecure=True)


def test_w7_no_permission_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(self: Any, place: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    assert "no permission" in str(refusal("127.0.0.1:80"))
    assert isinstance(refusal("127.0.0.1:80"), PermissionError)


def test_w7_what_else_is_in_the_way_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = refusal(f"127.0.0.1:{taken.getsockname()[1]}")
        assert "in use" in str(refused)
        assert not isinstance(refused, PermissionError)
    assert "assign" in str(refusal("192.0.2.1:7437"))
    assert "nowhere.invalid" in str(refusal("nowhere.invalid:7437"))


def test_an_address_that_somebody_listens_on_is_not_free_unless_it_is_shared() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"can't listen on {address}: address already in use"):
            check_free(address, shared=False)
        check_free(address, shared=True)
    check_free(address, shared=False)
    for other in ("127.0.0.1:0", "192.0.2.1:7437", "nowhere.invalid:7437", "unix:/nowhere/socket"):
        check_free(other, shared=False)
