# SPDX-License-Identifier: Apache-2.0
#
# make demo             three hosts on this machine that ping each other; leaves nothing behind
# make demo STORE=file  the same without etcd: the leases are kept in a directory
# make demo BACKEND=... vxlan, host-gw, wireguard, ipip, udp or ipsec; where the kernel lacks what it takes, in a guest of QEMU
# make demo KEEP=1      left running, and says how to look around
# make demo-stop        ends what KEEP=1 left
#
# DEMO_NAME=other       of both: another beside the first, with namespaces and a directory of its own

STORE     ?= etcd
BACKEND   ?= vxlan
KEEP      ?= 0
DEMO_NAME ?=
DEMO_DIR  ?=

DEMO := STORE='$(STORE)' BACKEND='$(BACKEND)' KEEP='$(KEEP)' DEMO_NAME='$(DEMO_NAME)' DEMO_DIR='$(DEMO_DIR)' bash tests/demo/demo.sh

.PHONY: demo demo-in-guest demo-stop
# The packages come first: without them the flags that pkg-config gives would be empty. Hence the inner makes.
demo:
	@$(DEMO) check '$(BUILD)'
	@$(MAKE) --no-print-directory -s deps DEPS_TEST= DEPS_DEMO='$(filter-out $(if $(filter file,$(STORE)),etcd-%),$(DEPS_DEMO)) $(if $(filter ipsec,$(BACKEND)),$(DEPS_IPSEC))'
	@$(MAKE) --no-print-directory -s all
	@if $(DEMO) kernel '$(BUILD)'; then $(DEMO) run '$(BUILD)'; else $(MAKE) --no-print-directory demo-in-guest; fi

# The guest takes the packages of the tests along.
demo-in-guest: guest-deps
	@[ '$(KEEP)' != 1 ] || { echo 'demo: KEEP=1 needs a kernel that has it: a guest ends with the demo' >&2; exit 1; }
	@echo 'demo: it runs in a guest, under a kernel of this Debian, ten times slower'
	@FLANNEL_BUILD='$(abspath $(BUILD))' $(PYTHON) tests/guest/guest.py --command "$(DEMO) run '$(abspath $(BUILD))'"

demo-stop:
	@$(DEMO) stop '$(BUILD)'
