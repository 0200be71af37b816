# SPDX-License-Identifier: Apache-2.0
"""Something on the way between hosts carries less than they think: named, with what arrives; over when it is mended."""

import json

import pytest

from fabric import APART, DUAL
from fabricctl_support import FAILED, FOUND, ask, fabricctl
from netns import wait_for

NAMED_S = 30  # ten seconds until it is asked; four that are lost; a search
HOST_GW = APART | {"Backend": {"Type": "host-gw"}}
WAYS = {"ipv4", "ipv6"}


def make_askers(lab, config, hosts, probe_interval=1):
    """Daemons that may ask, so many seconds apart, and know that all passes."""
    lab.configure(config)
    for host in hosts:
        host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
        host.make_daemon(probe_interval=probe_interval).start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(len(hosts) - 1)
    for host in hosts:
        wait_for(lambda host=host: set(verdicts(host).values()) == {"ok"}, NAMED_S, f"all that {host.name} sends passes")
    return hosts


@pytest.fixture
def askers(lab, request):
    lab.start_etcd()
    return make_askers(lab, getattr(request, "param", APART), lab.hosts(3))


def items(host):
    """{(node, family): item}"""
    return {(i["node"], i["family"]): i for i in host.daemon.json("/v1/mtu")["items"]}


def verdicts(host):
    found = {key: item["verdict"] for key, item in items(host).items()}
    assert found
    return found


def black_hole(host):
    """What is said of it, or None."""
    return next((p["text"] for p in host.daemon.status()["problems"] if p["name"] == "mtu-black-hole"), None)


def named(host, *words):
    text = wait_for(lambda: black_hole(host), NAMED_S, f"{host.name} names it")
    assert all(word in text for word in words), text
    return text


def arrives(here, there, size, family="ipv4"):
    """Whether a packet of this size, which nobody may cut, is answered from container to container."""
    to, headers = (there.address, 28) if family == "ipv4" else (there.address6, 48)
    return here.namespace.run("ping", "-c", "1", "-W", "1", "-M", "do", "-s", size - headers, to, check=False).returncode == 0


def mtu_known(here, there):
    return here.namespace.ip("-6", "route", "get", there.address6)[0]["metrics"][0]["mtu"]


@pytest.mark.parametrize(
    "askers, families, sent, got",
    [(APART, {"ipv4"}, 1450, 1350), (DUAL, WAYS, 1430, 1330), (HOST_GW, {"ipv4"}, 1500, 1400)],
    ids=["vxlan", "dual", "host-gw"],
    indirect=["askers"],
)
def test_port_of_a_switch(lab, askers, families, sent, got):
    """It tells nobody. Each host that could know names the peer, what arrives, and what to set; doing that mends it."""
    h1, h2, h3 = askers
    c1, c2 = h1.container(), h2.container()
    assert all(arrives(c1, c2, sent, family) for family in families)
    lab.narrow_port("h2", 1400)
    assert not any(arrives(c1, c2, sent, family) for family in families)
    assert all(arrives(c1, c2, got - 2, family) for family in families)
    # IPv4's tunnel leaves 20 bytes more than what containers use where they have IPv6 as well.
    v4 = 1350 if families == WAYS else got
    for host in h1, h3:
        named(host, "h2", f"packets of {v4} bytes arrive", f"of {v4 + 10} vanish", f"up to {sent}", "ip link set eth0 mtu 1400")
    assert "; and 1 more" in named(h2, "packets of")
    wait_for(lambda: {f for (n, f), v in verdicts(h1).items() if v == "black-hole"} == families, NAMED_S, "in each family")
    assert {v for (node, _), v in verdicts(h1).items() if node == "h3"} == {"ok"}
    assert h1.daemon.status()["verdict"] == "degraded"
    for family in families:
        assert h1.daemon.metric(f'flannel_peers_mtu_black_hole{{family="{family}"}}') == 1
    # What is advised.
    h2.namespace.ip_do("link set eth0 mtu 1400")
    for host in askers:
        wait_for(lambda host=host: not black_hole(host), NAMED_S, f"{host.name} sends no more than arrives")
        wait_for(lambda host=host: set(verdicts(host).values()) == {"ok"}, NAMED_S, f"all passes from {host.name}")
    if sent == 1450:
        assert items(h1)["h2", "ipv4"]["containersMTU"] == 1350 and items(h1)["h3", "ipv4"]["containersMTU"] == 1450


