# SPDX-License-Identifier: Apache-2.0
"""A PC commanded in any order, its daemon ended anywhere, at any time.

Every command meets a daemon that has just started and that may end after
any durable step; requests come late, twice, with old epochs, or from a
gateway whose term is over.
"""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.hypervisor import Power
from p2pcs_nova.peer.steps import Step
from tests.support.fake_hypervisor import FakeHypervisor
from tests.support.one_peer import (
    RULES,
    FilterTable,
    OnePeer,
    image_of,
    one_peer,
    spec_of,
)

CONTENT = b'an image' * 64
# The sizes are such that two of the three fit.
NEED = wire.Capacity(2, 128, 64)
OFFER = wire.Capacity(RULES.vcpus or 0, RULES.memory_mb or 0, 8192)
SPECS = [spec_of(image_of(CONTENT), need=NEED) for _ in range(3)]
ALIVE = (
    wire.InstanceState.PLUGGED,
    wire.InstanceState.RUNNING,
    wire.InstanceState.PAUSED,
    wire.InstanceState.STOPPED,
    wire.InstanceState.CRASHED,
    wire.InstanceState.WAITING,
    wire.InstanceState.QUARANTINED,
)


class PowerCutError(BaseException):
    """Nothing in the daemon catches this one."""


Command = Callable[[OnePeer], Awaitable[object]]
specs = st.sampled_from(SPECS)
epochs = st.integers(1, 3)
terms = st.integers(1, 3)
fuses = st.none() | st.tuples(st.sampled_from(Step), st.integers(1, 2))
# Most of its steps have passed before: aim at those of a burial.
burial_fuses = st.none() | st.tuples(
    st.sampled_from(
        [
            Step.TOMBSTONE_STORED,
            Step.POWER_CUT,
            Step.DOMAIN_UNDEFINED,
            Step.FILTERS_REMOVED,
            Step.FOLDER_REMOVED,
            Step.RIGHT_FORGOTTEN,
        ]
    ),
    st.just(1),
)
methods = st.sampled_from(
    ['define', 'start_paused', 'resume', 'cut_power', 'undefine']
)
Fuse = tuple[Step, int] | None


