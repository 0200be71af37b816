# SPDX-License-Identifier: Apache-2.0
"""What packaging/kubernetes is to a real API server, by kubectl of several years."""

import json
import re

import pytest
from cluster import MANIFESTS, NAMESPACE
from debian import unpacked

KINDS = ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet"]


@pytest.fixture(params=["installed", "trixie", "sid"])
def kubectl(request):
    """The machine's, and those of newer Debians: 1.32 and younger."""
    if request.param == "installed":
        return None
    return str(unpacked(request.param, "kubectl") / "usr/bin/kubectl")


def lines(text):
    """[("daemonset.apps/kube-flannel-ds", "created"), ...]"""
    return [tuple(line.split(" ", 1)) for line in text.splitlines()]


def test_apply(cluster, kubectl):
    """K2: by --dry-run=server, then for real, then again, which changes nothing; and taken away."""
    cluster.start()
    version = json.loads(cluster.kubectl("version", "-o", "json", program=kubectl))
    assert version["serverVersion"]["gitVersion"] == "v1.20.2"
    print("kubectl", version["clientVersion"]["gitVersion"])
    cluster.kubectl("create", "namespace", NAMESPACE, program=kubectl)
    done = lines(cluster.kubectl("apply", "-k", MANIFESTS, "--dry-run=server", program=kubectl))
    assert len(done) == len(KINDS) and all("(server dry run)" in what for _, what in done), done
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false", program=kubectl)
    # Nobody empties a namespace here that was deleted; a finalizer is what keeps it.
    cluster.change("PUT", f"/api/v1/namespaces/{NAMESPACE}/finalize", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}, "spec": {"finalizers": []}})
    done = lines(cluster.deploy(program=kubectl))
    assert [what for _, what in done] == ["created"] * len(KINDS), done
    done = lines(cluster.deploy(program=kubectl))
    assert [what for _, what in done] == ["unchanged"] * len(KINDS), done
    shown = json.loads(cluster.kubectl("get", "-k", MANIFESTS, "-o", "json", program=kubectl))
    (daemon_set,) = [one for one in shown["items"] if one["kind"] == "DaemonSet"]
    spec = daemon_set["spec"]["template"]["spec"]
    assert spec["hostNetwork"] and spec["containers"][0]["securityContext"]["capabilities"] == {"add": ["NET_ADMIN"], "drop": ["ALL"]}
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    cluster.kubectl("delete", "-k", MANIFESTS, "--wait=false", program=kubectl)


def others():
    """An installation by flannel's manifest, as far as names, labels and what selects its pods are concerned."""
    labels = {"tier": "node", "app": "flannel", "k8s-app": "flannel"}
    metadata = {"namespace": NAMESPACE, "labels": labels}
    container = {
        "name": "kube-flannel", "image": "example.org/flannel:v0.28.9", "command": ["/opt/bin/flanneld"], "args": ["--ip-masq", "--kube-subnet-mgr"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "EVENT_QUEUE_DEPTH", "value": "5000"},
        ],
        "securityContext": {"privileged": False, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
        "volumeMounts": [{"name": "run", "mountPath": "/run/flannel"}, {"name": "xtables-lock", "mountPath": "/run/xtables.lock"}],
    }  # fmt: skip
    spec = {
        "hostNetwork": True, "serviceAccountName": "flannel", "containers": [container],
        "volumes": [
            {"name": "run", "hostPath": {"path": "/run/flannel"}},
            {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
        ],
    }  # fmt: skip
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
    ]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata | {"name": "flannel"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "flannel"}, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "flannel"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flannel"},
            "subjects": [{"kind": "ServiceAccount", "name": "flannel", "namespace": NAMESPACE}],
        },
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata | {"name": "kube-flannel-cfg"},
            "data": {"cni-conf.json": "{}", "net-conf.json": '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}'},
        },
        {
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata | {"name": "kube-flannel-ds"},
            "spec": {"selector": {"matchLabels": {"app": "flannel", "k8s-app": "flannel"}}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        },
    ]  # fmt: skip


def test_over_flannel_and_back(cluster):
    """Each takes the other's place by an apply, with nothing of the other left in what runs or in what it may."""
    cluster.start()
    theirs = json.dumps({"apiVersion": "v1", "kind": "List", "items": others()})

    def running():
        shown = cluster.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/kube-flannel-ds")
        return shown["spec"]["template"]["spec"]

    def rules():
        shown = cluster.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/flannel")
        return sorted((resource, *sorted(rule["verbs"])) for rule in shown["rules"] for resource in rule["resources"])

    cluster.kubectl("apply", "-f", "-", input=theirs)
    before, might = running(), rules()
    done = dict(lines(cluster.deploy()))
    assert "created" not in done.values(), done
    spec = running()
    (container,) = spec["containers"]
    assert container["image"].startswith("localhost/flannel") and [e["name"] for e in container["env"]] == ["NODE_NAME"]
    assert container["securityContext"]["capabilities"] == {"add": ["NET_ADMIN"], "drop": ["ALL"]}
    assert "xtables-lock" not in {v["name"] for v in spec["volumes"]} and len(spec["initContainers"]) == 1
    assert rules() == [("nodes", "get", "list", "watch"), ("nodes/status", "patch")]
    done = dict(lines(cluster.kubectl("apply", "-f", "-", input=theirs)))
    assert "created" not in done.values(), done
    assert running() == before and rules() == might
    assert not re.search("localhost/flannel", json.dumps(running()))
