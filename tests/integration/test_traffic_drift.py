# SPDX-License-Identifier: Apache-2.0
"""Whatever somebody changes about our table is noticed and undone: nft is the vandal, and the witness."""

import re

import pytest

from fabric import DUAL
from netns import wait_for
from traffic import seen

TABLE = "inet flannel.1"


def table(host):
    """What nft shows of the table, without what was counted."""
    text = host.namespace.run("nft", "list", "table", *TABLE.split())
    return re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", text)


def instead(old, new):
    """The table is written anew with this text for that one (an expression), in the first place."""

    def alter(host):
        text, count = re.subn(old, new, table(host), count=1)
        assert count, f"{old!r} in\n{text}"
        return f"delete table {TABLE}\n{text}"

    return alter


def command(text):
    return lambda host: text


def at_rule(words, what):
    """A command about the first rule that has these words, in its chain."""

    def alter(host):
        chain, words_in_chain = words
        listed = host.namespace.run("nft", "-a", "list", "chain", *TABLE.split(), chain)
        line = next(line for line in listed.splitlines() if words_in_chain in line)
        return what.format(rule=f"{TABLE} {chain}", handle=line.split("# handle ")[1], text=line.split(" # ")[0].strip())

    return alter


MARK = r'comment "flanneld [^"]*"'
GUARD = "type filter hook prerouting priority raw; policy accept;"
ADDRESSES = "set fabric-peers {\n\t\ttype ipv4_addr"
# What is done to the text of the table, and what the log says then.
ACTS = {
    "dormant": (instead(MARK, r"\g<0>\n flags dormant"), "is dormant"),
    "another mark": (instead(MARK, 'comment "somebody"'), "another mark"),
    "no mark": (instead(MARK, ""), "another mark"),
    "priority": (instead(GUARD, GUARD.replace("raw;", "raw + 5;")), "fabric-guard has another hook or priority"),
    "hook": (instead(GUARD, GUARD.replace("prerouting", "input")), "fabric-guard has another hook or priority"),
    "policy": (instead(GUARD, GUARD.replace("accept", "drop")), "fabric-guard has another policy"),
    "no base chain": (instead(GUARD, ""), "fabric-guard has another type"),
    "chain more": (command(f"add chain {TABLE} mine"), "something more"),
    "set more": (command(f"add set {TABLE} mine {{ type ipv4_addr; }}"), "something more"),
    "map more": (command(f"add map {TABLE} mine {{ type ipv4_addr : verdict; }}"), "something more"),
    "quota more": (command(f"add quota {TABLE} mine {{ over 10 bytes }}"), "something more"),
    "counter more": (command(f"add counter {TABLE} mine"), "something more"),
    "timeout": (instead(ADDRESSES, ADDRESSES + "\ntimeout 1h"), "fabric-peers has another flags"),
    "may time out": (instead(ADDRESSES, ADDRESSES + "\nflags timeout"), "fabric-peers has another flags"),
    "intervals": (instead(ADDRESSES, ADDRESSES + "\nflags interval"), "fabric-peers has another flags"),
    "constant": (instead(ADDRESSES, ADDRESSES + "\nflags constant"), "fabric-peers has another flags"),
    "dynamic": (instead(ADDRESSES, ADDRESSES + "\nflags dynamic"), "fabric-peers has another flags"),
    "size": (instead(ADDRESSES, ADDRESSES + "\nsize 100"), "fabric-peers has another size"),
    "statement": (instead(ADDRESSES, ADDRESSES + "\ncounter"), "fabric-peers has another statement"),
    "policy of a set": (instead(ADDRESSES, ADDRESSES + "\npolicy memory"), "fabric-peers has another policy"),
    "rule more": (command(f"add rule {TABLE} fabric-inner ip saddr 192.0.2.1 accept"), "fabric-inner has a rule more"),
    "first rule": (command(f"insert rule {TABLE} fabric-guard accept"), "fabric-guard has another rule"),
    "rule less": (at_rule(("fabric-inner", "127.0.0.0/8"), "delete rule {rule} handle {handle}"), "fabric-inner has another rule"),
    "last rule less": (
        at_rule(("fabric-guard", '"flannel-v6.1"'), "delete rule {rule} handle {handle}"),
        "fabric-guard lacks a rule",
    ),
    "rule altered": (
        at_rule(("fabric-inner", "127.0.0.0/8"), "replace rule {rule} handle {handle} ip saddr 127.0.0.0/9 drop"),
        "fabric-inner has another rule",
    ),
    "rule moved": (
        at_rule(("fabric-tunnel", "@container-devices"), "delete rule {rule} handle {handle}\nadd rule {rule} {text}"),
        "fabric-tunnel has another rule",
    ),
    "statement in a rule": (
        at_rule(("fabric-tunnel", "@container-devices"), "replace rule {rule} handle {handle} counter {text}"),
        "fabric-tunnel has another rule",
    ),
    "verdict": (
        at_rule(("fabric-guard", "8472"), "replace rule {rule} handle {handle} th dport 8472 accept"),
        "fabric-guard has another rule",
    ),
    "masquerade of another kind": (instead("masquerade fully-random", "masquerade"), "fabric-"),
    "another comment": (
        at_rule(
            ("fabric-tunnel", "@container-devices"),
            'replace rule {rule} handle {handle} iifname @container-devices counter name guard-dropped drop comment "mine"',
        ),
        "fabric-tunnel has another comment of a rule",
    ),
    "counter gone": (
        lambda host: f"delete table {TABLE}\n"
        + re.sub(r"counter guard-dropped \{[^}]*\}", "", table(host)).replace('counter name "guard-dropped" ', ""),
        "counter guard-dropped is missing",
    ),
}


