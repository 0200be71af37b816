# SPDX-License-Identifier: Apache-2.0
"""The own lease: claimed once, kept, lost, stolen, reserved. Running containers never notice."""

import json

import pytest

from etcd import PREFIX
from fabric import APART
from netns import UnixHTTP, stays, wait_for
from witness import lease_value, made_up_lease

NODE = ',"Node":{"ID":"%s","Name":"%s"}}'


@pytest.fixture
def talking(lab, fabric3):
    """Two containers of h1 and h2 ping each other during the whole test; none may be lost."""
    h1, h2, _ = fabric3
    with lab.pinger(h1.container(), h2.container()) as pinger:
        yield pinger
    assert pinger.lost == 0, pinger.report()


@pytest.mark.parametrize("how", ["key deleted", "lease revoked"])
def test_lost_lease_is_claimed_again_with_the_same_subnet(lab, fabric3, how):
    h1 = fabric3[0]
    key, subnet = h1.daemon.key(), h1.daemon.subnet()
    monitors = [host.monitor() for host in fabric3]
    old = lab.etcd.get(key)
    if how == "key deleted":
        lab.etcd.delete(key)
    else:
        lab.etcd.revoke(old.lease)
    new = wait_for(lambda: lab.etcd.get(key), 5, "the key is back")
    h1.daemon.wait_ok(5)
    assert new.lease and lab.etcd.time_to_live(new.lease) > 86000
    assert h1.daemon.subnet() == subnet
    assert h1.daemon.metric("flannel_lease_lost_total") == 1
    assert h1.daemon.logged("error lost: .*the subnet is claimed again")
    for host in fabric3:
        host.daemon.wait_ok(5)
    lab.wait_equal()
    for host, monitor in zip(fabric3, monitors, strict=True):
        assert monitor.tunnel_events() == [], f"the data plane of {host.name} was not touched"


def test_key_taken_by_another_host_is_a_conflict_and_routes_stay(lab, fabric3):
    h1 = fabric3[0]
    key = h1.daemon.key()
    before = h1.objects()
    theirs = lease_value("192.0.2.66", "0e:66:66:66:66:66")[:-1] + NODE % ("thief", "evil")
    lab.etcd.put(key, theirs)
    status = h1.daemon.wait_status(lambda s: s["lease"]["state"] == "conflict", 5, "conflict")
    assert status["verdict"] == "degraded" and not status["ready"]
    assert "evil" in status["lease"]["reason"] and "192.0.2.66" in status["lease"]["reason"]
    assert "conflict" in h1.daemon.problems()
    assert h1.daemon.request("/readyz")[0] == 503
    assert h1.daemon.metric('flannel_lease_state{state="conflict"}') == 1
    stays(lambda: h1.objects() == before and h1.daemon.running, 2, "routes stay")
    assert lab.etcd.get(key).value == theirs, "what another host holds is not overwritten"
    lab.etcd.delete(key)
    h1.daemon.wait_status(lambda s: s["lease"]["state"] == "held", 5, "held again")
    # The peers of h1 had the thief's address for a while: that is the store's word, and it is theirs again now.
    lab.wait_equal()


def test_lost_lease_that_an_older_one_overlaps_is_a_conflict(lab, fabric3):
    """Our key is gone, and a part of our subnet belongs to somebody: the host keeps what runs, and says so."""
    h1 = fabric3[0]
    key, subnet = h1.daemon.key(), h1.daemon.subnet()
    before = h1.objects()
    half = f"{PREFIX}/subnets/{subnet.split('/')[0]}-25"
    lab.etcd.put(half, lease_value("192.0.2.66", "0e:66:66:66:66:66")[:-1] + NODE % ("other", "other"))
    lab.etcd.delete(key)
    status = h1.daemon.wait_status(lambda s: s["lease"]["state"] == "conflict", 5, "conflict")
    assert "192.0.2.66" in status["lease"]["reason"]
    stays(lambda: h1.daemon.running and h1.objects() == before, 2, "everything stays")
    assert h1.daemon.subnet() == subnet


