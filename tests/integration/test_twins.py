# SPDX-License-Identifier: Apache-2.0
"""Two hosts that claim one thing: a node id, a public address, a subnet, a MAC.

Containers of h1 and h2 ping each other all the time. A third host appears that has what only h1 may have. Whoever is
concerned says so and names the other; no ping is lost, and not one packet of the tunnel goes to the third host. That
must also be so when the daemons start again and see both leases at once, and when their connection is made anew.
"""

import ipaddress
import json
import shutil

import pytest

from etcd import PREFIX
from fabric import APART, FABRICCTL
from netns import run, wait_for
from ping import Pinger
from witness import lease_value

COUNTER = """
table inet witness {
    counter tunnel { }
    chain in {
        type filter hook prerouting priority -400; policy accept;
        udp dport 8472 counter name tunnel
    }
}
"""


class Scene:
    """h1 and h2 with a container each, and h3, on which nothing runs yet."""

    def __init__(self, lab):
        self.lab = lab
        self.etcd = lab.start_etcd()
        lab.configure(APART)
        self.h1, self.h2 = lab.hosts(2, daemons=True)
        self.record = self.etcd.get(self.h1.daemon.key())
        self.node = self.record.json["Node"]
        c1, c2 = self.h1.container(), self.h2.container()
        self.c1 = c1
        self.h3 = lab.host()
        self.h3.namespace.nft(COUNTER)
        self.pinger = Pinger([(c1.namespace, c2.address), (c2.namespace, c1.address)])
        self.subnets = [h.daemon.subnet() for h in (self.h1, self.h2)]

    def __enter__(self):
        self.pinger.__enter__()
        self.monitors = {host: host.monitor() for host in (self.h1, self.h2)}
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.wait_pings(50)
        finally:
            self.pinger.stop()
        if kind is None:
            assert self.pinger.lost == 0, self.pinger.report()
            assert self.packets_to_h3() == 0
            assert [h.daemon.subnet() for h in (self.h1, self.h2)] == self.subnets, "nobody was renumbered"

    def packets_to_h3(self):
        text = self.h3.namespace.run("nft", "-j", "list", "counters", "table", "inet", "witness")
        return next(o["counter"]["packets"] for o in json.loads(text)["nftables"] if "counter" in o)

    def wait_pings(self, each):
        target = self.pinger.sent + 2 * each
        wait_for(lambda: self.pinger.sent >= target, 10 + each / 20, f"{each} pings more of each")

    def says(self, host, name, *words):
        """`fabricctl status` of the host has this problem, in a line with all of these words."""

        def said():
            done = host.namespace.run(FABRICCTL, "status", "--socket", host.daemon.socket_path, check=False)
            lines = [line for line in done.stdout.splitlines() if line.split()[2:3] == [name]]
            assert done.returncode == 3 and lines, done.stdout
            assert all(word in lines[0] for word in words), lines[0]
            return True

        wait_for(said, 5, f"{host.name} says {name}")
        assert host.daemon.problems() >= {name}

    def ignores(self, host, subnet, reason):
        def ignored():
            item = next(i for i in host.daemon.subnets() if i["subnet"] == subnet)
            assert item["kernel"] == "ignored" and reason in item["reason"], item
            return True

        wait_for(ignored, 5, f"{host.name} ignores {subnet}")

    def untouched(self):
        """The lease of h1 is what it was, and nothing in the kernels of h1 and h2 was touched for anybody's sake."""
        record = self.etcd.get(self.h1.daemon.key())
        assert (record.value, record.mod_revision) == (self.record.value, self.record.mod_revision)
        for host, monitor in self.monitors.items():
            assert monitor.tunnel_events() == [], host.name

    def start_all_again(self):
        """Every daemon sees all leases at once; then each loses its connection and lists again."""
        for host in (self.h1, self.h2):
            host.daemon.restart()
        self.etcd.restart()
        for host in (self.h1, self.h2):
            host.daemon.wait_status(lambda s: s["store"]["watchLive"], 15, "the store is heard again")
        self.wait_pings(50)


@pytest.fixture
def scene(lab):
    return Scene(lab)


def test_another_host_with_our_node_id(scene):
    """A copied disk image whose host name was changed. The MAC of the device comes from the node id: it is one too."""
    with scene as s:
        h1, h2, h3 = s.h1, s.h2, s.h3
        twin = h3.start_daemon(node_id=s.node["ID"])
        assert twin.subnet() not in s.subnets
        s.says(h1, "node-id-twice", twin.subnet(), h3.address, "h3", s.node["ID"])
        s.says(h3, "node-id-twice", h1.daemon.subnet(), h1.address, "h1", s.node["ID"])
        s.ignores(h2, twin.subnet(), f"uses the same MAC, address or route as {h1.daemon.subnet()}")
        s.untouched()
        s.start_all_again()
        twin.restart()
        s.says(h1, "node-id-twice", twin.subnet(), h3.address, "h3")
        s.ignores(h2, twin.subnet(), "uses the same MAC")
        s.untouched()
        # As the documentation advises: the twin gets an id of its own, and a device with a MAC of its own.
        twin.stop()
        s.etcd.delete(twin.key())
        h3.namespace.ip_do("link del flannel.1")
        del twin.flags["node_id"]
        twin.start().wait_ready()
        for host in (h1, h2, h3):
            host.daemon.wait_peers(2)
            host.daemon.wait_ok()
    s.lab.wait_equal()


