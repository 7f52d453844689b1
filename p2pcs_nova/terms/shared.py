# SPDX-License-Identifier: Apache-2.0
"""One gateway among several: terms are keys of etcd on a lease.

::

    PREFIX/gateways/NAME   a gateway that wants slices
    PREFIX/slices/SLICE    whose value is the gateway that commands it
    PREFIX/era             a number, written when an era begins here

All keys of a gateway are on its one lease and go with it.  The revision
that created a slice's key is the n of its term: the next holder's is
higher, whatever becomes of either.  Before an era has begun there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib import parse

from oslo_config import cfg

from p2pcs_nova import errors, programs, wire
from p2pcs_nova.etcd import Cluster, Created, Delete, Entry, Etcd, Get, Put
from p2pcs_nova.terms.holder import TTL_S, Lapsed, Shares

TIMEOUT_S = 1.5
"""For one member of etcd: a term outlives some that do not answer."""


def conf_to_cluster(conf: cfg.ConfigOpts) -> Cluster | None:
    """Where etcd is; None: nowhere.

    :raises cfg.Error: an option is wrong, or names no file of ours
    :raises OSError: a file cannot be read now
    """
    group = conf.terms
    if not group.etcd_endpoints:
        return None
    if bool(group.etcd_cert_file) != bool(group.etcd_key_file):
        raise cfg.Error('[terms] etcd_cert_file and etcd_key_file go together')
    for endpoint in group.etcd_endpoints:
        _check_endpoint(endpoint)
    for name in ('etcd_ca_file', 'etcd_cert_file', 'etcd_key_file'):
        if group[name]:
            programs.check_readable(f'[terms] {name}', group[name])
    return Cluster(
        tuple(group.etcd_endpoints),
        TIMEOUT_S,
        group.etcd_ca_file,
        group.etcd_cert_file,
        group.etcd_key_file,
    )


def _check_endpoint(text: str) -> None:
    try:
        found = parse.urlsplit(text)
        is_fine = (
            found.scheme in ('http', 'https')
            and found.hostname
            and found.port != 0
            and found.path in ('', '/')
            and not (found.query or found.fragment or found.username)
        )
    except ValueError:
        is_fine = False
    if not is_fine:
        raise cfg.Error(
            f'[terms] etcd_endpoints: {text!r} is not http://HOST:PORT or '
            'https://HOST:PORT'
        )


def slice_key(prefix: str, slice_: str) -> str:
    """The key whose creation is the term of a slice."""
    return f'{prefix}/slices/{slice_}'


def era_key(prefix: str) -> str:
    """The key whose value is the era of the revisions."""
    return f'{prefix}/era'


def entry_to_era(entry: Entry) -> int:
    """The era that has begun.

    :raises Unavailable: it is no number: by hand, or another release
    """
    try:
        return int(entry.value)
    except ValueError:
        raise errors.Unavailable('the era in etcd is no number') from None


def entries_to_holders(entries: Iterable[Entry]) -> dict[str, str]:
    """Gateway by slice, of the keys of slices that are there."""
    return {
        _last(entry): entry.value.decode(errors='replace') for entry in entries
    }


class OneOfSeveral:
    """See :class:`p2pcs_nova.terms.holder.Holder`.

    Renewals have a connection of their own: nothing makes them wait.

    :param name: that no other gateway has, nor an earlier life of ours
    :param connect: makes a connection to etcd
    :param clock: seconds of CLOCK_BOOTTIME
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        connect: Callable[[], Etcd],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self._prefix = prefix
        self._leases = connect()
        self._etcd = connect()
        self._clock = clock
        self._lease = 0
        self._until_s = 0.0
        self._wants = False
        self._held: set[str] = set()

    def renew(self) -> float:
        """Go on with the lease; the first time, begin with it.

        :raises Lapsed: it was not renewed in time, or etcd has ended it:
            nothing is held any more
        """
        now = self._clock()
        if not self._lease:
            self._lease = self._leases.grant(int(TTL_S))
            left_s = int(TTL_S)
        elif now >= self._until_s:
            raise Lapsed('the lease was not renewed in time')
        else:
            left_s = self._leases.keep_alive(self._lease)
        if left_s <= 0:
            raise Lapsed('etcd has ended the lease')
        # From before it was asked: etcd counts from later on.
        self._until_s = now + min(left_s, TTL_S)
        return self._until_s

    def want(self, wanted: bool) -> None:
        """Be counted among those that share the slices, or not."""
        if wanted == self._wants:
            return
        key = self._key('gateways', self.name)
        step = Put(key, b'', self._my_lease()) if wanted else Delete(key)
        self._etcd.transact((), [step])
        self._wants = wanted

    def shares(self) -> Shares:
        """Who is there, and who commands what.

        A slice that we have without knowing it, since an answer was lost,
        counts as free: it is taken again, by the same term.
        """
        gateways, slices = self._etcd.read(
            Get(self._key('gateways', ''), prefix=True),
            Get(self._key('slices', ''), prefix=True),
        )
        return Shares(
            frozenset(map(_last, gateways)),
            {
                slice_: holder
                for slice_, holder in entries_to_holders(slices).items()
                if holder != self.name or slice_ in self._held
            },
        )

    def take(self, slice_: str) -> wire.Counter | None:
        """Create the slice's key, if it is not there.

        :raises Unavailable: no era has begun; nothing is known to be taken
        """
        key, era = slice_key(self._prefix, slice_), Get(era_key(self._prefix))
        put = Put(key, self.name.encode(), self._my_lease())
        outcome = self._etcd.transact(
            [Created(key, 0)], [put, Get(key), era], [Get(key), era]
        )
        (mine,), eras = outcome.found
        if mine.lease != self._lease:
            return None
        if not eras:
            raise errors.Unavailable('no era has begun in etcd')
        self._held.add(slice_)
        return wire.Counter(entry_to_era(eras[0]), mine.created)

    def give_back(self, command: wire.Command) -> None:
        """Delete the slice's key, if it is still that of this term."""
        key = slice_key(self._prefix, command.slice)
        mine = Created(key, command.term.n)
        self._etcd.transact([mine], [Delete(key)])
        self._held.discard(command.slice)

    def close(self) -> None:
        """End the lease."""
        if self._lease:
            self._etcd.revoke(self._lease)

    def _my_lease(self) -> int:
        """That of this life.

        :raises Unavailable: there is none yet
        """
        if not self._lease:
            raise errors.Unavailable('etcd has not yet given a lease')
        return self._lease

    def _key(self, *parts: str) -> str:
        return '/'.join((self._prefix, *parts))


def _last(entry: Entry) -> str:
    """The last part of a key."""
    return entry.key.rpartition('/')[2]
