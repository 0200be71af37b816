/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table of all options, from which parsing, help and completion follow.
 *
 * Options may stand before or after the command and between its operands: -o json, -ojson, -wo
 * json, --output=json,
 * --output json. Those that the daemon has too may be written its way, with one dash.
 */
#ifndef FABRICCTL_ARGUMENTS_H
#define FABRICCTL_ARGUMENTS_H

#include "fabricctl/ctl.h"

/* Which commands take an option: those whose `options` has one of its groups. */
enum option_group {
	GROUP_ALL = 1,
	GROUP_STORE = 2,  /* may ask the store instead of the daemon */
	GROUP_LIST = 4,   /* prints a list that is sorted and filtered */
	GROUP_STATUS = 8, /* says how it is */
	GROUP_DRAIN = 4194304,
	GROUP_RESUME = 8388608,
	GROUP_DIFF = 16777216, /* compares the kernel */
	GROUP_LEASES = 16,
	GROUP_OUTPUT = 32,    /* has more than one format */
	GROUP_ETCD = 64,      /* talks to the store */
	GROUP_TABLE = 128,    /* prints a table */
	GROUP_CHANGE = 256,   /* changes something */
	GROUP_ASK = 512,      /* ... that may break what runs */
	GROUP_EVENTS = 2048,  /* what has happened */
	GROUP_CNI = 4096,     /* what the CNI plugin has made */
	GROUP_TRACE = 8192,   /* follows a packet */
	GROUP_DOCTOR = 16384, /* looks at the whole host */
	GROUP_PODS = 32768,   /* ... of its containers */
	GROUP_CAPACITY = 65536,
	GROUP_IPAM = 131072, /* reads which addresses are reserved */
	GROUP_GC = 262144,
	GROUP_BUNDLE = 524288,
	GROUP_TOP = 1048576,  /* counts */
	GROUP_TEST = 2097152, /* tries a container */
	GROUP_LEASE = 1024,   /* the one lease of this host, or one to be */
};

enum ctl_option_kind {
	KIND_FLAG,    /* bool */
	KIND_TEXT,    /* const char * */
	KIND_FILTER,  /* may be repeated */
	KIND_SETTING, /* the daemon's, see settings.h */
};

struct ctl_option {
	const char *name;
	char letter; /* 0: none */
	enum ctl_option_kind kind;
	unsigned groups;
	size_t offset; /* in struct ctl_options; KIND_FLAG and KIND_TEXT */
	const char *metavar;
	const char
		*choices; /* for completion, words between spaces or a kind, see completion.h; NULL:
			     anything */
	const char *help;
};

/* All, those of the stores too. Ends with name NULL. */
const struct ctl_option *arguments_table(void);

/*
 * Reads the command line into *c, which must be zeroed but for its streams, and checks that the
 * command takes what was given. Complains with ctl_fail and returns its status. Release with
 * arguments_fini in any case.
 */
int arguments_read(struct ctl *c, int argc, char **argv);
void arguments_fini(struct ctl *c);

/* How an option looks in help: "-o, --output FORMAT". */
char *arguments_describe(const struct ctl_option *option);

#endif
