/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/extension_peers.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/backoff.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/process.h"

#define RUNNING_MAX     8 /* commands at a time */
#define REMOVE_ATTEMPTS 5
#define SAID_MAX        4096 /* bytes of a command's output */
#define BOOT_ID_FILE    "/proc/sys/kernel/random/boot_id"
#define FILE_SIZE_MAX   (64 * 1024 * 1024)
#define VARIABLES       4

static const struct backoff_policy retry = { .min_ms = 1000, .max_ms = 300000 };

struct extension_peer {
	struct hash_link link;
	struct extension_peers *owner;
	struct subnet subnet;
	struct ip_addr public_v4; /* as last wanted */
	struct ip_addr public_v6;
	char *data;
	bool wanted;
	bool due;      /* something is to be run for it */
	bool added;    /* the last add worked, and nothing has changed since */
	bool recorded; /* in the file */
	bool doubtful; /* an earlier run was about to remove it, and perhaps did */
	bool known;    /* from the file, and nobody has told of it since */
	bool removing; /* what runs */
	struct process *process;
	struct event *timer; /* the pause after a failure; NULL: none yet */
	struct backoff backoff;
	char *error; /* of the last command; NULL: none. Few have one */
	bool queued;
	TAILQ_ENTRY(extension_peer) queue;
	TAILQ_ENTRY(extension_peer) all;
};

TAILQ_HEAD(peer_list, extension_peer);

struct extension_peers {
	struct event_base *base;
	const struct extension_commands *commands;
	char *path;
	char boot_id[64];
	bool stays;
	struct hash_table table;
	struct peer_list all;
	struct peer_list queue; /* those that are due and wait for nothing but their turn */
	struct event *pump;     /* a turn of the loop */
	bool go;
	bool unsaved; /* the file lacks a peer, or has one too many */
	unsigned running;
};

static void pump_soon(struct extension_peers *p)
{
	event_active(p->pump, 0, 0);
}

void extension_variable_net(char buf[static EXTENSION_VARIABLE_SIZE], const char *name,
			    const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	snprintf(buf, EXTENSION_VARIABLE_SIZE, "%s=%s", name,
		 ip_net_is_set(net) ? ip_net_format(net, text) : "");
}

void extension_variable_address(char buf[static EXTENSION_VARIABLE_SIZE], const char *name,
				const struct ip_addr *address)
{
	char text[IP_ADDR_TEXT];

	snprintf(buf, EXTENSION_VARIABLE_SIZE, "%s=%s", name,
		 ip_addr_is_set(address) ? ip_addr_format(address, text) : "");
}

/* ---- who is there ---- */

static uint64_t subnet_hash(const struct subnet *s)
{
	char key[SUBNET_KEY_TEXT];

	return hash_mix(hash_text(HASH_FNV_INIT, subnet_key_format(s, key)));
}

static uint64_t hash_of(const struct hash_link *member)
{
	return subnet_hash(&CONTAINER_OF(member, struct extension_peer, link)->subnet);
}

static struct extension_peer *find(struct extension_peers *p, const struct subnet *subnet)
{
	struct hash_link *member = hash_table_first(&p->table, subnet_hash(subnet));

	for (; member; member = hash_table_next(&p->table, member, hash_of)) {
		struct extension_peer *peer = CONTAINER_OF(member, struct extension_peer, link);

		if (subnet_equal(&peer->subnet, subnet))
			return peer;
	}
	return NULL;
}

static struct extension_peer *add_peer(struct extension_peers *p, const struct subnet *subnet)
{
	struct extension_peer *peer = xcalloc(1, sizeof(*peer));

	peer->owner = p;
	peer->subnet = *subnet;
	hash_table_add(&p->table, &peer->link, hash_of);
	TAILQ_INSERT_TAIL(&p->all, peer, all);
	return peer;
}

static void drop_peer(struct extension_peer *peer)
{
	struct extension_peers *p = peer->owner;

	if (peer->queued)
		TAILQ_REMOVE(&p->queue, peer, queue);
	TAILQ_REMOVE(&p->all, peer, all);
	hash_table_remove(&p->table, &peer->link, hash_of);
	p->unsaved |= peer->recorded;
	if (peer->timer)
		event_free(peer->timer);
	process_cancel(peer->process);
	free(peer->data);
	free(peer->error);
	free(peer);
}

/* ---- the file ---- */

