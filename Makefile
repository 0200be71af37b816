# SPDX-License-Identifier: Apache-2.0
#
# make            build flanneld, fabricctl, flannel (the CNI plugin) and mk-docker-opts into build/
# make deps       install what is missing, Debian packages (needs root)
# make demo       three hosts on this machine, pinging each other (needs root); STORE=file: without etcd
# make check      lint, unit, fuzz corpora and integration tests (needs root)
# make check-long what of the integration tests check leaves out (needs root)
# make soak       random faults on five hosts, 5 minutes or SOAK=1h (needs root)
# make bench      measure (needs root); bench-events: a million changes of leases
# make dist       a tar archive of the present commit, in build/
# make sbom       the bill of materials of what was built (SPDX), in build/
# make image      a container image, as an OCI archive, in build/
# make rpm        packages for rpm, in build/rpm; debian/ has Debian's
# make install    DESTDIR, prefix, bindir, sbindir, libexecdir, cnidir, netavarkdir, sysconfdir, ...
#
# Switches: V=1 shows commands, WERROR=1, SANITIZE=address,undefined, CC=clang, BUILD=directory.

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
V       ?= 0
WERROR  ?= 0
SANITIZE ?=
BUILD   ?= build$(if $(SANITIZE),-sanitize)
GENERATED := $(BUILD)/generated

prefix        ?= /usr/local
exec_prefix   ?= $(prefix)
bindir        ?= $(exec_prefix)/bin
sbindir       ?= $(exec_prefix)/sbin
libexecdir    ?= $(exec_prefix)/libexec
sysconfdir    ?= /etc
localstatedir ?= /var
datarootdir   ?= $(prefix)/share
docdir        ?= $(datarootdir)/doc/flannel
mandir        ?= $(datarootdir)/man
unitdir       ?= $(prefix)/lib/systemd/system
cnidir        ?= $(libexecdir)/cni
# The first place where podman looks for drivers of networks.
netavarkdir   ?= $(libexecdir)/netavark
zshdir        ?= $(datarootdir)/zsh/site-functions
schemadir     ?= $(datarootdir)/flannel/schema
# NetworkManager looks here, and in /usr/lib, but not in /usr/local/lib.
nmconfdir     ?= $(sysconfdir)/NetworkManager/conf.d
INSTALL       ?= install

VERSION := $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null | sed 's/^v//' || true)
ifeq ($(VERSION),)
VERSION := 0.1.0
endif
# Before the first tag git knows only a commit; a version starts with numbers all the same.
ifeq ($(findstring .,$(VERSION)),)
VERSION := 0.1.0+$(VERSION)
endif

PKGS_BASE  := jansson
PKGS_EVENT := libevent_core libevent_extra
PKGS_STORE := yaml-0.1
# libcurl, libprotobuf-c and libcrypto are loaded when they are needed (lib/curl.c, lib/protobuf.c, lib/x25519.c): their
# headers are used, nothing is linked with them.
PKGS       := $(PKGS_BASE) $(PKGS_EVENT) $(PKGS_STORE) libcurl libprotobuf-c libcrypto smartcols cmocka
PKG_CONFIG ?= pkg-config

# deps installs all three, the demo the first two.
DEPS := gcc make git pkg-config libjansson-dev \
	libcurl4-openssl-dev libssl-dev libevent-dev libprotobuf-c-dev protobuf-c-compiler libsmartcols-dev uthash-dev \
	libyaml-dev libcmocka-dev
DEPS_DEMO := etcd-server etcd-client iproute2 iputils-ping iperf3 jq
DEPS_IPSEC := strongswan-charon strongswan-swanctl libstrongswan-standard-plugins
DEPS_TEST := nftables iptables clang libbpf-dev clang-format cppcheck python3 python3-pytest python3-pytest-xdist python3-yaml python3-jsonschema prometheus \
	strace socat containernetworking-plugins procps openssl podman containerd runc busybox-static mandoc \
	zsh fish graphviz wireguard-tools wireguard-go $(DEPS_IPSEC)
# And a guest that boots another kernel.
DEPS_GUEST := qemu-system-x86 kmod
# And a Kubernetes that is built.
DEPS_KUBERNETES := dpkg-dev rsync curl

# Hardening is on by default; sanitizers bring their own checks and dislike fortification.
HARDEN_C  := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith \
	-Wwrite-strings -Wformat=2 -Werror=format-security -Wvla -Wundef
