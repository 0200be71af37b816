# SPDX-License-Identifier: Apache-2.0
"""Peers are asked whether they answer, in the underlay and through the tunnel; who is silent is named, and what that means."""

import signal

import pytest

from fabric import APART, DUAL
from fabricctl_support import OK, fabricctl
from netns import wait_for

NOTICE_S = 10  # three questions, one each second


@pytest.fixture
def askers(lab, request):
    """Three hosts whose daemons may ask, once a second."""
    lab.start_etcd()
    lab.configure(getattr(request, "param", APART))
    hosts = lab.hosts(3)
    for host in hosts:
        host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
        host.make_daemon(probe_interval=1).start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(2)
    for host in hosts:
        wait_for(lambda host=host: reach(host) == ["ok", "ok"], NOTICE_S, f"{host.name}'s peers answer")
    return hosts


def peers(host):
    return host.daemon.json("/v1/peers")["items"]


def peer(host, other):
    return next(p for p in peers(host) if p["subnet"] == other.daemon.subnet())


def reach(host):
    return sorted(str(p["reach"]) for p in peers(host))


def problem(host, name):
    """(severity, text), or None."""
    return next(((p["severity"], p["text"]) for p in host.daemon.status()["problems"] if p["name"] == name), None)


def probes(one):
    return {(p["family"], p["layer"]): p for p in one["probes"]}


@pytest.mark.parametrize(
    "askers, ways",
    [
        (APART, {("ipv4", "underlay"), ("ipv4", "tunnel")}),
        (DUAL, {(family, layer) for family in ("ipv4", "ipv6") for layer in ("underlay", "tunnel")}),
        (APART | {"Backend": {"Type": "host-gw"}}, {("ipv4", "underlay")}),
    ],
    ids=["vxlan", "dual", "host-gw"],
    indirect=["askers"],
)
def test_all_answer(askers, ways):
    h1, h2 = askers[:2]
    wait_for(lambda: all(p["heardSecondsAgo"] is not None for p in peer(h1, h2)["probes"]), NOTICE_S, "every way was heard on")
    one = peer(h1, h2)
    assert set(probes(one)) == ways
    assert 0 < one["rttSeconds"] < 1
    assert all(0 < p["rttSeconds"] < 1 and p["error"] is None for p in one["probes"])
    assert probes(one)["ipv4", "underlay"]["address"] == h2.address
    if ("ipv4", "tunnel") in ways:
        assert probes(one)["ipv4", "tunnel"]["address"] == h2.daemon.subnet().split("/")[0]
    h1.daemon.wait_ok()
    families = len({family for family, _ in ways})
    assert h1.daemon.status()["probes"]["peers"]["ok"] == 2 * families
    shown = fabricctl("status", f"--socket={h1.daemon.socket_path}", where=h1)
    assert shown.returncode == OK and f"{2 * families} answer " in shown.stdout
    for command in ("peers",), ("subnets", "-o", "wide"):
        shown = fabricctl(*command, f"--socket={h1.daemon.socket_path}", where=h1).stdout
        assert "REACH" in shown and "RTT" in shown and " ms" in shown
    metrics = h1.daemon.metrics()
    assert metrics['flannel_peers_reach{family="ipv4",state="ok"}'] == 2
    assert metrics['flannel_probes_answered_total{layer="underlay"}'] > 0
    assert metrics['flannel_probe_rtt_seconds_bucket{layer="underlay",le="+Inf"}'] > 0


