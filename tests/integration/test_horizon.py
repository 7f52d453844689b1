# SPDX-License-Identifier: Apache-2.0
"""The dashboard of the lab, in a real browser without a screen.

Pictures of what was seen are kept in ``.lab/screenshots``, and in
``.cache/screenshots`` when the lab has gone.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator

import pytest

from devstack.lab import horizon
from devstack.lab.layout import CONTROL_ADDRESS, SLICES
from devstack.lab.names import IMAGE, KEY_NAME, NETWORK
from tests.conftest import Figure
from tests.support.browser import Browser, open_browser
from tests.support.dashboard import Dashboard
from tests.support.lab import Lab
from tests.support.servers import Bench, wait_for_login

pytestmark = pytest.mark.lab

FLAVOR = 'm1.tiny'
ACTIVE_TIMEOUT_S = 300.0


@pytest.fixture(scope='module')
def passwords(lab: Lab) -> dict[str, str]:
    """Of the lab's users."""
    words: dict[str, str] = json.loads(lab.layout.passwords.read_text())
    return words


@pytest.fixture
def browser(lab: Lab, passwords: dict[str, str]) -> Iterator[Browser]:
    """A window that reaches nothing but the dashboard.

    Its pictures outlive the lab in the cache.
    """
    pictures = lab.layout.lab / 'screenshots'
    try:
        with open_browser(CONTROL_ADDRESS, pictures) as browser:
            yield browser
    finally:
        shutil.copytree(
            pictures, lab.layout.cache / pictures.name, dirs_exist_ok=True
        )


@pytest.fixture
def name(lab: Lab, bench: Bench) -> Iterator[str]:
    """For a server that is deleted at the end, however far it came."""
    name = f'browser-{uuid.uuid4().hex[:8]}'
    yield name
    for server in lab.demo.compute.servers(name=f'^{name}$'):
        bench.adopt(server.id)


def test_user_launches_an_instance_and_sees_it_active(
    lab: Lab,
    bench: Bench,
    browser: Browser,
    passwords: dict[str, str],
    name: str,
    figure: Figure,
) -> None:
    dashboard = Dashboard(browser, horizon.URL)
    dashboard.log_in('demo', passwords['demo'])
    dashboard.open('project/instances/')
    wizard = dashboard.open_wizard()
    wizard.name(name)
    wizard.boot_from_image(IMAGE)
    browser.picture('wizard-source')
    wizard.choose('Flavor', FLAVOR)
    browser.picture('wizard-flavor')
    wizard.choose('Networks', NETWORK)
    wizard.choose('Key Pair', KEY_NAME)
    browser.picture('wizard-key-pair')
    wizard.launch()
    begin = time.monotonic()
    browser.until(
        lambda: {'Active', 'Running'} <= set(dashboard.row(name)),
        ACTIVE_TIMEOUT_S,
    )
    figure('Horizon: launch to Active on the page', time.monotonic() - begin)
    browser.picture('instances')
    dashboard.no_error()
    cells = dashboard.row(name)
    assert {IMAGE, FLAVOR, KEY_NAME} <= set(cells)
    (found,) = lab.demo.compute.servers(name=f'^{name}$')
    bench.adopt(found.id)
    server = bench.get(found.id)
    assert server.address in cells
    wait_for_login(lab, server)


def test_administrator_sees_the_slices_as_hypervisors(
    browser: Browser, passwords: dict[str, str]
) -> None:
    dashboard = Dashboard(browser, horizon.URL)
    dashboard.log_in('admin', passwords['admin'])
    dashboard.open('admin/hypervisors/')
    browser.picture('hypervisors')
    dashboard.scroll_to_table()
    browser.picture('hypervisors-table')
    rows = {name: dashboard.row(name) for name in SLICES}
    assert all('qemu' in row for row in rows.values()), rows
