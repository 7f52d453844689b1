# SPDX-License-Identifier: Apache-2.0
"""One node, and a peer made by hand that says what a test wants said."""

import random
from collections.abc import Iterable

from gossip import (
    codec,
    config,
    descriptor,
    events,
    messages,
    node,
    seal,
    signing,
    throwaway,
)
from gossip.descriptor import Address, Role, Status
from gossip.identity import Identity

WALL = 1_800_000_000
HERE = Address('10.0.0.1', 7400)
THERE = Address('10.0.0.2', 7400)
BOOT_ID = b'thereboo'


class Other:
    """A peer made by hand, to say whatever a test wants said."""

    def __init__(
        self,
        overlay: throwaway.Overlay,
        who: Identity,
        boot: int = 1,
        address: Address = THERE,
    ) -> None:
        self.overlay = overlay
        self.who = who
        self.boot = boot
        self.address = address
        self.sealer = seal.Sealer(overlay.ring, who.peer, BOOT_ID)

    def sign(self, what: messages.Message) -> signing.Signed:
        return signing.sign(self.who, self.overlay.overlay, what)

    def member(
        self,
        incarnation: int = 0,
        claim: bytes = b'',
        address: Address | None = None,
    ) -> messages.MemberItem:
        host, port = address or self.address
        place = messages.Descriptor(
            self.who.peer,
            self.boot,
            BOOT_ID,
            incarnation,
            descriptor.host_to_bytes(host),
            port,
            7400,
        )
        return messages.MemberItem(
            *self.sign(place), self.who.credential, claim
        )

    def hello(self) -> bytes:
        many: list[messages.Message] = [self.member(), messages.Hello(True)]
        if self.who.issuer_credential is not None:
            many.insert(0, messages.IssuerItem(self.who.issuer_credential))
        return self.say(*many)

    def claim(
        self,
        kind: Status,
        subject: bytes,
        incarnation: int = 0,
        author: bytes | None = None,
        *,
        refused: bool = False,
    ) -> messages.ClaimItem:
        return messages.ClaimItem(
            *self.sign(
                messages.Claim(
                    kind,
                    author or self.who.peer,
                    subject,
                    1,
                    incarnation,
                    refused,
                )
            )
        )

    def record(
        self, payload: bytes, n: int = 1, part: str = 'a'
    ) -> messages.RecordItem:
        return messages.RecordItem(
            *self.sign(
                messages.Part(self.who.peer, part, self.boot, n, payload)
            )
        )

    def say(self, *many: messages.Message) -> bytes:
        return self.sealer.seal(codec.encode_all(many))


class Case:
    """A node, and another peer that it does not know yet."""

    def __init__(
        self,
        settings: config.NodeConfig | None = None,
        *,
        role: Role = Role.PEER,
    ) -> None:
        self.overlay = throwaway.Overlay(random.Random(1))
        self.trust = self.overlay.make_trust()
        self.who = self.overlay.make_identity(role)
        self.node = node.Node(
            settings or config.NodeConfig(),
            self.who,
            self.trust,
            self.overlay.ring,
            address=HERE,
            boot=1,
            boot_id=b'hereboot',
            rng=random.Random(1),
            now=0.0,
            now_wall=WALL,
        )
        self.other = Other(self.overlay, self.overlay.make_identity())
        self.opener = seal.Opener(self.overlay.ring)

    def hear(self, datagram: bytes, now: float = 0.0) -> None:
        self.node.receive(datagram, THERE, now)

    def meet(self) -> None:
        self.hear(self.other.hello())
        self.sent()

    def meet_many(self, count: int) -> list[Other]:
        """So many more peers, of whom the other one tells."""
        others = [
            Other(
                self.overlay,
                self.overlay.make_identity(),
                address=Address(f'10.0.1.{number + 1}', 7400),
            )
            for number in range(count)
        ]
        for one in others:
            self.hear(self.other.say(one.member()))
        self.sent()
        return others

    def run(self, until: float) -> None:
        """Do what is due until then; nobody answers."""
        due = self.node.deadline()
        while due is not None and due <= until:
            self.node.on_deadline(due)
            due = self.node.deadline()

    def status(self, one: Other) -> Status:
        """What the node holds a peer for."""
        member = self.node.member(one.who.peer)
        return Status.LEFT if member is None else member.status

    def sent(self) -> list[messages.Message]:
        return [
            message
            for _, datagram in self.node.outgoing()
            for message in codec.decode(
                self.opener.open(datagram).plain
            ).messages
        ]

    def happened(self) -> list[events.Event]:
        return list(self.node.events())

    @property
    def dropped(self) -> dict[str, int]:
        return dict(self.node.statistics().dropped)


def of_kind(many: Iterable[object], kind: type) -> list[object]:
    return [one for one in many if isinstance(one, kind)]
