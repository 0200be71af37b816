# SPDX-License-Identifier: Apache-2.0
"""wireguard: peers and allowed-ips of flannel-wg. With the kernel's WireGuard in tests/guest, with wireguard-go elsewhere."""

import base64
import json
import os
import subprocess
import pathlib
import signal
import socket
import stat

import pytest

import netns
import wireguard
from etcd import PREFIX
from fabric import APART, DEPARTED_S, DUAL, FABRICCTL
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


UNDONE = (
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
)


def test_what_others_undo_is_put_back(lab, wg3):
    """On one host after the other: who does it again and again to one meets a daemon that is in no hurry."""
    containers = [host.container() for host in wg3]
    secret = lab.directory / "secret"
    for number, line in enumerate(UNDONE):
        host, peer = wg3[number % 3], wg3[(number + 1) % 3]
        before = Interface(host)
        stranger = base64.b64encode(os.urandom(32)).decode()
        secret.write_bytes(base64.b64encode(os.urandom(32)))
        command = line.format(key=Interface(peer).public, stranger=stranger, subnet=peer.daemon.subnet(), secret=secret).split()
        host.namespace.run(*(wireguard.inside(host) if command[0] == "wg" else []), *command)
        sync(host)
        host.daemon.wait_ok()

        def well(host=host, before=before):
            now = Interface(host)
            return (
                (now.private, now.port, now.mark) == (before.private, 51820, "off")
                and now.ways() == wanted(wg3, host)
                and {(p.psk, p.keepalive) for p in now.peers.values()} == {("(none)", "off")}
                and routes(host) == {("10.5.0.0/16", None, "link")}
                and host.link(DEVICE)["mtu"] == 1420
            )

        wait_for(well, 10, f"all as it was after {line}")
        with lab.pinger(*meet(*(containers[n % 3] for n in (number, number + 1)))) as pinger:
            enough(pinger, 5)
        assert pinger.lost == 0, f"{line}: {pinger.report()}"


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


# ---- what would go wrong in silence


def reason(host, subnet):
    return next(i for i in host.daemon.subnets() if i.get("subnet") == subnet)["reason"]


def put_peer(lab, subnet, address, key, port=51820):
    value = {"PublicIP": address, "PublicIPv6": None, "BackendType": "wireguard", "BackendData": {"PublicKey": key, "Port": port}}
    lab.etcd.put(f"/coreos.com/network/subnets/{subnet.replace('/', '-')}", json.dumps(value))


def test_keys_that_cannot_be_are_named(lab):
    """The kernel takes both, and does nothing with the one and moves a subnet away for the other."""
    h1, h2 = wireguard.start(lab, 2)
    own, other = Interface(h1).public, Interface(h2).public
    before = Interface(h1).ways()
    put_peer(lab, "10.5.20.0/24", "192.0.2.20", own)
    put_peer(lab, "10.5.21.0/24", "192.0.2.21", other)
    put_peer(lab, "10.5.22.0/24", "192.0.2.22", base64.b64encode(os.urandom(32)).decode())
    wait_for(lambda: "10.5.22.0/24" in Interface(h1).ways(), 5, "the good one")
    assert reason(h1, "10.5.20.0/24") == "PublicKey is this host's own"
    assert h2.daemon.subnet() in reason(h1, "10.5.21.0/24"), reason(h1, "10.5.21.0/24")
    after = Interface(h1).ways()
    assert {net: after[net] for net in before} == before and set(after) == set(before) | {"10.5.22.0/24"}
    pings(lab, h1, h2)


