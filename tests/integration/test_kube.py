# SPDX-License-Identifier: Apache-2.0
"""Leases that are nodes of Kubernetes, by an API server that is a script (kube.py)."""

import json
import re
import signal
import time

import pytest

import kube_said
import witness
from fabric import CONFIG, DUAL, FABRICCTL
from kube import ALLOWED, ANNOTATIONS, ApiServer
from netns import wait_for


@pytest.fixture
def kube(lab):
    return ApiServer(lab)


def equal(kube, hosts):
    for host in hosts:
        witness.wait_equal(host, kube.leases, 5)


def test_three_nodes_ping_each_other(lab, kube):
    """From podCIDRs to packets; a restart writes nothing; what was asked for is what the manifest allows."""
    hosts = kube.hosts(3)
    for host in hosts:
        host.container()
        assert host.daemon.subnet() == f"10.5.{host.number}.0/24"
        host.daemon.wait_ok()
    equal(kube, hosts)
    a = kube.annotations("h1")
    data = json.loads(a["backend-data"])
    assert a["kube-subnet-manager"] == "true" and a["backend-type"] == "vxlan" and a["public-ip"] == "192.0.2.1"
    assert data == {"VNI": 1, "VtepMAC": hosts[0].vtep_mac()} and "public-ipv6" not in a and "backend-v6-data" not in a
    condition = kube.condition("h1")
    assert condition["status"] == "False" and condition["reason"] == "FlannelIsUp"
    patches = kube.count("^PATCH")
    assert patches == 3
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        wait_for(lambda: pinger.sent >= 60, 10, "pings")
        monitor = hosts[0].monitor()
        hosts[0].daemon.restart()
        hosts[0].daemon.wait_peers(2)
        hosts[0].daemon.wait_ok()
        tunnel = hosts[0].link()["ifindex"]
        assert not [e for e in monitor.events() if e[1] == tunnel]
        kube.delete_node("h3")
        hosts[0].daemon.wait_peers(1)
        kube.add_node("h3", "10.5.3.0/24")
        hosts[0].daemon.wait_peers(2, 20)
        hosts[2].daemon.wait_ok(20)
    assert kube.count("^PATCH") == patches + 1
    assert set(kube.seen) == ALLOWED


def test_dual_stack(lab, kube):
    kube.configure(DUAL)
    hosts = []
    for n in (1, 2):
        host = lab.host()
        kube.add_node(f"h{n}", f"10.5.{n}.0/24", f"fd10:5:0:{n}::/64")
        kube.start_daemon(host, ready=False)
        hosts.append(host)
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(1)
        host.container()
        host.daemon.wait_ok()
    a = kube.annotations("h1")
    assert a["public-ipv6"] == "2001:db8:1::1"
    assert json.loads(a["backend-v6-data"])["VtepMAC"] == hosts[0].vtep_mac("flannel-v6.1")
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        wait_for(lambda: pinger.sent >= 100, 10, "pings in both families")
    assert pinger.lost == 0, pinger.report()


FLANNEL = {
    ANNOTATIONS + "kube-subnet-manager": "true",
    ANNOTATIONS + "backend-type": "vxlan",
    ANNOTATIONS + "backend-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:00:09"}',
    ANNOTATIONS + "public-ip": "192.0.2.9",
}


