# SPDX-License-Identifier: Apache-2.0
"""Images by their headers, harmless and other, made without any tool."""

import struct

FEATURES = 72
"""Where the features of a qcow2 image are, that one must know to read it."""
DATA_FILE = 1 << 2
EXTENTS = (
    '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n'
    'createType="monolithicFlat"\n\n# Extent description\n'
    'RW 2048 FLAT "/etc/shadow" 0\n'
)


def qcow2(
    size: int = 2**20,
    *,
    backing: str = '',
    features: int = 0,
    version: int = 3,
) -> bytes:
    """A header that says so, and an empty cluster or two."""
    backing_at = 512 if backing else 0
    header = struct.pack(
        '>4sIQIIQ', b'QFI\xfb', version, backing_at, len(backing), 16, size
    )
    header = header.ljust(FEATURES, b'\0') + struct.pack('>Q', features)
    header = header.ljust(512, b'\0') + backing.encode()
    return header.ljust(2 * 65536, b'\0')


def vmdk() -> bytes:
    """A sparse one whose descriptor names a file of its reader."""
    header = struct.pack(
        '<4sIIQQQQIQQQ', b'KDMV', 1, 3, 2048, 128, 1, 2, 512, 0, 0, 128
    )
    return header.ljust(512, b'\0') + EXTENTS.encode().ljust(2**17, b'\0')


def vdi() -> bytes:
    """VirtualBox's; only its signature matters here."""
    header = bytes(0x40) + struct.pack('<I', 0xBEDA107F)
    return header.ljust(2**17, b'\0')
