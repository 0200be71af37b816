/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON document on its way to the reader, in the form that -o asks for: json, jsonl, yaml, env. A
 * command makes the document, and every form that is a rendering of it is complete.
 */
#ifndef FABRICCTL_DOCUMENT_H
#define FABRICCTL_DOCUMENT_H

#include "fabricctl/ctl.h"

/* Whether -o asks for the whole answer as one document: json, yaml or env. */
bool document_is_wanted(const struct ctl *c);

/* Whether it asks for something that each of many can be alone: these, or jsonl. */
bool document_item_is_wanted(const struct ctl *c);

/*
 * Prints it, and releases it.
 *
 * json    indented; jsonl in one line; pure ASCII on a terminal
 * yaml    1.1 and 1.2 alike, since all texts are in double quotes; begins with "---", so that several
 *         in a row are a stream
 * env     FABRIC_NAME='text' a line, which a shell reads as nothing but text: lease.publicIP is
 *         FABRIC_LEASE_PUBLIC_IP, items[0].name FABRIC_ITEMS_0_NAME, with FABRIC_ITEMS_COUNT. What
 *         is null is empty. Of members with one name the first is printed
 */
void document_print(const struct ctl *c, json_t *document);

/* The same for one of many: a line of JSON, or a document of YAML. */
void document_print_item(const struct ctl *c, json_t *item);

#endif