def test_nodes_of_flannel_are_peers_and_heartbeats_nothing(lab, kube):
    kube.add_node("flannel9", "10.5.9.0/24", annotations=FLANNEL)
    kube.add_node("other", "10.5.8.0/24")
    host = lab.host()
    kube.add_node("h1", "10.5.1.0/24")
    kube.start_daemon(host, log_level="debug").wait_peers(1)
    equal(kube, [host])
    monitor = host.monitor()

    def told():
        return len(re.findall("store-event: (?!live)", host.daemon.log()))

    before, events = host.daemon.status()["store"], told()
    for name in ("flannel9", "other", "h1"):
        kube.heartbeat(name, 200)
    # What is behind them in the stream was told after them.
    kube.annotate("flannel9", backend_data='{"VNI":1,"VtepMAC":"0a:00:00:00:00:19"}')
    wait_for(lambda: "0a:00:00:00:00:19" in json.dumps(host.daemon.subnets()), 5, "the new MAC")
    assert host.daemon.status()["store"]["requests"] == before["requests"]
    assert told() == events + 1
    equal(kube, [host])
    assert not [e for e in monitor.events() if e[0].startswith("route")]
    # An annotation that nobody can read costs its node, and is said.
    kube.annotate("flannel9", backend_data="{")
    host.daemon.wait_status(lambda s: "junk-leases" in {p["name"] for p in s["problems"]} or s["verdict"] != "ok", 5)
    kube.annotate("flannel9", backend_data='{"VNI":1,"VtepMAC":"0a:00:00:00:00:19"}')
    host.daemon.wait_ok()
    # One that is flannel's no more, or has gone, leaves at once.
    kube.annotate("flannel9", kube_subnet_manager=None)
    host.daemon.wait_peers(0)
    kube.annotate("flannel9", kube_subnet_manager="true")
    host.daemon.wait_peers(1)
    kube.delete_node("flannel9")
    host.daemon.wait_peers(0)
    equal(kube, [host])


def test_pod_cidrs_that_are_missing_wrong_or_another(lab, kube):
    host = lab.host()
    daemon = kube.make_daemon(host).start()

    def says(problem, *words):
        def right(status):
            found = [p for p in status["problems"] if p["name"] == problem]
            return found and all(w in found[0]["text"] for w in words)

        daemon.wait_status(right, 15, problem)

    says("subnet-not-assigned", "there is no node h1")
    kube.add_node("h1")
    says("subnet-not-assigned", "node h1 has no podCIDR", "--allocate-node-cidrs")
    kube.assign("h1", "10.9.1.0/24")
    says("subnet-outside-network", "10.9.1.0/24", "10.5.0.0/16")
    kube.delete_node("h1")
    kube.add_node("h1", "10.5.7.0/25")
    says("subnet-reassigned", "10.5.7.0/25", "10.9.1.0/24")
    daemon.restart()
    daemon.wait_ok(20)
    assert daemon.subnet() == "10.5.7.0/25"
    lists = kube.count("limit=500")
    # Deleted and made again: with the same podCIDR nothing has happened; with another, running containers keep theirs.
    kube.delete_node("h1")
    kube.add_node("h1", "10.5.7.0/25")
    wait_for(lambda: kube.annotations("h1").get("public-ip") == host.address, 20, "annotated again")
    daemon.wait_ok(20)
    kube.delete_node("h1")
    kube.add_node("h1", "10.5.6.0/24")
    says("subnet-reassigned", "10.5.6.0/24", "10.5.7.0/25")
    assert daemon.subnet() == "10.5.7.0/25"
    daemon.restart()
    daemon.wait_ok(20)
    assert daemon.subnet() == "10.5.6.0/24"
    assert kube.count("limit=500") <= lists + 3


def test_node_that_is_older_than_all_news(lab, kube):
    """What it says is of its own last change: nothing was restored, and nobody lists for that."""
    host = lab.host()
    kube.add_node("h1")
    kube.add_node("flannel9", "10.5.9.0/24", annotations=FLANNEL)
    kube.heartbeat("flannel9", 50)
    daemon = kube.start_daemon(host, ready=False)
    daemon.wait_status(lambda s: "subnet-not-assigned" in {p["name"] for p in s["problems"]})
    lists = kube.count("limit=500")
    kube.heartbeat("flannel9", 50)
    kube.assign("h1", "10.5.1.0/24")
    daemon.wait_ok()
    assert not daemon.logged("store-went-back") and kube.count("limit=500") == lists


