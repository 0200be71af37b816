# SPDX-License-Identifier: Apache-2.0
"""ipsec: policies in the kernel, and tunnels of strongSwan's charon. Packets go through them in tests/guest."""

import contextlib
import json
import socket
import threading

import pytest

import ipsec
from etcd import PREFIX
from fabric import APART
from ipsec import PSK, needs_charon, needs_esp, policies, policy_indexes, states, wait_tunnels, wanted
from netns import wait_for

pytestmark = needs_charon

ETH_P_ALL, ETH_P_IP = 3, 0x0800
ESP, UDP = 50, 17


@contextlib.contextmanager
def wire(lab, host):
    """What goes over the host's cable while the `with` statement lasts: a list of IPv4 packets."""
    packets, over = [], threading.Event()
    listener = lab.underlay.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listener.bind((f"h{host.number}", ETH_P_ALL))
    listener.settimeout(0.1)

    def listen():
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                frame = listener.recv(2048)
                if int.from_bytes(frame[12:14], "big") == ETH_P_IP:
                    packets.append(frame[14:])

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield packets
    finally:
        over.set()
        thread.join()
        listener.close()


def in_clear(packets, *containers):
    addresses = {socket.inet_aton(one.address) for one in containers}
    return [p for p in packets if p[12:16] in addresses or p[16:20] in addresses]


def enough(pinger, count=20):
    target = pinger.sent + count
    wait_for(lambda: pinger.sent >= target, 20, "pings")


def problem(host, name):
    return next((p["text"] for p in host.daemon.status()["problems"] if p["name"] == name), None)


def says(host, name, *words, within_s=ipsec.TUNNEL_S):
    def said():
        text = problem(host, name)
        assert text and all(word in text for word in words), text
        return text

    return wait_for(said, within_s, f"{name}: {words}")


@needs_esp
def test_containers_reach_each_other_through_esp(lab):
    """charon is started where none is; neither a restart nor a kill of the daemon costs a packet, or charon a thing."""
    h1, h2 = hosts = ipsec.start(lab)
    wait_tunnels(*hosts)
    c1, c2 = h1.container(), h2.container()
    charons = [host.run.charon() for host in hosts]
    assert all(charons)
    with wire(lab, h1) as packets, lab.pinger(c1, c2) as pinger:
        enough(pinger)
        h1.daemon.restart()
        h1.daemon.wait_peers(1)
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
        enough(pinger)
        h1.daemon.kill()
        enough(pinger)
        h1.daemon.start()
        h1.daemon.wait_peers(1)
        enough(pinger)
        h1.daemon.stop()
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    assert [host.run.charon() for host in hosts] == charons
    assert not in_clear(packets, c1, c2)
    assert len([p for p in packets if p[9] == ESP]) >= pinger.sent
    assert "proto esp" in states(h1) and "reqid 11" in states(h1)
    for host in hosts:
        assert PSK not in host.daemon.log_file.read_text(errors="replace")


@needs_esp
def test_udp_encapsulation(lab):
    h1, h2 = hosts = ipsec.start(lab, UDPEncap=True)
    wait_tunnels(*hosts)
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == str(1500 - 77 - 8)
    c1, c2 = h1.container(), h2.container()
    with wire(lab, h1) as packets, lab.pinger(c1, c2) as pinger:
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    assert not in_clear(packets, c1, c2) and not [p for p in packets if p[9] == ESP]
    assert len([p for p in packets if p[9] == UDP and p[22:24] == (4500).to_bytes(2, "big")]) >= pinger.sent


@needs_esp
def test_another_psk_is_named(lab):
    h1, h2 = ipsec.start(lab)
    wait_tunnels(h1, h2)
    h2.daemon.stop()
    lab.configure(ipsec.config(PSK.upper()))
    h2.run.kill_charon()
    h1.run.kill_charon()
    h2.daemon.start().wait_ready()
    for host in (h1, h2):
        says(host, "ipsec-down", "the hosts' PSK differ", "(1 of 1)")
    h1.daemon.restart()
    wait_tunnels(h1, h2)


@needs_esp
def test_charon_dies(lab):
    h1, h2 = hosts = ipsec.start(lab)
    wait_tunnels(*hosts)
    c1, c2 = h1.container(), h2.container()
    before = h1.run.charon()
    h1.run.kill_charon()
    h1.daemon.wait_status(lambda s: "charon-absent" in {p["name"] for p in s["problems"]}, 10, "it is missed")
    assert policies(h1) == wanted(h1, h2)
    wait_for(lambda: h1.run.charon() not in (None, before), 20, "another one is started")
    wait_tunnels(*hosts)
    with lab.pinger(c1, c2) as pinger:
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


