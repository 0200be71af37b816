/* SPDX-License-Identifier: Apache-2.0 */
/* What etcd wants to be told: flannel's flags, and a file for the password. */
#include "stores/etcd/etcd_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#include "lib/file.h"
#include "lib/options.h"
#include "lib/secret.h"

#define AT(field) offsetof(struct etcd_options, field)

/* clang-format off */
const struct option_spec etcd_option_specs[] = {
	{ .name = "etcd-endpoints", .type = OPTION_TEXT, .offset = AT(endpoints), .metavar = "LIST",
	  .value = "http://127.0.0.1:4001,http://127.0.0.1:2379",
	  .help = "comma list of etcd endpoints, http://host:port or https://host:port" },
	{ .name = "etcd-transport", .type = OPTION_CHOICE, .offset = AT(transport), .choices = "auto,grpc,json", .value = "auto", .metavar = "HOW",
	  .help = "how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it" },
	{ .name = "etcd-prefix", .type = OPTION_TEXT, .offset = AT(prefix), .metavar = "PREFIX",
	  .value = "/coreos.com/network",
	  .help = "key prefix of configuration and leases in etcd" },
	{ .name = "etcd-keyfile", .type = OPTION_TEXT, .offset = AT(key_file), .metavar = "FILE",
	  .help = "PEM file of the key to show to etcd" },
	{ .name = "etcd-certfile", .type = OPTION_TEXT, .offset = AT(cert_file), .metavar = "FILE",
	  .help = "PEM file of the certificate to show to etcd" },
	{ .name = "etcd-cafile", .type = OPTION_TEXT, .offset = AT(ca_file), .metavar = "FILE",
	  .help = "PEM file of the authority that signed etcd's certificate; empty: the system's" },
	{ .name = "etcd-username", .type = OPTION_TEXT, .offset = AT(username), .metavar = "NAME",
	  .help = "user name for etcd" },
	{ .name = "etcd-password", .type = OPTION_TEXT, .offset = AT(password), .secret = true,
	  .help = "password for etcd; seen by everybody in the process list, better use etcd-password-file" },
	{ .name = "etcd-password-file", .type = OPTION_TEXT, .offset = AT(password_file), .metavar = "FILE",
	  .help = "file with the password for etcd in its first line" },
	{ 0 },
};
/* clang-format on */

int etcd_options_check(void *options, struct err *e)
{
	struct etcd_options *o = options;
	char *password;

	if (!*o->password_file)
		return 0;
	if (secret_read(o->password_file, SECRET_GIVEN, &password, e) < 0)
		return err_wrap(e, "etcd-password-file");
	secret_free(o->password);
	o->password = password;
	return 0;
}

static bool is_given(const char *text)
{
	return text && *text;
}

/* One that was asked for and cannot be read must not end in a connection that checks less. */
static int check_file(const char *path, const char *what, struct err *e)
{
	auto_close int fd = -1;

	/* libcurl would wait for a FIFO's writer. */
	if (is_given(path) && file_open(AT_FDCWD, path, O_RDONLY, &fd, e) < 0)
		return err_wrap(e, "etcd %s", what);
	return 0;
}

int etcd_options_are_usable(const struct etcd_options *o, struct err *e)
{
	int rc = check_file(o->ca_file, "CA file", e);

	if (rc == 0)
		rc = check_file(o->cert_file, "certificate", e);
	if (rc == 0)
		rc = check_file(o->key_file, "key", e);
	if (rc == 0 && is_given(o->cert_file) != is_given(o->key_file))
		rc = err_set(e, -EINVAL, "etcd certificate and key must be given together");
	if (rc == 0 && is_given(o->username) != is_given(o->password))
		rc = err_set(e, -EINVAL, "etcd user name and password must be given together");
	return rc;
}
