# SPDX-License-Identifier: Apache-2.0
"""What is passed on, by which way, how often, and in what order."""

from hypothesis import given
from hypothesis import strategies as st

from gossip import codec, config, messages, rumours
from gossip.rumours import Care, Fresh, Way

CONFIG = config.NodeConfig()


def queue() -> rumours.Rumours:
    return rumours.Rumours(CONFIG)


def news(number: int, size: int = 10) -> messages.RecordItem:
    return messages.RecordItem(bytes([number % 256]) * size, bytes(64))


def frame(number: int) -> bytes:
    return codec.encode(news(number))


def test_calm_news_wait_for_company_and_are_told_once() -> None:
    many = queue()
    many.tell(('a',), news(1), Care.CALM)
    many.settle(5.0)
    many.tell(('b',), news(2), Care.CALM)
    many.settle(5.1)

    assert many.deadline() == 5.0 + CONFIG.calm_delay_s
    assert many.take_fresh(5.1) == []
    assert many.take_fresh(5.3) == [
        Fresh(frame(1), Care.CALM),
        Fresh(frame(2), Care.CALM),
    ]
    assert many.deadline() is None
    assert many.take_fresh(9.0) == []


def test_pressing_news_take_the_calm_ones_along() -> None:
    many = queue()
    many.tell(('a',), news(1), Care.CALM)
    many.settle(5.0)
    many.tell(('b',), news(2), Care.SURE)
    many.settle(5.1)

    assert many.deadline() == 5.1 + CONFIG.push_delay_s
    assert len(many.take_fresh(5.12)) == 2


def test_newer_news_of_one_key_replace_older() -> None:
    many = queue()
    many.tell(('a',), news(1), Care.CALM)
    many.tell(('a',), news(2), Care.CALM)
    many.settle(0.0)

    assert len(many) == 1
    assert many.take_fresh(1.0) == [Fresh(frame(2), Care.CALM)]


def test_what_another_says_goes_on_as_it_came() -> None:
    many = queue()
    for number, way in enumerate(Way):
        many.way = way
        many.pass_on((number,), news(number), Care.CALM)
    many.settle(0.0)
    order = list(Way)

    assert many.take_fresh(1.0) == [
        Fresh(frame(order.index(Way.FIRST_HAND)), Care.CALM)
    ]
    assert many.take_relayed() == [frame(order.index(Way.RELAYED))]
    assert many.take_relayed() == []
    assert many.take_riding(1000, 100) == b''


def test_what_is_no_news_is_relayed_for_those_behind_us() -> None:
    many = queue()
    many.way = Way.STORED
    many.pass_on(('a',), news(1), Care.CALM)
    many.repeat(news(1))
    assert many.take_repeated() == []

    many.way = Way.RELAYED
    many.repeat(news(1))

    assert many.take_relayed() == []
    assert many.take_repeated() == [frame(1)]
    assert many.take_repeated() == []


def test_urgent_news_ride_log_times_others_never() -> None:
    many = queue()
    many.tell(('calm',), news(1), Care.CALM)
    many.tell(('sure',), news(2), Care.SURE)
    many.tell(('urgent',), news(3), Care.URGENT)
    many.settle(0.0)
    assert not many.take_riding(1000, 100)
    assert len(many.take_fresh(1.0)) == 3

    rides = [
        codec.decode(many.take_riding(1000, 100)).messages for _ in range(20)
    ]

    assert [ride for ride in rides if ride] == [[news(3)]] * 7
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
        many.tell((key,), news(key, size), Care.URGENT)
    many.settle(0.0)
    many.take_fresh(1.0)

    assert len(many.take_riding(room, 100)) <= room


@given(st.lists(st.integers(0, 900), max_size=50))
def test_frames_are_cut_to_the_room_in_order(sizes: list[int]) -> None:
    frames = [bytes(size) for size in sizes]

    groups = list(rumours.cut(frames, 1000))

    assert [one for group in groups for one in group] == frames
    assert all(
        0 < sum(map(len, group)) <= 1000 or not any(group) for group in groups
    )


def test_queue_is_bounded() -> None:
    many = queue()
    many.way = Way.FIRST_HAND
    for number in range(3000):
        many.pass_on((number,), news(number), Care.URGENT)
    many.settle(0.0)

    assert len(many) == 1024
    assert len(many.take_fresh(1.0)) == 1024


def test_queue_of_what_does_not_press_is_bounded_too() -> None:
    many = queue()
    for number in range(3000):
        many.tell((number,), news(number), Care.CALM)
    many.settle(0.0)

    assert len(many.take_fresh(1.0)) == 1024


def test_so_much_is_held_back_and_no_more() -> None:
    many = queue()
    many.way = Way.RELAYED
    for number in range(1025):
        many.hold_back((number,), news(number, 10 + number))
    for number in (0, 1, 1024):
        many.repeat(news(number, 10 + number))

    assert many.take_repeated() == [codec.encode(news(0))]
