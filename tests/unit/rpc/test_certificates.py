from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flowstate_server.rpc.certificates import expires, read_certificate

TLS = Path(__file__).parents[2] / "support/tls"


def test_until_when_a_certificate_is_valid() -> None:
    assert expires((TLS / "expired.cert.pem").read_bytes()) == datetime(2024, 2, 1, tzinfo=UTC)
    far = (TLS / "localhost.cert.pem").read_bytes()  # beyond 2049 times have another form
    assert expires(far) == datetime(2126, 10, 28, 22, 9, 48, tzinfo=UTC)
    expired = (TLS / "expired.cert.pem").read_bytes()
    assert expires(b"bag attributes\n" + far + expired) == expires(far)


@pytest.mark.parametrize(("name", "warned"), [("expired", True), ("localhost", False)])
def test_a20_an_expired_certificate_is_warned_of(
    name: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        read_certificate(TLS / f"{name}.cert.pem", TLS / f"{name}.key.pem")
    assert ("expired.cert.pem has expired on 2024-02-01" in caplog.text) == warned


def test_a_pair_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"localhost\.cert\.pem .*other\.key\.pem"):
        read_certificate(TLS / "localhost.cert.pem", TLS / "other.key.pem")
    with pytest.raises(ValueError, match=r"nowhere\.pem: No such file"):
        read_certificate(tmp_path / "nowhere.pem", TLS / "other.key.pem")
