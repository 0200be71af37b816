# SPDX-License-Identifier: Apache-2.0
"""Another type of backend for a fabric that runs: nothing of the old one stays, and who changes when."""

import json

import pytest

import ipsec
from fabric import APART
from fabricctl_support import ask_store
from netns import wait_for
from test_ipip import kernel_has_ipip
from wireguard import kernel_has_wireguard

COMMANDS = {
    "SubnetAddCommand": "ip route add $SUBNET via $PUBLIC_IP proto 77",
    "SubnetRemoveCommand": "ip route del $SUBNET proto 77",
}
KEYS = {"extension": COMMANDS, "ipsec": {"PSK": ipsec.PSK}}
DEVICES = {"vxlan": "flannel.1", "ipip": "flannel.ipip", "udp": "flannel0", "wireguard": "flannel-wg"}
# What this kernel has devices for; in a guest that has all of them the others were tried with vxlan outside.
TYPES = list(DEVICES) if kernel_has_ipip() and kernel_has_wireguard() else ["vxlan", "host-gw", "extension"]
HAS_IPSEC = ipsec.missing() is None
FOREIGN = "10.99.0.0/24"


def every_change(types):
    """Each of them after each other one, once: a walk that begins after the first, and ends there."""
    first, *rest = types
    walk = []
    for number, one in enumerate(rest):
        walk.append(one)
        for other in rest[number + 1 :]:
            walk += [other, one]
        walk.append(first)
    return walk


def every_change_of(one, others):
    """To and from each of the others, once."""
    return [step for other in others for step in (other, one)]


WALKS = {"others": (TYPES[0], every_change(TYPES))}
for one in {"host-gw", "extension"} - set(TYPES):
    WALKS[one] = (one, every_change_of(one, DEVICES.keys() - {"vxlan"}))
if HAS_IPSEC:
    WALKS["ipsec"] = ("ipsec", every_change_of("ipsec", dict.fromkeys([*TYPES, "host-gw", "extension"])))


def config(backend, **more):
    return APART | {"Backend": {"Type": backend} | KEYS.get(backend, {})} | more


def traces(host):
    """What there is of each backend: devices, tables, routes into the network, ports, records."""
    tables = host.namespace.run("nft", "list", "tables").split()
    routes = host.namespace.ip("-4", "route", "show", "root", APART["Network"])
    return {
        "devices": [link["ifname"] for link in host.namespace.ip("link", "show") if link["ifname"].startswith("flannel")],
        "tables": sorted(set(tables) & set(DEVICES.values())),
        "routes": [(r["dst"], r["dev"], r["protocol"] == "77") for r in routes if r["dev"] != "cni0"],
        "ports": host.namespace.run("ip", "fou", "show", check=False).stdout.count("port"),
        "records": sorted(
            name for name in ("extension.json", "ipsec.used") if (host.daemon.directory / "state" / name).exists()
        ),
        # Policies, charon, tunnels of it.
        "ipsec": HAS_IPSEC and (len(ipsec.policies(host)), bool(host.run.charon()), "aead" in ipsec.states(host)),
    }


def expected(backend, peer):
    device = DEVICES.get(backend)
    dst = APART["Network"] if backend == "wireguard" else peer.daemon.subnet()
    return {
        "devices": [device] if device else [],
        "tables": [device] if device else [],
        "routes": [(dst, device or "eth0", backend == "extension")],
        "ports": backend == "udp",
        "records": {"extension": ["extension.json"], "ipsec": ["ipsec.used"]}.get(backend, []),
        "ipsec": HAS_IPSEC and ((3, True, ipsec.kernel_has_esp()) if backend == "ipsec" else (0, False, False)),
    }


