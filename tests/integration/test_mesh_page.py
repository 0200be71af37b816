# SPDX-License-Identifier: Apache-2.0
"""The page of `fabricctl mesh -o html` in a browser: it is opened, clicked, filtered, printed; it fetches nothing."""

import base64
import json
import re

import pytest

from chromium import Chromium
from etcd import PREFIX
from fabric import APART
from fabricctl_support import FOUND, HOSTILE, Underlay, fabricctl

HOSTS = 40


def record(number):
    silent = [7] if number == 3 else []
    peers = [
        [f"10.5.{n}.0/24", "silent" if n in silent else "ok", -1 if n in silent else 300 + n, 100 if n in silent else 0]
        for n in range(1, HOSTS + 1) if n != number
    ]  # fmt: skip
    problems = []
    if number == 3:
        problems = [{"name": "peer-unreachable", "severity": "warning", "since": 1767225600, "text": "10.5.7.0/24 <b>is silent</b></script>"}]
    return {
        "version": 1, "subnet": f"10.5.{number}.0-24", "verdict": "degraded" if number == 3 else "ok", "flanneld": "1.0", "kernel": "6.1", "backend": "vxlan", "podMTU": 1450,
        "written": 1767225600, "started": 1767225000, "problems": problems,
        "reach": {"ok": HOSTS - 1 - len(silent), "silent": len(silent)}, "peers": peers,
    }  # fmt: skip


@pytest.fixture
def browser(lab, tmp_path):
    """With the page of a fabric of forty hosts, in which one finds another silent, and one has a hostile name."""
    lab.start_etcd()
    lab.configure(APART)
    names = {n: HOSTILE + "<img src=x onerror=alert(1)>" if n == 5 else f"host-{n}" for n in range(1, HOSTS + 1)}
    lab.etcd.put_many(
        [(f"{PREFIX}/subnets/10.5.{n}.0-24",
          json.dumps({"PublicIP": f"192.0.2.{n}", "BackendType": "vxlan", "Node": {"ID": f"id-{n}", "Name": name}}))
         for n, name in names.items()]
        + [(f"{PREFIX}/health/id-{n}", json.dumps(record(n))) for n in names if n != 9],
        lease=lab.etcd.grant(600),
    )  # fmt: skip
    done = fabricctl("mesh", "-o", "html", "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null", where=Underlay(lab))
    assert done.returncode == FOUND, done.stderr
    page = tmp_path / "mesh.html"
    page.write_text(done.stdout)
    chromium = Chromium(tmp_path / "chromium", "--window-size=1200,1600")
    yield chromium, page
    chromium.close()


def text(chromium, selector):
    return chromium.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")


@pytest.mark.long
def test_opened_and_clicked(browser):
    chromium, page = browser
    chromium.open(page)
    assert text(chromium, "#summary") == "40 hosts, 1 degraded, 1 no-record, 38 ok"
    shown = chromium.evaluate("[...document.querySelectorAll('#hosts button')].map((b) => b.innerText.split('\\n')[0])")
    assert len(shown) == HOSTS and shown[:2] == ["host-3", "host-9"]  # the bad ones first
    assert any("evil\\u001b[31m\\u202eeman" in name and "<img src=x" in name for name in shown) and not chromium.evaluate("document.querySelectorAll('img').length")
    assert "<b>is silent</b></script>" in text(chromium, "#problems")

    chromium.click_on("#hosts button[data-index='2']")
    assert "host-3" in text(chromium, "#detail h3") and "10.5.3.0/24" in text(chromium, "#detail") and "192.0.2.3" in text(chromium, "#detail")
    assert "peer-unreachable: 10.5.7.0/24" in text(chromium, "#detail")
    assert chromium.evaluate("document.querySelector('[aria-pressed=true]').dataset.index") == "2"

    # The field of the matrix: the third row, the seventh column.
    left, top, cell = (chromium.evaluate(f"Number(document.querySelector('svg').dataset.{name})") for name in ("left", "top", "cell"))
    width, height = chromium.evaluate("(() => { const b = document.querySelector('svg').viewBox.baseVal; return [b.width, b.height]; })()")
    chromium.click_on("#picture svg", (left + 6.5 * cell) / width, (top + 2.5 * cell) / height)
    detail = text(chromium, "#detail")
    assert "host-3 \u2192 host-7" in detail and "silent" in detail and "100 %" in detail and re.search(r"and back\s+ok", detail)

    chromium.click_on("#filter")
    chromium.type("192.0.2.11")
    assert chromium.evaluate("[...document.querySelectorAll('#hosts button:not(.hidden)')].map((b) => b.dataset.index)") == ["10"]
    assert chromium.requests == [page.as_uri()] and chromium.complaints == []


@pytest.mark.long
def test_dark_light_and_printed(browser):
    chromium, page = browser
    chromium.open(page)
    grounds = []
    for scheme in "light", "dark":
        chromium.page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        grounds.append(chromium.evaluate("getComputedStyle(document.body).backgroundColor"))
        grounds.append(chromium.evaluate("getComputedStyle(document.querySelector('svg .ground')).fill"))
        assert chromium.evaluate("getComputedStyle(document.querySelector('svg .silent')).fill")
    assert grounds == ["rgb(255, 255, 255)"] * 2 + ["rgb(20, 23, 26)"] * 2
    printed = base64.b64decode(chromium.page("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 10000
