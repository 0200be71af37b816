/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong: one table of faults, of which a run has some. */
#include "tests/sim/world.h"

static struct host *any_host(struct world *w)
{
	return &w->hosts[world_below(w, w->hosts_len)];
}

/* One of ours that runs; NULL if chance does not find one. */
static struct host *any_running(struct world *w)
{
	for (unsigned i = 0; i < 8; i++) {
		struct host *h = any_host(w);

		if (h->m && h->paused_until <= w->now)
			return h;
	}
	return NULL;
}

/* Mostly seconds, sometimes as long as leases live. */
static int64_t some_time(struct world *w)
{
	return world_chance(w, 600) ? SECOND + (int64_t)world_below(w, 30 * SECOND)
				    : SECOND + (int64_t)world_below(w, 6 * MINUTE);
}

/* ---- the network and the hosts ---- */

static void set_cut(struct host *h, bool cut)
{
	host_disturbed(h);
	if (h->cut == cut)
		return;
	h->cut = cut;
	world_trace(h->w, h, cut ? "is cut off" : "is back");
	if (!h->m)
		return;
	if (cut)
		host_stream_dies(h, STREAM_LIMIT);
	else
		host_watch_news(h);
}

static void mend(struct world *w UNUSED, struct item *item)
{
	set_cut(item->data, false);
}

static void cut_for(struct host *h, int64_t time_ms)
{
	set_cut(h, true);
	world_plan_data(h->w, h->w->now + time_ms, NULL, mend, h, NULL);
}

static void cut_one(struct world *w)
{
	cut_for(any_host(w), some_time(w));
}

static void cut_many(struct world *w)
{
	int64_t time_ms = some_time(w);

	for (unsigned i = 0; i < w->hosts_len; i++) {
		if (world_chance(w, 500))
			cut_for(&w->hosts[i], time_ms);
	}
}

static void resume(struct world *w, struct item *item)
{
	struct host *h = item->data;

	if (h->paused_until > w->now)
		return;
	world_trace(w, h, "resumes");
	host_disturbed(h);
	check_host(h);
}

static void pause_one(struct world *w)
{
	struct host *h = any_running(w);

	if (!h)
		return;
	h->paused_until = w->now + some_time(w);
	world_trace(w, h, "pauses");
	/* Planned first, so that it comes before what waits for the end of the pause. */
	world_plan_data(w, h->paused_until, NULL, resume, h, NULL);
	check_host(h);
}

static void half_open(struct world *w)
{
	struct host *h = any_running(w);

	if (h)
		host_stream_dies(h, STREAM_LIMIT);
}

static void restart(struct world *w UNUSED, struct item *item)
{
	struct host *h = item->data;

	host_disturbed(h);
	if (!h->m)
		host_start(h);
}

static struct host *crash_one(struct world *w)
{
	struct host *h = any_host(w);

	if (h->flannel) {
		flannel_crash(h);
		return NULL;
	}
	if (!h->m)
		return NULL;
	host_crash(h);
	world_plan_data(
		w, w->now + 100 + (int64_t)world_below(w, world_chance(w, 800) ? 5000 : 300000),
		NULL, restart, h, NULL);
	return h;
}

static void crash(struct world *w)
{
	crash_one(w);
}

static void crash_all(struct world *w)
{
	for (unsigned i = 0; i < w->hosts_len; i++) {
		struct host *h = &w->hosts[i];

		if (h->flannel || !h->m)
			continue;
		host_crash(h);
		world_plan_data(w, w->now + 5000, NULL, restart, h, NULL);
	}
}

/* A reboot: /run is empty. */
static void reboot(struct world *w)
{
	struct host *h = crash_one(w);

	if (h)
		h->previous = (struct subnet){ 0 };
}

/* Installed anew: same name and address, another id. */
static void reinstall(struct world *w)
{
	struct host *h = crash_one(w);

	if (!h)
		return;
	h->previous = (struct subnet){ 0 };
	snprintf(h->node_id, sizeof(h->node_id), "id-%u-%llu", h->index,
		 (unsigned long long)h->life);
}

static struct ip_addr new_address(struct world *w)
{
	return ip_addr_from_u128(AF_INET, ((u128)172 << 24) + (16 << 16) + world_below(w, 1 << 16));
}

static void move(struct world *w)
{
	struct host *h = crash_one(w);

	if (!h)
		return;
	h->address = new_address(w);
	if (world_chance(w, 500))
		h->previous = (struct subnet){ 0 };
}

static void publish(struct world *w)
{
	struct host *h = any_running(w);

	if (!h)
		return;
	h->attributes++;
	if (world_chance(w, 300))
		h->address = new_address(w);
	host_disturbed(h);
	host_publish(h);
}

