# SPDX-License-Identifier: Apache-2.0
"""The daemon of this machine, asked over its UNIX socket.

Blocking, for Nova's driver and the command line; safe to share between
threads.  Every call opens its own connection: on a UNIX socket that costs
less than finding out that a kept one has gone stale.

A time-out is the longest silence while connecting and writing, and then the
longest time until all of the answer is here.  Raised besides what each call
names:

* :class:`~p2pcs_nova.errors.Unavailable`: nobody listens; nothing done;
* :class:`~p2pcs_nova.errors.Unreachable`: no answer in time, or the
  connection broke; the outcome is not known;
* every other error of :mod:`p2pcs_nova.errors` that the daemon answers.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterable, Iterator

from p2pcs_nova import errors, wire
from p2pcs_nova.client import unix_http
from p2pcs_nova.client.downloads import Download
from p2pcs_nova.client.paths import path_of

WORK_MARGIN_S = 60.0
"""What a daemon may need beside the time that an action itself is given:
it asks a PC, which asks its hypervisor."""


class LocalClient(unix_http.Caller):
    """Speaks to the daemon that listens on this UNIX socket.

    :param socket: path of the socket
    :param timeout_s: longest silence of a call that does not say its own
    :param authority: the term by which it asks; None: by none
    """

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Nothing to close: no connection outlives its call."""

    # -- this daemon --------------------------------------------------------

    def status(self, *, request_id: str = '') -> wire.DaemonStatus:
        """What runs on this machine, what it offers and why."""
        return self._get('/v1/status', wire.DaemonStatus, request_id)

    def drain(self, draining: bool, *, request_id: str = '') -> None:
        """Close this PC to new claims, or open it again."""
        self._call(
            'POST',
            '/v1/drain',
            value=wire.DrainRequest(draining),
            request_id=request_id,
        )

    def leave(self, force: bool, *, request_id: str = '') -> wire.Left:
        """Leave the overlay for good; the daemon ends.

        :param force: destroy the instances that are here
        :raises WrongState: there are some, and no ``force``
        """
        return self._ask(
            'POST',
            '/v1/leave',
            wire.Left,
            value=wire.LeaveRequest(force),
            request_id=request_id,
        )

    # -- the policy ---------------------------------------------------------

    def policy(self, *, request_id: str = '') -> wire.PolicyBundle:
        """The policy and the slice map that are in force."""
        return self._get('/v1/policy', wire.PolicyBundle, request_id)

    def plan_policy(
        self, text: str, *, request_id: str = ''
    ) -> wire.PolicyPlan:
        """What another policy would do; nothing changes.

        :raises BadPolicy: the text is no policy; says where
        """
        return self._ask(
            'POST',
            '/v1/policy/plan',
            wire.PolicyPlan,
            value=wire.PolicyText(text),
            request_id=request_id,
        )

    def apply_policy(
        self, signed: wire.SignedPolicy, *, request_id: str = ''
    ) -> None:
        """Put a policy in force; durable here at return, idempotent.

        :raises BadPolicy: the root has not signed it
        :raises StalePolicy: a newer one is in force
        :raises PolicyRefused: the PCs do not allow it; says why
        """
        self._call('PUT', '/v1/policy', value=signed, request_id=request_id)

    def tell_hosts(self, report: wire.HostsReport) -> None:
        """Say what Nova has left of slices that are drained or closed."""
        self._call('PUT', '/v1/policy/hosts', value=report)

    # -- the era ------------------------------------------------------------

    def era(self, *, request_id: str = '') -> wire.EraReport:
        """Where terms and epochs of this gateway come from.

        :raises Unavailable: etcd does not say how far it has come
        """
        return self._get('/v1/era', wire.EraReport, request_id)

    def raise_era(
        self, signed: wire.SignedEra, *, request_id: str = ''
    ) -> None:
        """Put an era in force; durable here at return, idempotent.

        :raises BadPolicy: the root has not signed it
        :raises StalePolicy: a later one is in force
        """
        self._call('PUT', '/v1/era', value=signed, request_id=request_id)

    def settle_era(self) -> None:
        """Have terms come from where the daemon is told; to be repeated.

        :raises EraRefused: they may not; says what to do
        :raises Unavailable: that cannot be said now
        """
        self._call('POST', '/v1/era/settle')

    # -- the gateway's view -------------------------------------------------

    def slices(self, *, request_id: str = '') -> wire.SliceRows:
        """All slices of the policy."""
        return self._get('/v1/slices', wire.SliceRows, request_id)

    def holders(self, *, request_id: str = '') -> wire.Holders:
        """Which gateway commands each slice.

        :raises Unavailable: what gateways share cannot be read now
        """
        return self._get('/v1/holders', wire.Holders, request_id)

    def slice(self, name: str, *, request_id: str = '') -> wire.SliceSummary:
        """One slice as Placement sees it.

        :raises NotFound: the policy has no such slice
        """
        return self._get(
            path_of('slices', name), wire.SliceSummary, request_id
        )

    def fits(
        self, request: wire.FitRequest, *, request_id: str = ''
    ) -> wire.Fits:
        """Which slices can take such an instance now.

        :raises Malformed: the query does not parse, or names what no PC
            has; the message says where
        :raises NotFound: a slice is wished that the policy does not have
        """
        return self._ask(
            'POST', '/v1/fits', wire.Fits, value=request, request_id=request_id
        )

    def wishable(self, *, request_id: str = '') -> wire.Wishable:
        """The attributes and slices that a wish can name now."""
        return self._get('/v1/wishable', wire.Wishable, request_id)

    def take_term(self, name: str, request: wire.TermRequest) -> wire.HeldTerm:
        """Have the daemon command a slice until then.

        :raises NotFound: the policy has no such slice
        :raises StaleTerm: the term is over, or a higher one was seen
        :raises EraRefused: none was given, and terms may not come from the
            daemon's counter
        """
        return self._ask(
            'PUT',
            path_of('slices', name, 'term'),
            wire.HeldTerm,
            value=request,
        )

    def end_term(self, command: wire.Command) -> None:
        """Have the daemon command the slice no more.

        :raises StaleTerm: the term is over already
        """
        self._call(
            'DELETE',
            path_of('slices', command.slice, 'term'),
            headers=unix_http.command_to_header(command),
        )

    def peers(self, *, request_id: str = '') -> wire.PeerRows:
        """The whole overlay as this gateway sees it."""
        return self._get('/v1/peers', wire.PeerRows, request_id)

    def instances(self, *, request_id: str = '') -> wire.PlacedRows:
        """All instances that this gateway knows."""
        return self._get('/v1/instances', wire.PlacedRows, request_id)

    def quarantined(self) -> wire.QuarantinedRows:
        """What PCs keep although no gateway knows it."""
        return self._get('/v1/quarantine', wire.QuarantinedRows, '')

    def revoke(self, peer: str, *, request_id: str = '') -> None:
        """Put a PC out of the overlay for ever; durable at return.

        :raises WrongState: it is no peer, or this is no gateway
        """
        self._call(
            'POST', path_of('peers', peer, 'revoke'), request_id=request_id
        )

    def renew_ring_key(self, *, request_id: str = '') -> None:
        """Give the overlay a new ring key; durable here at return.

        :raises Forbidden: we are not root of this machine
        """
        self._call('POST', '/v1/ring', request_id=request_id)

    def graves(self, *, request_id: str = '') -> wire.Graves:
        """Deleted instances whose PCs have not yet destroyed them."""
        return self._get('/v1/graves', wire.Graves, request_id)

    def forget(self, uuid: str, *, request_id: str = '') -> wire.Graves:
        """Give up a deleted instance: its PC is not waited for any more.

        :returns: what was given up
        :raises NotFound: no tombstone of it waits for a PC
        """
        return self._ask(
            'DELETE',
            path_of('graves', uuid),
            wire.Graves,
            request_id=request_id,
        )

    def story(self, server: str, *, request_id: str = '') -> wire.Story:
        """What gateway and PCs have logged of an instance.

        :param server: its uuid; its name will do if it is known now
        :raises NotFound: nothing of it is known
        :raises Malformed: several have this name
        """
        return self._ask(
            'GET',
            path_of('instances', server, 'story'),
            wire.Story,
            timeout_s=self.timeout_s + WORK_MARGIN_S,
            request_id=request_id,
        )

    def create_token(self, valid_s: float, *, request_id: str = '') -> str:
        """A join token in its text form, good for one PC.

        :param valid_s: seconds until it expires
        """
        answer = self._ask(
            'POST',
            '/v1/tokens',
            wire.TokenAnswer,
            value=wire.TokenRequest(valid_s),
            request_id=request_id,
        )
        return answer.token

    # -- instances of a slice -----------------------------------------------

    def placements(
        self,
        slice: str,  # noqa: A002
        after: int | None = None,
        wait_s: float = 0.0,
        *,
        request_id: str = '',
    ) -> wire.Placements:
        """Every instance of a slice.

        :param after: wait until the revision is higher than this
        :param wait_s: at most so long; then the answer is as it is
        """
        query: dict[str, str] = {}
        if after is not None:
            query = {'after': str(after), 'wait_s': str(wait_s)}
        return self._ask(
            'GET',
            path_of('slices', slice, 'instances'),
            wire.Placements,
            query=query,
            timeout_s=self.timeout_s + wait_s,
            request_id=request_id,
        )

    def instance(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        fresh: bool = False,
        *,
        request_id: str = '',
    ) -> wire.Placed:
        """Where an instance is and how it is.

        :param fresh: ask its PC, within a short deadline; else what the
            gateway last heard
        :raises NotFound: the slice has no such instance
        """
        return self._ask(
            'GET',
            path_of('slices', slice, 'instances', uuid),
            wire.Placed,
            query={'fresh': '1' if fresh else '0'},
            request_id=request_id,
        )

    def spawn(
        self,
        slice: str,  # noqa: A002
        request: wire.SpawnRequest,
        timeout_s: float,
        *,
        request_id: str = '',
    ) -> wire.Placed:
        """Claim, sign and build; answers when the instance is PLUGGED.

        :raises NoPeerFits: every PC of the slice refused
        """
        return self._ask(
            'PUT',
            path_of('slices', slice, 'instances', request.claim.instance),
            wire.Placed,
            value=request,
            timeout_s=timeout_s,
            request_id=request_id,
        )

    def action(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        request: wire.ActionRequest,
        *,
        request_id: str = '',
    ) -> wire.Placed:
        """Start, stop, reboot, pause, suspend: answers when it is done.

        :raises WrongState: the instance's state does not allow it
        """
        return self._ask(
            'POST',
            path_of('slices', slice, 'instances', uuid, 'action'),
            wire.Placed,
            value=request,
            timeout_s=self.timeout_s + request.timeout_s + WORK_MARGIN_S,
            request_id=request_id,
        )

    def filter(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        request: wire.FilterRequest,
        *,
        request_id: str = '',
    ) -> None:
        """Have its PC let pass at its ports what is said, from now on.

        :raises NotFound: the slice has no such instance
        :raises WrongState: it is still being built
        """
        self._call(
            'PUT',
            path_of('slices', slice, 'instances', uuid, 'filters'),
            value=request,
            request_id=request_id,
        )

    @contextlib.contextmanager
    def snapshot(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        request: wire.SnapshotRequest,
        *,
        request_id: str = '',
    ) -> Iterator[Download]:
        """A copy of an instance's disk, a qcow2 image, while it comes.

        Its PC drops the copy when the context ends, however it ends.

        :raises NoSpace: its PC has no room for the copy
        :raises WrongState: the instance is not built
        """
        with self._download(
            path_of('slices', slice, 'instances', uuid, 'snapshot'),
            request,
            timeout_s=self.timeout_s + request.timeout_s + WORK_MARGIN_S,
            pause_s=self.timeout_s + WORK_MARGIN_S,
            request_id=request_id,
        ) as copy:
            yield copy

    def destroy(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        *,
        request_id: str = '',
    ) -> wire.Destroyed:
        """Destroy; succeeds too if there is no such instance."""
        return self._ask(
            'DELETE',
            path_of('slices', slice, 'instances', uuid),
            wire.Destroyed,
            timeout_s=self.timeout_s + WORK_MARGIN_S,
            request_id=request_id,
        )

    def console(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        length: int,
        *,
        request_id: str = '',
    ) -> wire.Console:
        """The last ``length`` bytes of the serial console."""
        return self._ask(
            'GET',
            path_of('slices', slice, 'instances', uuid, 'console'),
            wire.Console,
            query={'bytes': str(length)},
            request_id=request_id,
        )

    def diagnostics(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        *,
        request_id: str = '',
    ) -> wire.Diagnostics:
        """Counters of the running domain."""
        return self._get(
            path_of('slices', slice, 'instances', uuid, 'diagnostics'),
            wire.Diagnostics,
            request_id,
        )

    # -- images -------------------------------------------------------------

    def has_image(self, digest: str, *, request_id: str = '') -> bool:
        """Whether the gateway holds the image of this digest."""
        try:
            self._call(
                'HEAD', path_of('images', digest), request_id=request_id
            )
        except errors.NotFound:
            return False
        return True

    def put_image(
        self,
        image: wire.Image,
        data: Iterable[bytes],
        *,
        timeout_s: float = 300.0,
        request_id: str = '',
    ) -> None:
        """Stream an image to the gateway, which verifies its digest.

        :param timeout_s: longest silence, the verification included
        :raises ImageRefused: the bytes are not those of the digest, or
            more or fewer than announced; the gateway keeps nothing
        :raises Unavailable: ``data`` broke off; the gateway keeps nothing
        """
        self._call(
            'PUT',
            path_of('images', image.digest),
            query={'format': image.format, 'size': str(image.size_bytes)},
            content=_counted(data, image.size_bytes),
            headers={'content-length': str(image.size_bytes)},
            timeout_s=timeout_s,
            request_id=request_id,
        )


def _counted(data: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes, refused before the last of them if not ``size``."""
    count = 0
    held = b''
    for chunk in _told(data):
        count += len(chunk)
        if count > size:
            break
        yield held
        held = chunk
    if count != size:
        raise errors.ImageRefused(
            f'the image has {"more" if count > size else "fewer"} bytes '
            f'than the {size} that were announced'
        )
    yield held


def _told(data: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; a source that breaks off is not our connection."""
    try:
        yield from data
    except OSError as error:
        raise errors.Unavailable(f'the image broke off: {error}') from error
