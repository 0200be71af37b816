# SPDX-License-Identifier: Apache-2.0
#
# make demo         three hosts on this machine that ping each other; leaves nothing behind
# make demo KEEP=1  the same, left running, and says how to look around
# make demo-stop    ends what KEEP=1 left

KEEP ?= 0

.PHONY: demo demo-stop
# The packages come first: without them the flags that pkg-config gives would be empty. Hence the inner make.
demo: deps
	@$(MAKE) --no-print-directory -s all
	@KEEP='$(KEEP)' bash tests/demo/demo.sh run '$(BUILD)'

demo-stop:
	@bash tests/demo/demo.sh stop '$(BUILD)'
