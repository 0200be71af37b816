# SPDX-License-Identifier: Apache-2.0
"""A real cAdvisor beside containerd: its network series of a container are what the host's end of its link has counted.

0.38.7 of Debian 11, the last that had a package. Of containerd's containers it has the network of those alone that are
labelled as a pod's sandbox.
"""

import re
import secrets
import subprocess
import urllib.request

import pytest

import debian
from netns import end_process, wait_for
from test_cni_clients import IMAGE, ctr  # noqa: F401 the fixture

PORT = 8080
SERIES = re.compile(r'^container_network_(receive|transmit)_(bytes|packets)_total\{.*\bid="/default/(\w+)".*\binterface="eth0".*\} (\S+) ', re.M)


@pytest.fixture
def cadvisor(ctr, tmp_path):  # noqa: F811
    """series(id): what it says of one container's eth0, or {}."""
    program = debian.program("cadvisor", "bullseye", "cadvisor")
    log = tmp_path / "log"
    options = f"-listen_ip=127.0.0.1 -port={PORT} -containerd={ctr.host.directory / 'sock'} -containerd-namespace=default -housekeeping_interval=1s -max_housekeeping_interval=1s"
    with ctr.host.ns.entered(), log.open("wb") as out:
        process = subprocess.Popen([program, *options.split()], stdout=out, stderr=out)

    def get(path):
        with ctr.host.ns.entered(), urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5) as answer:
            return answer.read().decode()

    try:
        wait_for(lambda: process.poll() is not None or get("/healthz") == "ok", 30, "cAdvisor answers")
        if process.poll() is not None or "Registration of the containerd container factory failed" in log.read_text():
            pytest.skip(f"cAdvisor does not run on this machine: {log.read_text()[-300:]}")
        yield lambda id: {(way, what): int(float(value)) for way, what, of, value in SERIES.findall(get("/metrics")) if of == id}
    finally:
        end_process(process)


@pytest.mark.slow
@pytest.mark.parametrize("ctr", ["installed"], indirect=True)
def test_the_same_numbers(ctr, cadvisor):  # noqa: F811
    """The container receives what the host's end sends. `fabricctl top` counts at the host's end."""
    id = secrets.token_hex(32)
    ctr("run", "-d", "--cni", "--label", "io.cri-containerd.kind=sandbox", "--snapshotter", "native", IMAGE, id, "sleep", "1000")
    try:
        (veth,) = ctr.host.veths()
        ctr.host.ns.run("ping", "-q", "-c", "100", "-i", "0.002", "-s", "1000", "10.5.17.2")

        def same():
            counted = ctr.host.ns.ip("-s", "link", "show", "dev", veth)[0]["stats64"]
            ours = {(way, what): counted[side][what] for way, side in (("receive", "tx"), ("transmit", "rx")) for what in ("bytes", "packets")}
            told = cadvisor(id)
            assert told == ours and ours["receive", "packets"] >= 100 and ours["receive", "bytes"] > 100000, (told, ours)
            return True

        wait_for(same, 30, "cAdvisor says what the link has counted")
    finally:
        ctr("task", "kill", "-s", "KILL", id, check=False)
        wait_for(lambda: ctr("container", "rm", id, check=False).returncode == 0, 10, "the container is removed")