def test_tunnel_is_filtered(askers):
    """The underlay answers, the tunnel does not: both ends name port and peer, and say when it is over."""
    h1, h2, h3 = askers
    h2.namespace.nft("table ip fault { chain in { type filter hook input priority -300; udp dport 8472 drop; }; }")
    for here, there in (h1, h2), (h3, h2), (h2, h1):
        wait_for(lambda here=here: problem(here, "peer-unreachable"), NOTICE_S, f"{here.name} names it")
        severity, text = problem(here, "peer-unreachable")
        assert severity == "warning"
        assert "UDP port 8472" in text
        if here is not h2:
            assert there.daemon.flags["node_name"] in text and there.address in text
    assert peer(h1, h2)["reach"] == "tunnel-silent" and peer(h1, h3)["reach"] == "ok"
    assert "; and 1 more" in problem(h2, "peer-unreachable")[1]
    assert probes(peer(h1, h2))["ipv4", "tunnel"]["lossPercent"] > 0
    h2.namespace.nft("delete table ip fault")
    for host in askers:
        host.daemon.wait_ok(NOTICE_S)
        assert reach(host) == ["ok", "ok"]


def test_host_is_cut_off(askers):
    """Whose peer is silent is well itself; who hears nobody is not."""
    h1, h2, h3 = askers
    h3.namespace.nft("table inet fault { chain in { type filter hook prerouting priority -400; iifname eth0 drop; }; }")
    for host in h1, h2:
        wait_for(lambda host=host: problem(host, "peer-unreachable"), NOTICE_S, "the host that is silent is named")
        severity, text = problem(host, "peer-unreachable")
        assert severity == "info" and h3.address in text and "since" in text
        assert host.daemon.status()["verdict"] == "ok"
    wait_for(lambda: problem(h3, "no-peer-answers"), NOTICE_S, "it names that it is cut off")
    assert "none of 2 peers" in problem(h3, "no-peer-answers")[1]
    h3.namespace.nft("delete table inet fault")
    for host in askers:
        wait_for(lambda host=host: reach(host) == ["ok", "ok"], 2 * NOTICE_S, "all answer again")


def test_daemon_is_down(askers):
    """It is the kernel that answers: a host without its daemon has its data path."""
    h1, h2 = askers[:2]
    h2.daemon.kill()

    def asked():
        return h1.daemon.metric('flannel_probes_total{layer="tunnel"}')

    before = asked()
    wait_for(lambda: asked() >= before + 8, NOTICE_S, "both peers were asked four times more")
    assert peer(h1, h2)["reach"] == "ok" and probes(peer(h1, h2))["ipv4", "tunnel"]["heardSecondsAgo"] <= 2


def test_own_rules_drop(askers):
    """What does not leave this host is no fault of the peer's."""
    h1 = askers[0]
    h1.namespace.nft("table ip fault { chain out { type filter hook output priority 0; oifname flannel.1 drop; }; }")
    wait_for(lambda: problem(h1, "peer-unreachable"), NOTICE_S, "the silence is named")
    assert "do not leave this host: Operation not permitted" in problem(h1, "peer-unreachable")[1]


def test_may_not_ask(lab):
    """The kernel's default lets nobody: that is said, and is no fault."""
    lab.start_etcd()
    lab.configure(APART)
    h1, _ = lab.hosts(2, daemons=True)
    h1.daemon.wait_ok()
    asked = h1.daemon.status()["probes"]
    assert asked["on"] is False and "net.ipv4.ping_group_range" in asked["reason"]
    assert reach(h1) == ["None"]
    shown = fabricctl("status", f"--socket={h1.daemon.socket_path}", where=h1)
    assert "peers are not asked whether they answer: net.ipv4.ping_group_range" in shown.stdout
    # From when it may it does: tried twice a minute, and when it is told to look.
    h1.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
    h1.daemon.signal(signal.SIGHUP)
    wait_for(lambda: reach(h1) == ["ok"], NOTICE_S, "the peer answers")


def test_is_not_to_ask(lab):
    lab.start_etcd()
    lab.configure(APART)
    h1 = lab.host()
    h1.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
    h1.start_daemon(probe_interval=0)
    assert h1.daemon.status()["probes"] == {"on": False, "reason": "", "intervalSeconds": 0, "peers": {}}
    assert not any(name.startswith("flannel_probe") for name in h1.daemon.metrics())
