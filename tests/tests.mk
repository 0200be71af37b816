# SPDX-License-Identifier: Apache-2.0
#
# The tests, included by the Makefile: make check, lint, unit, sim, fuzz, fuzz-run, integration.
#
#   tests/unit/test_*.c    cmocka programs, one for each module
#   tests/sim/             lease managers by the thousand in a simulated world; `sim` is the long run of it
#   tests/fuzz/fuzz_*.c    one LLVMFuzzerTestOneInput each; `fuzz` replays tests/fuzz/corpus/*, `fuzz-run` searches
#   tests/integration/     pytest, needs root; ETCD=/path/to/etcd for another etcd than the machine's
#   tests/soak/            five hosts under random faults for as long as SOAK says
#   tests/kubernetes/      a real Kubernetes, for `check-kubernetes`
#   tests/guest/           other kernels, for `check-guest`: integration tests in a guest
#   tests/failures/        what makes one system call fail, for test_failures.py, or a clock wrong; `check-failures` is the long run of it
#
# A test is linked with the archives of all layers. One whose name starts with test_cni_, test_fabricctl_,
# test_flanneld_ (fuzz_ likewise) is linked with that program's objects as well, all but main.o; one whose name
# starts with test_backend_ with the backend that is made for tests. So is $(BUILD)/tests/flanneld, the daemon with it.

PYTHON       ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
LIBFUZZER    ?=

TEST_ARCHIVES := $(call archive,$(LIBRARIES))
LIBS_CMOCKA    = $(call asked,LIBS_CMOCKA,--libs cmocka)
TEST_LIBS      = $(LIBS_BASE) $(LIBS_EVENT) $(LIBS_STORE) $(LIBS_TABLE) $(LIBS_CMOCKA)

UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
FUZZ_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
# libFuzzer brings its own main.
FUZZ_MAIN  := $(if $(LIBFUZZER),,$(OBJ)/tests/fuzz/replay.o)

objs_without_main = $(filter-out %/main.o,$(call objs,$(1)))
test_objs = $(foreach p,cni:cni-plugin fabricctl:fabricctl flanneld:flanneld,$(if \
	$(filter test_$(firstword $(subst :, ,$(p)))_% fuzz_$(firstword $(subst :, ,$(p)))_%,$(notdir $(1))),\
	$(call objs_without_main,$(lastword $(subst :, ,$(p))))))

# Compiled more often than they run.
$(OBJ)/tests/unit/%.o: override CFLAGS += -O0 -U_FORTIFY_SOURCE

TEST_BACKEND := $(OBJ)/tests/backends/backend_test.o
test_backend = $(if $(filter test_backend_%,$(notdir $(1))),$(TEST_BACKEND))

define test_rule
$(1): $(patsubst $(BUILD)/%,$(OBJ)/%.o,$(1)) $(2) $(call test_objs,$(1)) $(call test_backend,$(1)) $(TEST_ARCHIVES)
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(CC) $$(LDFLAGS) $$(if $$(LIBFUZZER),-fsanitize=fuzzer) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) \
		$$(TEST_LIBS)
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call test_rule,$(t),)))
$(foreach t,$(FUZZ_TESTS),$(eval $(call test_rule,$(t),$(FUZZ_MAIN))))

-include $(patsubst $(BUILD)/%,$(OBJ)/%.d,$(UNIT_TESTS) $(FUZZ_TESTS)) $(OBJ)/tests/fuzz/replay.d

FLANNELD_TEST := $(BUILD)/tests/flanneld
$(FLANNELD_TEST): $(call objs,flanneld) $(TEST_BACKEND) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_BASE) $(LIBS_EVENT) $(LIBS_STORE)

-include $(TEST_BACKEND:.o=.d)

# The plugin as a program that something can be preloaded into.
PLUGIN_TEST := $(BUILD)/tests/flannel
$(PLUGIN_TEST): $(call objs,cni-plugin) $(OBJ)/subnet/subnet_env.o $(call archive,kernel lib)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_BASE)

# Preloaded into programs whose system calls are to fail; without sanitizers, which bring their own runtime.
FAIL_CALL := $(BUILD)/tests/fail_call.so
SHIFT_CLOCK := $(BUILD)/tests/shift_clock.so
$(FAIL_CALL) $(SHIFT_CLOCK): $(BUILD)/tests/%.so: tests/failures/%.c
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(filter-out -fsanitize% -fno-sanitize% -D_FORTIFY_SOURCE% -fPIE,$(CPPFLAGS) $(CFLAGS)) \
		-fPIC -shared -o $@ $<

# A fabric by a process: what the udp backend talks with in its tests, and is measured against.
TUN_UDP := $(BUILD)/tests/tun_udp
$(TUN_UDP): $(OBJ)/tests/bench/tun_udp.o
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $<