def test_two_daemons_of_one_node_id_do_not_share_a_subnet_in_silence(lab):
    """A cloned machine: the same node id on two hosts."""
    lab.start_etcd()
    lab.configure(APART)
    h1, h2 = lab.hosts(2)
    h1.start_daemon(node_id="cloned")
    h2.start_daemon(node_id="cloned", ready=False)

    def told():
        return any(d.problems() or d.logged("(?i)conflict|twice|overwritten") for d in (h1.daemon, h2.daemon))

    wait_for(told, 10, "somebody says that there are two")


def test_attributes_overwritten_in_the_own_key_are_written_again(lab, fabric3):
    h1 = fabric3[0]
    key = h1.daemon.key()
    right = lab.etcd.get(key)
    lab.etcd.put(key, right.value.replace('"VNI":1', '"VNI":2'), right.lease)
    wait_for(lambda: lab.etcd.get(key).value == right.value, 5, "our value again")
    assert h1.daemon.logged("lease-overwritten")
    assert lab.etcd.get(key).lease == right.lease, "still bound to the lease"
    lab.wait_equal()


def test_reservation_is_used_and_stays_one(lab):
    """A key without time to live, put there by an operator for this host's address, as flannel documents it."""
    etcd = lab.start_etcd()
    lab.configure(APART)
    etcd.put(f"{PREFIX}/subnets/10.5.177.0-24", '{"PublicIP":"192.0.2.1"}')
    h1, h2 = lab.hosts(2, daemons=True)
    assert h1.daemon.subnet() == "10.5.177.0/24"
    assert etcd.get(f"{PREFIX}/subnets/10.5.177.0-24").lease == 0
    assert etcd.get(f"{PREFIX}/subnets/10.5.177.0-24").json["Node"]["Reserved"] is True
    assert h1.daemon.status()["lease"]["reservation"] is True
    h1.daemon.restart()
    assert etcd.get(f"{PREFIX}/subnets/10.5.177.0-24").lease == 0
    lab.wait_equal()


@pytest.mark.parametrize("when", ["while it runs", "while it does not"])
def test_key_put_again_without_its_lease_gets_one(lab, fabric3, when):
    """By a person with etcdctl, who has decided nothing: that is named, and undone by who made the key."""
    h1, h2, _ = fabric3
    key = h1.daemon.key()
    bound = lab.etcd.get(key)
    if when == "while it does not":
        h1.daemon.stop()
    lab.etcd.etcdctl("put", key, bound.value)
    if when == "while it does not":
        subnet = h1.daemon.subnet()
        said = h2.daemon.wait_status(lambda s: [p for p in s["problems"] if p["name"] == "lease-unbound"])
        problem = next(p for p in said["problems"] if p["name"] == "lease-unbound")
        assert problem["severity"] == "info" and f"unreserve {subnet}" in problem["text"]
        assert h2.daemon.logged(rf"peer-changed: {subnet}: kind leased -> unbound")
        (row,) = [row for row in h2.daemon.subnets() if row["subnet"] == subnet]
        assert row["unbound"] and not row["reservation"]
        h1.daemon.start().wait_ready()
    now = wait_for(lambda: (record := lab.etcd.get(key)).lease and record, 5, "a lease is bound to it again")
    assert now.lease != bound.lease and now.value == bound.value and now.create_revision == bound.create_revision
    status = h1.daemon.wait_status(lambda s: s["lease"].get("expiresSeconds", 0) > 80000)
    assert not status["lease"]["reservation"]
    assert when == "while it does not" or h1.daemon.logged("lease-rebound: somebody wrote our key without its lease")
    wait_for(lambda: not h2.daemon.problems(), 5, "nothing is unbound")


