# SPDX-License-Identifier: Apache-2.0
"""The faults of the soak, one function each: a generator that begins the fault, yields while it lasts, and ends it.

    @fault("store", harmless=True)
    def store_stopped(world, dice): ...

harmless: no packet between containers may be lost for it, whatever else it harms. Of faults of one group (who starts and
stops the same) a round has one; "memory" is what tells a host which subnet it had: its own files, or else the store. A
fault takes all that is random from `dice`, so that seed and round say everything.
"""

import collections
import contextlib
import json
import pathlib
import signal

import pytest

from etcd import PREFIX
from fabric import DUAL
from netns import run
from test_vandal import Victim
from witness import lease_value

FAULTS = []
BIG_FILE = 64 << 20
KEPT_ROUTES = ("10.5.254.0/24", "fd10:5:0:ffff::/64")  # of others, see test_vandal.neighbours_of_ours


Fault = collections.namedtuple("Fault", "name begin harmless weight groups")


def fault(*groups, harmless, weight=1):
    def register(function):
        FAULTS.append(Fault(function.__name__.replace("_", " "), function, harmless, weight, set(groups)))
        return function

    return register


# ---- the daemon


@fault("daemon", harmless=True, weight=3)
def daemon_killed(world, dice):
    """SIGKILL, away for a while, back; or killed again and again while it starts."""
    daemon = dice.choice(world.mortal)
    daemon.kill()
    if dice.random() < 0.5:
        for _ in range(dice.randrange(1, 6)):
            daemon.start().kill_after(dice.uniform(0, 0.2))
        daemon.start()
        yield 2
    else:
        yield dice.uniform(0, 20)
        daemon.start()


@fault("daemon", harmless=True)
def all_daemons_killed(world, dice):
    for daemon in world.mortal:
        daemon.kill()
    yield dice.uniform(0, 15)
    for daemon in world.mortal:
        daemon.start()


@fault("daemon", harmless=True, weight=2)
def daemon_restarted(world, dice):
    daemon = dice.choice(world.mortal)
    assert daemon.stop() == 0, f"{daemon.name} ends with {daemon.process.returncode}"
    yield dice.uniform(0, 5)
    daemon.start()


@fault("daemon", harmless=True, weight=2)
def daemon_stopped_by_a_signal(world, dice):
    """SIGSTOP while leases come and go and somebody removes routes that no container needs."""
    daemon = dice.choice(world.daemons)
    daemon.signal(signal.SIGSTOP)
    keys = world.put_made_up(dice, 20)
    yield dice.uniform(1, 42)
    world.delete(keys)
    daemon.signal(signal.SIGCONT)


@fault("daemon", "memory", harmless=True)
def daemon_without_its_state(world, dice):
    """Node id, last known state and subnet.env are gone when it starts again."""
    daemon = dice.choice(world.mortal)
    daemon.stop()
    for file in (*pathlib.Path(daemon.flags["state_dir"]).glob("*"), daemon.subnet_file):
        file.unlink(missing_ok=True)
    yield dice.uniform(0, 2)
    daemon.start()


@fault("daemon", harmless=True)
def masquerading_changed(world, dice):
    daemon = dice.choice(world.mortal)
    daemon.stop()
    daemon.flags["ip_masq"] = not daemon.flags.get("ip_masq", False)
    daemon.start()
    yield 2


# ---- its files and its clock


@fault("disk", harmless=True)
def disk_full(world, dice):
    daemon = dice.choice(world.daemons)
    filler = pathlib.Path(daemon.flags["state_dir"], "filler")
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.tell() < BIG_FILE:
            file.write(bytes(4096))
    keys = world.put_made_up(dice, 5)
    yield dice.uniform(5, 40)
    filler.unlink()
    world.delete(keys)


@fault("disk", harmless=True)
def directory_read_only(world, dice):
    daemon = dice.choice(world.daemons)
    directory = daemon.flags["state_dir"]
    run("mount", "-o", "remount,ro", directory)
    keys = world.put_made_up(dice, 5)
    yield dice.uniform(5, 40)
    run("mount", "-o", "remount,rw", directory)
    world.delete(keys)


@fault("daemon", harmless=True)
def files_may_not_grow(world, dice):
    daemon = dice.choice(world.daemons)
    run("prlimit", "--pid", daemon.pid, "--fsize=10:")
    keys = world.put_made_up(dice, 5)
    yield dice.uniform(5, 20)
    run("prlimit", "--pid", daemon.pid, "--fsize=unlimited:")
    world.delete(keys)


