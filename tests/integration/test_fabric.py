# SPDX-License-Identifier: Apache-2.0
"""The fabric as its users see it: containers on different hosts reach each other, whatever the daemons do."""

import signal

from fabric import DEPARTED_S
from netns import stays, wait_for
from ping import Pinger
from witness import lease_value, made_up_lease


def test_containers_on_three_hosts_reach_each_other(lab, fabric3):
    containers = [host.container() for host in fabric3]
    with lab.pinger(*containers) as pinger:
        wait_for(lambda: pinger.sent >= 6 * 50, 10, "fifty pings for each pair")
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()


def test_large_packets_fit_through_the_tunnel_without_fragments(lab, fabric3):
    h1, h2, _ = fabric3
    c1, c2 = h1.container(), h2.container()
    mtu = int(h1.daemon.environment_file()["FLANNEL_MTU"])
    assert mtu == 1450
    # 20 bytes of IPv4 header, 8 of ICMP; "do" forbids fragments.
    c1.namespace.run("ping", "-c", "1", "-W", "5", "-M", "do", "-s", mtu - 28, c2.address)


def test_two_stacks(lab):
    lab.start_etcd()
    lab.configure(
        {
            "EnableIPv6": True,
            "Network": "10.5.0.0/16",
            "IPv6Network": "fd10:5::/48",
            "Backend": {"Type": "vxlan"},
        }
    )
    hosts = lab.hosts(3, daemons=True)
    containers = [host.container() for host in hosts]
    flows = [(a, b) for a in containers for b in containers if a is not b]
    with Pinger(
        [(a.namespace, b.address) for a, b in flows] + [(a.namespace, b.address6) for a, b in flows]
    ) as pinger:
        wait_for(lambda: pinger.sent >= 12 * 20, 10, "twenty pings for each pair and family")
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()


