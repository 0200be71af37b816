# SPDX-License-Identifier: Apache-2.0
"""Containers that the CNI plugin made: two on each host for the whole soak, and others that come and go."""

import cni_support
from netns import Namespace

KEPT = 2
STORM = 8


class Pod:
    def __init__(self, pods, number):
        self.namespace = Namespace(f"{pods.host.name}-p{number}")
        pods.host.lab.namespaces.append(self.namespace)
        self.netns = cni_support.Namespace(self.namespace.name, create=False)
        self.id = f"pod{number}"
        self.result = None

    @property
    def addresses(self):
        return [ip["address"].split("/")[0] for ip in self.result["ips"]]


class Pods:
    def __init__(self, host):
        self.host = host
        self.cni = cni_support.Host(existing=host.namespace.name, subnet_file=host.daemon.subnet_file)
        self.conf = self.cni.flannel(delegate={"isDefaultGateway": True})
        self.made = 0
        self.kept = [self.new() for _ in range(KEPT)]
        for pod in self.kept:
            pod.result = self.cni.add(self.conf, pod.netns, id=pod.id)

    def new(self):
        self.made += 1
        return Pod(self, self.made)

    def storm(self, dice):
        """ADD many at once, kill some; DEL all, kill some; DEL all again. What is left is what is kept."""
        guests = [self.new() for _ in range(STORM)]
        for verb in ("ADD", "DEL"):
            started = [self.cni.start(verb, self.conf, guest.netns, id=guest.id) for guest in guests]
            yield dice.uniform(0, 0.05)
            for process in dice.sample(started, STORM // 2):
                process.kill()
            for process in started:
                self.cni.finish(process)
        for guest in guests:
            self.cni.delete(self.conf, guest.netns, id=guest.id)
            guest.namespace.delete()
            self.host.lab.namespaces.remove(guest.namespace)
        self.only_what_is_kept()

    def only_what_is_kept(self):
        addresses = {address for pod in self.kept for address in pod.addresses}
        assert set(self.cni.reservations()) == addresses, f"{self.host.name}: {self.cni.reservations()}"
        assert len(self.cni.records()) == len(self.kept), f"{self.host.name}: {self.cni.records()}"
        # churn0 is no container's.
        assert len(self.cni.veths()) == len(self.kept), f"{self.host.name}: {self.cni.veths()}"

    def end(self):
        """Every DEL succeeds and nothing is left. Returns what is."""
        for pod in self.kept:
            self.cni.delete(self.conf, pod.netns, id=pod.id)
        return self.cni.leftovers()

    def close(self):
        self.cni.__exit__()
