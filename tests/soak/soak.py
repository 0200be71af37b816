# SPDX-License-Identifier: Apache-2.0
"""The soak: five hosts, three members of etcd, and one random fault after the other, for as long as is asked.

    SOAK=10m      how long: 90s, 10m, 1h, 72h; 5m unless told otherwise
    SOAK_SEED=n   the faults and their order; printed, so that a run can be repeated
    SOAK_CHURN=n  changes a second that a foreign program makes in the kernel of one host after the other; 10000
    SOAK_FROM=n   begins with this round of the seed

A round is one to three faults at once (acts.py). While they last and until all is well again containers ping each other
in both families, clients of every status server misbehave, and the promises are looked at (promises.py). A round whose
faults harm no data path loses no ping. In the end what each daemon uses is compared with what it used when it was warm.
Logs and this summary stay in the build directory. Exit status 1 if a promise was broken.
"""

import collections
import contextlib
import http.client
import os
import pathlib
import random
import sched
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration")]

import pytest  # noqa: E402

import acts  # noqa: E402
import netns  # noqa: E402
import test_vandal  # noqa: E402
from etcd import PREFIX, Etcd  # noqa: E402
from fabric import BUILD, DUAL, FABRICCTL, Lab  # noqa: E402
from ping import Pinger  # noqa: E402
from pods import Pods  # noqa: E402
from promises import Promises, rss_kb  # noqa: E402
from test_faults_host import CLOCK  # noqa: E402
from witness import made_up_lease  # noqa: E402

HOSTS, MEMBERS = 5, 3
HEAL_S = 120
LOOK_S = 2
WARM_S = 20
STILL_S = 5
PING_RATE = 10
LAST_PINGS = 800
CHURN = BUILD / "tests" / "soak" / "churn"
UNITS = {"s": 1, "m": 60, "h": 3600}
MADE_UP = range(1, 120)  # 10.5.2.0 to 10.5.120.0: hosts lease above
STATE_SIZE = "1m"


