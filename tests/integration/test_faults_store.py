# SPDX-License-Identifier: Apache-2.0
"""The store fails in every way that it can: no packet between containers is lost, and status tells the truth.

Promises: the data plane outlives the control plane; when the fault ends every kernel equals the store; status never
says ok while it does not know.
"""

import pathlib
import re
import shutil
import signal
import time

import pytest

from etcd import PREFIX, EtcdError
from fabric import APART, FABRICCTL, SANITIZED
from faults import Talking, by_both
from netns import stays, wait_for
from test_store import enable_auth
from witness import lease_value


@by_both
def test_killed_and_started_again(lab):
    with Talking(lab) as t:
        t.etcd.kill()
        t.told("watch-lost", deadline_s=2)
        t.wait_pings(200)
        t.etcd.start()
        t.new_lease()


@by_both
@pytest.mark.slow
def test_stopped_process_is_noticed(lab):
    """SIGSTOP: its kernel goes on acknowledging, so TCP says that all is well."""
    with Talking(lab) as t:
        t.etcd.members[0].pause()
        t.told("watch-lost")
        t.etcd.members[0].resume()
        t.converge_s = 15
        t.new_lease()


@pytest.mark.parametrize("which", ["leader", "follower"])
def test_one_of_three_members_crashes(lab, which):
    with Talking(lab, members=3) as t:
        leader, follower = t.etcd.leader()
        victim = leader if which == "leader" else follower
        t.all_on(victim)
        victim.kill()
        wait_for(t.new_lease, 10, "the store takes a write")
        t.well_again(2.5)
        victim.start()
        t.etcd.wait_healthy()


@pytest.mark.slow
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_one_of_three_members_is_stopped(lab, which):
    with Talking(lab, members=3) as t:
        leader, follower = t.etcd.leader()
        victim = leader if which == "leader" else follower
        t.all_on(victim)
        victim.pause()
        whole, others = t.etcd.members, [m for m in t.etcd.members if m is not victim]
        wait_for(lambda: t.etcd.api("/v3/kv/put", {"key": "eA==", "value": "eA=="}, member=others[0]), 15, "a write")
        t.etcd.members = others
        wait_for(t.new_lease, 15, "the majority takes a write")
        t.well_again(30)
        victim.resume()
        t.etcd.members = whole


def test_a_member_that_is_told_to_end_is_left_at_once(lab):
    """It takes no more calls, and its streams stay open and silent: who waits for their end is blind for 7 s."""
    etcd = lab.start_etcd(3)
    proxy = lab.proxy()
    endpoints = f"{proxy.endpoint},{etcd.members[1].endpoint}"
    with Talking(lab, hosts=1, etcd_endpoints=endpoints, etcd_transport="grpc") as t:
        (daemon,) = t.daemons
        assert daemon.status()["store"]["endpoints"][0]["current"]
        proxy.set("goodbye")
        wait_for(lambda: daemon.metric("flannel_watch_restarts_total"), 5, "the watch is given up")
        t.new_lease()
        daemon.wait_peers(1)
        left, used = daemon.status()["store"]["endpoints"]
        assert used["current"] and "refused" in left["last_error"], left


@by_both
def test_two_of_three_members_are_down(lab):
    """No quorum: the member that is left answers, but may not decide anything."""
    with Talking(lab, members=3) as t:
        for member in t.etcd.members[1:]:
            member.kill()
        t.told("watch-lost", deadline_s=15)
        t.wait_pings(100)
        for member in t.etcd.members[1:]:
            member.start()
        t.etcd.wait_healthy()
        t.converge_s = 12
        t.new_lease()


@by_both
@pytest.mark.slow
@pytest.mark.parametrize("how", ["both ways", "to it only"])
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_isolated_member(lab, which, how):
    """A partition inside the cluster: the daemons' member stays up, is alone, and perhaps does not know it."""
    with Talking(lab, members=3) as t:
        leader, follower = t.etcd.leader()
        alone = leader if which == "leader" else follower
        t.all_on(alone)
        alone.cut_off("tcp dport 2380 drop\ntcp sport 2380 drop" if how == "both ways" else "tcp dport 2380 drop")
        others = [m for m in t.etcd.members if m is not alone]
        whole, t.etcd.members = t.etcd.members, others
        wait_for(t.new_lease, 15, "the majority takes a write")
        t.well_again(30)
        alone.reconnect()
        t.etcd.members = whole


@by_both
@pytest.mark.slow
def test_restarted_again_and_again(lab):
    with Talking(lab) as t:
        for _ in range(6):
            t.etcd.restart()
            t.new_lease()
        t.converge_s = 10


