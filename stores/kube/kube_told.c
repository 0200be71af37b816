/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_told.h"

#include "lib/hash.h"

struct told {
	struct hash_link link;
	struct hash_link by_gist;
	uint64_t gist; /* 0: none is known, and it is not in `gists` */
	uint64_t digest;
	uint64_t revision;
	struct subnet subnet; /* unset: no lease was told */
	bool unreadable;      /* that was told */
	char name[];
};

struct kube_told {
	struct hash_table nodes;
	struct hash_table gists;
};

static uint64_t hash_of_name(const char *name)
{
	return hash_bytes(name, strlen(name));
}

static uint64_t hash_of(const struct hash_link *link)
{
	return hash_of_name(CONTAINER_OF(link, struct told, link)->name);
}

static uint64_t gist_of(const struct hash_link *link)
{
	return CONTAINER_OF(link, struct told, by_gist)->gist;
}

static void forget_gist(struct kube_told *t, struct told *told)
{
	if (told->gist)
		hash_table_remove(&t->gists, &told->by_gist, gist_of);
	told->gist = 0;
}

static struct told *find(const struct kube_told *t, const char *name)
{
	for (struct hash_link *l = hash_table_first(&t->nodes, hash_of_name(name)); l;
	     l = l->next) {
		struct told *told = CONTAINER_OF(l, struct told, link);

		if (strcmp(told->name, name) == 0)
			return told;
	}
	return NULL;
}

struct kube_told *kube_told_new(void)
{
	return xcalloc(1, sizeof(struct kube_told));
}

static void drop(struct kube_told *t, struct told *told)
{
	forget_gist(t, told);
	hash_table_remove(&t->nodes, &told->link, hash_of);
	free(told);
}

void kube_told_free(struct kube_told *t)
{
	struct hash_link *l;

	if (!t)
		return;
	while ((l = hash_table_next(&t->nodes, NULL, hash_of)))
		drop(t, CONTAINER_OF(l, struct told, link));
	free(t);
}

size_t kube_told_len(const struct kube_told *t)
{
	return t->nodes.len;
}

static uint64_t add_text(uint64_t hash, const char *text)
{
	return hash_fnv1a(hash, text, strlen(text) + 1);
}

static uint64_t add_addr(uint64_t hash, const struct ip_addr *a)
{
	char text[IP_ADDR_TEXT] = "";

	return add_text(hash, ip_addr_is_set(a) ? ip_addr_format(a, text) : text);
}

/* Of all that matters to us. */
static uint64_t digest(const struct kube_node *n, bool own)
{
	uint64_t hash = add_text(HASH_FNV_INIT, n->uid);
	char key[SUBNET_KEY_TEXT];

	if (kube_node_has_lease(n))
		hash = add_text(hash, subnet_key_format(&n->subnet, key));
	if (n->lease) {
		auto_free char *value = lease_value_format(n->lease);

		hash = add_text(hash, value);
	} else if (n->is_flannel) {
		hash = add_text(hash, n->problem);
	}
	if (!own)
		return hash;
	hash = add_text(hash, n->lease && n->lease->out_of_use ? "out" : "");
	hash = add_addr(hash, &n->overwrite_v4);
	return add_addr(hash, &n->overwrite_v6);
}

/* Another node that was told with this subnet: after a restored backup there may be one. */
static bool is_taken(const struct kube_told *t, const struct told *except)
{
	const struct hash_link *l = NULL;

	while ((l = hash_table_next(&t->nodes, l, hash_of))) {
		const struct told *told = CONTAINER_OF(l, const struct told, link);

		if (told != except && subnet_equal(&told->subnet, &except->subnet))
			return true;
	}
	return false;
}

static bool has_lease(const struct told *told)
{
	return ip_net_is_set(&told->subnet.v4) || ip_net_is_set(&told->subnet.v6);
}

/* What was told of it does not hold any longer. `now`: the subnet that it still has, or NULL. */
static unsigned take_back(const struct kube_told *t, const struct told *told,
			  const struct subnet *now, struct subnet *ret_before)
{
	unsigned news = told->unreadable ? KUBE_NEWS_READABLE : 0;

	if (!has_lease(told) || (now && subnet_equal(now, &told->subnet)) || is_taken(t, told))
		return news;
	*ret_before = told->subnet;
	return news | KUBE_NEWS_GONE;
}

unsigned kube_told_put(struct kube_told *t, const struct kube_node *node, bool own,
		       struct subnet *ret_before)
{
	static const struct subnet none;
	const struct subnet *subnet = kube_node_has_lease(node) ? &node->subnet : NULL;
	struct told *told = find(t, node->name);
	uint64_t now = digest(node, own);
	unsigned news;

	if (!node->is_flannel)
		return kube_told_delete(t, node->name, ret_before);
	if (told)
		forget_gist(t, told);
	if (told && told->digest == now)
		return 0;
	if (!told) {
		told = xcalloc(1, sizeof(*told) + strlen(node->name) + 1);
		memcpy(told->name, node->name, strlen(node->name));
		hash_table_add(&t->nodes, &told->link, hash_of);
	}
	news = take_back(t, told, subnet, ret_before);
	told->digest = now;
	told->revision = node->revision;
	told->subnet = subnet ? *subnet : none;
	told->unreadable = !subnet && *node->problem;
	if (subnet)
		news |= KUBE_NEWS_LEASE;
	return told->unreadable ? news | KUBE_NEWS_UNREADABLE : news;
}

unsigned kube_told_delete(struct kube_told *t, const char *name, struct subnet *ret_before)
{
	struct told *told = find(t, name);
	unsigned news;

	if (!told)
		return 0;
	news = take_back(t, told, NULL, ret_before);
	drop(t, told);
	return news;
}

void kube_told_remember(struct kube_told *t, const char *name, uint64_t gist)
{
	struct told *told = find(t, name);

	if (!told)
		return;
	forget_gist(t, told);
	told->gist = gist;
	hash_table_add(&t->gists, &told->by_gist, gist_of);
}

bool kube_told_knows(const struct kube_told *t, uint64_t gist)
{
	for (const struct hash_link *l = hash_table_first(&t->gists, gist); l; l = l->next) {
		if (gist_of(l) == gist)
			return true;
	}
	return false;
}

uint64_t kube_told_revision(const struct kube_told *t, const struct kube_node *node, bool own)
{
	const struct told *told = find(t, node->name);

	return told && told->digest == digest(node, own) ? told->revision : node->revision;
}
