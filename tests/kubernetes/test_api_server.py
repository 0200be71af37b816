# SPDX-License-Identifier: Apache-2.0
"""What the scripted API server of `make check` replays is what a real one says. RECORD=1 writes it down anew."""

import json
import os
import threading

import kube_said
import pytest
from cluster import STRATEGIC
from fabric import CONFIG
from netns import wait_for

NODES = "/api/v1/nodes"
WATCH = f"{NODES}?watch=true&allowWatchBookmarks=true"


class Hearing:
    """Asks, and compares the answer with the file of that name."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __call__(self, name, method, path, body=None, **how):
        return self.compare(name, f"{method} {path}", self.cluster.ask(method, path, body, **how))

    def compare(self, name, request, answer):
        said = kube_said.Said(request, *answer)
        if os.environ.get("RECORD"):
            kube_said.save(name, said)
        known = kube_said.load(name)
        assert kube_said.gist(said) == kube_said.gist(known), (said, known)
        return said

    def compact(self):
        """etcd forgets all that has been: what the API server does itself every five minutes."""
        etcd = self.cluster.lab.etcd
        revision = int(etcd.api("/v3/kv/range", {"key": "AA=="})["header"]["revision"])
        etcd.api("/v3/kv/compaction", {"revision": str(revision), "physical": True})


@pytest.fixture
def hear(cluster):
    return Hearing(cluster)


def busy(cluster, token):
    """A request that takes three seconds: a list of a revision that is still to come."""
    path = f"{NODES}?resourceVersion=999999999"
    thread = threading.Thread(target=cluster.ask, args=("GET", path), kwargs={"token": token})
    thread.start()
    return thread


def refused(cluster, token):
    """The first answer that is 429, while others are busy."""
    threads = [busy(cluster, token) for _ in range(4)]
    try:
        return wait_for(lambda: next(a for a in [cluster.ask("GET", f"{NODES}/n1", token=token)] if a[0] == 429), 10, "429")
    finally:
        for thread in threads:
            thread.join()


def account(cluster):
    """A token of the account that is deployed, whose rights are those of the manifest."""
    cluster.kubectl("apply", "-k", cluster.kustomization(CONFIG))
    return cluster.account_token()


def test_of_those_who_may_not(cluster, hear):
    cluster.start()
    cluster.add_node("n1", "10.5.1.0/24")
    token = account(cluster)
    hear("stranger", "GET", NODES, token="of-whom")
    hear("anonymous", "GET", NODES, token=None)
    hear("denied-list", "GET", NODES, token="of-nobody")
    hear("denied-watch", "GET", f"{WATCH}&resourceVersion=1", token="of-nobody")
    patch = {"metadata": {"annotations": {"flannel.alpha.coreos.com/kube-subnet-manager": "true"}}}
    hear("denied-patch", "PATCH", f"{NODES}/n1", patch, token=token, content_type=STRATEGIC)
    hear("denied-pods", "GET", "/api/v1/namespaces/kube-flannel/pods/x", token=token)
    hear("denied-write", "DELETE", f"{NODES}/n1", token=token)
    hear("absent", "GET", f"{NODES}/n2", token=token)
    hear("absent-patch", "PATCH", f"{NODES}/n2/status", patch, token=token, content_type=STRATEGIC)
    condition = {"type": "NetworkUnavailable", "status": "False", "reason": "FlannelIsUp", "message": "Flannel is running on this node"}
    # Of a node without any annotation none is taken away: what was to be removed stands there empty.
    cluster.add_node("bare", "10.5.9.0/24")
    nothing = {"metadata": {"annotations": {"flannel.alpha.coreos.com/public-ipv6": None}}}
    said = hear("patched-bare", "PATCH", f"{NODES}/bare/status", nothing, token=token, content_type=STRATEGIC)
    assert json.loads(said.body)["metadata"]["annotations"] == {"flannel.alpha.coreos.com/public-ipv6": ""}
    said = hear("patched", "PATCH", f"{NODES}/n1/status?fieldManager=flanneld", patch | {"status": {"conditions": [condition]}},
                token=token, content_type=STRATEGIC)  # fmt: skip
    node = json.loads(said.body)
    assert node["kind"] == "Node" and node["status"]["conditions"][-1]["reason"] == "FlannelIsUp"
    # The same once more changes nothing.
    again = cluster.ask("PATCH", f"{NODES}/n1/status", patch, token=token, content_type=STRATEGIC)
    assert json.loads(again[2])["metadata"]["resourceVersion"] == node["metadata"]["resourceVersion"]


def test_of_lists_and_watches(cluster, hear):
    cluster.start()
    for n in (1, 2, 3):
        cluster.add_node(f"n{n}", f"10.5.{n}.0/24")
    page = hear("list-page", "GET", f"{NODES}?limit=1")
    more = json.loads(page.body)["metadata"]["continue"]
    hear("list-ahead", "GET", f"{NODES}?resourceVersion=999999999")

    def changes():
        cluster.annotate("n1", public_ip="192.0.2.1")
        cluster.add_node("n4", "10.5.4.0/24")
        cluster.delete_node("n4")

    # Some seconds before the end there is a bookmark; then the server ends it in an orderly way.
    revision = json.loads(page.body)["metadata"]["resourceVersion"]
    path = f"{WATCH}&resourceVersion={revision}&timeoutSeconds=6"
    thread = threading.Thread(target=changes)
    thread.start()
    answer = cluster.ask("GET", path)
    thread.join()
    said = hear.compare("watch", f"GET {path}", answer)
    assert {one["type"] for one in kube_said.objects(said)} == {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"}
    # From the future it waits in silence.
    hear("watch-ahead", "GET", f"{WATCH}&resourceVersion=999999999&timeoutSeconds=3")
    # What is gone: a page of a list by its status, a watch by an event.
    hear.compact()
    wait_for(lambda: cluster.ask("GET", f"{NODES}?limit=1&continue={more}")[0] == 410, 10, "the page is gone")
    hear("list-expired", "GET", f"{NODES}?limit=1&continue={more}")
    # A server that has just started remembers nothing of before.
    cluster.end("kube-apiserver")
    cluster.start()
    hear("watch-expired", "GET", f"{WATCH}&resourceVersion=1&timeoutSeconds=5")


def test_without_a_cache(cluster, hear):
    """As one that has it off for nodes; etcd's own word reaches who watches."""
    cluster.start("--watch-cache=false")
    cluster.add_node("n1", "10.5.1.0/24")
    cluster.heartbeat("n1", 3)
    hear.compact()
    hear("watch-expired-uncached", "GET", f"{WATCH}&resourceVersion=1")


