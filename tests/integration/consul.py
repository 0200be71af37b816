# SPDX-License-Identifier: Apache-2.0
"""A real Consul inside namespaces: one server or three, and a small client of its HTTP API.

    consul = start(lab)                    # one server at 192.0.2.201; members=3 for three
    lab.configure()                        # lab.etcd is it: what stands in the store is asked of it as of etcd
    lab.hosts(2, daemons=True, **consul.flags())

The program is the machine's, or CONSUL=/path/to/consul; if neither is there that of Debian 11, the last that had a
package, which apt is asked for once and which stays in the build directory. A machine that cannot have it within a
minute skips these tests.
"""

import base64
import contextlib
import http.client
import json
import shutil
import signal
import ssl
import urllib.parse

import debian
from etcd import FIRST_HOST, PREFIX, Record
from fabric import APART
from netns import NamespaceHTTP, end_process, wait_for


def program():
    return debian.program("consul", "bullseye", "consul", variable="CONSUL")


class ConsulError(OSError):
    """The agent answered, with an error."""

    def __init__(self, status, text):
        super().__init__(f"consul: HTTP {status}: {text}")
        self.status = status
        self.text = text


class Member:
    def __init__(self, consul, number, server=True):
        self.consul = consul
        self.server = server
        self.name = f"c{number}"
        self.address = f"192.0.2.{FIRST_HOST + number}"
        self.namespace = consul.plug(self.name, self.address)
        self.directory = consul.directory / self.name
        self.log = consul.directory / f"{self.name}.log"
        self.process = None

    @property
    def endpoint(self):
        return f"{self.consul.scheme}://{self.address}:{self.consul.port}"

    def configuration(self):
        ours = {
            "node_name": self.name, "data_dir": str(self.directory), "server": self.server,
            "bind_addr": self.address, "client_addr": self.address, "retry_join": [m.address for m in self.consul.members if m is not self], "retry_interval": "1s",
            "disable_update_check": True, "disable_host_node_id": True, "log_level": "warn",
            "leave_on_terminate": False, "performance": {"raft_multiplier": 1}, "ports": {"http": self.consul.port},
        }  # fmt: skip
        if self.server:
            ours["bootstrap_expect"] = sum(m.server for m in self.consul.members)
        return ours | self.consul.settings

    def start(self):
        assert not self.running
        path = self.consul.directory / f"{self.name}.json"
        path.write_text(json.dumps(self.configuration()))
        with self.log.open("ab") as log:
            self.process = self.namespace.popen(self.consul.program, "agent", "-config-file", path, stdout=log, stderr=log)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.process:
            end_process(self.process)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def healthy(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.consul.api("GET", "/v1/kv/-?keys&consistent", member=self, timeout_s=2, absent=True)
            return True
        return False


class Consul:
    """One server or three, each in a namespace of its own; requests are sent from `namespace`. As of etcd, keys begin with a slash.

    The last `clients` of the members are no servers, but agents as they run on every host.
    """

    def __init__(self, namespace, plug, directory, members=1, clients=0, tls=None, **settings):
        self.program = program()
        self.namespace = namespace
        self.plug = plug
        self.directory = directory
        self.settings = settings
        self.token = None
        self.scheme, self.port, self.context, self.tls = "http", 8500, None, None
        if tls:
            self.scheme, self.port, self.tls = "https", 8501, tls
            self.settings = settings | {
                "ca_file": str(tls.ca), "cert_file": str(tls.server_cert), "key_file": str(tls.server_key),
                "verify_incoming_https": True, "ports": {"http": -1, "https": self.port},
            }  # fmt: skip
            self.context = ssl.create_default_context(cafile=tls.ca)
            self.context.load_cert_chain(tls.client_cert, tls.client_key)
        directory.mkdir(parents=True, exist_ok=True)
        self.members = [Member(self, n + 1, n < members) for n in range(members + clients)]

    @property
    def endpoints(self):
        return ",".join(m.endpoint for m in self.members)

    def flags(self, **more):
        """What daemons are told to use it."""
        flags = {"store": "consul", "consul_endpoints": self.endpoints}
        if self.tls:
            flags |= {"consul_cafile": self.tls.ca, "consul_certfile": self.tls.client_cert, "consul_keyfile": self.tls.client_key}
        return flags | more

    # ---- life

    def start(self, wait=True):
        for member in self.members:
            if not member.running:
                member.start()
        if wait:
            self.wait_healthy()
        return self

    def wait_healthy(self, deadline_s=40):
        running = [m for m in self.members if m.running]
        wait_for(lambda: all(m.healthy() for m in running), deadline_s, "Consul serves")

    def kill(self):
        for member in self.members:
            member.kill()

    close = kill

    def wipe(self):
        """All data gone, a new cluster under the same addresses."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.directory, ignore_errors=True)
        self.start()

    def snapshot(self, verb, path):
        """save or restore"""
        self.namespace.run(self.program, "snapshot", verb, f"-http-addr={self.members[0].endpoint}", path)

    def leader(self):
        """The member that leads, and one that follows (None with a single member)."""
        address = json.loads(self.api("GET", "/v1/status/leader")).partition(":")[0]
        leader = next(m for m in self.members if m.address == address)
        return leader, next((m for m in self.members if m is not leader), None)

    def log_tail(self, lines=30):
        return "\n".join(
            f"--- {m.name}\n" + "\n".join(m.log.read_text(errors="replace").splitlines()[-lines:])
            for m in self.members
            if m.log.exists()
        )

    # ---- requests

    def api(self, method, path, body=None, member=None, timeout_s=10, absent=False):
        """The text of an answer. Without `member` of the first that answers. `absent`: None for what is not there."""
        problem = OSError("no member runs")
        for candidate in [member] if member else [m for m in self.members if m.running]:
            connection = NamespaceHTTP(self.namespace, candidate.address, self.port, timeout_s, self.context)
            try:
                text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
                connection.request(method, path, text, {"X-Consul-Token": self.token} if self.token else {})
                response = connection.getresponse()
                answer = response.read().decode()
            except (OSError, http.client.HTTPException) as e:
                problem = e
                continue
            finally:
                connection.close()
            if response.status == 404 and absent and response.getheader("X-Consul-Index"):
                return None
            if response.status == 200:
                return answer
            problem = ConsulError(response.status, answer)
        raise problem

    @staticmethod
    def _path(key):
        return "/v1/kv/" + urllib.parse.quote(key.strip("/") + ("/" if key.endswith("/") else ""))

    def put(self, key, value, session=None):
        """A plain PUT, as people do it: whatever session holds the key, it still does."""
        acquire = f"?acquire={session}" if session else ""
        assert json.loads(self.api("PUT", self._path(key) + acquire, value))

    def put_many(self, pairs):
        pairs = list(pairs)
        for start in range(0, len(pairs), 64):
            ops = [
                {"KV": {"Verb": "set", "Key": k.strip("/"), "Value": base64.b64encode(v.encode()).decode()}}
                for k, v in pairs[start : start + 64]
            ]
            self.api("PUT", "/v1/txn", ops)

    def get(self, key):
        answer = self.api("GET", self._path(key), absent=True)
        return _decoded(json.loads(answer)[0]) if answer else None

    def list(self, prefix):
        return [_decoded(r) for r in json.loads(self.api("GET", self._path(prefix) + "?recurse", absent=True) or "[]")]

    def delete(self, key):
        self.api("DELETE", self._path(key))

    def delete_all(self, prefix=PREFIX):
        self.api("DELETE", self._path(prefix) + "?recurse")

    def session(self, ttl_s=600):
        body = {"TTL": f"{ttl_s}s", "Behavior": "delete", "LockDelay": "0s", "Checks": []}
        return json.loads(self.api("PUT", "/v1/session/create", body))["ID"]

    def sessions(self):
        return {s["ID"]: s for s in json.loads(self.api("GET", "/v1/session/list"))}

    def destroy(self, session):
        self.api("PUT", f"/v1/session/destroy/{session}", "")

    # ---- rights

    def bootstrap(self):
        """With settings=ACL: the token that may everything, which the requests of the test have from now on."""

        def made():
            return json.loads(self.api("PUT", "/v1/acl/bootstrap"))["SecretID"]

        self.token = wait_for(made, 20, "the ACL system is bootstrapped")
        return self.token

    def policy(self, name, rules):
        """Made or changed."""
        known = {p["Name"]: p["ID"] for p in json.loads(self.api("GET", "/v1/acl/policies"))}
        path = f"/v1/acl/policy/{known[name]}" if name in known else "/v1/acl/policy"
        self.api("PUT", path, {"Name": name, "Rules": rules})

    def new_token(self, *policies):
        body = {"Policies": [{"Name": p} for p in policies]}
        return json.loads(self.api("PUT", "/v1/acl/token", body))

    # ---- the fabric's keys

    def set_config(self, config, prefix=PREFIX):
        self.put(f"{prefix}/config", config if isinstance(config, str) else json.dumps(config))

    def leases(self, prefix=PREFIX):
        return self.list(f"{prefix}/subnets/")


ACL = {"acl": {"enabled": True, "default_policy": "deny", "enable_token_persistence": True}}


def _decoded(entry):
    value = base64.b64decode(entry["Value"] or "")
    with contextlib.suppress(UnicodeDecodeError):
        value = value.decode()
    return Record(
        key=f"/{entry['Key']}", value=value, lease=entry.get("Session", ""),
        create_revision=entry["CreateIndex"], mod_revision=entry["ModifyIndex"],
    )  # fmt: skip


def start(lab, members=1, config=APART, wait=True, **options):
    """The lab's store from now on, with a network configuration in it unless `config` is None."""
    lab.etcd = Consul(lab.underlay, lab.plug, lab.directory / "consul", members, **options)
    lab.closers.callback(lab.etcd.close)
    lab.etcd.start(wait)
    if config:
        lab.configure(config)
    return lab.etcd