@fault("disk", harmless=True)
def subnet_file_deleted(world, dice):
    daemon = dice.choice(world.daemons)
    daemon.subnet_file.unlink(missing_ok=True)
    yield 1


@fault(harmless=True)
def clock_moved(world, dice):
    if not world.clock:
        return
    world.clock.write_text(str(dice.choice((3600, -3600, 315360000, -315360000))))
    yield dice.uniform(2, 20)
    world.clock.write_text("0")


# ---- the store


@fault("store", harmless=True, weight=2)
def member_killed(world, dice):
    member = dice.choice(world.etcd.members)
    member.kill()
    yield dice.uniform(1, 30)
    member.start()


@fault("store", harmless=True, weight=2)
def member_stopped_by_a_signal(world, dice):
    member = dice.choice(world.etcd.members)
    member.pause()
    yield dice.uniform(1, 45)
    member.resume()


@fault("store", harmless=True, weight=2)
def store_away(world, dice):
    world.etcd.kill()
    yield dice.uniform(5, 60)
    world.etcd.start()


@fault("store", "memory", harmless=True)
def store_wiped(world, dice):
    """Another cluster under the same addresses; the configuration is put back at once or a little later."""
    world.etcd.wipe()
    yield dice.choice((0, 5))
    world.configure()


@fault("store", "daemon", harmless=True, weight=2)
def store_compacted(world, dice):
    """While a daemon does not listen."""
    daemon = dice.choice(world.daemons)
    daemon.signal(signal.SIGSTOP)
    keys = world.put_made_up(dice, 30)
    yield dice.uniform(1, 35)
    world.delete(keys[:15])
    world.etcd.compact()
    daemon.signal(signal.SIGCONT)
    yield 2
    world.delete(keys)


@fault("store", harmless=True, weight=2)
def member_cut_off(world, dice):
    """Its packets are dropped without a word: half open connections."""
    member = dice.choice(world.etcd.members)
    member.cut_off(dice.choice(("tcp dport 2379 drop", "tcp dport 2379 reject with tcp reset", "tcp dport {2379,2380} drop")))
    yield dice.uniform(5, 45)
    member.reconnect()


@fault(harmless=True, weight=2)
def host_without_the_store(world, dice):
    host = dice.choice(world.hosts)
    how = dice.choice(("drop", "reject with tcp reset"))
    host.namespace.nft(f"table ip fault {{ chain out {{ type filter hook output priority 0; tcp dport 2379 {how}; }}; }}")
    yield dice.uniform(5, 45)
    # Another fault of the same round may have flushed all tables.
    host.namespace.run("nft", "delete", "table", "ip", "fault", check=False)


