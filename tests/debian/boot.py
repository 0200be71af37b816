#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What systemd makes of the packages: a machine is started, and everything that an administrator does is done to it.

    boot.py ROOT        what boot.sh has made

The machine has no network. Another host with the store lives in a namespace of it, at the other end of a veth that
systemd-networkd manages (guest/). Containers of the two talk all the time; none of what is done may cost a packet.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

from netns import stays, wait_for  # noqa: E402

# What ends a step, and no more than that.
FAILURES = (AssertionError, OSError, LookupError, ValueError, TypeError, subprocess.TimeoutExpired, pytest.fail.Exception)
BOOT_S = 300
REBOOTED = 133  # systemd-nspawn's exit status when its machine asks to be started again
COMMAND_S = 300
WATCHDOG_S = 10
PINGS = 20
STORE = "http://192.0.2.2:2379"


class Guest:
    """The machine, and its shell. docker makes cgroups and keyrings for its containers in it."""

    def __init__(self, root):
        self.root = root
        self.name = f"flannel-boot-{os.getpid()}"
        self.log = open(root.with_name(f"{root.name}.console"), "wb")  # noqa: SIM115
        mounts = pathlib.Path("/proc/mounts").read_text()
        self.cgroup = pathlib.Path(re.search(r"^\S+ (\S+) cgroup2 ", mounts, re.M)[1]) / self.name
        self.boot()

    def remove_cgroup(self):
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(folder)
        return True

    def boot(self):
        # systemd-nspawn makes two cgroups in its own, leaves them there, and starts nothing where there are such.
        wait_for(self.remove_cgroup, 30, "the machine's cgroup is empty")
        self.cgroup.mkdir()
        self.process = subprocess.Popen(
            [
                "sh", "-c", f"echo $$ >{self.cgroup}/cgroup.procs; exec \"$@\"", "sh",
                "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--resolv-conf=off",
                "--system-call-filter=@keyring bpf",
                f"--machine={self.name}", f"--directory={self.root}", "--boot",
            ],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )  # fmt: skip
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")

        def booted():
            # At first it may be one that only makes the machine.
            self.leader = children.read_text().split()[0]
            return self.run("systemctl is-system-running", check=False)[1] in ("running", "degraded")

        wait_for(booted, BOOT_S, "the machine has started")

    def reboot(self):
        self.run("systemctl reboot", check=False)
        assert self.process.wait(BOOT_S) == REBOOTED, f"the machine ended with {self.process.returncode}"
        self.boot()

    def run(self, command, check=True):
        """Its output; with check=False (status, output)."""
        done = subprocess.run(
            [
                "nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd",
                "env", "-i", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "bash", "-c", f"cd /root; {command}",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=COMMAND_S,
        )  # fmt: skip
        text = done.stdout.rstrip("\n")
        if not check:
            return done.returncode, text
        assert done.returncode == 0, f"{command}: exit status {done.returncode}: {text}"
        return text

    def property(self, unit, name):
        return self.run(f"systemctl show -P {name} {unit}")

    def close(self):
        """SIGKILL to its first process ends all of them, and then systemd-nspawn."""
        with contextlib.suppress(OSError):
            os.kill(int(self.leader), signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        self.process.wait()
        self.log.close()
        with contextlib.suppress(OSError):
            self.remove_cgroup()


def status(guest):
    return json.loads(guest.run("fabricctl status -o json", check=False)[1])


def wait_ok(guest, deadline_s=120):
    return wait_for(lambda: status(guest)["verdict"] == "ok" and status(guest), deadline_s, "verdict ok")


@contextlib.contextmanager
def talking(guest):
    """A container of each host talks to the other's, ten times a second each; nothing may be lost."""
    pings = [("c1", "c2"), ("c2", "c1")]
    for of, to in pings:
        guest.run(f"ip netns exec {of} ping -i 0.1 $(cat /run/{to}) >/run/ping-{of} 2>&1 & echo $! >/run/pid-{of}")
    yield
    for of, _ in pings:
        wait_for(lambda of=of: int(guest.run(f"grep -c 'bytes from' /run/ping-{of}")) >= PINGS, 30, f"answers to {of}")
        guest.run(f"kill -INT $(cat /run/pid-{of}); while kill -0 $(cat /run/pid-{of}); do sleep 0.1; done 2>/dev/null")
        text = guest.run(f"tail -n 3 /run/ping-{of}")
        sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", text)[0])
        assert sent == received, f"{of}: {text}"


def start_peer(guest, attach="container c1 >/run/c1"):
    """The other host's daemon, and a container on each side; `attach` makes c1."""
    guest.run("systemctl start peer-flanneld; while [ ! -s /var/lib/peer/subnet.env ]; do sleep 0.1; done")
    guest.run("container c2 peer >/run/c2")
    guest.run(attach)
    wait_for(lambda: guest.run("ip netns exec c1 ping -c 1 -W 2 $(cat /run/c2)"), 30, "containers reach each other")


def kernel_of(guest):
    """Lines of everything that the daemon keeps in the kernel, as its tools print it."""
    text = guest.run(
        "ip -d link show flannel.1; ip addr show dev flannel.1; ip route show dev flannel.1;"
        "ip neigh show dev flannel.1 nud permanent; bridge fdb show dev flannel.1"
    )
    return set(text.replace(" tentative", "").splitlines())


def assert_same(guest, before):
    now = kernel_of(guest)
    assert now == before, f"gone: {before - now}; new: {now - before}"


# ---- what is done, in this order


def three_commands(guest):
    """README's way from the packages to a running daemon with a lease."""
    guest.run("systemctl start peer-etcd")
    config = json.dumps({"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}})
    wait_for(
        lambda: guest.run(
            f"ETCDCTL_API=3 ip netns exec peer etcdctl --endpoints {STORE} put /coreos.com/network/config '{config}'"
        ),
        60,
        "the store takes the configuration",
    )
    block = re.search(r"^ +apt install (\./flanneld\S+.*)\n +(echo .*)\n +(systemctl .*)\n", guest.run("cat README.md"), re.M)
    guest.run("cd now && apt install -y " + block[1])
    assert guest.run("systemctl is-enabled flanneld", check=False)[1] == "disabled"
    assert guest.run("systemctl is-active flanneld", check=False)[1] == "inactive"
    guest.run(block[2].replace("192.0.2.10", "192.0.2.2"))
    guest.run(block[3])
    assert wait_ok(guest)["lease"], "a lease"
    assert guest.run("systemctl is-enabled flanneld") == "enabled"
    start_peer(guest)


def restart(guest):
    pid, before = guest.property("flanneld", "MainPID"), kernel_of(guest)
    with talking(guest):
        guest.run("systemctl restart flanneld")
        wait_ok(guest)
    assert guest.property("flanneld", "MainPID") != pid
    assert_same(guest, before)


def crash(guest):
    with talking(guest):
        guest.run("kill -KILL $(systemctl show -P MainPID flanneld)")
        wait_for(lambda: guest.property("flanneld", "NRestarts") == "1", 30, "it is started again")
        wait_ok(guest)


def reload_(guest):
    """ExecReload: compared at once, by the same process."""
    pid = guest.property("flanneld", "MainPID")
    with talking(guest):
        guest.run("systemctl reload flanneld")
        wait_for(lambda: guest.run("journalctl -u flanneld | grep -i 'SIGHUP\\|reload'"), 10, "the journal says so")
        wait_ok(guest)
    assert guest.property("flanneld", "MainPID") == pid


def watchdog(guest):
    """A loop that stands still is ended and started again; the data path does not notice."""
    guest.run(
        "mkdir -p /run/systemd/system/flanneld.service.d;"
        f"printf '[Service]\\nWatchdogSec={WATCHDOG_S}\\n' >/run/systemd/system/flanneld.service.d/watchdog.conf;"
        "systemctl daemon-reload; systemctl restart flanneld"
    )
    wait_ok(guest)
    pid = guest.property("flanneld", "MainPID")
    stays(lambda: guest.property("flanneld", "MainPID") == pid, 2 * WATCHDOG_S, "it feeds the watchdog")
    with talking(guest):
        guest.run(f"kill -STOP {pid}")
        wait_for(lambda: guest.property("flanneld", "MainPID") not in (pid, "0"), 6 * WATCHDOG_S, "it is started again")
        wait_ok(guest)
    assert "watchdog" in guest.run("journalctl -u flanneld").lower()
    guest.run("rm -r /run/systemd/system/flanneld.service.d; systemctl daemon-reload")


def networkd(guest):
    """It manages the underlay's device, and leaves the tunnel's alone."""
    links = {line.split()[1]: line.split()[-1] for line in guest.run("networkctl --no-legend list").splitlines()}
    assert links["under0"] == "configured" and links["flannel.1"] == "unmanaged", links
    before = kernel_of(guest)
    with talking(guest):
        guest.run("systemctl restart systemd-networkd; networkctl reload; networkctl reconfigure under0")
        wait_for(lambda: "configured" in guest.run("networkctl --no-legend list under0"), 30, "the underlay is there again")
        wait_ok(guest)
    assert_same(guest, before)


def upgrade_and_downgrade(guest):
    """Back and forth while containers talk; what the administrator wrote stays."""
    before, written = kernel_of(guest), guest.run("cat /etc/flannel/flanneld.conf")
    for directory in ("next", "now"):
        pid = guest.property("flanneld", "MainPID")
        with talking(guest):
            guest.run(f"cd {directory} && apt install -y --allow-downgrades ./flanneld_*.deb ./fabricctl_*.deb ./flannel-cni_*.deb")
            wait_ok(guest)
        assert guest.property("flanneld", "MainPID") != pid, "the new one runs"
        assert ("next" in guest.run("flanneld --version")) == (directory == "next")
    assert_same(guest, before)
    assert guest.run("cat /etc/flannel/flanneld.conf") == written
    assert guest.run("systemctl is-enabled flanneld") == "enabled"


def legacy_iptables(guest):
    """Rules in iptables-legacy, by a process with no more rights than its unit gives."""
    for host in ("", "ip netns exec peer "):
        guest.run(f"{host}iptables-legacy -P FORWARD DROP")
    guest.run("systemctl restart flanneld peer-flanneld")
    wait_ok(guest)
    rules = guest.run("iptables-legacy-save")
    assert "flannel.1-FWD" in rules, rules
    with talking(guest):
        pass
    for host in ("", "ip netns exec peer "):
        guest.run(f"{host}iptables-legacy -P FORWARD ACCEPT")


def block_of(guest, section, first, last):
    """The page's commands from one line to another."""
    text = guest.run("cat docker.md").partition(f"## {section}\n")[2]
    block = re.search(rf"^    {first}.*?^    {last}$", text, re.M | re.S)
    return re.sub(r"^    ", "", block[0], flags=re.M)


def docker_driver(guest):
    """The page's commands for docker's networks by our driver: what the unit lets the daemon do is enough."""
    guest.run("systemctl start docker")
    guest.run(
        "mkdir -p image/bin && cp /bin/busybox image/bin && ln -s busybox image/bin/sleep && tar -C image -c . | docker import - box"
    )
    section = "A network driver"
    guest.run(block_of(guest, section, "mkdir -p /etc/systemd/system/flanneld.service.d", "systemctl restart flanneld"))
    wait_ok(guest)
    guest.run(block_of(guest, section, r"\. /run/flannel/subnet.env", "docker network create .*?"))
    guest.run("docker run -d --name web --network fabric box /bin/sleep 1000000")
    address = guest.run("docker inspect -f '{{.NetworkSettings.Networks.fabric.IPAddress}}' web")
    wait_for(lambda: guest.run(f"ip netns exec c2 ping -c 1 -W 2 {address}"), 30, "the other host reaches it")
    assert address in guest.run("fabricctl pods")
    with talking(guest):
        guest.run("systemctl restart flanneld")
        wait_ok(guest)
        guest.run("docker restart -t 0 web && systemctl restart docker && docker start web")
    address = guest.run("docker inspect -f '{{.NetworkSettings.Networks.fabric.IPAddress}}' web")
    wait_for(lambda: guest.run(f"ip netns exec c2 ping -c 1 -W 2 {address}"), 30, "the other host reaches it again")
    # Three starts in a minute are the most that docker's unit allows, and the next step has two.
    guest.run("docker rm -f web && docker network rm fabric && systemctl stop docker.service docker.socket && systemctl reset-failed docker")
    assert address not in guest.run("fabricctl pods")
    guest.run("rm -r /etc/systemd/system/flanneld.service.d && systemctl daemon-reload && systemctl restart flanneld")
    wait_ok(guest)


# docker's container as c1.
DOCKERS = (
    "ip netns del c1 2>/dev/null; ip netns attach c1 $(docker inspect -f '{{.State.Pid}}' web) &&"
    "docker inspect -f '{{.NetworkSettings.IPAddress}}' web >/run/c1"
)


def docker_is_on_the_subnet(guest):
    """Its bridge, what dockerd was told, once, and its container."""
    subnet = guest.run(". /run/flannel/subnet.env; echo $FLANNEL_SUBNET")
    mtu = guest.run(". /run/flannel/subnet.env; echo $FLANNEL_MTU")
    assert f" {subnet} " in guest.run("ip -4 addr show dev docker0")
    told = guest.run("tr '\\0' ' ' </proc/$(systemctl show -P MainPID docker)/cmdline")
    for option in (f"--bip={subnet}", "--ip-masq=false", f"--mtu={mtu}"):
        assert told.count(option) == 1, told
    wait_for(lambda: guest.run("docker inspect -f '{{.State.Running}}' web") == "true", 60, "the container runs")
    guest.run(DOCKERS)
    assert f"mtu {mtu} " in guest.run("ip -n c1 link show dev eth0")


def docker(guest):
    """The page's commands, with Debian's docker. It has the subnet for itself: the CNI plugin's bridge is taken away."""
    guest.run("container -d c1; ip link del cni0; echo 'ip-masq = true' >>/etc/flannel/flanneld.conf; systemctl restart flanneld")
    wait_ok(guest)
    guest.run(block_of(guest, "docker's own bridge", "mkdir -p /etc/systemd/system/docker", "systemctl restart docker"))
    guest.run("docker run -d --name web --restart always box /bin/sleep 1000000")
    docker_is_on_the_subnet(guest)
    wait_for(lambda: guest.run("ip netns exec c2 ping -c 1 -W 2 $(cat /run/c1)"), 30, "containers reach each other")
    # Each sees the other's own address.
    guest.run("ip netns exec c2 nft 'table ip seen { chain in { type filter hook input priority 0; ip saddr '$(cat /run/c1)' counter; }; }'")
    with talking(guest):
        guest.run("systemctl restart flanneld")
        wait_ok(guest)
    assert not re.search(r"counter packets 0 ", guest.run("ip netns exec c2 nft list table ip seen"))
    guest.run("systemctl restart docker")
    docker_is_on_the_subnet(guest)
    with talking(guest):
        pass


def reboot(guest):
    """All that was enabled starts by itself, the daemon before docker, in its time."""
    guest.run("systemctl enable docker")
    subnet = guest.run("grep FLANNEL_SUBNET /run/flannel/subnet.env")
    guest.reboot()
    wait_for(lambda: guest.property("docker", "ActiveState") != "inactive", 60, "docker has been started")
    assert guest.property("docker", "ActiveState") == "active", guest.run("journalctl -u docker -u flanneld | tail -30")
    ready, docker = (
        int(guest.property(unit, name))
        for unit, name in (("flanneld", "ActiveEnterTimestampMonotonic"), ("docker", "ExecMainStartTimestampMonotonic"))
    )
    assert 0 < ready <= docker, f"ready after {ready} us, docker started after {docker} us"
    # The store is down, as it was when the machine started.
    assert guest.run("systemctl is-active peer-etcd", check=False)[1] == "inactive"
    assert guest.run("grep FLANNEL_SUBNET /run/flannel/subnet.env") == subnet
    docker_is_on_the_subnet(guest)
    start_peer(guest, attach="true")
    with talking(guest):
        guest.run("systemctl start peer-etcd")
        wait_ok(guest)


def purge(guest):
    """Removing stops the daemon and leaves the data path; purging leaves no file."""
    with talking(guest):
        guest.run("apt remove -y flanneld")
        assert guest.run("systemctl is-active flanneld", check=False)[1] == "inactive"
    guest.run("ip netns del c1; ip netns del c2; systemctl stop peer-flanneld docker.service docker.socket")
    guest.run("rm -r /etc/systemd/system/peer-flanneld.service /etc/systemd/system/docker.service.d /var/lib/peer")
    guest.run("apt purge -y flanneld fabricctl flannel-cni")
    left = guest.run("find / -xdev -path /root -prune -o -path /var/cache -prune -o -path /var/log -prune -o"
                     " -name '*flannel*' -print -o -name 'fabricctl*' -print")  # fmt: skip
    assert left == "", f"left over: {left}"
    assert not guest.run("dpkg -l | grep -E 'flannel|fabricctl'", check=False)[1]


STEPS = [
    three_commands, restart, crash, reload_, watchdog, networkd, upgrade_and_downgrade, legacy_iptables, docker_driver,
    docker, reboot, purge,
]  # fmt: skip


def main():
    guest = Guest(pathlib.Path(sys.argv[1]))
    failed = 0
    try:
        for step in STEPS:
            started = time.monotonic()
            try:
                step(guest)
            except FAILURES as e:
                failed += 1
                print(f"  {step.__name__}: FAILED: {type(e).__name__}: {e}")
                with contextlib.suppress(AssertionError, OSError):
                    print(guest.run("journalctl -b -u flanneld | tail -n 30"))
            else:
                print(f"  {step.__name__}: passed ({time.monotonic() - started:.0f} s)", flush=True)
    finally:
        guest.close()
    print(f"{len(STEPS) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