OPT  := -O2 -g
ifneq ($(SANITIZE),)
OPT  := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
else
HARDEN_C += -D_FORTIFY_SOURCE=$(if $(findstring clang,$(CC)),2,3)
endif
ifeq ($(WERROR),1)
WARN += -Werror
endif

# Asked once, when the first recipe needs it: the libraries may have been installed by one before.
asked     = $(eval $(1) := $(shell $(PKG_CONFIG) $(2) 2>/dev/null))$($(1))
PKG_FLAGS = $(call asked,PKG_FLAGS,--cflags $(PKGS))

override CPPFLAGS += -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -I. -I$(GENERATED) $(PKG_FLAGS)
override CFLAGS   += -std=gnu17 $(OPT) $(WARN) $(HARDEN_C) -ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=.
override LDFLAGS  += $(OPT) $(HARDEN_LD) -Wl,--as-needed -Wl,--gc-sections

LIBS_BASE  = $(call asked,LIBS_BASE,--libs $(PKGS_BASE))
LIBS_EVENT = $(call asked,LIBS_EVENT,--libs $(PKGS_EVENT))
LIBS_STORE = $(call asked,LIBS_STORE,--libs $(PKGS_STORE))
LIBS_TABLE = $(call asked,LIBS_TABLE,--libs smartcols)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

LAYERS := lib kernel subnet stores stores/etcd stores/kube stores/consul backends traffic fastpath fabric flanneld fabricctl cni-plugin mk-docker-opts install-conf
LIBRARIES := fabric fastpath traffic backends stores stores/etcd stores/kube stores/consul subnet kernel lib
# Programs for the kernel's machine are no part of ours.
sources = $(filter-out %.bpf.c,$(wildcard $(1)/*.c))
SRCS   := $(foreach d,$(LAYERS),$(call sources,$(d)))
# Objects have a directory of their own: programs are named like the directories of their sources.
OBJ     := $(BUILD)/obj
objs    = $(patsubst %.c,$(OBJ)/%.o,$(call sources,$(1)))
archive = $(foreach d,$(1),$(OBJ)/$(d).a)

PROGRAMS := $(BUILD)/flanneld $(BUILD)/fabricctl $(BUILD)/flannel $(BUILD)/mk-docker-opts

.PHONY: all deps demo check lint unit fuzz integration bench bench-events install uninstall dist sbom image rpm clean format
all: $(PROGRAMS)

$(BUILD)/flanneld: $(call objs,flanneld) $(call archive,$(LIBRARIES))
$(BUILD)/flanneld: LIBS = $(LIBS_BASE) $(LIBS_EVENT) $(LIBS_STORE)
$(BUILD)/fabricctl: $(call objs,fabricctl) $(call archive,$(LIBRARIES))
$(BUILD)/fabricctl: LIBS = $(LIBS_BASE) $(LIBS_EVENT) $(LIBS_STORE) $(LIBS_TABLE)
$(BUILD)/flannel: $(call objs,cni-plugin) $(OBJ)/subnet/subnet_env.o $(call archive,kernel lib)
$(BUILD)/flannel: LIBS = $(LIBS_BASE)
# The plugin is copied to hosts that have no libraries for it, and starts often: it has them in it. 0: as the others.
PLUGIN_STATIC ?= $(if $(SANITIZE),0,1)
ifeq ($(PLUGIN_STATIC),1)
$(BUILD)/flannel: override LDFLAGS := $(patsubst -pie,-static-pie,$(LDFLAGS))
endif
$(BUILD)/mk-docker-opts: $(call objs,mk-docker-opts) $(OBJ)/subnet/subnet_env.o $(call archive,kernel lib)
$(BUILD)/mk-docker-opts: LIBS = $(LIBS_BASE)

# For the image alone, where no shell is.
$(BUILD)/install-conf: $(call objs,install-conf) $(call archive,lib)
$(BUILD)/install-conf: LIBS =

$(PROGRAMS) $(BUILD)/install-conf:
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(OBJ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# What says its version is made anew with the next commit, or programs would say different ones.
$(BUILD)/version: FORCE
	@mkdir -p $(@D) && { echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@; }
FORCE:
$(patsubst %.c,$(OBJ)/%.o,$(shell grep -lw VERSION $(wildcard */*.c))): $(BUILD)/version

define archive_rule
$(OBJ)/$(1).a: $$(call objs,$(1))
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $(AR) rcD $$@ $$^
endef
$(foreach d,$(LIBRARIES),$(eval $(call archive_rule,$(d))))

