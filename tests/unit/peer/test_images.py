# SPDX-License-Identifier: Apache-2.0
"""Images: fetched once, checked always, removed when room is needed."""

import contextlib
import os
import pathlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import trio

from p2pcs_nova import errors, imaging, wire
from p2pcs_nova.peer import images
from tests.support.one_peer import image_of

pytestmark = pytest.mark.trio


class Sender:
    """Gives bytes, and counts how often it was asked."""

    def __init__(self, content: bytes, piece: int = 1000) -> None:
        self.content = content
        self.piece = piece
        self.asked = 0
        self.let_go = trio.Event()
        self.let_go.set()

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked += 1
        yield self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), self.piece):
            await self.let_go.wait()
            yield self.content[start : start + self.piece]


def cache(folder: pathlib.Path, *in_use: wire.Image) -> images.Images:
    made = images.Images(
        folder / 'images', lambda: frozenset(i.digest for i in in_use)
    )
    made.open()
    return made


CONTENT = bytes(range(256)) * 20


async def test_image_is_fetched_once(tmp_path: pathlib.Path) -> None:
    made, sender, image = cache(tmp_path), Sender(CONTENT), image_of(CONTENT)
    assert not made.has(image.digest)
    assert await made.get(image, sender) == len(CONTENT)
    await made.get(image, sender)
    assert sender.asked == 1
    assert made.path(image.digest).read_bytes() == CONTENT
    assert made.path(image.digest).stat().st_mode & 0o777 == 0o400


async def test_second_asker_waits_for_the_first(
    tmp_path: pathlib.Path,
) -> None:
    made, sender, image = cache(tmp_path), Sender(CONTENT), image_of(CONTENT)
    sender.let_go = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(made.get, image, sender)
        await trio.testing.wait_all_tasks_blocked()
        sender.let_go.set()
    assert sender.asked == 1


async def test_other_bytes_than_the_digest_s_are_dropped(
    tmp_path: pathlib.Path,
) -> None:
    made, image = cache(tmp_path), image_of(CONTENT)
    with pytest.raises(errors.ImageRefused, match='sha256'):
        await made.get(image, Sender(bytes(len(CONTENT))))
    assert list((tmp_path / 'images').iterdir()) == []
    await made.get(image, Sender(CONTENT))


@pytest.mark.parametrize('content', [CONTENT[:-1], CONTENT + b'x'])
async def test_another_size_is_refused(
    tmp_path: pathlib.Path, content: bytes
) -> None:
    with pytest.raises(errors.ImageRefused):
        await cache(tmp_path).get(image_of(CONTENT), Sender(content))


async def test_qcow2_with_a_backing_file_is_refused_though_its_digest_fits(
    tmp_path: pathlib.Path,
) -> None:
    disk = tmp_path / 'evil.qcow2'
    await trio.run_process(
        [
            *('qemu-img', 'create', '-q', '-u', '-f', 'qcow2'),
            *('-F', 'raw', '-b', '/etc/passwd', disk, '1M'),
        ],
    )
    content = disk.read_bytes()
    with pytest.raises(errors.ImageRefused, match='backing'):
        await cache(tmp_path).get(image_of(content, 'qcow2'), Sender(content))


async def test_cached_image_is_looked_at_as_each_request_names_its_format(
    tmp_path: pathlib.Path,
) -> None:
    made, image = cache(tmp_path), image_of(CONTENT)
    await made.get(image, Sender(CONTENT))
    with pytest.raises(errors.ImageRefused, match='qcow2'):
        await made.get(
            msgspec.structs.replace(image, format='qcow2'), Sender(b'')
        )


async def test_unused_images_make_room_oldest_first(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [bytes([n]) * 5000 for n in range(4)]
    old, used, young, new = (image_of(content) for content in contents)
    made = cache(tmp_path, used)
    for number, image in enumerate((used, old, young)):
        await made.get(
            image, Sender(contents[(old, used, young).index(image)])
        )
        os.utime(made.path(image.digest), (number, number))

    def free(folder: pathlib.Path) -> int:
        kept = sum(path.stat().st_size for path in folder.iterdir())
        return images.KEEP_FREE + 15_000 - kept

    monkeypatch.setattr(imaging, 'free_bytes', free)
    await made.get(new, Sender(contents[3]))
    assert [made.has(i.digest) for i in (old, used, young, new)] == [
        False,
        True,
        True,
        True,
    ]


async def test_no_room_is_said_before_anything_is_fetched(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, sender = cache(tmp_path), Sender(CONTENT)
    monkeypatch.setattr(imaging, 'free_bytes', lambda folder: 0)
    with pytest.raises(errors.NoSpace, match='does not fit'):
        await made.get(image_of(CONTENT), sender)
    assert sender.asked == 0


async def test_images_on_their_way_count(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, slow, other = cache(tmp_path), Sender(CONTENT), bytes(5000)
    slow.let_go = trio.Event()
    room = images.KEEP_FREE + len(CONTENT) + len(other) - 1
    monkeypatch.setattr(imaging, 'free_bytes', lambda folder: room)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.get, image_of(CONTENT), slow)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(errors.NoSpace):
            await made.get(image_of(other), Sender(other))
        slow.let_go.set()
    await made.get(image_of(other), Sender(other))


async def test_what_is_spared_is_left_free(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared = [20_000]
    made = images.Images(tmp_path / 'images', frozenset, lambda: spared[0])
    made.open()
    monkeypatch.setattr(imaging, 'free_bytes', lambda folder: 20_000)
    with pytest.raises(errors.NoSpace, match='kept for the owner'):
        await made.get(image_of(CONTENT), Sender(CONTENT))
    spared[0] -= len(CONTENT)
    await made.get(image_of(CONTENT), Sender(CONTENT))


async def test_silent_sender_is_given_up(
    tmp_path: pathlib.Path, autojump_clock: trio.testing.MockClock
) -> None:
    made, sender = cache(tmp_path), Sender(CONTENT)
    sender.let_go = trio.Event()
    with pytest.raises(errors.Unreachable, match='stopped coming'):
        await made.get(image_of(CONTENT), sender)
    assert list((tmp_path / 'images').iterdir()) == []


async def test_rest_of_an_interrupted_download_is_removed_at_the_start(
    tmp_path: pathlib.Path,
) -> None:
    made, sender = cache(tmp_path), Sender(CONTENT)
    folder = tmp_path / 'images'
    await made.get(image_of(CONTENT), sender)
    (folder / '.part-x').write_bytes(b'x')
    made.open()
    assert [path.name for path in folder.iterdir()] == [
        made.path(image_of(CONTENT).digest).name
    ]
