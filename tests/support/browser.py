# SPDX-License-Identifier: Apache-2.0
"""A browser for tests: Debian's Chromium without a screen."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeVar

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = '/usr/bin/chromium'
CHROMEDRIVER = '/usr/bin/chromedriver'
PAGE_TIMEOUT_S = 120.0
GENEROUS_S = 120.0
POLL_S = 0.2
FLAGS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-dev-shm-usage',
    '--window-size=1500,900',
    '--proxy-server=direct://',
)
#: What happens to an element while a page is drawn again.
UNSETTLED = (
    exceptions.NoSuchElementException,
    exceptions.StaleElementReferenceException,
    exceptions.ElementClickInterceptedException,
    exceptions.ElementNotInteractableException,
)

T = TypeVar('T')


class Browser:
    """One window.

    :param screenshots: the folder for pictures of it
    """

    def __init__(self, driver: WebDriver, screenshots: pathlib.Path) -> None:
        self.driver = driver
        self._screenshots = screenshots

    def picture(self, name: str) -> None:
        """Keep what the window shows."""
        self._screenshots.mkdir(parents=True, exist_ok=True)
        path = self._screenshots / f'{name}.png'
        assert self.driver.save_screenshot(str(path)), path

    def until(
        self, what: Callable[[], T | None], timeout_s: float = GENEROUS_S
    ) -> T:
        """What the function gives, once it is true.

        :raises AssertionError: it was not in time
        """
        wait = WebDriverWait(
            self.driver,
            timeout_s,
            poll_frequency=POLL_S,
            ignored_exceptions=UNSETTLED,
        )
        try:
            found = wait.until(lambda _: what())
        except exceptions.TimeoutException as error:
            at = self.driver.current_url
            raise AssertionError(
                f'not shown within {timeout_s:g} s at {at}'
            ) from error
        assert found is not None
        return found

    def shown(self, css: str) -> WebElement:
        """The first visible element, once there is one."""
        return self.until(lambda: self.shown_now(css))

    def shown_now(self, css: str) -> WebElement | None:
        """The first visible element, if there is one."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return next((one for one in found if one.is_displayed()), None)

    def click(self, find: Callable[[], WebElement | None]) -> None:
        """Click on what the function finds, once it can be clicked on."""

        def clicked() -> bool:
            element = find()
            if element is None or not element.is_enabled():
                return False
            element.click()
            return True

        self.until(clicked)


@contextlib.contextmanager
def open_browser(host: str, screenshots: pathlib.Path) -> Iterator[Browser]:
    """A window with a fresh profile; what goes wrong is kept in a picture.

    :param host: the only one that it finds
    """
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            *FLAGS,
            f'--user-data-dir={profile}',
            f'--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}',
        ):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(CHROMEDRIVER))
        try:
            driver.set_page_load_timeout(PAGE_TIMEOUT_S)
            browser = Browser(driver, screenshots)
            try:
                yield browser
            except BaseException:
                browser.picture('failure')
                raise
        finally:
            driver.quit()
