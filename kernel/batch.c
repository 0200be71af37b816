/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/batch.h"

#include <errno.h>
#include <string.h>

#include "kernel/kinds.h"
#include "kernel/sequence.h"
#include "kernel/wireguard.h"

/* A transaction that is refused is halved to find what is to blame, so often at most. */
#define TRANSACTIONS_MAX 24

/* A write of an element, which waits for the others of its transaction. */
struct pending {
	struct kernel_object object;
	void *cookie;
	enum kernel_verb verb;
};

/* A change that waits for others to be told with. */
struct told {
	struct wireguard_change change;
	void *cookie;
};

struct kernel_batch {
	struct kernel *kernel;
	struct netlink_batch *route;
	struct netlink_batch *xfrm; /* NULL: nothing was written there yet */
	struct told *told;          /* changes of one WireGuard device */
	size_t told_len;
	size_t told_cap;
	netlink_error_fn *on_refused;
	void *arg;
	struct pending *elements;
	size_t elements_len;
	size_t elements_cap;
	unsigned transactions;
	unsigned doubts;
	struct err failure; /* code 0: none */
};

static void on_error(void *arg, void *cookie, int code, const char *text)
{
	const struct kernel_batch *b = arg;

	if (cookie)
		b->on_refused(b->arg, cookie, code, text);
}

struct kernel_batch *kernel_batch_new(struct kernel *k, netlink_error_fn *on_refused, void *arg)
{
	struct kernel_batch *b = xcalloc(1, sizeof(*b));

	b->kernel = k;
	b->route = netlink_batch_new(k->route, on_error, b);
	b->on_refused = on_refused;
	b->arg = arg;
	return b;
}

void kernel_batch_free(struct kernel_batch *b)
{
	if (!b)
		return;
	netlink_batch_free(b->route);
	if (b->xfrm)
		netlink_batch_free(b->xfrm);
	if (b->told)
		explicit_bzero(b->told, b->told_cap * sizeof(*b->told));
	free(b->told);
	free(b->elements);
	free(b);
}

/*
 * What comes before a bad change takes effect, what comes after it does not: then all are told again,
 * one by one, which does no harm to the good ones.
 */
static void flush_told(struct kernel_batch *b)
{
	auto_free struct wireguard_change *changes = NULL;
	size_t len = b->told_len;
	struct err e;

	b->told_len = 0;
	if (len == 0)
		return;
	changes = xcalloc(len, sizeof(*changes));
	for (size_t i = 0; i < len; i++)
		changes[i] = b->told[i].change;
	if (wireguard_change(b->kernel, changes, len, &e) < 0) {
		for (size_t i = 0; i < len; i++) {
			if (wireguard_change(b->kernel, &changes[i], 1, &e) < 0)
				on_error(b, b->told[i].cookie, e.code, e.text);
		}
	}
	explicit_bzero(changes, len * sizeof(*changes));
}

/* ---- elements ---- */

static void put_one(struct sequence *s, const struct kernel_marks *marks, const struct pending *p)
{
	const struct nft_element el = { .key = p->object.key.dst };
	const struct nft_set *set = &marks->sets[p->object.key.len];

	if (p->verb == KERNEL_DROP || p->verb == KERNEL_REMAKE)
		nft_delete_elements(s, &marks->table, set, &el, 1);
	if (p->verb != KERNEL_DROP)
		nft_add_elements(s, &marks->table, set, &el, 1, p->verb == KERNEL_REMAKE);
}

/* Whether both go into one message. */
static bool are_alike(const struct pending *a, const struct pending *b)
{
	return a->verb == b->verb && a->verb != KERNEL_REMAKE &&
	       a->object.key.len == b->object.key.len;
}

static void put_many(struct sequence *s, const struct kernel_marks *marks,
		     const struct pending *first, size_t len)
{
	auto_free struct nft_element *els = xcalloc(len, sizeof(*els));
	const struct nft_set *set = &marks->sets[first->object.key.len];

	for (size_t i = 0; i < len; i++)
		els[i].key = first[i].object.key.dst;
	if (first->verb == KERNEL_DROP)
		nft_delete_elements(s, &marks->table, set, els, len);
	else
		nft_add_elements(s, &marks->table, set, els, len, false);
}

static int send_elements(const struct kernel_batch *b, const struct pending *p, size_t len,
			 struct err *e)
{
	const struct kernel_marks *marks = &b->kernel->marks;
	auto_sequence struct sequence *s = sequence_new();
	size_t end;

