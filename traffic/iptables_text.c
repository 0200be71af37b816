/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/iptables_text.h"

#include <stdarg.h>

#define LINE_MAX_SIZE 512

/* Where rules of one kind stand. */
static const struct place {
	enum traffic_chain chain;
	const char *table;
	const char *from;    /* the chain that everything passes through */
	const char *suffix;  /* of our chain's name */
	const char *flannel; /* flannel's chain */
} places[] = {
	{ TRAFFIC_MASQUERADE, "nat", "POSTROUTING", TRAFFIC_IPTABLES_MASQUERADE,
	  TRAFFIC_IPTABLES_FLANNEL_MASQUERADE },
	{ TRAFFIC_FORWARD, "filter", "FORWARD", TRAFFIC_IPTABLES_FORWARD,
	  TRAFFIC_IPTABLES_FLANNEL_FORWARD },
};

struct text {
	char *data;
	size_t len;
	size_t cap;
};

static void put(struct text *t, const char *fmt, ...) PRINTF(2, 3);

static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int len;

	if (t->cap - t->len < LINE_MAX_SIZE) {
		t->cap = t->cap * 2 + 2 * LINE_MAX_SIZE;
		t->data = xrealloc(t->data, t->cap);
	}
	va_start(ap, fmt);
	len = vsnprintf(t->data + t->len, t->cap - t->len, fmt, ap);
	va_end(ap);
	/* Lines are ours and short, or were read and checked to be. */
	if (len < 0 || (size_t)len >= t->cap - t->len)
		abort();
	t->len += (size_t)len;
}

/* ---- rules as iptables-save prints them ---- */

static const char *target(enum nft_action action)
{
	switch (action) {
	case NFT_ACTION_RETURN:
		return "RETURN";
	case NFT_ACTION_ACCEPT:
		return "ACCEPT";
	case NFT_ACTION_DROP:
		return "DROP";
	case NFT_ACTION_MASQUERADE:
		return "MASQUERADE";
	case NFT_ACTION_MASQUERADE_RANDOM:
		return "MASQUERADE --random-fully";
	case NFT_ACTION_CONTINUE:
	case NFT_ACTION_JUMP:
	case NFT_ACTION_MAP:
	case NFT_ACTION_REDIRECT:
	case NFT_ACTION_REMEMBER:
	case NFT_ACTION_REMEMBER_TARGET:
		break; /* only in chains that iptables has nothing of */
	}
	abort();
}

static void put_net(struct text *t, const char *flag, const struct ip_net *net, bool inverted)
{
	struct ip_net masked = ip_net_masked(net);
	char text[IP_NET_TEXT];

	if (ip_net_is_set(net))
		put(t, " %s%s %s", inverted ? "! " : "", flag, ip_net_format(&masked, text));
}

static void put_rule(struct text *t, const struct nft_rule *r, const char *chain)
{
	put(t, "-A %s", chain);
	put_net(t, "-s", &r->source, r->source_not);
	put_net(t, "-d", &r->destination, r->destination_not);
	if (r->mark_mask)
		put(t, " -m mark --mark 0x%x/0x%x", r->mark, r->mark_mask);
	put(t, " -m comment --comment \"%s\" -j %s\n", r->comment, target(r->action));
}

static size_t put_rules(struct text *t, const struct traffic_rules *rules, int family,
			enum traffic_chain chain, const char *name)
{
	size_t len = 0;

	for (size_t i = 0; i < rules->len; i++) {
		if (rules->items[i].chain != chain || rules->items[i].family != family)
			continue;
		put_rule(t, &rules->items[i], name);
		len++;
	}
	return len;
}

/* ---- what is there ---- */

/* What iptables-save says about one chain. */
struct found {
	bool exists;
	struct text rules; /* its rules, as they stand */
	struct text jumps; /* "-D ..." for each rule of `from` that jumps to it */
	size_t jumps_len;
	unsigned jump_at; /* number of the last of them among the rules of `from`, from 1 */
	bool jump_marked; /* and it carries our mark */
	unsigned at;      /* rules of `from` so far */
	unsigned before;  /* the jump belongs before this rule; 0: anywhere */
	unsigned jumps_before;
};

static bool starts_with(const char *line, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *line, size_t len, const char *suffix)
{
	size_t size = strlen(suffix);

	return len >= size && memcmp(line + len - size, suffix, size) == 0;
}

/* Whether the rule's comment is the mark. */
static bool has_mark(const char *line, size_t len, const char *mark)
{
	auto_free char *comment = xasprintf(" --comment \"%s\" ", mark);

	return memmem(line, len, comment, strlen(comment)) != NULL;
}

static void read_line(const struct place *p, const char *chain, const char *mark, const char *line,
		      size_t len, struct found *ret)
{
	auto_free char *declaration = xasprintf(":%s ", chain);
	auto_free char *rule = xasprintf("-A %s ", chain);
	auto_free char *from = xasprintf("-A %s ", p->from);
	auto_free char *jump = xasprintf(" -j %s", chain);

	ret->at += starts_with(line, len, from);
	if (len >= LINE_MAX_SIZE - 1)
		return;
	if (starts_with(line, len, declaration)) {
		ret->exists = true;
	} else if (starts_with(line, len, rule)) {
		put(&ret->rules, "%.*s\n", (int)len, line);
	} else if (starts_with(line, len, from) && ends_with(line, len, jump)) {
		put(&ret->jumps, "-D%.*s\n", (int)len - 2, line + 2);
		ret->jumps_len++;
		ret->jumps_before += ret->at < ret->before;
		ret->jump_at = ret->at;
		ret->jump_marked = has_mark(line, len, mark);
	}
}

