/*
 * build.h - packets and engines for the C tests.
 *
 * Hosts are numbers: host 0x010203 is 10.1.2.3 or 2001:db8::1:203. Checksums are computed here once more,
 * byte by byte, so that the engine's own are judged and not repeated.
 */
#ifndef SIXTUPLE_BUILD_H
#define SIXTUPLE_BUILD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "packet.h"

enum { BUILD_BYTES = 65575 }; /* the longest IPv6 packet that is no jumbogram */

struct build {
    uint32_t src, dst;
    uint16_t sport, dport; /* identifier and sequence number of ICMP echo messages */
    uint8_t family, proto;
    uint8_t flags;     /* of TCP */
    uint8_t icmp_type;
    uint32_t seq, ack; /* both 0: what fits a connection whose sides begin at 0 and have sent nothing but a SYN */
    uint32_t payload; /* bytes */
};

static inline void build_be16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void build_be32(uint8_t *p, uint32_t value)
{
    build_be16(p, value >> 16);
    build_be16(p + 2, value);
}

/* RFC 1071 as its text says it: 16-bit words in network order, one after the other. */
static inline uint32_t build_sum(uint32_t sum, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static inline void build_address(uint8_t *out, uint8_t family, uint32_t host)
{
    if (family == 4) {
        build_be32(out, 0x0a000000 | host);
        return;
    }
    static const uint8_t prefix[16] = {0x20, 0x01, 0x0d, 0xb8};
    memcpy(out, prefix, 16);
    build_be32(out + 12, host);
}

static inline void build_key_address(uint8_t out[16], uint8_t family, uint32_t host)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(out, mapped, 12);
    build_address(family == 4 ? out + 12 : out, family, host);
}