def test_what_peers_and_kernel_are_told(lab):
    h1, h2, h3 = hosts = ipsec.start(lab, 3)
    for host in hosts:
        wait_for(lambda host=host: policies(host) == wanted(host, *(o for o in hosts if o is not host)), 5, "policies")
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == str(1500 - 77)
    value = {"PublicIP": h1.address, "PublicIPv6": None, "BackendType": "ipsec"}
    assert lab.etcd.get(h1.daemon.key()).value.startswith(json.dumps(value, separators=(",", ":"))[:-1] + ",")
    h3.daemon.stop()
    lab.etcd.delete(h3.daemon.key())
    wait_for(lambda: policies(h1) == wanted(h1, h2), 10, "no policies of one that has left")


def test_what_is_undone_is_healed(lab):
    """At once, since the kernel tells; and what others have is theirs."""
    h1, h2 = ipsec.start(lab)
    foreign = "src 198.51.100.0/24 dst 203.0.113.0/24"
    theirs = ("out", "198.51.100.0/24", "203.0.113.0/24")
    right = wanted(h1, h2) | {theirs}
    tunnel = f"tmpl src {h1.address} dst {h2.address} proto esp reqid 11 mode tunnel"
    out = f"src {h1.daemon.subnet()} dst {h2.daemon.subnet()} dir out"

    def add_theirs():
        h1.namespace.ip_do(f"xfrm policy update {foreign} dir out priority 7 tmpl proto esp reqid 1 mode transport")

    add_theirs()
    for undo in (
        "xfrm policy flush",
        f"xfrm policy delete {out}",
        f"xfrm policy update {out} {tunnel.replace(h2.address, '192.0.2.77')}",
        f"xfrm policy add src 10.5.99.0/24 dst {h1.daemon.subnet()} dir in {tunnel}",
    ):
        h1.namespace.ip_do(undo)
        add_theirs()
        wait_for(
            lambda: policies(h1) == right and "192.0.2.77" not in h1.namespace.run("ip", "xfrm", "policy"), 5, f"healed: {undo}"
        )


def flannel_ran_here(lab, host, others, stale):
    """What flannel leaves: lease, subnet.env, policies and charon's connections, of peers that are there and of `stale`."""
    net = f"10.5.{160 + host.number}.0/24"
    value = {"PublicIP": host.address, "PublicIPv6": None, "BackendType": "ipsec"}
    lab.etcd.put(
        f"{PREFIX}/subnets/{net.replace('/', '-')}", json.dumps(value, separators=(",", ":")), lab.etcd.grant(86400)
    )
    daemon = ipsec.make_daemon(host)
    daemon.subnet_file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["NETWORK=10.5.0.0/16", f"SUBNET={net.replace('.0/', '.1/')}", "MTU=1423", "IPMASQ=false"]
    daemon.subnet_file.write_text("".join(f"FLANNEL_{line}\n" for line in lines))
    for address, theirs in [(other.address, f"10.5.{160 + other.number}.0/24") for other in others] + stale:
        host.namespace.ip_batch(ipsec.flannels_policies(host.address, net, address, theirs))


def flannel_told_charon(host, others, stale):
    net = host.daemon.subnet()
    for address, theirs in [(other.address, other.daemon.subnet()) for other in others] + stale:
        _, _, shared, connection = ipsec.flannels_connection(host.address, net, address, theirs)
        host.run.vici("load-shared", shared)
        host.run.vici("load-conn", connection)


def connections(host):
    return set(host.run.vici("get-conns")[0]["conns"])


@pytest.mark.parametrize("charon_is_left", [True, False], ids=["with-its-charon", "its-charon-ended"])
def test_what_flannel_left_is_taken_over(lab, charon_is_left):
    """Policies of peers that are there stay as they are; those of others go, in kernel and charon."""
    lab.start_etcd()
    lab.configure(ipsec.config())
    h1, h2 = hosts = lab.hosts(2)
    stale = [("192.0.2.120", "10.5.201.0/24")]
    office = {"office": {"version": "2", "remote_addrs": ["192.0.2.130"]}}
    for host, others in ((h1, [h2]), (h2, [h1])):
        flannel_ran_here(lab, host, others, stale)
    for host, others in ((h1, [h2]), (h2, [h1])):
        if charon_is_left:
            host.run.start_charon()
            host.run.vici("load-conn", office)
            flannel_told_charon(host, others, stale)
    c1, c2 = h1.container(), h2.container()
    if charon_is_left and ipsec.kernel_has_esp():
        with lab.pinger(c1, c2) as pinger:
            enough(pinger)
        assert pinger.lost == 0, "flannel's parameters work as they are"
    before = [policy_indexes(host) for host in hosts]
    for host in hosts:
        assert len(policies(host)) == 6
        host.daemon.start().wait_ready()
    for host, other, indexes in ((h1, h2, before[0]), (h2, h1, before[1])):
        assert host.daemon.subnet() == f"10.5.{160 + host.number}.0/24"
        wait_for(lambda host=host, other=other: policies(host) == wanted(host, other), 10, "what is stale has gone")
        assert policy_indexes(host) == {way: indexes[way] for way in wanted(host, other)}
        name, *_ = ipsec.flannels_connection(host.address, host.daemon.subnet(), other.address, other.daemon.subnet())
        want = {name} | ({"office"} if charon_is_left else set())
        wait_for(lambda host=host, want=want: connections(host) == want, 30, "charon has what is ours, and others'")
        assert bool(host.daemon.logged("is started")) != charon_is_left
    if ipsec.kernel_has_esp():
        wait_tunnels(*hosts)
        with lab.pinger(c1, c2) as pinger:
            enough(pinger)
        assert pinger.lost == 0, pinger.report()