def test_addresses_that_people_write_into_a_node(lab, kube):
    """public-ip-overwrite is published instead of the own; node-public-ip is as the option, at start."""
    kube.add_node("h1", "10.5.1.0/24", annotations={ANNOTATIONS + "public-ip-overwrite": "198.18.0.7"})
    kube.add_node("h2", "10.5.2.0/24", annotations={ANNOTATIONS + "node-public-ip": "192.0.2.22"})
    h1, h2 = lab.host(), lab.host()
    h2.namespace.ip_do("addr add 192.0.2.22/24 dev eth0")
    kube.start_daemon(h1)
    kube.start_daemon(h2)
    assert kube.annotations("h1")["public-ip"] == "198.18.0.7"
    assert json.loads(kube.annotations("h1")["fabric-node"])["Source"] == "192.0.2.1"
    assert kube.annotations("h2")["public-ip"] == "192.0.2.22"
    h1.daemon.wait_ok()
    patches = kube.count("^PATCH /api/v1/nodes/h1/")
    h1.daemon.restart()
    h1.daemon.wait_ok()
    assert kube.count("^PATCH /api/v1/nodes/h1/") == patches
    kube.annotate("h1", public_ip_overwrite="198.18.0.8")
    wait_for(lambda: kube.annotations("h1")["public-ip"] == "198.18.0.8", 10, "the new address")
    kube.annotate("h1", public_ip_overwrite=None)
    wait_for(lambda: kube.annotations("h1")["public-ip"] == "192.0.2.1", 10, "the own address")
    h1.daemon.wait_ok()
    kube.annotate("h1", public_ip_overwrite="somewhere")
    h1.daemon.wait_status(lambda s: "node-unreadable" in {p["name"] for p in s["problems"]}, 5)
    # Somebody else's hand in our annotations is noticed.
    kube.annotate("h2", public_ip="192.0.2.99")
    wait_for(lambda: kube.annotations("h2")["public-ip"] == "192.0.2.22", 10, "written again")


def network_is(kube, node, reason, within_s=10):
    wait_for(lambda: kube.condition(node)["reason"] == reason, within_s, f"{node}: {reason}")
    assert kube.condition(node)["status"] == ("False" if reason == "FlannelIsUp" else "True")


def test_the_condition_goes_back_by_an_option_alone(lab, kube):
    """NetworkUnavailable is True while the host is drained, or after an orderly end too; and never unless it was asked for."""
    hosts = []
    for n, when in enumerate(("never", "drain", "stop"), 1):
        host = lab.host()
        kube.add_node(f"h{n}", f"10.5.{n}.0/24")
        kube.start_daemon(host, node_network_unavailable_on=when)
        host.container()
        hosts.append(host)
    never, drain, stop = hosts

    def patches(host):
        return kube.count(f"^PATCH /api/v1/nodes/h{host.number}/")

    for host in hosts:
        host.daemon.wait_peers(2)
        host.daemon.wait_ok()
        assert patches(host) == 1
        network_is(kube, f"h{host.number}", "FlannelIsUp")
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        for host in hosts:
            assert host.daemon.request("/v1/drain?state=drained", "POST")[0] == 200
            host.daemon.wait_status(lambda s: "drained" in {p["name"] for p in s["problems"]})
        for host in (drain, stop):
            network_is(kube, f"h{host.number}", "FlannelIsOutOfUse")
            # A restart changes nothing of it, and writes nothing.
            host.daemon.restart()
            host.daemon.wait_peers(2)
            host.daemon.wait_status(lambda s: s["lease"]["state"] == "held" and s["store"]["watchLive"])
            assert patches(host) == 2
            # Nor does a hand, for long.
            kube.change_node(f"h{host.number}", lambda node: node["status"]["conditions"][-1].update(status="False"))
            wait_for(lambda h=host: kube.condition(f"h{h.number}")["status"] == "True", 10, "it is True again")
        # In use again while nobody is there to be told: told afterwards.
        kube.stop()
        for host in hosts:
            assert host.daemon.request("/v1/drain?state=off", "POST")[0] == 200
        kube.start()
        for host in (drain, stop):
            network_is(kube, f"h{host.number}", "FlannelIsUp", 20)
            host.daemon.wait_ok(20)
        for host in hosts:
            host.daemon.stop()
        network_is(kube, "h3", "FlannelIsOutOfUse", 0)
        for host in (never, drain):
            network_is(kube, f"h{host.number}", "FlannelIsUp", 0)
        assert patches(never) == 1
        for host in hosts:
            host.daemon.start().wait_ready()
        network_is(kube, "h3", "FlannelIsUp")
    assert pinger.lost == 0, pinger.report()


