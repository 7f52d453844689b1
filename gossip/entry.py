# SPDX-License-Identifier: Apache-2.0
"""What a node holds of one peer, and the signed bytes that say so."""

import dataclasses

from gossip import credential as credentials
from gossip import descriptor, errors, messages, signing

Status = descriptor.Status
_FORMER_MAX = 4


@dataclasses.dataclass
class Entry:
    """What a node holds of one peer.

    :param former: boot ids that were superseded, the latest first
    :param arrival: counts up; a peer that is back has a new one
    :param is_met: whether it has spoken to us from its address
    """

    member: descriptor.Member
    item: messages.MemberItem
    credential: credentials.Credential
    former: tuple[bytes, ...] = ()
    arrival: int = 0
    is_met: bool = False

    def follow(self, held: 'Entry') -> bool:
        """Remember whom this newer entry takes the place of.

        Each start draws a boot id of its own, so one that was superseded
        comes back only if its process lives beside the other.

        :returns: whether it is one that was superseded before
        """
        self.former = held.former
        before, after = held.member.boot_id, self.member.boot_id
        if before == after:
            return False
        others = (former for former in held.former if former != before)
        self.former = (before, *others)[:_FORMER_MAX]
        return after in held.former

    @property
    def order(self) -> tuple[int, int]:
        """What a newer descriptor exceeds."""
        return self.member.boot, self.member.incarnation

    @property
    def settled(self) -> Status:
        """The status without suspicions, which are passing."""
        if self.member.status is Status.SUSPECT:
            return Status.ALIVE
        return self.member.status

    @property
    def worth(self) -> tuple[int, int, descriptor.PeerId]:
        """Where not all have room, the least gives way."""
        return -self.settled, self.credential.not_after, self.member.peer


def join_claim(signed: signing.Signed) -> bytes:
    """A signed claim as a MemberItem carries it."""
    return signed.signature + signed.body


def split_claim(item: messages.MemberItem) -> messages.ClaimItem:
    """The claim that a MemberItem carries.

    :raises MalformedMessage: shorter than a signature
    """
    if len(item.claim) <= 64:
        raise errors.MalformedMessage('claim')
    return messages.ClaimItem(item.claim[64:], item.claim[:64])


def make_entry(
    said: messages.Descriptor,
    item: messages.MemberItem,
    credential: credentials.Credential,
) -> Entry:
    """What a verified descriptor says, held for alive."""
    address = descriptor.Address(
        descriptor.bytes_to_host(said.host), said.port
    )
    member = descriptor.Member(
        said.peer,
        credential.role,
        credential.public_key,
        address,
        said.request_port,
        said.boot,
        said.boot_id,
        said.incarnation,
        Status.ALIVE,
        said.name,
    )
    return Entry(member, item, credential)


def differs(before: descriptor.Member, after: descriptor.Member) -> bool:
    """Whether more than the incarnation and the status has changed."""
    return dataclasses.replace(
        before, incarnation=0, status=Status.ALIVE
    ) != dataclasses.replace(after, incarnation=0, status=Status.ALIVE)
