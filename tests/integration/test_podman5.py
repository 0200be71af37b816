# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/podman.md: its commands, with podman 5 of Debian 13."""

import json
import re
import shutil

import pytest
from cni_support import ROOT, Host, elements
from netns import wait_for
from test_cni_clients import IMAGE, make_image

import podman5
from suite_root import NEEDED, SUBNET_FILE

PAGE = (ROOT / "docs" / "integrations" / "podman.md").read_text()
pytestmark = [
    pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed") for program in NEEDED
]

MAY_PING = ("--cap-add", "NET_RAW")  # which podman 5 gives to nobody by itself


def commands(starts_with):
    """The page's block of commands that begins like this, as a list."""
    block = next(b for b in re.findall(r"(?:^    .*\n)+", PAGE, re.M) if b.lstrip().startswith(starts_with))
    text = re.sub(r"^    ", "", block, flags=re.M).replace("\\\n", " ").replace("IMAGE", IMAGE)
    return text.replace("podman ", "podman --storage-driver vfs ").splitlines()


@pytest.fixture
def podman():
    with Host() as host:
        client = podman5.Podman(host)
        try:
            make_image(client.directory / "image.tar")
            client("load", "-i", "/shared/image.tar")
            plain = client("run", "--rm", "--network", "none", IMAGE, "true", check=False)
            if plain.returncode:
                pytest.skip(f"podman 5 cannot run containers on this machine: {plain.stderr.strip()[-300:]}")
            yield client
        finally:
            client.end()


def fetch(podman, address, port=8080):
    script = f"import urllib.request; print(urllib.request.urlopen('http://{address}:{port}/', timeout=5).read())"
    return "hello" in podman.host.ns.run("/usr/bin/python3", "-c", script, check=False)


def nothing_left(podman, network="fabric"):
    wait_for(
        lambda: not podman.records(network) and not podman.host.veths() and not elements(podman.host.ns.nft()),
        10, "everything is undone",
    )  # fmt: skip


def test_page(podman):
    create, web, once = commands("podman network create -d flannel")
    podman.sh(create)
    assert "flannel" in podman("info", "--format", "'{{.Plugins.Network}}'")
    podman.sh(web)
    podman.host.ns.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    for address in ("192.0.2.1", "127.0.0.1", "10.5.17.1"):
        wait_for(lambda address=address: fetch(podman, address), 10, f"the server answers at {address}")
    inspected = json.loads(podman("inspect", "web"))[0]["NetworkSettings"]["Networks"]["fabric"]
    assert (inspected["IPAddress"], inspected["Gateway"], inspected["IPPrefixLen"]) == ("10.5.17.2", "10.5.17.1", 24)
    said = podman.sh(once)
    assert "inet 10.5.17.77/24" in said and "02:11:22:33:44:55" in said and "mtu 1450" in said
    podman("rm", "-f", "-t", "0", "web")
    assert not fetch(podman, "192.0.2.1")
    nothing_left(podman)


def test_life_of_a_container(podman):
    podman("network", "create", "-d", "flannel", "fabric")
    for name in ("one", "two"):
        podman("run", "-d", "--name", name, *MAY_PING, "--network", "fabric", IMAGE, "sleep", "600")
    other = json.loads(podman("inspect", "two"))[0]["NetworkSettings"]["Networks"]["fabric"]["IPAddress"]
    assert "1 packets received" in podman("exec", "one", "ping", "-c", "1", "-W", "2", other)
    podman("network", "reload", "one")
    assert "1 packets received" in podman("exec", "one", "ping", "-c", "1", "-W", "2", other)
    podman("network", "disconnect", "fabric", "one")
    assert podman("exec", "one", "ping", "-c", "1", "-W", "1", other, check=False).returncode
    podman("network", "connect", "fabric", "one")
    assert "1 packets received" in podman("exec", "one", "ping", "-c", "1", "-W", "2", other)
    for _ in range(2):
        podman("stop", "-t", "0", "one")
        wait_for(lambda: len(podman.host.veths()) == 1, 10, "its interface is gone")
        podman("start", "one")
        assert "1 packets received" in podman("exec", "one", "ping", "-c", "1", "-W", "2", other)
    podman("kill", "one")
    podman("rm", "-f", "-t", "0", "one", "two")
    nothing_left(podman)
    podman("network", "rm", "fabric")


def test_what_is_refused(podman):
    for options, message in (
        ("--subnet 10.7.0.0/24", "leave out --subnet"),
        ("-o mtuu=7", "did you mean mtu?"),
        ("--ipam-driver none", "leave out --ipam-driver"),
    ):
        refused = podman("network", "create", "-d", "flannel", options, "bad", check=False)
        assert refused.returncode and message in refused.stderr, refused
    podman("network", "create", "-d", "flannel", "fabric")
    (podman.inside / SUBNET_FILE).unlink()
    failed = podman("run", "--rm", "--network", "fabric", IMAGE, "true", check=False)
    assert failed.returncode and "flanneld has not got a subnet yet" in failed.stderr
    nothing_left(podman)


def test_bridge_that_podman_does_not_manage(podman):
    podman.sh("\n".join(commands(". /run/flannel/subnet.env")))
    said = podman("run", "--rm", "--network", "unmanaged", IMAGE, "ip", "addr", "show", "eth0")
    assert "inet 10.5.17.2/24" in said and "mtu 1450" in said
    podman("run", "-d", "--name", "one", *MAY_PING, "--network", "unmanaged", IMAGE, "sleep", "600")
    assert "1 packets received" in podman("exec", "one", "ping", "-c", "1", "-W", "2", "10.5.17.1")
    assert podman.host.ns.addresses("fabric0") == ["10.5.17.1/24"], "netavark leaves the bridge alone"
    podman("rm", "-f", "-t", "0", "one")
    assert "fabric0" in podman.host.ns.links()
