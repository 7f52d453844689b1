# SPDX-License-Identifier: Apache-2.0
"""An etcd cluster: what gateways must agree on, over its JSON gateway.

Any member is asked, the next one if it does not answer.  A request whose
answer is lost may have been carried out, perhaps twice: who writes looks
afterwards, or writes so that twice is as good as once.  All calls block.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib import parse

import requests

from p2pcs_nova import errors


@contextlib.contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Let nobody find a module; if it is there already, it stays."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


with _hidden('eventlet'):
    # A library of its own would take it in, to warn at every fork.
    import etcd3gw
    from etcd3gw import exceptions

T = TypeVar('T')

_UNVERIFIED = re.compile(r'certificate verify failed: (.*?) \(_ssl')
_TLS = {
    'KEY_VALUES_MISMATCH': 'etcd_key_file is not the key of etcd_cert_file',
    'ALERT_BAD_CERTIFICATE': 'it refuses our certificate, etcd_cert_file',
    'ALERT_CERTIFICATE_REQUIRED': 'it demands a certificate: etcd_cert_file',
    'EOF occurred in violation': 'it ends the connection; perhaps it demands '
    'a certificate: etcd_cert_file',
}
"""By what OpenSSL says."""
API = '/v3/'
"""Since etcd 3.4."""
PART = 500
"""Keys that are read at once: a member must answer in time."""
_FAILURES = (
    exceptions.Etcd3Exception,
    OSError,
    ValueError,
    KeyError,
)
"""What a member that is ill, or is none, brings about."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where an etcd cluster is, and how it knows us."""

    endpoints: tuple[str, ...]
    """``http://host:port`` or ``https://host:port``, tried in order."""
    timeout_s: float
    """For one member."""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A key as it is now."""

    key: str
    value: bytes
    created: int
    """The revision that created it."""
    changed: int
    """The revision that wrote it last."""
    lease: int
    """0: it stays until it is deleted."""


@dataclasses.dataclass(frozen=True)
class Created:
    """A condition: the revision that created a key; 0: there is none."""

    key: str
    revision: int

    def to_json(self) -> dict[str, Any]:
        """As etcd's gateway takes it."""
        return {
            'key': _text(self.key.encode()),
            'target': 'CREATE',
            'result': 'EQUAL',
            'create_revision': self.revision,
        }


@dataclasses.dataclass(frozen=True)
class Changed:
    """A condition: the revision that wrote a key last; 0: there is none."""

    key: str
    revision: int

    def to_json(self) -> dict[str, Any]:
        """As etcd's gateway takes it."""
        return {
            'key': _text(self.key.encode()),
            'target': 'MOD',
            'result': 'EQUAL',
            'mod_revision': self.revision,
        }


@dataclasses.dataclass(frozen=True)
class Put:
    """Write a key."""

    key: str
    value: bytes
    lease: int = 0

    def to_json(self) -> dict[str, Any]:
        """As etcd's gateway takes it."""
        return {
            'request_put': {
                'key': _text(self.key.encode()),
                'value': _text(self.value),
                'lease': self.lease,
            }
        }


@dataclasses.dataclass(frozen=True)
class Delete:
    """Remove a key; one that is not there is removed already."""

    key: str

    def to_json(self) -> dict[str, Any]:
        """As etcd's gateway takes it."""
        return {
            'request_delete_range': {'key': _text(self.key.encode())},
        }


@dataclasses.dataclass(frozen=True)
class Get:
    """Read a key, or all whose names begin so, in their order.

    :param since: with ``prefix``: only from this one on
    :param limit: with ``prefix``: at most so many; 0: all
    """

    key: str
    prefix: bool = False
    since: str = ''
    limit: int = 0

    def to_json(self) -> dict[str, Any]:
        """As etcd's gateway takes it."""
        key = self.key.encode()
        found: dict[str, Any] = {'key': _text(self.since.encode() or key)}
        if self.prefix:
            found['range_end'] = _text(key[:-1] + bytes([key[-1] + 1]))
            found['limit'] = self.limit
        return {'request_range': found}


