# SPDX-License-Identifier: Apache-2.0
"""Rules of others that stop our packets are found and named, rules that do not are left in peace: pings are the witness."""

import pytest

from netns import stays, wait_for

FORWARD = "type filter hook forward priority filter; policy"
INPUT = "type filter hook input priority filter; policy"
KUBE = [
    "-N KUBE-FORWARD",
    "-A FORWARD -m comment --comment 'kubernetes forwarding rules' -j KUBE-FORWARD",
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
    "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
    "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
]
FIREWALLD = """table inet firewalld {
    chain filter_FWD_public { reject with icmpx admin-prohibited; }
    chain filter_FORWARD_ZONES { iifname "eth0" goto filter_FWD_public; goto filter_FWD_public; }
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        ip6 daddr { ::/96, ::ffff:0.0.0.0/96 } reject with icmpv6 admin-prohibited
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }
}"""

# nft rules that stop containers, and what the problem says.
STOP_FORWARD = {
    "policy": (f"table inet mine {{ chain passing {{ {FORWARD} drop; }}; }}", "chain passing of table inet mine, whose policy is drop"),
    "terminal drop": (f"table ip mine {{ chain passing {{ {FORWARD} accept; drop; }}; }}", "chain passing of table ip mine, rule 1 (handle"),
    "reject behind accepts": (
        f"table inet mine {{ chain passing {{ {FORWARD} accept; ct state established,related accept; tcp dport 22 accept;"
        ' iif lo accept; ip saddr 10.9.0.0/16 accept; iifname "docker0" accept; reject; }; }',
        "rule 6",
    ),
    "by subnet": (f"table inet mine {{ chain passing {{ {FORWARD} accept; ip daddr 10.5.0.0/16 drop; }}; }}", "rule 1"),
    "by device": (f"table inet mine {{ chain passing {{ {FORWARD} accept; oifname \"flannel*\" drop; }}; }}", "rule 1"),
    "in a chain jumped to": (
        f"table inet mine {{ chain deny {{ return; }}; chain passing {{ {FORWARD} accept; jump deny; jump last; }}; "
        "chain last { ip saddr 10.0.0.0-10.255.255.255 goto end; }; chain end { drop; }; }",
        "chain end of table inet mine",
    ),
    "firewalld": (FIREWALLD.replace("{ established, related }", "established,related").replace("{ ::/96, ::ffff:0.0.0.0/96 }", "::/96"), "firewall-cmd --permanent --zone=trusted --add-source=10.5.0.0/16"),
    "raw": ("table ip mine { chain pre { type filter hook prerouting priority raw; policy accept; iifname flannel.1 drop; }; }", "chain pre"),
}
# ... and that do not.
PASS_FORWARD = {
    "policy with an accept": f"table inet mine {{ chain passing {{ {FORWARD} drop; ip saddr 10.5.0.0/16 accept; ip daddr 10.5.0.0/16 accept; }}; }}",
    "accept by device": f"table inet mine {{ chain passing {{ {FORWARD} drop; iifname flannel.1 accept; oifname flannel.1 accept; }}; }}",
    "accept in a chain": f"table ip mine {{ chain ok {{ ip daddr 10.0.0.0/8 accept; }}; chain passing {{ {FORWARD} drop; jump ok; }}; }}",
    "another's drop": f"table inet mine {{ chain passing {{ {FORWARD} accept; ip saddr 10.9.0.0/16 drop; iifname eth9 drop; tcp dport 25 drop; ct state invalid drop; }}; }}",
    "a set that has us": f"table inet mine {{ set ours {{ type ipv4_addr; flags interval; elements = {{ 10.5.0.0/16 }}; }}; chain passing {{ {FORWARD} drop; ip saddr @ours accept; }}; }}",
}


class World:
    def __init__(self, lab, **flags):
        lab.start_etcd()
        lab.configure()
        self.lab = lab
        self.h1, self.h2 = lab.hosts(2)
        for host in (self.h1, self.h2):
            host.start_daemon(ready=False, iptables_resync=1, **flags)
        for host in (self.h1, self.h2):
            host.daemon.wait_peers(1)
            host.daemon.wait_ok()
        self.c1, self.c2 = self.h1.container(), self.h2.container()

    def pings(self):
        return self.c1.namespace.run("ping", "-c1", "-W1", self.c2.address, check=False).returncode == 0

    def problem(self, name):
        return next((p["text"] for p in self.h1.daemon.status()["problems"] if p["name"] == name), "")

    def no_problem(self):
        assert self.pings()
        stays(lambda: not self.h1.daemon.problems(), 1.5, "no problem is claimed")


@pytest.fixture
def world(lab):
    return World(lab)


