# SPDX-License-Identifier: Apache-2.0
"""Whatever parts them, they find each other, and no record goes back."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossip import events
from gossip.descriptor import PeerId, Version
from gossip.simulator import NetworkConfig, Simulation

PEERS = 9


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32),
    groups=st.lists(st.integers(0, 3), min_size=PEERS, max_size=PEERS),
    seconds=st.floats(1, 60),
    loss=st.sampled_from([0.0, 0.1]),
    restarted=st.sets(st.integers(1, PEERS - 1), max_size=3),
)
def test_any_partition_heals(
    seed: int,
    groups: list[int],
    seconds: float,
    loss: float,
    restarted: set[int],
) -> None:
    simulation = Simulation(seed, NetworkConfig(loss=loss))
    simulation.add_many(PEERS)
    simulation.run(5)

    simulation.partition(
        *(
            [number for number in range(PEERS) if groups[number] == group]
            for group in range(4)
        )
    )
    simulation.run(seconds)
    for number in sorted(restarted):
        simulation.restart(number, [0])
    for number in range(PEERS):
        simulation.publish(number, 'a', b'%d' % number)
    simulation.run(1)
    simulation.partition()

    simulation.run_until(
        lambda: (
            simulation.is_whole()
            and all(
                simulation.all_have(number, 'a', b'%d' % number)
                for number in range(PEERS)
            )
        ),
        30,
    )
    seen: dict[tuple[int, PeerId, str], Version] = {}
    for one in simulation.trace:
        if isinstance(one.event, events.RecordChanged):
            key = one.number, one.event.peer, one.event.part
            if one.number not in restarted:
                assert seen.get(key, Version(-1, -1)) < one.event.version
            seen[key] = one.event.version