def test_only_ipv6(lab):
    lab.start_etcd()
    lab.configure(
        {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd10:5::/48", "Backend": {"Type": "vxlan"}}
    )
    hosts = lab.hosts(3)
    for host in hosts:
        host.start_daemon()
    for host in hosts:
        host.daemon.wait_peers(2)
    subnets = {host.daemon.environment_file()["FLANNEL_IPV6_SUBNET"] for host in hosts}
    assert len(subnets) == 3


def test_restart_changes_nothing_and_loses_no_packet(lab, fabric3):
    h1, h2, _ = fabric3
    c1, c2 = h1.container(), h2.container()
    before, subnet, lease = h1.link(), h1.daemon.subnet(), lab.etcd.get(h1.daemon.key())
    monitor = h1.monitor()
    # The guard must never stand without the peers in it, not even for the milliseconds between two messages.
    with lab.pinger(c1, c2, rate=500) as pinger:
        for _ in range(10):
            h1.daemon.restart()
        h1.daemon.wait_peers(2)
        restarted_at = pinger.sent
        wait_for(lambda: pinger.sent > restarted_at + 40, 5, "pings after the restart")
    assert pinger.lost == 0, pinger.report()
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert monitor.tunnel_events() == []
    after = h1.link()
    assert (after["ifindex"], after["address"]) == (before["ifindex"], before["address"])
    assert h1.daemon.subnet() == subnet
    # The same etcd lease was kept: other hosts see one event at most.
    assert lab.etcd.get(h1.daemon.key()).lease == lease.lease
    lab.wait_equal()


def test_restart_with_many_peers_writes_nothing(lab):
    etcd = lab.start_etcd()
    lab.configure()
    etcd.put_many((f"/coreos.com/network{key}", value) for key, value in map(made_up_lease, range(200)))
    host = lab.host()
    host.start_daemon()
    host.daemon.wait_peers(200)
    monitor = host.monitor()
    host.daemon.kill()
    host.daemon.start().wait_ready()
    host.daemon.wait_peers(200)
    assert host.daemon.metric("flannel_netlink_writes_total") == 0
    assert monitor.tunnel_events() == []


def test_a_peer_that_leaves_leaves_nothing_behind(lab, fabric3):
    h1, h2, h3 = fabric3
    before = h1.objects()
    h3.daemon.stop()
    lab.etcd.delete(h3.daemon.key())
    h1.daemon.wait_status(lambda s: "peers-kept" in {p["name"] for p in s["problems"]}, 1, "that a peer is gone")
    assert h1.objects() == before, "its host might claim the lease again"
    for host in (h1, h2):
        host.daemon.wait_peers(1, DEPARTED_S)
        host.daemon.wait_ok(1)
    lab.wait_equal(1, [h1, h2])
    assert not any(h3.daemon.subnet().split("/")[0] in str(o) for o in h1.objects())


def test_a_peer_that_left_while_the_daemon_was_away_leaves_nothing_behind(lab, fabric3):
    h1, h2, h3 = fabric3
    h1.daemon.kill()
    h3.daemon.kill()
    lab.etcd.delete(h3.daemon.key())
    h1.daemon.start().wait_ready()
    lab.wait_equal(1, [h1])
    lab.wait_equal(DEPARTED_S, [h2])
    assert len([o for o in h1.objects() if o[0] == "route"]) == 1


def test_a_peer_with_a_new_address_and_mac_leaves_nothing_of_the_old(lab, fabric3):
    h1, h2, h3 = fabric3
    h3.daemon.stop()
    lab.etcd.put(h3.daemon.key(), lease_value("192.0.2.99", "0e:aa:aa:aa:aa:aa"))
    lab.wait_equal(2, [h1, h2])
    assert not any("192.0.2.3" in map(str, o) for o in h1.objects())


def test_a_new_host_is_reached_within_a_moment(lab, fabric3):
    h1 = fabric3[0]
    h4 = lab.host()
    h4.start_daemon()
    for host in lab.all_hosts:
        host.daemon.wait_peers(3, 2)
    with lab.pinger(h1.container(), h4.container()) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()


def test_sigterm_exits_zero_and_leaves_the_data_path(lab, fabric3):
    h1, h2, _ = fabric3
    c1, c2 = h1.container(), h2.container()
    before = h1.objects()
    with lab.pinger(c1, c2) as pinger:
        assert h1.daemon.stop() == 0
        h2.daemon.signal(signal.SIGINT)
        assert h2.daemon.wait_exit() == 0
        at = pinger.sent
        wait_for(lambda: pinger.sent > at + 60, 5, "pings without daemons")
    assert pinger.lost == 0, pinger.report()
    assert h1.objects() == before
    assert h1.daemon.subnet_file.exists()
    assert lab.etcd.get(h1.daemon.key()), "the lease stays"
    assert not h1.daemon.socket_path.exists()


def test_subnet_env_is_what_flannel_writes(lab):
    lab.start_etcd()
    lab.configure({"Network": "10.5.0.0/16", "SubnetMin": "10.5.7.0", "SubnetMax": "10.5.7.0"})
    host = lab.host()
    host.start_daemon(ip_masq=True)
    assert host.daemon.subnet_file.read_bytes() == (
        b"FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    assert host.daemon.subnet_file.stat().st_mode & 0o7777 == 0o644


def test_subnet_env_comes_when_the_first_peers_are_programmed(lab):
    etcd = lab.start_etcd()
    lab.configure()
    etcd.put_many((f"/coreos.com/network{key}", value) for key, value in map(made_up_lease, range(220)))
    host = lab.host()
    daemon = host.make_daemon().start()
    wait_for(daemon.subnet_file.exists, 10, "subnet.env")
    assert len([o for o in host.objects() if o[0] == "route"]) == 220


def test_the_lease_in_the_store_is_what_flannel_reads(lab, fabric3):
    h1 = fabric3[0]
    record = lab.etcd.get(h1.daemon.key())
    node = lab.etcd.get(h1.daemon.key()).json["Node"]
    flannel = lease_value(h1.address, h1.vtep_mac())
    assert record.value.startswith(flannel[:-1] + ',"Node":{"ID":')
    assert node["Name"] == "h1"
    assert 86000 < lab.etcd.time_to_live(record.lease) <= 86400


def test_without_backend_the_network_is_vxlan(lab):
    lab.start_etcd()
    lab.configure({"Network": "10.5.0.0/16"})
    h1, _ = lab.hosts(2, daemons=True)
    data = h1.link()["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["link"]) == (1, 8472, "eth0")
    assert data["learning"] is False
    assert data["local"] == h1.address


def test_backend_options_reach_the_device(lab):
    lab.start_etcd()
    lab.configure({"network": "10.6.0.0/20", "subnetlen": 26, "backend": {"type": "VXLAN", "vni": 77, "port": 4789, "mtu": 1400}})
    h1, _ = lab.hosts(2, daemons=True)
    link = h1.link("flannel.77")
    assert (link["linkinfo"]["info_data"]["id"], link["linkinfo"]["info_data"]["port"]) == (77, 4789)
    assert link["mtu"] == 1350
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == "1350"
    assert h1.daemon.environment_file()["FLANNEL_SUBNET"].endswith("/26")


def test_mac_survives_a_reboot(lab, fabric3):
    """Device gone, /run gone, the lease gone: the device has the same MAC, so that peers need not learn a new one."""
    h1 = fabric3[0]
    mac, key = h1.vtep_mac(), h1.daemon.key()
    h1.daemon.kill()
    h1.namespace.ip_do("link del flannel.1")
    h1.daemon.subnet_file.unlink()
    lab.etcd.delete(key)
    h1.daemon.start().wait_ready()
    assert h1.vtep_mac() == mac
    lab.wait_equal()


def test_state_stays_quiet_when_nothing_happens(lab, fabric3):
    h1 = fabric3[0]
    h1.daemon.wait_ok()
    writes = h1.daemon.metric("flannel_netlink_writes_total")
    monitor = h1.monitor()
    stays(lambda: h1.daemon.status()["verdict"] == "ok", 2, "verdict ok")
    assert h1.daemon.metric("flannel_netlink_writes_total") == writes
    assert monitor.tunnel_events() == []