static void copy_image(struct world *w)
{
	struct host *original = any_running(w);
	struct host *h = crash_one(w);

	if (!h || !original || h == original)
		return;
	h->previous = (struct subnet){ 0 };
	h->same_as_other = original->same_as_other = true;
	memcpy(h->node_id, original->node_id, sizeof(h->node_id));
	if (world_chance(w, 500))
		memcpy(h->name, original->name, sizeof(h->name));
	world_trace(w, h, "is a copy of host-%u now", original->index);
}

/* An hour or ten years, forward or back, also of a host that is down: leases must be kept by the
 * time that passes, and what was written on disk be read with care. */
static void clock_jumps(struct world *w)
{
	static const int64_t jumps_ms[] = { 60 * MINUTE, 3652 * INT64_C(24) * 60 * MINUTE };
	struct host *h = any_host(w);
	int64_t jump_ms = jumps_ms[world_below(w, ARRAY_LEN(jumps_ms))];

	h->clock_ms = world_chance(w, 500) ? jump_ms : -jump_ms;
	world_trace(w, h, "has a clock that is wrong by %lld s", (long long)(h->clock_ms / SECOND));
}

/* ---- the store ---- */

static void store_streams_die(struct world *w, int64_t within_ms)
{
	w->store_disturbed_at = w->now;
	for (unsigned i = 0; i < w->hosts_len; i++) {
		if (w->hosts[i].m)
			host_stream_dies(&w->hosts[i], within_ms);
	}
}

static void store_up(struct world *w, struct item *item UNUSED)
{
	w->store_disturbed_at = w->now;
	if (!w->store_down)
		return;
	world_trace(w, NULL, "the store is back");
	w->store_down = false;
	/* A new leader does not know what the last one had heard, so all start their time anew. */
	mem_db_renew_all(w->db, w->now);
}

static void store_down(struct world *w)
{
	if (w->store_down)
		return;
	world_trace(w, NULL, "the store is down");
	w->store_down = true;
	w->store_hangs = world_chance(w, 500);
	store_streams_die(w, w->store_hangs ? STREAM_LIMIT : 2 * SECOND);
	world_plan(w, w->now + some_time(w), NULL, store_up, 0);
}

static void compact(struct world *w)
{
	uint64_t revision = mem_db_revision(w->db);
	uint64_t oldest = mem_db_compact_revision(w->db);

	mem_db_compact(w->db, oldest + 1 + world_below(w, revision - oldest));
	for (unsigned i = 0; i < w->hosts_len; i++)
		host_watch_news(&w->hosts[i]);
}

static void snapshot(struct world *w)
{
	mem_db_free(w->snapshot);
	w->snapshot = mem_db_copy(w->db);
}

static void config_again(struct world *w, struct item *item UNUSED)
{
	world_write_config(w);
}

static void replace_store(struct world *w, struct mem_db *db)
{
	mem_db_free(w->db);
	w->db = db;
	/* Made anew with the same member names and token it has the same id. */
	if (world_chance(w, 500))
		w->cluster++;
	w->told_revision = 0;
	mem_db_renew_all(db, w->now);
	store_streams_die(w, 2 * SECOND);
	world_plan(w, w->now + (int64_t)world_below(w, 30 * SECOND), NULL, config_again, 0);
}

static void wipe(struct world *w)
{
	world_trace(w, NULL, "the store is wiped");
	replace_store(w, world_new_db(w));
}

static void restore(struct world *w)
{
	if (!w->snapshot)
		return;
	world_trace(w, NULL, "the store is restored from revision %llu",
		    (unsigned long long)mem_db_revision(w->snapshot));
	w->restored_unseen |= mem_db_revision(w->snapshot) > mem_db_revision(w->db);
	replace_store(w, mem_db_copy(w->snapshot));
}

struct choice {
	struct world *w;
	const struct mem_entry *entry;
	unsigned seen;
};

static void consider(void *arg, const struct mem_entry *e)
{
	struct choice *c = arg;

	if (e->lease && world_below(c->w, ++c->seen) == 0)
		c->entry = e;
}

static const struct mem_entry *any_lease(struct world *w)
{
	struct choice c = { .w = w };

	mem_db_each(w->db, consider, &c);
	return c.entry;
}

static void admin_deletes(struct world *w)
{
	const struct mem_entry *e = any_lease(w);
	auto_free char *key = e ? xstrdup(e->key) : NULL;

	if (!key)
		return;
	world_trace(w, NULL, "somebody deletes %s", key);
	mem_db_delete(w->db, key);
	world_store_changed(w);
}

static void admin_overwrites(struct world *w)
{
	const struct mem_entry *e = any_lease(w);
	auto_free char *key = e ? xstrdup(e->key) : NULL;
	auto_free char *value = NULL;
	uint64_t how = world_below(w, 4);

	if (!key)
		return;
	if (how == 0)
		value = xstrdup("junk");
	else if (how == 1)
		value = xstrdup("{\"PublicIP\":\"0.0.0.0\"}");
	else if (how == 2)
		value = xasprintf("{\"PublicIP\":\"198.51.100.%u\"}",
				  (unsigned)world_below(w, 250));
	else
		value = xstrdup(e->value);
	world_trace(w, NULL, "somebody writes %s into %s", value, key);
	/* Half of them forget the lease, so that it would never end. */
	mem_db_put(w->db, key, value, strlen(value), world_chance(w, 500) ? e->handle : 0);
	world_store_changed(w);
}

