# SPDX-License-Identifier: Apache-2.0
"""The daemon's driver for docker, call by call, as dockerd sends them: again, after restarts, without state, all at once."""

import concurrent.futures
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pytest
from cni_support import Host as Plugin
from cni_support import elements

from docker_driver import ID, MAC, Driver, Refused
from fabric import APART, CNI_PLUGIN, DUAL, FABRICCTL, SANITIZED
from netns import wait_for

NETWORK = "docker-flannel"  # under which the plugin records what docker asked for
SMALL = APART | {"SubnetLen": 28, "SubnetMin": "10.5.150.0", "SubnetMax": "10.5.150.240"}  # 13 addresses a host
MAX_CALL = 1 << 18


def start(lab, config=APART, **flags):
    lab.start_etcd()
    lab.configure(config)
    (host,) = lab.hosts(1)
    directory = lab.directory / "docker"
    flags = {"docker_socket": directory / "drivers" / "flannel.sock", "cni_ipam_dir": directory / "networks"} | flags
    return host.start_daemon(**flags)


@pytest.fixture
def daemon(lab):
    return start(lab)


@pytest.fixture
def driver(daemon):
    return Driver(daemon)


def plugin_on(daemon):
    """The same plugin as a runtime would run it, on the same state."""
    plugin = Plugin(existing=daemon.host.name, subnet_file=daemon.subnet_file)
    shutil.rmtree(plugin.directory)
    plugin.directory.mkdir()
    plugin.data_dir = pathlib.Path(daemon.flags["cni_data_dir"])
    plugin.pool_dir = pathlib.Path(daemon.flags["cni_ipam_dir"])
    return plugin


def ctl(daemon, *argv, check=True):
    flags = [
        f"--cni-plugin={CNI_PLUGIN}", f"--cni-data-dir={daemon.flags['cni_data_dir']}", f"--socket={daemon.socket_path}",
        "--config-file=/dev/null",
    ]  # fmt: skip
    with daemon.host.namespace.entered():
        done = subprocess.run([FABRICCTL, *argv, *flags], capture_output=True, text=True, check=False)
    assert not check or done.returncode in (0, 3), done.stderr
    return done


def test_handshake(driver, daemon):
    assert driver.call("Plugin.Activate") == {"Implements": ["NetworkDriver", "IpamDriver"]}
    assert driver.call("NetworkDriver.GetCapabilities")["Scope"] == "local"
    assert driver.call("IpamDriver.GetCapabilities")["RequiresMACAddress"] is True
    assert driver.call("IpamDriver.GetDefaultAddressSpaces")["LocalDefaultAddressSpace"] == "flannel"
    pool = driver.pool()
    assert pool["Pool"] == daemon.subnet()
    assert pool["Data"]["com.docker.network.gateway"] == daemon.environment_file()["FLANNEL_SUBNET"]
    assert driver.network(pool["Pool"]) == {}
    for name in ("DiscoverNew", "DiscoverDelete", "DeleteNetwork"):
        assert driver.call(f"NetworkDriver.{name}", {"NetworkID": ID}) == {}
    assert driver.call("IpamDriver.ReleasePool", {"PoolID": pool["PoolID"]}) == {}


def test_life_of_an_endpoint(driver, daemon):
    """Every call twice (Driver.call), what it makes once, and nothing is left."""
    plugin = plugin_on(daemon)
    id, address, mac = driver.attach(1)
    joined = driver.join(id)
    name = joined["InterfaceName"]["SrcName"]
    assert joined["InterfaceName"]["DstPrefix"] == "eth"
    assert f"{joined['Gateway']}/24" == daemon.environment_file()["FLANNEL_SUBNET"]
    links = plugin.ns.links()
    assert links[name]["address"] == mac and links[name]["mtu"] == int(daemon.environment_file()["FLANNEL_MTU"])
    assert len(plugin.veths()) == 2
    (port,) = [veth for veth in plugin.veths() if veth != name]
    assert links[port]["master"] == "cni0"
    assert daemon.environment_file()["FLANNEL_SUBNET"] in plugin.ns.addresses("cni0")
    assert plugin.reservations(NETWORK) == {address.split("/")[0]: (id, name)}
    # What dockerd does.
    container = plugin.namespace()
    plugin.ns.run("ip", "link", "set", name, "netns", container.name, "name", "eth0")
    container.run("ip", "addr", "add", address, "dev", "eth0")
    container.run("ip", "link", "set", "eth0", "up")
    container.ping(joined["Gateway"])
    assert driver.call("NetworkDriver.EndpointOperInfo", {"NetworkID": ID, "EndpointID": id}) == {"Value": {}}
    driver.detach(id, address)
    assert plugin.leftovers(NETWORK) == {}
    container.delete()
    # And once more what is gone already.
    driver.detach(id, address)


