/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <stdarg.h>

uint64_t world_random(struct world *w)
{
	/* splitmix64 */
	uint64_t z = w->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t world_below(struct world *w, uint64_t limit)
{
	return limit ? world_random(w) % limit : 0;
}

bool world_chance(struct world *w, unsigned permille)
{
	return world_below(w, 1000) < permille;
}

int64_t world_delay(struct world *w)
{
	int64_t delay = 1 + (int64_t)world_below(w, (uint64_t)w->delay_ms);

	/* Now and then a packet is sent again, and that takes its time. */
	return world_chance(w, 10) ? delay * 20 : delay;
}

void world_trace(struct world *w, const struct host *h, const char *fmt, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	printf("%10.3f ", (double)w->now / SECOND);
	if (h)
		printf("%s%u ", h->flannel ? "flannel-" : "host-", h->index);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void world_violation(struct world *w, const struct host *h, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	if (w->violation)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->violation = h ? xasprintf("%.3f host-%u: %s", (double)w->now / SECOND, h->index, text)
			 : xasprintf("%.3f %s", (double)w->now / SECOND, text);
	world_trace(w, NULL, "VIOLATION %s", w->violation);
}

/* ---- the queue ---- */

static bool before(const struct item *a, const struct item *b)
{
	return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void push(struct world *w, const struct item *item)
{
	size_t i = w->queue_len;

	GROW(w->queue, w->queue_len, w->queue_cap);
	w->queue_len++;
	while (i > 0 && before(item, &w->queue[(i - 1) / 2])) {
		w->queue[i] = w->queue[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->queue[i] = *item;
}

static struct item pop(struct world *w)
{
	struct item first = w->queue[0];
	struct item last = w->queue[--w->queue_len];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < w->queue_len && before(&w->queue[child + 1], &w->queue[child]))
			child++;
		if (child >= w->queue_len || !before(&w->queue[child], &last))
			break;
		w->queue[i] = w->queue[child];
		i = child;
	}
	w->queue[i] = last;
	return first;
}

static void plan(struct world *w, struct item item)
{
	item.number = w->planned++;
	push(w, &item);
}

void world_plan(struct world *w, int64_t at, struct host *h,
		void (*run)(struct world *w, struct item *item), uint64_t token)
{
	plan(w, (struct item){
			.at = at, .host = h, .life = h ? h->life : 0, .run = run, .token = token });
}

void world_plan_data(struct world *w, int64_t at, struct host *h,
		     void (*run)(struct world *w, struct item *item), void *data,
		     void (*drop)(void *data))
{
	plan(w, (struct item){ .at = at,
			       .host = h,
			       .life = h ? h->life : 0,
			       .run = run,
			       .data = data,
			       .drop = drop });
}

static void step(struct world *w)
{
	struct item item = pop(w);

	if (item.at > w->now)
		w->steps_at_once = 0;
	else if (++w->steps_at_once > 200 * w->hosts_len + 10000)
		world_violation(w, item.host, "P9: time stands still");
	w->now = MAX(w->now, item.at);
	w->steps++;
	if (item.host && item.host->life != item.life) {
		if (item.drop)
			item.drop(item.data);
		return;
	}
	if (item.host && item.host->paused_until > w->now) {
		item.at = item.host->paused_until;
		plan(w, item);
		return;
	}
	item.run(w, &item);
}

/* ---- the store ---- */

void world_store_changed(struct world *w)
{
	uint64_t revision = mem_db_revision(w->db);

	if (revision == w->told_revision)
		return;
	w->told_revision = revision;
	for (unsigned i = 0; i < w->hosts_len; i++)
		host_watch_news(&w->hosts[i]);
}

void world_write_config(struct world *w)
{
	const struct mem_entry *e = mem_db_get(w->db, MEM_DB_CONFIG_KEY);

	if (!e || strcmp(e->value, w->config) != 0)
		mem_db_put(w->db, MEM_DB_CONFIG_KEY, w->config, strlen(w->config), 0);
	world_store_changed(w);
}

struct mem_db *world_new_db(const struct world *w)
{
	struct mem_db *db = mem_db_new();

	mem_db_set_traits(db, w->traits);
	return db;
}

void world_assign(struct world *w, const struct host *h)
{
	u128 base = (u128)10 << 24 | (u128)(256 + w->assigned++) << 8;
	struct subnet subnet = { .v4 = { ip_addr_from_u128(AF_INET, base), 24 } };
	char text[SUBNET_KEY_TEXT];

	world_trace(w, h, "is assigned %s", subnet_format(&subnet, text));
	mem_db_assign(w->db, h->name, &subnet);
	world_store_changed(w);
}

static void assign(struct world *w, struct item *item)
{
	world_assign(w, item->data);
}

/* A server looks twice a second for what has run out. */
static void expire(struct world *w, struct item *item)
{
	if (!w->store_down) {
		mem_db_expire(w->db, w->now);
		world_store_changed(w);
	}
	world_plan(w, w->now + SECOND / 2, NULL, item->run, 0);
}

static void look(struct world *w, struct item *item)
{
	check_now(w);
	world_plan(w, w->now + (w->hosts_len > 100 ? 30 : 5) * SECOND, NULL, item->run, 0);
}

static void fall_quiet(struct world *w, struct item *item UNUSED)
{
	world_trace(w, NULL, "faults end");
	fault_calm(w);
}

/* ---- a run ---- */

static void choose_kind(struct world *w, unsigned hosts)
{
	static const int64_t ttls[] = { 20, 60, 120, 600, 86400 };
	static const int64_t delays[] = { 1, 5, 30, 300 };

	w->ttl_s = ttls[world_below(w, ARRAY_LEN(ttls))];
	w->flannel_ttl_s = world_chance(w, 500) ? 86400 : 300;
	w->delay_ms = delays[world_below(w, ARRAY_LEN(delays))];
	w->loss_permille = world_chance(w, 500) ? 0 : (unsigned)world_below(w, 60);
	w->zombie_permille = world_chance(w, 700) ? 0 : (unsigned)world_below(w, 30);
	w->traits = STORE_ORDERED;
	if (!world_chance(w, 200))
		w->traits |= STORE_EXPIRES;
	else if (world_chance(w, 500))
		w->traits = STORE_ASSIGNS;
	/* Drawn from the seed alone: what else it stands for stays as it was. */
	w->no_history = hosts <= 100 && !(w->traits & STORE_ASSIGNS) && w->seed % 5 == 4;
	w->tight = hosts <= 100 && !(w->traits & STORE_ASSIGNS) && world_chance(w, 150);
	w->keeps_state = world_chance(w, 500);
	fault_choose(w);
	if (w->tight && world_chance(w, 500)) {
		w->config = xstrdup("{\"Network\":\"10.1.0.0/18\",\"SubnetLen\":24}");
		w->other_config = xstrdup("{\"Network\":\"10.1.0.0/18\",\"SubnetLen\":22}");
	} else if (w->tight)
		w->config = xasprintf("{\"Network\":\"10.0.0.0/8\",\"SubnetLen\":24,"
				      "\"SubnetMin\":\"10.1.0.0\",\"SubnetMax\":\"10.1.%u.0\"}",
				      hosts + 2);
	else if (w->traits & STORE_ASSIGNS)
		w->config = xstrdup("{\"Network\":\"10.0.0.0/8\"}");
	else if (world_chance(w, 200))
		w->config = xstrdup("{\"Network\":\"10.0.0.0/8\",\"EnableIPv6\":true,"
				    "\"IPv6Network\":\"fd10::/40\"}");
	else
		w->config = xasprintf("{\"Network\":\"10.0.0.0/%d\"}", hosts > 100 ? 8 : 16);
}

/* Hosts that start now learn another length of subnets than those before them. */
static void alternate(struct world *w, struct item *item)
{
	char *other = w->other_config;

	w->other_config = w->config;
	w->config = other;
	world_write_config(w);
	if (w->now < MINUTE + 5 * SECOND)
		world_plan(w, w->now + 20, NULL, item->run, 0);
}

static void first_start(struct world *w UNUSED, struct item *item)
{
	struct host *h = item->host;

	if (h->flannel)
		flannel_start(h);
	else if (!h->m)
		host_start(h);
}

static void make_hosts(struct world *w, unsigned hosts)
{
	bool at_once = world_chance(w, 500);
	bool flannels = w->unsafe && world_chance(w, 300);

	w->hosts = xcalloc(hosts, sizeof(*w->hosts));
	w->hosts_len = hosts;
	for (unsigned i = 0; i < hosts; i++) {
		struct host *h = &w->hosts[i];

		h->w = w;
		h->index = i;
		h->flannel = flannels && world_chance(w, 300);
		h->tick_at = NEVER;
		h->untrue_since = NEVER;
		snprintf(h->node_id, sizeof(h->node_id), "id-%u", i);
		snprintf(h->name, sizeof(h->name), "host-%u", i);
		h->address = ip_addr_from_u128(AF_INET, ((u128)192 << 24 | 168 << 16) + 256 + i);
		world_plan(w, w->now + (at_once ? 0 : (int64_t)world_below(w, 5 * SECOND)), h,
			   first_start, 0);
		if (w->traits & STORE_ASSIGNS)
			world_plan_data(w, w->now + (int64_t)world_below(w, 20 * SECOND), NULL,
					assign, h, NULL);
	}
}

bool world_run(struct world *w, uint64_t seed, unsigned hosts, int64_t minutes, bool trace)
{
	*w = (struct world){ .seed = seed, .random = seed * 0x2545f4914f6cdd1du, .trace = trace };
	w->now = MINUTE;
	w->end = w->now + minutes * MINUTE;
	/* Longer than the slowest of what heals: the list that is compared every 6 minutes. */
	w->quiet_from = w->end - 14 * MINUTE;
	w->cluster = 1;
	choose_kind(w, hosts);
	w->db = world_new_db(w);
	world_write_config(w);
	make_hosts(w, hosts);
	if (w->other_config)
		world_plan(w, w->now, NULL, alternate, 0);
	world_plan(w, w->now, NULL, expire, 0);
	world_plan(w, w->now, NULL, look, 0);
	world_plan(w, w->now + world_delay(w), NULL, fault_happens, 0);
	world_plan(w, w->quiet_from, NULL, fall_quiet, 0);
	while (w->queue[0].at <= w->end && !w->violation)
		step(w);
	if (!w->violation)
		check_end(w);
	return !w->violation;
}

void world_fini(struct world *w)
{
	for (size_t i = 0; i < w->queue_len; i++) {
		if (w->queue[i].drop)
			w->queue[i].drop(w->queue[i].data);
	}
	free(w->queue);
	for (unsigned i = 0; i < w->hosts_len; i++) {
		manager_free(w->hosts[i].m);
		lease_free(w->hosts[i].plan);
		last_known_fini(&w->hosts[i].known);
	}
	free(w->hosts);
	free(w->overlaps);
	mem_db_free(w->db);
	mem_db_free(w->snapshot);
	free(w->config);
	free(w->other_config);
	free(w->violation);
}