static json_t *peer_json(const struct extension_peer *peer)
{
	json_t *item = json_object();
	char text[SUBNET_KEY_TEXT];

	json_object_set_new(item, "Subnet", json_string(subnet_key_format(&peer->subnet, text)));
	if (ip_addr_is_set(&peer->public_v4))
		json_object_set_new(item, "PublicIP",
				    json_string(ip_addr_format(&peer->public_v4, text)));
	if (ip_addr_is_set(&peer->public_v6))
		json_object_set_new(item, "PublicIPv6",
				    json_string(ip_addr_format(&peer->public_v6, text)));
	if (peer->data)
		json_object_set_new(item, "Data", json_text(peer->data));
	json_object_set_new(item, "Added", json_boolean(peer->added));
	json_object_set_new(item, "Removing", json_boolean(!peer->wanted && !peer->known));
	return item;
}

static void put_json(struct buffer *b, const char *name, json_t *value)
{
	auto_json json_t *owned = value;
	auto_free char *text = json_dumps(owned, JSON_COMPACT | JSON_ENCODE_ANY);

	buffer_printf(b, "%s%s", name, text ? text : "null");
}

/* Before the first add of a peer: whoever comes after us knows of it. Without a remove there is nothing to know. Written
 * piece by piece: a tree of all peers would take more than they do. */
static void save(struct extension_peers *p)
{
	auto_buffer struct buffer b = { 0 };
	const struct extension_peer *first = TAILQ_FIRST(&p->all);
	struct extension_peer *peer;
	struct err e;

	p->unsaved = false;
	TAILQ_FOREACH (peer, &p->all, all)
		peer->recorded = true;
	if (!first || !p->commands->remove.words) {
		(void)!unlink(p->path);
		return;
	}
	put_json(&b, "{\"Boot\":", json_text(p->boot_id));
	put_json(&b, ",\"SubnetAddCommand\":", command_json(&p->commands->add));
	put_json(&b, ",\"SubnetRemoveCommand\":", command_json(&p->commands->remove));
	put_json(&b, ",\"TimeoutSeconds\":", json_integer(p->commands->timeout_ms / 1000));
	TAILQ_FOREACH (peer, &p->all, all)
		put_json(&b, peer == first ? ",\"Peers\":[" : ",", peer_json(peer));
	buffer_puts(&b, "]}");
	if (file_replace(p->path, b.data, b.size, 0600, &e) < 0)
		log_warn("extension-failed", "%s: %s; what is removed later may be forgotten",
			 p->path, e.text);
}

static int load(const char *path, json_t **ret, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;

	if (file_read(path, FILE_SIZE_MAX, &text, &size, e) < 0 ||
	    json_parse_object(text, size, ret, e) < 0)
		return e->code;
	return 0;
}

static int read_peer(struct extension_peers *p, const json_t *item, bool stays, struct err *e)
{
	struct extension_peer *peer;
	struct ip_addr v4 = { 0 };
	struct ip_addr v6 = { 0 };
	bool added = false;
	bool removing = false;
	const char *key = "";
	const char *data = NULL;
	struct subnet subnet;

	if (json_read_string(item, "Subnet", &key, e) < 0 ||
	    json_read_ip_addr(item, "PublicIP", AF_INET, &v4, e) < 0 ||
	    json_read_ip_addr(item, "PublicIPv6", AF_INET6, &v6, e) < 0 ||
	    json_read_string(item, "Data", &data, e) < 0 ||
	    json_read_bool(item, "Added", &added, e) < 0 ||
	    json_read_bool(item, "Removing", &removing, e) < 0 ||
	    subnet_key_parse(key, &subnet, e) < 0)
		return e->code;
	if (find(p, &subnet))
		return 0;
	peer = add_peer(p, &subnet);
	peer->public_v4 = v4;
	peer->public_v6 = v6;
	peer->data = data ? xstrdup(data) : NULL;
	peer->known = peer->recorded = true;
	peer->added = added && stays && !removing;
	peer->doubtful = removing;
	return 0;
}

/* Whether what the file says was added is so still. */
static bool stands(const struct extension_peers *p, const json_t *root)
{
	auto_json json_t *add = command_json(&p->commands->add);
	const char *boot_id = "";

	return p->stays && json_read_string(root, "Boot", &boot_id, NULL) == 0 && *boot_id &&
	       strcmp(boot_id, p->boot_id) == 0 &&
	       json_equal(add, json_object_get(root, "SubnetAddCommand"));
}

static void read_boot_id(struct extension_peers *p)
{
	auto_free char *text = NULL;
	size_t size = 0;

	if (file_read(BOOT_ID_FILE, sizeof(p->boot_id) - 1, &text, &size, NULL) == 0)
		snprintf(p->boot_id, sizeof(p->boot_id), "%.*s", (int)strcspn(text, "\n"), text);
}