def test_ports(driver, daemon):
    plugin = plugin_on(daemon)
    id, address, mac = driver.attach(1)
    before = elements(plugin.ns.nft())

    def publish(id, *ports):
        ports = [
            {"Proto": 6, "IP": "", "Port": inner, "HostIP": "", "HostPort": outer, "HostPortEnd": outer} for outer, inner in ports
        ]
        options = {"com.docker.network.portmap": ports}
        driver.call("NetworkDriver.ProgramExternalConnectivity", {"NetworkID": ID, "EndpointID": id, "Options": options})

    publish(id)
    assert elements(plugin.ns.nft()) == before
    publish(id, (8080, 80), (8443, 443))
    rules = plugin.ns.nft()
    assert re.search(rf"tcp . 8080.* : {address.split('/')[0]} . 80\b", rules) and "8443" in rules
    # Another choice takes the place of the first.
    publish(id, (9090, 80))
    rules = plugin.ns.nft()
    assert "9090" in rules and "8080" not in rules
    other = driver.attach(2)
    with pytest.raises(Refused, match=f"port 9090/tcp of the host is published for container {id}"):
        publish(other[0], (9090, 80))
    with pytest.raises(Refused, match="say which port"):
        publish(other[0], (0, 80))
    daemon.kill()
    daemon.start().wait_ready()
    driver.join(id)
    assert "9090" in plugin.ns.nft()
    driver.call("NetworkDriver.RevokeExternalConnectivity", {"NetworkID": ID, "EndpointID": id})
    assert "9090" not in plugin.ns.nft()
    publish(other[0], (9090, 80))
    # Without a Revoke they go with the endpoint.
    driver.detach(*other[:2])
    driver.detach(id, address)
    assert plugin.leftovers(NETWORK) == {}


def test_both_families(lab):
    driver = Driver(start(lab, DUAL))
    plugin = plugin_on(driver.daemon)
    pools = [driver.pool()["Pool"], driver.pool(v6=True)["Pool"]]
    assert pools[1] == driver.daemon.subnet6()
    driver.network(*pools)
    mac = driver.mac()
    addresses = [driver.address(mac, pool=pool) for pool in pools]
    assert ":" in addresses[1]
    driver.create(ID, mac, *addresses)
    joined = driver.join(ID)
    assert joined["Gateway"] and joined["GatewayIPv6"]
    assert len(plugin.reservations(NETWORK)) == 2
    driver.delete(ID)
    for address, pool in zip(addresses, pools):
        driver.release(address, pool)
    assert plugin.leftovers(NETWORK) == {}


def test_an_address_asked_for_again_is_the_same(driver, daemon):
    """Of a dockerd that never got the answer. After CreateEndpoint the same MAC is another endpoint's."""
    plugin = plugin_on(daemon)
    mac = driver.mac()
    first = driver.address(mac)
    daemon.restart()
    assert driver.address(mac) == first
    assert len(plugin.reservations(NETWORK)) == 1
    driver.create(ID, mac, first)
    other = driver.address(mac)
    assert other != first
    driver.release(other)
    assert list(plugin.reservations(NETWORK)) == [first.split("/")[0]]


def test_wanted_addresses(driver, daemon):
    subnet = daemon.subnet().split("/")[0].rsplit(".", 1)[0]
    mac = driver.mac()
    assert driver.address(mac, f"{subnet}.77") == f"{subnet}.77/24"
    with pytest.raises(Refused, match="not available"):
        driver.address(driver.mac(), f"{subnet}.77")
    with pytest.raises(Refused, match="gateway"):
        driver.address(driver.mac(), f"{subnet}.1")
    with pytest.raises(Refused, match="not in range"):
        driver.address(driver.mac(), "10.77.0.1")
    # --aux-address: no MAC, and nobody's until it is given back.
    assert driver.address(None, f"{subnet}.78") == f"{subnet}.78/24"
    driver.release(f"{subnet}.78")
    assert driver.address(driver.mac(), f"{subnet}.78") == f"{subnet}.78/24"


