/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libprotobuf-c, loaded when the first message is to be made: to link with it would make every start of a
 * program a quarter longer, also of those that make none. What the code that is made of a description of
 * messages calls stands here under its own name.
 */
#ifndef LIB_PROTOBUF_H
#define LIB_PROTOBUF_H

#include "lib/err.h"

/* Loads libprotobuf-c unless that was done; it stays. No message can be packed or read before. -ELIBACC: it
 * cannot be used here. */
int protobuf_load(struct err *e) MUST_CHECK;

#endif
