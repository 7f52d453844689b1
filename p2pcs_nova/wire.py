# SPDX-License-Identifier: Apache-2.0
"""The types that cross a socket between driver, gateway and PC.

JSON by msgspec; frozen; unknown fields are ignored, so that two releases
understand each other.  Times are seconds, sizes are MiB unless the name
says otherwise.  Three promises are never mixed: a *reservation* (capacity
that expires unless confirmed), a *term* (who may command a slice) and a
*run right* (which PC runs which epoch of an instance).
"""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import msgspec

Uuid = Annotated[
    str,
    msgspec.Meta(
        pattern='^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}'
        r'-[0-9a-f]{12}\Z'
    ),
]
PeerId = Annotated[str, msgspec.Meta(pattern=r'^[0-9a-f]{32}\Z')]
SliceName = Annotated[
    str, msgspec.Meta(pattern=r'^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z')
]
BoundSlice = Annotated[
    str,
    msgspec.Meta(pattern=r'^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?\Z'),
]
"""The name of a slice, or ''."""
Digest = Annotated[
    str,
    msgspec.Meta(pattern=r'^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z'),
]
NetworkName = Annotated[
    str, msgspec.Meta(pattern=r'^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z')
]
Mac = Annotated[str, msgspec.Meta(pattern=r'^[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z')]
Ip = Annotated[
    str, msgspec.Meta(pattern=r'^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?\Z')
]
"""An address or a network; without a zone, which may be any text."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
HypervisorVersion = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""Nova's database keeps it in 32 bits."""


UNDECODABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding raises for bytes that are not of the type: all of it."""


class Counter(
    msgspec.Struct,
    frozen=True,
    order=True,
    array_like=True,
    forbid_unknown_fields=True,
):
    """(era, n): a fencing number, a term or an epoch.

    Ordered by era, then by n; the era is raised by an admin only.
    """

    era: Count
    n: Count

    def __str__(self) -> str:
        """``era.n``: as people read it, and in names of folders."""
        return f'{self.era}.{self.n}'


class Problem(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    code: str
    message: str
    request_id: str = ''


class Command(msgspec.Struct, frozen=True):
    """By which authority a gateway speaks to a PC.

    Travels with every request, as the header ``p2pcs-command``.
    """

    slice: SliceName
    term: Counter


COMMAND_HEADER = 'p2pcs-command'
RUN_RIGHT_HEADER = 'p2pcs-run-right'
REQUEST_ID_HEADER = 'x-openstack-request-id'
CONSOLE_LIMIT = 2**20
"""Bytes of a serial console that are ever given at once."""

# -- capacity ---------------------------------------------------------------


class Capacity(msgspec.Struct, frozen=True):
    """An amount of what a PC has to give."""

    vcpus: Count = 0
    memory_mb: Count = 0
    disk_mb: Count = 0

    def __add__(self, other: Capacity) -> Capacity:
        return Capacity(
            self.vcpus + other.vcpus,
            self.memory_mb + other.memory_mb,
            self.disk_mb + other.disk_mb,
        )

    def fits(self, other: Capacity) -> bool:
        """Whether ``other`` is at most this in every part."""
        return (
            other.vcpus <= self.vcpus
            and other.memory_mb <= self.memory_mb
            and other.disk_mb <= self.disk_mb
        )


class Accelerator(enum.StrEnum):
    """How a PC runs guests; proved by a probe, never assumed."""

    KVM = 'kvm'
    TCG = 'tcg'


class Offer(msgspec.Struct, frozen=True):
    """What a PC gives: what it has less what its owner keeps."""

    total: Capacity
    accelerator: Accelerator = Accelerator.TCG
    arch: str = 'x86_64'
    networks: tuple[NetworkName, ...] = ()
    cpu_model: str = ''
    hypervisor_version: HypervisorVersion = 0
    reason: str = ''
    """Why less is offered than one would expect, in words; '' if not."""


class Claim(msgspec.Struct, frozen=True):
    """What an instance needs of a PC."""

    instance: Uuid
    need: Capacity
    networks: tuple[NetworkName, ...] = ()
    image: Digest | None = None
    """A PC that has it cached may be preferred."""


class Reservation(msgspec.Struct, frozen=True):
    """A PC's grant; it expires ``expires_s`` after the grant."""

    id: Uuid
    expires_s: float
    free: Capacity
    """Free on the PC after this grant: the gateway chooses by it."""
    has_image: bool = False


