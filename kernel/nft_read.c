/* SPDX-License-Identifier: Apache-2.0 */
/* What nf_tables has, asked for and told. */
#include "kernel/nft_internal.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>

#define QUESTION_ROOM   640 /* two names, as long as the kernel allows */
#define TABLE_NAME_SIZE 256 /* as the kernel allows, with the terminator */

/* ---- attributes ---- */

const struct nlattr *nft_find(const struct nlmsghdr *hdr, uint16_t type)
{
	const struct nlattr *attr;

	nlattr_for_each (attr, hdr, sizeof(struct nfgenmsg)) {
		if (nlattr_type(attr) == type)
			return attr;
	}
	return NULL;
}

const struct nlattr *nft_find_in(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	if (!nest)
		return NULL;
	nlattr_for_each_nested (attr, nest) {
		if (nlattr_type(attr) == type)
			return attr;
	}
	return NULL;
}

const char *nft_text(const struct nlattr *attr)
{
	return attr && nlattr_is_text(attr) ? nlattr_data(attr) : "";
}

uint32_t nft_be32(const struct nlattr *attr)
{
	return attr && nlattr_size(attr) == 4 ? ntohl(nlattr_u32(attr)) : 0;
}

static uint64_t be64(const struct nlattr *attr)
{
	return attr && nlattr_size(attr) == 8 ? be64toh(nlattr_u64(attr)) : 0;
}

const char *nft_comment(const struct nlattr *userdata)
{
	const uint8_t *data = userdata ? nlattr_data(userdata) : NULL;
	size_t left = userdata ? nlattr_size(userdata) : 0;

	/* Type, size, value; one behind the other. */
	while (left >= 2 && 2u + data[1] <= left) {
		if (data[0] == NFT_COMMENT_TYPE && data[1] && data[1 + data[1]] == '\0')
			return (const char *)data + 2;
		left -= 2u + data[1];
		data += 2u + data[1];
	}
	return "";
}

/* ---- questions ---- */

static struct nlmsghdr *put_question(void *room, const struct nft_query *q)
{
	struct nlmsghdr *hdr = nft_put_header(room, q->message, 0, q->family);

	for (size_t i = 0; i < ARRAY_LEN(q->by); i++) {
		if (q->by[i].text)
			nlattr_put_text(hdr, q->by[i].type, q->by[i].text);
	}
	if (q->object)
		nft_put_be32(hdr, NFTA_OBJ_TYPE, q->object);
	return hdr;
}

_Static_assert(NFT_MSG_NEWTABLE == NFT_MSG_GETTABLE - 1 &&
		       NFT_MSG_NEWCHAIN == NFT_MSG_GETCHAIN - 1 &&
		       NFT_MSG_NEWRULE == NFT_MSG_GETRULE - 1 &&
		       NFT_MSG_NEWSET == NFT_MSG_GETSET - 1 &&
		       NFT_MSG_NEWSETELEM == NFT_MSG_GETSETELEM - 1 &&
		       NFT_MSG_NEWOBJ == NFT_MSG_GETOBJ - 1,
	       "the answer's number is the one before the question's");

static bool is_answer(const struct nlmsghdr *hdr, uint8_t question)
{
	return hdr->nlmsg_type == nft_type((uint8_t)(question - 1)) &&
	       hdr->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nfgenmsg));
}

struct asked {
	const struct nft_query *questions;
	nft_answer_fn *on_answer;
	void *arg;
	struct err error;
};

static void on_answer(void *arg, size_t index, const struct nlmsghdr *hdr, int code,
		      const char *text)
{
	struct asked *a = arg;

	if (code && code != -ENOENT)
		err_set(&a->error, code, "%s", text);
	else if (!hdr || is_answer(hdr, a->questions[index].message))
		a->on_answer(a->arg, index, hdr);
}

