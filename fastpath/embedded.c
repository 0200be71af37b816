/* SPDX-License-Identifier: Apache-2.0 */
/* The programs as clang made them, in the daemon's own file; nothing where they could not be made. */
#include "fastpath/object.h"

#ifdef FAST_PATH_OBJECT
__asm__(".pushsection .rodata\n"
	".balign 8\n"
	"fast_path_object:\n"
	".incbin \"" FAST_PATH_OBJECT "\"\n"
	"fast_path_object_end:\n"
	".popsection\n");
extern const char fast_path_object[];
extern const char fast_path_object_end[];

const void *fast_object_embedded(size_t *ret_size)
{
	*ret_size = (size_t)(fast_path_object_end - fast_path_object);
	return fast_path_object;
}
#else
const void *fast_object_embedded(size_t *ret_size)
{
	*ret_size = 0;
	return NULL;
}
#endif
