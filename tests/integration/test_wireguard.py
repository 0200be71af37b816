# SPDX-License-Identifier: Apache-2.0
"""wireguard: peers and allowed-ips of flannel-wg. With the kernel's WireGuard in tests/guest, with wireguard-go elsewhere."""

import base64
import json
import os
import stat

import pytest

import wireguard
from fabric import APART, DEPARTED_S
from netns import stays, wait_for
from wireguard import DEVICE, Interface, needs_wireguard, wg

pytestmark = needs_wireguard


@pytest.fixture
def wg3(lab):
    return wireguard.start(lab, 3)


def wanted(hosts, host):
    return {o.daemon.subnet(): (Interface(o).public, f"{o.address}:51820") for o in hosts if o is not host}


def heals(hosts, host, within_s=5):
    wait_for(lambda: Interface(host).ways() == wanted(hosts, host), within_s, "all peers, and no others")


def enough(pinger, each=15):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 20, "pings")


def meet(*containers):
    """One after the other: hosts that greet each other in the same moment both wait for an answer, for five seconds."""
    for number, container in enumerate(containers):
        for other in containers[number + 1 :]:
            for address in other.addresses:
                container.namespace.run("ping", "-c", "1", "-W", "8", address)
    return containers


def pings(lab, *hosts, each=5):
    with lab.pinger(*meet(*(host.container() for host in hosts))) as pinger:
        enough(pinger, each)
    assert pinger.lost == 0, pinger.report()


def routes(host, family="-4"):
    shown = host.namespace.ip(family, "route", "show", "dev", DEVICE)
    return {(r["dst"], r.get("gateway"), r.get("scope")) for r in shown if r["protocol"] != "kernel"}


def sync(host):
    host.daemon.request("/v1/sync", "POST")


def test_containers_reach_each_other(lab, wg3):
    pings(lab, *wg3, each=15)
    for host in wg3:
        heals(wg3, host)
        assert Interface(host).port == 51820
        assert routes(host) == {("10.5.0.0/16", None, "link")}
        link = host.link(DEVICE)
        assert link["mtu"] == 1420
        assert host.daemon.environment_file()["FLANNEL_MTU"] == "1420"
    h1 = wg3[0]
    data = {"PublicKey": Interface(h1).public, "Port": 51820}
    value = {"PublicIP": h1.address, "PublicIPv6": None, "BackendType": "wireguard", "BackendData": data}
    record = lab.etcd.get(h1.daemon.key())
    assert record.value.startswith(json.dumps(value, separators=(",", ":"))[:-1] + ",")
    key_file = h1.daemon.flags["state_dir"] / "wireguard.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    h1.daemon.wait_ok()
    assert Interface(h1).private not in h1.daemon.log()


def test_a_restart_writes_nothing_and_keeps_all_sessions(lab, wg3):
    h1, h2, h3 = wg3
    with lab.pinger(*meet(h1.container(), h2.container(), h3.container())) as pinger:
        enough(pinger, 5)
        before = {key: peer.handshake for key, peer in Interface(h1).peers.items()}
        index = h1.link(DEVICE)["ifindex"]
        assert all(before.values())
        h1.daemon.restart()
        h1.daemon.wait_peers(2)
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
        h1.daemon.kill()
        enough(pinger, 5)
        h1.daemon.start()
        h1.daemon.wait_peers(2)
        enough(pinger, 5)
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert pinger.lost == 0, pinger.report()
    assert {key: peer.handshake for key, peer in Interface(h1).peers.items()} == before
    assert h1.link(DEVICE)["ifindex"] == index


def test_a_peer_that_leaves_is_no_way_to_anywhere_else(lab, wg3):
    h1, h2, h3 = wg3
    container = h1.container()
    gone = h3.container().address
    h3.daemon.kill()
    lab.etcd.delete(h3.daemon.key())
    wait_for(lambda: h3.daemon.subnet() not in Interface(h1).ways(), DEPARTED_S + 3, "the peer is gone")
    assert set(Interface(h1).peers) == {Interface(h2).public}
    reply = container.namespace.run("ping", "-c", "1", "-W", "2", gone, check=False).stdout
    assert "0 received" in reply
    if wireguard.kernel_has_wireguard():
        assert "Unreachable" in reply, reply


def test_a_changed_peer_is_replaced_alone(lab, wg3):
    """Another key of one host: the other peer keeps its session."""
    h1, h2, h3 = wg3
    pings(lab, *wg3)
    before = Interface(h1)
    other = before.ways()[h3.daemon.subnet()][0]
    h2.daemon.stop()
    (h2.daemon.flags["state_dir"] / "wireguard.key").unlink()
    h2.daemon.start().wait_ready()
    heals(wg3, h1)
    after = Interface(h1)
    assert after.ways()[h2.daemon.subnet()][0] != before.ways()[h2.daemon.subnet()][0]
    assert after.peers[other].handshake == before.peers[other].handshake
    assert len(after.peers) == 2
    h2.daemon.wait_peers(2)
    heals(wg3, h2)
    pings(lab, h1, h2)


