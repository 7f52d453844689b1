# SPDX-License-Identifier: Apache-2.0
"""Both decoders, fuzzed by inputs that coverage chooses."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

import msgspec
import pytest

from gossip import codec, messages
from gossip.descriptor import Status
from p2pcs_nova import wire
from tests.conftest import Figure
from tests.support.figures import Figures
from tests.support.gossip_case import Case

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
REQUIREMENTS = ROOT / 'tests' / 'support' / 'fuzz-requirements.txt'
RUNS = 300_000
TIMEOUT_S = 900.0
_DONE = re.compile(r'Done (\d+) runs in (\d+) second')


@pytest.fixture(scope='session')
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the fuzzer is installed: nothing else needs it."""
    target = tmp_path_factory.mktemp('fuzzer')
    subprocess.run(
        [
            *(sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps'),
            *('--target', str(target), '--requirement', str(REQUIREMENTS)),
        ],
        check=True,
        timeout=TIMEOUT_S,
    )
    return target


def fuzz(
    fuzzer: pathlib.Path,
    folder: pathlib.Path,
    module: str,
    seeds: Sequence[bytes],
) -> tuple[int, float]:
    """Try inputs, from these on; how many, and in how many seconds."""
    corpus = folder / 'corpus'
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f'{number}').write_bytes(seed)
    done = subprocess.run(
        [
            *(sys.executable, '-m', f'tests.support.{module}', str(corpus)),
            *(f'-runs={RUNS}', f'-artifact_prefix={folder}/'),
        ],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': f'{fuzzer}:{ROOT}'},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    match = _DONE.search(done.stderr)
    assert match is not None, done.stderr[-4000:]
    return int(match[1]), float(match[2])


def datagrams() -> list[bytes]:
    """What a member might say to the node that is fuzzed."""
    case = Case()
    other = case.other
    peer = case.who.peer
    said: list[list[messages.Message]] = [
        [other.member(), messages.Hello(True)],
        [other.record(b'x'), messages.Ping(1, 2)],
        [other.claim(Status.SUSPECT, peer), messages.Ack(1, 2)],
        [messages.PingRequest(1, peer), messages.Nack(1)],
        [messages.Introduce(), messages.Bulk()],
        [messages.Buckets(tuple(range(16)))],
        [messages.Have(bytes(16), b'\xff' * 16, ())],
        [messages.Want((messages.WantItem(peer, ''),))],
        [messages.IssuerItem(case.overlay.issuer_credential)],
        [
            messages.RevocationItem(
                *other.sign(messages.Revocation(peer, 1_800_000_000)),
                other.who.credential,
            )
        ],
    ]
    return [b'\x40' + codec.encode_all(many) for many in said]


def bodies() -> list[bytes]:
    """Requests as they should be, by the number of their type."""
    uuid = '11111111-1111-4111-8111-111111111111'
    need = wire.Capacity(1, 64, 64)
    image = wire.Image('sha256:' + 64 * '0', 'raw', 1)
    spec = wire.InstanceSpec(uuid, 'nobody', need, image, 64)
    signed = wire.Signed(b'{}', '0' * 32, bytes(64))
    claim = wire.Claim(uuid, need, ('office',), image.digest)
    term = wire.Counter(1, 2)
    said: list[msgspec.Struct] = [
        claim,
        wire.BuildRequest(uuid, signed, spec),
        wire.ActionRequest(wire.Action.STOP, 1.0, term),
        wire.Tombstone(uuid, term),
        wire.SpawnRequest(claim, spec),
        wire.JoinRequest('0' * 32, 'a', bytes(32), b'', 'pc', 1, 0.0),
        wire.TokenRequest(),
        wire.DrainRequest(True),
        wire.LeaveRequest(),
        wire.Command('gold', term),
    ]
    return [
        bytes([number]) + msgspec.json.encode(one)
        for number, one in enumerate(said)
    ]


@pytest.mark.parametrize('what', ['datagrams', 'requests'])
def test_no_input_that_coverage_finds_is_more_than_refused(
    fuzzer: pathlib.Path,
    tmp_path: pathlib.Path,
    figure: Figure,
    figures: Figures,
    what: str,
) -> None:
    seeds = datagrams() if what == 'datagrams' else bodies()
    tried, seconds = fuzz(fuzzer, tmp_path, f'fuzz_{what}', seeds)
    assert tried >= RUNS
    figures.count_inputs(f'{what}, chosen by coverage', tried)
    figure(f'to try {what}, chosen by coverage', seconds)