# -- instances --------------------------------------------------------------


class RunRight(msgspec.Struct, frozen=True):
    """The gateway's word that ``peer`` runs ``epoch`` of ``instance``."""

    instance: Uuid
    epoch: Counter
    peer: PeerId
    slice: SliceName
    image: Digest


class Signed(msgspec.Struct, frozen=True):
    """Bytes and who signed them (Ed25519, with a domain prefix)."""

    payload: bytes
    signer: PeerId
    signature: bytes


class Image(msgspec.Struct, frozen=True):
    """An image as Glance describes it; its digest names its bytes."""

    digest: Digest
    format: Annotated[str, msgspec.Meta(pattern=r'^(qcow2|raw)\Z')]
    size_bytes: Positive
    name: str = ''


class Direction(enum.StrEnum):
    """Of a packet, as the guest sees it."""

    INGRESS = 'ingress'
    EGRESS = 'egress'


Remotes = Annotated[tuple[Ip, ...], msgspec.Meta(max_length=2**14)]


class Rule(msgspec.Struct, frozen=True):
    """What one rule of a security group lets pass.

    Replies to what was let pass need no rule.
    """

    direction: Direction
    version: Literal[4, 6]
    """Of IP."""
    protocol: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    """Its number; None: any."""
    port_min: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """First destination port, or type of ICMP; None: any."""
    port_max: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """Last destination port, or code of ICMP; None: any."""
    remotes: (
        Annotated[tuple[Ip, ...], msgspec.Meta(max_length=2**14)] | None
    ) = None
    """Addresses of the other side; None: any, empty: nobody."""


RULES_MAX = 2**10
Rules = Annotated[tuple[Rule, ...], msgspec.Meta(max_length=RULES_MAX)]
Ips = Annotated[tuple[Ip, ...], msgspec.Meta(max_length=2**10)]


class PortFilter(msgspec.Struct, frozen=True):
    """What may pass at a port: the parts of a Vif that may change."""

    port: Uuid
    ips: Ips = ()
    secured: bool = True
    rules: Rules = ()


class Vif(msgspec.Struct, frozen=True):
    """One Neutron port as the PC plugs it."""

    port: Uuid
    mac: Mac
    network: NetworkName
    """Physical network; the PC's owner maps it to a bridge."""
    ips: Ips = ()
    """Fixed addresses and allowed pairs: what the guest may use."""
    mtu: Annotated[int, msgspec.Meta(ge=68, le=65535)] = 1500
    secured: bool = True
    """Neutron's port security: False lets everything pass."""
    rules: Rules = ()
    """Of all its security groups; without any, nothing passes."""

    def with_filter(self, new: PortFilter) -> Vif:
        """The same port, at which something else may pass."""
        return msgspec.structs.replace(
            self, ips=new.ips, secured=new.secured, rules=new.rules
        )


class FilterRequest(msgspec.Struct, frozen=True):
    """Driver to gateway, which adds the epoch, to PC: these from now on.

    A port that is not named is Neutron's no more: nothing passes there.
    """

    ports: tuple[PortFilter, ...]
    epoch: Counter | None = None
    """None only from the driver; a PC refuses any but the one it runs."""


class ConfigFile(msgspec.Struct, frozen=True):
    """One file of the config drive; path is relative, with '/'."""

    path: Annotated[
        str,
        msgspec.Meta(
            pattern='^[A-Za-z0-9_-][A-Za-z0-9._-]*'
            r'(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\Z',
            max_length=255,
        ),
    ]
    content: bytes


class Machine(msgspec.Struct, frozen=True):
    """What flavor and image say about the virtual machine."""

    disk_bus: Annotated[
        str, msgspec.Meta(pattern=r'^(virtio|scsi|ide|sata)\Z')
    ] = 'virtio'
    vif_model: Annotated[
        str, msgspec.Meta(pattern=r'^(virtio|e1000|e1000e|rtl8139)\Z')
    ] = 'virtio'
    machine_type: Annotated[str, msgspec.Meta(pattern=r'^(pc|q35)\Z')] = 'pc'
    rng: bool = True


