# SPDX-License-Identifier: Apache-2.0
"""A gateway has its numbers come from where its configuration says.

An era that begins in another place than the one before takes along what was
written there.  That the era has begun is written last, so that whatever is
interrupted is done again, and what is done is not.  If another gateway has
begun the era, one that counted by itself before has nothing there, and does
not go on.  Every call blocks.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import eras
from p2pcs_nova.gateway.book import Former, Ledger
from p2pcs_nova.gateway.store import Carried, Store

LOG = logging.getLogger(__name__)

Word = Callable[[], wire.Era | None]


@dataclasses.dataclass(frozen=True)
class Settling:
    """See the module.

    :param me: id of this gateway
    :param store: of this machine
    :param ledger: where numbers are to come from; ``store`` perhaps
    :param former: etcd that an only gateway used before; None: none is named
    :param word: the era that is in force
    """

    me: str
    store: Store
    ledger: Ledger
    former: Former | None
    word: Word

    def settle(self, others: Collection[str] = ()) -> bool:
        """Look, and begin the era if it is this gateway's to begin.

        :param others: ids of the other gateways of the overlay
        :returns: whether it has begun
        :raises EraRefused: numbers may not come from here; nothing changed
        :raises Unavailable: that cannot be said, or done, now
        """
        stand, last, word = self._look()
        begins = self._must_begin(stand, last, word, others)
        if word is not None and begins:
            carried = self._carried(stand, last, word)
            self.ledger.begin(word.number, carried, self.me)
            stand = self.ledger.stands()
            LOG.info('%s: era %d begins', eras.named(stand.place), stand.era)
        if stand.number is not None:
            self.store.note(eras.Last(stand.place, stand.number))
        return begins

    def report(self, others: Collection[str] = ()) -> wire.EraReport:
        """How it is; nothing changes.

        :raises Unavailable: that cannot be said now
        """
        stand, last, word = self._look()
        problem = ''
        try:
            if self._must_begin(stand, last, word, others):
                self._check_losses(stand, last, word)
        except errors.EraRefused as error:
            problem = error.message
        return wire.EraReport(
            stand.place,
            stand.number,
            last.place,
            last.number,
            word,
            problem,
            self._losses(stand, last),
        )

    def _look(self) -> tuple[eras.Stand, eras.Last, wire.Era | None]:
        # In this order: a number that is given meanwhile is in the second,
        # and does not make an older copy of the first.
        last = self.store.last()
        return self.ledger.stands(), last, self.word()

    def _must_begin(
        self,
        stand: eras.Stand,
        last: eras.Last,
        word: wire.Era | None,
        others: Collection[str],
    ) -> bool:
        """See :func:`p2pcs_nova.gateway.eras.must_begin`.

        :raises EraRefused: also if what this gateway has would be left
            behind
        """
        begins = eras.must_begin(self.me, stand, last, word, others)
        if not begins and last.place == eras.COUNTER != stand.place:
            self._check_left(stand, last, word)
        return begins

    def _check_left(
        self, stand: eras.Stand, last: eras.Last, word: wire.Era | None
    ) -> None:
        """Refuse to go on where another gateway has begun without us.

        Whoever the word names: two gateways may be told the same number.
        """
        may_be_lost = word is not None and word.lost >= last.number.era
        if may_be_lost or stand.begun_by == self.me:
            return
        rows, graves = self.store.rows(), self.store.graves()
        if rows or graves:
            raise errors.EraRefused(
                f'{eras.named(stand.place)} is in era {stand.era} without '
                f'what this gateway has (instances: {len(rows)}, tombstones: '
                f'{len(graves)}); to take it along: {eras.HOW}'
            )

    def _carried(
        self, stand: eras.Stand, last: eras.Last, word: wire.Era | None
    ) -> Carried | None:
        """What goes along to the new place; None: it is there already.

        :raises EraRefused: it would be lost, and the word does not say so
        """
        lost = self._check_losses(stand, last, word)
        if last.place in ('', stand.place):
            return None
        if lost:
            # What etcd has is better than nothing; the counter's is older.
            is_all = stand.place == eras.COUNTER
            return Carried((), (), is_all=is_all)
        source: Former | Store = self.store
        if last.place != eras.COUNTER:
            assert self.former is not None
            if users := self.former.users():
                raise errors.Unavailable(
                    'other gateways still share the slices, stop their '
                    f'p2pcs-gateway: {", ".join(users)}'
                )
            source = self.former
        return Carried(
            tuple(source.rows()),
            tuple(source.graves()),
            is_all=stand.era < last.number.era or stand.place == eras.COUNTER,
        )

    def _check_losses(
        self, stand: eras.Stand, last: eras.Last, word: wire.Era | None
    ) -> bool:
        """Whether something is lost, and may be."""
        losses = self._losses(stand, last)
        if losses and (word is None or word.lost < last.number.era):
            raise errors.EraRefused(f'{losses}; {eras.HOW_LOST}')
        return bool(losses)

    def _losses(self, stand: eras.Stand, last: eras.Last) -> str:
        """Why what was written before is not to be had; '': it is."""
        if last.place == stand.place:
            if not eras.is_behind(stand, last):
                return ''
            return f'{eras.named(stand.place)} has not all that it had'
        if last.place in ('', eras.COUNTER):
            return ''
        if self.former is None:
            return (
                f'what was written in {last.place} would be lost: name it in '
                'etcd_endpoints beside alone = true'
            )
        if eras.is_behind(former := self.former.stands(), last) or (
            former.place != last.place
        ):
            return f'{former.place} has not all that was in {last.place}'
        return ''