@pytest.mark.parametrize("walk", WALKS)
def test_nothing_of_the_old_one_stays(lab, walk):
    first, steps = WALKS[walk]
    lab.start_etcd()
    lab.configure(config(first))
    hosts = lab.hosts(2)
    for host in hosts:
        daemon = ipsec.make_daemon(host) if HAS_IPSEC else host.make_daemon()
        daemon.environment["WIREGUARD_KEY_FILE"] = str(daemon.directory / "wgkey")
        daemon.start().wait_ready()
        host.namespace.ip_batch(
            ["link add other0 type vxlan id 77 dstport 4789", "link set other0 up", f"route add {FOREIGN} dev other0 proto 103"]
        )
    subnets = [host.daemon.subnet() for host in hosts]
    containers = [host.container() for host in hosts]
    for backend in steps:
        lab.configure(config(backend))
        for host in hosts:
            host.daemon.restart()
        for host, peer in zip(hosts, reversed(hosts)):

            def changed(host=host, want=expected(backend, peer)):
                have = traces(host)
                assert have == want, have
                return True

            wait_for(changed, 10 + ipsec.TUNNEL_S, f"{backend}, and nothing else")
            assert host.link("other0") and host.namespace.ip("-4", "route", "show", FOREIGN)
        if backend == "ipsec" and not ipsec.kernel_has_esp():
            continue
        if backend == "ipsec":
            ipsec.wait_tunnels(*hosts)
        with lab.pinger(*containers) as pinger:
            wait_for(lambda pinger=pinger: pinger.sent >= 20, 10, "pings")
        assert pinger.lost == 0, f"{backend}: {pinger.report()}"
    assert [host.daemon.subnet() for host in hosts] == subnets


def test_with_the_majority(lab):
    """Who is restarted early is not cut off; who is restarted when half of the others have changed follows them."""
    lab.start_etcd()
    lab.configure(config("vxlan"))
    hosts = h1, h2, h3 = lab.hosts(3, daemons=True)
    subnets = [host.daemon.subnet() for host in hosts]
    lab.configure(config("host-gw", BackendChange="majority"))
    with lab.pinger(h1.container(), h3.container()) as pinger:
        wait_for(lambda: pinger.sent >= 20, 10, "pings")
        h1.daemon.restart()
        h1.daemon.wait_peers(2)
        h1.daemon.wait_status(
            lambda s: any("once half of the other hosts have changed" in p["text"] for p in s["problems"]), 5, "what it waits for"
        )
        assert h1.link("flannel.1")
        sent = pinger.sent
        wait_for(lambda: pinger.sent >= sent + 40, 10, "pings")
    assert pinger.lost == 0, pinger.report()
    h2.daemon.stop()
    h2.daemon.release()
    h2.daemon.start().wait_ready()
    for host in (h1, h3):
        host.daemon.restart()
    for host in hosts:
        host.daemon.wait_ok()
        wait_for(lambda host=host: not host.link("flannel.1"), 10, "host-gw")
    assert [host.daemon.subnet() for host in hosts] == subnets


@pytest.mark.parametrize(
    "more, said",
    [
        ({}, "a host changes as soon as flanneld is restarted, by a reboot too, and hosts"),
        ({"BackendChange": "majority"}, "a host changes when flanneld is restarted and at least half of the others have changed"),
    ],
    ids=["restart", "majority"],
)
def test_config_set_says_what_it_means(lab, more, said):
    lab.start_etcd()
    lab.configure(config("vxlan"))
    lab.hosts(2, daemons=True)
    file = lab.directory / "config.json"
    file.write_text(json.dumps(config("host-gw", **more)))
    text = ask_store(lab, "config", "set", "--dry-run", file)
    assert "the backend becomes host-gw, was vxlan: " + said in text
    assert said in json.loads(ask_store(lab, "config", "set", "--dry-run", "-o", "json", file))["typeChange"]
    file.write_text(json.dumps(config("vxlan", SubnetMax="10.5.230.0", **more)))
    assert "the backend becomes" not in ask_store(lab, "config", "set", "--dry-run", file)
