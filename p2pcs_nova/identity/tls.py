# SPDX-License-Identifier: Apache-2.0
"""TLS contexts: version 1.3 only, and a name only from the key itself.

Beside what OpenSSL verifies, both ends refuse, within the handshake, a
certificate whose name is not that of its own key: an issuer that has been
broken into cannot speak for a member that exists.  There are no session
tickets: every connection shows its certificate.
"""

from __future__ import annotations

import pathlib
import ssl
import tempfile

from p2pcs_nova.transport.certificate import certificate_to_member


class CheckedObject(ssl.SSLObject):
    """A TLS connection that has looked at who is at the other end."""

    def do_handshake(self) -> None:
        """Shake hands.

        :raises ssl.SSLCertVerificationError: the other certificate's name
            is not that of its key
        """
        super().do_handshake()
        der = self.getpeercert(binary_form=True)
        try:
            if der is not None:
                certificate_to_member(der)
        except ValueError as error:
            raise ssl.SSLCertVerificationError(str(error)) from None


def mutual_server(
    key: pathlib.Path, chain: bytes, root: bytes
) -> ssl.SSLContext:
    """For requests between daemons, the answering side.

    :param key: file with our private key
    :param chain: PEM: our certificate, then the issuer's if there is one
    :param root: PEM of the overlay's root
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, key, chain)
    context.load_verify_locations(cadata=root.decode('ascii'))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def mutual_client(
    key: pathlib.Path, chain: bytes, root: bytes
) -> ssl.SSLContext:
    """For requests between daemons, the asking side; checks the name."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, key, chain)
    context.load_verify_locations(cadata=root.decode('ascii'))
    return context


def join_server(key: pathlib.Path, chain: bytes) -> ssl.SSLContext:
    """For who has no certificate yet, the answering side."""
    return _context(ssl.PROTOCOL_TLS_SERVER, key, chain)


def join_client(root: bytes) -> ssl.SSLContext:
    """For who has no certificate yet, the asking side.

    Any member whose certificate chains to the root will do; which one
    answers at an address cannot be known before.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root.decode('ascii'))
    context.check_hostname = False
    return context


def unverified_client() -> ssl.SSLContext:
    """To fetch a root certificate whose digest is known beforehand.

    Nothing else may be sent or believed over it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(
    protocol: ssl._SSLMethod,
    key: pathlib.Path | None = None,
    chain: bytes = b'',
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols(['http/1.1'])
    context.sslobject_class = CheckedObject
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    if key is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(chain)
            file.flush()
            context.load_cert_chain(file.name, key)
    return context