@pytest.mark.parametrize("config", ["config put back", "config put back late"])
def test_wiped_and_made_anew(lab, config):
    """All leases are gone, and the cluster is another one: every host claims its own subnet again."""
    with Talking(lab, hosts=3) as t:
        t.etcd.wipe()
        if config == "config put back late":
            t.wait_pings(200)
        t.lab.configure(APART)
        wait_for(lambda: len(t.etcd.leases()) == 3, 15, "three leases again")


def test_wiped_while_one_daemon_is_stopped(lab):
    """It comes two seconds later than the others to claim its subnet again. Nobody takes that for its departure."""
    with Talking(lab, hosts=3) as t:
        t.daemons[2].signal(signal.SIGSTOP)
        t.etcd.wipe()
        t.lab.configure(APART)
        wait_for(lambda: len(t.etcd.leases()) == 2, 15, "two leases again")
        t.wait_pings(200)
        t.daemons[2].signal(signal.SIGCONT)
        wait_for(lambda: len(t.etcd.leases()) == 3, 15, "three leases again")


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3])
def test_old_snapshot_restored(lab, members):
    """The restored store has never heard of h3, which came later, and its revision lies in the past."""
    with Talking(lab, members=members) as t:
        snapshot = t.lab.directory / "snapshot.db"
        changes = t.new_lease()
        t.lab.wait_equal()
        t.etcd.etcdctl("snapshot", "save", snapshot, endpoints=t.etcd.members[0].endpoint)
        h3 = lab.host()
        h3.start_daemon()
        t.hosts.append(h3)
        t.subnets.append(h3.daemon.subnet())
        t.etcd.put(changes, lease_value("192.0.2.88", "0e:88:88:88:88:88"))
        for _ in range(30):
            t.new_lease()
        t.lab.wait_equal()
        t.etcd.kill()
        t.etcd.generation += 1
        for member in t.etcd.members:
            shutil.rmtree(member.directory)
            t.etcd.restore(member, snapshot)
        t.etcd.start()
        t.told("peers-kept", deadline_s=15)
        wait_for(lambda: t.etcd.get(h3.daemon.key()), 15, "h3 has claimed its subnet again")
        t.converge_s = 20


@by_both
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_history_compacted_while_the_daemon_is_away(lab, how):
    with Talking(lab) as t:
        away = t.daemons[0]
        gone = t.new_lease()
        t.lab.wait_equal()
        if how == "killed":
            away.kill()
        else:
            away.signal(signal.SIGSTOP)
        t.etcd.delete(gone)
        for _ in range(20):
            t.new_lease()
        t.etcd.compact()
        if how == "killed":
            away.start()
        else:
            # Its connection must not survive: what is buffered in it would be history enough.
            t.etcd.restart()
            t.new_lease()
            t.etcd.compact()
            away.signal(signal.SIGCONT)
        t.converge_s = 10


@pytest.mark.slow
def test_quota_full(lab):
    """Writes fail, keepalives do not. Hosts that have a lease go on; a new one says why it cannot."""
    with Talking(lab, arguments=["--quota-backend-bytes", str(16 << 20)]) as t:
        with pytest.raises(EtcdError, match="space|too large"):
            for n in range(40):
                t.etcd.put(f"/fill/{n}", "x" * (1 << 20))
        h3 = lab.host()
        h3.start_daemon(ready=False)
        wait_for(lambda: "space" in h3.daemon.request("/readyz")[1], 10, "the new host says that there is no space")
        stays(lambda: all(d.running for d in t.daemons), 3, "daemons run")
        assert all(d.status()["lease"]["state"] == "held" for d in t.daemons)
        t.etcd.delete_many(f"/fill/{n}" for n in range(40))
        t.etcd.compact()
        t.etcd.etcdctl("defrag")
        t.etcd.etcdctl("alarm", "disarm")
        h3.daemon.wait_ready(15)
        t.hosts.append(h3)
        t.subnets.append(h3.daemon.subnet())


@pytest.mark.slow
def test_authentication_switched_on(lab):
    """The daemons have no password: what they hold stays, and status says that the store refuses them."""
    with Talking(lab) as t:
        enable_auth(t.etcd)
        t.told("store-denied", "watch-lost", "lease-not-renewed")
        t.wait_pings(50)
        t.etcd.api("/v3/auth/disable", {})
        t.etcd.token = t.etcd.credentials = None
        t.converge_s = 15
        t.new_lease()


