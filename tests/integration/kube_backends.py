# SPDX-License-Identifier: Apache-2.0
"""Backends where nodes are leases: what each writes into its node, to the byte, and what it needs of a machine.

The same cases for the API server by script, which runs in a guest too, and for a real one (tests/kubernetes).
"""

import json
import re

import test_ipip
import wireguard
from netns import wait_for

BACKENDS = ["vxlan", "host-gw", "udp", "ipip", "wireguard"]
DUAL = ["vxlan", "wireguard", "host-gw"]
MAC = r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"
KEY = r"[A-Za-z0-9+/]{43}="
# (backend-type, backend-data, backend-v6-data), as flannel 0.20 to 0.28 writes them; nothing that a host has not chosen differs.
GOLDEN = {
    "vxlan": ("vxlan", rf'{{"VNI":1,"VtepMAC":"{MAC}"}}', rf'{{"VNI":1,"VtepMAC":"{MAC}"}}'),
    "host-gw": ("host-gw", "null", "null"),
    "udp": ("", "null", None),
    "ipip": ("ipip", "null", None),
    "wireguard": ("wireguard", rf'{{"PublicKey":"{KEY}","Port":51820}}', rf'{{"PublicKey":"{KEY}","Port":51821}}'),
}
ROUTES = {"vxlan": "flannel.1", "host-gw": "eth0", "udp": "flannel0", "ipip": "flannel.ipip", "wireguard": "flannel-wg"}


def missing(backend):
    """Why it cannot be tried here, or None."""
    if backend in ("ipip", "udp") and not test_ipip.kernel_has_ipip():
        return "this kernel has no ipip; make check-guest has one that does"
    return wireguard.missing() if backend == "wireguard" else None


def prepare(daemon, backend):
    """Before it is started."""
    return wireguard.prepare(daemon) if backend == "wireguard" else daemon


def check_annotations(found, host, backend, dual=False):
    """All of them, of this host's node: nothing is missing, and nothing is there that flannel would not write but ours."""
    kind, data, data6 = GOLDEN[backend]
    assert found.pop("fabric-node")
    assert found.pop("kube-subnet-manager") == "true" and found.pop("public-ip") == host.address
    assert found.pop("backend-type") == kind
    assert re.fullmatch(data, found.pop("backend-data"))
    if dual:
        assert found.pop("public-ipv6") == f"2001:db8:1::{host.number}"
        assert re.fullmatch(data6, found.pop("backend-v6-data"))
    assert found == {}


def check_route(hosts, backend):
    """The first one's to the others lead where this backend's do."""
    shown = hosts[0].namespace.run("ip", "-4", "route", "get", hosts[1].containers[0].address)
    assert f" dev {ROUTES[backend]} " in shown, shown


def _rules(net, own, multicast):
    """Flannel's rules for one family in the words of iptables, in its order: of masquerade, then of forwarding."""
    masquerade = "MASQUERADE --random-fully"
    rows = [
        ("-m mark --mark 0x4000/0x4000", "RETURN"), (f"-s {own} -d {net}", "RETURN"), (f"-s {net} -d {own}", "RETURN"),
        (f"! -s {net} -d {own}", "RETURN"), (f"-s {net} ! -d {multicast}", masquerade), (f"! -s {net} -d {net}", masquerade),
    ]  # fmt: skip
    return [f'{match} -m comment --comment "flanneld masq" -j {verdict}' for match, verdict in rows], [
        f'{side} {net} -m comment --comment "flanneld forward" -j ACCEPT' for side in ("-s", "-d")
    ]


def _in_nft(rule, family):
    """A rule of masquerade as nft shows it."""
    ip = "ip" if family == 4 else "ip6"
    match, _, verdict = rule.partition(' -m comment --comment "flanneld masq" -j ')
    match = match.replace("-m mark --mark 0x4000/0x4000", f"meta mark & 0x00004000 == 0x00004000 meta nfproto ipv{family}")
    for side, name in (("-s", "saddr"), ("-d", "daddr")):
        match = match.replace(f"! {side}", f"{ip} {name} !=").replace(side, f"{ip} {name}")
    return f'{match} {verdict.lower().replace("--random-fully", "fully-random")} comment "flanneld masq"'


def check_rules(host, nftables, dual):
    """E1 to E11: flannel's, word for word, in chains of our own names. In nftables nothing needs to be accepted."""
    families = [(4, "iptables-save", _rules("10.5.0.0/16", host.daemon.subnet(), "224.0.0.0/4"))]
    if dual:
        families.append((6, "ip6tables-save", _rules("fd10:5::/48", host.daemon.subnet6(), "ff00::/8")))

    def as_flannels():
        if nftables:
            shown = host.namespace.run("nft", "list", "ruleset")
            found = [line.strip() for line in shown.splitlines() if '"flanneld masq"' in line]
            return found == [_in_nft(rule, family) for family, _, (masquerade, _) in families for rule in masquerade]
        for _, save, (masquerade, forward) in families:
            shown = host.namespace.run(save)
            for chain, wanted in (("POSTRTG", masquerade), ("FWD", forward)):
                if re.findall(rf"^-A \S+-{chain} (.*)$", shown, re.M) != wanted:
                    return False
        return True

    wait_for(as_flannels, 10, f"flannel's rules on {host.name}")


def meet(containers):
    """Each was answered by each once: the first packet of a tunnel with keys waits for these."""
    for number, container in enumerate(containers):
        for other in containers[number + 1 :]:
            for address in other.addresses:
                container.namespace.run("ping", "-c", "1", "-W", "8", address)


def iperf3(client, server, seconds):
    """Bits a second that the server has received by TCP, in each family that both have."""
    found = []
    for address in server.addresses:
        listening = server.namespace.popen("iperf3", "-s", "-1", "-B", address)
        try:
            wait_for(lambda: ":5201 " in server.namespace.run("ss", "-Hltn"), 10, "iperf3 listens")
            said = client.namespace.run("iperf3", "-c", address, "-t", seconds, "-J", timeout=seconds + 60)
            assert listening.wait(20) == 0
        finally:
            listening.kill()
        found.append(json.loads(said)["end"]["sum_received"]["bits_per_second"])
    return found
