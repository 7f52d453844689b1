# SPDX-License-Identifier: Apache-2.0
"""The KVM probe, with the real QEMU of this machine."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import trio

from p2pcs_nova.peer import boot_sector, kvm_probe
from tests.support.waiting import until

QEMU = shutil.which('qemu-system-x86_64') or ''

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.skipif(not QEMU, reason='QEMU is not installed'),
]


def script(path: pathlib.Path, text: str) -> str:
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return str(path)


def test_guest_runs_under_emulation() -> None:
    verdict = trio.run(kvm_probe.guest_runs, QEMU, 'tcg', 30.0)
    assert verdict == kvm_probe.KvmVerdict(True, 'a tiny guest ran under tcg')


@pytest.mark.trio
async def test_kvm_is_judged_in_time() -> None:
    with trio.fail_after(60):
        verdict = await kvm_probe.kvm_works(QEMU, 4.0)
    if not verdict.works:
        assert verdict.reason


def test_unknown_accelerator_is_named_by_qemu_itself() -> None:
    verdict = trio.run(kvm_probe.guest_runs, QEMU, 'nonesuch', 30.0)
    assert not verdict.works
    assert 'ended with 1: ' in verdict.reason
    assert 'nonesuch' in verdict.reason


def test_hung_guest_is_killed(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / 'pid'
    hung = script(tmp_path / 'hung', f'echo $$ >{pid}; exec sleep 600')
    verdict = trio.run(kvm_probe.guest_runs, hung, 'kvm', 3.0)
    assert not verdict.works
    assert 'not done after 3 s' in verdict.reason
    assert not pathlib.Path('/proc', pid.read_text().strip()).exists()


@pytest.mark.trio
async def test_cancelled_probe_leaves_no_process(
    tmp_path: pathlib.Path,
) -> None:
    ready = tmp_path / 'ready'
    os.mkfifo(ready)
    hung = script(tmp_path / 'hung', f'echo $$ >{ready}; exec sleep 600')
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kvm_probe.guest_runs, hung, 'kvm', 600.0)
            pid = await trio.to_thread.run_sync(ready.read_text)
            nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_guest_dies_with_the_daemon(tmp_path: pathlib.Path) -> None:
    ready = tmp_path / 'ready'
    os.mkfifo(ready)
    hung = script(tmp_path / 'hung', f'echo $$ >{ready}; exec sleep 600')
    text = (
        'import trio\nfrom p2pcs_nova.peer import kvm_probe\n'
        f'trio.run(kvm_probe.guest_runs, {hung!r}, "kvm", 600.0)'
    )
    with subprocess.Popen([sys.executable, '-c', text]) as daemon:
        pid = int(ready.read_text())
        daemon.kill()
    until(lambda: not pathlib.Path(f'/proc/{pid}').exists())


def test_word_without_exit_status_is_no_proof(tmp_path: pathlib.Path) -> None:
    word = boot_sector.WORD.decode()
    liar = script(tmp_path / 'liar', f"printf '{word}'")
    verdict = trio.run(kvm_probe.guest_runs, liar, 'kvm', 5.0)
    assert verdict == kvm_probe.KvmVerdict(
        False, 'a tiny guest under kvm ended with 0'
    )


def test_missing_qemu_and_missing_device_are_said(
    tmp_path: pathlib.Path,
) -> None:
    verdict = trio.run(kvm_probe.guest_runs, '/nonexistent', 'tcg', 5.0)
    assert verdict.reason == (
        'a tiny guest under tcg ended with 127: setpriv: failed to execute '
        '/nonexistent: No such file or directory'
    )
    device = tmp_path / 'kvm'
    verdict = trio.run(kvm_probe.kvm_works, QEMU, 5.0, device)
    assert verdict.reason == (
        f'{device} cannot be opened: No such file or directory'
    )