# The messages of etcd's gRPC, from their description.
PROTOC_C ?= protoc-c
ETCD_PROTO := $(GENERATED)/stores/etcd/etcd.pb-c
$(ETCD_PROTO).c: stores/etcd/etcd.proto
	@mkdir -p $(GENERATED)
	$(say) PROTOC $<
	$(Q)$(PROTOC_C) --c_out=$(GENERATED) $<
$(ETCD_PROTO).h: $(ETCD_PROTO).c
	@touch $@
$(OBJ)/stores/etcd/etcd.pb-c.o: $(ETCD_PROTO).c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(OBJ)/stores/etcd.a: $(OBJ)/stores/etcd/etcd.pb-c.o
$(OBJ)/stores/etcd/etcd_grpc.o: $(ETCD_PROTO).h

# The programs of the fast path: made by clang where it is, with the headers of libbpf. FAST_PATH=0: without.
# libbpf itself is loaded when it is needed (fastpath/object.c).
BPF_CLANG ?= clang
BPF_FLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -I. -I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)
FAST_PATH ?= $(shell printf '\043include <linux/bpf.h>\n\043include <bpf/bpf_helpers.h>\n' | \
	$(BPF_CLANG) $(BPF_FLAGS) -fsyntax-only -x c - 2>/dev/null && echo 1 || echo 0)
FAST_PATH_OBJECT := $(GENERATED)/fast_path.bpf.o
FAST_PATH_OBJECTS := $(patsubst %,$(OBJ)/fastpath/%.o,embedded object object_none)
ifneq ($(FAST_PATH),0)
$(FAST_PATH_OBJECT): fastpath/fast_path.bpf.c fastpath/maps.h Makefile
	@mkdir -p $(@D)
	$(say) BPF $<
	$(Q)$(BPF_CLANG) $(BPF_FLAGS) -ffile-prefix-map=$(CURDIR)=. -c -o $@ $<
$(FAST_PATH_OBJECTS): override CPPFLAGS += -DFAST_PATH_OBJECT='"$(FAST_PATH_OBJECT)"'
$(FAST_PATH_OBJECTS): $(FAST_PATH_OBJECT)
else
$(BUILD)/flanneld: | fast-path-note
.PHONY: fast-path-note
fast-path-note:
	@echo '  NOTE    the fast path is left out: it needs clang and libbpf-dev'
endif

# What it has in it is read by the assembler.
$(OBJ)/fabricctl/mesh_html.o: fabricctl/mesh_page.html

-include tests/tests.mk
-include tests/demo/demo.mk

-include $(patsubst %.c,$(OBJ)/%.d,$(SRCS))