def test_an_endpoint_that_was_learned_stays_until_the_lease_changes(lab):
    """The peer answers from another port than its lease says; another port in the lease counts at once."""
    h1, h2 = wireguard.start(lab, 2)
    pings(lab, h1, h2)
    key = Interface(h2).public
    wg(h2, "set", DEVICE, "listen-port", "40000")
    h2.daemon.kill()
    c1, c2 = h1.container(), h2.container()
    c2.namespace.run("ping", "-c", "1", "-W", "5", c1.address)
    learned = f"{h2.address}:40000"
    assert Interface(h1).peers[key].endpoint == learned
    writes = h1.daemon.metric("flannel_netlink_writes_total")
    sync(h1)
    h1.daemon.restart()
    h1.daemon.wait_peers(1)
    assert Interface(h1).peers[key].endpoint == learned
    assert writes > h1.daemon.metric("flannel_netlink_writes_total") == 0
    record = lab.etcd.get(h2.daemon.key())
    lab.etcd.put(h2.daemon.key(), record.value.replace("51820", "40001"))
    wait_for(lambda: Interface(h1).peers[key].endpoint == f"{h2.address}:40001", 5, "the lease's word")


@pytest.mark.parametrize(
    "command",
    [
        "wg set flannel-wg peer {key} remove",
        "wg set flannel-wg peer {key} preshared-key {secret}",
        "wg set flannel-wg peer {key} persistent-keepalive 7",
        "wg set flannel-wg peer {key} endpoint 192.0.2.99:1",
        "wg set flannel-wg peer {key} allowed-ips 10.9.0.0/16,{subnet}",
        "wg set flannel-wg peer {stranger} allowed-ips {subnet}",
        "wg set flannel-wg listen-port 40000",
        "wg set flannel-wg fwmark 7",
        "wg set flannel-wg private-key {secret}",
        "ip route del 10.5.0.0/16 dev flannel-wg",
        "ip addr flush dev flannel-wg",
        "ip link set flannel-wg down",
        "ip link set flannel-wg mtu 1300",
        "ip link del flannel-wg",
    ],
)
def test_what_others_undo_is_put_back(lab, command):
    h1, h2 = hosts = wireguard.start(lab, 2)
    before = Interface(h1)
    values = {
        "key": Interface(h2).public,
        "stranger": base64.b64encode(os.urandom(32)).decode(),
        "subnet": h2.daemon.subnet(),
        "secret": lab.directory / "secret",
    }
    values["secret"].write_bytes(base64.b64encode(os.urandom(32)))
    command = command.format(**values).split()
    h1.namespace.run(*(wireguard.inside(h1) if command[0] == "wg" else []), *command)
    sync(h1)
    h1.daemon.wait_ok()

    def well():
        now = Interface(h1)
        peers = list(now.peers.values())
        return (
            (now.private, now.port, now.mark) == (before.private, 51820, "off")
            and now.ways() == wanted(hosts, h1)
            and [(p.psk, p.keepalive) for p in peers] == [("(none)", "off")]
            and routes(h1) == {("10.5.0.0/16", None, "link")}
            and h1.link(DEVICE)["mtu"] == 1420
        )

    wait_for(well, 10, "all as it was")
    pings(lab, h1, h2)


def test_key_and_device_of_flannel_are_taken_over(lab):
    """flannel's state: a key in a file of its own, device, address, route and peers without a mark; a session too."""
    h1, h2 = wireguard.start(lab, 2)
    pings(lab, h1, h2)
    handshake = Interface(h1).peers[Interface(h2).public].handshake
    h1.daemon.stop()
    state = h1.daemon.flags["state_dir"]
    private = Interface(h1).private
    base = h1.daemon.subnet().split("/")[0]
    lab.etcd.put(h1.daemon.key(), lab.etcd.get(h1.daemon.key()).value.split(',"Node"')[0] + "}")
    for file in state.iterdir():
        file.unlink()
    key_file = h1.daemon.directory / "wgkey"
    key_file.write_text(private)
    key_file.chmod(0o400)
    h1.namespace.ip_do(f"route replace 10.5.0.0/16 dev {DEVICE} scope link proto boot")
    h1.namespace.run("ip", "link", "set", DEVICE, "alias", "")
    h1.daemon.start().wait_ready()
    h1.daemon.wait_peers(1)
    assert Interface(h1).private == private
    assert (state / "wireguard.key").read_text().strip() == private
    assert h1.daemon.subnet().split("/")[0] == base
    assert Interface(h1).peers[Interface(h2).public].handshake == handshake
    pings(lab, h1, h2)


def test_what_is_wrong_in_the_configuration_is_named(lab):
    lab.start_etcd()
    host = lab.host()
    rows = {
        "PSK is not 32 bytes in base64": {"PSK": "do-not-tell"},
        'Mode is "both", must be separate, auto, ipv4 or ipv6': {"Mode": "both"},
        "ListenPort is 0, must be an integer from 1 to 65535": {"ListenPort": 0},
        "EnableIPv6 is false": {"Mode": "ipv6"},
        "MTU is 600, must be 0 or from 656 to 65535": {"MTU": 600},
    }
    daemon = wireguard.make_daemon(host)
    for number, (text, keys) in enumerate(rows.items()):
        lab.configure(APART | wireguard.config(**keys))
        if number == 0:
            daemon.start()
        wait_for(lambda text=text: text in daemon.request("/readyz")[1], 5, f"/readyz says {text}")
    assert "do-not-tell" not in daemon.log()
    stays(lambda: not lab.etcd.leases(), 0.2, "nothing is leased")
