# SPDX-License-Identifier: Apache-2.0
"""What stopping, starting and killing the daemon costs: no packet, no timeout of TCP, no write; with each backend."""

import pytest

import ipsec
from fabric import APART
from netns import wait_for
from test_ipip import kernel_has_ipip
from traffic import Stream
from wireguard import kernel_has_wireguard

KEYS = {"ipsec": {"PSK": ipsec.PSK}}


def missing(backend):
    if backend in ("ipip", "udp") and not kernel_has_ipip():
        return "this kernel has no ipip; make check-guest has one that does"
    if backend == "wireguard" and not kernel_has_wireguard():
        return "this kernel has no WireGuard; make check-guest has one that does"
    if backend == "ipsec":
        return ipsec.missing() or (None if ipsec.kernel_has_esp() else "this kernel has no ESP; make check-guest has one that does")
    return None


@pytest.mark.parametrize("backend", ["vxlan", "host-gw", "wireguard", "ipip", "udp", "ipsec"])
def test_restart_and_kill_under_load(lab, backend):
    if reason := missing(backend):
        pytest.skip(reason)
    lab.start_etcd()
    lab.configure(APART | {"Backend": {"Type": backend} | KEYS.get(backend, {})})
    h1, h2 = hosts = lab.hosts(2)
    for host in hosts:
        daemon = ipsec.make_daemon(host) if backend == "ipsec" else host.make_daemon()
        daemon.environment["WIREGUARD_KEY_FILE"] = str(daemon.directory / "wgkey")
        daemon.start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(1)
    if backend == "ipsec":
        ipsec.wait_tunnels(*hosts)
    c1, c2 = h1.container(), h2.container()
    # Who answers is there before the two greet each other at the same time, and wait for seconds.
    c1.namespace.run("ping", "-c", "1", "-W", "8", c2.address)
    with Stream(c1, c2) as stream, lab.pinger(c1, c2) as pinger:

        def both_go_on():
            sent, received = pinger.sent, stream.received
            wait_for(lambda: pinger.sent >= sent + 40 and stream.received > received + 100000, 20, "pings and TCP")

        both_go_on()
        timeouts = stream.timeouts()
        h1.daemon.restart()
        h1.daemon.wait_peers(1)
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
        both_go_on()
        h1.daemon.kill()
        both_go_on()
        h1.daemon.start().wait_ready()
        h1.daemon.wait_peers(1)
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
        both_go_on()
        assert stream.timeouts() == timeouts
    assert pinger.lost == 0, pinger.report()
