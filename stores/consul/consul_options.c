/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/consul/consul_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "lib/file.h"
#include "lib/options.h"
#include "lib/secret.h"

#define AT(field) offsetof(struct consul_options, field)

#define DATACENTER_MAX 64

/* clang-format off */
const struct option_spec consul_option_specs[] = {
	{ .name = "consul-endpoints", .type = OPTION_TEXT, .offset = AT(endpoints), .metavar = "LIST",
	  .value = "http://127.0.0.1:8500",
	  .help = "comma list of Consul agents, http://host:port or https://host:port" },
	{ .name = "consul-prefix", .type = OPTION_TEXT, .offset = AT(prefix), .metavar = "PREFIX",
	  .value = "coreos.com/network",
	  .help = "key prefix of configuration and leases in Consul" },
	{ .name = "consul-datacenter", .type = OPTION_TEXT, .offset = AT(datacenter), .metavar = "NAME",
	  .help = "datacenter that Consul's agents must be of; empty: whichever it is" },
	{ .name = "consul-token-file", .type = OPTION_TEXT, .offset = AT(token_file), .metavar = "FILE",
	  .help = "file with the ACL token for Consul in its first line" },
	{ .name = "consul-cafile", .type = OPTION_TEXT, .offset = AT(ca_file), .metavar = "FILE",
	  .help = "PEM file of the authority that signed the agents' certificates; empty: the system's" },
	{ .name = "consul-certfile", .type = OPTION_TEXT, .offset = AT(cert_file), .metavar = "FILE",
	  .help = "PEM file of the certificate to show to Consul" },
	{ .name = "consul-keyfile", .type = OPTION_TEXT, .offset = AT(key_file), .metavar = "FILE",
	  .help = "PEM file of the key to show to Consul" },
	{ 0 },
};
/* clang-format on */

static bool is_given(const char *text)
{
	return text && *text;
}

int consul_prefix_read(const char *given, char **ret, struct err *e)
{
	auto_free char *clean = xstrdup(given);
	char *out = clean;

	for (const char *p = given; *p; p++) {
		if (*p == '/' && (out == clean || out[-1] == '/'))
			continue;
		if (*p < '!' || *p > '~')
			return err_set(e, -EINVAL,
				       "consul-prefix is \"%.80s\", must be of printable ASCII "
				       "without blanks",
				       given);
		*out++ = *p;
	}
	if (out > clean && out[-1] == '/')
		out--;
	*out = '\0';
	if (!*clean || strlen(clean) > CONSUL_PREFIX_MAX)
		return err_set(e, -EINVAL,
			       "consul-prefix is \"%.80s\", must have 1 to %d bytes besides "
			       "slashes around it",
			       given, CONSUL_PREFIX_MAX);
	*ret = STEAL(clean);
	return 0;
}

/* One that was asked for and cannot be read must not end in a connection that checks less. */
static int check_file(const char *path, const char *option, struct err *e)
{
	auto_close int fd = -1;

	/* libcurl would wait for a FIFO's writer. */
	if (is_given(path) && file_open(AT_FDCWD, path, O_RDONLY, &fd, e) < 0)
		return err_wrap(e, "%s", option);
	return 0;
}

static int check_datacenter(const char *name, struct err *e)
{
	size_t size = name ? strlen(name) : 0;

	if (size == 0 || (size <= DATACENTER_MAX &&
			  strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789-_") == size))
		return 0;
	return err_set(e, -EINVAL,
		       "consul-datacenter is \"%.80s\", must be %d letters, digits, - and _ at "
		       "most",
		       name, DATACENTER_MAX);
}

int consul_options_check(void *options, struct err *e)
{
	const struct consul_options *o = options;
	auto_free char *prefix = NULL;
	auto_secret char *token = NULL;
	int rc = consul_prefix_read(o->prefix, &prefix, e);

	if (rc == 0)
		rc = check_datacenter(o->datacenter, e);
	if (rc == 0)
		rc = check_file(o->ca_file, "consul-cafile", e);
	if (rc == 0)
		rc = check_file(o->cert_file, "consul-certfile", e);
	if (rc == 0)
		rc = check_file(o->key_file, "consul-keyfile", e);
	if (rc == 0 && is_given(o->cert_file) != is_given(o->key_file))
		rc = err_set(e, -EINVAL,
			     "consul-certfile and consul-keyfile must be given together");
	if (rc == 0 && is_given(o->token_file) &&
	    secret_read(o->token_file, SECRET_GIVEN, &token, e) < 0)
		rc = err_wrap(e, "consul-token-file");
	return rc;
}