# Asks dpkg first, so that it needs neither root nor a network when nothing is missing.
deps:
	@missing=$$(for p in $(DEPS) $(DEPS_DEMO) $(DEPS_TEST); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		echo "installing:" $$missing; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# Measures; nothing fails for being slow. BENCH passes options, for example BENCH='--sizes 1000'.
bench: all
	@FLANNEL_BUILD='$(abspath $(BUILD))' /usr/bin/python3 tests/bench/bench.py $(BENCH)
	@FLANNEL_BUILD='$(abspath $(BUILD))' /usr/bin/python3 tests/bench/bench_many.py $(BENCH_MANY)
	@FLANNEL_BUILD='$(abspath $(BUILD))' /usr/bin/python3 tests/bench/bench_traffic.py $(BENCH_TRAFFIC)

# A million lease events: does anything grow? Takes minutes. BENCH_EVENTS='--events 100000' for less.
bench-events: all
	@FLANNEL_BUILD='$(abspath $(BUILD))' /usr/bin/python3 tests/bench/bench_events.py $(BENCH_EVENTS)

INSTALLED = $(sbindir)/flanneld $(sbindir)/mk-docker-opts $(bindir)/fabricctl $(cnidir)/flannel $(netavarkdir)/flannel $(unitdir)/flanneld.service \
	$(datarootdir)/bash-completion/completions/fabricctl $(zshdir)/_fabricctl \
	$(datarootdir)/fish/vendor_completions.d/fabricctl.fish $(prefix)/lib/systemd/network/10-flannel.network
# Nothing that is installed acts by itself: what would is an example, to be copied by who wants it.
EXAMPLES = $(wildcard packaging/examples/* packaging/prometheus/* packaging/grafana/*) cni-plugin/10-flannel.conflist

# Files under sysconfdir belong to the administrator: never overwritten.
install: all
	$(INSTALL) -D -m 0755 $(BUILD)/flanneld $(DESTDIR)$(sbindir)/flanneld
	$(INSTALL) -D -m 0755 $(BUILD)/mk-docker-opts $(DESTDIR)$(sbindir)/mk-docker-opts
	$(INSTALL) -D -m 0755 $(BUILD)/fabricctl $(DESTDIR)$(bindir)/fabricctl
	$(INSTALL) -D -m 0755 $(BUILD)/flannel $(DESTDIR)$(cnidir)/flannel
	$(INSTALL) -d $(DESTDIR)$(netavarkdir)
	ln -srf $(DESTDIR)$(cnidir)/flannel $(DESTDIR)$(netavarkdir)/flannel
	$(INSTALL) -d $(DESTDIR)$(unitdir)
	sed 's|@sbindir@|$(sbindir)|' packaging/flanneld.service.in >$(DESTDIR)$(unitdir)/flanneld.service
	$(INSTALL) -D -m 0644 packaging/10-flannel.network $(DESTDIR)$(prefix)/lib/systemd/network/10-flannel.network
	for f in $(EXAMPLES); do \
		$(INSTALL) -D -m 0644 $$f $(DESTDIR)$(docdir)/examples/$${f##*/}; done
	for page in $(wildcard docs/man/*.[1-8]); do \
		$(INSTALL) -D -m 0644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}; done
	$(INSTALL) -D -m 0644 docs/completion/fabricctl.bash $(DESTDIR)$(datarootdir)/bash-completion/completions/fabricctl
	$(INSTALL) -D -m 0644 docs/completion/fabricctl.zsh $(DESTDIR)$(zshdir)/_fabricctl
	$(INSTALL) -D -m 0644 docs/completion/fabricctl.fish $(DESTDIR)$(datarootdir)/fish/vendor_completions.d/fabricctl.fish
	for schema in $(wildcard docs/schema/*.json); do \
		$(INSTALL) -D -m 0644 $$schema $(DESTDIR)$(schemadir)/$${schema##*/}; done
	for page in README.md $(wildcard docs/*.md docs/*/*.md); do \
		$(INSTALL) -D -m 0644 $$page $(DESTDIR)$(docdir)/$${page#docs/}; done
	test -e $(DESTDIR)$(nmconfdir)/10-flannel.conf || \
		$(INSTALL) -D -m 0644 packaging/NetworkManager/10-flannel.conf $(DESTDIR)$(nmconfdir)/10-flannel.conf
	test -e $(DESTDIR)$(sysconfdir)/flannel/flanneld.conf || \
		$(INSTALL) -D -m 0644 packaging/flanneld.conf $(DESTDIR)$(sysconfdir)/flannel/flanneld.conf

uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED) $(foreach p,$(notdir $(wildcard docs/man/*.[1-8])),\
		$(mandir)/man$(lastword $(subst ., ,$(p)))/$(p)))
	rm -rf $(DESTDIR)$(docdir) $(DESTDIR)$(schemadir)

# The tree of the present commit; the same bytes whoever makes it.
dist:
	@mkdir -p $(BUILD)
	git archive --prefix=flannel-$(VERSION)/ HEAD | gzip -9n >$(BUILD)/flannel-$(VERSION).tar.gz

# Says the commit's time, not that of the build.
sbom: all
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)} $(PYTHON) packaging/sbom.py \
		'$(VERSION)' $(PROGRAMS) >$(BUILD)/flannel-$(VERSION).spdx.json

# The same bytes for the same commit and libraries.
image: all $(BUILD)/install-conf
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)} PYTHONDONTWRITEBYTECODE=1 \
		$(PYTHON) packaging/image.py '$(VERSION)' $(BUILD) >$(BUILD)/flannel-$(VERSION).oci.tar

# A version of rpm has no dash. What is needed to build is not asked for by the names of another distribution.
rpm: dist
	rpmbuild -bb --nodeps --define '_topdir $(abspath $(BUILD))/rpm' --define '_sourcedir $(abspath $(BUILD))' \
		--define 'flannel_version $(subst -,.,$(VERSION))' --define 'flannel_archive $(VERSION)' \
		packaging/flannel.spec

format:
	clang-format -i $(foreach d,$(LAYERS) $(wildcard tests/*),$(wildcard $(d)/*.c $(d)/*.h))

clean:
	rm -rf $(BUILD)