def test_every_property_is_compared(lab):
    """Behind the daemon's back, and found when it starts: so that no act waits for the pace of the last one's end."""
    lab.start_etcd()
    lab.configure(DUAL)
    (host,) = lab.hosts(1, daemons=True, ip_masq=True)
    whole = table(host)
    for name, (act, reason) in ACTS.items():
        host.daemon.kill()
        host.namespace.nft(act(host))
        host.daemon.start().wait_ready()
        host.daemon.wait_status(lambda s: s["traffic"]["ok"], what=f"{name}: rules stand")
        assert table(host) == whole, name
        assert reason in re.findall("rules-made: (.*);", host.daemon.log())[-1], name
        host.daemon.restart()
        host.daemon.wait_status(lambda s: s["traffic"]["ok"])
        assert host.daemon.metric("flannel_rules_writes_total") == 0, name


@pytest.mark.parametrize(
    "act, reason",
    [
        (f"add table {TABLE} {{ flags dormant; }}", "is dormant"),
        (f"add chain {TABLE} fabric-postrtg {{ policy drop; }}", "another policy"),
        (f"add set {TABLE} fabric-peers {{ type ipv4_addr; size 5; }}", "another size"),
        (f"add chain {TABLE} mine", "something more"),
        (f"insert rule {TABLE} fabric-postrtg return", "has another rule"),
        (f"flush chain {TABLE} fabric-inner", "lacks a rule"),
    ],
)
def test_what_is_changed_in_place_is_undone_at_once(lab, act, reason):
    lab.start_etcd()
    lab.configure(DUAL)
    (host,) = lab.hosts(1, daemons=True, ip_masq=True)
    container = host.container()
    whole = table(host)
    outside = lab.underlay
    assert seen(container.namespace, "192.0.2.254", outside) == host.address
    host.namespace.nft(act)
    wait_for(lambda: table(host) == whole, 2, "the table is as it was")
    assert host.daemon.logged(rf"{reason}.*, by nft \(pid \d+\); table flannel.1 is put back")
    assert host.daemon.metric("flannel_rules_healed_total") == 1
    assert seen(container.namespace, "192.0.2.254", outside) == host.address
