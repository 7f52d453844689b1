# SPDX-License-Identifier: Apache-2.0
"""What is passed on, how often, and in what order."""

from hypothesis import given
from hypothesis import strategies as st

from gossip import codec, config, messages, rumours

CONFIG = config.NodeConfig()


def queue() -> rumours.Rumours:
    return rumours.Rumours(CONFIG)


def news(number: int, size: int = 10) -> messages.RecordItem:
    return messages.RecordItem(bytes([number % 256]) * size, bytes(64))


def test_fresh_news_are_pushed_once_after_the_delay() -> None:
    many = queue()
    many.add(('a',), news(1), urgent=False)
    many.settle(5.0)

    assert many.deadline() == 5.0 + CONFIG.push_delay_s
    assert list(many.pushes(1000, 5.0)) == []
    assert list(many.pushes(1000, 5.1)) == [codec.encode(news(1))]
    assert many.deadline() is None
    assert list(many.pushes(1000, 6.0)) == []


def test_newer_news_of_one_key_replace_older() -> None:
    many = queue()
    many.add(('a',), news(1), urgent=False)
    many.add(('a',), news(2), urgent=False)
    many.settle(0.0)

    assert len(many) == 1
    assert list(many.pushes(1000, 1.0)) == [codec.encode(news(2))]


def test_pushes_are_cut_to_the_room() -> None:
    many = queue()
    for number in range(10):
        many.add((number,), news(number, 300), urgent=False)
    many.settle(0.0)

    pieces = list(many.pushes(1000, 1.0))

    assert all(len(piece) <= 1000 for piece in pieces)
    found = [m for piece in pieces for m in codec.decode(piece).messages]
    assert found == [news(number, 300) for number in range(10)]


def test_once_pushed_urgent_news_ride_log_times_others_once() -> None:
    many = queue()
    many.add(('calm',), news(1), urgent=False)
    many.add(('urgent',), news(2), urgent=True)
    many.settle(0.0)
    assert not many.take(1000, 100)
    assert list(many.pushes(1000, 1.0))

    rides = [codec.decode(many.take(1000, 100)).messages for _ in range(20)]

    assert sum(news(1) in ride for ride in rides) == 1
    assert sum(news(2) in ride for ride in rides) == 7
    assert len(many) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 900)), max_size=50
    ),
    st.integers(0, 1152),
)
def test_what_rides_fits(added: list[tuple[int, int]], room: int) -> None:
    many = queue()
    for key, size in added:
        many.add((key,), news(key, size), urgent=True)
    many.settle(0.0)
    list(many.pushes(1152, 1.0))

    assert len(many.take(room, 100)) <= room


def test_queue_is_bounded() -> None:
    many = queue()
    for number in range(3000):
        many.add((number,), news(number), urgent=True)

    assert len(many) == 1024