/* Writes the checksum of the layer 4 part of the packet at ip (40 or 20 bytes of IP header). */
static inline void build_l4_checksum(uint8_t *ip, uint32_t len)
{
    bool v4 = ip[0] >> 4 == 4;
    uint32_t header = v4 ? 20 : 40, l4_len = len - header, sum = 0;
    uint8_t proto = v4 ? ip[9] : ip[6], *l4 = ip + header;
    uint8_t *at = proto == PROTO_TCP ? l4 + 16 : proto == PROTO_UDP ? l4 + 6 : l4 + 2;
    build_be16(at, 0);
    if (proto != PROTO_ICMP) {
        sum = v4 ? build_sum(sum, ip + 12, 8) : build_sum(sum, ip + 8, 32);
        sum += (l4_len & 0xffff) + (l4_len >> 16) + proto;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum = ~build_sum(sum, l4, l4_len) & 0xffff;
    build_be16(at, sum || proto != PROTO_UDP ? sum : 0xffff);
}

/* Writes the packet to out (BUILD_BYTES) and returns its length. Payload bytes count up, no two
 * neighbouring header fields are equal. */
static inline uint32_t build_packet(uint8_t *out, const struct build *b)
{
    uint32_t header = b->family == 4 ? 20 : 40;
    uint8_t *l4 = out + header;
    uint32_t l4_header = b->proto == PROTO_TCP ? 20 : b->proto == PROTO_UDP || b->proto == PROTO_ICMP ||
                         b->proto == PROTO_ICMPV6 ? 8 : 0;
    uint32_t len = header + l4_header + b->payload;
    memset(out, 0, header + l4_header);
    for (uint32_t i = 0; i < b->payload; i++)
        l4[l4_header + i] = (uint8_t)(i + 1);
    if (b->family == 4) {
        out[0] = 0x45;
        out[1] = 0x2c; /* DSCP 11 */
        build_be16(out + 2, len);
        build_be16(out + 4, 0x3344);
        out[8] = 57;
        out[9] = b->proto;
        build_address(out + 12, 4, b->src);
        build_address(out + 16, 4, b->dst);
        build_be16(out + 10, ~build_sum(0, out, 20) & 0xffff);
    } else {
        build_be32(out, 0x62c12345);
        build_be16(out + 4, len - header);
        out[6] = b->proto;
        out[7] = 58;
        build_address(out + 8, 6, b->src);
        build_address(out + 24, 6, b->dst);
    }
    switch (b->proto) {
    case PROTO_TCP:
        build_be16(l4, b->sport);
        build_be16(l4 + 2, b->dport);
        build_be32(l4 + 4, b->seq || b->ack ? b->seq : !(b->flags & TCP_SYN));
        build_be32(l4 + 8, b->seq || b->ack ? b->ack : 1);
        l4[12] = 0x50;
        l4[13] = b->flags;
        build_be16(l4 + 14, 0x4567);
        break;
    case PROTO_UDP:
        build_be16(l4, b->sport);
        build_be16(l4 + 2, b->dport);
        build_be16(l4 + 4, 8 + b->payload);
        break;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        l4[0] = b->icmp_type;
        build_be16(l4 + 4, b->sport);
        build_be16(l4 + 6, b->dport);
        break;
    default:
        return len;
    }
    build_l4_checksum(out, len);
    return len;
}

/* Writes an ICMP or ICMPv6 error of this type from host `from` that quotes a packet to that packet's sender. */
static inline uint32_t build_icmp_error(uint8_t *out, uint32_t from, uint8_t type, const uint8_t *quoted, uint32_t len)
{
    uint8_t family = quoted[0] >> 4;
    struct build b = {.family = family, .proto = family == 4 ? PROTO_ICMP : PROTO_ICMPV6, .icmp_type = type,
                      .src = from, .payload = len};
    uint32_t header = family == 4 ? 20 : 40, whole = build_packet(out, &b);
    if (family == 4) {
        memcpy(out + 16, quoted + 12, 4);
        build_be16(out + 10, 0);
        build_be16(out + 10, ~build_sum(0, out, 20) & 0xffff);
    } else {
        memcpy(out + 24, quoted + 8, 16);
    }
    memcpy(out + header + 8, quoted, len);
    build_l4_checksum(out, whole);
    return whole;
}

/* Writes the fragment of a built packet that has these bytes of its payload, with this identification; its length. */
static inline uint32_t build_fragment(uint8_t *out, const uint8_t *whole, uint32_t offset, uint32_t bytes, bool more, uint32_t id)
{
    uint32_t header = whole[0] >> 4 == 4 ? 20 : 40;
    memcpy(out, whole, header);
    if (header == 20) {
        build_be16(out + 2, header + bytes);
        build_be16(out + 4, id);
        build_be16(out + 6, offset / 8 | (more ? 0x2000 : 0));
        build_be16(out + 10, 0);
        build_be16(out + 10, ~build_sum(0, out, header) & 0xffff);
        memcpy(out + header, whole + header + offset, bytes);
        return header + bytes;
    }
    build_be16(out + 4, 8 + bytes);
    out[6] = 44;
    out[header] = whole[6];
    out[header + 1] = 0;
    build_be16(out + header + 2, offset | more);
    build_be32(out + header + 4, id);
    memcpy(out + header + 8, whole + header + offset, bytes);
    return header + 8 + bytes;
}

/* ---- engines: port 1 in zone 1, port 2 in zone 2, port 3 in zone 3, IPv6 everywhere -------------------- */

static const int64_t SECOND = 1000000000;

static inline void build_configure(struct engine *e, const struct engine_config *template)
{
    static const struct port_config ports[] = {
        {0},
        {.zone = 1, .ipv6 = true, .mark = 0x1000},
        {.zone = 2, .ipv6 = true, .mark = 0x2000},
        {.zone = 3, .ipv6 = true, .mark = 0x3000},
    };
    struct engine_config config = *template;
    config.port_count = 4;
    config.ports = ports;
    engine_configure(e, &config);
}

static inline struct engine_config build_config(void)
{
    struct engine_config config = {
        .tcp_reject_non_syn = true, .ipv6_firewalling = true, .accelerated_aging = {.factor = 1}};
    for (uint32_t timer = 0; timer < TIMER_COUNT; timer++)
        config.timeout_s[timer] = timer_info(timer)->default_s;
    return config;
}

static inline struct engine *build_engine(struct engine_params params)
{
    static const struct engine_params usual = {
        .max_sessions = 64, .max_undecided = 8, .max_held = 16, .max_fragments = 64, .max_events = 64,
        .answer_timeout_ms = 1000};
    params.max_sessions = params.max_sessions ? params.max_sessions : usual.max_sessions;
    params.max_undecided = params.max_undecided ? params.max_undecided : usual.max_undecided;
    params.max_held = params.max_held ? params.max_held : usual.max_held;
    params.max_fragments = params.max_fragments ? params.max_fragments : usual.max_fragments;
    params.max_events = params.max_events ? params.max_events : usual.max_events;
    params.answer_timeout_ms = params.answer_timeout_ms ? params.answer_timeout_ms : usual.answer_timeout_ms;
    struct engine *e = engine_new(&params);
    if (!e)
        abort();
    struct engine_config config = build_config();
    build_configure(e, &config);
    return e;
}

/* The key of a built packet that comes in by a port of this zone. */
static inline struct flow_key build_key(const struct build *b, uint16_t zone)
{
    struct flow_key key = {.sport = b->sport, .dport = b->dport, .zone = zone, .proto = b->proto, .family = b->family};
    build_key_address(key.src, b->family, b->src);
    build_key_address(key.dst, b->family, b->dst);
    return key;
}

/* A session from a key to `port`, whose zone has the same number. */
static inline struct session_spec build_spec(const struct flow_key *c2s, uint16_t port, enum action action)
{
    struct session_spec spec = {.egress_port = port, .action = (uint8_t)action, .flags = SESSION_LOG_END};
    memcpy(spec.s2c.src, c2s->dst, 16);
    memcpy(spec.s2c.dst, c2s->src, 16);
    spec.s2c.sport = c2s->dport;
    spec.s2c.dport = c2s->sport;
    spec.s2c.zone = port;
    spec.s2c.proto = c2s->proto;
    spec.s2c.family = c2s->family;
    return spec;
}

/* Feeds one built packet. The engine may keep a verdict on these bytes until it is taken. */
static inline void build_feed(struct engine *e, const struct build *b, uint16_t port, int64_t now_ns, uint64_t tag)
{
    static uint8_t bytes[8][BUILD_BYTES];
    static unsigned turn;
    struct input in = {.tag = tag, .data = bytes[turn++ % 8], .port = port, .link = LINK_IP, .now_ns = now_ns};
    in.len = build_packet(in.data, b);
    engine_input(e, &in, 1, false);
}

/* Takes what there is, and what was taken before is used no more. */
static inline void forget_verdicts(struct engine *e)
{
    uint32_t count;
    engine_verdicts(e, &count);
    engine_verdicts(e, &count);
}

static inline struct verdict build_last_verdict(struct engine *e)
{
    uint32_t count;
    const struct verdict *all = engine_verdicts(e, &count);
    return count ? all[count - 1] : (struct verdict){.action = 255};
}

/* Feeds a first packet and answers it with a session to `egress`; the session's id. */
static inline int64_t build_session(struct engine *e, const struct build *b, uint16_t port, uint16_t egress,
                                    enum action action, int64_t now_ns)
{
    struct undecided u;
    build_feed(e, b, port, now_ns, 1);
    if (!engine_undecided(e, &u, 1))
        return -1;
    struct session_spec spec = build_spec(&u.key, egress, action);
    return engine_install(e, u.handle, &spec);
}

#endif
