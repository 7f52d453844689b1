# SPDX-License-Identifier: Apache-2.0
"""From the wish for a server to its user logged in: beside stock Nova.

The same flavor, image and network, in turn on a slice and on a host with
Nova's own libvirt driver, which is made for the occasion: the
administrator says which, in the project of demo.  Nothing else should use
the lab meanwhile: a server without a wish may land there.
Goal: at most 1.2 times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from devstack.lab import passwords
from devstack.lab.errors import LabError
from devstack.lab.inside.cloud import connect
from devstack.lab.layout import SLICES
from tests.benchmarks import conditions
from tests.benchmarks.stock import stock_host
from tests.support import lab as support
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

OURS = SLICES[0]
KEY_NAME = 'bench'
FLAVOR = 'm1.tiny'
PAIRS = 5
GOAL = 1.2
STEP_TIMEOUT_S = 240.0
POLL_S = 0.1


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds since the request was sent.

    :param active: Nova says ACTIVE
    :param prompt: the console shows a login prompt
    :param login: a command has run over ssh
    """

    active: float
    prompt: float
    login: float

    def __str__(self) -> str:
        return f'{self.active:.1f} / {self.prompt:.1f} / {self.login:.1f} s'


@contextlib.contextmanager
def chooser(lab: Lab) -> Iterator[Lab]:
    """The lab for one who may choose a host in demo's project."""
    words = passwords.load(lab.layout.passwords)
    cloud = connect('admin', words['admin'], 'demo')
    compute: Any = cloud.compute
    public = lab.layout.key.with_suffix('.pub').read_text().strip()
    compute.create_keypair(name=KEY_NAME, public_key=public)
    try:
        yield dataclasses.replace(lab, demo=cloud)
    finally:
        compute.delete_keypair(KEY_NAME)


def boot(lab: Lab, name: str, host: str) -> Times:
    """Boot a server, log in, and delete it again."""
    with Bench(lab) as bench:
        begin = time.monotonic()
        server_id = bench.create(
            name,
            FLAVOR,
            availability_zone=f'nova:{host}',
            key_name=KEY_NAME,
        )
        until(
            lambda: bench.show(server_id).status != 'BUILD',
            STEP_TIMEOUT_S,
            POLL_S,
        )
        active = time.monotonic() - begin
        bench.wait(server_id)
        until(lambda: prompted(lab, server_id, name), STEP_TIMEOUT_S, POLL_S)
        prompt = time.monotonic() - begin
        address = bench.get(server_id).address
        until(lambda: logged_in(lab, address), STEP_TIMEOUT_S, POLL_S)
        return Times(active, prompt, time.monotonic() - begin)


def prompted(lab: Lab, server_id: str, name: str) -> bool:
    """Whether the console asks for a user."""
    answer = lab.demo.compute.get_server_console_output(server_id)
    return f'{name} login:' in answer['output']


def logged_in(lab: Lab, address: str) -> bool:
    """Whether the key opens a session."""
    with contextlib.suppress(LabError):
        lab.ssh(address, 'true')
        return True
    return False


def compare(
    what: str, ours: Sequence[float], stock: Sequence[float]
) -> list[str]:
    """The lines of one figure."""
    ratio = statistics.median(ours) / statistics.median(stock)
    return [
        f'  {what}: {ratio:.2f} times as long',
        f'    ours  {conditions.spread(ours, "s")}',
        f'    stock {conditions.spread(stock, "s")}',
    ]


def main() -> None:
    """Boot in turn, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pairs', type=int, default=PAIRS)
    pairs: int = parser.parse_args().pairs
    the_lab = support.attach(conditions.lab_layout())
    ours: list[Times] = []
    stock: list[Times] = []
    with stock_host(the_lab) as other, chooser(the_lab) as lab:
        for host in (OURS, other):
            boot(lab, 'bench-warm', host)
        before = conditions.describe()
        print('Request to ACTIVE / login prompt / login')
        for number in range(pairs):
            ours.append(boot(lab, f'bench-ours-{number}', OURS))
            stock.append(boot(lab, f'bench-stock-{number}', other))
            print(
                f'  {number + 1}: ours {ours[-1]}, stock {stock[-1]}',
                flush=True,
            )
    print(f'POST /servers to login, {pairs} pairs in turn, medians, {FLAVOR}')
    print(before)
    for what in ('active', 'prompt', 'login'):
        lines = compare(
            f'request to {what}',
            [getattr(times, what) for times in ours],
            [getattr(times, what) for times in stock],
        )
        print('\n'.join(lines))
    print(f'  goal: {GOAL} times')


if __name__ == '__main__':
    main()
