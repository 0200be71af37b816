# SPDX-License-Identifier: Apache-2.0
"""What a kubelet is told of a node's network: it asks containerd (CRI, Status), and that asks the plugin (CNI, STATUS).

containerd 2.1 does so where the list is of 1.1.0; to 1.6 and 1.7 a network is ready as soon as there is a list.
The question is put as a kubelet puts it, by gRPC on containerd's socket.
"""

import json
import shutil
import signal
import subprocess

import pytest
from cni_support import PLUGIN, Host
from debian import unpacked

from fabric import CONFIG
from kube import ApiServer
from netns import end_process, wait_for
from test_cni_clients import require

CONTAINERD = """
version = 3
root = "{d}/root"
state = "{d}/state"
oom_score = 0
[grpc]
address = "{d}/sock"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "native"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
disable_hugetlb_controller = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{d}/bin"]
conf_dir = "{d}/net.d"
"""


def fields(message):
    """[(number, value)] of a message of protobuf that has numbers, texts and messages."""
    found, at = [], 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, at = message[at : at + value], at + value
        found.append((key >> 3, value))
    return found


class Containerd:
    def __init__(self, host, conf):
        require("unshare")
        self.directory = d = host.directory
        program = unpacked("sid", "containerd") / "usr/bin/containerd"
        (d / "bin").mkdir()
        shutil.copy(PLUGIN, d / "bin/flannel")
        (d / "net.d").mkdir()
        (d / "net.d/10-flannel.conflist").write_text(json.dumps(conf))
        (d / "config.toml").write_text(CONTAINERD.format(d=d))
        with (d / "log").open("wb") as log, host.ns.entered():
            self.process = subprocess.Popen([program, "--config", d / "config.toml"], stdout=log, stderr=log)

    def conditions(self):
        """{type: (is it so, why, a sentence)} of RuntimeService.Status"""
        asked = ["curl", "-sS", "-m", "10", "--http2-prior-knowledge", "--unix-socket", self.directory / "sock", "--data-binary", "@-"]
        asked += ["-H", "Content-Type: application/grpc", "-H", "TE: trailers", "http://x/runtime.v1.RuntimeService/Status"]
        answer = subprocess.run(list(map(str, asked)), input=b"\0\0\0\0\0", capture_output=True, timeout=30, check=False)
        assert answer.returncode == 0 and answer.stdout[:1] == b"\0", answer
        found = {}
        for number, status in fields(answer.stdout[5:]):
            for _, condition in fields(status) if number == 1 else []:
                said = dict(fields(condition))
                found[said[1].decode()] = (bool(said.get(2)), said.get(3, b"").decode(), said.get(4, b"").decode())
        return found

    def network(self):
        return self.conditions()["NetworkReady"]


@pytest.fixture
def node(lab):
    kube = ApiServer(lab)
    kube.configure(CONFIG)
    host = lab.host()
    host.kube = kube
    kube.add_node("h1")
    daemon = kube.make_daemon(host)
    with Host(existing=host.name, subnet_file=daemon.subnet_file) as cni:
        conf = cni.flannel(delegate={"isDefaultGateway": True})
        listed = {key: conf.pop(key) for key in ("cniVersion", "name")} | {"plugins": [conf]}
        host.containerd = Containerd(cni, listed)
        try:

            def answers():
                if host.containerd.process.poll() is not None:
                    pytest.skip(f"containerd does not run on this machine: {(cni.directory / 'log').read_text()[-300:]}")
                return host.containerd.conditions()["RuntimeReady"][0]

            wait_for(answers, 30, "containerd answers")
            yield host
        finally:
            end_process(host.containerd.process, signal.SIGTERM, 20)


def test_node_is_ready_when_its_network_is(node):
    """Before the daemon has a subnet, while the host is drained: not, with the plugin's own words; else it is."""
    ready, _, why = node.containerd.network()
    assert not ready and str(node.daemon.subnet_file) in why, why
    node.daemon.start().wait_status(lambda s: "subnet-not-assigned" in {p["name"] for p in s["problems"]})
    assert not node.containerd.network()[0]
    node.kube.assign("h1", "10.5.1.0/24")
    wait_for(lambda: node.containerd.network()[0], 20, "the network is ready")
    assert node.daemon.request("/v1/drain?state=drained", "POST")[0] == 200
    wait_for(lambda: not node.containerd.network()[0], 5, "it is not")
    assert "drained" in node.containerd.network()[2]
    assert node.daemon.request("/v1/drain?state=off", "POST")[0] == 200
    wait_for(lambda: node.containerd.network()[0], 5, "it is again")
    # The daemon's end is none of the containers'.
    node.daemon.stop()
    assert node.containerd.network()[0]
