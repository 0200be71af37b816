# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, driven by its DevTools protocol over a pair of pipes: no port, no library."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from netns import end_process


class Chromium:
    """One page. Collects what it asks the network for, and what its scripts complain of."""

    def __init__(self, directory, *arguments):
        program = shutil.which("chromium")
        if not program:
            pytest.skip("chromium is not installed")
        their_in, self.out = os.pipe()
        self.into, their_out = os.pipe()
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self.log = open(directory / "chromium.log", "wb")  # pylint: disable=consider-using-with

        def wire():
            # Above 3 and 4 first, whichever numbers they have.
            a, b = os.dup(their_in), os.dup(their_out)
            a, b = os.dup(a), os.dup(b)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn,consider-using-with
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             f"--user-data-dir={directory}/profile", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             *arguments, "about:blank"],
            preexec_fn=wire, close_fds=False, stdout=self.log, stderr=self.log, start_new_session=True,
            env=os.environ | {name: str(directory / name) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")},
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self.buffer = b""
        self.number = 0
        self.requests, self.complaints, self.events = [], [], []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.page(f"{domain}.enable")

    def _read(self):
        while b"\0" not in self.buffer:
            chunk = os.read(self.into, 1 << 20)
            assert chunk, "chromium has ended"
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if method == "Runtime.exceptionThrown" or (method == "Log.entryAdded" and params["entry"]["level"] == "error"):
            self.complaints.append(params)

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def page(self, method, **params):
        return self.call(method, session=self.session, **params)

    def open(self, path):
        self.events.clear()
        self.requests.clear()
        self.page("Page.navigate", url=pathlib.Path(path).as_uri())
        while "Page.loadEventFired" not in self.events:
            self._note(self._read())

    def evaluate(self, expression):
        result = self.page("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.page("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_on(self, selector, dx=0.5, dy=0.5):
        """At a place within the element, as parts of its size."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.evaluate(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x, b.y, b.width, b.height]; })()"
        )
        self.click(x + width * dx, y + height * dy)

    def type(self, text):
        self.page("Input.insertText", text=text)

    def close(self):
        os.close(self.out)
        os.close(self.into)
        end_process(self.process)
        self.log.close()
