# SPDX-License-Identifier: Apache-2.0
"""The nova-compute of one slice: what it is told, its life and its end.

It dies with us; and by itself when the file of its term is not renewed in
time, should that be too late.  One that stands still as a whole,
frozen perhaps, is killed: its slice waits for the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import signal
import subprocess

import msgspec
import trio

from p2pcs_nova import children, files, wire

LOG = logging.getLogger(__name__)

STOP_S = 15.0
"""Time that a nova-compute has to end by itself; then it is killed."""
HUNG_S = 15.0
"""So long one that runs may give no sign of life; then it is killed."""
FIRST_S = 300.0
"""So long it may be about its first one: many may start at once, and wait
for Nova."""
BEAT_S = 1.0
"""Between two looks for one."""
REAP_S = 30
"""Between two looks for guests of servers that Nova has no more."""
HEARTBEAT_S = 10
"""Seconds after which RabbitMQ takes back what a dead one had asked for."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How the nova-computes of a gateway are started."""

    program: str
    config_files: tuple[str, ...]
    """For all slices."""
    folder: pathlib.Path
    log_folder: pathlib.Path | None
    """None: they write where we write."""
    socket: str
    """Of the gateway's daemon."""

    def home(self, slice_: str) -> pathlib.Path:
        """What is proper to a slice."""
        return self.folder / slice_

    def term_file(self, slice_: str) -> pathlib.Path:
        """By which term its nova-compute acts, and until when."""
        return self.home(slice_) / 'term'

    def beat_file(self, slice_: str) -> pathlib.Path:
        """Touched as long as its nova-compute lives; there when it does."""
        return self.home(slice_) / 'beat'

    def command(self, slice_: str) -> list[str]:
        """What is started for a slice."""
        own = str(self.home(slice_) / 'nova.conf')
        arguments = [
            word
            for path in (*self.config_files, own)
            for word in ('--config-file', path)
        ]
        return [self.program, *arguments]


def slice_configuration(options: Options, slice_: str) -> str:
    """The part of nova.conf that is proper to a slice."""
    state = options.home(slice_) / 'state'
    return '\n'.join(
        (
            '# Written by p2pcs-gateway at each start.',
            '[DEFAULT]',
            f'host = {slice_}',
            'compute_driver = p2pcs.P2PDriver',
            f'state_path = {state}',
            'force_config_drive = true',
            # What happened while it was away is looked for at once.
            'periodic_fuzzy_delay = 0',
            # A server that was deleted while no nova-compute was up: that it
            # is looked for at once is in vain if the daemon is not ready.
            f'running_deleted_instance_poll_interval = {REAP_S}',
            # Owners have kept their memory already.
            'reserved_host_memory_mb = 0',
            '[oslo_concurrency]',
            f'lock_path = {state / "locks"}',
            '[oslo_messaging_rabbit]',
            f'heartbeat_timeout_threshold = {HEARTBEAT_S}',
            '[workarounds]',
            # It would check by slice what our driver keeps by PC.
            'disable_group_policy_check_upcall = true',
            '[p2pcs]',
            f'socket = {options.socket}',
            f'slice = {slice_}',
            f'term_file = {options.term_file(slice_)}',
            '',
        )
    )


class Compute:
    """The one nova-compute of a slice's term; blocks on a local disk."""

    def __init__(self, options: Options, slice_: str) -> None:
        self._options = options
        self._slice = slice_
        self._process: subprocess.Popen[bytes] | None = None
        self._beat = options.beat_file(slice_)
        self._alive_since: float | None = None
        """When it gave its first sign of life."""

    @property
    def lived_s(self) -> float:
        """Seconds since its first sign of life; 0: it has given none."""
        if self._alive_since is None:
            return 0.0
        return trio.current_time() - self._alive_since

    def renew(self, held: wire.HeldTerm) -> None:
        """Let it act by this term until then.

        :raises OSError: that cannot be written; it ends when its time is over
        """
        path = self._options.term_file(self._slice)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.put(path, msgspec.json.encode(held))

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def keep(self) -> float:
        """Start it; cancelled, end it.

        :returns: :attr:`lived_s`, once it has ended by itself
        """
        began = trio.current_time()
        try:
            code = await self._run()
        except OSError as error:
            LOG.warning(
                'slice %s: no nova-compute can be started: %s',
                self._slice,
                error,
            )
            return 0.0
        LOG.warning(
            'slice %s: nova-compute has ended (%s) after %.0f s',
            self._slice,
            code,
            trio.current_time() - began,
        )
        return self.lived_s

    async def _run(self) -> int:
        """From its start to its end, which comes with ours."""
        self._process = process = self._start()
        LOG.info('slice %s: nova-compute is %d', self._slice, process.pid)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_if_hung, process)
                code = await children.wait(process)
                nursery.cancel_scope.cancel()
            return code
        finally:
            with trio.CancelScope(shield=True):
                await self._stop(process)

    async def _end_if_hung(self, process: subprocess.Popen[bytes]) -> None:
        beat: int | None = None
        since = trio.current_time()
        while trio.current_time() - since < (HUNG_S if beat else FIRST_S):
            await trio.sleep(BEAT_S)
            last, beat = beat, _changed_at(self._beat)
            if beat != last:
                since = trio.current_time()
                self._alive_since = self._alive_since or since
        LOG.warning('slice %s: nova-compute does nothing: killed', self._slice)
        process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start it.

        :raises OSError: something that it needs cannot be written; a
            program that is not there ends at once instead, with 127
        """
        home = self._options.home(self._slice)
        for part in ('instances', 'locks'):
            (home / 'state' / part).mkdir(parents=True, exist_ok=True)
        (home / 'nova.conf').write_text(
            slice_configuration(self._options, self._slice)
        )
        self._beat.unlink(missing_ok=True)
        with contextlib.ExitStack() as stack:
            log = None
            if (folder := self._options.log_folder) is not None:
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f'nova-compute-{self._slice}.log'
                log = stack.enter_context(path.open('ab'))
            return children.start(
                self._options.command(self._slice),
                stdout=log,
                stderr=log,
                cwd='/',
            )

    async def _stop(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_S):
                await children.wait(process)
        if process.poll() is None:
            LOG.warning('slice %s: nova-compute is killed', self._slice)
            process.kill()
            await children.wait(process)


def _changed_at(path: pathlib.Path) -> int | None:
    """When a file was touched; None: never."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