@pytest.mark.slow
def test_forwarding(world):
    for name, (rules, said) in STOP_FORWARD.items():
        world.h1.namespace.nft(rules)
        text = wait_for(lambda: world.problem("forward-blocked"), 5, f"{name}: forward-blocked")
        assert said in text, name
        assert not world.pings(), name
        world.h1.namespace.nft(f"delete table {rules.split('{')[0].split(maxsplit=1)[1]}")
        world.h1.daemon.wait_ok()
    assert world.pings()


@pytest.mark.parametrize("name", PASS_FORWARD)
def test_forwarding_passes(world, name):
    world.h1.namespace.nft(PASS_FORWARD[name])
    world.no_problem()


def test_remedy_helps(world):
    """The line that the problem names opens the way."""
    world.h1.namespace.nft(STOP_FORWARD["reject behind accepts"][0])
    text = wait_for(lambda: world.problem("forward-blocked"), 5, "forward-blocked")
    line = text.split("to open it: ")[1].split(", and the same")[0]
    for command in (line, line.replace("saddr", "daddr")):
        world.h1.namespace.run(*command.split())
    world.h1.daemon.wait_ok()
    world.no_problem()


@pytest.mark.parametrize("kind", ["iptables", "iptables-legacy"])
@pytest.mark.parametrize("shape", ["reject", "ufw", "kube"])
def test_iptables(lab, kind, shape):
    """What stops us in FORWARD, whatever the policy: the rules move to iptables, and the jump to them before it."""
    world = World(lab)
    ns = world.h1.namespace
    if ns.run(kind, "-S", check=False).returncode:
        pytest.skip(f"{kind} does not work here")
    rules = {
        "reject": ["-A FORWARD -j REJECT --reject-with icmp-host-prohibited"],
        "ufw": ["-N ufw-reject-forward", "-A ufw-reject-forward -j REJECT", "-A FORWARD -m comment --comment x -j ufw-reject-forward", "-P FORWARD DROP"],
        "kube": [*KUBE, "-P FORWARD DROP"],
    }[shape]
    ns.run(kind, "-A", "FORWARD", "-i", "eth9", "-j", "DROP")  # stands where it is
    for rule in rules:
        ns.run("sh", "-c", f"{kind} {rule}")
    world.h1.daemon.wait_status(lambda s: s["traffic"]["mode"] == "iptables" and s["traffic"]["ok"])
    wait_for(world.pings, 5, "containers reach each other")
    world.no_problem()
    lines = [line for line in ns.run(kind, "-S", "FORWARD").splitlines() if line.startswith("-A")]
    assert "eth9" in lines[0] and sum("flannel.1-FWD" in line for line in lines) == 1
    # Somebody puts one before our jump: it moves again.
    ns.run(kind, "-I", "FORWARD", "-j", "REJECT")
    wait_for(lambda: "flannel.1-FWD" in ns.run(kind, "-S", "FORWARD").splitlines()[1], 5, "the jump is first")
    wait_for(world.pings, 5, "containers reach each other")
    world.no_problem()
    writes = world.h1.daemon.metric("flannel_rules_writes_total")
    stays(lambda: world.h1.daemon.metric("flannel_rules_writes_total") == writes, 2, "nothing more is written")


STOP_INPUT = {
    "nft": ([f"nft add table inet mine {{ chain in {{ {INPUT} drop; iif lo accept; ct state established,related accept; tcp dport 22 accept; }}; }}"], "nft insert rule inet mine in udp dport 8472 accept"),
    "iptables": (["iptables -A INPUT -i lo -j ACCEPT", "iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "iptables -A INPUT -p tcp -m multiport --dports 22,2379 -j ACCEPT", "iptables -A INPUT -j REJECT"], "iptables -I INPUT -p udp --dport 8472 -j ACCEPT"),
    "legacy": (["iptables-legacy -A INPUT -p tcp -j ACCEPT", "iptables-legacy -P INPUT DROP"], "iptables-legacy -I INPUT -p udp --dport 8472 -j ACCEPT"),
}


@pytest.mark.parametrize("kind", STOP_INPUT)
def test_input(world, kind):
    commands, remedy = STOP_INPUT[kind]
    for command in commands:
        if world.h1.namespace.run("sh", "-c", command.replace("{", "'{'").replace("}", "'}'").replace(";", "';'"), check=False).returncode:
            pytest.skip(f"{kind} does not work here")
    text = wait_for(lambda: world.problem("input-blocked"), 5, "input-blocked")
    assert text.endswith(remedy)
    assert not world.pings()
    world.h1.namespace.run(*remedy.split())
    world.h1.daemon.wait_ok()
    world.no_problem()


def test_output(world):
    world.h1.namespace.nft("add table inet mine { chain out { type filter hook output priority 0; udp dport 8472 drop; }; }")
    wait_for(lambda: "chain out of table inet mine, rule 1" in world.problem("output-blocked"), 5, "output-blocked")