def test_another_host_with_our_public_address(scene):
    """--public-ip of the wrong host. What is sent to the other's subnet ends at h1, which has the address."""
    with scene as s:
        h1, h2, h3 = s.h1, s.h2, s.h3
        before = h2.objects()
        twin = h3.start_daemon(public_ip=h1.address)
        assert twin.subnet() not in s.subnets
        s.says(h1, "public-address-twice", twin.subnet(), h1.address, "h3")
        s.says(h3, "public-address-twice", h1.daemon.subnet(), h1.address, "h1")
        s.ignores(h1, twin.subnet(), f"PublicIP is {h1.address}, which is this host's own")
        h2.daemon.wait_peers(2)
        assert before < h2.objects(), "h2 has one peer more, and what leads to h1 is as it was"
        assert {kind for kind, _, _ in s.monitors[h2].tunnel_events()} == {"route", "neighbour or FDB"}
        s.untouched()
        s.start_all_again()
        twin.restart()
        s.says(h1, "public-address-twice", twin.subnet(), "h3")
        s.untouched()
        twin.stop()
        del twin.flags["public_ip"]
        twin.start().wait_ready()
        for host in (h1, h2, h3):
            host.daemon.wait_ok()
    s.lab.wait_equal()


OVER = {
    "a part of it": lambda net, mac: (f"{net.network_address}-25", "overlaps"),
    "around it": lambda net, mac: (str(net.supernet(2)).replace("/", "-"), "overlaps"),
    "it, and an IPv6 one": lambda net, mac: (f"{net.network_address}-24&fd10:5:0:7::-64", ""),
    "another, with our MAC": lambda net, mac: ("10.5.9.0-24", "same MAC"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OVER)
def test_a_lease_over_our_subnet(scene, what):
    """Written by a host that is ready to take the packets, and to answer them as the container would."""
    with scene as s:
        h1, h2, h3 = s.h1, s.h2, s.h3
        net = ipaddress.ip_network(h1.daemon.subnet())
        mac = h1.vtep_mac() if "MAC" in what else "0e:66:66:66:66:66"
        key, reason = OVER[what](net, mac)
        h3.namespace.ip_batch(
            [
                f"link add flannel.1 address {mac} type vxlan id 1 local {h3.address} dev eth0 dstport 8472 nolearning",
                f"addr add {s.c1.address}/32 dev flannel.1",
                "link set flannel.1 up",
            ]
        )
        value = lease_value(h3.address, mac)[:-1] + ',"Node":{"ID":"thief","Name":"evil"}}'
        s.etcd.put(f"{PREFIX}/subnets/{key}", value)
        shown = key.split("&")[0].replace("-", "/")

        def set_aside():
            for host in (h1, h2):
                items = [i for i in host.daemon.subnets() if i["subnet"] == shown and i["node"] == "evil"]
                assert items and items[0]["kernel"] == "ignored" and items[0]["reason"], items
                assert host is h1 or reason in items[0]["reason"], items
            return True

        wait_for(set_aside, 5, "h1 and h2 ignore it with a reason")
        for host in (h1, h2):
            s.says(host, "peers-ignored", "1 of 2")
        s.untouched()
        s.start_all_again()
        wait_for(set_aside, 5, "h1 and h2 ignore it still")
        s.untouched()
    assert s.etcd.get(f"{PREFIX}/subnets/{key}").value == value, "nor is theirs overwritten"
    s.etcd.delete(f"{PREFIX}/subnets/{key}")
    for host in (h1, h2):
        host.daemon.wait_ok()
    s.lab.wait_equal(5, [h1, h2])


@pytest.mark.slow
def test_a_copied_disk_image(scene):
    """All of h1 but its address: node id, name, last known state. That is how h1 itself looks with a new address.

    So the copy asks whether h1 lives, in a way that changes nothing for anybody; h1 answers, and the copy takes another
    subnet. Its MAC is that of h1 as well, so that it is of no use to others until it gets an id of its own.
    """
    with scene as s:
        h1, h2, h3 = s.h1, s.h2, s.h3
        copy = h3.make_daemon(node_name=s.node["Name"])
        h1.daemon.restart()  # so that the last known state is in the image too
        assert (h1.daemon.directory / "state" / "last-known.json").exists()
        shutil.copytree(h1.daemon.directory / "state", copy.directory / "state")
        copy.start().wait_ready()
        assert copy.subnet() not in s.subnets
        assert h1.daemon.logged(f"node-id-twice: a host at {h3.address} has this host's node id")
        for host, other in ((h1, h3), (h3, h1)):
            s.says(host, "node-id-twice", other.daemon.subnet(), other.address, s.node["ID"], "a copied disk image?")
        s.ignores(h2, copy.subnet(), f"uses the same MAC, address or route as {h1.daemon.subnet()}")
        s.wait_pings(100)
        assert [monitor.tunnel_events() for monitor in s.monitors.values()] == [[], []]
        s.start_all_again()
        copy.restart()
        s.wait_pings(100)
        assert s.etcd.get(h1.daemon.key()).json["PublicIP"] == h1.address
        assert [monitor.tunnel_events() for monitor in s.monitors.values()] == [[], []]


def test_a_host_that_moved_while_it_was_down(lab):
    """The same lease from the other side: nobody answers, and after two seconds it is taken over, with its subnet."""
    lab.start_etcd()
    lab.configure(APART)
    h1, h2 = lab.hosts(2, daemons=True)
    c1, c2 = h1.container(), h2.container()
    subnet = h1.daemon.subnet()
    h1.daemon.kill()
    h1.namespace.ip_batch(["addr add 192.0.2.91/24 dev eth0", f"addr del {h1.address}/24 dev eth0",
                           "addr replace 192.0.2.91/24 dev eth0", "route replace default via 192.0.2.254"])
    h1.daemon.start().wait_ready(6)
    assert h1.daemon.subnet() == subnet
    assert h1.daemon.logged("lease-asked-for")
    lab.wait_equal()
    with lab.pinger(c1, c2) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()
