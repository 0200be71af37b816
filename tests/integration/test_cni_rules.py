# SPDX-License-Identifier: Apache-2.0
"""The static rules of the plugin's tables: altered by nft, seen by CHECK, mended by the next ADD."""

import re

import pytest
from cni_support import Host


@pytest.fixture
def host():
    with Host(ipmasq=False) as h:
        h.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/64", ipmasq=False)
        yield h


def nft(ns, command):
    ns.run("nft", command)


def static_rules(host):
    """The tables without elements; chains may stand in another order."""
    return sorted(re.sub(r"elements = {[^}]*}", "", host.ns.run("nft", "list", "ruleset")).splitlines())


def masquerade_chain(ns):
    return next(word for word in ns.run("nft", "list", "chains").split() if word.startswith("masq-"))


def alter_rule(ns, family, chain, words, rule):
    """Another rule in place of the first one with these words: their number stays."""
    listed = ns.run("nft", "-a", "list", "chain", family, "flannel-cni", chain)
    line = next(line for line in listed.splitlines() if words in line)
    nft(ns, f"replace rule {family} flannel-cni {chain} handle {line.split('# handle ')[1]} {rule}")


def alter_chain(ns, family, chain, old, new):
    """The chain is made anew with this text for that one."""
    text = ns.run("nft", "list", "chain", family, "flannel-cni", chain)
    assert old in text, text
    nft(ns, f"flush chain {family} flannel-cni {chain}\ndelete chain {family} flannel-cni {chain}\n{text.replace(old, new)}")


# What is done to the rules of all containers, in the host's namespace, and what CHECK says of it.
RULES_ALTERED = {
    "dormant": (lambda ns: nft(ns, "add table inet flannel-cni { flags dormant; }"), "table flannel-cni is dormant"),
    "dormant guard": (lambda ns: nft(ns, "add table bridge flannel-cni { flags dormant; }"), "table flannel-cni is dormant"),
    "a rule of no use": (
        lambda ns: alter_rule(ns, "inet", "postrouting", "@masq4", "ip saddr 192.0.2.1 accept"),
        "chain postrouting has another rule",
    ),
    "a guard of no use": (
        lambda ns: alter_rule(ns, "bridge", "prerouting", "@ports", "iifname @ports accept"),
        "chain prerouting has another rule",
    ),
    "an exception more": (
        lambda ns: alter_rule(ns, "inet", masquerade_chain(ns), "224.0.0.0/4", "ip daddr 0.0.0.0/0 return"),
        "has another rule",
    ),
    "another exception": (
        lambda ns: alter_rule(ns, "inet", masquerade_chain(ns), "10.5.17.0/24", "ip daddr 10.5.0.0/17 return"),
        "has another rule",
    ),
    "no masquerading": (
        lambda ns: alter_rule(ns, "inet", masquerade_chain(ns), "masquerade", "accept"),
        "has another rule",
    ),
    "policy": (lambda ns: nft(ns, "add chain bridge flannel-cni prerouting { policy drop; }"), "prerouting has another policy"),
    "priority": (
        lambda ns: alter_chain(ns, "bridge", "prerouting", "priority dstnat", "priority 300"),
        "prerouting has another hook or priority",
    ),
    "hook": (
        lambda ns: alter_chain(ns, "bridge", "prerouting", "hook prerouting priority dstnat", "hook postrouting priority 0"),
        "prerouting has another hook or priority",
    ),
    "priority of masquerading": (
        lambda ns: alter_chain(ns, "inet", "postrouting", "priority srcnat", "priority srcnat + 1"),
        "postrouting has another hook or priority",
    ),
}


@pytest.mark.parametrize("case", RULES_ALTERED)
def test_altered_rules_are_seen_by_check_and_mended_by_add(host, case):
    conf = host.flannel(delegate={"isDefaultGateway": True, "macspoofchk": True})
    ns, other = host.namespace(), host.namespace()
    result = host.add(conf, ns, id="first")
    whole = static_rules(host)
    damage, text = RULES_ALTERED[case]
    damage(host.ns)
    outcome = host.check(conf, ns, result, id="first")
    assert outcome.code == 105 and "rules of all containers" in outcome.message and text in outcome.message, outcome
    host.add(conf, other, id="second")
    assert host.check(conf, ns, result, id="first").ok
    assert static_rules(host) == whole
