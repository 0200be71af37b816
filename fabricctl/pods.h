/* SPDX-License-Identifier: Apache-2.0 */
/* What has become of an attachment that the CNI plugin has a record of. */
#ifndef FABRICCTL_PODS_H
#define FABRICCTL_PODS_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Adds to an item of containers_list what the runtime says of it, by its notes in `directory`
 * (runtime.h): "pod", "runtime" (whether it knows of it; null: it has no notes), "state" and
 * "reason". Whether it is as it should be.
 */
bool pods_judge(json_t *item, const char *directory);

#endif
