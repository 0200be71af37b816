/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the daemon's configuration file; what was read is written, read again, and the same. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>

#include "flanneld/options.h"

static void write_and_read(struct flanneld_options *o, int fd, const char *path)
{
	struct flanneld_options again;
	auto_free char *text = NULL;
	auto_free char *second = NULL;
	size_t size;

	FUZZ_CHECK(options_format(flanneld_option_specs, o, &text, NULL) == 0);
	size = strlen(text);
	FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, text, size, 0) == (ssize_t)size);
	options_init(flanneld_option_specs, &again);
	FUZZ_CHECK(options_read_file(flanneld_option_specs, &again, path, NULL) == 0);
	FUZZ_CHECK(options_format(flanneld_option_specs, &again, &second, NULL) == 0);
	FUZZ_CHECK(strcmp(text, second) == 0);
	flanneld_options_fini(&again);
}

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
	else
		write_and_read(&o, fd, path);
	flanneld_options_fini(&o);
	return 0;
}
