/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etcd v3 in its own tongue, gRPC: messages of etcd.proto in frames of lib/grpc.h. Pure. Source: the
 * API's reference, and observations of etcd 3.4.23, 3.5.16, 3.5.30 and 3.6.14.
 *
 * What is on the wire: one frame of request, one of answer, and the status behind them; a watch's
 * answer goes on with frames. LeaseKeepAlive is a stream as well, but one whose other side ends when
 * ours has: one request, one answer.
 */
#ifndef STORES_ETCD_GRPC_H
#define STORES_ETCD_GRPC_H

#include "stores/etcd/etcd_transport.h"

/* To be used after protobuf_load. */
extern const struct etcd_transport etcd_grpc_transport;

#endif
