/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mk-docker-opts: what dockerd must be told so that its containers get addresses of this host's
 * subnet, made out of subnet.env. Options, output and exit status are those of flannel's
 * mk-docker-opts.sh, whose place it can take in a unit file.
 *
 * The output is sourced by shells and read by systemd: what is printed of subnet.env is made from
 * binary values, and what comes from the environment must be able to stand between double quotes.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/underlay.h"
#include "lib/file.h"
#include "subnet/subnet_env.h"

#define PREFIX    "DOCKER_OPT_"
#define FILE_MODE 0644

extern char **environ;

struct options {
	const char *env_file;
	const char *out_file;
	const char *key;
	bool each;     /* a line for each option */
	bool combined; /* a line with all of them */
	bool no_ip_masq;
};

/* NAME=VALUE, the names begin with PREFIX and each is there once. */
struct lines {
	char **items;
	size_t len;
	size_t cap;
};

static void lines_fini(struct lines *l)
{
	for (size_t i = 0; i < l->len; i++)
		free(l->items[i]);
	free(l->items);
}

/* The size of the name and the sign behind it. */
static size_t name_size(const char *line)
{
	return strcspn(line, "=") + 1;
}

static void put(struct lines *l, char *line)
{
	for (size_t i = 0; i < l->len; i++) {
		if (strncmp(l->items[i], line, name_size(line)) == 0) {
			free(l->items[i]);
			l->items[i] = line;
			return;
		}
	}
	GROW(l->items, l->len, l->cap);
	l->items[l->len++] = line;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int usage(void)
{
	fputs("usage: mk-docker-opts [-f FILE] [-d FILE] [-i] [-c] [-m] [-k NAME]\n"
	      "\n"
	      "Writes what dockerd must be told to use this host's subnet.\n"
	      "  -f FILE  read from here instead of /run/flannel/subnet.env\n"
	      "  -d FILE  write to here instead of /run/docker_opts.env\n"
	      "  -i       each option in a variable of its own: DOCKER_OPT_BIP, ...\n"
	      "  -c       all options in one variable; neither -i nor -c: both\n"
	      "  -m       without --ip-masq\n"
	      "  -k NAME  of the variable with all options, instead of DOCKER_OPTS\n",
	      stderr);
	return EXIT_FAILURE;
}

static bool is_name(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

static int read_command_line(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "f:d:icmk:h")) != -1) {
		switch (c) {
		case 'f':
			o->env_file = optarg;
			break;
		case 'd':
			o->out_file = optarg;
			break;
		case 'i':
			o->each = true;
			break;
		case 'c':
			o->combined = true;
			break;
		case 'm':
			o->no_ip_masq = true;
			break;
		case 'k':
			o->key = optarg;
			break;
		default:
			return -EINVAL;
		}
	}
	if (!o->each && !o->combined)
		o->each = o->combined = true;
	return optind < argc ? -EINVAL : 0;
}

/* Without the file there is nothing to tell, as with flannel's script. */
static int read_env(const char *path, struct subnet_env *ret, struct err *e)
{
	auto_free char *text = NULL;
	size_t size;
	int rc = file_read(path, SUBNET_ENV_MAX_SIZE, &text, &size, e);

	if (rc == -ENOENT) {
		fprintf(stderr, "mk-docker-opts: %s is not there, so dockerd is told nothing\n",
			path);
		return rc;
	}
	if (rc == 0 && subnet_env_parse(text, ret, e) < 0)
		err_wrap(e, "%s", path);
	if (rc == 0 && e->code == 0 && !ret->ip_masq_plain)
		err_set(e, -EINVAL, "%s: FLANNEL_IPMASQ must be true or false", path);
	return e->code;
}

/* Sets what subnet.env says. */
static void add_options(struct lines *l, const struct subnet_env *env, bool no_ip_masq)
{
	char text[IP_NET_TEXT];

	if (ip_net_is_set(&env->subnet))
		put(l, xasprintf(PREFIX "BIP=--bip=%s", ip_net_format(&env->subnet, text)));
	/* One of the two masquerades. */
	if (!no_ip_masq)
		put(l, xasprintf(PREFIX "IPMASQ=--ip-masq=%s", env->ip_masq ? "false" : "true"));
	put(l, xasprintf(PREFIX "MTU=--mtu=%u", env->mtu_bytes));
}

static int check_value(const char *name, const char *value, struct err *e)
{
	if (value[strcspn(value, "\"\\$`\n")])
		return err_set(e, -EINVAL,
			       "%s in the environment has one of \" \\ $ ` or a new line", name);
	return 0;
}