class InstanceSpec(msgspec.Struct, frozen=True):
    """All that a PC needs to build an instance."""

    instance: Uuid
    name: str
    """Nova's display name: for people; the domain is named by uuid."""
    need: Capacity
    image: Image
    root_mb: Positive
    config_drive: tuple[ConfigFile, ...] = ()
    vifs: tuple[Vif, ...] = ()
    machine: Machine = Machine()


class BuildRequest(msgspec.Struct, frozen=True):
    """Gateway to PC: confirm the reservation and build, paused."""

    reservation: Uuid
    run_right: Signed
    spec: InstanceSpec


class InstanceState(enum.StrEnum):
    """The state of an instance on its PC."""

    BUILDING = 'building'
    PLUGGED = 'plugged'
    """Built, tap and filters in place, guest not yet started."""
    RUNNING = 'running'
    PAUSED = 'paused'
    SUSPENDED = 'suspended'
    """Off, its memory on the disk of its PC."""
    STOPPED = 'stopped'
    CRASHED = 'crashed'
    FAILED = 'failed'
    """The build failed and is undone; ``detail`` says why."""
    WAITING = 'waiting'
    """It should run, and is off since its PC lost power: the PC starts
    nothing before its gateway has confirmed this epoch."""
    QUARANTINED = 'quarantined'
    """Its gateway does not know it: it is kept for some days, frozen."""
    UNKNOWN = 'unknown'


class InstanceStatus(msgspec.Struct, frozen=True):
    """What a PC says of one instance."""

    instance: Uuid
    epoch: Counter
    slice: SliceName
    state: InstanceState
    need: Capacity
    detail: str = ''


class Action(enum.StrEnum):
    """What may be done to a built instance."""

    START = 'start'
    """From PLUGGED or STOPPED to RUNNING."""
    STOP = 'stop'
    """ACPI first, then power cut after ``timeout_s``."""
    REBOOT_SOFT = 'reboot-soft'
    REBOOT_HARD = 'reboot-hard'
    PAUSE = 'pause'
    UNPAUSE = 'unpause'
    SUSPEND = 'suspend'
    """From RUNNING to SUSPENDED; it runs on if that takes longer than
    ``timeout_s``."""
    RESUME = 'resume'
    """From SUSPENDED to RUNNING, as it was."""
    RESTORE = 'restore'
    """The gateway's word, by itself, that this epoch is still wanted: it
    leaves quarantine, and one that WAITS runs again.  Else nothing."""
    QUARANTINE = 'quarantine'
    """The gateway's word, by itself, that it does not know this epoch."""


GATEWAYS_OWN = frozenset({Action.RESTORE, Action.QUARANTINE})
"""Actions that no driver asks for."""


class ActionRequest(msgspec.Struct, frozen=True):
    """Driver to gateway, which adds the epoch, to PC."""

    action: Action
    timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    epoch: Counter | None = None
    """None only from the driver; a PC refuses any but the one it runs."""


class SnapshotRequest(msgspec.Struct, frozen=True):
    """Driver to gateway, which adds the epoch, to PC: a copy of the disk.

    The answer is the copy itself: a qcow2 image that names no other file.
    """

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86400)]
    """Until the copy is whole and the first byte of it comes."""
    epoch: Counter | None = None
    """None only from the driver; a PC refuses any but the one it has."""


class Tombstone(msgspec.Struct, frozen=True):
    """Gateway to PC: this epoch, and every lower one, must not run."""

    instance: Uuid
    epoch: Counter


class Destroyed(msgspec.Struct, frozen=True):
    """Gateway to driver: gone, or a tombstone waits for the PC."""

    done: bool
    peer_name: str = ''


class Console(msgspec.Struct, frozen=True):
    """The tail of the serial console."""

    instance: Uuid
    output: bytes


class NicDiagnostics(msgspec.Struct, frozen=True):
    """Counters of one tap since the domain started."""

    mac: str
    rx_octets: int = 0
    rx_errors: int = 0
    rx_drop: int = 0
    rx_packets: int = 0
    tx_octets: int = 0
    tx_errors: int = 0
    tx_drop: int = 0
    tx_packets: int = 0


class DiskDiagnostics(msgspec.Struct, frozen=True):
    """Counters of one disk since the domain started."""

    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0
    errors_count: int = 0


class Diagnostics(msgspec.Struct, frozen=True):
    """What Nova's diagnostics need of a running domain."""

    state: InstanceState
    uptime_s: int
    cpu_time_ns: tuple[int, ...]
    memory_mb: int
    memory_used_mb: int
    nics: tuple[NicDiagnostics, ...] = ()
    disks: tuple[DiskDiagnostics, ...] = ()


