# SPDX-License-Identifier: Apache-2.0
"""Horizon as a user finds it in a browser."""

from __future__ import annotations

from selenium.common.exceptions import NoSuchElementException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.browser import Browser

STEP = '.ng-wizard .step:not(.ng-hide)'


class Dashboard:
    """A user's window.

    :param url: Horizon's, with a slash at its end
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    def open(self, path: str) -> None:
        """Go to a page.

        :raises AssertionError: it is not shown, or tells of an error
        """
        self._browser.driver.get(self._url + path)
        assert self._browser.driver.current_url == self._url + path
        self.no_error()

    def log_in(self, user: str, password: str) -> None:
        """Fill in the first page; the user's own first page follows."""
        browser = self._browser
        browser.driver.get(self._url + 'auth/login/')
        browser.shown('input[name=username]').send_keys(user)
        browser.shown('input[name=password]').send_keys(password)
        browser.picture('login')
        browser.click(lambda: browser.shown_now('#loginBtn'))
        name = browser.shown('.navbar .user-name').text
        assert name.strip() == user

    def no_error(self) -> None:
        """Look for what Horizon says when something is wrong.

        :raises AssertionError: with the words
        """
        css = '.alert-danger, .alert-error, .messages .alert-warning'
        alert = self._browser.shown_now(css)
        assert alert is None, alert.text

    def scroll_to_table(self) -> None:
        """Bring a page's table into the window, for a picture."""
        table = self._browser.shown('.table_wrapper')
        self._browser.driver.execute_script(
            'arguments[0].scrollIntoView({block: "center"})', table
        )

    def row(self, name: str) -> list[str]:
        """The cells of the row with this name in a page's table.

        :returns: empty if there is none (yet)
        """
        for row in self._browser.driver.find_elements(
            By.CSS_SELECTOR, '.table_wrapper tbody tr'
        ):
            cells = [
                cell.text.strip()
                for cell in row.find_elements(By.TAG_NAME, 'td')
            ]
            if name in cells:
                return cells
        return []

    def open_wizard(self) -> Wizard:
        """Begin to launch an instance, on the page of instances."""
        browser = self._browser
        browser.click(lambda: browser.shown_now('a.btn-launch'))
        return Wizard(browser)


class Wizard:
    """The steps of launching an instance."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def name(self, name: str) -> None:
        """The first step: the rest of it is right as it is."""
        self._go('Details')
        self._browser.shown(f'{STEP} input[name=name]').send_keys(name)

    def boot_from_image(self, image: str) -> None:
        """The second step."""
        self._go('Source')
        kind = self._browser.shown(f'{STEP} select[name=boot-source-type]')
        chosen = self._browser.until(
            lambda: kind.find_element(By.CSS_SELECTOR, 'option:checked')
        )
        assert chosen.text.strip() == 'Image'
        self._allocate(image)

    def choose(self, step: str, name: str) -> None:
        """Take one of those that a step offers: a flavor, a network."""
        self._go(step)
        self._allocate(name)

    def launch(self) -> None:
        """The button at the end; the page of instances follows."""
        browser = self._browser
        browser.click(lambda: browser.shown_now('.ng-wizard button.finish'))
        browser.until(lambda: browser.shown_now('.ng-wizard') is None)

    def _go(self, step: str) -> None:
        self._browser.click(lambda: self._entry(step))
        self._browser.until(
            lambda: (
                'active' in (self._entry(step).get_attribute('class') or '')
            )
        )

    def _entry(self, step: str) -> WebElement:
        for entry in self._browser.driver.find_elements(
            By.CSS_SELECTOR, '.wizard-nav li.nav-item'
        ):
            if entry.is_displayed() and entry.text.strip(' *\n') == step:
                return entry
        raise NoSuchElementException(step)

    def _allocate(self, name: str) -> None:
        """Have a row up in the table of what is chosen."""

        def done() -> bool:
            if self._row('allocated', name) is not None:
                return True
            row = self._row('available', name)
            if row is not None:
                row.find_element(By.CSS_SELECTOR, 'button').click()
            return False

        self._browser.until(done)

    def _row(self, part: str, name: str) -> WebElement | None:
        for row in self._browser.driver.find_elements(
            By.CSS_SELECTOR, f'{STEP} .transfer-{part} tbody tr'
        ):
            cells = row.find_elements(By.TAG_NAME, 'td')
            if any(cell.text.strip() == name for cell in cells):
                return row
        return None
