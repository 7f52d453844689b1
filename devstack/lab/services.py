# SPDX-License-Identifier: Apache-2.0
"""Start, watch and stop the programs that run in machines.

A service is a child of the nsenter that brought it into its machine;
that nsenter keeps the service's name in its environment, which is how a
later run finds it.  The nova-compute of a slice is kept by the gateway
program, and found by what it is told.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import pathlib
import signal
import subprocess
from collections.abc import Mapping

from devstack.lab import processes
from devstack.lab.errors import LabError
from devstack.lab.layout import CONTROL_ADDRESS, Layout
from devstack.lab.machines import Machine
from devstack.lab.shell import CLEAN_ENVIRONMENT, tail_of_file
from devstack.lab.waiting import wait_until

MARK = 'P2PCS_LAB_SERVICE'
FINGERPRINT = 'P2PCS_LAB_FINGERPRINT'
KEPT = 'nova-compute-'
KEEPER = 'setpriv'
BEGIN_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
HTTP_TIMEOUT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Service:
    """A program that runs in a machine until it is stopped.

    :param env: beside the clean environment
    :param configuration: files whose change asks for a restart
    :param port: it is up when this TCP port listens in its machine, ...
    :param http_port: ... and an HTTP server answers at this one, ...
    :param ready_path: ... a UNIX socket listens here in its machine, ...
    :param ready_line: ... and this is in its log since its start
    :param fatal_line: this in its log means that it will never be up
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    configuration: tuple[pathlib.Path, ...] = ()
    port: int | None = None
    http_port: int | None = None
    ready_line: str | None = None
    ready_path: str | None = None
    fatal_line: str | None = None
    timeout_s: float = 120.0

    def fingerprint(self) -> str:
        """Changes when the service would run otherwise than it does."""
        digest = hashlib.sha256(repr(self.argv).encode())
        digest.update(repr(sorted(self.env.items())).encode())
        for path in self.configuration:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Running:
    """A service that is alive.

    :param outer: the nsenter above it; itself if it is kept
    """

    outer: int
    fingerprint: str
    is_kept: bool = False

    def pids(self) -> list[int]:
        """The service's own first process (seen from outside)."""
        if self.is_kept:
            return [self.outer]
        return processes.children(self.outer)


def kept_name(slice_name: str) -> str:
    """The name here of the nova-compute of a slice."""
    return f'{KEPT}{slice_name}'


def _mark(machine: Machine, name: str) -> str:
    return f'{machine.lab}:{machine.name}:{name}'


def find(machine: Machine, name: str) -> Running | None:
    """The service, if it is alive in the machine."""
    for process in processes.processes():
        if process.argv[:2] != ('nsenter', f'--target={machine.init}'):
            continue
        env = processes.environment(process.pid)
        ours = processes.is_ours(process.pid)
        if ours and env.get(MARK) == _mark(machine, name):
            return Running(process.pid, env.get(FINGERPRINT, ''))
    return _find_kept(machine, name)


def _find_kept(machine: Machine, name: str) -> Running | None:
    """The nova-compute of a slice that the gateway program has started."""
    if not name.startswith(KEPT):
        return None
    own = f'/{name.removeprefix(KEPT)}/nova.conf'
    for process in processes.members(machine.init):
        argv = process.argv
        if argv and argv[-1].endswith(own) and argv[0] != KEEPER:
            return Running(process.pid, '', is_kept=True)
    return None


def ensure(layout: Layout, machine: Machine, service: Service) -> None:
    """Have the service alive and up, as it is configured now.

    :raises LabError: it ended, or was not up in time; the text ends with
        the last lines of its log
    """
    log = layout.log(machine.name, service.name)
    running = find(machine, service.name)
    if running and running.fingerprint != service.fingerprint():
        stop(machine, service.name)
        running = None
    fresh = running is None
    if fresh:
        _start(machine, service, log)
    else:
        send(machine, service.name, signal.SIGCONT)
    try:
        wait_until(
            lambda: _is_up(machine, service, log if fresh else None),
            f'{machine.name}: {service.name} is up',
            service.timeout_s,
        )
    except LabError as error:
        raise LabError(f'{error}\n{tail_of_file(log)}') from error


def _start(machine: Machine, service: Service, log: pathlib.Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix('.log.1'))
    if service.ready_path is not None:
        # One that was killed has left it: it is no sign of life.
        machine.path(service.ready_path).unlink(missing_ok=True)
    env = {
        **CLEAN_ENVIRONMENT,
        **service.env,
        MARK: _mark(machine, service.name),
        FINGERPRINT: service.fingerprint(),
    }
    with log.open('wb') as stream:
        outer = subprocess.Popen(
            machine.enter(*service.argv),
            env=env,
            cwd='/',
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    # An environment can be read a moment after the program has begun.
    wait_until(
        lambda: (
            find(machine, service.name) is not None or outer.poll() is not None
        ),
        f'{machine.name}: {service.name} begins',
        BEGIN_TIMEOUT_S,
    )
    outer.returncode = 0  # it outlives us: nothing to wait for


def _is_up(
    machine: Machine, service: Service, log: pathlib.Path | None
) -> bool:
    if find(machine, service.name) is None:
        raise LabError(f'{machine.name}: {service.name} has ended')
    if log is not None and not _says_ready(service, log):
        return False
    port, http_port = service.port, service.http_port
    path = service.ready_path
    return (
        (port is None or port in processes.listening(machine.init))
        and (path is None or machine.path(path).exists())
        and (http_port is None or answers(http_port))
    )


def _says_ready(service: Service, log: pathlib.Path) -> bool:
    text = log.read_text(errors='replace')
    if service.fatal_line is not None and service.fatal_line in text:
        raise LabError(f'{service.name} cannot start')
    return service.ready_line is None or service.ready_line in text


def answers(port: int) -> bool:
    """Whether an API of the control plane answers over the LAN."""
    connection = http.client.HTTPConnection(
        CONTROL_ADDRESS, port, timeout=HTTP_TIMEOUT_S
    )
    try:
        connection.request('GET', '/')
        return connection.getresponse().status in (200, 300, 302, 401)
    except OSError:
        return False
    finally:
        connection.close()


def send(machine: Machine, name: str, number: signal.Signals) -> None:
    """Send a signal to a service.

    The nsenter above stops with it, so SIGCONT goes to both.
    """
    running = find(machine, name)
    if running is None:
        if number == signal.SIGCONT:
            return  # it has ended meanwhile
        raise LabError(f'{machine.name}: {name} is not alive')
    for pid in running.pids():
        processes.kill(pid, number)
    if number == signal.SIGCONT:
        processes.kill(running.outer, number)


def stop(machine: Machine, name: str) -> None:
    """End a service: SIGTERM first, SIGKILL when it takes too long."""
    if find(machine, name) is None:
        return
    send(machine, name, signal.SIGTERM)
    send(machine, name, signal.SIGCONT)  # one that is frozen hears nothing
    try:
        wait_until(
            lambda: find(machine, name) is None,
            f'{machine.name}: {name} has ended',
            STOP_TIMEOUT_S,
        )
    except LabError:
        send(machine, name, signal.SIGKILL)
        wait_until(
            lambda: find(machine, name) is None,
            f'{machine.name}: {name} is killed',
            STOP_TIMEOUT_S,
        )
