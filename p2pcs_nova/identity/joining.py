# SPDX-License-Identifier: Apache-2.0
"""A PC that knows nothing but a token becomes a member.

1. Ask the token's seeds, one after another but without waiting long, for
   the root's certificate; the first whose root has the pinned digest and
   whose own certificate chains to it is used.  Nothing secret is sent yet.
2. Listen on our own port, so that the seed can dial back.
3. Send the request; what comes back is checked and stored at once.

A seed that cannot help (it does not know the issuer, it dies, it has been
put out of the overlay) is followed by the next.  Refusals by the issuer are
final: asking elsewhere asks the same issuer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import outcome
import trio
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from gossip import errors as gossip_errors
from p2pcs_nova import errors, names, wire
from p2pcs_nova.client import answers
from p2pcs_nova.identity import ca, credentials, dialback, seeking, token
from p2pcs_nova.identity.seeking import Joiner, Seed
from p2pcs_nova.identity.store import (
    IdentityStore,
    KnownGateway,
    Membership,
)
from p2pcs_nova.transport.certificate import certificate_to_member

ANSWER_TIMEOUT_S = 30.0
"""For the whole request: the dial-back is in it."""
SEED_CANNOT_HELP = (errors.Unreachable, errors.Unavailable, errors.Forbidden)
"""The last one: the seed itself may ask nothing of the issuer any more."""

T = TypeVar('T')


class AlreadyMember(Exception):
    """The store holds a membership; it is unchanged."""


class JoinFailed(Exception):
    """No seed could help; nothing is stored. Says what to do."""


async def join(
    text: str, store: IdentityStore, joiner: Joiner, *, force: bool = False
) -> Membership:
    """Become a member; stored durably when this returns.

    :param force: join even if there is a membership; the key, and with it
        the peer id, stays
    :raises AlreadyMember: there is one; to be told, not to fail on
    :raises BadToken: the text is not a token
    :raises JoinFailed: no seed could help
    :raises P2PcsError: the issuer refused, or the port is taken here;
        nothing is stored (the key is kept for the next try)
    """
    joining = token.text_to_token(text)
    if store.is_joined() and not force:
        held = store.load()
        raise AlreadyMember(
            f'this PC is a member of overlay {held.overlay} already, as '
            f'{held.peer_id}; nothing was changed'
        )
    key = store.key()
    asked = _Asked(joining, joiner, key)
    send, receive = trio.open_memory_channel[Seed](len(joining.seeds))
    failures: list[tuple[str, Exception]] = []

    async def find(nursery: trio.Nursery) -> None:
        seeking.start(nursery, joining, joiner, send, failures)

    async def ask() -> wire.JoinAnswer:
        async for seed in receive:
            try:
                return await asked.ask(seed)
            except dialback.PortTaken:
                raise
            except SEED_CANNOT_HELP as error:
                failures.append((seed.address, error))
        raise _nobody_helped(failures)

    answer = await _beside(find, ask)
    membership = answer_to_membership(
        answer, joining, key, joiner.wall().timestamp()
    )
    store.save(membership)
    return membership


def _nobody_helped(failures: list[tuple[str, Exception]]) -> Exception:
    for _, error in failures:
        if isinstance(error, errors.ClockSkew):
            return error
    lines = ''.join(f'\n  {address}: {error}' for address, error in failures)
    return JoinFailed(
        f'no seed of the token could help:{lines}\nIs this PC on the right '
        'network? The token can be tried again until it is used or has '
        'expired'
    )


async def _beside(
    start: Callable[[trio.Nursery], Awaitable[None]],
    what: Callable[[], Awaitable[T]],
) -> T:
    """What ``what`` returns or raises, with ``start``'s tasks beside it."""
    async with trio.open_nursery() as nursery:

        async def whole() -> T:
            await start(nursery)
            return await what()

        result = await outcome.acapture(whole)
        nursery.cancel_scope.cancel()
    return result.unwrap()