def test_one_pool_for_docker_and_cni(lab):
    """Until the subnet is full, and then each as many as the other gives back."""
    daemon = start(lab, SMALL)
    driver, plugin = Driver(daemon), plugin_on(daemon)
    conf = plugin.flannel(delegate={"isDefaultGateway": True})
    attached, given = [], set()
    for number in range(6):
        attached.append(driver.attach(number))
        given.add(attached[-1][1].split("/")[0])
        result = plugin.add(conf, plugin.namespace(), id=f"c{number}")
        given.add(result["ips"][0]["address"].split("/")[0])
    assert len(given) == 12
    driver.attach(6)
    with pytest.raises(Refused, match="no IP addresses available"):
        driver.address(driver.mac())
    refused = plugin.run("ADD", conf, plugin.namespace(), id="c9")
    assert not refused.ok and "no IP addresses available" in refused.message
    driver.detach(*attached[0][:2])
    result = plugin.add(conf, plugin.namespace(), id="c9")
    assert result["ips"][0]["address"] == attached[0][1]
    plugin.delete(conf, id="c9")
    assert driver.address(driver.mac()) == attached[0][1]
    with plugin:
        pass


def test_a_late_release_takes_nothing_from_the_next(lab):
    """The first ReleaseAddress was done, its answer lost, and the address is another's when it comes again."""
    daemon = start(lab, SMALL)
    driver, plugin = Driver(daemon), plugin_on(daemon)
    attached = [driver.attach(number) for number in range(13)]
    id, address, _ = attached[5]
    driver.detach(id, address)
    next_one = driver.attach(100)
    assert next_one[1] == address
    driver.release(address)
    assert plugin.reservations(NETWORK)[address.split("/")[0]][0] == next_one[0]
    driver.join(next_one[0])


def test_restarts_between_all_calls(driver, daemon):
    plugin = plugin_on(daemon)
    mac = driver.mac()
    steps = [
        lambda: driver.create(ID, mac, address), lambda: driver.join(ID), lambda: driver.join(ID),
        lambda: driver.delete(ID), lambda: driver.release(address),
    ]  # fmt: skip
    address = driver.address(mac)
    for step in steps:
        daemon.kill()
        daemon.start().wait_ready()
        step()
    assert plugin.leftovers(NETWORK) == {}


@pytest.mark.parametrize("lost", ["reservations", "records", "all"])
def test_lost_state(driver, daemon, lost):
    """dockerd, started again, says what it has (RequiresRequestReplay); then everything is taken down without an error."""
    plugin = plugin_on(daemon)
    id, address, mac = driver.attach(1)
    name = driver.join(id)["InterfaceName"]["SrcName"]
    for directory in {"reservations": [plugin.pool_dir], "records": [plugin.data_dir]}.get(lost, [plugin.pool_dir, plugin.data_dir]):
        shutil.rmtree(directory)
    driver.pool(pool=daemon.subnet())
    assert driver.address(None, address.split("/")[0]) == address
    assert address.split("/")[0] in plugin.reservations(NETWORK)
    assert driver.address(driver.mac()) != address
    driver.delete(id)
    driver.release(address)
    assert address.split("/")[0] not in plugin.reservations(NETWORK)
    assert name not in plugin.ns.links() and plugin.veths() == []


@pytest.mark.parametrize("damaged", [False, True])
def test_made_again_without_its_record(driver, daemon, damaged):
    """The call comes again, and of the record nothing can be read: the pair that stands is no hindrance."""
    plugin = plugin_on(daemon)
    id, address, mac = driver.attach(1)
    (record,) = (plugin.data_dir / f"@{NETWORK}").glob(f"{id}@*")
    record.write_text("{") if damaged else record.unlink()
    driver.create(id, mac, address)
    name = driver.join(id)["InterfaceName"]["SrcName"]
    assert len(plugin.veths()) == 2 and plugin.ns.link(name)["address"] == mac
    assert plugin.reservations(NETWORK) == {address.split("/")[0]: (id, name)}
    driver.detach(id, address)
    assert plugin.leftovers(NETWORK) == {}


