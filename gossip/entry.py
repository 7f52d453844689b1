# SPDX-License-Identifier: Apache-2.0
"""What a node holds of one peer, and the signed bytes that say so."""

import dataclasses

from gossip import credential as credentials
from gossip import descriptor, errors, messages, signing

Status = descriptor.Status


@dataclasses.dataclass
class Entry:
    """What a node holds of one peer."""

    member: descriptor.Member
    item: messages.MemberItem
    credential: credentials.Credential
    contested: bool = False

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
    )
    return Entry(member, item, credential)


def differs(before: descriptor.Member, after: descriptor.Member) -> bool:
    """Whether more than the incarnation and the status has changed."""
    return dataclasses.replace(
        before, incarnation=0, status=Status.ALIVE
    ) != dataclasses.replace(after, incarnation=0, status=Status.ALIVE)
