# SPDX-License-Identifier: Apache-2.0
"""What the driver may rely on, whoever stands behind the local client.

Derive from :class:`OverlayContract` and give the fixture ``overlay``.  The
fake in memory passes it in the unit tests, the real daemon in the lab.
"""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from typing import Any

import pytest
from msgspec import structs

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local

State = wire.InstanceState
Action = wire.Action
UNKNOWN_UUID = '00000000-0000-4000-8000-000000000000'


@dataclasses.dataclass(frozen=True)
class Subject:
    """An overlay with at least one slice with free room."""

    client: local.LocalClient
    slice: str
    image: wire.Image
    image_bytes: bytes
    need: wire.Capacity
    """Fits on every PC, several times."""
    timeout_s: float = 120.0
    network: str = ''
    """Physical network of one port; '' for no port."""


def make_request(
    subject: Subject, need: wire.Capacity | None = None
) -> wire.SpawnRequest:
    """A spawn of a new instance."""
    need = need or subject.need
    instance = str(uuid.uuid4())
    port = str(uuid.uuid4())
    mac = 'fa:16:3e:' + ':'.join(port[n : n + 2] for n in (0, 2, 4))
    vifs = (wire.Vif(port, mac, subject.network),) if subject.network else ()
    return wire.SpawnRequest(
        claim=wire.Claim(
            instance,
            need,
            tuple(vif.network for vif in vifs),
            subject.image.digest,
        ),
        spec=wire.InstanceSpec(
            instance=instance,
            name='contract',
            need=need,
            image=subject.image,
            root_mb=need.disk_mb,
            vifs=vifs,
        ),
    )