def test_what_another_host_made_stays_as_it_is(lab, fabric3):
    """The value of h1 as of another address: that is no key of this host's."""
    h1 = fabric3[0]
    key = h1.daemon.key()
    value = lab.etcd.get(key).value
    h1.daemon.stop()
    lab.etcd.put(key, value.replace(h1.address, "192.0.2.99"))
    h2_key = fabric3[1].daemon.key()
    h1.daemon.start()
    stays(lambda: lab.etcd.get(key).lease == 0, 1.5, "no lease is bound to it")
    assert lab.etcd.get(h2_key).lease


def test_lease_that_flannel_left_is_taken_over(lab):
    """A host that ran flannel before keeps its subnet, and its value gets our node id."""
    etcd = lab.start_etcd()
    lab.configure(APART)
    key = f"{PREFIX}/subnets/10.5.188.0-24"
    lease = etcd.grant(86400)
    etcd.put(key, lease_value("192.0.2.1", "0e:01:02:03:04:05"), lease)
    host = lab.host()
    host.start_daemon()
    assert host.daemon.subnet() == "10.5.188.0/24"
    record = etcd.get(key)
    assert record.lease == lease and record.json["BackendData"]["VtepMAC"] == host.vtep_mac()
    assert len(etcd.leases()) == 1


def test_previous_subnet_is_claimed_again_after_the_lease_ran_out(lab, fabric3):
    h1 = fabric3[0]
    subnet, key = h1.daemon.subnet(), h1.daemon.key()
    h1.daemon.kill()
    lab.etcd.delete(key)
    h1.daemon.start().wait_ready()
    assert h1.daemon.subnet() == subnet
    lab.wait_equal()


def test_previous_subnet_that_another_host_took_meanwhile(lab, fabric3):
    h1 = fabric3[0]
    subnet, key = h1.daemon.subnet(), h1.daemon.key()
    h1.daemon.kill()
    theirs = lease_value("192.0.2.66", "0e:66:66:66:66:66")[:-1] + NODE % ("other", "other")
    lab.etcd.put(key, theirs)
    h1.daemon.start()
    wait_for(lambda: h1.daemon.subnet() != subnet, 10, "another subnet")
    h1.daemon.wait_ready()
    assert lab.etcd.get(key).value == theirs
    lab.wait_equal()


def test_ten_daemons_started_at_once_get_ten_subnets(lab):
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(10)
    for host in hosts:
        host.make_daemon()
    for host in hosts:
        host.daemon.start()
    for host in hosts:
        host.daemon.wait_ready(15)
    for host in hosts:
        host.daemon.wait_peers(9)
    assert len({host.daemon.subnet() for host in hosts}) == 10
    assert len(lab.etcd.leases()) == 10
    lab.wait_equal()


def test_eleven_daemons_for_ten_subnets(lab):
    """As many subnets as daemons, claimed at once: every one is found. One daemon too many: it says so, and waits."""
    lab.start_etcd()
    lab.configure({"Network": "10.5.0.0/24", "SubnetLen": 28, "SubnetMin": "10.5.0.16", "SubnetMax": "10.5.0.160"})
    hosts = lab.hosts(11)
    for host in hosts:
        host.make_daemon().start()

    def held():
        states = [h.daemon.status()["lease"]["state"] for h in hosts]
        assert states.count("held") == 10, states
        return True

    wait_for(held, 20, "ten hold a subnet")
    late = next(h for h in hosts if h.daemon.status()["lease"]["state"] != "held")
    late.daemon.wait_log("out-of-subnets", 15)
    assert late.daemon.running and late.daemon.request("/readyz")[0] == 503
    winners = [h for h in hosts if h is not late]
    assert len({h.daemon.subnet() for h in winners}) == 10
    winners[0].daemon.kill()
    lab.etcd.delete(winners[0].daemon.key())
    late.daemon.wait_ready(15)