static void read_peers(struct extension_peers *p)
{
	auto_json json_t *root = NULL;
	struct err e;
	int rc = load(p->path, &root, &e);
	bool stays = rc == 0 && stands(p, root);
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(root, "Peers"), i, item) {
		if (rc == 0)
			rc = read_peer(p, item, stays, &e);
	}
	if (rc < 0 && rc != -ENOENT)
		log_warn("extension-failed", "%s: %s; peers that left meanwhile are not removed",
			 p->path, e.text);
}

int extension_peers_leftover(const char *path, struct extension_commands *ret, struct err *e)
{
	auto_json json_t *root = NULL;
	uint64_t seconds = 60;

	*ret = (struct extension_commands){ 0 };
	if (load(path, &root, e) < 0 ||
	    json_read_uint(root, "TimeoutSeconds", 1, 3600, &seconds, e) < 0 ||
	    command_read(root, "SubnetRemoveCommand", &ret->remove, e) < 0)
		return e->code;
	ret->timeout_ms = (int64_t)seconds * 1000;
	return 0;
}

/* ---- commands ---- */

static const struct command *command_of(const struct extension_peer *peer, bool removing)
{
	const struct extension_commands *c = peer->owner->commands;

	return removing ? &c->remove : &c->add;
}

static void queue(struct extension_peer *peer)
{
	struct extension_peers *p = peer->owner;

	if (!peer->due || peer->queued || peer->process ||
	    backoff_left(&peer->backoff, clock_boot_ms()))
		return;
	peer->queued = true;
	TAILQ_INSERT_TAIL(&p->queue, peer, queue);
	pump_soon(p);
}

static void on_pause_over(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	queue(arg);
}

static void set_error(struct extension_peer *peer, const char *text)
{
	free(peer->error);
	peer->error = text ? xstrdup(text) : NULL;
}

/* Told with what is wrong (extension_peers_health). */
static void note_failure(struct extension_peer *peer, const struct err *e)
{
	int64_t delay_ms = backoff_next(&peer->backoff, &retry, clock_boot_ms());
	struct timeval tv = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	set_error(peer, e->text);
	if (!peer->timer)
		peer->timer = evtimer_new(peer->owner->base, on_pause_over, peer);
	event_add(peer->timer, &tv);
}

static void note_success(struct extension_peer *peer)
{
	set_error(peer, NULL);
	backoff_reset(&peer->backoff);
}

/* What was wanted when it was started may not be so any more. */
static void on_done(void *arg, int rc, const char *output, const struct err *e)
{
	struct extension_peer *peer = arg;
	struct extension_peers *p = peer->owner;
	char text[SUBNET_KEY_TEXT];

	peer->process = NULL;
	p->running--;
	log_debug("extension", "%s of %s: %s", peer->removing ? "remove" : "add",
		  subnet_format(&peer->subnet, text), rc < 0 ? e->text : output);
	/* Something else is wanted since: what came of this does not matter. */
	if (rc < 0 && !peer->due && !(peer->removing && peer->doubtful))
		note_failure(peer, e);
	else if (!peer->due)
		note_success(peer);
	peer->due |= rc < 0;
	/* For who starts next. */
	if (rc == 0 && !peer->removing && !peer->due)
		peer->added = p->unsaved = true;
	if (peer->removing && !peer->wanted &&
	    (rc == 0 || peer->doubtful || peer->backoff.failures >= REMOVE_ATTEMPTS)) {
		if (rc < 0 && !peer->doubtful)
			log_warn("extension-failed", "%s is given up: %s",
				 subnet_format(&peer->subnet, text), e->text);
		drop_peer(peer);
	} else {
		queue(peer);
	}
	pump_soon(p);
}

static void run(struct extension_peer *peer)
{
	const struct extension_commands *commands = peer->owner->commands;
	char variables[VARIABLES][EXTENSION_VARIABLE_SIZE];
	const char *pointers[VARIABLES];
	auto_free char *input = xasprintf("%s\n", peer->data ? peer->data : "");
	struct process_task task = { .input = input,
				     .output_max = SAID_MAX,
				     .timeout_ms = commands->timeout_ms };
	char **environment;
	char **argv;
	struct err e;
	int rc;

	extension_variable_net(variables[0], "SUBNET", &peer->subnet.v4);
	extension_variable_net(variables[1], "IPV6SUBNET", &peer->subnet.v6);
	extension_variable_address(variables[2], "PUBLIC_IP", &peer->public_v4);
	extension_variable_address(variables[3], "PUBLIC_IPV6", &peer->public_v6);
	for (size_t i = 0; i < VARIABLES; i++)
		pointers[i] = variables[i];
	peer->removing = !peer->wanted;
	peer->due = peer->added = false;
	argv = command_expand(command_of(peer, peer->removing), pointers, VARIABLES);
	environment = command_environment(pointers, VARIABLES);
	task.argv = (const char *const *)argv;
	task.environment = (const char *const *)environment;
	peer->owner->running++;
	rc = argv[0] ? process_run(peer->owner->base, &task, on_done, peer, &peer->process, &e)
		     : err_set(&e, -EINVAL, "no word of the command is left");
	command_free_words(argv);
	command_free_words(environment);
	if (rc < 0)
		on_done(peer, rc, "", &e);
}