class RestartedPc(RuleBasedStateMachine):
    """What outlives the daemon, and what its gateway was told."""

    def __init__(self) -> None:
        super().__init__()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix='p2pcs-'))
        (self.root / 'sysfs/br0/bridge').mkdir(parents=True)
        self.hypervisor = FakeHypervisor()
        self.table = FilterTable()
        self.buried: dict[str, wire.Counter] = {}
        self.statuses: tuple[wire.InstanceStatus, ...] = ()
        self.used = wire.Capacity()
        self.term = 1
        """The highest that the PC has stored."""
        self.passed: set[Step] = set()
        """Steps since the last command."""

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @contextlib.asynccontextmanager
    async def daemon(self, fuse: Fuse) -> AsyncIterator[OnePeer]:
        left = fuse[1] if fuse else 0

        def passed(step: Step, instance: str) -> None:
            nonlocal left
            self.passed.add(step)
            if fuse and step is fuse[0]:
                left -= 1
                if left == 0:
                    raise PowerCutError

        async with one_peer(
            self.root / 'state',
            self.hypervisor,
            self.table.apply,
            [CONTENT],
            sysfs=self.root / 'sysfs',
            passed=passed,
        ) as peer:
            await peer.wait(lambda: peer.service.offer().total == OFFER)
            yield peer

    async def order(self, command: Command, fuse: Fuse, term: int) -> bool:
        """Send a command to a fresh daemon; whether it was confirmed."""
        confirmed = False
        try:
            async with self.daemon(fuse) as peer:
                peer.command = wire.Command('gold', wire.Counter(1, term))
                with contextlib.suppress(errors.P2PcsError):
                    await command(peer)
                    confirmed = True
        except BaseExceptionGroup as group:
            _, rest = group.split((PowerCutError, errors.Unavailable))
            if rest is not None:
                raise rest from None
        return confirmed

    async def settle(self) -> None:
        """Another daemon puts right what is left; no guest notices."""
        before = {
            name: domain.power for name, domain in self.hypervisor.rows.items()
        }
        async with self.daemon(None) as peer:
            self.statuses = peer.service.statuses()
            self.used = peer.service.used()
        away = {
            status.instance
            for status in self.statuses
            if status.state is wire.InstanceState.QUARANTINED
        }
        for name, domain in self.hypervisor.rows.items():
            assert domain.power is before[name] or name in away
            assert name not in away or domain.power is not Power.RUNNING

    def do(self, command: Command, term: int, fuse: Fuse = None) -> bool:
        async def run() -> bool:
            self.passed.clear()
            confirmed = await self.order(command, fuse, term)
            await self.settle()
            return confirmed

        confirmed = trio.run(run)
        assert not confirmed or term >= self.term
        if confirmed or Step.TERM_STORED in self.passed:
            self.term = max(self.term, term)
        return confirmed

    @rule(spec=specs, n=epochs, term=terms, fuse=fuses)
    def place(
        self, spec: wire.InstanceSpec, n: int, term: int, fuse: Fuse
    ) -> None:
        self.do(lambda peer: peer.place(spec, n), term, fuse)

    @rule(
        spec=specs,
        n=epochs,
        action=st.sampled_from(wire.Action),
        term=terms,
        fuse=fuses,
    )
    def act(
        self,
        spec: wire.InstanceSpec,
        n: int,
        action: wire.Action,
        term: int,
        fuse: Fuse,
    ) -> None:
        self.do(lambda peer: peer.act(spec, action, n), term, fuse)

    @rule(spec=specs, n=epochs, term=terms, fuse=burial_fuses)
    def bury(
        self, spec: wire.InstanceSpec, n: int, term: int, fuse: Fuse
    ) -> None:
        confirmed = self.do(lambda peer: peer.bury(spec, n), term, fuse)
        # A tombstone that was stored counts, whatever came after it.
        if confirmed or Step.TOMBSTONE_STORED in self.passed:
            epoch = wire.Counter(1, n)
            known = self.buried.get(spec.instance, epoch)
            self.buried[spec.instance] = max(known, epoch)

    @rule(spec=specs, n=epochs, method=methods)
    def place_while_libvirt_fails(
        self, spec: wire.InstanceSpec, n: int, method: str
    ) -> None:
        async def command(peer: OnePeer) -> None:
            self.hypervisor.failing_at[method] = errors.HypervisorBusy('')
            try:
                await peer.place(spec, n)
            finally:
                self.hypervisor.failing_at.clear()

        self.do(command, self.term)

    @rule()
    def cut_power_of_the_pc(self) -> None:
        for name in self.hypervisor.rows:
            self.hypervisor.set_power(name, Power.COLD)
        self.table.vifs = []
        trio.run(self.settle)

    @invariant()
    def no_more_is_promised_than_offered(self) -> None:
        assert OFFER.fits(self.used)

    @invariant()
    def every_domain_has_the_one_right_that_is_known(self) -> None:
        alive = {
            status.instance: status.epoch
            for status in self.statuses
            if status.state in ALIVE
        }
        assert alive == {
            name: domain.mark.epoch
            for name, domain in self.hypervisor.rows.items()
        }

    @invariant()
    def nothing_that_was_destroyed_is_left(self) -> None:
        for status in self.statuses:
            buried = self.buried.get(status.instance)
            assert buried is None or status.epoch > buried

    @invariant()
    def filters_and_folders_are_those_of_the_domains(self) -> None:
        names = set(self.hypervisor.rows)
        vifs = {
            vif for spec in SPECS if spec.instance in names
            for vif in spec.vifs
        }  # fmt: skip
        assert set(self.table.vifs) == vifs
        instances = self.root / 'state/instances'
        if instances.exists():
            assert {p.name.partition('_')[0] for p in instances.iterdir()} == (
                names
            )


RestartedPc.TestCase.settings = settings(
    max_examples=12, stateful_step_count=10, deadline=None
)
TestRestartedPc = RestartedPc.TestCase
