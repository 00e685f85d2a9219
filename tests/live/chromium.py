"""A headless Chromium, driven through its DevTools pipe: Python's own library is enough."""

import base64
import json
import os
import subprocess
import tempfile
import time


class Chromium:
    """One page of one browser; a context manager that ends it."""

    def __init__(self, width, height):
        to_browser, commands = os.pipe()
        answers, from_browser = os.pipe()
        self.profile = tempfile.TemporaryDirectory(prefix="factorseg-chromium-")

        def pipes():  # Chromium reads from 3 and writes to 4.
            read, write = os.dup(to_browser), os.dup(from_browser)
            os.dup2(read, 3)
            os.dup2(write, 4)

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--mute-audio"]
        options += [f"--user-data-dir={self.profile.name}", f"--window-size={width},{height}", "about:blank"]
        self.process = subprocess.Popen(
            ["chromium", *options], preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_browser)
        os.close(from_browser)
        self.commands, self.answers = os.fdopen(commands, "wb", 0), os.fdopen(answers, "rb", 0)
        self.rest, self.number, self.session = b"", 0, None
        self.events = []
        pages = [target for target in self.call("Target.getTargets")["targetInfos"] if target["type"] == "page"]
        target = {"targetId": pages[0]["targetId"], "flatten": True}
        self.session = self.call("Target.attachToTarget", **target)["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.profile.cleanup()

    def call(self, method, **parameters):
        """What the browser answers to a command of the DevTools protocol."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        self.commands.write(json.dumps(command).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                block = os.read(self.answers.fileno(), 1 << 16)
                if not block:
                    raise EOFError("Chromium is gone")
                self.rest += block
            message, self.rest = self.rest.split(b"\0", 1)
            message = json.loads(message)
            if message.get("id") != self.number:
                self.events.append(message)
                continue
            if "error" in message:
                raise RuntimeError(f"{method}: {message['error']}")
            return message["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState !== 'loading' && location.href !== 'about:blank'")

    def value(self, expression):
        """Value of a JavaScript expression, awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, expression, seconds=60):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.value(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} is {value} after {seconds} s")
            time.sleep(0.1)
        return value

    def click(self, x, y):
        """Presses and releases the mouse at a place of the page."""
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path):
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))