static void junk(struct world *w)
{
	char key[60];

	snprintf(key, sizeof(key), MEM_DB_SUBNETS_PREFIX "junk-%llu",
		 (unsigned long long)world_below(w, 5));
	if (!mem_db_delete(w->db, key) || world_chance(w, 500))
		mem_db_put(w->db, key, "x", 1, 0);
	world_store_changed(w);
}

static void paused_leader(struct world *w)
{
	const struct mem_entry *e = any_lease(w);

	if (!e || !e->handle)
		return;
	world_trace(w, NULL, "a paused leader revokes %s", e->key);
	mem_db_revoke(w->db, e->handle);
	world_store_changed(w);
}

static void config_changes(struct world *w)
{
	const char *other = "{\"Network\":\"10.77.0.0/16\",\"SubnetLen\":26}";

	if (world_chance(w, 300))
		mem_db_delete(w->db, MEM_DB_CONFIG_KEY);
	else
		mem_db_put(w->db, MEM_DB_CONFIG_KEY, other, strlen(other), 0);
	world_store_changed(w);
	world_plan(w, w->now + some_time(w), NULL, config_again, 0);
}

/* ---- a store that assigns subnets ---- */

static void assign_again(struct world *w, struct item *item)
{
	const struct host *h = item->data;
	struct subnet subnet;

	if (!mem_db_assigned(w->db, h->name, &subnet))
		world_assign(w, h);
}

/* A node is deleted, and made again after some time: with another subnet, or with its own. */
static void unassign(struct world *w)
{
	struct host *h = any_host(w);
	struct subnet subnet;

	if (!(w->traits & STORE_ASSIGNS) || !mem_db_assigned(w->db, h->name, &subnet))
		return;
	world_trace(w, h, "has no subnet any more");
	mem_db_assign(w->db, h->name, NULL);
	world_store_changed(w);
	if (world_chance(w, 300)) {
		mem_db_assign(w->db, h->name, &subnet);
		world_store_changed(w);
	}
	world_plan_data(w, w->now + some_time(w), NULL, assign_again, h, NULL);
}

static const struct fault {
	void (*happen)(struct world *w);
	bool unsafe; /* leases that were kept as they should be can be lost by it */
} faults[] = {
	{ cut_one, false },         { cut_many, false },       { pause_one, false },
	{ half_open, false },       { crash, false },          { crash_all, false },
	{ reboot, false },          { reinstall, false },      { move, false },
	{ publish, false },         { store_down, false },     { compact, false },
	{ snapshot, false },        { config_changes, false }, { junk, false },
	{ clock_jumps, false },     { unassign, false },       { wipe, true },
	{ restore, true },          { copy_image, true },      { admin_deletes, true },
	{ admin_overwrites, true }, { paused_leader, true },
};

void fault_choose(struct world *w)
{
	static const int64_t intervals[] = { 10, 30, 120, 600 };

	/* A key of a store that assigns is made by the store alone. */
	w->unsafe = !(w->traits & STORE_ASSIGNS) && world_chance(w, 500);
	w->fault_interval = intervals[world_below(w, ARRAY_LEN(intervals))] * SECOND;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		if ((w->unsafe || !faults[i].unsafe) && world_chance(w, 400))
			w->faults |= (uint64_t)1 << i;
	}
	w->duplicates = world_chance(w, 300);
	w->lost_deletes = w->unsafe && world_chance(w, 200);
	w->dead_keepalives = w->unsafe && world_chance(w, 200);
}

void fault_happens(struct world *w, struct item *item)
{
	uint64_t i = world_below(w, ARRAY_LEN(faults));

	if (w->now >= w->quiet_from)
		return;
	if (w->faults & (uint64_t)1 << i) {
		w->faults_happened++;
		faults[i].happen(w);
	}
	world_plan(w, w->now + 1 + (int64_t)world_below(w, (uint64_t)(2 * w->fault_interval)), NULL,
		   item->run, 0);
}

void fault_calm(struct world *w)
{
	w->loss_permille = w->zombie_permille = 0;
	w->duplicates = w->lost_deletes = w->dead_keepalives = false;
	if (w->store_down)
		store_up(w, NULL);
	world_write_config(w);
	for (unsigned i = 0; i < w->hosts_len; i++) {
		struct host *h = &w->hosts[i];
		struct subnet subnet;

		if (w->traits & STORE_ASSIGNS && !mem_db_assigned(w->db, h->name, &subnet))
			world_assign(w, h);
		set_cut(h, false);
		if (!h->flannel && !h->m)
			host_start(h);
	}
}