def test_a_preshared_key_on_one_side_is_named(lab):
    lab.start_etcd()
    lab.configure(APART | wireguard.config(PSK=base64.b64encode(b"\7" * 32).decode()))
    h1, h2 = lab.host(), lab.host()
    wireguard.make_daemon(h1).start().wait_ready()
    lab.configure(APART | wireguard.config())
    wireguard.make_daemon(h2).start().wait_ready()
    for host in (h1, h2):
        host.daemon.wait_peers(1)
    assert [p.psk for p in Interface(h1).peers.values()] == [base64.b64encode(b"\7" * 32).decode()]
    h1.container().namespace.run("ping", "-c", "2", "-i", "0.2", "-W", "1", h2.container().address, check=False)
    wait_for(lambda: "wireguard-no-handshake" in h2.daemon.problems(), 10, "who hears it says so")
    text = next(p["text"] for p in h2.daemon.status()["problems"] if p["name"] == "wireguard-no-handshake")
    assert h1.daemon.subnet() in text and "PSK" in text
    secret = base64.b64encode(b"\7" * 32).decode()
    assert secret not in h1.daemon.log() and secret not in h1.daemon.request("/v1/config")[1]
    lab.configure(APART | wireguard.config(PSK=secret))
    h2.daemon.restart()
    pings(lab, h1, h2)
    wait_for(lambda: "wireguard-no-handshake" not in h2.daemon.problems(), 10, "it is over")


@pytest.mark.slow
def test_a_peer_that_does_not_answer_is_named(lab):
    """Its port is closed by a firewall: nothing comes back, and it is over with the first answer."""
    h1, h2 = wireguard.start(lab, 2)
    c1, c2 = h1.container(), h2.container()
    h2.namespace.nft("table inet wall { chain in { type filter hook input priority 0; udp dport 51820 drop; }; }")
    ping = c1.namespace.popen("ping", "-i", "0.2", "-c", "400", c2.address, stdout=subprocess.DEVNULL)
    wait_for(lambda: "wireguard-silent" in h1.daemon.problems(), 40, "who is not answered says so")
    text = next(p["text"] for p in h1.daemon.status()["problems"] if p["name"] == "wireguard-silent")
    assert h2.daemon.subnet() in text
    h2.namespace.nft("delete table inet wall")
    wait_for(lambda: "wireguard-silent" not in h1.daemon.problems(), 20, "it is over")
    netns.end_process(ping)
    pings(lab, h1, h2)


def test_a_port_that_is_taken_is_named_and_taken_when_it_is_free(lab):
    lab.start_etcd()
    lab.configure(APART | wireguard.config())
    host = lab.host()
    with host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 51820))
        daemon = wireguard.make_daemon(host).start()
        if wireguard.kernel_has_wireguard():
            wait_for(lambda: "device-failed" in daemon.problems(), 10, "it cannot be set up")
            text = next(p["text"] for p in daemon.status()["problems"] if p["name"] == "device-failed")
            assert "holds UDP port 51820" in text, text
    daemon.wait_ready(20)
    daemon.wait_ok()


# ---- modes


@pytest.mark.parametrize("mode", ["separate", "auto", "ipv4", "ipv6"])
def test_both_families_in_every_mode(lab, mode):
    hosts = h1, h2 = wireguard.start(lab, 2, DUAL, Mode=mode)
    pings(lab, *hosts)
    data = json.loads(lab.etcd.get(h1.daemon.key()).value)
    ports = [data[name]["Port"] for name in ("BackendData", "BackendV6Data")]
    now = Interface(h1)
    if mode == "separate":
        v6 = Interface(h1, "flannel-wg-v6")
        assert ports == [now.port, v6.port] == [51820, 51821]
        assert now.ways() == {h2.daemon.subnet(): (Interface(h2).public, f"{h2.address}:51820")}
        assert v6.ways() == {h2.daemon.subnet6(): (Interface(h2).public, f"[{h2.address6}]:51821")}
        return
    assert ports == [51820, 51820] and now.port == 51820
    assert not h1.link("flannel-wg-v6")
    # 192.0.2.0/24 is nobody's private network.
    endpoint = f"[{h2.address6}]:51820" if mode == "ipv6" else f"{h2.address}:51820"
    way = (Interface(h2).public, endpoint)
    assert now.ways() == {h2.daemon.subnet(): way, h2.daemon.subnet6(): way}


