# SPDX-License-Identifier: Apache-2.0
"""Proving KVM: a tiny guest boots under it within a time limit, or not.

That ``/dev/kvm`` opens proves nothing: in some virtual machines a guest under
it hangs, or crawls because the host emulates each instruction, until it fails.
So a PC offers KVM only when the guest of ``boot_sector`` has run to its end.
"""

import dataclasses
import pathlib
import tempfile

import trio

from p2pcs_nova import children
from p2pcs_nova.peer import boot_sector

# A guest caught inside the kernel may outlive SIGKILL for a while: we do not
# wait for it longer than this.
_REAP_S = 1.0


@dataclasses.dataclass(frozen=True)
class KvmVerdict:
    """Whether guests run under KVM here, and why we think so."""

    works: bool
    reason: str


async def kvm_works(
    qemu: str,
    timeout_s: float = 5.0,
    device: pathlib.Path = pathlib.Path('/dev/kvm'),
) -> KvmVerdict:
    """Find out whether a guest really runs under KVM on this machine.

    :param qemu: path of QEMU's system emulator for x86-64
    :param timeout_s: what the guest may take; with a KVM that works it
        needs less than one second
    :returns: within ``timeout_s`` and one second, whatever happens
    """
    try:
        device.open('r+b', buffering=0).close()
    except OSError as error:
        words = f'{device} cannot be opened: {error.strerror}'
        return KvmVerdict(False, words)
    return await guest_runs(qemu, 'kvm', timeout_s)


async def guest_runs(
    qemu: str, accelerator: str, timeout_s: float
) -> KvmVerdict:
    """Boot the tiny guest under an accelerator of QEMU.

    QEMU is dead when this returns or is cancelled, or when we are killed,
    unless the kernel holds it beyond SIGKILL.
    """
    with tempfile.TemporaryDirectory(prefix='p2pcs-probe-') as name:
        folder = pathlib.Path(name)
        try:
            status = await _run(folder, qemu, accelerator, timeout_s)
        except OSError as error:
            return KvmVerdict(False, f'{qemu} cannot be run: {error}')
        return _verdict(folder, accelerator, status, timeout_s)


async def _run(
    folder: pathlib.Path, qemu: str, accelerator: str, timeout_s: float
) -> int | None:
    """Run QEMU; its exit status, or None if it had to be killed."""
    disk = folder / 'disk'
    disk.write_bytes(boot_sector.BOOT_SECTOR)
    command = [qemu, '-accel', accelerator, '-machine', 'pc', '-m', '16']
    command += ['-nodefaults', '-no-user-config', '-display', 'none']
    command += ['-drive', f'file={disk},format=raw,if=ide']
    command += ['-chardev', 'stdio,id=out']
    command += ['-device', 'isa-debugcon,iobase=0xe9,chardev=out']
    command += ['-device', 'isa-debug-exit,iobase=0xf4,iosize=1']
    # Files and not pipes: nobody has to read, and QEMU never waits for us.
    with (
        (folder / 'out').open('wb') as out,
        (folder / 'err').open('wb') as err,
    ):
        process = children.start(command, stdout=out, stderr=err)
    try:
        with trio.move_on_after(timeout_s):
            return await children.wait(process)
        return None
    finally:
        process.kill()
        with trio.move_on_after(_REAP_S, shield=True):
            await children.wait(process)


def _verdict(
    folder: pathlib.Path,
    accelerator: str,
    status: int | None,
    timeout_s: float,
) -> KvmVerdict:
    if status is None:
        return KvmVerdict(
            False,
            f'a tiny guest under {accelerator} was not done after '
            f'{timeout_s:g} s and was killed',
        )
    said = (folder / 'out').read_bytes()
    if status == boot_sector.EXIT_STATUS and said == boot_sector.WORD:
        return KvmVerdict(True, f'a tiny guest ran under {accelerator}')
    words = (folder / 'err').read_text(errors='replace').split('\n')[0]
    return KvmVerdict(
        False,
        f'a tiny guest under {accelerator} ended with {status}'
        + (f': {words[:200]}' if words else ''),
    )