def test_a_veth_pair_that_is_gone_is_made_again(driver, daemon):
    plugin = plugin_on(daemon)
    id, address, mac = driver.attach(1)
    name = driver.join(id)["InterfaceName"]["SrcName"]
    plugin.ns.run("ip", "link", "del", name)
    again = driver.join(id)["InterfaceName"]["SrcName"]
    assert plugin.ns.link(again)["address"] == mac
    assert plugin.reservations(NETWORK) == {address.split("/")[0]: (id, again)}
    driver.detach(id, address)
    assert plugin.leftovers(NETWORK) == {}


def test_killed_at_any_moment(driver, daemon):
    """The plugin, by its daemon's end: the next call finds its way, and two endpoints never have one address."""
    plugin = plugin_on(daemon)
    for number, after_s in enumerate([0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012]):
        id, mac = f"{number:064x}", driver.mac()
        address = driver.address(mac)

        def create():
            with contextlib.suppress(OSError, http.client.HTTPException):
                driver.create(id, mac, address)

        thread = threading.Thread(target=create)
        thread.start()
        threading.Event().wait(after_s)
        daemon.stop()
        thread.join()
        daemon.start().wait_ready()
        driver.create(id, mac, address)
        driver.join(id)
        assert [owner for owner, _ in plugin.reservations(NETWORK).values()].count(id) == 1
        driver.detach(id, address)
        assert plugin.leftovers(NETWORK) == {}


def test_many_at_once(driver, daemon):
    plugin = plugin_on(daemon)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        attached = list(pool.map(driver.attach, range(40)))
    assert len({address for _, address, _ in attached}) == 40
    assert len(plugin.reservations(NETWORK)) == 40
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda one: driver.detach(*one[:2]), attached))
    assert plugin.leftovers(NETWORK) == {}


def test_the_loop_turns_while_a_call_waits(driver, daemon):
    """Somebody holds the lock of the addresses: docker waits for it, nobody else does."""
    directory = pathlib.Path(daemon.flags["cni_ipam_dir"])
    driver.release(driver.address(driver.mac()))
    with (directory / NETWORK / "lock").open("w") as lock, concurrent.futures.ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(driver.attach, 1)
        wait_for(lambda: not waiting.done() and daemon.request("/healthz", timeout_s=1)[0] == 200, 5, "the daemon answers")
        for _ in range(20):
            assert daemon.request("/readyz", timeout_s=1)[0] == 200
        assert not waiting.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
        driver.detach(*waiting.result(30)[:2])


def test_networks_that_cannot_be(driver, daemon):
    subnet = daemon.subnet()
    for text, call in {
        "--ipam-driver": lambda: driver.network("172.18.0.0/16", space="LocalDefault"),
        "not this host's": lambda: driver.network("172.18.0.0/16"),
        'no option "bridge"': lambda: driver.network(subnet, generic={"bridge": "br0"}),
        'no option "com.docker.network.driver.mtu"': lambda: driver.network(subnet, generic={"com.docker.network.driver.mtu": "1300"}),
        "--internal": lambda: driver.network(subnet, **{"com.docker.network.internal": True}),
        f"with --subnet {subnet}": lambda: driver.pool(pool="10.77.0.0/24"),
        f"give --subnet {subnet}": lambda: driver.pool(pool=""),
        "without --ipv6": lambda: driver.pool(v6=True),
        "there is no endpoint": lambda: driver.join(ID),
        "is missing": lambda: driver.call("NetworkDriver.Join", {}),
        "letters and digits": lambda: driver.call("NetworkDriver.Join", {"EndpointID": "../../etc"}),
    }.items():
        with pytest.raises(Refused, match=text):
            call()
    assert daemon.logged("docker-call-failed: NetworkDriver.Join: EndpointID is missing")


