# SPDX-License-Identifier: Apache-2.0
"""Each backend where nodes are leases: annotations to the byte, packets, a stream, restarts. In tests/guest those that this kernel lacks."""

import pytest

import kube_backends
from fabric import CONFIG, IPV6
from kube import ApiServer
from kube_backends import BACKENDS
from netns import wait_for

# The rules of one backend are those of all.
CASES = [("vxlan", dual, "iptables") for dual in (False, True)]
CASES += [(backend, dual, "nftables") for dual in (False, True) for backend in (kube_backends.DUAL if dual else BACKENDS)]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dual", "traffic"), CASES, ids=["-".join([b, "dual"][: 1 + d] + [t]) for b, d, t in CASES])
def test_backends(lab, backend, dual, traffic):
    if reason := kube_backends.missing(backend):
        pytest.skip(reason)
    kube = ApiServer(lab)
    kube.configure(CONFIG | {"Backend": {"Type": backend}} | (IPV6 if dual else {}))
    hosts = [lab.host() for _ in range(3)]
    for host in hosts:
        n = host.number
        kube.add_node(f"h{n}", f"10.5.{n}.0/24", *([f"fd10:5:0:{n}::/64"] if dual else []))
        kube_backends.prepare(kube.make_daemon(host, ip_masq=True, traffic_mode=traffic), backend).start()
    for host in hosts:
        host.daemon.wait_ready(30)
        host.daemon.wait_peers(2)
        host.container()
        kube_backends.check_annotations(kube.annotations(f"h{host.number}"), host, backend, dual)
        kube_backends.check_rules(host, traffic == "nftables", dual)
    kube_backends.check_route(hosts, backend)
    containers = [host.containers[0] for host in hosts]
    kube_backends.meet(containers)
    patches = kube.count("^PATCH")
    # So many as a guest, which is a machine by emulation, answers as well.
    with lab.pinger(*containers, rate=25) as pinger:
        wait_for(lambda: pinger.sent >= 100, 20, "pings")
        for host in hosts:
            host.daemon.restart()
            host.daemon.wait_peers(2)
    assert pinger.lost == 0, pinger.report()
    assert all(rate > 0 for rate in kube_backends.iperf3(containers[0], containers[1], 1))
    assert kube.count("^PATCH") == patches == 3