Condition = Created | Changed
Step = Put | Delete | Get


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a transaction has done."""

    held: bool
    """Whether all conditions held."""
    revision: int
    """Of the whole store; higher after every write."""
    cluster: int
    """Id of the cluster: of its members, and the token that it began by."""
    found: tuple[tuple[Entry, ...], ...]
    """What each ``Get`` of the part that was carried out has read."""


class Etcd:
    """Asks a cluster; every call raises Unavailable if nobody answers."""

    def __init__(self, cluster: Cluster) -> None:
        self._clients = [
            _client(cluster, endpoint) for endpoint in cluster.endpoints
        ]
        self._first = 0
        """The member that answered last."""

    def transact(
        self,
        conditions: Sequence[Condition],
        then: Sequence[Step],
        otherwise: Sequence[Step] = (),
    ) -> Outcome:
        """Carry out one part or the other, all of it at once."""
        wanted = {
            'compare': [one.to_json() for one in conditions],
            'success': [one.to_json() for one in then],
            'failure': [one.to_json() for one in otherwise],
        }

        def ask(client: etcd3gw.Etcd3Client) -> Outcome:
            return _outcome(dict(client.transaction(wanted)))

        return self._ask(ask)

    def read(self, *gets: Get) -> tuple[tuple[Entry, ...], ...]:
        """What is there, all at one moment."""
        return self.transact((), gets).found

    def read_all(self, prefix: str) -> Iterator[Entry]:
        """All whose names begin so, in parts, however many they are.

        What is written meanwhile may be among them or not.
        """
        since = prefix
        while since:
            (found,) = self.read(Get(prefix, True, since, PART))
            yield from found
            since = found[-1].key + '\0' if len(found) == PART else ''

    def grant(self, ttl_s: int) -> int:
        """A new lease, which lasts at least so long."""
        return self._ask(lambda client: client.lease(ttl_s).id)

    def keep_alive(self, lease: int) -> int:
        """Seconds that it lasts at least from now; 0: it is over."""
        return self._ask(
            lambda client: max(etcd3gw.Lease(lease, client).refresh(), 0)
        )

    def revoke(self, lease: int) -> None:
        """End a lease, and delete what was written on it; idempotent."""
        self._ask(lambda client: etcd3gw.Lease(lease, client).revoke())

    def _ask(self, call: Callable[[etcd3gw.Etcd3Client], T]) -> T:
        reasons, first = [], self._first
        for number in range(first, first + len(self._clients)):
            self._first = number % len(self._clients)
            client = self._clients[self._first]
            try:
                return call(client)
            except _FAILURES as error:
                reasons.append(f'{client.base_url}: {_reason(error)}')
        raise errors.Unavailable(f'etcd does not answer: {"; ".join(reasons)}')


def _client(cluster: Cluster, endpoint: str) -> etcd3gw.Etcd3Client:
    parts = parse.urlsplit(endpoint)
    return etcd3gw.Etcd3Client(
        host=parts.hostname or '',
        port=parts.port or 2379,
        protocol=parts.scheme,
        timeout=cluster.timeout_s,
        api_path=API,
        session=_session(cluster),
    )


def _session(cluster: Cluster) -> requests.Session:
    """By the files that we were told, whatever the environment says."""
    session = requests.Session()
    session.trust_env = False
    if cluster.ca_file is not None:
        session.verify = cluster.ca_file
    if cluster.cert_file is not None and cluster.key_file is not None:
        session.cert = (cluster.cert_file, cluster.key_file)
    return session


def _reason(error: BaseException) -> str:
    """What is wrong, in the words of our options where these are to blame."""
    detail = getattr(error, 'detail_text', None)
    said = detail or str(error) or type(error).__name__
    if found := _UNVERIFIED.search(said):
        return f'its certificate does not do, by etcd_ca_file: {found[1]}'
    for sign, meaning in _TLS.items():
        if sign in said:
            return meaning
    return said


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _outcome(answer: dict[str, Any]) -> Outcome:
    """Numbers come as text, and what is zero or empty does not come."""
    found = []
    for response in answer.get('responses', ()):
        if 'response_range' in response:
            rows = response['response_range'].get('kvs', ())
            found.append(tuple(_entry(row) for row in rows))
    return Outcome(
        bool(answer.get('succeeded', False)),
        int(answer['header']['revision']),
        int(answer['header']['cluster_id']),
        tuple(found),
    )


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        base64.b64decode(row['key']).decode(),
        base64.b64decode(row.get('value', '')),
        int(row['create_revision']),
        int(row['mod_revision']),
        int(row.get('lease', 0)),
    )