@fault("store", harmless=True, weight=2)
def leases_come_and_go(world, dice):
    keys = []
    for _ in range(dice.randrange(2, 12)):
        keys += world.put_made_up(dice, dice.randrange(1, 119))
        yield dice.uniform(0, 1)
        world.delete(dice.sample(keys, len(keys) // 2))
    world.delete(keys)


@fault("store", harmless=True)
def junk_in_the_store(world, dice):
    """Keys and values of no use, peers that want one MAC or one address, or what is a host's."""
    host = dice.choice(world.hosts)
    values = {
        "hello": "x", "10.5.9.0-24": "", "10.5.10.0-24": "[" * 40, "10.5.11.0-24": "a" * 100000,
        "10.9.1.0-24": lease_value("192.0.2.99", "0e:00:00:00:00:99"),
        "10.5.12.0-24": lease_value("192.0.2.98", host.vtep_mac() if host.link() else "0e:00:00:00:00:97"),
        "10.5.13.0-24": lease_value(host.address, "0e:00:00:00:00:96"),
        "10.5.0.0-17": lease_value("192.0.2.95", "0e:00:00:00:00:95"),
        "10.5.14.0-24": lease_value("127.0.0.1", "0e:00:00:00:00:94"),
    }  # fmt: skip
    world.witnessed = False  # the witness does not know who wins
    world.etcd.put_many((f"{PREFIX}/subnets/{key}", value) for key, value in values.items())
    yield dice.uniform(1, 15)
    world.delete(f"{PREFIX}/subnets/{key}" for key in values)
    world.witnessed = True


@fault("store", harmless=True)
def lease_rewritten(world, dice):
    """The same value again, and the same with its members in another order."""
    records = world.etcd.leases()
    for record in records:
        value = json.dumps(dict(reversed(list(record.json.items())))) if dice.random() < 0.5 else record.value
        world.etcd.put(record.key, value, record.lease)
    yield 2


@fault("store", "memory", harmless=True)
def own_lease_revoked(world, dice):
    """By an operator: the host claims the same subnet again."""
    record = dice.choice(world.etcd.leases())
    if record.lease:
        world.etcd.revoke(record.lease)
    yield 2


@fault("store", harmless=True)
def configuration_changed(world, dice):
    text = dice.choice(
        ("hello", None, DUAL | {"Network": "10.9.0.0/16"}, DUAL | {"SubnetLen": 25}, DUAL | {"Backend": {"Type": "pigeon"}})
    )
    if text is None:
        world.etcd.delete(f"{PREFIX}/config")
    else:
        world.etcd.set_config(text)
    yield dice.uniform(1, 10)
    world.configure()


# ---- the host


def takes_away_what_is_its_own(host):
    """What a vandal put in our place while no daemon saw it is somebody else's, and stays until he goes."""
    for family in ("-4", "-6"):
        for route in host.namespace.ip(family, "route", "show", "root", "fd10:5::/48" if family == "-6" else "10.5.0.0/16"):
            ours = str(route.get("dev")).startswith(("flannel", "cni0")) or route["dst"] in KEPT_ROUTES
            if not ours:
                kind = route.get("type", "unicast")
                host.namespace.run("ip", family, "route", "del", kind, route["dst"], check=False)
    for link in host.namespace.ip("link", "show"):
        if link["ifname"].startswith(("flannel", "mine")) and link["linkinfo"]["info_data"].get("id") == 77:
            host.namespace.run("ip", "link", "del", link["ifname"], check=False)


@fault(harmless=False, weight=8)
def vandal(world, dice):
    """Devices, routes, neighbours, FDB entries and addresses deleted, altered and added: see test_vandal.py."""
    host = dice.choice(world.hosts)
    for _ in range(dice.randrange(1, 6)):
        if not host.link() or not host.link("flannel-v6.1"):
            break
        # The daemon may be faster, or still at the act before, the store away, and the cable cut.
        with contextlib.suppress(AssertionError, OSError, pytest.fail.Exception):
            victim = Victim(world.lab, host)
            victim.run(dice.choice(victim.acts(dice))[1])
        yield dice.uniform(0, 2)
    takes_away_what_is_its_own(host)
    host.namespace.ip_do("link set eth0 up")
    host.fill_eth0()


@fault(harmless=False, weight=2)
def rules_deleted(world, dice):
    host = dice.choice(world.hosts)
    tables = host.namespace.run("nft", "list", "tables").split("\n")
    ours = [line for line in tables if "flannel" in line]
    victim = dice.choice(["flush ruleset", *(f"delete {line}" for line in ours), *(f"flush {line}" for line in ours)])
    host.namespace.run("nft", victim, check=False)
    yield dice.uniform(0, 5)


@fault(harmless=False)
def forwarding_off(world, dice):
    host = dice.choice(world.hosts)
    host.namespace.sysctl("net.ipv4.ip_forward", 0)
    yield dice.uniform(1, 10)
    host.namespace.sysctl("net.ipv4.ip_forward", 1)


@fault(harmless=False, weight=2)
def underlay_cut(world, dice):
    """No packet of this host arrives anywhere, for a while or again and again."""
    host = dice.choice(world.hosts)
    for _ in range(dice.choice((1, 1, 5))):
        world.lab.underlay.ip_do(f"link set h{host.number} down")
        yield dice.uniform(0.2, 15)
        world.lab.underlay.ip_do(f"link set h{host.number} up")
        yield 0.5
    world.lab.underlay.wait_forwarding(f"h{host.number}")


# ---- containers


@fault(harmless=True, weight=2)
def containers_come_and_go(world, dice):
    """A storm of ADD and DEL, some killed; then everything that is not a pod of ours is collected."""
    yield from world.pods[dice.choice(world.hosts)].storm(dice)


@fault(harmless=True)
def everybody_asks(world, dice):
    """Tools of the operator on all hosts at once."""
    commands = (["subnets"], ["status"], ["diff"], ["peers", "-o", "json"], ["subnets", "--store"], ["events"], ["sync"])
    started = [world.fabricctl(host, *dice.choice(commands)) for host in world.hosts for _ in range(6)]
    yield 3
    for process in started:
        assert process.wait(60) in range(10), process.args


def draw(dice, count):
    """So many that go together, the heavier the likelier."""
    left, drawn = list(FAULTS), []
    while left and len(drawn) < count:
        one = dice.choices(left, [fault.weight for fault in left])[0]
        drawn.append(one)
        left = [fault for fault in left if fault is not one and not fault.groups & one.groups]
    return drawn
