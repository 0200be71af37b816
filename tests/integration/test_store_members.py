# SPDX-License-Identifier: Apache-2.0
"""The members of etcd's cluster change under the daemon's feet: one that learns, one that is promoted, one that leaves."""

import re

from etcd import PREFIX, Member
from fabric import APART
from faults import by_both
from netns import wait_for
from witness import made_up_lease


def member_id(etcd, member):
    lines = etcd.etcdctl("member", "list").splitlines()
    return next(line.split(",")[0] for line in lines if f"{member.peer}," in line)


def add_learner(lab):
    etcd = lab.etcd
    learner = Member(etcd, len(etcd.members) + 1)
    etcd.etcdctl("member", "add", learner.name, "--learner", f"--peer-urls={learner.peer}", endpoints=etcd.members[0].endpoint)
    etcd.members.append(learner)
    learner.start("--initial-cluster-state", "existing")
    wait_for(lambda: etcd.api("/v3/maintenance/status", {}, member=learner).get("isLearner"), 20, "it learns")
    return learner


def promote(etcd, learner, by):
    """Until its log is that of the others it is refused."""

    def promoted():
        try:
            etcd.etcdctl("member", "promote", number, endpoints=by.endpoint)
        except AssertionError as e:
            assert "in sync" in str(e), e
            return False
        return True

    number = member_id(etcd, learner)
    wait_for(promoted, 20, "it is promoted")


@by_both
def test_a_learner_is_not_asked_and_a_member_that_left_is_named(lab, transport):
    # Otherwise a member must have been there for five seconds before another may go.
    etcd = lab.start_etcd(arguments=["--strict-reconfig-check=false"])
    first = etcd.members[0]
    lab.configure(APART)
    learner = add_learner(lab)
    daemon = lab.host().start_daemon(etcd_endpoints=f"{learner.endpoint},{first.endpoint}")
    daemon.wait_ok()
    refused, used = daemon.status()["store"]["endpoints"]
    assert used["current"] and used["errors"] == 0 and used["transport"] == refused["transport"] == transport
    assert "learner" in refused["last_error"]
    promote(etcd, learner, first)
    etcd.etcdctl("member", "remove", member_id(etcd, first), endpoints=learner.endpoint)
    wait_for(lambda: not first.running, 20, "who is no member any more ends")
    etcd.members.remove(first)
    key, value = made_up_lease(1)
    wait_for(lambda: etcd.put(PREFIX + key, value), 20, "the member that stayed takes a write")
    lab.wait_equal(1)
    daemon.wait_ok(20)

    def moved():
        used, left = daemon.status()["store"]["endpoints"]
        assert used["current"] and re.search("refused|closed|reset", left["last_error"]), left
        return True

    wait_for(moved, 10, "the other one is asked from now on")
