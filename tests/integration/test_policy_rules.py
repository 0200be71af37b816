# SPDX-License-Identifier: Apache-2.0
"""Policy rules of others (ip rule) that take packets past our routes: named with the rule, and over when it is gone."""

import pytest

import fabric
from netns import stays, wait_for

CONFIG = fabric.CONFIG | fabric.IPV6


@pytest.fixture
def pair(lab):
    """Two hosts with a container each."""
    lab.start_etcd()
    lab.configure(CONFIG)
    h1, h2 = lab.hosts(2, daemons=True)
    h1.daemon.wait_peers(1)
    return h1, h2, h1.container(), h2.container()


def diverted(host):
    return next((p["text"] for p in host.daemon.status()["problems"] if p["name"] == "packets-diverted"), "")


# The rule, what else it takes, words of the problem.
RULES = {
    "prohibited": ("rule add to 10.5.0.0/16 prohibit pref 100", [], "100: from all to 10.5.0.0/16 prohibit"),
    "a VPN's table": (
        "rule add pref 5210 lookup 52",
        ["route add 10.0.0.0/8 dev eth0 table 52"],
        "go to eth0, and not where our route sends them, for the sake of a rule that is not ours: 5210: from all lookup 52",
    ),
    "source routing": ("rule add from 10.5.0.0/16 lookup 77 pref 90", ["route add blackhole default table 77"], "packets of containers"),
    "by interface": ("rule add iif cni0 blackhole pref 80", [], "packets of containers"),
    "IPv6": ("-6 rule add to fd10:5::/48 unreachable pref 100", [], "to fd10:5::/48 unreachable"),
}


@pytest.mark.parametrize("what", RULES)
def test_a_rule_that_takes_packets_elsewhere_is_named(lab, pair, what):
    h1 = pair[0]
    rule, besides, words = RULES[what]
    h1.namespace.ip_batch(besides)
    h1.namespace.ip_do(rule)
    wait_for(lambda: words in diverted(h1), 3, f"{words!r} in the problem")
    assert h1.daemon.logged("packets-diverted")
    h1.namespace.ip_do(rule.replace("rule add", "rule del"))
    wait_for(lambda: not h1.daemon.problems(), 3, "it is over")


def test_rules_that_change_nothing_for_us(lab, pair):
    """wg-quick's, Tailscale's, a table for marked packets: the host has them, and all is well."""
    h1 = pair[0]
    h1.namespace.ip_batch(
        [
            "route add default via 192.0.2.254 table 51820",
            "rule add not fwmark 51820 lookup 51820 pref 200",
            "rule add lookup main suppress_prefixlength 0 pref 199",
            "rule add fwmark 0x80000/0xff0000 unreachable pref 5250",
            "rule add to 100.64.0.0/10 lookup 52 pref 5270",
        ]
    )
    stays(lambda: not h1.daemon.problems(), 0.5, "nothing is wrong")
    lab.wait_equal()