BLAST := $(BUILD)/tests/blast
$(BLAST): $(OBJ)/tests/bench/blast.o
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $<

bench: $(BLAST)

-include $(OBJ)/tests/bench/tun_udp.d $(OBJ)/tests/bench/blast.d

SIM := $(BUILD)/tests/sim/sim
SIM_OBJS := $(call objs,tests/sim)
# Enough to find what a hand on the code breaks; a failing seed is printed with the way to replay it.
SIM_CHECK ?= --seeds 2000 --hosts 20 --minutes 60
SIM_LONG  ?= --seeds 100 --hosts 1000 --minutes 25

$(SIM): $(SIM_OBJS) $(call archive,stores subnet lib)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_BASE) $(LIBS_EVENT) $(LIBS_STORE)

-include $(SIM_OBJS:.o=.d)

# The lint of the linked plugin needs it built, once there is one.
LINT_NEEDS := $(if $(wildcard cni-plugin/main.c),$(BUILD)/flannel) $(ETCD_PROTO).h

RUN = FLANNEL_BUILD='$(abspath $(BUILD))' FLANNEL_SANITIZE='$(SANITIZE)' LINT_CC='$(CC)' \
	LINT_WARN='$(filter-out -Werror,$(WARN))' LINT_CPPFLAGS='$(filter-out -DVERSION=%,$(CPPFLAGS))' \
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/run.py

.PHONY: sim sim-check unit-programs fuzz-programs integration-programs fuzz-run fuzz-long fuzz-coverage check-failures check-long soak
unit-programs: $(UNIT_TESTS)
	@:
fuzz-programs: $(FUZZ_TESTS)
	@:

# A program that does not compile is one failed test, the others still run: hence the inner make.
lint:
	$(if $(LINT_NEEDS),@$(MAKE) --no-print-directory $(LINT_NEEDS) || true)
	@$(RUN) lint

unit:
	@$(MAKE) --no-print-directory -k unit-programs; $(RUN) unit $$? $(UNIT_TESTS)

sim: $(SIM)
	@nice -n 15 $(SIM) $(SIM_LONG)

sim-check:
	@$(MAKE) --no-print-directory $(SIM) || true
	@$(RUN) sim $(SIM) $(SIM_CHECK)

fuzz:
	@$(MAKE) --no-print-directory -k fuzz-programs; $(RUN) fuzz $$? $(FUZZ_TESTS)

integration-programs: all $(BUILD)/install-conf $(FLANNELD_TEST) $(PLUGIN_TEST) $(FAIL_CALL) $(SHIFT_CLOCK) $(TUN_UDP) $(addprefix $(BUILD)/tests/unit/,test_store_conformance test_store_assigns)
	@:
integration: integration-programs
	@$(RUN) integration

# The variants of slow tests that `integration` leaves out, and what takes long altogether; marked in the tests.
check-long: deps integration-programs
	@$(RUN) integration long

# Every call, not the few that `integration` tries: a quarter of an hour and more.
check-failures: all $(PLUGIN_TEST) $(FAIL_CALL)
	@FLANNEL_BUILD='$(abspath $(BUILD))' FLANNEL_SANITIZE='$(SANITIZE)' PYTHONDONTWRITEBYTECODE=1 FAILURES=all \
		nice $(PYTHON) -m pytest -q -p no:cacheprovider tests/integration/test_failures.py

# What changes the kernel under the hosts of the soak.
CHURN := $(BUILD)/tests/soak/churn
$(CHURN): $(OBJ)/tests/soak/churn.o $(call archive,kernel lib)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_BASE)

-include $(OBJ)/tests/soak/churn.d

# Random faults on five hosts for as long as SOAK says, 5m unless told otherwise; see tests/soak/soak.py.
soak: all $(CHURN)
	@FLANNEL_BUILD='$(abspath $(BUILD))' FLANNEL_SANITIZE='$(SANITIZE)' PYTHONDONTWRITEBYTECODE=1 \
		nice $(PYTHON) tests/soak/soak.py

# Searches for new inputs that break something, FUZZ_SECONDS of processor time each; what it finds stays in $(BUILD)-fuzz.
fuzz-run:
	@$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)-fuzz SANITIZE=fuzzer-no-link,address,undefined \
		LIBFUZZER=1 fuzz-programs
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTHON) tests/fuzz/search.py $(BUILD)-fuzz/tests/fuzz $(FUZZ)

# Which lines of each parser the corpora reach, and what fuzz-run has found if anything.
fuzz-coverage:
	@$(MAKE) --no-print-directory CC='clang -fprofile-instr-generate -fcoverage-mapping' BUILD=$(BUILD)-coverage \
		fuzz-programs
	@$(PYTHON) tests/fuzz/coverage.py $(BUILD)-coverage/tests/fuzz $(wildcard $(BUILD)-fuzz/tests/fuzz/found)