def test_another_mode_and_another_backend_leave_nothing_behind(lab):
    h1, h2 = hosts = wireguard.start(lab, 2, DUAL)
    subnets = [host.daemon.subnet() for host in hosts]
    key = Interface(h1).public
    for config, there, gone in (
        (wireguard.config(Mode="ipv6"), {DEVICE}, {"flannel-wg-v6"}),
        ({}, {"flannel.1", "flannel-v6.1"}, {DEVICE}),
        (wireguard.config(), {DEVICE, "flannel-wg-v6"}, {"flannel.1", "flannel-v6.1"}),
    ):
        lab.configure(DUAL | config)
        for host in hosts:
            host.daemon.restart()
        for host in hosts:
            host.daemon.wait_peers(1)
            wait_for(lambda host=host, gone=gone: not any(map(host.link, gone)), 10, f"{gone} are swept")
            assert all(map(host.link, there))
    assert [host.daemon.subnet() for host in hosts] == subnets
    assert Interface(h1).public == key
    pings(lab, h1, h2)


# ---- what is told


def test_handshakes_and_bytes_are_told(lab):
    h1, h2 = wireguard.start(lab, 2)

    def nothing_yet():
        peer = h1.daemon.json("/v1/peers")["items"][0]
        return (peer["handshakeSecondsAgo"], peer["receivedBytes"], peer["sentBytes"]) == (None, 0, 0)

    wait_for(nothing_yet, 5, "nobody has sent anything")
    pings(lab, h1, h2)

    def told():
        item = h1.daemon.json("/v1/peers")["items"][0]
        return item["handshakeSecondsAgo"] is not None and item["receivedBytes"] > 500 and item

    item = wait_for(told, 5, "what went there and came from there")
    assert item["handshakeSecondsAgo"] < 60 and item["publicKey"] == Interface(h2).public
    metrics = h1.daemon.metrics()
    label = f'{{peer="{h2.daemon.subnet()}"}}'
    seen = Interface(h1).peers[Interface(h2).public]
    assert metrics[f"flannel_peer_handshake_timestamp_seconds{label}"] == seen.handshake
    assert 500 < metrics[f"flannel_peer_received_bytes_total{label}"] <= seen.received
    shown = h1.namespace.run(FABRICCTL, "peers", f"--socket={h1.daemon.socket_path}")
    assert "HANDSHAKE" in shown.splitlines()[0] and "RECEIVED" in shown.splitlines()[0], shown
    assert ("wireguard-go" in h1.daemon.problems()) == (not wireguard.kernel_has_wireguard())


@pytest.mark.skipif(wireguard.kernel_has_wireguard(), reason="the kernel does it here")
def test_wireguard_go_that_is_killed_is_started_again(lab):
    h1, h2 = wireguard.start(lab, 2)
    pings(lab, h1, h2)
    found = netns.run("ip", "netns", "pids", h1.namespace.name).split()
    (pid,) = (one for one in found if pathlib.Path("/proc", one, "comm").read_text().strip() == "wireguard-go")
    os.kill(int(pid), signal.SIGKILL)
    h1.daemon.wait_log("device-repaired")
    h1.daemon.wait_peers(1)
    pings(lab, h1, h2)


def test_a_thousand_peers_are_told_once(lab):
    lab.start_etcd()
    lab.configure({"Network": "10.0.0.0/8", "SubnetLen": 24, "SubnetMin": "10.200.0.0"} | wireguard.config())
    want = {}
    pairs = []
    for n in range(1000):
        key, address = base64.b64encode(os.urandom(32)).decode(), f"198.18.{n >> 8}.{n & 255}"
        data = {"PublicKey": key, "Port": 51820}
        value = {"PublicIP": address, "PublicIPv6": None, "BackendType": "wireguard", "BackendData": data}
        want[f"10.{n >> 8}.{n & 255}.0/24"] = (key, f"{address}:51820")
        pairs.append((f"{PREFIX}/subnets/10.{n >> 8}.{n & 255}.0-24", json.dumps(value)))
    lab.etcd.put_many(pairs)
    host = lab.host()
    daemon = wireguard.make_daemon(host).start()
    daemon.wait_ready(30).wait_peers(1000, 30)
    assert Interface(host).ways() == want
    daemon.restart().wait_peers(1000)
    assert daemon.metric("flannel_netlink_writes_total") == 0
    assert Interface(host).ways() == want
    wg(host, "set", DEVICE, "peer", next(iter(want.values()))[0], "remove")
    sync(host)
    wait_for(lambda: Interface(host).ways() == want, 5, "the one that was removed")