static void on_pump(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct extension_peers *p = arg;
	struct extension_peer *peer;

	if (!p->go)
		return;
	/* The file first. Of many peers that come together all are in it then. */
	if (p->unsaved && (p->running == 0 || !TAILQ_EMPTY(&p->queue)))
		save(p);
	while (p->running < RUNNING_MAX && (peer = TAILQ_FIRST(&p->queue))) {
		TAILQ_REMOVE(&p->queue, peer, queue);
		peer->queued = false;
		if (command_of(peer, !peer->wanted)->words)
			run(peer);
		else if (!peer->wanted)
			drop_peer(peer);
		else
			peer->due = false;
	}
}

/* ---- what others call ---- */

struct extension_peers *extension_peers_new(struct event_base *base,
					    const struct extension_commands *commands,
					    const char *path, bool stays)
{
	struct extension_peers *p = xcalloc(1, sizeof(*p));

	p->base = base;
	p->commands = commands;
	p->path = xstrdup(path);
	p->pump = event_new(base, -1, 0, on_pump, p);
	TAILQ_INIT(&p->all);
	TAILQ_INIT(&p->queue);
	p->stays = stays;
	read_boot_id(p);
	read_peers(p);
	return p;
}

void extension_peers_free(struct extension_peers *p)
{
	struct extension_peer *peer;

	if (!p)
		return;
	if (p->unsaved)
		save(p);
	while ((peer = TAILQ_FIRST(&p->all)))
		drop_peer(peer);
	event_free(p->pump);
	free(p->path);
	free(p);
}

void extension_peers_go(struct extension_peers *p)
{
	p->go = true;
	pump_soon(p);
}

static void replace_data(struct extension_peer *peer, const char *data)
{
	free(peer->data);
	peer->data = data ? xstrdup(data) : NULL;
}

static bool has_values(const struct extension_peer *peer, const struct lease *lease,
		       const char *data)
{
	return ip_addr_equal(&peer->public_v4, &lease->public_v4) &&
	       ip_addr_equal(&peer->public_v6, &lease->public_v6) &&
	       strcmp(peer->data ? peer->data : "", data ? data : "") == 0;
}

void extension_peers_want(struct extension_peers *p, const struct lease *lease, const char *data)
{
	struct extension_peer *peer = find(p, &lease->subnet);
	bool same = peer && peer->known && peer->added && has_values(peer, lease, data);

	if (!peer) {
		peer = add_peer(p, &lease->subnet);
		p->unsaved = true;
	}
	/* For what is new nobody waits. */
	backoff_reset(&peer->backoff);
	set_error(peer, NULL);
	p->unsaved |= !has_values(peer, lease, data);
	peer->public_v4 = lease->public_v4;
	peer->public_v6 = lease->public_v6;
	replace_data(peer, data);
	peer->wanted = true;
	peer->doubtful = false;
	peer->due = !same;
	peer->known = false;
	queue(peer);
}

static void unwant(struct extension_peer *peer)
{
	backoff_reset(&peer->backoff);
	set_error(peer, NULL);
	peer->known = peer->wanted = false;
	peer->due = peer->owner->unsaved = true;
	queue(peer);
}

void extension_peers_gone(struct extension_peers *p, const struct subnet *subnet)
{
	struct extension_peer *peer = find(p, subnet);

	if (peer)
		unwant(peer);
}

void extension_peers_sweep(struct extension_peers *p)
{
	struct extension_peer *peer;

	TAILQ_FOREACH (peer, &p->all, all) {
		if (peer->known)
			unwant(peer);
	}
}

void extension_peers_health(const struct extension_peers *p, struct problem_list *ret)
{
	const struct extension_peer *peer;
	char text[SUBNET_KEY_TEXT];
	size_t behind = 0;

	TAILQ_FOREACH (peer, &p->all, all) {
		behind += !peer->error && (peer->due || peer->process);
		if (peer->error)
			problem_add(ret, PROBLEM_WARNING, "extension-failed", "%s of %s: %s",
				    peer->removing ? "SubnetRemoveCommand" : "SubnetAddCommand",
				    subnet_format(&peer->subnet, text), peer->error);
	}
	if (behind)
		problem_add(ret, PROBLEM_WARNING, "extension-behind",
			    "commands of %zu peer%s have not ended yet", behind,
			    behind == 1 ? "" : "s");
}
