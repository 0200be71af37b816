/* SPDX-License-Identifier: Apache-2.0 */
/* Source: POSIX.1-2017, pax, "ustar Interchange Format". */
#include "fabricctl/tar.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 512

struct header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char device_major[8];
	char device_minor[8];
	char prefix[155];
	char unused[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "ustar");

/* The sum of all bytes, those of the checksum itself taken for spaces. */
static unsigned checksum(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++)
		sum += p[i];
	return sum;
}

void tar_add(FILE *out, const char *name, const void *data, size_t size, int64_t mtime_s)
{
	static const char zeros[BLOCK];
	struct header h = { .type = '0', .magic = "ustar", .version = { '0', '0' } };

	if (strlen(name) > TAR_NAME_MAX)
		abort();
	memcpy(h.name, name, strlen(name));
	snprintf(h.mode, sizeof(h.mode), "%07o", 0600);
	snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	snprintf(h.size, sizeof(h.size), "%011zo", size);
	snprintf(h.mtime, sizeof(h.mtime), "%011llo", (unsigned long long)mtime_s);
	memset(h.checksum, ' ', sizeof(h.checksum));
	snprintf(h.checksum, sizeof(h.checksum), "%06o", checksum(&h));
	h.checksum[7] = ' ';
	fwrite(&h, sizeof(h), 1, out);
	if (size)
		fwrite(data, size, 1, out);
	if (size % BLOCK)
		fwrite(zeros, BLOCK - size % BLOCK, 1, out);
}

void tar_end(FILE *out)
{
	static const char zeros[2 * BLOCK];

	fwrite(zeros, sizeof(zeros), 1, out);
}