@pytest.mark.parametrize("signals", [1, 2])
def test_end_without_an_api_server(lab, kube, signals):
    """Nobody is there to be told that the condition is True: it is tried for some seconds, and not at all by who is asked twice."""
    host = lab.host()
    kube.add_node("h1", "10.5.1.0/24")
    daemon = kube.start_daemon(host, node_network_unavailable_on="stop")
    daemon.wait_ok()
    kube.stop()
    daemon.wait_status(lambda s: not s["store"]["watchLive"], 10)
    began = time.monotonic()
    for n in range(signals):
        daemon.signal(signal.SIGTERM)
        wait_for(lambda n=n: daemon.log().count("stopping") > n, 5, "the signal is heard")
    assert daemon.wait_exit() == 0
    assert (time.monotonic() - began > 2) == (signals == 1)
    kube.start()
    daemon.start().wait_ready()
    network_is(kube, "h1", "FlannelIsUp")


def test_oddities_of_api_servers(lab, kube):
    """No ping is lost for any of them."""
    for n in range(600):
        kube.add_node(f"x{n}")
    kube.expire_pages = 1
    hosts = kube.hosts(2)
    assert kube.count("continue=") >= 3
    for host in hosts:
        host.container()
    daemon = hosts[0].daemon

    def told(mac):
        """A change of a peer arrives."""
        kube.annotate("flannel9", backend_data=json.dumps({"VNI": 1, "VtepMAC": mac}))
        wait_for(lambda: mac in json.dumps(daemon.subnets()), 30, f"{mac} arrives")  # several attempts, some seconds apart

    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        kube.add_node("flannel9", "10.5.9.0/24", annotations=FLANNEL)
        for host in hosts:
            host.daemon.wait_peers(2)
        # The server ends watches after some minutes: nobody lists again, nothing is wrong.
        lists = kube.count("limit=500&|limit=500$")
        for n in range(3):
            kube.bookmark()
            kube.end_watches()
            told(f"0a:00:00:00:01:{n:02x}")
        assert kube.count("limit=500&|limit=500$") == lists
        # History is gone, in both forms.
        for by_http in (False, True):
            kube.gone_by_http = by_http
            kube.stop()
            kube.heartbeat("x1", 3)
            kube.compact()
            kube.start()
            wait_for(lambda: daemon.logged("watch-resync.*410 Expired"), 20, "resync")
            told(f"0a:00:00:00:02:{by_http:02x}")
            daemon.wait_ok()
        # A server behind the same address that lags.
        kube.frozen = 1001
        kube.end_watches()
        daemon.wait_status(lambda s: not s["store"]["watchLive"], 10)
        kube.frozen = None
        told("0a:00:00:00:03:01")
        daemon.wait_ok()
        # Overload: it is left alone for as long as it asks for.
        kube.retry_after = 2
        kube.too_many = 2
        before = len(kube.requests)
        kube.end_watches()
        wait_for(lambda: kube.too_many == 0, 10, "both were refused")
        told("0a:00:00:00:04:01")
        assert len(kube.requests) - before <= 8, kube.requests[before:]
        daemon.wait_ok()
    assert pinger.lost == 0, pinger.report()


@pytest.mark.slow
def test_everything_that_a_real_one_was_heard_to_say(lab, kube):
    """In answer to each kind of request, once: the daemon goes on, loses nothing, and is well again."""
    hosts = kube.hosts(2)
    for host in hosts:
        host.container()
    daemon = hosts[0].daemon
    hosts[1].daemon.stop()  # what is said is said to one
    refusals = [name for name in kube_said.names() if kube_said.load(name).status != 200 or "ERROR" in kube_said.load(name).body]
    assert {"list-expired", "list-ahead", "too-many", "watch-expired", "denied-list", "stranger"} <= set(refusals)
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        for n, name in enumerate(refusals):
            kube.replay = {"list": name, "watch": name}
            kube.end_watches()
            wait_for(lambda: not kube.replay, 20, f"{name} is heard by who watches")
            kube.add_node(f"f{n}", f"10.5.{100 + n}.0/24", annotations=FLANNEL)
            wait_for(lambda: f"10.5.{100 + n}.0/24" in json.dumps(daemon.subnets()), 20, f"news after {name}")
            daemon.wait_status(lambda s: s["store"]["watchLive"], 20)
            # And a start, with something to write.
            daemon.stop()
            kube.annotate("h1", public_ip="192.0.2.99")
            kube.replay = {"get": name, "list": name, "watch": name, "patch": name}
            daemon.start()
            wait_for(lambda: not kube.replay, 20, f"{name} is heard by one that starts")
            daemon.wait_status(lambda s: s["store"]["watchLive"] and s["lease"]["state"] == "held", 20)
            assert kube.annotations("h1")["public-ip"] == "192.0.2.1", name
    assert pinger.lost == 0, pinger.report()