def test_with_the_usual_interval(lab):
    """Named in half a minute, on every host that could know, whenever it happens."""
    lab.start_etcd()
    hosts = make_askers(lab, APART, lab.hosts(2), probe_interval=10)
    lab.narrow_port("h2", 1400)
    for host in hosts:
        named(host, "packets of 1350 bytes arrive")


def test_what_is_shown(lab, askers):
    """In every form, and over with the next question once it is mended."""
    h1, h2, _ = askers
    shown = ask(h1, "mtu").splitlines()
    heading = "SUBNET NODE PUBLIC IP INTERFACE DEVICE CONTAINERS UNDERLAY TUNNEL SEEN VERDICT"
    assert " ".join(shown[0].split()) == heading and len(shown) == 3
    lab.narrow_port("h2", 1400)
    named(h1, "1350")
    wait_for(lambda: items(h1)["h2", "ipv4"]["underlay"]["pathMTU"] == "black-hole", NAMED_S, "so it is in the underlay")
    document = json.loads(ask(h1, "mtu", "-o", "json", status=FOUND))
    assert document["kind"] == "PathMTUList" and document["on"] is True
    item = next(i for i in document["items"] if i["node"] == "h2")
    ago = item["tunnel"].pop("passedSecondsAgo"), item["underlay"].pop("passedSecondsAgo")
    assert all(0 <= seconds < 2 * NAMED_S for seconds in ago)
    assert item == {
        "subnet": h2.daemon.subnet(), "subnetV6": None, "node": "h2", "family": "ipv4", "publicIP": h2.address,
        "interface": "eth0", "interfaceMTU": 1500, "device": "flannel.1", "deviceMTU": 1450, "containersMTU": 1450,
        "underlay": {"pathMTU": "black-hole", "fullMTU": 1500, "passedMTU": 1400, "failedMTU": 1410},
        "tunnel": {"pathMTU": "black-hole", "fullMTU": 1450, "passedMTU": 1350, "failedMTU": 1360},
        "reach": "ok", "verdict": "black-hole",
    }  # fmt: skip
    table = ask(h1, "mtu", "--no-headers", status=FOUND)
    assert "1400 of 1500" in table and "1350 of 1450" in table and "black-hole" in table and "VERDICT" not in table
    raw = [line.split("\t") for line in ask(h1, "mtu", "-o", "raw", status=FOUND).splitlines()]
    assert {row[1]: row[6:8] for row in raw} == {"h2": ["1400", "1350"], "h3": ["1500", "1450"]}
    assert len(ask(h1, "mtu", "-o", "jsonl", status=FOUND).splitlines()) == 2
    peer = next(p for p in h1.daemon.json("/v1/peers")["items"] if p["node"] == "h2")
    assert peer["pathMTU"] == "black-hole" and {p["passedMTU"] for p in peer["probes"]} == {1400, 1350}
    assert "PATH MTU" in ask(h1, "peers", "-o", "wide") and "PATH MTU" not in ask(h1, "peers")
    assert h1.daemon.logged("warn +mtu-black-hole: h2 .*: packets of 1350 bytes arrive")
    lab.narrow_port("h2", 1500)
    for host in askers:
        host.daemon.wait_ok(NAMED_S)
    h1.daemon.wait_log("mtu-black-hole: over after")
    ask(h1, "mtu")


