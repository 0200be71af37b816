/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the daemon's configuration file. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>

#include "flanneld/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct flanneld_options o;
	struct err e = { 0 };
	char path[64];

	if (fd < 0)
		fd = memfd_create("flanneld.conf", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && ftruncate(fd, 0) == 0);
	FUZZ_CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	options_init(flanneld_option_specs, &o);
	if (options_read_file(flanneld_option_specs, &o, path, &e) < 0)
		FUZZ_CHECK(e.text[0]);
	flanneld_options_fini(&o);
	return 0;
}
