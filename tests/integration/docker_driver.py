# SPDX-License-Identifier: Apache-2.0
"""What a dockerd sends to the daemon's driver, without a dockerd: libnetwork's calls, with its JSON."""

import contextlib
import itertools
import json

from netns import UnixHTTP

MAC = "com.docker.network.endpoint.macaddress"
ID = "0123456789abcdef" * 4


class Refused(Exception):
    """The driver answered with an error."""


class Driver:
    """A dockerd, as far as the driver sees it."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.numbers = itertools.count(1)

    def request(self, path, body, method="POST", timeout_s=60):
        connection = UnixHTTP(self.daemon.flags["docker_socket"], timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def call(self, name, body=None, twice=True):
        """The answer. Most calls are sent a second time, as by a dockerd that has not got it: it must be the same."""
        text = json.dumps(body) if body is not None else ""
        status, answer = self.request(f"/{name}", text)
        if twice and status == 200:
            assert self.request(f"/{name}", text) == (status, answer), name
        answer = json.loads(answer)
        if status != 200:
            raise Refused(answer["Err"])
        return answer

    def pool(self, v6=False, pool=None):
        own = (self.daemon.subnet6() if v6 else self.daemon.subnet()) or ""
        body = {"AddressSpace": "flannel", "Pool": own if pool is None else pool, "SubPool": "", "Options": {}, "V6": v6}
        return self.call("IpamDriver.RequestPool", body)

    def address(self, mac=None, wanted="", pool=None):
        options = {MAC: mac} if mac else None
        body = {"PoolID": pool or self.pool()["PoolID"], "Address": wanted, "Options": options}
        return self.call("IpamDriver.RequestAddress", body)["Address"]

    def release(self, address, pool=None):
        body = {"PoolID": pool or self.pool()["PoolID"], "Address": address.split("/")[0]}
        return self.call("IpamDriver.ReleaseAddress", body)

    def network(self, *pools, generic=None, space="flannel", **options):
        data = [{"AddressSpace": space, "Pool": pool, "Gateway": "", "AuxAddresses": {}} for pool in pools]
        return self.call(
            "NetworkDriver.CreateNetwork",
            {
                "NetworkID": ID,
                "Options": {"com.docker.network.generic": generic or {}} | options,
                "IPv4Data": [one for one in data if ":" not in one["Pool"]],
                "IPv6Data": [one for one in data if ":" in one["Pool"]],
            },
        )

    def mac(self):
        return f"02:42:0a:05:00:{next(self.numbers):02x}"

    def create(self, id, mac, *addresses):
        interface = {"Address": "", "AddressIPv6": "", "MacAddress": mac}
        for address in addresses:
            interface["AddressIPv6" if ":" in address else "Address"] = address
        body = {"NetworkID": ID, "EndpointID": id, "Interface": interface, "Options": {}}
        return self.call("NetworkDriver.CreateEndpoint", body)

    def join(self, id):
        return self.call("NetworkDriver.Join", {"NetworkID": ID, "EndpointID": id, "SandboxKey": "/run/netns/x", "Options": {}})

    def delete(self, id):
        return self.call("NetworkDriver.DeleteEndpoint", {"NetworkID": ID, "EndpointID": id})

    def attach(self, number, mac=None):
        """(id, address, MAC), up to the Join."""
        id, mac = f"{number:064x}", mac or self.mac()
        address = self.address(mac)
        self.create(id, mac, address)
        self.join(id)
        return id, address, mac

    def detach(self, id, address):
        self.call("NetworkDriver.Leave", {"NetworkID": ID, "EndpointID": id})
        self.delete(id)
        self.release(address)
