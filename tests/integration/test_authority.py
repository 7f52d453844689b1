# SPDX-License-Identifier: Apache-2.0
"""Who may ask a PC for what, tried with the lab's real identities.

What is refused is counted by its reason, and nothing comes of it.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import os
import pathlib
import random
import socket
import ssl
import uuid
from collections.abc import Iterator

import pytest
import trio

from devstack.lab import overlay
from devstack.lab.layout import CONTROL_ADDRESS, pc_address
from gossip import codec, messages, seal, signing, throwaway
from gossip.credential import Trust, overlay_id
from p2pcs_nova import errors, names, wire
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.identity import ca, keys, tls, token
from p2pcs_nova.identity.authority import Authority
from p2pcs_nova.identity.joining import make_request
from p2pcs_nova.identity.seeking import Joiner
from p2pcs_nova.identity.store import IdentityStore
from p2pcs_nova.wall import utc_now
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.members import Members
from tests.support.waiting import until

pytestmark = pytest.mark.lab

PORT = 7400
COMMANDS = {
    'claim', 'release', 'build', 'action', 'filter', 'tombstone',
    'instances', 'console', 'diagnostics',
}  # fmt: skip


def current_term(lab: Lab, target: str) -> wire.Counter:
    """The term of the slice that a PC is in."""
    row = pcs.peer_row(lab, target)
    assert row is not None
    term = pcs.slice_summary(lab, row.slice).term
    assert term is not None
    return term


Held = tuple[wire.Capacity, tuple[wire.InstanceStatus, ...], str]


def held(lab: Lab, name: str) -> Held:
    """What a PC has promised, and to whom."""
    now = pcs.status(pcs.pcs(lab)[name])
    return now.used, now.instances, now.slice


@contextlib.contextmanager
def refusing(
    lab: Lab, reasons: dict[str, int], target: str = 'pc2'
) -> Iterator[None]:
    """A PC counts just these refusals, and holds what it held before."""
    before = held(lab, target)
    counted = collections.Counter(dict(refused(lab, target)))
    yield
    until(lambda: refused(lab, target) - counted == reasons)
    assert held(lab, target) == before


def refused(lab: Lab, name: str) -> collections.Counter[str]:
    """What a machine has refused since its daemon started."""
    machine = lab.control if name == 'control' else pcs.pcs(lab)[name]
    return collections.Counter(dict(pcs.status(machine).refused))


def test_a_pc_may_command_no_other_pc(lab: Lab) -> None:
    term = current_term(lab, 'pc2')
    with refusing(lab, {'forbidden': len(COMMANDS)}):
        codes = pcs.ask_as(lab, lab.pc(1), 'pc2', wire.Counter(term.era, 99))
    assert codes.pop('status') == ''
    assert codes == dict.fromkeys(COMMANDS, 'forbidden')
    # Nor has the high term that it named done harm.
    assert current_term(lab, 'pc2') == term


def test_a_stale_term_is_refused(lab: Lab) -> None:
    term = current_term(lab, 'pc2')
    before = wire.Counter(term.era, term.n - 1)
    # The PC hears of the term first, if the gateway has just begun.
    codes = pcs.ask_as(lab, lab.control, 'pc2', term, 'instances')
    assert codes == {'instances': ''}
    with refusing(lab, {'stale-term': len(COMMANDS)}):
        codes = pcs.ask_as(lab, lab.control, 'pc2', before)
    assert codes.pop('status') == ''
    assert codes == dict.fromkeys(COMMANDS, 'stale-term')


def test_no_term_no_right_and_a_past_epoch_are_refused(lab: Lab) -> None:
    term = current_term(lab, 'pc2')
    wanted = {
        'unspoken': 'malformed',
        'build': 'bad-run-right',
        'buried': 'stale-epoch',
    }
    with refusing(lab, dict.fromkeys(wanted.values(), 1)):
        codes = pcs.ask_as(lab, lab.control, 'pc2', term, *wanted)
    assert codes == wanted


def ask_with(lab: Lab, context: ssl.SSLContext) -> str:
    """What pc2 answers to a claim with this certificate."""
    row = pcs.peer_row(lab, 'pc2')
    assert row is not None
    command = wire.Command(row.slice, current_term(lab, 'pc2'))
    claim = wire.Claim(str(uuid.uuid4()), wire.Capacity(1, 64, 64))

    async def ask() -> None:
        async with RemoteClient(
            (pc_address(2), PORT), row.peer, 'peer', 'lab', context, command
        ) as pc:
            await pc.claim(claim)

    try:
        trio.run(ask)
    except errors.P2PcsError as error:
        return error.code
    return ''


def signed_by_root(
    lab: Lab, folder: pathlib.Path, role: str, *, expired: bool = False
) -> ssl.SSLContext:
    """A certificate that only the holder of the root's key can make."""
    authority = Authority(lab.layout.control / 'ca')
    root = authority.root
    now = utc_now()
    if expired:
        # It was good for the first minute of the root's own time.
        now = root.not_valid_before_utc - ca.GATEWAY_LIFETIME
        now += datetime.timedelta(minutes=1)
    key = keys.load_or_make_key(folder / 'key.pem')
    member = ca.make_member(
        keys.load_key(authority.folder / 'root.key'),
        root,
        key.public_key(),
        role,
        authority.overlay,
        now,
    )
    return tls.mutual_client(
        folder / 'key.pem', ca.to_pem(member), ca.to_pem(root)
    )