# Ten minutes of a processor for each target: hours. FUZZ_SECONDS=60 for less; FUZZ_GROW=1 keeps in the corpora what reaches more.
fuzz-long:
	@$(MAKE) --no-print-directory fuzz-run FUZZ_SECONDS=$(if $(filter file,$(origin FUZZ_SECONDS)),600,$(FUZZ_SECONDS))
	@$(MAKE) --no-print-directory fuzz-coverage

# Every part runs whatever became of the others; the last line is the sum. The integration tests wait a third of the time,
# which the other parts use, unless what all need could not be built: two makes must not build the same.
part = $(MAKE) --no-print-directory $(1) || $(RUN) broken $(1:-check=)
check: deps
	@$(MAKE) --no-print-directory guest-deps || true
	@$(RUN) start
	@others() { $(foreach p,lint unit sim-check fuzz guest-check,{ nice -n 19 $(call part,$(p)); };) }; trap 'kill 0' INT; \
	if $(MAKE) --no-print-directory integration-programs; then others & else $(RUN) broken build; others; fi; \
	{ $(call part,integration); }; wait
	@$(RUN) total

# What the kernel here may have no modules for, under one that has: the newest of this Debian, or KERNEL, a package. The tests are those
# of tests/guest/tests.list, or GUEST_TESTS: any integration test can be run there. GUEST_COMMAND for its shell, in place of tests.
GUEST_TESTS   ?=
GUEST_COMMAND ?=
KERNEL        ?=
GUEST = FLANNEL_BUILD='$(abspath $(BUILD))' $(PYTHON) tests/guest/guest.py $(or $(GUEST_TESTS),--list all)
.PHONY: check-guest guest-check guest-deps guest-strongswan
guest-deps:
	@$(MAKE) --no-print-directory -s deps DEPS_TEST='$(DEPS_TEST) $(DEPS_GUEST)'
# The other strongSwan, which a guest cannot fetch; what needs it is skipped where it cannot be had.
guest-strongswan:
	@FLANNEL_BUILD='$(abspath $(BUILD))' $(PYTHON) tests/integration/ipsec.py
check-guest: guest-deps all $(TUN_UDP) $(BLAST) guest-strongswan
	@$(GUEST) $(if $(KERNEL),--kernel '$(KERNEL)') $(if $(GUEST_COMMAND),--command '$(GUEST_COMMAND)')
# Its part in `make check`: a few of them, where a guest can be had.
guest-check:
	@$(RUN) guest

# The same on the kernels of Debian 11, 12 and 13 and on its newest, each kept once it was fetched (docs/kernels.md).
KERNEL_SUITES ?= bullseye bookworm trixie sid
.PHONY: check-kernels
check-kernels: guest-deps all $(TUN_UDP) guest-strongswan
	@$(GUEST) --suite $(KERNEL_SUITES)

# A real Kubernetes: its programs are built once and kept outside the tree, see tests/kubernetes/build.py. KUBERNETES_TESTS for some.
KUBERNETES_TESTS ?= tests/kubernetes
.PHONY: check-kubernetes kubernetes-deps
kubernetes-deps:
	@$(MAKE) --no-print-directory -s deps DEPS_TEST='$(DEPS_TEST) $(DEPS_KUBERNETES)'
check-kubernetes: kubernetes-deps integration-programs
	@programs=$$($(PYTHON) tests/kubernetes/build.py) && FLANNEL_BUILD='$(abspath $(BUILD))' FLANNEL_SANITIZE='$(SANITIZE)' \
		KUBERNETES_PROGRAMS="$$programs" PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -p no:cacheprovider $(KUBERNETES_TESTS)

# README's commands on a minimal Debian of another suite, from a fresh clone of the present commit.
# COMMANDS="'make unit'" for something else, PACKAGES="gcc-15" for what it needs besides.
SUITE ?= trixie
.PHONY: check-debian check-packages check-boot check-reproducible check-compilers
check-debian:
	@PACKAGES='$(PACKAGES)' tests/debian/check.sh '$(SUITE)' $(COMMANDS)

# Debian's packages on a minimal Debian: built, judged by lintian, installed, tested, upgraded, purged.
check-packages:
	@tests/debian/packages.sh '$(SUITE)'

# A machine that is started with systemd, and these packages in it.
check-boot:
	@tests/debian/boot.sh '$(SUITE)'

# Two builds of the present commit in different circumstances give the same bytes.
check-reproducible:
	@tests/reproducible.sh

# All of it by every compiler that a suite has: SUITE=sid for the youngest. COMPILERS="gcc-16 clang-21" for some.
check-compilers:
	@tests/debian/compilers.sh '$(SUITE)' $(COMPILERS)
