# SPDX-License-Identifier: Apache-2.0
"""Pods of real kubelets on two nodes, whose network is the DaemonSet of packaging/kubernetes in the image of `make image`."""

import json
import os
import re
import secrets
import subprocess
import sys

import pytest
from cluster import NAMESPACE
from fabric import BUILD, CONFIG, ROOT
from kubelet import Kubelet
from netns import wait_for
from test_cni_clients import IMAGE

TAG = "1.2.3-x"
WAIT_S = 240


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "image.tar"
    with path.open("wb") as out:
        subprocess.run([sys.executable, ROOT / "packaging" / "image.py", "1.2.3+x", BUILD], stdout=out, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}, check=True)
    return path


def pods(cluster, selector, namespace="default"):
    """Those that are not being deleted."""
    found = cluster.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def all_ready(cluster, selector, count, namespace="default"):
    found = pods(cluster, selector, namespace)
    assert len(found) == count and all(ready(pod) for pod in found), [(p["metadata"]["name"], p["status"]) for p in found]
    return found


def deployment(count):
    """One on each node, with a server; an index page that says which."""
    labels = {"app": "web"}
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "Never", "command": ["httpd", "-f", "-p", "80", "-h", "/www"]}
    apart = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    spec = {
        "containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False,
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
    }  # fmt: skip
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": count, "strategy": strategy, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }  # fmt: skip


class Inside:
    """A running pod, and commands in its container by containerd: nothing of Kubernetes is asked for them."""

    def __init__(self, node, pod):
        self.node = node
        self.address = pod["status"]["podIP"]
        self.name = pod["metadata"]["name"]
        self.container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]

    def argv(self, *argv):
        sock = self.node.directory / "sock"
        return ["ctr", "-a", sock, "-n", "k8s.io", "task", "exec", "--exec-id", secrets.token_hex(8), self.container, *map(str, argv)]

    def run(self, *argv):
        return self.node.run(*self.argv(*argv))

    def popen(self, *argv):
        return subprocess.Popen(self.node.inside(*self.argv(*argv)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ping(self, other, count=5):
        said = self.run("ping", "-c", count, "-i", "0.2", "-W", "2", other.address)
        assert f"{count} packets received" in said, said


def deployed(lab, cluster, archive):
    """Two nodes that have joined, and the DaemonSet on them: as an administrator does it, with the cluster's network and the image's tag."""
    for n in (1, 2):
        cluster.tokens[f"of-h{n}"] = (f"system:node:h{n}", "system:nodes")
    cluster.start()
    cluster.start_controllers()
    cluster.start_scheduler()
    nodes = [Kubelet(cluster, cluster.host(node=False), [archive]).start() for _ in range(2)]
    for node in nodes:
        node.wait_registered()
    cluster.deploy(cluster.kustomization(CONFIG, images=[{"name": "localhost/flannel", "newTag": TAG}]))
    wait_for(lambda: all_ready(cluster, "app=flannel", 2, NAMESPACE), WAIT_S, "the DaemonSet is ready")
    for node in nodes:
        node.wait_ready()
    return nodes


def check_node(cluster, node):
    a = cluster.annotations(node.name)
    assert a["public-ip"] == node.host.address and cluster.condition(node.name)["reason"] == "FlannelIsUp"
    environment = dict(line.split("=", 1) for line in (node.directory / "run/flannel/subnet.env").read_text().splitlines())
    (cidr,) = cluster.pod_cidrs(node.name)
    assert environment["FLANNEL_NETWORK"] == "10.5.0.0/16" and environment["FLANNEL_SUBNET"] == cidr.replace(".0/24", ".1/24")


def shown_pods(node):
    """[(pod, addresses)] of `fabricctl pods`."""
    shown = node.run(BUILD / "fabricctl", "pods", "-o", "json", "--config-file=/dev/null", "--cni-plugin=/opt/cni/bin/flannel")
    return [(item["pod"], item["addresses"]) for item in json.loads(shown)["items"]]


def reserved(node):
    return sorted(file.name for file in (node.directory / "lib/cni/networks/cbr0").iterdir() if file.name[0].isdigit())


def restart_daemons(cluster, one, two):
    """E13: all anew, one at a time, while pods of both nodes ping each other; nothing is lost."""
    pings = [inside.popen("ping", "-i", "0.1", "-W", "5", other.address) for inside, other in ((one, two), (two, one))]
    before = {pod["metadata"]["name"] for pod in pods(cluster, "app=flannel", NAMESPACE)}
    cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "daemonset", "kube-flannel-ds")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset", "kube-flannel-ds", "--timeout=110s")
    after = {pod["metadata"]["name"] for pod in wait_for(lambda: all_ready(cluster, "app=flannel", 2, NAMESPACE), WAIT_S, "new daemons")}
    assert not before & after
    for inside in (one, two):
        inside.run("sh", "-c", "for p in /proc/[0-9]*; do read -r c < $p/comm; [ $c = ping ] && kill -2 ${p#/proc/}; done; true")
    for process in pings:
        said = process.communicate(timeout=20)[0]
        came = [int(n) for n in re.findall(r"seq=(\d+)", said)]
        assert len(came) > 50 and came == list(range(came[0], came[0] + len(came))), said


def test_pods(lab, cluster, archive):
    nodes = deployed(lab, cluster, archive)
    for node in nodes:
        check_node(cluster, node)
    cluster.change("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(2))
    found = wait_for(lambda: all_ready(cluster, "app=web", 2), WAIT_S, "two pods are ready")
    by_node = {node.name: node for node in nodes}
    one, two = (Inside(by_node[pod["spec"]["nodeName"]], pod) for pod in found)
    assert one.node is not two.node
    one.ping(two)
    two.ping(one)
    for inside in (one, two):
        assert inside.address.startswith(cluster.pod_cidrs(inside.node.name)[0].removesuffix("0/24"))
        assert shown_pods(inside.node) == [(f"default/{inside.name}", [inside.address])]
    # E14: there is no kube-proxy, so a service is translated by hand; a pod asks for one of the other node.
    cluster.kubectl("expose", "deployment", "web", "--port=80", "--cluster-ip=10.96.7.7")
    rule = f"ip daddr 10.96.7.7 tcp dport 80 dnat to {two.address}:80"
    one.node.host.namespace.nft(f"table ip web {{\n chain pre {{\n  type nat hook prerouting priority dstnat;\n  {rule}\n }}\n}}")
    assert "hello" in one.run("wget", "-q", "-O", "-", "http://10.96.7.7/")
    restart_daemons(cluster, one, two)
    # E12: deleted, made again, and reached. A kubelet says DEL at least twice; nothing stays.
    node = one.node
    cluster.kubectl("delete", "pod", one.name, "--wait=true")
    again = wait_for(lambda: next(p for p in all_ready(cluster, "app=web", 2) if p["spec"]["nodeName"] == node.name), WAIT_S, "a new pod")
    new = Inside(node, again)
    new.ping(two)
    two.ping(new)
    wait_for(lambda: reserved(node) == [new.address], 60, "one address is reserved")
    # A kubelet that starts again does not touch its pods.
    node.stop()
    node.start()
    new.ping(two)
    cluster.kubectl("delete", "deployment", "web")
    wait_for(lambda: reserved(node) == [], 60, "no address is reserved")
    assert shown_pods(node) == []