def test_peer_with_a_smaller_underlay(lab):
    """Its lease says so: nothing larger is sent to it, so nothing is amiss."""
    lab.start_etcd()
    hosts = lab.hosts(2)
    hosts[1].namespace.ip_do("link set eth0 mtu 1400")
    h1, h2 = make_askers(lab, APART, hosts)
    assert items(h1)["h2", "ipv4"]["containersMTU"] == 1350 and items(h1)["h2", "ipv4"]["underlay"]["fullMTU"] == 1400
    # And while it runs: both go over to the other size without a word.
    h2.namespace.ip_do("link set eth0 mtu 1300")
    wait_for(lambda: items(h1)["h2", "ipv4"]["tunnel"]["passedMTU"] == 1250, NAMED_S, "what its lease says now is asked")
    for host in hosts:
        host.daemon.wait_ok()
        assert not host.daemon.logged("mtu-black-hole")


@pytest.fixture
def routed(lab, request):
    """Two hosts with a router between them, which has a smaller MTU on one side; it is silent, or says so."""
    lab.start_etcd()
    lab.second_segment()
    hosts = make_askers(lab, DUAL, [lab.host(), lab.host(segment=2)])
    if not request.param:
        lab.underlay.nft(
            "table inet silence { chain out { type filter hook output priority 0;"
            " icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }"
        )
    lab.underlay.ip_do("link set br1 mtu 1400")
    return hosts


@pytest.mark.parametrize("routed", [False], ids=["silent"], indirect=True)
def test_router_that_is_silent(routed):
    """By IPv4 it cuts the tunnel's packets, and containers lose nothing; by IPv6 it drops them."""
    h1, h2 = routed
    for here, there in (h1, "h2"), (h2, "h1"):
        named(here, there, "packets of 1330 bytes arrive", "up to 1430", "mtu 1400")
        assert verdicts(here) == {(there, "ipv4"): "ok", (there, "ipv6"): "black-hole"}
    # Answers by IPv4 it may cut, so that h2 sees nothing in the underlay.
    wait_for(lambda: items(h1)["h2", "ipv4"]["underlay"]["passedMTU"] == 1400, NAMED_S, "the underlay's is seen")
    c1, c2 = h1.container(), h2.container()
    assert arrives(c1, c2, 1430) and arrives(c2, c1, 1430)
    assert not arrives(c1, c2, 1430, "ipv6") and arrives(c1, c2, 1330, "ipv6")


@pytest.mark.parametrize("routed", [True], ids=["tells"], indirect=True)
def test_router_that_tells(routed):
    """What it says is believed: who sends too much is told, by it or by the host's own kernel, and nothing is amiss."""
    h1, h2 = routed
    for family in WAYS:
        wait_for(lambda family=family: items(h1)["h2", family]["underlay"]["pathMTU"] == "smaller", NAMED_S, "it is heard")
        assert items(h1)["h2", family]["underlay"]["passedMTU"] == 1400
    # By IPv6 nobody cuts packets: h1's kernel refuses what the tunnel would make too large.
    wait_for(lambda: verdicts(h1) == {("h2", "ipv4"): "ok", ("h2", "ipv6"): "smaller"}, NAMED_S, "so it is in the tunnel")
    assert items(h1)["h2", "ipv6"]["tunnel"]["passedMTU"] == 1330
    h1.daemon.wait_ok()
    assert not h1.daemon.logged("mtu-black-hole")
    c1, c2 = h1.container(), h2.container()
    assert arrives(c1, c2, 1430) and arrives(c1, c2, 1330, "ipv6")
    wait_for(lambda: not arrives(c1, c2, 1430, "ipv6") and mtu_known(c1, c2) == 1330, NAMED_S, "the container is told")
    assert "1330 of 1430" in ask(h1, "mtu")


def test_nobody_is_asked(lab):
    lab.start_etcd()
    lab.configure(APART)
    h1, _ = lab.hosts(2, daemons=True)
    done = fabricctl("mtu", f"--socket={h1.daemon.socket_path}", where=h1)
    assert done.returncode == FAILED and done.stdout == "" and "net.ipv4.ping_group_range" in done.stderr
    assert json.loads(ask(h1, "peers", "-o", "json"))["items"][0]["pathMTU"] is None