def test_certificates_that_do_not_hold_are_refused(
    lab: Lab, tmp_path: pathlib.Path
) -> None:
    admin = signed_by_root(lab, tmp_path, names.ADMIN)
    expired = signed_by_root(lab, tmp_path, names.GATEWAY, expired=True)
    strange = Members(tmp_path / 'strange').gateway().client_tls()
    real = Authority(lab.layout.control / 'ca').root
    strange.load_verify_locations(cadata=ca.to_pem(real).decode())
    for context, code, counted in (
        (admin, 'forbidden', 'forbidden'),
        (expired, 'unreachable', 'certificate-expired'),
        (strange, 'unreachable', 'certificate-unknown'),
    ):
        with refusing(lab, {counted: 1}):
            assert ask_with(lab, context) == code


def test_a_token_that_is_used_or_expired_lets_nobody_in(
    lab: Lab, tmp_path: pathlib.Path
) -> None:
    """Relayed by pc1, as any member may."""
    store = IdentityStore(lab.pc(1).path(f'{pcs.STATE_DIR}/identity'))
    me = store.load()
    context = tls.mutual_client(store.key_path, me.chain, me.root)
    joiner = Joiner('stranger', '0.0.0.0', PORT)

    def relayed(text: str, number: int) -> str:
        read = token.text_to_token(text)
        key = keys.load_or_make_key(tmp_path / f'{number}.pem')

        async def ask() -> None:
            async with RemoteClient(
                (CONTROL_ADDRESS, PORT),
                read.issuer,
                names.GATEWAY,
                read.overlay,
                context,
            ) as gateway:
                await gateway.relay_join(make_request(read, joiner, key))

        try:
            trio.run(ask)
        except errors.P2PcsError as error:
            return error.message
        return ''

    create = 'token', 'create', '--valid-s'
    used = overlay.manage(lab.layout, lab.control, *create, '600')
    assert relayed(used, 1) == ''
    before = refused(lab, 'control')
    assert 'was used' in relayed(used, 2)
    short = overlay.manage(lab.layout, lab.control, *create, '1')
    expires_s = token.text_to_token(short).expires_s
    until(lambda: utc_now().timestamp() > expires_s + 1)
    assert 'expired' in relayed(short, 3)
    assert refused(lab, 'control') - before == {'token-refused': 2}


def test_datagrams_of_strangers_change_nothing(lab: Lab) -> None:
    """Also of one who has the ring key, as a stolen PC does."""
    target = pcs.pcs(lab)['pc2']
    me = IdentityStore(lab.pc(1).path(f'{pcs.STATE_DIR}/identity')).load()
    ring = seal.RingKeys(me.ring_keys)
    boot_id = os.urandom(8)
    other = throwaway.Overlay(random.Random(os.urandom(8)))
    stranger = other.make_identity()
    ours = Trust(overlay_id(me.overlay, me.root_key), me.root_key)
    sealer = seal.Sealer(ring, bytes.fromhex(me.peer_id), boot_id)
    place = messages.Descriptor(
        bytes.fromhex(me.peer_id), 2**40, boot_id, 0, bytes(3) + b'\1', 1, 1
    )
    forged = messages.MemberItem(
        *signing.sign(stranger, ours.overlay, place), me.credential
    )
    plain = codec.encode_all([forged, messages.Hello(True)])
    once = sealer.seal(plain)
    number = me.ring_keys[-1][0]
    another = seal.RingKeys(((number, other.ring.keys[0][1]),))
    foreign = seal.Sealer(another, stranger.peer, boot_id).seal(plain)
    before = pcs.status(target)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in (
            once[:20], once[:-1], bytes(1201), foreign, once, once,
        ):  # fmt: skip
            sock.sendto(datagram, (pc_address(2), PORT))
    expected = {
        'malformed': 2, 'seal': 2, 'descriptor_signature': 1, 'replay': 1,
    }  # fmt: skip

    def dropped() -> collections.Counter[str]:
        now = collections.Counter(dict(pcs.status(target).dropped))
        return now - collections.Counter(dict(before.dropped))

    until(lambda: expected.items() <= dropped().items())
    now = pcs.status(target)
    assert now.members_alive == before.members_alive
    row = pcs.peer_row(lab, 'pc1')
    assert row is not None
    assert row.address.startswith(pc_address(1))


@pytest.mark.parametrize('address', [CONTROL_ADDRESS, pc_address(1)])
def test_nobody_without_a_certificate_is_heard(lab: Lab, address: str) -> None:
    context = tls.unverified_client()
    target = 'control' if address == CONTROL_ADDRESS else 'pc1'
    before = refused(lab, target)
    with (
        socket.create_connection((address, PORT), timeout=20) as plain,
        context.wrap_socket(plain) as secure,
    ):
        secure.sendall(b'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n')
        with pytest.raises(ssl.SSLError, match='CERTIFICATE_REQUIRED'):
            secure.recv(100)
    expected = {'certificate-missing': 1}
    until(lambda: refused(lab, target) - before == expected)


def test_the_local_socket_is_not_for_every_user(lab: Lab) -> None:
    said = lab.inside(
        lab.pc(1),
        'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
        '/usr/bin/python3', '-c', ASK_LOCALLY,
    )  # fmt: skip
    assert '403' in said.splitlines()[0]


ASK_LOCALLY = """
import socket
s = socket.socket(socket.AF_UNIX)
s.connect('/run/p2pcs/p2pcs.sock')
s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
print(s.recv(1000).decode())
"""