def test_subnets_of_another_length_are_not_overlapped(lab):
    etcd = lab.start_etcd()
    lab.configure({"Network": "10.5.0.0/22", "SubnetLen": 24})
    # All but 10.5.3.0/24 is taken: by a longer one, a shorter one, and junk-valued one.
    etcd.put(f"{PREFIX}/subnets/10.5.1.64-26", lease_value("192.0.2.61", "0e:00:00:00:00:61"))
    etcd.put(f"{PREFIX}/subnets/10.5.2.0-24", "junk")
    host = lab.host()
    host.start_daemon()
    assert host.daemon.subnet() == "10.5.3.0/24"


@pytest.mark.slow
def test_lease_is_renewed_in_time(lab):
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(2, daemons=True, lease_ttl=10, health_record="false")
    records = [lab.etcd.get(h.daemon.key()) for h in hosts]
    revision = lab.etcd.revision()

    def alive():
        return [lab.etcd.time_to_live(r.lease) > 2 for r in records] == [True, True]

    stays(alive, 13, "more than two seconds left at any time")
    assert lab.etcd.revision() == revision, "renewals cause no events on other hosts"
    for host in hosts:
        host.daemon.wait_ok()
        assert host.daemon.metric('flannel_lease_renewals_total{result="ok"}') >= 3


def test_a_public_address_published_twice_is_told(lab):
    etcd = lab.start_etcd()
    lab.configure(APART)
    theirs = lease_value("192.0.2.1", "0e:66:66:66:66:66")[:-1] + NODE % ("other", "twin")
    etcd.put(f"{PREFIX}/subnets/10.5.44.0-24", theirs)
    host = lab.host()
    host.start_daemon()
    assert host.daemon.subnet() != "10.5.44.0/24"
    host.daemon.wait_log("public-address-twice.*twin")
    assert etcd.get(f"{PREFIX}/subnets/10.5.44.0-24").value == theirs


def test_a_peer_that_wants_our_subnet_takes_no_traffic(lab, fabric3, talking):
    """Leases that overlap ours, or copy a peer's MAC: the older one has the right, the other is shown as ignored."""
    h1, h2, _ = fabric3
    own = h1.daemon.subnet().split("/")[0]
    half = f"{own}-25"
    lab.etcd.put(f"{PREFIX}/subnets/{half}", lease_value("192.0.2.61", "0e:00:00:00:00:61"))
    lab.etcd.put(f"{PREFIX}/subnets/10.5.250.0-24", lease_value("192.0.2.62", h2.vtep_mac()))

    def shown():
        items = {i["subnet"]: i for i in h1.daemon.subnets()}
        assert items[f"{own}/25"]["kernel"] == "ignored" and "overlap" in items[f"{own}/25"]["reason"]
        assert items["10.5.250.0/24"]["kernel"] == "ignored" and items["10.5.250.0/24"]["reason"]
        assert items[h2.daemon.subnet()]["kernel"] == "ok"
        return True

    wait_for(shown, 3, "both are ignored with a reason")
    assert not any("192.0.2.61" in map(str, o) or "192.0.2.62" in map(str, o) for o in h1.objects())


def test_time_left_is_shown_for_peers(lab, fabric3):
    items = fabric3[0].daemon.json("/v1/subnets?timeLeft=1")["items"]
    assert len(items) == 3 and all(86000 < i["expiresSeconds"] <= 86400 for i in items)


def test_watching_the_list(lab, fabric3):
    """/v1/subnets?watch=1: the list, and again after each change."""
    connection = UnixHTTP(fabric3[0].daemon.socket_path, 5)
    connection.request("GET", "/v1/subnets?watch=1")
    response = connection.getresponse()
    assert len(json.loads(response.readline())["items"]) == 3
    key, value = made_up_lease(3)
    lab.etcd.put(PREFIX + key, value)
    assert len(json.loads(response.readline())["items"]) == 4
    connection.close()