/* Shows the lines of the place's table to `visit`. */
static void visit_lines(const struct place *p, const char *saved,
			void (*visit)(void *arg, const char *line, size_t len), void *arg)
{
	bool inside = false;

	while (*saved) {
		size_t len = strcspn(saved, "\n");

		if (*saved == '*')
			inside = len == strlen(p->table) + 1 &&
				 memcmp(saved + 1, p->table, len - 1) == 0;
		else if (inside)
			visit(arg, saved, len);
		saved += len + (saved[len] == '\n');
	}
}

struct search {
	const struct place *place;
	const char *chain;
	const char *mark;
	struct found found;
};

static void search_line(void *arg, const char *line, size_t len)
{
	struct search *s = arg;

	read_line(s->place, s->chain, s->mark, line, len, &s->found);
}

static struct found find(const struct place *p, const char *chain, const char *mark,
			 const char *saved, unsigned before)
{
	struct search s = { .place = p, .chain = chain, .mark = mark, .found.before = before };

	visit_lines(p, saved, search_line, &s);
	return s.found;
}

static void found_fini(struct found *f)
{
	free(f->rules.data);
	free(f->jumps.data);
}

/* ---- the difference ---- */

/* One by one: together they may be longer than a line. */
static void put_lines(struct text *t, const struct text *lines)
{
	for (const char *line = lines->len ? lines->data : ""; *line;
	     line += strcspn(line, "\n") + 1)
		put(t, "%.*s\n", (int)strcspn(line, "\n"), line);
}

static void remove_chain(const struct place *p, const char *chain, const char *saved,
			 struct text *ret)
{
	struct found found = find(p, chain, "", saved, 0);

	put_lines(ret, &found.jumps);
	if (found.exists)
		put(ret, "-F %s\n-X %s\n", chain, chain);
	found_fini(&found);
}

static void update_chain(const struct place *p, const char *chain, const char *mark,
			 const char *saved, const struct text *wanted, unsigned before,
			 struct text *ret)
{
	struct found found = find(p, chain, mark, saved, before);
	bool late = before && found.jumps_len && !found.jumps_before;
	bool same = found.rules.len == wanted->len &&
		    memcmp(found.rules.data, wanted->data, wanted->len) == 0;

	/* Declaring a chain empties it. */
	if (!found.exists || !same) {
		put(ret, ":%s - [0:0]\n", chain);
		put_lines(ret, wanted);
	}
	/* One jump: more do no harm but tell of a mess, none is what this is about. */
	if (found.jumps_len > 1 || late)
		put_lines(ret, &found.jumps);
	if (before && (found.jumps_len != 1 || late))
		put(ret, "-I %s %u -m comment --comment \"%s\" -j %s\n", p->from,
		    before - found.jumps_before, mark, chain);
	else if (found.jumps_len != 1)
		put(ret, "-A %s -m comment --comment \"%s\" -j %s\n", p->from, mark, chain);
	else if (!found.jump_marked)
		put(ret, "-R %s %u -m comment --comment \"%s\" -j %s\n", p->from, found.jump_at,
		    mark, chain);
	found_fini(&found);
}

struct marked {
	const struct place *place;
	const char *mark;
	const char *wanted; /* chain that stays */
	const char *saved;
	struct text *ret;
};

/* A jump with our mark to a chain of another name: of another configuration. */
static void remove_marked(void *arg, const char *line, size_t len)
{
	const struct marked *m = arg;
	auto_free char *from = xasprintf("-A %s ", m->place->from);
	auto_free char *text = NULL;
	auto_free char *done = NULL;
	const char *chain;

	if (!starts_with(line, len, from) || !has_mark(line, len, m->mark))
		return;
	text = xstrndup(line, len);
	chain = strstr(text, " -j ");
	chain = chain ? chain + strlen(" -j ") : m->wanted;
	if (strcmp(chain, m->wanted) == 0)
		return;
	/* A second jump to it goes with the first. */
	done = xasprintf("-X %s\n", chain);
	if (!m->ret->data || !strstr(m->ret->data, done))
		remove_chain(m->place, chain, m->saved, m->ret);
}

char *traffic_iptables_update(const struct traffic_rules *rules, int family, const char *table,
			      const char *mark, const char *saved, unsigned before)
{
	struct text out = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const struct place *p = &places[i];
		auto_free char *chain = xasprintf("%s%s", table, p->suffix);
		struct text wanted = { 0 };
		struct text changes = { 0 };
		struct marked marked = { p, mark, chain, saved, &changes };

		if (put_rules(&wanted, rules, family, p->chain, chain))
			update_chain(p, chain, mark, saved, &wanted,
				     p->chain == TRAFFIC_FORWARD ? before : 0, &changes);
		else
			remove_chain(p, chain, saved, &changes);
		remove_chain(p, p->flannel, saved, &changes);
		visit_lines(p, saved, remove_marked, &marked);
		if (changes.len) {
			put(&out, "*%s\n", p->table);
			put_lines(&out, &changes);
			put(&out, "COMMIT\n");
		}
		free(wanted.data);
		free(changes.data);
	}
	return out.data;
}