class InstanceList(msgspec.Struct, frozen=True):
    """Every instance that a PC holds."""

    peer: PeerId
    boot_id: str
    instances: tuple[InstanceStatus, ...]


# -- what a PC says of itself in the overlay ---------------------------------


class PeerRecord(msgspec.Struct, frozen=True):
    """Record part 'peer': slow facts; gossiped, signed by its writer."""

    name: str
    """Host name: for people."""
    offer: Offer
    attributes: dict[str, str]
    """The owner's and operator's words: site, tier, country…"""
    used: Capacity
    """Held by run rights."""
    slice: BoundSlice = ''
    """The slice it is bound to while it holds claims; '' if free."""
    draining: bool = False
    release: str = ''


class InstancesRecord(msgspec.Struct, frozen=True):
    """Record parts 'instances/0', 'instances/1'…: as many as are needed.

    A row is (uuid, epoch, state); how many fit into a part is the
    writer's to know.
    """

    rows: tuple[tuple[Uuid, Counter, InstanceState], ...] = ()


# -- the gateway daemon's answers to driver and operator ---------------------


class SpawnRequest(msgspec.Struct, frozen=True):
    """Driver to gateway: claim, sign and build; answers when PLUGGED."""

    claim: Claim
    spec: InstanceSpec
    request_id: str = ''


class Placed(msgspec.Struct, frozen=True):
    """Where an instance is, and how it is."""

    status: InstanceStatus
    peer: PeerId
    peer_name: str
    reachable: bool
    """False: the state is the last one heard."""


class SliceSummary(msgspec.Struct, frozen=True):
    """A slice as Placement sees it."""

    name: SliceName
    term: Counter
    peers: Count
    unreachable: Count
    total: Capacity
    """Sum of offers; an unreachable PC counts what it has reserved."""
    largest: Capacity
    """Largest single offer, part by part, of the live PCs."""
    used: Capacity
    accelerators: tuple[Accelerator, ...] = ()
    networks: tuple[NetworkName, ...] = ()
    cpu_model: str = ''
    hypervisor_version: int = 0


class Placements(msgspec.Struct, frozen=True):
    """Every instance of a slice."""

    slice: SliceName
    instances: tuple[Placed, ...]
    revision: int
    """Grows with every change: ``wait_placements`` asks for a newer."""


class PeerRow(msgspec.Struct, frozen=True):
    """A line of ``p2pcs-manage peer list``."""

    peer: PeerId
    name: str
    role: str
    address: str
    state: str
    slice: str
    offer: Capacity
    used: Capacity
    instances: int
    reason: str = ''


class PeerRows(msgspec.Struct, frozen=True):
    """The whole overlay as this daemon sees it."""

    peers: tuple[PeerRow, ...]


class Grave(msgspec.Struct, frozen=True):
    """A deleted instance whose PC has not yet carried out the tombstone."""

    instance: Uuid
    epoch: Counter
    slice: SliceName
    peer: PeerId
    peer_name: str


class Graves(msgspec.Struct, frozen=True):
    """All of a gateway."""

    graves: tuple[Grave, ...]


class SliceRows(msgspec.Struct, frozen=True):
    """All slices of the policy."""

    slices: tuple[SliceSummary, ...]


class PlacedRows(msgspec.Struct, frozen=True):
    """All instances that this gateway knows."""

    instances: tuple[Placed, ...]


class Quarantined(msgspec.Struct, frozen=True):
    """What a PC keeps although its gateway does not know it."""

    instance: Uuid
    epoch: Counter
    peer: PeerId
    peer_name: str


class QuarantinedRows(msgspec.Struct, frozen=True):
    """All that this gateway's PCs keep so."""

    instances: tuple[Quarantined, ...]


