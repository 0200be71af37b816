/* SPDX-License-Identifier: Apache-2.0 */
/* What is said in a program's file of a library that it loads when it needs it. */
#ifndef LIB_DLOPEN_H
#define LIB_DLOPEN_H

#include <stdint.h>

/*
 * Says that the program wants this library, as NEEDED entries do for those that are linked: packaging
 * tools read it. All are string literals; once in a source file. Source:
 * https://systemd.io/ELF_DLOPEN_METADATA.
 */
#define DLOPEN_NOTE(feature, description, priority, soname)                                        \
	DLOPEN_NOTE_TEXT("[{\"feature\":\"" feature "\",\"description\":\"" description            \
			 "\",\"priority\":\"" priority "\",\"soname\":[\"" soname "\"]}]")
#define DLOPEN_NOTE_TEXT(wants)                                                                    \
	static const struct {                                                                      \
		uint32_t name_size, text_size, type;                                               \
		char name[4];                                                                      \
		char text[(sizeof(wants) + 3) & ~(size_t)3];                                       \
	} note __attribute__((section(".note.dlopen"), used, aligned(4))) = {                      \
		.name_size = 4,                                                                    \
		.text_size = sizeof(wants),                                                        \
		.type = 0x407c0c0a,                                                                \
		.name = "FDO",                                                                     \
		.text = wants,                                                                     \
	}

#endif
