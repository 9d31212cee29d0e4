/*
 * checks.c - packet-based protection: what a zone's profile refuses about single packets, and what it takes out of them.
 *
 * What a packet is by itself the parser has noted as traits, bits of enum protection; the profile has the same bits, so
 * that asking is one AND (checks_refuse in state.h). The rest is here: where the source is routed, what a segment is
 * in its connection, TCP options that are not to pass, errors that are not to be sent. Meanings: fact sheet 4.4.
 */
#include <arpa/inet.h>
#include <string.h>

#include "checksum.h"
#include "overlap.h"
#include "state.h"
#include "tcp_options.h"

struct checks {
    struct overlaps overlaps;
};

uint64_t checks_bytes(void)
{
    return sizeof(struct checks);
}

/* What was sent is forgotten: nobody may follow a flow from now on, until its sequence numbers have come round. */
void checks_configure(struct engine *e)
{
    overlap_forget_all(&e->checks->overlaps);
}

static bool has(uint64_t checks, enum protection which)
{
    return checks >> which & 1;
}

/* The bits of a port's zone; of a port that is gone, none. */
static uint64_t checks_of(const struct engine *e, uint16_t port)
{
    return port < e->config.port_count ? protection_of(e, port)->checks : 0;
}

/* Why a packet is refused that has this about it. */
static uint32_t refuse(struct engine *e, const struct packet *p, uint16_t port, enum protection which)
{
    uint32_t reason = protection_info(which)->counter;
    zone_count_check(e, port, which);
    if (e->config.log_packet_threats)
        threat_note(e, p, THREAT_PACKET, which, SCAN_ACTION_block, 0, reason);
    return reason;
}

uint32_t checks_refuse_traits(struct engine *e, const struct packet *p, uint64_t which)
{
    return refuse(e, p, p->port, (enum protection)__builtin_ctzll(which));
}

/* ---- sources ------------------------------------------------------------------------------------------ */

/* By which of its ports a route to the packet's source leaves: one that is in the packet's zone, or, `exactly`, the one it
 * has come in by. */
static bool is_routed_back(const struct engine *e, const struct packet *p, bool exactly)
{
    const struct port_config *in = &e->config.ports[p->port];
    const struct fib *fib = e->fibs[in->virtual_router];
    const struct route *route = fib ? fib_route(fib, p->key.src) : NULL;
    if (!route || !route->leaves)
        return false;
    const struct route_hop only = {.port = route->port}, *hops = route->hop_count ? fib_hops(fib, route) : &only;
    for (uint32_t i = 0; i < (route->hop_count ? route->hop_count : 1); i++) {
        uint16_t port = hops[i].port;
        if (exactly ? port == p->port : port_takes(e, port) && e->config.ports[port].zone == in->zone)
            return true;
    }
    return false;
}

/* fe80::/10 is on every link, and the table names one of them. */
static bool is_link_local(const struct packet *p)
{
    return p->key.family == 6 && p->key.src[0] == 0xfe && (p->key.src[1] & 0xc0) == 0x80;
}

/* A subnet's broadcast address is none a route leads to by a port, so the strict check has it with the others. Between
 * bridged ports nothing is routed. */
uint32_t checks_refuse_source(struct engine *e, const struct packet *p)
{
    uint64_t checks = protection_of(e, p->port)->checks & (1ull << PROTECT_ip_spoof | 1ull << PROTECT_strict_ip);
    if (!checks || is_bridged(e, p->port) || is_link_local(p))
        return 0;
    if (has(checks, PROTECT_ip_spoof) && !is_routed_back(e, p, false))
        return refuse(e, p, p->port, PROTECT_ip_spoof);
    if (has(checks, PROTECT_strict_ip) && !is_routed_back(e, p, true))
        return refuse(e, p, p->port, PROTECT_strict_ip);
    return 0;
}

/* ---- segments of a session ---------------------------------------------------------------------------- */

/* The port of the session's whose zone has it, the packet's own before the other; 0 where neither has. */
static uint16_t port_with(const struct engine *e, const struct session *s, const struct packet *p, enum protection which)
{
    const uint16_t ports[] = {p->port, s->port[C2S], s->port[S2C]};
    for (int i = 0; i < 3; i++)
        if (has(checks_of(e, ports[i]), which))
            return ports[i];
    return 0;
}

/* A SYN of the server's own, or a SYN-ACK of the client's: simultaneous open, or a handshake in four or five parts. */
static bool splits_handshake(const struct session *s, enum direction direction, const struct packet *p)
{
    bool is_opening = s->tcp_state == TCP_STATE_INIT || s->tcp_state == TCP_STATE_HANDSHAKE;
    bool has_ack = p->tcp_flags & TCP_ACK;
    return is_opening && p->tcp_flags & TCP_SYN && has_ack == (direction == C2S);
}

struct sent {
    const uint8_t *data;
    uint32_t seq, len;
};

/* What a segment brings. Not the byte of a keep-alive: it is one the other end has had, and may be anything
 * (RFC 9293 3.8.4). */
static struct sent sent_in(const struct session *s, enum direction direction, const struct packet *p)
{
    struct sent sent = {
        .data = p->data + p->payload_offset,
        .seq = p->tcp_seq + !!(p->tcp_flags & TCP_SYN),
        .len = p->len - p->payload_offset,
    };
    if (sent.len == 1 && sent.seq + 1 == s->window[!direction].max_ack)
        sent.len = 0;
    return sent;
}