int nft_ask(struct netlink *nl, const struct nft_query *questions, size_t len, nft_answer_fn *visit,
	    void *arg, struct err *e)
{
	struct asked a = { questions, visit, arg, { 0 } };
	auto_free char *room = xcalloc(len, QUESTION_ROOM);
	size_t used = 0;

	for (size_t i = 0; i < len; i++)
		used += NLMSG_ALIGN(put_question(room + used, &questions[i])->nlmsg_len);
	if (netlink_ask(nl, room, used, on_answer, &a, e) < 0)
		return err_wrap(e, "nftables");
	return a.error.code ? err_set(e, a.error.code, "nftables: %s", a.error.text) : 0;
}

struct dump {
	uint8_t question;
	void (*reset)(void *arg);
	nft_message_fn *visit;
	void *arg;
};

static void on_dumped(void *arg, const struct nlmsghdr *hdr)
{
	const struct dump *d = arg;

	if (is_answer(hdr, d->question))
		d->visit(d->arg, hdr);
}

static void forget_dumped(void *arg)
{
	const struct dump *d = arg;

	if (d->reset)
		d->reset(d->arg);
}

int nft_dump(struct netlink *nl, const struct nft_query *q, void (*reset)(void *arg),
	     nft_message_fn *visit, void *arg, struct err *e)
{
	char room[QUESTION_ROOM] __attribute__((aligned(8)));
	struct dump d = { q->message, reset, visit, arg };

	forget_dumped(&d);
	if (netlink_dump(nl, put_question(room, q), on_dumped, forget_dumped, &d, e) < 0)
		return err_wrap(e, "nftables");
	return 0;
}

/* ---- elements ---- */

struct listing {
	size_t key_size;
	size_t target_size;
	nft_element_fn *visit;
	void *arg;
};

static void read_element(const struct nlattr *item, const struct listing *l)
{
	struct nft_element el = { 0 };
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, item) {
		const struct nlattr *value = NULL;

		switch (nlattr_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			value = nft_find_in(attr, NFTA_DATA_VALUE);
			if (value && nlattr_size(value) == l->key_size)
				el.key = nlattr_data(value);
			break;
		case NFTA_SET_ELEM_DATA:
			value = nft_find_in(nft_find_in(attr, NFTA_DATA_VERDICT),
					    NFTA_VERDICT_CHAIN);
			el.chain = nft_text(value);
			value = nft_find_in(attr, NFTA_DATA_VALUE);
			if (value && l->target_size && nlattr_size(value) == l->target_size)
				el.target = nlattr_data(value), el.target_size = l->target_size;
			break;
		case NFTA_SET_ELEM_USERDATA:
			el.comment = nft_comment(attr);
			break;
		case NFTA_SET_ELEM_EXPIRATION:
			el.altered = true;
			el.left_ms = be64(attr);
			break;
		case NFTA_SET_ELEM_EXPR:
			el.altered = true;
			value = nft_find_in(attr, NFTA_EXPR_DATA);
			el.packets = be64(nft_find_in(value, NFTA_COUNTER_PACKETS));
			el.bytes = be64(nft_find_in(value, NFTA_COUNTER_BYTES));
			break;
		case NFTA_SET_ELEM_FLAGS:
		case NFTA_SET_ELEM_TIMEOUT:
		case NFTA_SET_ELEM_EXPRESSIONS:
		case NFTA_SET_ELEM_OBJREF:
		case NFTA_SET_ELEM_KEY_END:
			el.altered = true;
			break;
		}
	}
	if (el.key)
		l->visit(l->arg, &el);
}

