# SPDX-License-Identifier: Apache-2.0
"""The errors that cross a socket, each with a code that never changes.

A daemon answers a failed request with :class:`p2pcs_nova.wire.Problem`;
:mod:`p2pcs_nova.client` raises the class of the same code again.  Every
docstring says what state the error leaves behind.
"""

from __future__ import annotations

from typing import ClassVar


class P2PcsError(Exception):
    """Base of all; raised itself for what has no kind of its own.

    A code that we do not know, an answer that is none, a defect: what has
    changed is not known.
    """

    code: ClassVar[str] = 'internal'
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Malformed(P2PcsError):
    """The request does not have the form of its type; nothing changed."""

    code = 'malformed'
    status = 400


class Forbidden(P2PcsError):
    """The caller's role may not do this; nothing changed."""

    code = 'forbidden'
    status = 403


class Revoked(Forbidden):
    """The caller has been put out of the overlay; nothing changed."""

    code = 'revoked'


class PutOut(P2PcsError):
    """This PC takes no part: cloned, revoked or leaving; nothing changed."""

    code = 'put-out'
    status = 409


class NotFound(P2PcsError):
    """No such instance, image, slice or peer here; nothing changed."""

    code = 'not-found'
    status = 404


class TooLarge(P2PcsError):
    """The body exceeds its limit; nothing changed."""

    code = 'too-large'
    status = 413


class StaleTerm(P2PcsError):
    """The term is over: given back, run out, or a higher one was seen.

    Nothing changed, but of a spawn that was cut off in the middle: whoever
    commands the slice next settles it.
    """

    code = 'stale-term'
    status = 409


class OtherSlice(P2PcsError):
    """PC or instance belong to another slice now; nothing changed."""

    code = 'other-slice'
    status = 409


class Full(P2PcsError):
    """Run rights hold the capacity: another PC must serve; no change."""

    code = 'full'
    status = 409


class Held(P2PcsError):
    """Unconfirmed claims hold the capacity, perhaps not long; no change."""

    code = 'held'
    status = 409


class NotOffered(P2PcsError):
    """The PC never offers this (a network, a size); nothing changed."""

    code = 'not-offered'
    status = 409


class Draining(P2PcsError):
    """The PC is closed to new claims; nothing changed."""

    code = 'draining'
    status = 409


class ReservationGone(P2PcsError):
    """The reservation has ended: claim again; nothing was built."""

    code = 'reservation-gone'
    status = 409


class BadRunRight(P2PcsError):
    """Signature, peer, slice or digest do not match; nothing changed."""

    code = 'bad-run-right'
    status = 403


class StaleEpoch(P2PcsError):
    """A higher epoch or a tombstone is here: this one does not run."""

    code = 'stale-epoch'
    status = 409


class WrongState(P2PcsError):
    """The instance's state does not allow the action; it is unchanged."""

    code = 'wrong-state'
    status = 409


class Unsupported(P2PcsError):
    """A property that we would have to ignore; it is named. No change."""

    code = 'unsupported'
    status = 400


class ImageRefused(P2PcsError):
    """The image's bytes are not what was announced; they are dropped."""

    code = 'image-refused'
    status = 409


class HypervisorFailed(P2PcsError):
    """libvirt or QEMU reported an error; what was built is undone."""

    code = 'hypervisor-failed'
    status = 502


class HypervisorBusy(P2PcsError):
    """libvirt did not answer in time; the outcome is not yet known."""

    code = 'hypervisor-busy'
    status = 504


class NoSpace(P2PcsError):
    """The disk or the memory of the PC is full; what was begun is undone."""

    code = 'no-space'
    status = 507


class Unreachable(P2PcsError):
    """The PC does not answer; the outcome is not known."""

    code = 'unreachable'
    status = 504


class NoPeerFits(P2PcsError):
    """Every PC refused, for the reasons counted; nothing is held."""

    code = 'no-peer-fits'
    status = 409


class TokenRefused(P2PcsError):
    """The token is used, expired or another issuer's; as it was."""

    code = 'token-refused'
    status = 403


class ClockSkew(P2PcsError):
    """The clocks of the two machines differ; the token stays good."""

    code = 'clock-skew'
    status = 409


class PortBlocked(P2PcsError):
    """The dial-back did not reach the PC; the token stays good."""

    code = 'port-blocked'
    status = 409


class BadPolicy(P2PcsError):
    """Not signed by who must sign it, or no policy; nothing changed."""

    code = 'bad-policy'
    status = 403


class StalePolicy(P2PcsError):
    """A newer policy, slice map or era is in force; nothing changed."""

    code = 'stale-policy'
    status = 409


class EraRefused(P2PcsError):
    """Terms may not come from here: says what to do; nothing changed."""

    code = 'era-refused'
    status = 409


class PolicyRefused(P2PcsError):
    """The PCs are not as this policy needs them; nothing changed."""

    code = 'policy-refused'
    status = 409


class Unavailable(P2PcsError):
    """Not now: try again; what was begun is settled.

    The daemon starts or ends, commands the slice no more or not yet, has no
    policy, or waits in vain for etcd, Nova or Neutron.
    """

    code = 'unavailable'
    status = 503


def _subclasses(cls: type[P2PcsError]) -> list[type[P2PcsError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found += _subclasses(sub)
    return found


BY_CODE: dict[str, type[P2PcsError]] = {
    cls.code: cls for cls in _subclasses(P2PcsError)
}


def from_code(code: str, message: str) -> P2PcsError:
    """The error of this code; P2PcsError for one of a newer release."""
    return BY_CODE.get(code, P2PcsError)(message)