uint32_t checks_refuse_segment(struct engine *e, uint32_t slot, enum direction direction, const struct packet *p)
{
    const struct session *s = &e->sessions[slot];
    uint16_t port;
    if (splits_handshake(s, direction, p) && (port = port_with(e, s, p, PROTECT_tcp_split_handshake)))
        return refuse(e, p, port, PROTECT_tcp_split_handshake);
    struct sent sent = sent_in(s, direction, p);
    if (has(checks_of(e, p->port), PROTECT_tcp_overlap_mismatch) && sent.len &&
        overlap_differs(&e->checks->overlaps, slot * 2 + direction, sent.seq, sent.data, sent.len))
        return refuse(e, p, p->port, PROTECT_tcp_overlap_mismatch);
    return 0;
}

static void keep_segment(struct engine *e, uint32_t slot, enum direction direction, const struct packet *p)
{
    const struct session *s = &e->sessions[slot];
    struct sent sent = sent_in(s, direction, p);
    if (!sent.len || overlap_keep(&e->checks->overlaps, slot * 2 + direction, sent.seq, sent.data, sent.len))
        return;
    if ((int32_t)(s->window[!direction].max_ack - (sent.seq + sent.len)) < 0) /* the other end may still want it */
        count(e, COUNTER_tcp_overlap_untracked);
}

void checks_session_ends(struct engine *e, uint32_t slot)
{
    overlap_forget(&e->checks->overlaps, slot * 2 + C2S);
    overlap_forget(&e->checks->overlaps, slot * 2 + S2C);
}

bool checks_follow(const struct engine *e, uint16_t port)
{
    return has(checks_of(e, port), PROTECT_tcp_overlap_mismatch);
}

/* ---- TCP options --------------------------------------------------------------------------------------- */

/* By which protection an option is taken out; PROTECTION_COUNT: none. */
static enum protection stripped_by(const uint8_t *option)
{
    switch (option[0]) {
    case TCP_OPTION_TIMESTAMPS:
        return PROTECT_strip_timestamp;
    case TCP_OPTION_MPTCP:
        return PROTECT_strip_mptcp;
    case TCP_OPTION_FAST_OPEN:
        return PROTECT_strip_fast_open;
    case TCP_OPTION_EXPERIMENT: /* fast open before it had a number (RFC 7413 A.5) */
        return option[1] >= 4 && option[2] == 0xf9 && option[3] == 0x89 ? PROTECT_strip_fast_open : PROTECTION_COUNT;
    default:
        return PROTECTION_COUNT;
    }
}

/* Makes NOPs of the options that are to go; the bits of why. */
static uint64_t blank_options(const struct packet *p, uint64_t unwanted)
{
    struct tcp_options walk = tcp_options_of(p);
    uint64_t done = 0;
    for (uint8_t *option; (option = tcp_option_next(&walk));) {
        enum protection why = stripped_by(option);
        if (why != PROTECTION_COUNT && has(unwanted, why)) {
            memset(option, TCP_OPTION_NOP, option[1]);
            done |= 1ull << why;
        }
    }
    return done;
}

static void cut_data(struct packet *p)
{
    p->len = p->payload_offset;
    if (p->key.family == 6) {
        uint16_t len = htons((uint16_t)(p->len - 40));
        memcpy(p->data + 4, &len, 2);
        return;
    }
    uint16_t len = htons((uint16_t)p->len);
    memcpy(p->data + 2, &len, 2);
    memset(p->data + 10, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, p->data, (p->data[0] & 15) * 4u));
    memcpy(p->data + 10, &sum, 2);
}

/* What either end's zone does not want is taken out of both SYNs: an option that only one of them has had leaves ends that
 * disagree (timestamps: RFC 7323 3.2). */
static bool strip(struct engine *e, const struct session *s, struct packet *p)
{
    static const enum protection strips[] = {PROTECT_strip_timestamp, PROTECT_strip_fast_open, PROTECT_strip_mptcp};
    uint64_t unwanted = checks_of(e, p->port) | checks_of(e, s->port[C2S]) | checks_of(e, s->port[S2C]);
    uint64_t done = blank_options(p, unwanted);
    if (!done)
        return false;
    count(e, COUNTER_tcp_option_strip);
    for (int i = 0; i < 3; i++)
        if (has(done, strips[i])) {
            count(e, protection_info(strips[i])->counter);
            zone_count_check(e, port_with(e, s, p, strips[i]), strips[i]);
        }
    if (has(done, PROTECT_strip_fast_open))
        cut_data(p);
    packet_complete_checksum(p);
    return true;
}

bool checks_pass_segment(struct engine *e, uint32_t slot, enum direction direction, struct packet *p)
{
    if (checks_follow(e, p->port))
        keep_segment(e, slot, direction, p);
    return p->tcp_flags & TCP_SYN && strip(e, &e->sessions[slot], p);
}

/* ---- ICMP errors --------------------------------------------------------------------------------------- */

bool checks_suppress(struct engine *e, uint16_t port, enum protection which)
{
    if (!has(checks_of(e, port), which))
        return false;
    count(e, protection_info(which)->counter);
    zone_count_check(e, port, which);
    return true;
}
