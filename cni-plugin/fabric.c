/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/fabric.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cni-plugin/error.h"
#include "lib/file.h"
#include "lib/log.h"

#define FILE_SIZE_MAX (64 * 1024) /* others may write more than the daemon does */

/*
 * Whoever can write the file, or put another in its place, decides how all containers are attached.
 */
static int check_writers(const char *path, struct err *e)
{
	auto_free char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	struct stat st;

	if (stat(path, &st) == 0 && st.st_mode & S_IWOTH)
		return cni_error(e, CNI_CONFIG, "%s: anybody may write this file", path);
	if (!slash)
		return 0;
	slash[slash == dir] = '\0';
	if (stat(dir, &st) == 0 && st.st_mode & S_IWOTH && !(st.st_mode & S_ISVTX))
		return cni_error(e, CNI_CONFIG, "%s: anybody may replace this file", path);
	return 0;
}

/* IPv6 needs 1280 bytes, and is no reason to do without IPv4. The daemon names the problem. */
static void leave_out_ipv6(struct subnet_env *f)
{
	size_t len = 0;

	if (f->mtu_bytes >= IPV6_MTU_MIN || !ip_net_is_set(&f->subnet_v6) ||
	    !ip_net_is_set(&f->subnet) || f->mtu_bytes == 0)
		return;
	log_warn("ipv6-left-out", "FLANNEL_MTU is %u, IPv6 needs %d", f->mtu_bytes, IPV6_MTU_MIN);
	f->subnet_v6 = (struct ip_net){ 0 };
	for (size_t i = 0; i < f->networks_len; i++) {
		if (f->networks[i].addr.family == AF_INET)
			f->networks[len++] = f->networks[i];
	}
	f->networks_len = len;
}

int fabric_read(const char *path, struct subnet_env *ret, struct err *e)
{
	auto_free char *text = NULL;
	int rc;

	if (check_writers(path, e) < 0)
		return e->code;
	rc = file_read(path, FILE_SIZE_MAX, &text, NULL, e);
	if (rc == -ENOENT)
		return cni_error(e, CNI_TRY_AGAIN,
				 "%s does not exist: flanneld has not got a subnet yet", path);
	if (rc == 0) {
		rc = subnet_env_parse(text, ret, e);
		if (rc < 0)
			err_wrap(e, "%s", path);
		else
			leave_out_ipv6(ret);
	}
	return rc < 0 ? cni_classify(e, CNI_CONFIG) : 0;
}

int fabric_check_open(const struct subnet_env *f, struct err *e)
{
	return f->drained ? cni_error(e, CNI_NOT_AVAILABLE,
				      "this host is drained: nothing new is attached until "
				      "fabricctl resume")
			  : 0;
}