def test_a_subnet_that_the_host_has_no_more(driver, daemon):
    """The network is of another subnet than subnet.env tells now: nothing new is attached to it, the old can go."""
    old = daemon.subnet()
    id, address, mac = driver.attach(1)
    other = daemon.directory / "other.env"
    other.write_text(daemon.subnet_file.read_text().replace(old.rsplit(".", 1)[0], "10.5.149"))

    def call(name, body):
        flags = daemon.flags
        argv = [CNI_PLUGIN, "docker", name, flags["cni_data_dir"], flags["cni_ipam_dir"], other]
        with daemon.host.namespace.entered():
            done = subprocess.run(argv, input=json.dumps(body), capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    asked = {"PoolID": old, "Address": "", "Options": {MAC: driver.mac()}}
    status, answer = call("IpamDriver.RequestAddress", asked)
    assert status == 1 and "make the network (again)" in answer["Err"] and "10.5.149.0/24" in answer["Err"]
    assert call("NetworkDriver.DeleteEndpoint", {"NetworkID": ID, "EndpointID": id}) == (0, {})
    assert call("IpamDriver.ReleaseAddress", {"PoolID": old, "Address": address.split("/")[0]}) == (0, {})
    assert plugin_on(daemon).leftovers(NETWORK) == {}


def test_drained(driver, daemon):
    id, address, mac = driver.attach(1)
    daemon.request("/v1/drain?state=drained", "POST")
    wait_for(lambda: "DRAIN" in daemon.subnet_file.read_text().upper(), 5, "subnet.env says so")
    with pytest.raises(Refused, match="drained"):
        driver.address(driver.mac())
    # What is there stays, and can go.
    assert driver.address(None, address.split("/")[0]) == address
    driver.detach(id, address)


def test_no_subnet_yet(lab):
    lab.start_etcd()
    (host,) = lab.hosts(1)
    directory = lab.directory / "docker"
    daemon = host.start_daemon(ready=False, docker_socket=directory / "flannel.sock", cni_ipam_dir=directory / "networks")
    daemon.wait_listening()
    driver = Driver(daemon)
    assert driver.call("Plugin.Activate")["Implements"]
    with pytest.raises(Refused, match="flanneld has not got a subnet yet"):
        driver.call("IpamDriver.RequestPool", {"Pool": "10.5.1.0/24"})
    # What is to be taken down needs none.
    driver.delete(ID)


def test_no_plugin(lab):
    driver = Driver(start(lab, cni_plugin="/nonexistent/flannel"))
    with pytest.raises(Refused, match="there is no /nonexistent/flannel"):
        driver.pool()


def test_only_root_gets_in(driver, daemon):
    path = pathlib.Path(daemon.flags["docker_socket"])
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_uid == 0
    # Who was given the socket by mistake is refused all the same.
    path.chmod(0o666)
    for folder in [daemon.host.lab.directory, *path.relative_to(daemon.host.lab.directory).parents]:
        (daemon.host.lab.directory / folder).chmod(0o755)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writer, json.dumps(driver.request("/IpamDriver.RequestPool", "{}")).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    status, text = json.loads(os.read(reader, 4096))
    assert status == 403 and "only root" in text


UNIT = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "flanneld.service.in"


def system_calls(group):
    """Those of a group as systemd has it, whatever is nested in it."""
    found = set()
    for line in subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout.splitlines():
        name = line.strip()
        if name.startswith("@") and name != group:
            found |= system_calls(name)
        elif re.fullmatch(r"\w+", name):
            found.add(name)
    return found


def test_with_the_rights_that_the_unit_gives(lab):
    """The plugin that the daemon runs has no more of them than the daemon, and calls nothing that would end it."""
    if SANITIZED:
        pytest.skip("the leak sanitizer cannot be traced")
    for program in ("systemd-analyze", "strace"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    unit = UNIT.read_text()
    names = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].lower().replace("cap_", "").split()
    only = "-all," + ",".join(f"+{name}" for name in names)
    allowed = set()
    for minus, groups in re.findall(r"^SystemCallFilter=(~?)(.*)$", unit, re.M):
        for group in groups.split():
            allowed = allowed - system_calls(group) if minus else allowed | system_calls(group)
    lab.start_etcd()
    lab.configure()
    (host,) = lab.hosts(1)
    directory = lab.directory / "docker"
    directory.mkdir()
    plugin, trace = directory / "flannel", directory / "trace"
    plugin.write_text(f'#!/bin/sh\nexec strace -f -A -o {trace} {CNI_PLUGIN} "$@"\n')
    plugin.chmod(0o755)
    flags = {"docker_socket": directory / "flannel.sock", "cni_ipam_dir": directory / "networks", "cni_plugin": plugin}
    daemon = host.make_daemon(**flags)
    daemon.wrapper = ["setpriv", f"--bounding-set={only}", f"--inh-caps={only}", f"--ambient-caps={only}", "--no-new-privs"]
    daemon.start().wait_ready()
    driver = Driver(daemon)
    id, address, mac = driver.attach(1)
    ports = [{"Proto": 6, "Port": 80, "HostPort": 8080}]
    call = {"NetworkID": ID, "EndpointID": id, "Options": {"com.docker.network.portmap": ports}}
    driver.call("NetworkDriver.ProgramExternalConnectivity", call)
    driver.detach(id, address)
    assert plugin_on(daemon).leftovers(NETWORK) == {}
    called = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    assert {"execve", "openat", "sendmsg"} & called and called <= allowed, called - allowed


def test_off_unless_asked_for(lab):
    lab.start_etcd()
    lab.configure()
    (host,) = lab.hosts(1, daemons=True)
    assert "docker" not in host.daemon.log()


def test_socket_goes_with_the_daemon_and_comes_after_a_kill(driver, daemon):
    path = pathlib.Path(daemon.flags["docker_socket"])
    assert path.exists()
    daemon.stop()
    assert not path.exists()
    daemon.start().wait_ready()
    daemon.kill()
    assert path.exists()
    daemon.start().wait_ready()
    assert driver.call("Plugin.Activate")


BAD = {
    "no JSON": b"\xff\xfe{",
    "a list": b"[]",
    "nothing": b"",
    "deep": b'{"a":' * 2000,
    "zero byte": b'{"PoolID":\x00"x"}',
    "wrong types": b'{"PoolID":7,"Address":{}}',
    "twice": b'{"PoolID":"10.5.1.0/24","poolid":"10.5.2.0/24"}',
    "no pool": b'{"Address":"10.5.1.2"}',
    "long": json.dumps({"PoolID": "x" * 100000}).encode(),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_bodies(driver, daemon, what):
    for name in ("IpamDriver.RequestAddress", "IpamDriver.ReleaseAddress", "NetworkDriver.CreateEndpoint", "NetworkDriver.Join"):
        status, text = driver.request(f"/{name}", BAD[what])
        assert status == 500 and json.loads(text)["Err"], name
    assert driver.pool()


def test_bounds(driver, daemon):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
        one.connect(str(daemon.flags["docker_socket"]))
        one.settimeout(10)
        one.sendall(f"POST /NetworkDriver.Join HTTP/1.1\r\nHost: a\r\nContent-Length: {MAX_CALL + 1}\r\n\r\n".encode())
        assert one.recv(100).startswith(b"HTTP/1.1 413")
    assert driver.request("/NetworkDriver.Join", b"x" * MAX_CALL)[0] == 500
    assert driver.request("/NetworkDriver.Nothing", b"{}")[0] == 404
    assert driver.request("/", b"{}")[0] == 404
    assert driver.request("/Plugin.Activate", b"", "GET")[0] in (405, 501)
    # More connections than there may be, silent ones: a call gets its answer.
    silent = []
    for _ in range(200):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(daemon.flags["docker_socket"]))
        silent.append(one)
    assert driver.pool()
    for one in silent:
        one.close()


def test_fabricctl_knows_them(driver, daemon):
    id, address, mac = driver.attach(1)
    pods = json.loads(ctl(daemon, "pods", "-o", "json").stdout)["items"]
    (one,) = [pod for pod in pods if pod["containerID"] == id]
    assert one["network"] == NETWORK and one["addresses"] == [address.split("/")[0]] and one["state"] == "ok"
    assert id in ctl(daemon, "ip", address.split("/")[0], "-o", "json").stdout
    # A container that is gone, of which docker never told.
    plugin = plugin_on(daemon)
    plugin.ns.run("ip", "link", "del", driver.join(id)["InterfaceName"]["SrcName"])
    flags = [f"--cni-ipam-dir={daemon.flags['cni_ipam_dir']}", f"--subnet-file={daemon.subnet_file}"]
    assert id in ctl(daemon, "gc", *flags, "-o", "json").stdout
    assert ctl(daemon, "gc", "--apply", "--yes", *flags).returncode == 0
    assert plugin.leftovers(NETWORK) == {}


def test_what_others_undo_is_put_back(driver, daemon):
    """The plugin keeps docker's containers as it does all (`flannel keep`)."""
    plugin = plugin_on(daemon)
    id, address, mac = driver.attach(1)
    before = elements(plugin.ns.nft())
    plugin.ns.run("ip", "addr", "flush", "dev", "cni0")
    plugin.ns.run("nft", "flush", "ruleset")
    gateway = daemon.environment_file()["FLANNEL_SUBNET"]
    wait_for(lambda: gateway in plugin.ns.addresses("cni0"), 10, "the gateway's address is back")
    wait_for(lambda: elements(plugin.ns.nft()) == before, 10, "the rules are back")
    driver.detach(id, address)
