# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests. `lab` is the one that most tests need, see fabric.py."""

import collections
import os
import pathlib
import signal

import pytest

import fabric
import fabricctl_support
import netns


def pytest_configure(config):
    # ETCD=/path/to/etcd: that one, and the tools beside it, instead of the machine's.
    if etcd := os.environ.get("ETCD"):
        os.environ["PATH"] = f"{pathlib.Path(etcd).absolute().parent}:{os.environ['PATH']}"
    # A shell starts background jobs with SIGINT ignored, and what we start would inherit that, and what is blocked.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    config.addinivalue_line("markers", "slow: takes eight seconds and more, and waits for nearly all of them; long(after=1)")
    config.addinivalue_line("markers", "long(after=0): `make check` runs so many of its variants, `make check-long` the others")


def pytest_addoption(parser):
    parser.addoption("--part", choices=["all", "check", "long"], default="all", help="what make check or check-long runs")


def is_long(items):
    """For each of the items, in their order, whether it is one of those that `make check` leaves to `make check-long`."""
    seen = collections.Counter()
    for item in items:
        test = item.nodeid.partition("[")[0]
        long = item.get_closest_marker("long")
        after = long.kwargs.get("after", 0) if long else 1 if item.get_closest_marker("slow") else None
        yield after is not None and seen[test] >= after
        seen[test] += 1


def pytest_collection_modifyitems(config, items):
    """One part of the tests, if not all; of it the slow ones dealt out evenly among the first two thirds of the others.

    So at every moment some workers wait while others work, and none comes so late that the end waits for it.
    """
    part = config.getoption("--part")
    taken = [(item, part == "all" or long == (part == "long")) for item, long in zip(items, is_long(items))]
    config.hook.pytest_deselected(items=[item for item, is_taken in taken if not is_taken])
    items[:] = [item for item, is_taken in taken if is_taken]
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    apart = max(1, len(quick) * 2 // 3 // (len(slow) or 1))
    items[:] = []
    while slow or quick:
        items += slow[:1] + quick[:apart]
        del slow[:1], quick[:apart]


@pytest.fixture(scope="session", autouse=True)
def machine():
    """Namespaces that a killed run left behind are removed; a machine that cannot run these tests skips them."""
    if os.geteuid() == 0:
        netns.private_mounts()
    if reason := netns.missing():
        pytest.skip(reason)
    netns.sweep()


@pytest.fixture
def lab(request):
    """An underlay namespace and a temporary directory; etcd, hosts, daemons on demand."""
    if not fabric.FLANNELD.exists():
        pytest.fail(f"{fabric.FLANNELD} is not built")
    laboratory = fabric.Lab()
    request.node.lab = laboratory
    try:
        yield laboratory
    finally:
        laboratory.close()


@pytest.fixture
def transport(request, monkeypatch):
    """How daemons and fabricctl speak with etcd in this test; see faults.by_both."""
    monkeypatch.setenv(fabricctl_support.TRANSPORT, request.param)
    monkeypatch.setitem(fabricctl_support.ENVIRONMENT, fabricctl_support.TRANSPORT, request.param)
    return request.param


@pytest.fixture
def fabric3(lab):
    """Three hosts with a ready daemon each: h1, h2, h3."""
    lab.start_etcd()
    lab.configure(fabric.APART)
    return lab.hosts(3, daemons=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed and getattr(item, "lab", None):
        report.sections += list(item.lab.report())
