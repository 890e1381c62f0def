"""A real headless Chromium, driven over loopback: what people see and press. A missing browser fails the test."""

import asyncio
import base64
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.poll import eventually

DESKTOP: Final = (1280, 900)
PHONE: Final = (390, 844)
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
_TALLEST: Final = 3_000  # pixels of a screenshot
T = TypeVar("T")


class Browser:
    """One browser window. Every call waits in a thread, so a daemon in the test's own loop goes on."""

    def __init__(self, chrome: Chrome) -> None:
        self._chrome = chrome
        self.address = ""

    async def open(self, path: str) -> None:
        await self._do(lambda: self._chrome.get(f"{self.address}{path}"))

    async def press(self, selector: str, key: str = Keys.ENTER) -> None:
        """Press a key on what a selector names, as somebody without a mouse would."""
        await self._do(lambda: self._chrome.find_element(By.CSS_SELECTOR, selector).send_keys(key))

    async def click(self, selector: str) -> None:
        await self._do(lambda: self._chrome.find_element(By.CSS_SELECTOR, selector).click())

    async def texts(self, selector: str) -> list[str]:
        """Return what is written in all that a selector names."""
        found = await self._do(
            lambda: [element.text for element in self._chrome.find_elements(By.CSS_SELECTOR, selector)]
        )
        return list(found)

    async def attribute(self, selector: str, name: str) -> str | None:
        return await self._do(lambda: self._chrome.find_element(By.CSS_SELECTOR, selector).get_attribute(name))

    async def shows(self, selector: str, text: str) -> None:
        """Return once something that a selector names reads ``text`` somewhere."""

        async def look() -> bool:
            try:
                texts = await self.texts(selector)
            except (NoSuchElementException, StaleElementReferenceException) as error:
                raise AssertionError(str(error)) from error
            assert any(text in each for each in texts), texts
            return True

        await eventually(look, every_s=0.1)

    async def run(self, script: str) -> Any:
        """Return what a script returns, run in the page as the driver may, whatever the policy of the page."""
        return await self._do(lambda: self._chrome.execute_script(script))

    async def wear(self, size: tuple[int, int], *, is_dark: bool = False) -> None:
        """Be as large as a desktop's window or a phone, light or dark."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        await self._do(lambda: self._chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics))
        await self._do(lambda: self._chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme}))

    async def screenshot(self, file: Path) -> None:
        """Write the whole page as PNG."""
        width, height = await self.run("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, _TALLEST), "scale": 1}
        asked = {"captureBeyondViewport": True, "clip": clip}
        answer = await self._do(lambda: self._chrome.execute_cdp_cmd("Page.captureScreenshot", asked))
        await self._do(lambda: file.write_bytes(base64.b64decode(answer["data"])))

    async def complaints(self) -> list[str]:
        """Return what the browser wrote to its console since the last call: refused files, scripts, errors."""
        lines: list[dict[str, Any]] = await self._do(lambda: self._chrome.get_log("browser"))  # type: ignore[no-untyped-call]
        return [line["message"] for line in lines if line["level"] in ("SEVERE", "WARNING")]

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """Yield a browser with a profile of its own; it has ended afterwards."""
    options = ChromeOptions()
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.binary_location = _program("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(_program("chromedriver")))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: .ci/test-programs installs it (Debian: chromium chromium-driver)"
    return found
