# SPDX-License-Identifier: Apache-2.0
"""Debian's etcd inside a namespace: one member or three, and a small client of its JSON gateway.

The client is written independently of the daemon's: tests compare what the daemon did with what stands in the store.
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import time

from netns import NamespaceHTTP, end_process, run, wait_for

PREFIX = "/coreos.com/network"
TXN_MAX = 128
FIRST_HOST = 200  # members have 192.0.2.201, .202, .203


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def unb64(text):
    return base64.b64decode(text or "")


def range_end(prefix):
    """The first key after all keys with this prefix."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


class EtcdError(OSError):
    """The store answered, with an error."""

    def __init__(self, status, text):
        super().__init__(f"etcd: HTTP {status}: {text}")
        self.status = status
        self.text = text


class Member:
    def __init__(self, etcd, number):
        self.etcd = etcd
        self.name = f"m{number}"
        self.address = f"192.0.2.{FIRST_HOST + number}"
        self.namespace = etcd.plug(self.name, self.address)
        self.directory = etcd.directory / self.name
        self.log = etcd.directory / f"{self.name}.log"
        self.process = None

    @property
    def endpoint(self):
        return f"{self.etcd.scheme}://{self.address}:2379"

    @property
    def peer(self):
        return f"http://{self.address}:2380"

    def start(self, *extra):
        assert not self.running
        members = self.etcd.members
        argv = [
            "etcd", "--name", self.name, "--data-dir", self.directory, "--logger", "zap",
            "--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint,
            "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
            "--initial-cluster", ",".join(f"{m.name}={m.peer}" for m in members),
            "--initial-cluster-token", f"token-{self.etcd.generation}",
            "--initial-cluster-state", "new", *self.etcd.arguments, *extra,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = self.namespace.popen(*argv, stdout=log, stderr=log)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.process:
            end_process(self.process)

    def stop(self):
        """Orderly, as an operator would."""
        if self.process:
            end_process(self.process, signal.SIGTERM)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def cut_off(self, rule):
        """What this member's host drops: rules of nft for its input, such as "tcp dport 2379 drop". Until `reconnect`."""
        self.namespace.nft(f"table ip fault {{\n chain in {{\n type filter hook input priority 0;\n {rule}\n}}\n}}\n")

    def reconnect(self):
        self.namespace.nft("delete table ip fault")

    def connection(self, timeout_s=10):
        return NamespaceHTTP(self.etcd.namespace, self.address, 2379, timeout_s, self.etcd.context)

    def healthy(self):
        connection = self.connection(2)
        try:
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read()).get("health") in ("true", True)
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Etcd:
    """A cluster of one or three members, each in a namespace of its own; requests are sent from `namespace`.

    plug(name, address) makes such a namespace in the underlay.
    """

    def __init__(self, namespace, plug, directory, members=1, arguments=(), tls=None):
        self.namespace = namespace
        self.plug = plug
        self.directory = directory
        self.arguments = list(arguments)
        self.generation = 1
        self.scheme = "http"
        self.context = None
        self.token = None
        self.credentials = None
        self.connections = {}
        if tls:
            self.scheme = "https"
            self.arguments += [
                "--cert-file", tls.server_cert, "--key-file", tls.server_key,
                "--trusted-ca-file", tls.ca, "--client-cert-auth",
            ]  # fmt: skip
            self.use(tls)
        # A fifth of the default times: elections are what tests of clusters wait for, and every start of one member alone,
        # which takes 0.1 s so instead of 0.6 s.
        self.arguments += ["--heartbeat-interval", "20", "--election-timeout", "200"]
        directory.mkdir(parents=True, exist_ok=True)
        self.members = [Member(self, n + 1) for n in range(members)]

    def use(self, tls):
        """Certificates for the requests of the test itself."""
        self.context = ssl.create_default_context(cafile=tls.ca)
        self.context.load_cert_chain(tls.client_cert, tls.client_key)

    @property
    def endpoints(self):
        return ",".join(m.endpoint for m in self.members)

    def start(self, wait=True):
        for member in self.members:
            if not member.running:
                member.start()
        if wait:
            self.wait_healthy()
        return self

    def wait_healthy(self, deadline_s=30):
        running = [m for m in self.members if m.running]
        wait_for(lambda: all(m.healthy() for m in running), deadline_s, "etcd serves")

    def stop(self):
        for member in self.members:
            member.stop()

    def kill(self):
        for member in self.members:
            member.kill()

    def restart(self):
        self.kill()
        self.start()

    def wipe(self):
        """All data gone, a new cluster under the same addresses."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.directory, ignore_errors=True)
        self.generation += 1
        self.start()

    def leader(self):
        """The member that leads, and one that follows (None with a single member)."""
        leader = follower = None
        for member in self.members:
            status = self.api("/v3/maintenance/status", {}, member=member)
            if status.get("leader") == status["header"]["member_id"]:
                leader = member
            else:
                follower = member
        return leader, follower

    # ---- requests

    def api(self, path, body, member=None, timeout_s=10):
        """One POST. Without `member` the first that answers; raises EtcdError for an answer that says no."""
        candidates = [member] if member else [m for m in self.members if m.running]
        problem = OSError("no member runs")
        for candidate in candidates:
            try:
                return self._post(candidate, path, body, timeout_s)
            except EtcdError as e:
                if "invalid auth token" not in e.text or not self.credentials:
                    raise
                self.login(*self.credentials)
                return self._post(candidate, path, body, timeout_s)
            except (OSError, http.client.HTTPException) as e:
                problem = e
        raise OSError(f"etcd: {problem}")

    def _post(self, member, path, body, timeout_s):
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = self.token
        # Kept open, so that a test that writes thousands of keys is quick; closed by a restart, hence twice.
        for attempt in (1, 2):
            connection = self.connections.get(member.name) or member.connection(timeout_s)
            try:
                connection.request("POST", path, json.dumps(body), headers)
                response = connection.getresponse()
                text = response.read().decode()
                self.connections[member.name] = connection
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                if self.connections.pop(member.name, None) is None or attempt == 2:
                    raise
        if response.status != 200:
            raise EtcdError(response.status, text)
        return json.loads(text)

    def login(self, user, password):
        self.token = self.credentials = None
        self.token = self.api("/v3/auth/authenticate", {"name": user, "password": password})["token"]
        self.credentials = user, password

    def put(self, key, value, lease=None):
        body = {"key": b64(key), "value": b64(value)}
        if lease:
            body["lease"] = str(lease)
        return int(self.api("/v3/kv/put", body)["header"]["revision"])

    def put_many(self, pairs, lease=None):
        """(key, value) pairs in as few transactions as the server allows."""
        pairs = list(pairs)
        for start in range(0, len(pairs), TXN_MAX):
            ops = [
                {"requestPut": {"key": b64(k), "value": b64(v)} | ({"lease": str(lease)} if lease else {})}
                for k, v in pairs[start : start + TXN_MAX]
            ]
            self.api("/v3/kv/txn", {"success": ops})

    def delete_many(self, keys):
        keys = list(keys)
        for start in range(0, len(keys), TXN_MAX):
            ops = [{"requestDeleteRange": {"key": b64(k)}} for k in keys[start : start + TXN_MAX]]
            self.api("/v3/kv/txn", {"success": ops})

    def get(self, key, revision=0):
        """The whole key-value record, or None; with a revision as it was then."""
        records = self.api("/v3/kv/range", {"key": b64(key), "revision": str(revision)}).get("kvs", [])
        return _decoded(records[0]) if records else None

    def list(self, prefix):
        body = {"key": b64(prefix), "range_end": b64(range_end(prefix))}
        return [_decoded(r) for r in self.api("/v3/kv/range", body).get("kvs", [])]

    def delete(self, key):
        return int(self.api("/v3/kv/deleterange", {"key": b64(key)}).get("deleted", 0))

    def grant(self, ttl_s):
        return int(self.api("/v3/lease/grant", {"TTL": str(ttl_s)})["ID"])

    def revoke(self, lease):
        self.api("/v3/lease/revoke", {"ID": str(lease)})

    def time_to_live(self, lease):
        return int(self.api("/v3/lease/timetolive", {"ID": str(lease)}).get("TTL", 0))

    def revision(self):
        return int(self.api("/v3/kv/range", {"key": b64("-")})["header"]["revision"])

    def compact(self, revision=None):
        self.api("/v3/kv/compaction", {"revision": str(revision or self.revision()), "physical": True})

    def etcdctl(self, *args, endpoints=None):
        return self.namespace.run(
            "etcdctl", "--endpoints", endpoints or self.endpoints, *args, env=os.environ | {"ETCDCTL_API": "3"}
        )

    def restore(self, member, snapshot):
        """As a member of a new cluster of the same members. etcdctl of 3.6 cannot, etcdutl of 3.4 does not exist."""
        tool = ["etcdutl"] if shutil.which("etcdutl") else ["env", "ETCDCTL_API=3", "etcdctl"]
        self.namespace.run(
            *tool, "snapshot", "restore", snapshot,
            "--name", member.name, "--data-dir", member.directory, "--initial-advertise-peer-urls", member.peer,
            "--initial-cluster", ",".join(f"{m.name}={m.peer}" for m in self.members),
            "--initial-cluster-token", f"token-{self.generation}",
        )  # fmt: skip

    # ---- the fabric's keys

    def set_config(self, text, prefix=PREFIX):
        return self.put(f"{prefix}/config", text if isinstance(text, str) else json.dumps(text))

    def leases(self, prefix=PREFIX):
        return self.list(f"{prefix}/subnets/")

    def log_tail(self, lines=30):
        return "\n".join(
            f"--- {m.name}\n" + "\n".join(m.log.read_text(errors="replace").splitlines()[-lines:])
            for m in self.members
            if m.log.exists()
        )

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.kill()


class Record(dict):
    """key, value (text if it is UTF-8, else bytes), lease, create_revision, mod_revision."""

    __getattr__ = dict.__getitem__

    @property
    def json(self):
        return json.loads(self.value)


def _decoded(kv):
    value = unb64(kv.get("value"))
    with contextlib.suppress(UnicodeDecodeError):
        value = value.decode()
    return Record(
        key=unb64(kv["key"]).decode(errors="replace"),
        value=value,
        lease=int(kv.get("lease", 0)),
        create_revision=int(kv.get("create_revision", 0)),
        mod_revision=int(kv.get("mod_revision", 0)),
    )


def enable_auth(etcd, user="fabric", password="open sesame", permission="READWRITE"):
    """What a host needs at least: read and write below the prefix."""
    for body in ({"name": "root", "password": "r"}, {"name": user, "password": password}):
        etcd.api("/v3/auth/user/add", body)
    for role in ("root", user):
        etcd.api("/v3/auth/role/add", {"name": role})
        etcd.api("/v3/auth/user/grant", {"user": role if role == "root" else user, "role": role})
    granted = {"permType": permission, "key": b64(PREFIX), "range_end": b64(range_end(PREFIX))}
    etcd.api("/v3/auth/role/grant", {"name": user, "perm": granted})
    etcd.api("/v3/auth/enable", {})
    etcd.login("root", "r")


class Certificates:
    """An authority, a server certificate for all members' addresses, and a client certificate without a common name.

    etcd's JSON gateway refuses client certificates that have a common name once authentication is on.
    """

    def __init__(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.server_cert, self.server_key = directory / "server.pem", directory / "server.key"
        self.client_cert, self.client_key = directory / "client.pem", directory / "client.key"
        # Python 3.13 takes no authority that does not say what its key is for.
        authority = ["-x509", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        self._request("ca", "/O=fabric tests", authority, directory / "ca.key", self.ca)
        self.issue_server()
        self.issue_client()

    def issue_server(self, ends_in_s=2 * 86400):
        """A certificate in the place of the one that is there. It has expired already if ends_in_s is negative."""
        addresses = ",".join(f"IP:192.0.2.{FIRST_HOST + n}" for n in (1, 2, 3))
        names = f"subjectAltName={addresses}"
        self.issue("server", self.server_cert, self.server_key, names, "serverAuth,clientAuth", ends_in_s)

    def issue_client(self, ends_in_s=2 * 86400):
        self.issue("client", self.client_cert, self.client_key, "subjectAltName=DNS:host", "clientAuth", ends_in_s)

    def put_between(self):
        """An authority under the one that is there signs both certificates; each file has its certificate behind the own one."""
        root = self.directory / "root.pem"
        shutil.copy(self.ca, root)
        key, between = self.directory / "between.key", self.directory / "between.pem"
        self.issue("between", between, key, "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign", "serverAuth,clientAuth")
        shutil.copy(between, self.ca)
        shutil.copy(key, self.directory / "ca.key")
        self.issue_server()
        self.issue_client()
        for cert in (self.server_cert, self.client_cert):
            cert.write_text(cert.read_text() + between.read_text())
        shutil.copy(root, self.ca)

    def _request(self, name, subject, extra, key, out):
        run(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", subject, "-keyout", key, "-out", out, *extra,
        )  # fmt: skip
        return name

    def issue(self, name, cert, key, names, usage, ends_in_s=2 * 86400, subject=None):
        """By `openssl ca`, which takes dates: of `openssl x509` a certificate lives for a day at least."""
        request = self.directory / f"{name}.csr"
        extensions = self.directory / f"{name}.ext"
        config = self.directory / "ca.conf"
        self._request(name, subject or f"/O={name}", [], key, request)
        extensions.write_text(f"{names}\nextendedKeyUsage={usage}\nauthorityKeyIdentifier=keyid\n")
        config.write_text(
            f"[ca]\ndefault_ca = lab\n[lab]\ndatabase = {self.directory}/issued\nnew_certs_dir = {self.directory}\n"
            "rand_serial = yes\nunique_subject = no\ndefault_md = sha256\npolicy = any\n[any]\n"
            "organizationName = optional\ncommonName = optional\n"
        )
        (self.directory / "issued").write_text("")
        end = time.time() + ends_in_s
        date = "%y%m%d%H%M%SZ"
        run(
            "openssl", "ca", "-batch", "-notext", "-config", config, "-cert", self.ca,
            "-keyfile", self.directory / "ca.key", "-in", request, "-extfile", extensions,
            "-startdate", time.strftime(date, time.gmtime(end - 7 * 86400)),
            "-enddate", time.strftime(date, time.gmtime(end)), "-out", cert,
        )  # fmt: skip
