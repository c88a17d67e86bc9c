"""A headless Chromium, driven over a pipe with its DevTools protocol: no network, no further package."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

PATIENCE = 60  # seconds, for a machine that is busy
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEYS = {"Space": " ", "Left": "ArrowLeft", "Right": "ArrowRight", "Up": "ArrowUp", "Down": "ArrowDown"}


class Failed(AssertionError):
    """The page raised, or what was waited for did not come."""


class Page:
    """A page in the browser; `problems` are the errors and warnings of its console so far."""

    def __init__(self, browser, target, session):
        self._browser, self._target, self._session = browser, target, session
        self.problems = []

    def listen(self):
        """From now on the browser tells what happens on the page."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        return self._browser.send(method, session=self._session, **parameters)

    def heard(self, method, parameters):
        """What the browser tells of its own accord."""
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"])[:600])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.problems.append(str(parameters["args"])[:600])
        elif method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:")):
                self.problems.append(f"asked the network for {url}")

    def resize(self, width, height, *, mobile=False):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip

    def prefer(self, **features):
        """Such as `prefers_color_scheme="dark"`."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=listed)

    def open(self, url):
        if url.partition("#")[0] == self.run("location.href").partition("#")[0]:
            self.send("Page.navigate", url="about:blank")
            self.wait("location.href === 'about:blank'")
        self.send("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def run(self, expression):
        """The value of a JavaScript expression; promises are awaited."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise Failed(json.dumps(found["exceptionDetails"])[:800])
        return found["result"].get("value")

    def wait(self, condition):
        """Until a JavaScript condition is true."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(Failed):
                if self.run(f"Boolean({condition})"):
                    return
            time.sleep(0.02)
        raise Failed(f"{condition} did not come true; the console says {self.problems}")

    def place(self, selector, x=0.5, y=0.5):
        """Where a share of an element is in the window."""
        box = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); "
            "one.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const box = one.getBoundingClientRect(); "
            "return [box.left, box.top, box.width, box.height]; })()"
        )
        return box[0] + x * box[2], box[1] + y * box[3]

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def hover(self, selector, x=0.5, y=0.5):
        self.mouse("mouseMoved", *self.place(selector, x, y))

    def click(self, selector, x=0.5, y=0.5):
        place = self.place(selector, x, y)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, *place, button="none" if kind == "mouseMoved" else "left", clickCount=1)

    def press(self, key):
        """A key, such as "Right" or "c"."""
        name = KEYS.get(key, key)
        text = {"text": name} if len(name) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=name, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name)

    def close(self):
        self._browser.send("Target.closeTarget", targetId=self._target)

    def photograph(self, path):
        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


class Browser:
    """Starts Chromium in a profile of its own.

    Args:
        profile: an empty folder.
    """

    def __init__(self, profile):
        asked, self._writing = os.pipe()
        self._reading, answering = os.pipe()
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            "--allow-file-access-from-files", "--remote-debugging-pipe", f"--user-data-dir={profile}",
            "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(  # the browser reads from file 3 and writes to file 4
            ["bash", "-c", f'exec "$@" 3<&{asked} 4>&{answering}', "chromium", *command],
            pass_fds=(asked, answering),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(asked)
        os.close(answering)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._pages = {}

    def page(self):
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._pages[session] = page = Page(self, target, session)
        page.listen()
        return page

    def send(self, method, *, session=None, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise Failed(f"{method}: {answer['error']}")
                return answer["result"]
            page = self._pages.get(answer.get("sessionId"))
            if page is not None and "method" in answer:
                page.heard(answer["method"], answer["params"])

    def _next(self):
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], max(0, until - time.monotonic()))
            part = os.read(self._reading, 1 << 20) if ready else b""
            if not part:
                raise Failed("Chromium does not answer")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def close(self):
        for pipe in (self._writing, self._reading):
            os.close(pipe)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
