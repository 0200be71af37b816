# SPDX-License-Identifier: Apache-2.0
#
# make demo             three hosts on this machine that ping each other; leaves nothing behind
# make demo STORE=file  the same without etcd: the leases are kept in a directory
# make demo KEEP=1      left running, and says how to look around
# make demo-stop        ends what KEEP=1 left
#
# DEMO_NAME=other       of both: another beside the first, with namespaces and a directory of its own

STORE     ?= etcd
KEEP      ?= 0
DEMO_NAME ?=
DEMO_DIR  ?=

DEMO := STORE='$(STORE)' KEEP='$(KEEP)' DEMO_NAME='$(DEMO_NAME)' DEMO_DIR='$(DEMO_DIR)' bash tests/demo/demo.sh

.PHONY: demo demo-stop
# The packages come first: without them the flags that pkg-config gives would be empty. Hence the inner makes.
demo:
	@$(DEMO) check '$(BUILD)'
	@$(MAKE) --no-print-directory -s deps DEPS_TEST= DEPS_DEMO='$(filter-out $(if $(filter file,$(STORE)),etcd-%),$(DEPS_DEMO))'
	@$(MAKE) --no-print-directory -s all
	@$(DEMO) run '$(BUILD)'

demo-stop:
	@$(DEMO) stop '$(BUILD)'