class _Asked:
    """The request, and whether an answer to it may have been lost."""

    def __init__(
        self,
        joining: token.JoinToken,
        joiner: Joiner,
        key: ed25519.Ed25519PrivateKey,
    ) -> None:
        self._joining = joining
        self._joiner = joiner
        self._key = key
        self._lost = False

    async def ask(self, seed: Seed) -> wire.JoinAnswer:
        """Ask one seed, answering its dial-back meanwhile.

        :raises Unreachable: no answer; the issuer may have granted it
        :raises Unavailable: the seed does not reach the issuer
        :raises P2PcsError: refused
        """
        request = make_request(self._joining, self._joiner, self._key)

        async def listen(nursery: trio.Nursery) -> None:
            await nursery.start(
                dialback.answer_dial_backs,
                self._joiner.host,
                self._joiner.port,
                request.proof,
            )

        async def post() -> bytes:
            return await seeking.exchange(
                seed.client,
                'POST',
                ANSWER_TIMEOUT_S,
                msgspec.json.encode(request),
            )

        try:
            body = await _beside(listen, post)
        except errors.Unreachable:
            self._lost = True
            raise
        except errors.TokenRefused as error:
            if not self._lost:
                raise
            raise errors.TokenRefused(
                f'{error.message} (perhaps by this PC just now: an answer '
                'was lost on the way)'
            ) from None
        return answers.body_to_value(body, wire.JoinAnswer)


def make_request(
    joining: token.JoinToken,
    joiner: Joiner,
    key: ed25519.Ed25519PrivateKey,
) -> wire.JoinRequest:
    """What a PC sends: it has the token's secret, and this key."""
    unproved = wire.JoinRequest(
        issuer=joining.issuer,
        token_id=joining.id,
        proof=b'',
        csr=ca.make_request(key),
        name=joiner.name,
        port=joiner.port,
        wall_clock_s=joiner.wall().timestamp(),
    )
    return msgspec.structs.replace(
        unproved, proof=token.prove(joining.secret, unproved)
    )


def answer_to_membership(
    answer: wire.JoinAnswer,
    joining: token.JoinToken,
    key: ed25519.Ed25519PrivateKey,
    now_s: float,
) -> Membership:
    """What to keep of the issuer's answer, once it is verified.

    :param now_s: seconds since 1970
    :raises JoinFailed: the answer does not make us a peer of the token's
        overlay
    """
    public_key = key.public_key().public_bytes_raw()
    mine = names.MemberName(
        names.peer_id(public_key), names.PEER, joining.overlay
    )
    try:
        root = x509.load_pem_x509_certificate(answer.ca)
        leaf, issuer = x509.load_pem_x509_certificates(answer.certificates)
        issuer.verify_directly_issued_by(root)
        leaf.verify_directly_issued_by(issuer)
        named = certificate_to_member(leaf.public_bytes(Encoding.DER))
        ring_keys = tuple(
            (int(number), ring_key)
            for number, ring_key in answer.ring_keys.items()
        )
    except (ValueError, TypeError, InvalidSignature) as error:
        raise JoinFailed(f'the issuer answered nonsense: {error}') from None
    if ca.fingerprint(root) != joining.root or named != mine:
        raise JoinFailed(
            f'the issuer answered with a certificate for {named}, '
            f'not for {mine}'
        )
    membership = Membership(
        overlay=joining.overlay,
        peer_id=mine.peer_id,
        role=mine.role,
        chain=answer.certificates,
        root=answer.ca,
        credential=answer.credential,
        issuer_credential=answer.issuer_credential,
        ring_keys=ring_keys,
        seeds=answer.seeds,
        gateways=tuple(
            KnownGateway(joining.issuer, seed) for seed in answer.seeds[:1]
        ),
    )
    _check_overlay(membership, now_s)
    return membership


def _check_overlay(membership: Membership, now_s: float) -> None:
    """Whether a node can be made of it: whoever relayed may have lied."""
    try:
        credentials.membership_to_ring(membership)
        said = credentials.membership_to_trust(membership).check(
            membership.credential, now_s, membership.issuer_credential
        )
    except gossip_errors.GossipError as error:
        raise JoinFailed(f'the issuer answered nonsense: {error}') from None
    if said.peer.hex() != membership.peer_id:
        raise JoinFailed('the issuer answered with a credential of another')