@pytest.mark.parametrize("silent", [False, True])
def test_a_backup_from_before(lab, kube, silent):
    """The store goes back in time; a watch from the future may be refused, or accepted and silent."""
    kube.silent_future = silent
    hosts = kube.hosts(2)
    for host in hosts:
        host.container()
    backup = kube.revision, dict(kube.nodes)
    kube.heartbeat("h1", 50)
    kube.add_node("flannel9", "10.5.9.0/24", annotations=FLANNEL)
    for host in hosts:
        host.daemon.wait_peers(2)
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        kube.restore(*backup)
        for host in hosts:
            wait_for(lambda h=host: h.daemon.logged("watch-resync|store-went-back"), 15, "it is noticed")
            host.daemon.wait_status(lambda s: s["store"]["watchLive"] and s["lease"]["state"] == "held", 15)
        kube.add_node("flannel8", "10.5.8.0/24", annotations=FLANNEL | {ANNOTATIONS + "public-ip": "192.0.2.8",
                      ANNOTATIONS + "backend-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:00:08"}'})  # fmt: skip
        for host in hosts:
            wait_for(lambda h=host: "10.5.8.0/24" in json.dumps(h.daemon.subnets()), 15, "news")
    assert pinger.lost == 0, pinger.report()


def test_away_at_boot_and_for_long(lab, kube):
    hosts = kube.hosts(3)
    for host in hosts:
        host.container()
        host.daemon.restart()
        host.daemon.wait_peers(2)
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        kube.stop()
        for host in hosts:
            host.daemon.wait_status(lambda s: not s["store"]["watchLive"], 10)
            host.daemon.restart()
            assert "stale" in host.daemon.problems()
        kube.start()
        for host in hosts:
            host.daemon.wait_ok(20)
    assert pinger.lost == 0, pinger.report()
    kube.stop()
    for host in hosts:
        host.daemon.kill()
        host.namespace.ip_do("link del flannel.1")
        host.daemon.start()
    for host in hosts:
        host.daemon.wait_ready()
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        wait_for(lambda: pinger.sent >= 100, 10, "pings")
    assert pinger.lost == 0, pinger.report()
    patches = kube.count("^PATCH")
    kube.start()
    for host in hosts:
        host.daemon.wait_ok(20)
    equal(kube, hosts)
    assert kube.count("^PATCH") == patches


def test_who_we_are(lab):
    """A kubeconfig with certificates inline or in files; a token in a file that is replaced; no permission."""
    kube = ApiServer(lab, tls=True)
    kube.context.load_verify_locations(kube.certificates.ca)
    kube.context.verify_mode = 2  # CERT_REQUIRED
    hosts = []
    for n, inline in ((1, True), (2, False)):
        kube.add_node(f"h{n}", f"10.5.{n}.0/24")
        host = lab.host()
        kube.start_daemon(host, kube_api_url="", kubeconfig_file=kube.kubeconfig(inline))
        hosts.append(host)
    for host in hosts:
        host.daemon.wait_peers(1)
        host.daemon.wait_ok()
    token = lab.directory / "token"
    token.write_text("of-yesterday")
    kube.tokens = {"of-yesterday"}
    kube.context.verify_mode = 0
    kube.add_node("h3", "10.5.3.0/24")
    h3 = lab.host()
    kube.start_daemon(h3, kube_api_url="", kubeconfig_file=kube.kubeconfig(token_file=token))
    kube.tokens = {"of-today"}
    kube.end_watches()
    h3.daemon.wait_status(lambda s: "401 Unauthorized" in json.dumps(s["store"]), 10)
    token.write_text("of-today")
    h3.daemon.wait_status(lambda s: s["store"]["watchLive"], 10)
    assert not h3.daemon.logged("of-yesterday|of-today|Bearer")
    h3.daemon.stop()
    kube.allowed -= {("patch", "nodes/status")}
    kube.annotate("h3", public_ip="192.0.2.77")
    h3.daemon.start()
    h3.daemon.wait_status(lambda s: "403 Forbidden" in json.dumps(s["problems"]) or "403 Forbidden" in json.dumps(s["lease"]), 10)
    kube.allowed = set(ALLOWED)
    h3.daemon.wait_ok(20)


def test_which_node_this_is(lab, kube):
    host = lab.host()
    kube.add_node("worker-1.example", "10.5.1.0/24")
    daemon = kube.make_daemon(host)
    daemon.environment = {}
    daemon.start()
    assert daemon.wait_exit() == 1
    assert daemon.logged("NODE_NAME, or POD_NAME and POD_NAMESPACE")
    daemon.environment = {"NODE_NAME": "Not/A/Node"}
    daemon.start()
    assert daemon.wait_exit() == 1 and daemon.logged('NODE_NAME is "Not/A/Node"')
    kube.pods["kube-flannel", "flannel-x"] = "worker-1.example"
    kube.allowed |= {("get", "pods")}
    daemon.environment = {"POD_NAME": "flannel-x", "POD_NAMESPACE": "kube-flannel", "EVENT_QUEUE_DEPTH": "5000"}
    daemon.start().wait_ready()
    daemon.wait_ok()
    assert kube.annotations("worker-1.example")["public-ip"] == host.address
    # The network configuration is followed as that of other stores is.
    kube.configure(CONFIG | {"Backend": {"Type": "vxlan", "VNI": 7}})
    daemon.wait_status(lambda s: "config-changed" in {p["name"] for p in s["problems"]}, 10)
    kube.net_config.unlink()
    daemon.wait_status(lambda s: "config-missing" in {p["name"] for p in s["problems"]}, 10)
    kube.configure()
    daemon.wait_ok()


def test_fabricctl_asks_the_api_server(lab, kube):
    kube.add_node("flannel9", "10.5.9.0/24", annotations=FLANNEL)
    kube.add_node("bare", "10.5.8.0/24")
    flags = [f"--{name.replace('_', '-')}={'true' if value is True else value}" for name, value in kube.flags().items()]

    def ctl(*argv):
        return lab.underlay.run(FABRICCTL, *argv, "--config-file=/dev/null", *flags, check=False)

    shown = ctl("subnets", "--store", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    (item,) = json.loads(shown.stdout)["items"]
    assert item["subnet"] == "10.5.9.0/24" and item["node"] == "flannel9" and item["publicIP"] == "192.0.2.9"
    shown = ctl("capacity", "--store", "-o", "json")
    capacity = json.loads(shown.stdout)
    assert capacity["ipv4"]["used"] == 1 and item["created"].endswith("Z"), shown.stderr
    assert "the store tells who was first" not in capacity["forecast"]["from"]
    shown = ctl("config", "show", "--store")
    assert shown.returncode == 0 and "10.5.0.0/16" in shown.stdout, shown.stderr
    refused = ctl("lease", "reserve", "10.5.3.0/24", "--node=h3")
    assert refused.returncode == 2 and "the store kube" in refused.stderr, refused.stderr
    refused = ctl("config", "set", "--yes", kube.net_config)
    assert refused.returncode != 0 and "kube" in refused.stderr, refused.stderr
    assert kube.count("^(?!GET)") == 0
    kube.allowed = set()
    refused = ctl("subnets", "--store")
    assert refused.returncode == 6 and "403 Forbidden" in refused.stderr and "--kubeconfig-file" in refused.stderr
    kube.stop()
    refused = ctl("subnets", "--store")
    assert refused.returncode == 5 and "--kube-api-url" in refused.stderr, refused.stderr