class DaemonStatus(msgspec.Struct, frozen=True):
    """What ``p2pcs-peer status`` shows, for a program to read."""

    peer: PeerId
    name: str
    role: str
    overlay: str
    address: str
    members_alive: int
    members_failed: int
    offer: Offer | None
    attributes: dict[str, str]
    used: Capacity
    slice: str
    draining: bool
    instances: tuple[InstanceStatus, ...]
    reasons: tuple[str, ...]
    """Plain sentences: why this offer, what is wrong and what helps."""
    release: str
    dropped: tuple[tuple[str, Count], ...] = ()
    """(reason, count) of what others sent and we did not take, and of what
    this machine did not send, since the daemon started; by reason."""
    refused: tuple[tuple[str, Count], ...] = ()
    """(reason, count) of connections and requests that were refused since
    the daemon started: a reason is mostly the code of the error."""
    revoked: tuple[PeerId, ...] = ()
    """Who has been put out of the overlay, as far as this daemon knows."""


# -- Neutron's answers to the driver ------------------------------------------


class SlicePort(msgspec.Struct, frozen=True):
    """A port that is bound to a slice, and what may pass at it."""

    port: Uuid
    instance: str
    ips: Ips = ()
    secured: bool = True
    groups: tuple[str, ...] = ()
    """Its security groups."""


class HeldAddresses(msgspec.Struct, frozen=True):
    """A placeholder: the addresses of a deleted instance's port."""

    port: Uuid
    """Of the placeholder."""
    instance: str


class SlicePorts(msgspec.Struct, frozen=True):
    """All that Neutron knows of a slice."""

    ports: tuple[SlicePort, ...] = ()
    rules: dict[str, Rules] = {}
    """Of each security group that a port names."""
    held: tuple[HeldAddresses, ...] = ()


# -- what became of an instance ---------------------------------------------


class StoryLine(msgspec.Struct, frozen=True):
    """What a machine has logged."""

    at_s: float
    """Seconds of a wall clock."""
    machine: str
    text: str


class Chapter(msgspec.Struct, frozen=True):
    """What one machine has logged of an instance, in order."""

    machine: str
    wall_clock_s: float
    """When it was asked: two machines' clocks may differ."""
    lines: tuple[StoryLine, ...]


class Story(msgspec.Struct, frozen=True):
    """What gateway and PCs have logged of an instance, in order of time."""

    instance: Uuid
    now: str
    """Where it is, in words."""
    remarks: tuple[StoryLine, ...]
    """What one should know of the lines: whose are missing, whose clock
    differs."""
    lines: tuple[StoryLine, ...]
    """By the gateway's clock."""


# -- joining -----------------------------------------------------------------


class JoinRequest(msgspec.Struct, frozen=True):
    """A PC that knows only its token asks its issuer for a certificate."""

    issuer: PeerId
    """Who made the token: any other daemon relays the request to it."""
    token_id: Annotated[str, msgspec.Meta(max_length=64)]
    proof: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """HMAC-SHA256 by the token's secret over the request's other parts."""
    csr: Annotated[bytes, msgspec.Meta(max_length=4096)]
    """PKCS#10 in DER, signed by the PC's own new key."""
    name: Annotated[
        str, msgspec.Meta(pattern=r'^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z')
    ]
    """Host name of the PC: for people."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    """UDP and TCP port that the PC will listen on: dialled back."""
    wall_clock_s: float


class JoinAnswer(msgspec.Struct, frozen=True):
    """All that a new peer has to know."""

    overlay: str
    certificates: bytes
    """PEM chain: the PC's certificate, then the intermediate."""
    ca: bytes
    """PEM of the root: what the token's pin names."""
    credential: bytes
    issuer_credential: bytes
    ring_keys: dict[str, bytes]
    seeds: tuple[str, ...]


class JoinOffer(msgspec.Struct, frozen=True):
    """What the join listener says before anybody is trusted."""

    ca: bytes
    """PEM of the root: believed only if its digest is the token's pin."""
    wall_clock_s: float


class TokenRequest(msgspec.Struct, frozen=True):
    """The operator asks his gateway for a join token."""

    valid_s: Annotated[float, msgspec.Meta(ge=1, le=30 * 86400)] = 3600.0


class TokenAnswer(msgspec.Struct, frozen=True):
    """A join token in its text form: whoever has it may join once."""

    token: str


# -- the owner's commands ----------------------------------------------------


class LeaveRequest(msgspec.Struct, frozen=True):
    """Leave the overlay for good."""

    force: bool = False
    """Destroy the instances that are here."""


class Left(msgspec.Struct, frozen=True):
    """What this machine was, and is no more."""

    overlay: str
    peer: PeerId


class DrainRequest(msgspec.Struct, frozen=True):
    """Close the PC to new claims, or open it again."""

    draining: bool