	if (!b->kernel->netfilter)
		return err_set(e, -EPROTONOSUPPORT, "nftables: the kernel does not have it");
	nft_begin(s);
	for (size_t i = 0; i < len; i = end) {
		for (end = i + 1; end < len && are_alike(&p[i], &p[end]);)
			end++;
		if (end - i > 1)
			put_many(s, marks, &p[i], end - i);
		else
			put_one(s, marks, &p[i]);
	}
	nft_end(s);
	return sequence_run(s, b->kernel->netfilter, e);
}

/*
 * A transaction is done as a whole or not at all, so one bad element must not cost the others. What
 * cannot be removed is not there any more, as a rule, and all the rest of a set is gone with it:
 * what still is there is found by looking. What cannot be added is looked for by halves; if the
 * set itself is missing there is nothing to look for.
 */
static void write_elements(struct kernel_batch *b, const struct pending *p, size_t len)
{
	struct err e;
	int rc = send_elements(b, p, len, &e);

	b->transactions++;
	if (rc == 0)
		return;
	b->doubts |= 1u << KERNEL_ELEMENT;
	if (p->verb == KERNEL_DROP && p[len - 1].verb == KERNEL_DROP)
		return;
	if (len > 1 && rc != -ENOENT && b->transactions < TRANSACTIONS_MAX) {
		write_elements(b, p, len / 2);
		write_elements(b, p + len / 2, len - len / 2);
		return;
	}
	for (size_t i = 0; i < len; i++)
		on_error(b, p[i].cookie, e.code, e.text);
}

static void flush_elements(struct kernel_batch *b)
{
	if (b->elements_len > 0)
		write_elements(b, b->elements, b->elements_len);
	b->elements_len = 0;
}

static void flush(struct kernel_batch *b, struct netlink_batch *messages)
{
	struct err e;

	if (messages && netlink_batch_flush(messages, &e) < 0 && !b->failure.code)
		b->failure = e;
}

void kernel_batch_element(struct kernel_batch *b, enum kernel_verb verb,
			  const struct kernel_object *o, void *cookie)
{
	/* What came before is in force before. Additions and removals do not share a fate. */
	if (b->elements_len == 0) {
		flush(b, b->route);
		flush(b, b->xfrm);
		flush_told(b);
	} else if ((b->elements[0].verb == KERNEL_DROP) != (verb == KERNEL_DROP)) {
		flush_elements(b);
	}
	GROW(b->elements, b->elements_len, b->elements_cap);
	b->elements[b->elements_len++] = (struct pending){ *o, cookie, verb };
}

/* ---- messages ---- */

struct nlmsghdr *kernel_batch_message(struct kernel_batch *b)
{
	flush_elements(b);
	flush_told(b);
	flush(b, b->xfrm);
	return netlink_batch_reserve(b->route);
}

void kernel_batch_commit(struct kernel_batch *b, void *cookie)
{
	netlink_batch_commit(b->route, cookie);
}

/* ---- WireGuard ---- */

const struct kernel_marks *kernel_batch_marks(const struct kernel_batch *b)
{
	return &b->kernel->marks;
}

void kernel_batch_wireguard(struct kernel_batch *b, const struct wireguard_change *c, void *cookie)
{
	flush_elements(b);
	flush(b, b->route);
	flush(b, b->xfrm);
	if (b->told_len == WIREGUARD_CHANGES_MAX ||
	    (b->told_len && b->told[0].change.ifindex != c->ifindex))
		flush_told(b);
	GROW(b->told, b->told_len, b->told_cap);
	b->told[b->told_len++] = (struct told){ *c, cookie };
}

/* ---- IPsec ---- */

void kernel_batch_xfrm(struct kernel_batch *b, const struct nlmsghdr *request, void *cookie)
{
	struct err e;

	flush_elements(b);
	flush(b, b->route);
	flush_told(b);
	if (!b->kernel->xfrm && netlink_open(NETLINK_XFRM, &b->kernel->xfrm, &e) < 0) {
		on_error(b, cookie, e.code, "the kernel has no IPsec (module xfrm_user)");
		return;
	}
	if (!b->xfrm)
		b->xfrm = netlink_batch_new(b->kernel->xfrm, on_error, b);
	memcpy(netlink_batch_reserve(b->xfrm), request, request->nlmsg_len);
	netlink_batch_commit(b->xfrm, cookie);
}

int kernel_batch_flush(struct kernel_batch *b, unsigned *ret_doubts, struct err *e)
{
	flush_elements(b);
	flush(b, b->route);
	flush_told(b);
	flush(b, b->xfrm);
	*ret_doubts = b->doubts;
	if (b->failure.code)
		return err_set(e, b->failure.code, "%s", b->failure.text);
	return 0;
}