@needs_esp
def test_two_versions_of_strongswan_negotiate_both_ways(lab):
    """Debian 12's and 13's: by flannel's parameters whoever begins, and with a daemon of ours at each."""
    root = ipsec.other_strongswan()
    lab.start_etcd()
    lab.configure(ipsec.config())
    h1, h2 = hosts = lab.hosts(2)
    ends = {h1: (h1.address, "10.5.161.0/24"), h2: (h2.address, "10.5.162.0/24")}
    for host in hosts:
        ipsec.make_daemon(host)
    h1.run.start_charon()
    h2.run.start_charon(root)
    versions = {host.run.vici("version")[0]["version"].rsplit(".", 1)[0] for host in hosts}
    assert versions == {"5.9", "6.0"}
    for host, other in ((h1, h2), (h2, h1)):
        *_, shared, connection = ipsec.flannels_connection(*ends[host], *ends[other], start="none")
        host.run.vici("load-shared", shared)
        host.run.vici("load-conn", connection)
    for host, other in ((h1, h2), (h2, h1)):
        name, child, *_ = ipsec.flannels_connection(*ends[host], *ends[other])
        host.run.vici("initiate", {"ike": name, "child": child, "timeout": "50000"})
        _, (one,) = host.run.vici("list-sas", events="list-sa")
        (inside,) = one[name]["child-sas"].values()
        assert (one[name]["state"], inside["state"]) == ("ESTABLISHED", "INSTALLED")
        assert (one[name]["initiator"], one[name]["encr-alg"], one[name]["dh-group"]) == ("yes", "AES_CBC", "MODP_4096")
        assert (inside["reqid"], inside["mode"], inside["encr-alg"]) == ("11", "TUNNEL", "AES_GCM_16")
        host.run.vici("terminate", {"ike": name, "timeout": "50000"})
        wait_for(lambda other=other: not other.run.vici("list-sas", events="list-sa")[1], 10, "it has ended on both sides")
    for host in hosts:
        host.run.vici("unload-conn", {"name": next(iter(connections(host)))})
        host.daemon.start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(1)
        assert not host.daemon.logged("is started")
    wait_tunnels(*hosts)
    with lab.pinger(*(host.container() for host in hosts)) as pinger:
        enough(pinger)
        h2.daemon.restart()
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


@pytest.mark.skipif(ipsec.kernel_has_esp(), reason="of a kernel without ESP, which this one has")
def test_a_kernel_without_esp(lab):
    """To a peer it looks like proposals that do not match; here it is said which it was."""
    for host in ipsec.start(lab):
        says(host, "ipsec-refused", "the kernel or charon refused: received netlink error", "NO_PROPOSAL_CHOSEN")


def test_a_charon_of_somebody_else(lab):
    """Where its socket is named none is started; what is absent is named, and heals."""
    lab.start_etcd()
    lab.configure(ipsec.config())
    (host,) = lab.hosts(1)
    daemon = ipsec.make_daemon(host)
    daemon.environment["VICI_SOCKET"] = "/run/charon.vici"
    daemon.start().wait_ready()
    says(host, "charon-absent", "/run/charon.vici: No such file")
    host.run.start_charon()
    wait_for(lambda: not problem(host, "charon-absent"), 30, "it answers")
    assert not daemon.logged("is started")
    daemon.stop()
    assert host.run.charon()


def test_charon_is_not_installed(lab):
    lab.start_etcd()
    lab.configure(ipsec.config())
    (host,) = lab.hosts(1)
    ipsec.make_daemon(host)
    host.run.mount(f"-t tmpfs none {ipsec.PLACES}")
    host.daemon.start().wait_ready()
    says(host, "charon-absent", "not installed", "strongswan-charon")


def test_another_backend(lab):
    """Nothing stays: no policy, no connection, and no charon that was started for it."""
    h1, h2 = hosts = ipsec.start(lab)
    for host in hosts:
        wait_for(host.run.charon, 20, "charon runs")
        wait_for(lambda host=host: not problem(host, "charon-absent"), 20, "and answers")
    lab.configure(APART | {"Backend": {"Type": "vxlan"}})
    for host in hosts:
        host.daemon.restart()
    for host in hosts:
        host.daemon.wait_peers(1)
        wait_for(lambda host=host: not policies(host) and not host.run.charon(), 20, "nothing of it")
        wait_for(lambda host=host: not (host.daemon.directory / "state" / "ipsec.used").exists(), 5, "and no note")
        host.daemon.wait_ok()
    assert h1.link("flannel.1") and h2.link("flannel.1")
