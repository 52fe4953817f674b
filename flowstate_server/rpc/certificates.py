"""The certificate that a server shows: a chain and its private key, both in PEM."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import grpc

_logger = logging.getLogger(__name__)

_EXPLICIT_VERSION = 0xA0
_UTC_TIME = 0x17


class Certificates:
    """What new connections are shown; :meth:`replace` changes it, and those that are open stay as they are."""

    def __init__(self, configuration: grpc.ServerCertificateConfiguration) -> None:
        self._configuration = configuration
        self.credentials = grpc.dynamic_ssl_server_credentials(configuration, self._current)

    def replace(self, configuration: grpc.ServerCertificateConfiguration) -> None:
        self._configuration = configuration

    def _current(self) -> grpc.ServerCertificateConfiguration:
        return self._configuration


def read_certificate(certificate: Path, key: Path) -> grpc.ServerCertificateConfiguration:
    """The pair of two files. One that has expired is warned of: it may be replaced while the server runs.

    Raises:
        ValueError: a file can't be read, or they are no such pair; names the files.
    """
    try:
        pair = (key.read_bytes(), certificate.read_bytes())
    except OSError as error:
        raise ValueError(f"TLS file {error.filename}: {error.strerror}") from None
    try:  # gRPC itself would only fail to listen, without a word of why
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        problem = "are no TLS certificate chain and its unencrypted private key, both in PEM"
        raise ValueError(f"{certificate} (certificate) and {key} (key) {problem}") from None
    with suppress(ValueError, IndexError):  # of a form that is not read here; gRPC may
        expiry = expires(pair[1])
        if expiry < datetime.now(UTC):
            _logger.warning("%s has expired on %s: clients will refuse it", certificate, expiry.date())
    return grpc.ssl_server_certificate_configuration([pair])


def expires(chain: bytes) -> datetime:
    """Until when the first certificate of a PEM chain is valid.

    Python's own ``ssl`` shows this of a peer's certificate only.
    """
    text = chain.decode("latin-1")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first = text[text.index(begin) : text.index(end) + len(end)]
    # A certificate is a sequence whose first element is one again: version (may be absent), serial number, algorithm,
    # issuer, and validity, which is a pair of times. RFC 5280, 4.1.
    (_, body), *_ = _elements(_elements(ssl.PEM_cert_to_DER_cert(first))[0][1])
    parts = [content for tag, content in _elements(body) if tag != _EXPLICIT_VERSION]
    tag, moment = _elements(parts[3])[1]
    digits = moment.decode().rstrip("Z")
    if tag == _UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The elements of a DER encoding that lie one behind the other, each as its tag and content."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        found.append((tag, der[at : at + length]))
        at += length
    return found
