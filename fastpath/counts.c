/* SPDX-License-Identifier: Apache-2.0 */
/* What takes the path passes the counters of links and of traffic/meter.h by; so it is counted here. */
#include "fastpath/fast_path_internal.h"
#include "lib/clock.h"

struct counting {
	const struct fast_path_count_ops *ops;
	void *arg;
};

static void on_metered(void *arg, const struct fast_metered *key, const struct fast_count *sum)
{
	const struct counting *c = arg;
	struct ip_addr address = fast_address_to(&key->address);

	c->ops->peer(c->arg, &address, key->sent, sum->packets, sum->bytes);
}

static void on_delivered(void *arg, uint32_t ifindex, const struct fast_count *sum)
{
	const struct counting *c = arg;

	c->ops->container(c->arg, ifindex, sum->packets, sum->bytes);
}

void fast_path_counts(struct fast_path *f, const struct fast_path_count_ops *ops, void *arg)
{
	static const struct fast_count_ops object_ops = { on_metered, on_delivered };
	struct counting c = { ops, arg };
	bool counted;

	if (!f || !f->object || !f->settled)
		return;
	counted = f->counts_until_ms != 0;
	f->counts_until_ms = clock_boot_ms() + FAST_PATH_COUNTS_REST_S * 1000;
	if (counted) {
		fast_object_counts_visit(f->object, &object_ops, &c);
		return;
	}
	/* Of whoever ran before. */
	fast_object_counts_forget(f->object);
	fast_path_switch(f, f->on);
}

void fast_path_counts_rest(struct fast_path *f)
{
	if (!f->counts_until_ms || clock_boot_ms() < f->counts_until_ms)
		return;
	f->counts_until_ms = 0;
	if (!f->object)
		return;
	fast_path_switch(f, f->on);
	fast_object_counts_forget(f->object);
}
