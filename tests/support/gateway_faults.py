# SPDX-License-Identifier: Apache-2.0
"""What may become of the second of two gateways, for a while."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator

from devstack.lab import compute, machines, network, processes, services
from devstack.lab.layout import GATEWAY, SWITCH
from tests.support import pcs, programs
from tests.support.second_gateway import Pair

Fault = Callable[[Pair, str], contextlib.AbstractContextManager[None]]
"""By the pair, and the name of the slice that the second one serves."""


@contextlib.contextmanager
def killed(pair: Pair, slice_name: str) -> Iterator[None]:
    """The gateway program is killed, and started again afterwards."""
    pid = programs.tree(pair.second, compute.GATEWAY)[0]
    processes.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        pair.start_second()


@contextlib.contextmanager
def frozen(
    what: tuple[str, ...], pair: Pair, slice_name: str
) -> Iterator[None]:
    """Programs do nothing for a while, then go on where they were."""
    names = [name.format(slice_name) for name in what]
    pids = []
    for name in names:
        running = services.find(pair.second, name)
        assert running is not None
        pids += running.pids()
    for pid in pids:
        processes.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            processes.kill(pid, signal.SIGCONT)
        services.send(pair.second, compute.GATEWAY, signal.SIGCONT)


@contextlib.contextmanager
def unplugged(pair: Pair, slice_name: str) -> Iterator[None]:
    """Its cable is out for a while."""
    switch = machines.get(pair.lab.layout, SWITCH)
    network.set_link(switch, GATEWAY, up=False)
    try:
        yield
    finally:
        network.set_link(switch, GATEWAY, up=True)


@contextlib.contextmanager
def compute_killed(pair: Pair, slice_name: str) -> Iterator[None]:
    """The slice's nova-compute is killed; its gateway starts another."""
    running = services.find(pair.second, COMPUTE.format(slice_name))
    assert running is not None
    for pid in running.pids():
        processes.kill(pid, signal.SIGKILL)
    yield


SUPERVISOR, COMPUTE = compute.GATEWAY, 'nova-compute-{}'
FAULTS: dict[str, Fault] = {
    'killed': killed,
    'supervisor frozen': functools.partial(frozen, (SUPERVISOR,)),
    'both frozen': functools.partial(frozen, (SUPERVISOR, COMPUTE)),
    'all frozen': functools.partial(frozen, (pcs.DAEMON, SUPERVISOR, COMPUTE)),
    'unplugged': unplugged,
}
"""After which the first one serves the slice."""
COMPUTE_FAULTS: dict[str, Fault] = {
    'frozen': functools.partial(frozen, (COMPUTE,)),
    'killed': compute_killed,
}
"""After which the second one serves it with another nova-compute."""
