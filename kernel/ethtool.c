/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/ethtool.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "lib/util.h"

#define FEATURES_MAX 512

_Static_assert(ETH_GSTRING_LEN == ETHTOOL_NAME_SIZE, "names of features");

static int ask(const char *device, void *command, struct err *e)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_data = command };

	if (fd < 0)
		return err_set(e, -errno, "socket: %s", strerror(errno));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return err_set(e, -errno, "ethtool of %s: %s", device, strerror(errno));
	return 0;
}

int ethtool_driver(const char *device, char ret[static ETHTOOL_NAME_SIZE], struct err *e)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	int rc = ask(device, &info, e);

	if (rc == 0)
		snprintf(ret, ETHTOOL_NAME_SIZE, "%.*s", ETHTOOL_NAME_SIZE - 1, info.driver);
	return rc;
}

static int count_features(const char *device, uint32_t *ret, struct err *e)
{
	auto_free struct ethtool_sset_info *set = xcalloc(1, sizeof(*set) + sizeof(set->data[0]));
	int rc;

	set->cmd = ETHTOOL_GSSET_INFO;
	set->sset_mask = UINT64_C(1) << ETH_SS_FEATURES;
	rc = ask(device, set, e);
	if (rc == 0)
		*ret = MIN(set->data[0], (uint32_t)FEATURES_MAX);
	return rc;
}

/* Where it stands among the features, which is its bit. */
static int find_feature(const char *device, const char *feature, uint32_t len, uint32_t *ret,
			struct err *e)
{
	auto_free struct ethtool_gstrings *names =
		xcalloc(1, sizeof(*names) + (size_t)len * ETH_GSTRING_LEN);
	int rc;

	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = len;
	rc = ask(device, names, e);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < len; i++) {
		const char *name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;

		if (strncmp(name, feature, ETH_GSTRING_LEN) == 0) {
			*ret = i;
			return 0;
		}
	}
	return err_set(e, -ENOENT, "no feature %s", feature);
}

int ethtool_feature(const char *device, const char *feature, bool *ret, struct err *e)
{
	auto_free struct ethtool_gfeatures *features = NULL;
	uint32_t blocks;
	uint32_t len = 0;
	uint32_t bit = 0;
	int rc = count_features(device, &len, e);

	if (rc == 0)
		rc = find_feature(device, feature, len, &bit, e);
	if (rc < 0)
		return rc;
	blocks = (len + 31) / 32;
	features = xcalloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	features->cmd = ETHTOOL_GFEATURES;
	features->size = blocks;
	rc = ask(device, features, e);
	if (rc == 0)
		*ret = features->features[bit / 32].active >> (bit % 32) & 1;
	return rc;
}