class World:
    """The laboratory, and what the faults need to know of it."""

    def __init__(self, lab, seed):
        self.lab = lab
        self.seed = seed
        self.witnessed = True  # leases say what the kernel must have
        self.devices = tuple(test_vandal.MTU)
        self.etcd = lab.etcd = Etcd(lab.underlay, lab.plug, lab.directory / "etcd", MEMBERS)
        self.etcd.arguments = []  # elections at their usual pace: this machine is busy
        lab.closers.callback(self.etcd.close)
        self.etcd.start()
        self.configure()
        self.clock = self._clock()
        self.hosts = lab.hosts(HOSTS)
        for host in self.hosts:
            self._daemon(host)
        for host in self.hosts:
            host.daemon.wait_ready(30)
        for host in self.hosts:
            host.daemon.wait_peers(HOSTS - 1, 30)
        self.daemons = [host.daemon for host in self.hosts]
        self.mortal = self.daemons[:-1]  # the last one lives all the time: memory is its
        self.subnets = {host: host.daemon.subnet() for host in self.hosts}
        self.pods = {host: Pods(host) for host in self.hosts}
        for pods in self.pods.values():
            lab.closers.callback(pods.close)
        self.clients = []
        self.churn = None
        self.churned = 0

    def _clock(self):
        source, library, shift = (self.lab.directory / n for n in ("clock.c", "clock.so", "shift"))
        source.write_text(CLOCK)
        shift.write_text("0")
        compiled = netns.run("gcc", "-shared", "-fPIC", "-o", library, source, check=False)
        return None if compiled.returncode else shift

    def _daemon(self, host):
        daemon = host.make_daemon()
        if self.clock:
            daemon.environment |= {"LD_PRELOAD": str(self.lab.directory / "clock.so"), "CLOCK_SHIFT": str(self.clock)}
        state = pathlib.Path(daemon.flags["state_dir"])
        state.mkdir()
        netns.run("mount", "-t", "tmpfs", "-o", f"size={STATE_SIZE}", "tmpfs", state)
        self.lab.closers.callback(netns.run, "umount", "-l", state, check=False)
        daemon.start()

    def configure(self):
        netns.wait_for(lambda: self.etcd.set_config(DUAL), 30, "the store takes the configuration")

    def put_made_up(self, dice, count):
        """Leases of peers that do not exist; returns their keys."""
        pairs = [made_up_lease(number) for number in dice.sample(MADE_UP, min(count, len(MADE_UP)))]
        with contextlib.suppress(OSError):  # the store is away: then nobody comes
            self.etcd.put_many((PREFIX + key, value) for key, value in pairs)
        return [PREFIX + key for key, _ in pairs]

    def delete(self, keys):
        """Those of the store's keys; what it does not take now `tidy` deletes."""
        with contextlib.suppress(OSError):
            self.etcd.delete_many(keys)

    def tidy(self):
        """The store as it should be, once it is there: a configuration, and leases of hosts only."""
        self.etcd.wait_healthy()
        self.configure()
        for record in self.etcd.leases():
            try:
                host = record.json["PublicIP"] in {host.address for host in self.hosts} and "Node" in record.json
            except (ValueError, LookupError, TypeError):
                host = False
            if not host:
                self.etcd.delete(record.key)
        self.witnessed = True

    def fabricctl(self, host, *args):
        flags = [f"--{n}={host.daemon.flags[n.replace('-', '_')]}" for n in ("etcd-endpoints", "state-dir", "socket")]
        return host.namespace.popen(
            FABRICCTL, *args, "--config-file=/dev/null", *flags, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    # ---- what goes on all the time

    def start_clients(self):
        for host in self.hosts:
            argv = [sys.executable, str(HERE / "clients.py"), str(host.daemon.socket_path), f"{self.seed}{host.number}"]
            self.clients.append(host.namespace.popen(*argv))

    def end_clients(self):
        for client in self.clients:
            netns.end_process(client)
        self.clients = []

    def start_churn(self, host, rate):
        if rate:
            self.churn = host.namespace.popen(CHURN, rate, stdout=subprocess.PIPE, text=True)

    def end_churn(self):
        if self.churn:
            netns.end_process(self.churn, signal.SIGTERM)
            self.churned += int(self.churn.stdout.read() or 0)
            self.churn = None

    def pinger(self):
        flows = [
            (a.namespace, address)
            for one, mine in self.pods.items()
            for other, theirs in self.pods.items()
            if one is not other
            for a, b in [(mine.kept[0], theirs.kept[1])]
            for address in b.addresses
        ]
        return Pinger(flows, PING_RATE)


def told(daemon):
    """What a daemon says is wrong; misbehaving clients may keep it from answering."""
    if not daemon.running:
        return "not running"
    try:
        return [problem["text"] for problem in daemon.status()["problems"]]
    except (OSError, AssertionError, http.client.HTTPException) as e:
        return f"{type(e).__name__}: {e}"


class Soak:
    def __init__(self, world, seconds, churn):
        self.world = world
        self.promises = Promises(world)
        self.began = time.monotonic()
        self.ends = self.began + seconds
        self.churn_rate = churn
        self.counts = collections.Counter()
        self.healed = []
        self.harmless = self.harmful = 0  # rounds
        self.sent = self.lost = 0
        self.ending = False

    def say(self, text):
        seconds = int(time.monotonic() - self.began)
        print(f"[{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}] {text}", flush=True)

    def until_well(self, what):
        """Waits until all is well again; returns the seconds, or None."""
        start = time.monotonic()
        try:
            netns.wait_for(self.promises.look, HEAL_S, f"all is well after {what}")
        except pytest.fail.Exception:
            wrong = [
                f"{h.name}: {self.promises.difference(h) or 'equal'}, {self.promises.verdict(h.daemon)}, {told(h.daemon)}"
                for h in self.world.hosts
            ]
            self.promises.breaks("P3", f"not well {HEAL_S} s after {what}: {'; '.join(wrong)}")
            return None
        return time.monotonic() - start

    def play(self, faults, dice):
        """Runs these generators side by side to their ends, each step when the one before it says; looks meanwhile."""
        timetable = sched.scheduler()
        playing = len(faults)

        def step(name, fault):
            nonlocal playing
            try:
                timetable.enter(next(fault), 0, step, (name, fault))
                return
            except StopIteration:
                pass
            except (AssertionError, OSError, pytest.fail.Exception) as e:
                self.promises.breaks("fault", f"{name}: {type(e).__name__}: {e}")
            playing -= 1

        def look():
            if playing:
                self.promises.look()
                timetable.enter(LOOK_S, 1, look)

        for fault in faults:
            timetable.enter(0, 0, step, (fault.name, fault.begin(self.world, dice)))
        timetable.enter(0, 1, look)
        timetable.run()

    def mend(self):
        """Whatever a fault that broke off has left behind."""
        world = self.world
        for member in world.etcd.members:
            if not member.running:
                member.start()
            member.resume()
        for daemon in world.daemons:
            if not daemon.running:
                daemon.start()
            daemon.signal(signal.SIGCONT)
        world.tidy()

    def round(self, number):
        dice = random.Random(f"{self.world.seed}:{number}")
        faults = acts.draw(dice, dice.choice((1, 1, 1, 2, 2, 3)))
        names = ", ".join(fault.name for fault in faults)
        harmless = all(fault.harmless for fault in faults)
        self.counts.update(fault.name for fault in faults)
        self.world.start_churn(dice.choice(self.world.hosts), self.churn_rate)
        try:
            pinger = self.world.pinger()
            with pinger:
                self.play(faults, dice)
                self.mend()
                took = self.until_well(f"round {number} ({names})")
        except (AssertionError, pytest.fail.Exception) as e:
            self.promises.breaks("P3", f"round {number} ({names}): {e}")
            return
        finally:
            self.world.end_churn()
        self.promises.renumbered()
        if took is not None:
            self.healed.append(took)
        self.harmless += harmless
        self.harmful += not harmless
        self.sent += pinger.sent
        if harmless:
            self.lost += pinger.lost
            if pinger.lost:
                self.promises.breaks("P2", f"round {number} ({names}): {pinger.report()}")
        healed = "not well" if took is None else f"well after {took:.1f} s"
        self.say(f"round {number}: {names}; {healed}; {pinger.lost} of {pinger.sent} pings lost; "
                 f"{rss_kb(self.world.daemons[-1])} kB")

    def warm_up(self):
        """What grows once has grown: many peers, many clients."""
        world = self.world
        world.start_clients()
        dice = random.Random(f"{world.seed}:warm")
        for _ in range(3):
            keys = world.put_made_up(dice, len(MADE_UP))
            for host in world.hosts:
                host.daemon.wait_peers(HOSTS - 1 + len(MADE_UP), 30)
            world.etcd.delete_many(keys)
        netns.stays(lambda: all(d.running for d in world.daemons), WARM_S, "daemons bear their clients")
        world.end_clients()
        self.until_well("the warm-up")
        self.still()

    def still(self):
        """What clients held is given back: their connections are gone."""
        last = since = None

        def is_still():
            nonlocal last, since
            now = self.promises.measure()
            if now != last:
                last, since = now, time.monotonic()
            return time.monotonic() - since > STILL_S

        with contextlib.suppress(pytest.fail.Exception):
            netns.wait_for(is_still, 8 * STILL_S, "nothing moves any more")

    def run(self, first):
        world, promises = self.world, self.promises
        for host in world.hosts:
            test_vandal.neighbours_of_ours(host.namespace)
        self.warm_up()
        before = promises.measure()
        foreign = {host.name: test_vandal.foreign(host.namespace) for host in world.hosts}
        self.say(f"warm: {before}")
        world.start_clients()
        number = first
        while time.monotonic() < self.ends and not self.ending:
            self.round(number)
            number += 1
        world.end_clients()
        self.until_well("the last round")
        self.still()
        after = promises.measure()
        lines = promises.bounded(before, after, sum(self.counts.values()))
        # Most questions for a time left are answered from memory.
        metrics = world.daemons[-1].metrics().items()
        requests = sum(v for k, v in metrics if k.startswith("flannel_store_requests_total") and "time-left" not in k)
        lines.append(f"{world.daemons[-1].name}, never restarted, made {requests:.0f} requests to the store")
        promises.foreign_untouched(foreign, {host.name: test_vandal.foreign(host.namespace) for host in world.hosts})
        promises.idempotent()
        self.pods_end()
        return self.summary(lines)

    def pods_end(self):
        with self.world.pinger() as pinger:
            netns.wait_for(lambda: pinger.sent > LAST_PINGS, HEAL_S, "the last pings")
        if pinger.lost:
            self.promises.breaks("P2", f"in the end: {pinger.report()}")
        for host, pods in self.world.pods.items():
            try:
                if left := pods.end():
                    self.promises.breaks("P8", f"{host.name}: left behind: {left}")
            except AssertionError as e:
                self.promises.breaks("P8", f"{host.name}: {e}")

    def summary(self, lines):
        minutes = (time.monotonic() - self.began) / 60
        healed = sorted(self.healed) or [0]
        broken = self.promises.broken
        return "\n".join(
            [
                "",
                f"soak: seed {self.world.seed}, {minutes:.0f} minutes, {self.harmless + self.harmful} rounds, "
                f"{sum(self.counts.values())} faults of {len(self.counts)} of {len(acts.FAULTS)} kinds, "
                f"{self.promises.looks} looks at all hosts",
                "faults: " + ", ".join(f"{n} {name}" for name, n in self.counts.most_common()),
                f"well again after {healed[len(healed) // 2]:.1f} s (median), {healed[-1]:.1f} s (most)",
                f"pings: {self.sent} sent; {self.lost} lost in {self.harmless} rounds that harm no data path",
                f"churn: {self.world.churned} foreign changes of the kernel",
                *lines,
                *(f"BROKEN {text}" for text in broken),
                "all promises held" if not broken else f"{len(broken)} times a promise was broken",
            ]
        )


def duration_s(text):
    return float(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else float(text)


def main():
    # The disks of the hosts are file systems of their own.
    netns.private_mounts()
    if reason := netns.missing():
        print(f"soak: skipped: {reason}")
        return 0
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(1 << 32))
    lab = Lab()
    kept = BUILD / f"soak-{seed}"
    try:
        soak = Soak(World(lab, seed), duration_s(os.environ.get("SOAK") or "5m"), int(os.environ.get("SOAK_CHURN") or 10000))

        def end(*_):
            soak.ending = True

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        print(f"soak: seed {seed}, logs in {kept}", flush=True)
        text = soak.run(int(os.environ.get("SOAK_FROM") or 1))
        print(text, flush=True)
        return 1 if soak.promises.broken else 0
    finally:
        for daemon in lab.daemons():
            (kept / daemon.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(daemon.log_file, kept / daemon.name / "log")
        lab.close()


if __name__ == "__main__":
    sys.exit(main())
