# SPDX-License-Identifier: Apache-2.0
"""One node on a real UDP socket and the real clock, under trio.

One task waits for the socket or the node's deadline, whichever is first,
and drains the socket when it wakes: a wake-up costs more than the work it
brings. Time is CLOCK_BOOTTIME, which goes on while the machine sleeps, so
that a node sees that it slept.
"""

import ipaddress
import math
import socket
import time
from collections.abc import Callable, Iterable, Sequence

import trio

from gossip import descriptor, errors, events, seal, unreachable
from gossip import node as nodes

_DRAIN_MAX = 256
_TRIES = 3
_BUFFER_BYTES = 1 << 20
_CLOCK_CHECK_S = 30.0
_CLOCK_JUMP_S = 1.0


def boottime() -> float:
    """Seconds since the machine started, its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_time() -> float:
    """Seconds since 1970, by which credentials begin and end."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def open_socket(address: descriptor.Address) -> socket.socket:
    """A bound, non-blocking UDP socket; port 0 takes any.

    :raises OSError: the address cannot be bound
    """
    is_v6 = ipaddress.ip_address(address[0]).version == 6
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        unreachable.enable(sock)
        sock.bind((address[0], address[1]))
    except OSError:
        sock.close()
        raise
    return sock


class Runtime:
    """Drives one node. All methods are for the trio thread.

    :param sock: from :func:`open_socket`; stays the caller's to close
    :param deliver: is called with each event, from within :meth:`run` or
        the method that caused it; must neither block nor raise
    """

    def __init__(
        self,
        node: nodes.Node,
        sock: socket.socket,
        *,
        deliver: Callable[[events.Event], None],
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = wall_time,
    ) -> None:
        self.node = node
        self._socket = sock
        self._deliver = deliver
        self._clock = clock
        self._wall = wall
        self._wall_offset = wall() - clock()
        self._wall_check_at = clock() + _CLOCK_CHECK_S
        self._changed: Callable[[], None] | None = None
        self._send_errors = 0
        self._refused = False

    @property
    def send_errors(self) -> int:
        """Datagrams that the machine refused to send."""
        return self._send_errors

    def restore(self, stored: Iterable[bytes]) -> None:
        """See :meth:`gossip.node.Node.restore`."""
        self.node.restore(stored, self._clock())
        self._after()

    async def run(self) -> None:
        """Drive the node until cancelled.

        :raises Misuse: it is driven already
        """
        scope = trio.CancelScope()

        def postpone() -> None:
            scope.deadline = self.due()

        self.begin(postpone)
        try:
            while True:
                with trio.CancelScope(deadline=self.due()) as scope:
                    while True:
                        await trio.lowlevel.wait_readable(self._socket)
                        self.turn()
                        scope.deadline = self.due()
                self.turn()
        finally:
            self.end()

    # For whoever drives it: :meth:`run`, or a crowd

    def begin(self, changed: Callable[[], None]) -> None:
        """Whoever drives it from now on hears when :meth:`due` changes.

        :raises Misuse: it is driven already
        """
        if self._changed is not None:
            raise errors.Misuse('the node is driven already')
        self._changed = changed
        self._flush()

    def end(self) -> None:
        """It is driven no more."""
        self._changed = None

    def turn(self) -> None:
        """Take what has come, do what is due, and send."""
        self._check_clock()
        if self._refused:
            self._hear_refusals()
        self._drain()
        self._run_due()
        self._flush()

    def due(self) -> float:
        """When :meth:`turn` must be called at last, on trio's clock."""
        due = self.node.deadline()
        if due is None:
            return math.inf
        return trio.current_time() + max(due - self._clock(), 0.0)

    @property
    def socket(self) -> socket.socket:
        """Readable when :meth:`turn` has something to take."""
        return self._socket

    # What a program wants

    def join(self, seeds: Sequence[descriptor.Address]) -> None:
        """See :meth:`gossip.node.Node.join`."""
        self.node.join(seeds, self._clock())
        self._after()

    def leave(self) -> None:
        """See :meth:`gossip.node.Node.leave`; told when this returns."""
        self.node.leave(self._clock())
        self._after()

    def publish(self, part: str, payload: bytes) -> descriptor.Version:
        """See :meth:`gossip.node.Node.publish`."""
        version = self.node.publish(part, payload, self._clock())
        self._after()
        return version

    def broadcast(self, payload: bytes) -> bytes:
        """See :meth:`gossip.node.Node.broadcast`."""
        news_id = self.node.broadcast(payload, self._clock())
        self._after()
        return news_id

    def set_address(self, address: descriptor.Address) -> None:
        """See :meth:`gossip.node.Node.set_address`."""
        self.node.set_address(address, self._clock())
        self._after()

    def set_credential(
        self, credential: bytes, issuer_credential: bytes | None
    ) -> None:
        """See :meth:`gossip.node.Node.set_credential`."""
        self.node.set_credential(credential, issuer_credential, self._clock())
        self._after()

    def set_ring_keys(self, ring: seal.RingKeys) -> None:
        """See :meth:`gossip.node.Node.set_ring_keys`."""
        self.node.set_ring_keys(ring)

    def revoke(self, peer: descriptor.PeerId) -> bytes:
        """See :meth:`gossip.node.Node.revoke`."""
        revocation = self.node.revoke(peer, self._clock())
        self._after()
        return revocation

    def _after(self) -> None:
        self._flush()
        if self._changed is not None:
            self._changed()

    def _run_due(self) -> None:
        due = self.node.deadline()
        now = self._clock()
        if due is not None and now >= due:
            self.node.on_deadline(now)

    def _drain(self) -> None:
        for _ in range(_DRAIN_MAX):
            try:
                datagram, sender = self._socket.recvfrom(seal.MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:
                self._hear_refusals()
                continue
            self.node.receive(
                datagram,
                descriptor.Address(sender[0], sender[1]),
                self._clock(),
            )

    def _flush(self) -> None:
        for to, datagram in self.node.outgoing():
            self._send(to, datagram)
        for event in self.node.events():
            self._deliver(event)

    def _send(self, to: descriptor.Address, datagram: bytes) -> None:
        for _ in range(_TRIES):
            try:
                self._socket.sendto(datagram, to)
            except ConnectionError:
                # Of an earlier datagram; this one was not sent.
                self._refused = True
            except OSError:
                break
            else:
                return
        self._send_errors += 1

    def _hear_refusals(self) -> None:
        self._refused = False
        for address in unreachable.read(self._socket):
            self.node.unreachable(address, self._clock())

    def _check_clock(self) -> None:
        """Tell the node when the wall clock was set."""
        now = self._clock()
        if now < self._wall_check_at:
            return
        self._wall_check_at = now + _CLOCK_CHECK_S
        wall = self._wall()
        if abs(wall - now - self._wall_offset) > _CLOCK_JUMP_S:
            self._wall_offset = wall - now
            self.node.set_wall_clock(wall, now)