class OverlayContract:
    """The tests."""

    @pytest.fixture
    def overlay(self) -> Subject:
        """What is tested; the deriving class says."""
        raise NotImplementedError

    @pytest.fixture
    def plugged(self, overlay: Subject) -> Any:
        """The uuid of an instance that is built and not yet started."""
        put_image(overlay)
        request = make_request(overlay)
        overlay.client.spawn(overlay.slice, request, overlay.timeout_s)
        yield request.spec.instance
        overlay.client.destroy(overlay.slice, request.spec.instance)

    def state(self, overlay: Subject, instance: str) -> State:
        found = overlay.client.instance(overlay.slice, instance)
        return found.status.state

    def act(
        self, overlay: Subject, instance: str, action: Action
    ) -> wire.Placed:
        return overlay.client.action(
            overlay.slice, instance, wire.ActionRequest(action)
        )

    def test_slice_has_room_and_an_unknown_one_is_not_found(
        self, overlay: Subject
    ) -> None:
        summary = overlay.client.slice(overlay.slice)
        assert summary.name == overlay.slice
        assert summary.total.fits(overlay.need)
        assert summary.largest.fits(overlay.need)
        with pytest.raises(errors.NotFound):
            overlay.client.slice('no-such-slice')

    def test_slices_tell_their_room_and_wishes_limit_it(
        self, overlay: Subject
    ) -> None:
        def fit(need: wire.Capacity, name: str = '') -> wire.SliceFit:
            request = wire.FitRequest(need, wishes=wire.Wishes(slice=name))
            found = overlay.client.fits(request).slices
            return next(one for one in found if one.slice == overlay.slice)

        some = fit(overlay.need)
        assert some.slots >= some.peers >= 1
        assert some.matching >= some.peers
        assert fit(overlay.need, overlay.slice) == some
        none = fit(wire.Capacity(2**12, 1, 1))
        assert (none.peers, none.slots) == (0, 0)
        assert sum(none.refused.values()) == none.matching == some.matching
        with pytest.raises(errors.NotFound):
            fit(overlay.need, 'no-such-slice')

    def test_spawn_answers_when_plugged_and_is_idempotent(
        self, overlay: Subject, plugged: str
    ) -> None:
        found = overlay.client.instance(overlay.slice, plugged)
        assert found.status.state is State.PLUGGED
        assert found.reachable
        request = for_instance(make_request(overlay), plugged)
        again = overlay.client.spawn(overlay.slice, request, overlay.timeout_s)
        assert again.status.epoch == found.status.epoch
        assert again.peer == found.peer

    def test_spawn_in_the_place_of_an_epoch_builds_anew_once(
        self, overlay: Subject, plugged: str
    ) -> None:
        before = overlay.client.instance(overlay.slice, plugged)
        request = structs.replace(
            for_instance(make_request(overlay), plugged),
            instead_of=before.status.epoch,
        )
        after, again = (
            overlay.client.spawn(overlay.slice, request, overlay.timeout_s)
            for _ in range(2)
        )
        assert after.status.epoch > before.status.epoch
        assert after.status.state is State.PLUGGED
        assert after.peer == before.peer
        assert again.status.epoch == after.status.epoch

    def test_actions_lead_where_they_say(
        self, overlay: Subject, plugged: str
    ) -> None:
        for action, state in (
            (Action.START, State.RUNNING),
            (Action.START, State.RUNNING),
            (Action.PAUSE, State.PAUSED),
            (Action.UNPAUSE, State.RUNNING),
            (Action.SUSPEND, State.SUSPENDED),
            (Action.SUSPEND, State.SUSPENDED),
            (Action.RESUME, State.RUNNING),
            (Action.SUSPEND, State.SUSPENDED),
            (Action.REBOOT_HARD, State.RUNNING),
            (Action.STOP, State.STOPPED),
            (Action.STOP, State.STOPPED),
            (Action.START, State.RUNNING),
        ):
            placed = self.act(overlay, plugged, action)
            assert placed.status.state is state, action
            assert self.state(overlay, plugged) is state, action

    def test_action_that_the_state_forbids_changes_nothing(
        self, overlay: Subject, plugged: str
    ) -> None:
        self.act(overlay, plugged, Action.START)
        self.act(overlay, plugged, Action.STOP)
        with pytest.raises(errors.WrongState):
            self.act(overlay, plugged, Action.PAUSE)
        assert self.state(overlay, plugged) is State.STOPPED

    def test_rules_are_taken_for_what_is_built_and_nothing_else(
        self, overlay: Subject, plugged: str
    ) -> None:
        shut = wire.FilterRequest(())
        overlay.client.filter(overlay.slice, plugged, shut)
        overlay.client.filter(overlay.slice, plugged, shut)
        with pytest.raises(errors.NotFound):
            overlay.client.filter(overlay.slice, UNKNOWN_UUID, shut)

    def test_what_a_pc_has_destroyed_has_no_grave(
        self, overlay: Subject, plugged: str
    ) -> None:
        assert overlay.client.destroy(overlay.slice, plugged).done
        graves = overlay.client.graves().graves
        assert plugged not in {grave.instance for grave in graves}

    def test_copy_of_a_disk_is_read_to_its_end(
        self, overlay: Subject, plugged: str
    ) -> None:
        request = wire.SnapshotRequest(overlay.timeout_s)
        for _ in range(2):
            with overlay.client.snapshot(
                overlay.slice, plugged, request
            ) as copy:
                data = b''.join(iter(lambda: copy.read(2**16), b''))
                assert copy.size_bytes == len(data)
                assert data.startswith(b'QFI\xfb')
        with (
            pytest.raises(errors.NotFound),
            overlay.client.snapshot(overlay.slice, UNKNOWN_UUID, request),
        ):
            pass

    def test_what_fits_no_peer_is_refused(self, overlay: Subject) -> None:
        put_image(overlay)
        largest = overlay.client.slice(overlay.slice).largest
        request = make_request(
            overlay,
            wire.Capacity(
                largest.vcpus + 1, overlay.need.memory_mb, overlay.need.disk_mb
            ),
        )
        with pytest.raises(errors.NoPeerFits):
            overlay.client.spawn(overlay.slice, request, overlay.timeout_s)
        with pytest.raises(errors.NotFound):
            overlay.client.instance(overlay.slice, request.spec.instance)

    def test_what_a_wish_can_name_is_told(self, overlay: Subject) -> None:
        found = overlay.client.wishable()
        assert overlay.slice in found.slices
        assert found.attributes['cores'] is wire.Kind.NUMBER

    @pytest.mark.parametrize(
        'wishes',
        [
            wire.Wishes(query='cores >='),
            wire.Wishes(query='corse >= 1'),
            wire.Wishes(slice='no-such-slice'),
            wire.Wishes(query='kvm', hint_query='cores >='),
        ],
    )
    def test_wish_that_is_none_is_refused_and_nothing_begun(
        self, overlay: Subject, wishes: wire.Wishes
    ) -> None:
        put_image(overlay)
        request = structs.replace(make_request(overlay), wishes=wishes)
        with pytest.raises(errors.Malformed):
            overlay.client.spawn(overlay.slice, request, overlay.timeout_s)
        with pytest.raises((errors.Malformed, errors.NotFound)):
            overlay.client.fits(wire.FitRequest(overlay.need, wishes=wishes))
        with pytest.raises(errors.NotFound):
            overlay.client.instance(overlay.slice, request.spec.instance)

    def test_wish_that_no_pc_fulfils_is_refused(
        self, overlay: Subject
    ) -> None:
        put_image(overlay)
        wishes = wire.Wishes(slice=overlay.slice, query="site == 'nowhere'")
        request = structs.replace(make_request(overlay), wishes=wishes)
        with pytest.raises(errors.NoPeerFits):
            overlay.client.spawn(overlay.slice, request, overlay.timeout_s)
        found = overlay.client.fits(
            wire.FitRequest(overlay.need, wishes=wishes)
        )
        assert not any(one.matching for one in found.slices)

    def test_unknown_instance_is_not_found(self, overlay: Subject) -> None:
        with pytest.raises(errors.NotFound):
            overlay.client.instance(overlay.slice, UNKNOWN_UUID)
        with pytest.raises(errors.NotFound):
            self.act(overlay, UNKNOWN_UUID, Action.STOP)
        with pytest.raises(errors.NotFound):
            overlay.client.console(overlay.slice, UNKNOWN_UUID, 10)

    def test_destroy_leaves_nothing_and_may_be_repeated(
        self, overlay: Subject, plugged: str
    ) -> None:
        used = overlay.client.slice(overlay.slice).used
        assert overlay.client.destroy(overlay.slice, plugged).done
        assert overlay.client.destroy(overlay.slice, plugged).done
        with pytest.raises(errors.NotFound):
            overlay.client.instance(overlay.slice, plugged)
        left = overlay.client.slice(overlay.slice).used
        assert left.vcpus == used.vcpus - overlay.need.vcpus

    def test_placements_wait_for_a_change(
        self, overlay: Subject, plugged: str
    ) -> None:
        before = overlay.client.placements(overlay.slice)
        assert plugged in {p.status.instance for p in before.instances}
        same = overlay.client.placements(
            overlay.slice, after=before.revision, wait_s=0.01
        )
        assert same.revision == before.revision
        self.act(overlay, plugged, Action.START)
        after = overlay.client.placements(
            overlay.slice, after=before.revision, wait_s=60.0
        )
        assert after.revision > before.revision

    def test_image_is_kept_only_if_it_is_what_its_digest_says(
        self, overlay: Subject
    ) -> None:
        put_image(overlay)
        assert overlay.client.has_image(overlay.image.digest)
        digest = 'sha512:' + hashlib.sha512(b'other').hexdigest()
        wrong = wire.Image(digest, 'raw', len(overlay.image_bytes))
        with pytest.raises(errors.ImageRefused):
            overlay.client.put_image(wrong, [overlay.image_bytes])
        assert not overlay.client.has_image(digest)


def put_image(overlay: Subject) -> None:
    """Have the gateway hold the image."""
    if not overlay.client.has_image(overlay.image.digest):
        overlay.client.put_image(overlay.image, [overlay.image_bytes])


def for_instance(
    request: wire.SpawnRequest, instance: str
) -> wire.SpawnRequest:
    """The same request for another instance."""
    return wire.SpawnRequest(
        claim=structs.replace(request.claim, instance=instance),
        spec=structs.replace(request.spec, instance=instance),
    )