@by_both
@pytest.mark.slow
def test_password_changed(lab):
    """The daemons' password is no longer right; the file they read it from is changed, and no restart is needed."""
    etcd = lab.start_etcd()
    lab.configure(APART)
    enable_auth(etcd, password="first")
    file = lab.directory / "password"
    file.write_text("first\n")
    with Talking(lab, etcd_username="fabric", etcd_password_file=file) as t:
        etcd.api("/v3/auth/user/changepw", {"name": "fabric", "password": "second"})
        etcd.login("root", "r")
        t.told("store-denied", "watch-lost", "lease-not-renewed")
        file.write_text("second\n")
        t.converge_s = 12
        t.new_lease()


@by_both
@pytest.mark.slow
def test_token_expires(lab):
    """Tokens live for two seconds; whatever the daemon does after that needs a new one."""
    etcd = lab.start_etcd(arguments=["--auth-token-ttl", "2"])
    lab.configure(APART)
    enable_auth(etcd)
    with Talking(lab, etcd_username="fabric", etcd_password="open sesame") as t:
        for _ in range(2):
            t.wait_pings(350)
            etcd.login("root", "r")
            t.new_lease()
            t.lab.wait_equal()
        etcd.restart()
        etcd.login("root", "r")
        t.new_lease()
        t.wait_pings(250)
    key = t.daemons[0].key()
    etcd.delete(key)
    wait_for(lambda: etcd.get(key), 10, "a write with a new token")


@by_both
@pytest.mark.slow
def test_certificates_replaced(lab):
    """A new authority, new certificates on both sides under the same file names; the daemons are not restarted."""
    tls = lab.certificates()
    etcd = lab.start_etcd(tls=tls)
    lab.configure(APART)
    with Talking(lab, etcd_cafile=tls.ca, etcd_certfile=tls.client_cert, etcd_keyfile=tls.client_key) as t:
        for file in (tls.ca, tls.directory / "ca.key"):
            file.unlink()
        tls.__init__(tls.directory)
        etcd.use(tls)
        etcd.restart()
        t.converge_s = 20
        t.new_lease()


def wait_shown(t, pattern):
    """Every host's `fabricctl status` comes to say this, in words and not in numbers of a library's errors."""
    for host in t.hosts:

        def shown(host=host):
            argv = (FABRICCTL, "status", "--socket", host.daemon.socket_path)
            done = host.namespace.run(*argv, check=False)
            assert done.returncode == 3 and re.search(pattern, done.stdout), done.stdout
            return done.stdout

        assert "error:" not in wait_for(shown, 15, f"fabricctl status says {pattern}")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["past when it is put there", "passes while it is in use"])
def test_certificate_of_the_server_expires(lab, when):
    """Open connections live on, new ones fail, which is told. A new certificate in the place of the old one helps."""
    tls = lab.certificates()
    etcd = lab.start_etcd(tls=tls)
    lab.configure(APART)
    with Talking(lab, etcd_cafile=tls.ca, etcd_certfile=tls.client_cert, etcd_keyfile=tls.client_key) as t:
        if when == "passes while it is in use":
            seconds = 8
            end = time.monotonic() + seconds
            tls.issue_server(seconds)
            etcd.restart()
            t.new_lease()
            t.well_again()
            wait_for(lambda: time.monotonic() > end + 1, seconds + 2, "the certificate has expired")
            assert all(d.status()["verdict"] == "ok" for d in t.daemons), "nothing of it is noticed yet"
        else:
            tls.issue_server(-3600)
        for member in etcd.members:
            member.stop()
        etcd.start(wait=False)
        wait_shown(t, r"watch-lost .*server's certificate is not accepted: certificate has expired")
        t.told("watch-lost")
        t.wait_pings(200)
        tls.issue_server()
        # etcd's gateway is its own client: it dials itself anew after a while, longer after each failure.
        wait_for(t.new_lease, 60, "the store takes a write")
        t.converge_s = 15