/* More options in the environment are passed on. */
static int add_environment(struct lines *l, struct err *e)
{
	for (char **p = environ; *p; p++) {
		auto_free char *name = xstrndup(*p, name_size(*p) - 1);

		if (strncmp(*p, PREFIX, strlen(PREFIX)) != 0 || !is_name(name))
			continue;
		if (check_value(name, *p + name_size(*p), e) < 0)
			return e->code;
		put(l, xstrdup(*p));
	}
	return 0;
}

/* Text of the file; caller frees. NULL: the variable has a value that cannot stand there. */
static char *format(const struct options *o, const struct lines *l, struct err *e)
{
	const char *before = getenv(o->key);
	char *text = NULL;
	size_t size;
	FILE *out;

	if (before && check_value(o->key, before, e) < 0)
		return NULL;
	out = open_memstream(&text, &size);
	if (!out)
		abort();
	for (size_t i = 0; o->each && i < l->len; i++) {
		size_t n = name_size(l->items[i]);

		fprintf(out, "%.*s\"%s\"\n", (int)n, l->items[i], l->items[i] + n);
	}
	if (o->combined) {
		fprintf(out, "%s=\"%s%s", o->key, before ? before : "",
			before && *before ? " " : "");
		for (size_t i = 0; i < l->len; i++)
			fprintf(out, " %s", l->items[i] + name_size(l->items[i]));
		fputs("\"\n", out);
	}
	if (fclose(out) != 0)
		abort();
	return text;
}

/* A file is replaced as a whole; what is none itself, such as /dev/stdout, is written to. */
static int write_out(const char *path, const char *text, struct err *e)
{
	struct stat st;
	FILE *out;

	if (lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		return file_replace(path, text, strlen(text), FILE_MODE, e);
	out = fopen(path, "we");
	if (!out)
		return err_sys(e, -errno, "%s", path);
	fputs(text, out);
	return fclose(out) != 0 ? err_sys(e, -errno, "%s", path) : 0;
}

struct search {
	struct ip_net subnet;
	bool found;
};

static void look_at_route(void *arg, const struct kernel_object *route)
{
	struct search *s = arg;
	struct ip_net dst = { kernel_object_dst(route), route->key.len };

	if (route->value.gateway_family && ip_net_equal(&dst, &s->subnet))
		s->found = true;
}

/* What is left of a host that had this subnet before would take the containers' packets there. */
static int check_routes(const struct ip_net *subnet, struct err *e)
{
	struct search s = { .subnet = ip_net_masked(subnet) };
	struct netlink *nl;
	char text[IP_NET_TEXT];

	if (!ip_net_is_set(subnet))
		return 0;
	if (netlink_open(NETLINK_ROUTE, &nl, e) < 0)
		return e->code;
	if (underlay_routes_visit(nl, AF_INET, 0, look_at_route, &s, e) == 0 && s.found)
		err_set(e, -EEXIST,
			"the routing table leads %s, this host's own subnet, to another host",
			ip_net_format(&s.subnet, text));
	netlink_close(nl);
	return e->code;
}

static int make(const struct options *o, struct err *e)
{
	struct lines l = { 0 };
	struct subnet_env env = { 0 };
	auto_free char *text = NULL;
	int rc = read_env(o->env_file, &env, e);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	*e = (struct err){ 0 };
	if (add_environment(&l, e) == 0) {
		if (rc == 0)
			add_options(&l, &env, o->no_ip_masq);
		if (l.len)
			qsort(l.items, l.len, sizeof(*l.items), compare_lines);
		text = format(o, &l, e);
	}
	lines_fini(&l);
	if (!text || write_out(o->out_file, text, e) < 0)
		return e->code;
	return check_routes(&env.subnet, e);
}

int main(int argc, char **argv)
{
	struct options o = {
		.env_file = "/run/flannel/subnet.env",
		.out_file = "/run/docker_opts.env",
		.key = "DOCKER_OPTS",
	};
	struct err e = { 0 };

	if (read_command_line(argc, argv, &o) < 0)
		return usage();
	if (!is_name(o.key))
		err_set(&e, -EINVAL, "-k \"%s\": a name has letters, digits and _", o.key);
	if (e.code == 0)
		(void)make(&o, &e);
	if (e.code == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "mk-docker-opts: %s\n", e.text);
	return EXIT_FAILURE;
}
