# SPDX-License-Identifier: Apache-2.0
"""Leases that are nodes of a real Kubernetes. Nodes are bare: nobody but its API server and controllers has a hand in them."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

import kube_backends
import pytest
import witness
from cluster import ACCOUNT, ANNOTATIONS, KUBERNETES, NAMESPACE, PORT, SERVICES
from debian import program
from fabric import BUILD, CONFIG, FABRICCTL, IPV6
from kube_backends import BACKENDS
from kube_backends import DUAL as DUAL_BACKENDS
from netns import wait_for

FLANNEL = {
    ANNOTATIONS + "kube-subnet-manager": "true",
    ANNOTATIONS + "backend-type": "vxlan",
    ANNOTATIONS + "backend-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:00:09"}',
    ANNOTATIONS + "public-ip": "192.0.2.9",
}
AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
# Of 1.20: without it a node has one podCIDR, whatever is written into it.
GATE = "--feature-gates=IPv6DualStack=true"
DUAL_SERVICES = f"{SERVICES},fd10:96::/112"
DAEMONS = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


class Audit:
    """What the API server notes of each request."""

    def __init__(self, cluster):
        self.log = cluster.directory / "audit.log"
        policy = cluster.directory / "audit.yaml"
        policy.write_text(json.dumps(AUDIT))
        self.flags = [f"--audit-policy-file={policy}", f"--audit-log-path={self.log}", "--audit-log-mode=blocking"]

    def of_daemons(self, verb=None):
        """(verb, resource, HTTP status) of each, so far."""
        found = []
        for line in self.log.read_text().splitlines():
            event = json.loads(line)
            thing = event.get("objectRef", {})
            if event["user"]["username"] == DAEMONS and verb in (None, event["verb"]):
                resource = "/".join(filter(None, (thing.get("resource"), thing.get("subresource"))))
                found.append((event["verb"], resource, event["responseStatus"]["code"]))
        return found


@pytest.fixture
def audit(cluster):
    return Audit(cluster)


@pytest.fixture
def ready(cluster, audit):
    """API server and controllers, and our manifests applied."""
    cluster.start(*audit.flags)
    cluster.start_controllers()
    cluster.deploy(cluster.kustomization())
    return cluster


def equal(cluster, hosts):
    for host in hosts:
        witness.wait_equal(host, cluster.leases, 10)


def test_three_nodes(lab, ready, audit):
    """podCIDRs of the controller manager, annotations both ways, foreign nodes, heartbeats, restarts one by one: no ping is lost."""
    hosts = ready.hosts(3)
    for host in hosts:
        host.container()
        host.daemon.wait_ok(20)
        assert ready.pod_cidrs(f"h{host.number}") == [host.daemon.subnet()]
    equal(ready, hosts)
    a = ready.annotations("h1")
    assert a["kube-subnet-manager"] == "true" and a["backend-type"] == "vxlan" and a["public-ip"] == "192.0.2.1"
    assert json.loads(a["backend-data"]) == {"VNI": 1, "VtepMAC": hosts[0].vtep_mac()} and "public-ipv6" not in a
    condition = ready.condition("h1")
    assert condition["status"] == "False" and condition["reason"] == "FlannelIsUp" and condition["message"] == "Flannel is running on this node"
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        # A rolling restart, as the DaemonSet's is: one at a time, each ready before the next. It writes nothing.
        writes = audit.of_daemons("patch")
        assert len(writes) == 3
        subnets = [host.daemon.subnet() for host in hosts]
        monitor = hosts[0].monitor()
        tunnel = hosts[0].link()["ifindex"]
        for host in hosts:
            host.daemon.restart()
            host.daemon.wait_peers(2, 20)
        assert [host.daemon.subnet() for host in hosts] == subnets
        assert audit.of_daemons("patch") == writes
        assert not [e for e in monitor.events() if e[1] == tunnel]
    assert pinger.lost == 0, pinger.report()
    # K1, and back.
    ready.annotate("h1", public_ip_overwrite="198.18.0.7")
    wait_for(lambda: ready.annotations("h1")["public-ip"] == "198.18.0.7", 10, "the address that was asked for")
    ready.annotate("h1", public_ip_overwrite=None)
    wait_for(lambda: ready.annotations("h1")["public-ip"] == "192.0.2.1", 10, "the own address")
    # A hand in our annotations.
    ready.annotate("h2", public_ip="192.0.2.99")
    wait_for(lambda: ready.annotations("h2")["public-ip"] == "192.0.2.2", 10, "written again")
    equal(ready, hosts)
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        ready.add_node("flannel9", "10.5.200.0/24", annotations=FLANNEL)
        ready.add_node("bare", "10.5.201.0/24")
        for host in hosts:
            host.daemon.wait_peers(3)
        equal(ready, hosts)
        requests = len(audit.of_daemons())
        for name in ("flannel9", "bare", "h1"):
            ready.heartbeat(name, 40)
        ready.annotate("flannel9", backend_data='{"VNI":1,"VtepMAC":"0a:00:00:00:00:19"}')
        for host in hosts:
            wait_for(lambda h=host: "0a:00:00:00:00:19" in json.dumps(h.daemon.subnets()), 10, "the new MAC")
        equal(ready, hosts)
        assert len(audit.of_daemons()) == requests
        ready.delete_node("flannel9")
        for host in hosts:
            host.daemon.wait_peers(2)
        equal(ready, hosts)
    assert pinger.lost == 0, pinger.report()
    used = {(verb, resource) for verb, resource, _ in audit.of_daemons()}
    assert used == {("get", "nodes"), ("list", "nodes"), ("watch", "nodes"), ("patch", "nodes/status")}
    assert {code for _, _, code in audit.of_daemons()} == {200}


def test_node_made_again(lab, ready):
    """The controller gives it a podCIDR some seconds later: waited for, and named until then."""
    ready.end("kube-controller-manager")
    host = ready.host()
    daemon = ready.make_daemon(host).start()
    daemon.wait_status(lambda s: "node h1 has no podCIDR" in json.dumps(s["problems"]), 20)
    assert not daemon.logged("store-went-back")
    ready.delete_node("h1")
    daemon.wait_status(lambda s: "there is no node h1" in json.dumps(s["problems"]), 20)
    ready.add_node("h1")
    ready.start_controllers()
    daemon.wait_ok(60)
    assert ready.pod_cidrs("h1") == [daemon.subnet()]
    # Deleted and made again with the same: the annotations are written again; with another: said.
    before = daemon.subnet()
    ready.end("kube-controller-manager")
    ready.delete_node("h1")
    ready.add_node("h1", before)
    wait_for(lambda: ready.annotations("h1").get("public-ip") == host.address, 30, "annotated again")
    daemon.wait_ok(20)
    ready.delete_node("h1")
    ready.add_node("h1", "10.5.99.0/24")
    daemon.wait_status(lambda s: "subnet-reassigned" in {p["name"] for p in s["problems"]}, 30)
    assert daemon.subnet() == before
    daemon.restart()
    daemon.wait_ok(30)
    assert daemon.subnet() == "10.5.99.0/24"


def compact(etcd):
    revision = int(etcd.api("/v3/kv/range", {"key": "AA=="})["header"]["revision"])
    etcd.api("/v3/kv/compaction", {"revision": str(revision), "physical": True})


def test_api_server_away(lab, ready, audit):
    """Killed, away at a boot, back after its etcd has forgotten, restored from an old backup: the packets do not notice."""
    hosts = ready.hosts(2)
    for host in hosts:
        host.container()
    etcd = lab.etcd
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        # A backup of now.
        for name in ("kube-controller-manager", "kube-apiserver"):
            ready.end(name)
        etcd.stop()
        backup = ready.directory / "backup"
        shutil.copytree(etcd.members[0].directory, backup)
        for host in hosts:
            host.daemon.wait_status(lambda s: not s["store"]["watchLive"], 30)
            host.daemon.restart()
            host.daemon.wait_peers(1)
            assert "stale" in host.daemon.problems()
        etcd.start()
        ready.start(*audit.flags)
        ready.add_node("flannel9", "10.5.200.0/24", annotations=FLANNEL)
        for host in hosts:
            host.daemon.wait_peers(2, 60)
            host.daemon.wait_ok(60)
        # Away, and what happened meanwhile is forgotten.
        ready.heartbeat("flannel9", 20)
        ready.end("kube-apiserver")
        compact(etcd)
        ready.start(*audit.flags)
        ready.annotate("flannel9", backend_data='{"VNI":1,"VtepMAC":"0a:00:00:00:00:19"}')
        for host in hosts:
            wait_for(lambda h=host: "0a:00:00:00:00:19" in json.dumps(h.daemon.subnets()), 30, "the new MAC")
            host.daemon.wait_ok(30)
        # The backup is played back: flannel9 has never been.
        ready.heartbeat("flannel9", 60)
        ready.end("kube-apiserver")
        etcd.kill()
        shutil.rmtree(etcd.members[0].directory)
        shutil.copytree(backup, etcd.members[0].directory)
        etcd.start()
        ready.start(*audit.flags)
        for host in hosts:
            wait_for(lambda h=host: h.daemon.logged("resourceVersion of the nodes went back|watch-resync"), 60, "it is noticed")
            host.daemon.wait_peers(1, 60)
            host.daemon.wait_ok(60)
        ready.add_node("flannel8", "10.5.208.0/24", annotations=FLANNEL | {ANNOTATIONS + "public-ip": "192.0.2.8"})
        for host in hosts:
            host.daemon.wait_peers(2, 30)
        equal(ready, hosts)
    assert pinger.lost == 0, pinger.report()


def signed_token(cluster, seconds):
    """One of the account that has expired by then; the API server itself gives none for less than ten minutes."""
    now = int(time.time())
    uid = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}")["metadata"]["uid"]
    issuer = "https://kubernetes.default.svc"
    claims = {
        "iss": issuer, "aud": [issuer], "sub": DAEMONS, "iat": now, "nbf": now, "exp": now + seconds,
        "kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": {"name": ACCOUNT, "uid": uid}},
    }  # fmt: skip

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    # The key has the id by which the server knows it.
    header = cluster.account_token().split(".")[0].encode()
    text = header + b"." + part(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", cluster.account_key], input=text, stdout=subprocess.PIPE, check=True).stdout
    return (text + b"." + part(signature)).decode()


def test_token_that_expires(lab, ready):
    """Its file is read for each request: who renews it as a kubelet does is not noticed, who does not is named."""
    host = ready.host()
    daemon = ready.make_daemon(host)
    daemon.token_file.write_text(signed_token(ready, 20))
    daemon.start().wait_ready(60)
    daemon.wait_ok(30)
    # The server lets it pass for a minute longer.
    wait_for(lambda: ready.ask("GET", "/api/v1/nodes", token=daemon.token_file.read_text())[0] == 401, 120, "the token has expired")
    # An open watch goes on; the next request is refused.
    ready.end("kube-apiserver")
    ready.start()
    daemon.wait_status(lambda s: "401 Unauthorized" in json.dumps(s["store"]), 30)
    daemon.token_file.write_text(ready.account_token())
    daemon.wait_ok(60)
    assert not daemon.logged("Bearer|eyJ")


def test_rights_are_taken_and_given(lab, ready):
    host = ready.host()
    ready.change("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/flannel")
    daemon = ready.make_daemon(host).start()
    daemon.wait_status(lambda s: "403 Forbidden" in json.dumps(s), 30)
    assert daemon.logged('cannot (get|list) resource "nodes"')
    ready.deploy(ready.kustomization())
    daemon.wait_ok(60)


def test_out_of_use(lab, ready):
    """Drained, or stopped in order, where that is asked for: nothing is scheduled there, by a taint that the controller makes of the condition."""
    host = ready.host()
    daemon = ready.start_daemon(host, node_network_unavailable_on="stop")
    host.container()
    closed = "node.kubernetes.io/network-unavailable"

    def is_closed():
        return (ready.condition("h1")["status"] == "True", closed in {t["key"] for t in ready.node("h1")["spec"].get("taints", [])})

    def wait_closed(wanted):
        wait_for(lambda: is_closed() == (wanted, wanted), 30, f"condition and taint are {wanted}")

    wait_closed(False)
    assert daemon.request("/v1/drain?state=drained", "POST")[0] == 200
    wait_closed(True)
    assert ready.condition("h1")["reason"] == "FlannelIsOutOfUse"
    assert daemon.request("/v1/drain?state=off", "POST")[0] == 200
    wait_closed(False)
    daemon.stop()
    wait_closed(True)
    daemon.start().wait_ready(30)
    wait_closed(False)
    assert ready.condition("h1")["reason"] == "FlannelIsUp"


def test_dual_stack(lab, cluster):
    config = CONFIG | IPV6
    cluster.configure(config)
    cluster.start(GATE, f"--service-cluster-ip-range={DUAL_SERVICES}")
    cluster.start_controllers(GATE, f"--service-cluster-ip-range={DUAL_SERVICES}", config=config)
    cluster.deploy(cluster.kustomization(config))
    hosts = cluster.hosts(2)
    for host in hosts:
        host.container()
        host.daemon.wait_ok(20)
        assert cluster.pod_cidrs(f"h{host.number}") == [host.daemon.subnet(), host.daemon.subnet6()]
    a = cluster.annotations("h1")
    assert a["public-ipv6"] == "2001:db8:1::1" and json.loads(a["backend-v6-data"])["VtepMAC"] == hosts[0].vtep_mac("flannel-v6.1")
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        wait_for(lambda: pinger.sent >= 200, 10, "pings in both families")
        # One family alone changes.
        cluster.add_node("flannel9", "10.5.200.0/24", "fd10:5:0:99::/64", annotations=FLANNEL | {
            ANNOTATIONS + "public-ipv6": "2001:db8:1::9", ANNOTATIONS + "backend-v6-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:00:69"}'})  # fmt: skip
        for host in hosts:
            host.daemon.wait_peers(2)
        cluster.annotate("flannel9", backend_v6_data='{"VNI":1,"VtepMAC":"0a:00:00:00:00:79"}')
        for host in hosts:
            wait_for(lambda h=host: "0a:00:00:00:00:79" in h.namespace.run("bridge", "fdb"), 10, "the new MAC of one family")
    assert pinger.lost == 0, pinger.report()


CASES = [(backend, nftables, dual) for dual in (False, True) for backend in (DUAL_BACKENDS if dual else BACKENDS) for nftables in (False, True)]
# The rules of one backend are those of all.
CASES = [case for case in CASES if case[0] == "vxlan" or not case[1]]


def start_for(cluster, audit, config, dual):
    cluster.configure(config)
    more = [GATE, f"--service-cluster-ip-range={DUAL_SERVICES}"] if dual else []
    cluster.start(*audit.flags, *more)
    cluster.start_controllers(*more, config=config)
    cluster.deploy(cluster.kustomization(config))


@pytest.mark.parametrize(("backend", "nftables", "dual"), CASES, ids=["-".join(filter(None, (b, n and "nftables", d and "dual"))) for b, n, d in CASES])
def test_backends(lab, cluster, audit, backend, nftables, dual):
    """E1 to E11 as far as this kernel has the backend: annotations to the byte, pings, restarts among them, a stream of TCP, the rules."""
    if reason := kube_backends.missing(backend):
        pytest.skip(reason)
    config = CONFIG | {"Backend": {"Type": backend}} | ({"EnableNFTables": True} if nftables else {}) | (IPV6 if dual else {})
    start_for(cluster, audit, config, dual)
    hosts = [cluster.host() for _ in range(3)]
    for host in hosts:
        # Without EnableNFTables they stand in iptables here, as flannel's would.
        kube_backends.prepare(cluster.make_daemon(host, ip_masq=True, traffic_mode="nftables" if nftables else "iptables"), backend).start()
    for host in hosts:
        host.daemon.wait_ready(60)
        host.daemon.wait_peers(2, 30)
        host.container()
        kube_backends.check_annotations(cluster.annotations(f"h{host.number}"), host, backend, dual)
        kube_backends.check_rules(host, nftables, dual)
    kube_backends.check_route(hosts, backend)
    containers = [host.containers[0] for host in hosts]
    kube_backends.meet(containers)
    with lab.pinger(*containers) as pinger:
        wait_for(lambda: pinger.sent >= 100, 10, "pings")
        for host in hosts:
            host.daemon.restart()
            host.daemon.wait_peers(2, 20)
    assert pinger.lost == 0, pinger.report()
    # E7. Upstream's takes ten seconds.
    rates = kube_backends.iperf3(containers[0], containers[1], 10 if not dual else 3)
    print(backend, "dual" * dual, [f"{rate / 1e9:.2f} Gbit/s" for rate in rates])
    assert all(rate > 1e6 for rate in rates)


# That of http.server itself asks for the host's name first, of a server that nobody reaches here.
WEB = """
import http.server, socketserver, sys
socketserver.TCPServer((sys.argv[1], 80), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_a_service(lab, ready):
    """E14 as far as there is no proxy: its address is translated by hand, as kube-proxy would; a client elsewhere keeps its own."""
    hosts = ready.hosts(2, ip_masq=True)
    client, server = (host.container() for host in hosts)
    web = server.namespace.popen(sys.executable, "-c", WEB, server.address, cwd="/usr/share", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.closers.callback(web.kill)
    hosts[0].namespace.nft(
        "table ip services {\n chain pre {\n  type nat hook prerouting priority dstnat;\n"
        f"  ip daddr 10.96.7.7 tcp dport 80 dnat to {server.address}:80\n"
        f"  ip daddr {KUBERNETES} tcp dport 443 dnat to 192.0.2.205:{PORT}\n }}\n}}"
    )

    def fetch(url, *flags):
        return client.namespace.run("curl", "-s", "-S", "-k", "-m", "5", *flags, url)

    wait_for(lambda: fetch("http://10.96.7.7/", "-o", "/dev/null", "-w", "%{http_code}") == "200", 10, "the service answers")
    # The API server itself, by its service.
    said = fetch(f"https://{KUBERNETES}/version")
    assert json.loads(said)["gitVersion"] == "v1.20.2"


def test_fabricctl_asks_it(lab, ready):
    ready.add_node("flannel9", "10.5.200.0/24", annotations=FLANNEL)
    ready.add_node("bare", "10.5.201.0/24")
    kubeconfig = ready.kubeconfig(token=ready.account_token())
    flags = ["--kube-subnet-mgr=true", f"--kubeconfig-file={kubeconfig}", f"--net-config-path={ready.net_config}", "--config-file=/dev/null"]
    items = json.loads(ready.namespace.run(FABRICCTL, "subnets", "--store", "-o", "json", *flags))["items"]
    assert [(item["subnet"], item["node"], item["publicIP"]) for item in items] == [("10.5.200.0/24", "flannel9", "192.0.2.9")]
    assert "10.5.0.0/16" in ready.namespace.run(FABRICCTL, "config", "show", "--store", *flags)


def test_it_assigns_as_the_model_does(lab, cluster):
    """The cases of a store that assigns subnets (tests/unit/test_store_assigns.c)."""
    ready = cluster.start(GATE, f"--service-cluster-ip-range={DUAL_SERVICES}")
    kubeconfig = ready.kubeconfig(token="of-the-admin")
    proxy = ready.namespace.popen(program("kubectl", "trixie", "kubectl"), f"--kubeconfig={kubeconfig}", "proxy", "--port=8001", stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": str(ready.directory)})
    lab.closers.callback(proxy.kill)
    url = "http://127.0.0.1:8001"
    wait_for(lambda: ready.namespace.run("curl", "-s", "-f", f"{url}/version"), 20, "kubectl proxy answers")
    environment = os.environ | {"STORE_CONFORMANCE_KUBE": url, "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    done = ready.namespace.run(BUILD / "tests/unit/test_store_assigns", env=environment, check=False, timeout=120)
    assert done.returncode == 0 and done.stdout.count("ok ") >= 10, done.stdout + done.stderr