@by_both
@pytest.mark.slow
def test_certificate_of_the_client_expires(lab):
    """The server refuses the daemons: which file is to be renewed is told, and once it is the daemons are well."""
    tls = lab.certificates()
    etcd = lab.start_etcd(tls=tls)
    lab.configure(APART)
    with Talking(lab, etcd_cafile=tls.ca, etcd_certfile=tls.client_cert, etcd_keyfile=tls.client_key) as t:
        tls.issue_client(-3600)
        etcd.restart()
        wait_shown(t, rf"watch-lost .*server refuses our certificate \(.*expired.*\): {tls.client_cert}")
        t.told("watch-lost")
        t.new_lease()
        t.wait_pings(200)
        tls.issue_client()
        t.converge_s = 20


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2])
def test_slow_answers(lab, seconds):
    with Talking(lab, proxy=True) as t:
        t.proxy.delay_s = seconds
        t.proxy.set("slow")
        t.new_lease()
        t.lab.wait_equal(8)
        # Slow is not broken.
        assert all(d.status()["lease"]["state"] == "held" for d in t.daemons)
        t.wait_pings(300)
        t.proxy.set("pass")
        t.converge_s = 10


@by_both
@pytest.mark.slow
def test_black_hole_after_the_first_byte(lab):
    with Talking(lab, proxy=True) as t:
        t.proxy.set("stall")
        t.proxy.cut()
        t.told("watch-lost")
        t.new_lease()
        t.wait_pings(50)
        t.proxy.set("pass")
        t.converge_s = 20


@by_both
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rubbish", "nonsense", "endless"])
def test_garbage(lab, mode):
    with Talking(lab, proxy=True) as t:
        memory = [d.metric("process_resident_memory_bytes") for d in t.daemons]
        t.proxy.set(mode)
        t.proxy.cut()
        t.told("watch-lost", deadline_s=15)
        t.new_lease()
        t.wait_pings(300)
        assert all(d.running for d in t.daemons)
        for daemon, before in zip(t.daemons, memory, strict=True):
            # AddressSanitizer keeps what was freed for a while.
            if not SANITIZED:
                assert daemon.metric("process_resident_memory_bytes") < before + (160 << 20)
            assert daemon.log().count("\n") < 60
        t.proxy.set("pass")
        t.proxy.cut()
        t.converge_s = 20


@by_both
@pytest.mark.slow
def test_a_list_of_large_values_and_much_junk(lab):
    """Whoever may write below the prefix cannot keep a daemon from starting, nor make it large."""
    lab.start_etcd()
    lab.configure()
    large = "x" * (1400 << 10)
    for i in range(60):
        lab.etcd.put(f"{PREFIX}/subnets/10.5.{i}.0-24", large)
    lab.etcd.put_many((f"{PREFIX}/subnets/junk-{i:05}-{'y' * 200}", "{}") for i in range(20000))
    h1 = lab.host()
    # 110 MB of answers are read: seconds of etcd's and the test's own time, on top of what a start may take.
    h1.start_daemon(ready=False).wait_ready(40)
    status = h1.daemon.status()
    assert status["lease"]["state"] == "held" and status["junkKeys"] == 20000
    if not SANITIZED:
        peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{h1.daemon.pid}/status").read_text())
        assert int(peak[1]) < 64 << 10


@by_both
@pytest.mark.slow
def test_half_open_connections(lab):
    """Packets to and from the store vanish, nobody is told: not even a reset."""
    with Talking(lab) as t:
        t.etcd.members[0].cut_off("tcp dport 2379 drop")
        t.told("watch-lost")
        t.wait_pings(50)
        t.etcd.members[0].reconnect()
        t.converge_s = 15
        t.new_lease()


@pytest.mark.slow
@pytest.mark.long
def test_half_open_with_another_member_to_go_to(lab):
    with Talking(lab, members=3) as t:
        t.etcd.members[0].cut_off("drop")
        whole, t.etcd.members = t.etcd.members, t.etcd.members[1:]
        wait_for(t.new_lease, 15, "the majority takes a write")
        t.well_again(30)
        whole[0].reconnect()
        t.etcd.members = whole


@by_both
def test_connections_cut_again_and_again(lab):
    with Talking(lab, proxy=True) as t:
        for _ in range(20):
            t.new_lease()
            t.proxy.cut()
            t.wait_pings(10)
        t.converge_s = 15


@pytest.mark.slow
def test_store_out_of_reach_for_one_host_only(lab):
    """Its peers come and go meanwhile; afterwards it has what it missed."""
    with Talking(lab, hosts=3) as t:
        h1 = t.hosts[0]
        t.etcd.members[0].cut_off(f"ip saddr {h1.address} tcp dport 2379 reject with tcp reset")
        t.told("watch-lost", deadline_s=15, daemons=[h1.daemon])
        for _ in range(10):
            t.new_lease()
        t.lab.wait_equal(5, t.hosts[1:])
        assert all(d.status()["verdict"] == "ok" for d in t.daemons[1:])
        t.etcd.members[0].reconnect()
        t.converge_s = 12
