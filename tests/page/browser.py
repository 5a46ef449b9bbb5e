"""A headless Chromium that looks at the page, and what it complains about."""

import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

PATIENCE_S = 20

# Runs before the page does, and keeps what goes wrong: errors of scripts, and what the content security policy refused.
WATCH = """
window.faults = [];
addEventListener('error', (event) => window.faults.push(`error: ${event.message}`));
addEventListener('unhandledrejection', (event) => window.faults.push(`rejected: ${event.reason}`));
document.addEventListener('securitypolicyviolation', (event) => (
  window.faults.push(`policy: ${event.violatedDirective} refused ${event.blockedURI} in ${event.sourceFile}`)));
"""


class Page:
    def __init__(self, url, artifacts, chromium=None, chromedriver=None):
        options = Options()
        for argument in ("--no-sandbox", "--headless=new", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        if chromium:
            options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(chromedriver) if chromedriver else Service())
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        self.url, self.artifacts = url.rstrip("/"), Path(artifacts)
        self.resize(1280)
        self.prefer("light")

    def close(self):
        self.driver.quit()

    def resize(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme, motion="no-preference"):
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, address):
        """Loads an address anew: a change of the fragment alone would not."""
        self.driver.get("about:blank")
        self.driver.get(self.url + address)

    def js(self, script, *given):
        return self.driver.execute_script(script, *given)

    def js_async(self, script, *given):
        """Runs the body of an async function, and returns what it returns."""
        wrapped = (
            "const done = arguments[arguments.length - 1]; (async (...given) => {" + script + "})(...arguments)"
            ".then((value) => done({value}), (error) => done({error: String(error.stack ?? error)}));"
        )
        answer = self.driver.execute_async_script(wrapped, *given)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        found = self.all(selector)
        assert found, f"nothing on the page is {selector}"
        return found[0]

    def texts(self, selector):
        return self.js("return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)", selector)

    def text(self, selector):
        texts = self.texts(selector)
        assert texts, f"nothing on the page is {selector}"
        return texts[0]

    def keys(self, *keys):
        """Types where the focus is."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, selector):
        self.js("arguments[0].scrollIntoView({block: 'center'})", self.one(selector))
        self.one(selector).click()

    def fill(self, selector, text):
        field = self.one(selector)
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def wait(self, what, condition):
        """Waits until a condition holds; it may fail meanwhile, because the page is being drawn."""
        until = time.monotonic() + PATIENCE_S
        last = None
        while time.monotonic() < until:
            try:
                value = condition()
                if value:
                    return value
            except Exception as error:  # noqa: BLE001 - the last one is reported
                last = error
            time.sleep(0.05)
        shown = self.save("failed")
        raise AssertionError(
            f"waited {PATIENCE_S} s in vain until {what}; see {shown}" + (f"; at last: {last}" if last else "")
        )

    def wait_for(self, selector):
        return self.wait(
            f"{selector} is there",
            lambda: self.js(
                """
            const node = document.querySelector(arguments[0]);
            return node && node.getClientRects().length > 0 ? node : null""",
                selector,
            ),
        )

    def save(self, name):
        self.artifacts.mkdir(parents=True, exist_ok=True)
        path = self.artifacts / f"{name}.png"
        self.driver.save_screenshot(str(path))
        return path

    def save_whole(self, name, width, highest=4000):
        """The whole page and not only what fits on the screen."""
        self.resize(width, min(highest, max(900, self.js("return document.documentElement.scrollHeight"))))
        time.sleep(0.3)
        path = self.save(name)
        self.resize(width)
        return path

    def faults(self, expected_statuses=()):
        """What scripts, the policy and the console complained about since the last call."""
        found = self.js("const found = window.faults ?? []; window.faults = []; return found")
        for entry in self.driver.get_log("browser"):
            refused = any(f"status of {status}" in entry["message"] for status in expected_statuses)
            if entry["level"] in ("SEVERE", "WARNING") and not refused:
                found.append(f"console: {entry['message']}")
        return found
