# SPDX-License-Identifier: Apache-2.0
"""The fabric as its users see it: containers on different hosts reach each other, whatever the daemons do."""

import pytest


def test_containers_on_three_hosts_reach_each_other(lab, fabric3):
    containers = [host.container() for host in fabric3]
    with lab.pinger(*containers) as pinger:
        pass
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()