def test_too_many_requests(cluster, hear):
    cluster.start()
    token = account(cluster)
    cluster.end("kube-apiserver")
    cluster.start("--max-requests-inflight=1", "--enable-priority-and-fairness=false")
    cluster.add_node("n1", "10.5.1.0/24")
    hear.compare("too-many", f"GET {NODES}/n1", refused(cluster, token))


def test_priority_and_fairness(cluster, hear):
    cluster.start("--max-requests-inflight=10", "--max-mutating-requests-inflight=10")
    cluster.add_node("n1", "10.5.1.0/24")
    token = account(cluster)
    api = "/apis/flowcontrol.apiserver.k8s.io/v1beta1"
    level = {"type": "Limited", "limited": {"assuredConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}
    subject = {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-flannel", "name": "flannel"}}
    rule = {"subjects": [subject], "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True}]}
    cluster.change("POST", f"{api}/prioritylevelconfigurations", {"metadata": {"name": "narrow"}, "spec": level})
    flow = {"priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 2, "rules": [rule]}
    cluster.change("POST", f"{api}/flowschemas", {"metadata": {"name": "narrow"}, "spec": flow})
    hear.compare("too-many-by-priority", f"GET {NODES}/n1", refused(cluster, token))


def test_while_it_starts(cluster):
    """Who asks a server that has just come up may be refused for a moment, whatever his rights: nothing that is for ever."""
    cluster.start()
    cluster.add_node("n1", "10.5.1.0/24")
    token = account(cluster)
    cluster.end("kube-apiserver")
    seen = {}

    def ask():
        try:
            status, _, text = cluster.ask("GET", f"{NODES}/n1", token=token, timeout_s=2)
        except OSError as e:
            status, text = 0, type(e).__name__
        seen.setdefault((status, text[:300]), len(seen))
        return status == 200

    thread = threading.Thread(target=lambda: wait_for(ask, 120, "an answer"))
    thread.start()
    cluster.start()
    thread.join()
    assert {status for status, _ in seen} <= {0, 200, 401, 403, 500, 503}, seen
    print(json.dumps([[*key] for key in seen]))


def test_who_is_admin(cluster):
    """The rights of the manifest are all that its account has."""
    cluster.start()
    cluster.add_node("n1", "10.5.1.0/24")
    account(cluster)
    who = "--as=system:serviceaccount:kube-flannel:flannel"
    may = cluster.kubectl("auth", "can-i", "--list", who)
    rows = sorted(line.split(" ")[0] + " " + line[line.rindex("[") :] for line in may.splitlines()[1:] if line.split(" ")[0].startswith(("nodes", "pods", "*", "secrets")))
    assert rows == ["nodes [get list watch]", "nodes/status [patch]"], may
