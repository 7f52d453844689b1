# SPDX-License-Identifier: Apache-2.0
"""How long a gateway waits for what, and how many PCs it asks."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """All times in seconds; every wait of the gateway is named here."""

    claim_width: int = 4
    """PCs asked at once, 1 to 64.  Two choices already take away most of
    the imbalance (Mitzenmacher 2001); Sparrow (Ousterhout et al. 2013)
    samples twice as many workers as it needs.  Four leave room for PCs
    that are asleep."""
    claim_timeout_s: float = 3.0
    """Time a PC has to answer a claim."""
    claim_grace_s: float = 0.3
    """After the first grant, how long better ones are waited for: a
    frozen PC must not slow down a spawn that others can serve."""
    held_wait_s: float = 60.0
    """How long a spawn waits at a stretch while all that fits is held by
    unconfirmed claims; longer than a PC's reservation lasts."""
    held_retry_s: float = 1.0
    """Upper end of the random pause between two tries of that wait."""
    build_timeout_s: float = 300.0
    """Time a PC has to fetch the image and to build."""
    distrust_s: float = 600.0
    """How long a PC that failed to build comes after all others."""
    spawn_timeout_s: float = 900.0
    """Time for all PCs that are tried for one spawn."""
    fresh_timeout_s: float = 3.0
    """Time a PC has to tell the state of an instance."""
    read_timeout_s: float = 20.0
    """Time a PC has for console and diagnostics."""
    action_timeout_s: float = 45.0
    """Time a PC has for an action, beside what the action itself gets."""
    filter_timeout_s: float = 5.0
    """Time a PC has to filter by new rules; then it is told again."""
    snapshot_silence_s: float = 30.0
    """Longest silence of a PC that sends the copy of a disk."""
    destroy_timeout_s: float = 30.0
    """Time a PC has to carry out a tombstone; a deletion that takes
    longer is answered as not yet done."""
    list_timeout_s: float = 10.0
    """Time a PC has to list all that it holds."""
    retry_first_s: float = 1.0
    """Pause after the first failure of what is repeated until it works;
    it doubles."""
    retry_last_s: float = 60.0
    """The longest such pause."""
    settle_s: float = 5.0
    """How long a PC's own answer outweighs records that arrive after it:
    they may have been written before."""
    term_wait_s: float = 3.0
    """How long a request waits for the term of its slice to be renewed:
    somewhat longer than its holder takes from one renewal to the next."""
    group_timeout_s: float = 1.0
    """Time etcd has to say where other gateways have the servers of a
    group; the scheduler, which waits for the answer, has 2 s."""
    poll_limit_s: float = 60.0
    """The longest time that a question for changes is kept open."""


DEFAULTS = Options()
