/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WireGuard devices: what they are told, and what they say of themselves.
 *
 *   wireguard.c           which way leads to a device; the kernel's, generic netlink
 *   wireguard_message.c   its messages
 *   wireguard_go.c        the other way: wireguard-go, a process, where the kernel has no WireGuard
 *   wireguard_text.c      its requests and answers
 *
 * A device has peers, known by their public keys, and a table of addresses (allowed-ips) of which each
 * leads to one peer. The kernel accepts silently what will not do: a peer with the device's own key is
 * acknowledged and not there, an allowed-ip that another peer gets has left the first. So nothing is
 * taken for granted but what was read.
 *
 * Source: linux/wireguard.h; wireguard.com/xplatform (cross-platform userspace).
 */
#ifndef KERNEL_WIREGUARD_H
#define KERNEL_WIREGUARD_H

#include <net/if.h>

#include "kernel/kernel.h"
#include "lib/addr.h"

#define WIREGUARD_KEY_SIZE    32
#define WIREGUARD_CHANGES_MAX 256
#define WIREGUARD_MESSAGE_MAX (56 * 1024) /* bytes of one request to the kernel: 200 a change */
#define WIREGUARD_TEXT_MAX    1024        /* bytes of one request to wireguard-go */
#define WIREGUARD_ANSWER_MAX  (256 * 1024 * 1024) /* ... and of an answer */
#define WIREGUARD_SESSION_S   180 /* so long after a handshake its keys are good (whitepaper, 6.1) */

/* What is the device's own. */
struct wireguard_interface {
	uint8_t private_key[WIREGUARD_KEY_SIZE]; /* clamped */
	uint16_t port;                           /* 0: it has no socket */
	uint32_t mark;                           /* of its packets */
};

struct wireguard_peer {
	uint8_t key[WIREGUARD_KEY_SIZE];       /* public */
	uint8_t preshared[WIREGUARD_KEY_SIZE]; /* zero: none */
	struct ip_addr address;                /* unset: not known */
	uint16_t port;
	uint16_t keepalive_s; /* 0: off */
	int64_t handshake_s;  /* the last one, Unix time; 0: none */
	uint64_t received_bytes;
	uint64_t sent_bytes;
};

/* Members may be NULL. */
struct wireguard_visitor {
	void (*interface)(void *arg, const struct wireguard_interface *i);
	void (*peer)(void *arg, const struct wireguard_peer *p);
	/* After its peer, whose public key it is. */
	void (*allowed_ip)(void *arg, const uint8_t key[static WIREGUARD_KEY_SIZE],
			   const struct ip_net *net);
	/* All that was visited does not count: it begins anew. */
	void (*forget)(void *arg);
};

enum wireguard_verb {
	WIREGUARD_SET_INTERFACE,
	WIREGUARD_PUT_PEER, /* keeps its allowed-ips, its session, and what it has counted */
	WIREGUARD_DROP_PEER,
	WIREGUARD_PUT_ALLOWED_IP, /* away from whichever peer has it */
	WIREGUARD_DROP_ALLOWED_IP,
};

struct wireguard_change {
	enum wireguard_verb verb;
	uint32_t ifindex;
	struct wireguard_interface interface; /* of SET_INTERFACE */
	struct wireguard_peer peer;           /* of the others; counters do not matter */
	struct ip_net net;                    /* of the last two */
};

/* All that a device says. -ENODEV: it is no WireGuard device, or is no more. */
int wireguard_read(struct kernel *k, uint32_t ifindex, const struct wireguard_visitor *v, void *arg,
		   struct err *e) MUST_CHECK;
/* Tells one device these changes at once, WIREGUARD_CHANGES_MAX at most, in this order; SET_INTERFACE
 * alone. On an error some of the first have been made. */
int wireguard_change(struct kernel *k, const struct wireguard_change *c, size_t len,
		     struct err *e) MUST_CHECK;

/* Whether the device belongs to wireguard-go; then its name is in `ret_name`. */
bool wireguard_by_process(struct kernel *k, uint32_t ifindex, char ret_name[static IFNAMSIZ]);

/* ---- messages of generic netlink ---- */

/* `type`: the family's number in this kernel. Room WIREGUARD_MESSAGE_MAX. */
void wireguard_encode(const struct wireguard_change *c, size_t len, uint16_t type,
		      struct nlmsghdr *hdr);
/* One message of a dump. What is not well formed is left out. */
void wireguard_decode(const struct nlmsghdr *hdr, const struct wireguard_visitor *v, void *arg);

/* ---- wireguard-go ---- */

/* "set=1\n...\n\n". Private and preshared keys are in it: it is wiped when it has served. */
void wireguard_format(const struct wireguard_change *c, char ret[static WIREGUARD_TEXT_MAX]);
/* The answer to "get=1". An error if it is one, or cannot be read. */
int wireguard_parse(const char *text, size_t size, const struct wireguard_visitor *v, void *arg,
		    struct err *e) MUST_CHECK;

/* Whether wireguard-go for this device answers. */
bool wireguard_go_answers(const char *name);
/* Asks or tells it something; caller frees the answer, which ends with errno=0. */
int wireguard_go_request(const char *name, const char *request, char **ret, size_t *ret_size,
			 struct err *e) MUST_CHECK;
/* Makes a device by starting it. It goes on when we end. Blocks until the device is there: some 10 ms,
 * WIREGUARD_GO_START_MS at most. -ENOENT: it is not installed. */
#define WIREGUARD_GO_START_MS 3000
int wireguard_go_start(const char *name, struct err *e) MUST_CHECK;

#endif