static void on_elements(void *arg, const struct nlmsghdr *hdr)
{
	const struct nlattr *list = nft_find(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
	const struct nlattr *item;

	if (!list)
		return;
	nlattr_for_each_nested (item, list)
		read_element(item, arg);
}

void nft_read_elements(const struct nlmsghdr *hdr, size_t key_size, nft_element_fn *visit,
		       void *arg)
{
	struct listing l = { key_size, 0, visit, arg };

	on_elements(&l, hdr);
}

static void on_element(void *arg, const struct nlmsghdr *hdr)
{
	if (is_answer(hdr, NFT_MSG_GETSETELEM))
		on_elements(arg, hdr);
}

static struct nlmsghdr *put_element_question(char room[static NFT_MESSAGE_ROOM],
					     const struct nft_table *t, const char *set,
					     const void *key, size_t key_size)
{
	struct nlmsghdr *hdr = nft_put_header(room, NFT_MSG_GETSETELEM, 0, t->family);
	struct nlattr *list;
	struct nlattr *item;

	nlattr_put_text(hdr, NFTA_SET_ELEM_LIST_TABLE, t->name);
	nlattr_put_text(hdr, NFTA_SET_ELEM_LIST_SET, set);
	list = nlattr_nest_begin(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
	item = nlattr_nest_begin(hdr, NFTA_LIST_ELEM);
	nft_put_value(hdr, NFTA_SET_ELEM_KEY, key, key_size);
	nlattr_nest_end(hdr, item);
	nlattr_nest_end(hdr, list);
	return hdr;
}

static int get_element(struct netlink *nl, const struct nft_table *t, const struct nft_set *set,
		       const void *key, struct listing *l, struct err *e)
{
	char room[NFT_MESSAGE_ROOM] __attribute__((aligned(8)));

	return netlink_call(nl, put_element_question(room, t, set->name, key, l->key_size),
			    on_element, l, e);
}

static void read_key_size(void *arg, size_t index UNUSED, const struct nlmsghdr *hdr)
{
	*(uint32_t *)arg = hdr ? nft_be32(nft_find(hdr, NFTA_SET_KEY_LEN)) : 0;
}

static void note_code(void *arg, size_t index UNUSED, const struct nlmsghdr *answer UNUSED,
		      int code, const char *text UNUSED)
{
	*(int *)arg = code;
}

int nft_set_has(struct netlink *nl, uint8_t family, const char *table, const char *set,
		const uint8_t *key, const uint8_t *known, size_t size)
{
	const struct nft_query q = {
		NFT_MSG_GETSET, family, { { NFTA_SET_TABLE, table }, { NFTA_SET_NAME, set } }, 0
	};
	const struct nft_table t = { .family = family, .name = table };
	char room[NFT_MESSAGE_ROOM] __attribute__((aligned(8)));
	struct nlmsghdr *hdr;
	uint32_t key_size = 0;
	int rc = nl ? nft_ask(nl, &q, 1, read_key_size, &key_size, NULL) : -ENODATA;
	int code = -ENODATA;

	if (rc < 0)
		return rc;
	if (key_size == 0)
		return -ENOENT;
	for (size_t i = 0; i < key_size; i++) {
		if (i >= size || known[i] != 0xff)
			return -ENODATA;
	}
	hdr = put_element_question(room, &t, set, key, key_size);
	rc = netlink_ask(nl, hdr, NLMSG_ALIGN(hdr->nlmsg_len), note_code, &code, NULL);
	if (rc < 0)
		return rc;
	return code == -ENOENT ? 0 : code < 0 ? code : 1;
}

int nft_elements_visit(struct netlink *nl, const struct nft_table *t, const struct nft_set *set,
		       const void *key, nft_element_fn *visit, void *arg, struct err *e)
{
	const struct nft_query q = { NFT_MSG_GETSETELEM,
				     t->family,
				     { { NFTA_SET_ELEM_LIST_TABLE, t->name },
				       { NFTA_SET_ELEM_LIST_SET, set->name } },
				     0 };
	struct listing l = { nft_key_size(set->type), set->target ? nft_key_size(set->target) : 0,
			     visit, arg };
	int rc = key ? get_element(nl, t, set, key, &l, e)
		     : nft_dump(nl, &q, NULL, on_elements, &l, e);

	return rc < 0 ? err_wrap(e, "nftables set %s", set->name) : 0;
}

/* ---- counters ---- */

struct counting {
	struct nft_counter *counter;
	bool found;
};

static void read_counter(void *arg, size_t index UNUSED, const struct nlmsghdr *hdr)
{
	const struct nlattr *data = hdr ? nft_find(hdr, NFTA_OBJ_DATA) : NULL;
	struct counting *c = arg;

	c->found = hdr != NULL;
	c->counter->packets = be64(nft_find_in(data, NFTA_COUNTER_PACKETS));
	c->counter->bytes = be64(nft_find_in(data, NFTA_COUNTER_BYTES));
}

int nft_counter_read(struct netlink *nl, const struct nft_table *t, struct nft_counter *c,
		     struct err *e)
{
	const struct nft_query q = { NFT_MSG_GETOBJ,
				     t->family,
				     { { NFTA_OBJ_TABLE, t->name }, { NFTA_OBJ_NAME, c->name } },
				     NFT_OBJECT_COUNTER };
	struct counting counting = { .counter = c };
	int rc = nft_ask(nl, &q, 1, read_counter, &counting, e);

	if (rc == 0 && !counting.found)
		rc = err_set(e, -ENOENT, "nftables: there is no counter %s", c->name);
	return rc;
}

/* ---- tables ---- */

struct table_info {
	uint8_t family;
	char name[TABLE_NAME_SIZE];
	char mark[NFT_COMMENT_SIZE];
};

struct tables {
	struct table_info *items;
	size_t len;
	size_t cap;
};

static void tables_reset(void *arg)
{
	((struct tables *)arg)->len = 0;
}

static void read_table(void *arg, const struct nlmsghdr *hdr)
{
	const struct nfgenmsg *gen = nlmsg_data(hdr);
	struct tables *r = arg;
	struct table_info *info;

	GROW(r->items, r->len, r->cap);
	info = &r->items[r->len++];
	info->family = gen->nfgen_family;
	snprintf(info->name, sizeof(info->name), "%s", nft_text(nft_find(hdr, NFTA_TABLE_NAME)));
	snprintf(info->mark, sizeof(info->mark), "%s",
		 nft_comment(nft_find(hdr, NFTA_TABLE_USERDATA)));
}

int nft_tables_visit(struct netlink *nl, nft_table_fn *visit, void *arg, struct err *e)
{
	const struct nft_query q = { .message = NFT_MSG_GETTABLE, .family = AF_UNSPEC };
	struct tables r = { 0 };
	int rc = nft_dump(nl, &q, tables_reset, read_table, &r, e);

	for (size_t i = 0; i < r.len && rc == 0; i++)
		visit(arg, r.items[i].family, r.items[i].name, r.items[i].mark);
	free(r.items);
	return rc;
}

/* ---- chains ---- */

struct chains {
	struct nft_chain_info *items;
	size_t len;
	size_t cap;
};

static void chains_reset(void *arg)
{
	((struct chains *)arg)->len = 0;
}

static void read_chain(void *arg, const struct nlmsghdr *hdr)
{
	const struct nfgenmsg *gen = nlmsg_data(hdr);
	const struct nlattr *hook = nft_find(hdr, NFTA_CHAIN_HOOK);
	const struct nlattr *policy = nft_find(hdr, NFTA_CHAIN_POLICY);
	struct chains *r = arg;
	struct nft_chain_info *info;

	GROW(r->items, r->len, r->cap);
	info = &r->items[r->len++];
	*info = (struct nft_chain_info){ .family = gen->nfgen_family, .base = hook != NULL };
	snprintf(info->table, sizeof(info->table), "%s", nft_text(nft_find(hdr, NFTA_CHAIN_TABLE)));
	snprintf(info->name, sizeof(info->name), "%s", nft_text(nft_find(hdr, NFTA_CHAIN_NAME)));
	info->filters = strcmp(nft_text(nft_find(hdr, NFTA_CHAIN_TYPE)), "filter") == 0;
	info->translates = strcmp(nft_text(nft_find(hdr, NFTA_CHAIN_TYPE)), "nat") == 0;
	info->hook = nft_be32(nft_find_in(hook, NFTA_HOOK_HOOKNUM));
	info->drops = policy && nft_be32(policy) == NF_DROP;
}

int nft_chains_visit(struct netlink *nl,
		     void (*visit)(void *arg, const struct nft_chain_info *chain), void *arg,
		     struct err *e)
{
	const struct nft_query q = { .message = NFT_MSG_GETCHAIN, .family = AF_UNSPEC };
	struct chains r = { 0 };
	int rc = nft_dump(nl, &q, chains_reset, read_chain, &r, e);

	for (size_t i = 0; i < r.len && rc == 0; i++)
		visit(arg, &r.items[i]);
	free(r.items);
	return rc;
}
