/*
 * cookie.c - SYN cookies (RFC 4987 3.6) for servers behind the firewall, and what they cost a connection afterwards.
 *
 *     client            engine            server
 *       | --- SYN -------> |                 |      nothing is kept
 *       | <-- SYN-ACK ---- |                 |      window 0; its sequence number is the cookie
 *       | --- ACK -------> | slowpath, session
 *       |                  | --- SYN ------> |      in the place of the ACK, with its numbers
 *       |                  | <-- SYN-ACK --- |
 *       |                  | --- ACK ------> |      the engine's own
 *       | <-- ACK -------- |                 |      the SYN-ACK turned into the window update the client waits for
 *
 * The cookie is a keyed hash of the flow key, the client's first sequence number, what its SYN offered and the time; the key
 * is random at each start. What was offered comes back in the ACK: in the cookie, or, of a client that offers timestamps, in
 * the one the engine sends, so that all of the sequence number is hash:
 *
 *     without timestamps   sequence = hash 23 | parity of the period 1 | offer 8        periods of 69 s, this and the last hold
 *     with timestamps      sequence = hash 32; timestamp = time 24 (67 ms) | offer 8    for 137 s
 *
 * An ACK is tried twice, since a probe of the closed window has the sequence number before (RFC 9293 3.8.6.1): who guesses
 * has a chance of 2^-22 with a packet, or 2^-31 with timestamps. One that is none is a segment without a session.
 *
 * Until the server has answered, nothing of the client's goes to it but a RST: an ACK, data, a FIN or a probe is replaced by
 * the SYN, which so is sent again. A client whose server speaks first has nothing to send, though: for the first seconds it is
 * probed (RFC 9293 3.8.4, a keep-alive), and answers with an ACK. A server that never answers lets the session end by
 * timeout-tcpinit; the client is told nothing, and its next probe opens another session as long as its cookie holds.
 *
 * From then on the two connections are one, with numbers that differ by a constant each. TCP tracking knows the server's.
 *
 *     to the client   sequence + d    TSval + t    window of the server's scale -> of SCALE, which the client was told
 *     to the server   acknowledgement, SACK blocks - d    TSecr - t    window: as it is, or unscaled if the server does not scale
 *
 * The client is told what it offered without knowing the server. A server without SACK gets no SACK blocks, one without
 * timestamps no timestamps: NOPs. It sends none either, and the client has to do with segments without them, as Linux, BSD
 * and Windows do although RFC 7323 3.2 would let them drop these: there is no room for an option in a full segment. Windows
 * lose what is finer than SCALE and what is more than 65535 can say. Data in a SYN, fast open, ECN and everything else a
 * SYN can ask for is not offered on, and the MSS is rounded down to one of `sizes`. The client is told an MSS by the port it came
 * in by; that of the way to the server is left to path MTU discovery.
 */
#include "cookie.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "segment.h"
#include "siphash.h"
#include "state.h"
#include "tcp_options.h"

enum {
    SCALE = 7,       /* what the client is told about the server's windows */
    NO_SCALE = 15,   /* in four bits */
    OFFER_SACK = 16, /* beside the scale, and the size in the three bits above */
    OFFER_SIZE_SHIFT = 5,
    OFFER_BITS = 8,
    PERIOD_SHIFT = 36, /* 69 s */
    STAMP_SHIFT = 26,  /* 67 ms */
    STAMP_MASK = 0xffffff,
    OLDEST_STAMP = 2048,
    TTL = 64,
    PROBES = 4, /* one a second */
};

static const int64_t probe_ns = 1000000000;

/* struct packet, cookie: the offer and this. */
enum { COOKIE_IS_RIGHT = 256, COOKIE_HAS_STAMP = 512, COOKIE_IN_PROBE = 1024, COOKIE_SYN = 2048 };

/* struct proxied, options. The size is in the three bits above. */
enum { CLIENT_SACK = 1, CLIENT_STAMPS = 2, SERVER_SACK = 4, SERVER_STAMPS = 8, SIZE_SHIFT = 5 };

/* What a client offers is rounded down to one of these: the least IPv4 and IPv6 hosts must take, tunnels, Ethernet of IPv6
 * and IPv4, jumbo frames. */
static const uint16_t sizes[8] = {88, 536, 1220, 1360, 1400, 1440, 1460, 8940};

static const uint8_t *stamps_of(const struct packet *p)
{
    return tcp_option_find(p, TCP_OPTION_TIMESTAMPS, 10);
}

/* ---- the cookie ------------------------------------------------------------------------------------ */

static uint64_t hash_of(const struct engine *e, const struct packet *p, uint32_t isn, uint32_t said, uint64_t time, bool stamped)
{
    struct {
        struct flow_key key;
        uint32_t isn, said;
        uint64_t time, purpose;
    } of = {p->key, isn, said, time, stamped ? 0x636f6f6b69652b74 : 0x636f6f6b69652d74};
    _Static_assert(sizeof of == 64, "no padding is hashed");
    return siphash13(e->hash_key, &of, sizeof of);
}

static uint32_t plain_cookie(const struct engine *e, const struct packet *p, uint32_t isn, uint8_t offer, uint64_t period)
{
    uint32_t hash = (uint32_t)hash_of(e, p, isn, offer, period, false);
    return hash << (OFFER_BITS + 1) | (uint32_t)(period & 1) << OFFER_BITS | offer;
}

static uint32_t stamped_cookie(const struct engine *e, const struct packet *p, uint32_t isn, uint32_t stamp, uint64_t time)
{
    return (uint32_t)hash_of(e, p, isn, stamp, time, true);
}

static uint8_t offer_of(const struct packet *p)
{
    const uint8_t *mss = tcp_option_find(p, TCP_OPTION_MSS, 4), *scale = tcp_option_find(p, TCP_OPTION_WINDOW_SCALE, 3);
    uint32_t size = mss ? be16(mss + 2) : p->key.family == 4 ? 536 : 1220, place = 7;
    uint8_t offer = NO_SCALE;
    while (place && sizes[place] > size)
        place--;
    if (scale)
        offer = scale[2] < LARGEST_WINDOW_SCALE ? scale[2] : LARGEST_WINDOW_SCALE;
    if (tcp_option_find(p, TCP_OPTION_SACK_PERMITTED, 2))
        offer |= OFFER_SACK;
    return (uint8_t)(offer | place << OFFER_SIZE_SHIFT);
}

/* ---- handshakes ------------------------------------------------------------------------------------ */

/* Writes options; how many bytes they are. Without `mss` those of any segment but a SYN. */
static uint8_t write_options(uint8_t *out, uint16_t mss, bool sack, int scale, const uint32_t *stamps)
{
    uint8_t *at = out;
    if (mss) {
        *at++ = TCP_OPTION_MSS, *at++ = 4;
        put16(at, mss), at += 2;
    }
    if (sack) {
        *at++ = TCP_OPTION_NOP, *at++ = TCP_OPTION_NOP;
        *at++ = TCP_OPTION_SACK_PERMITTED, *at++ = 2;
    }
    if (stamps) {
        *at++ = TCP_OPTION_NOP, *at++ = TCP_OPTION_NOP;
        *at++ = TCP_OPTION_TIMESTAMPS, *at++ = 10;
        put32(at, stamps[0]), put32(at + 4, stamps[1]), at += 8;
    }
    if (scale != NO_SCALE) {
        *at++ = TCP_OPTION_NOP, *at++ = TCP_OPTION_WINDOW_SCALE, *at++ = 3;
        *at++ = (uint8_t)scale;
    }
    return (uint8_t)(at - out);
}

/* What a port's packets may carry, as far as the engine knows, and no more than Ethernet's. */
static uint16_t own_mss(const struct engine *e, const struct packet *p)
{
    const struct port_config *port = &e->config.ports[p->port];
    bool is_v6 = p->key.family == 6;
    uint32_t headers = is_v6 ? 60 : 40, mss = 1500 - headers;
    if (port->mtu > headers && port->mtu - headers < mss)
        mss = port->mtu - headers;
    if (port->largest_mss[is_v6] && port->largest_mss[is_v6] < mss)
        mss = port->largest_mss[is_v6];
    return (uint16_t)mss;
}

bool cookie_fits(const struct engine *e, const struct packet *p)
{
    bool is_many = p->is_broadcast || (p->key.family == 4 ? p->key.dst[12] >= 224 : p->key.dst[0] == 0xff);
    bool is_syn = (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_SYN;
    return is_syn && !is_many && e->config.ports[p->port].mode != PORT_TAP && (is_bridged(e, p->port) || !is_local(e, p->key.dst));
}

bool cookie_answer(struct engine *e, const struct packet *p, uint64_t tag)
{
    struct held *h = held_take(e);
    if (!h)
        return false;
    uint8_t offer = offer_of(p), options[LARGEST_TCP_OPTIONS];
    uint64_t time = (uint64_t)e->now_ns >> STAMP_SHIFT;
    bool strips = protection_of(e, p->port)->checks & 1ull << PROTECT_strip_timestamp;
    const uint8_t *theirs = strips ? NULL : stamps_of(p);
    uint32_t stamps[2] = {(uint32_t)time << OFFER_BITS | offer, theirs ? be32(theirs + 2) : 0};
    struct flow_key as = segment_answer(&p->key);
    struct segment segment = {
        .as = &as,
        .seq = theirs ? stamped_cookie(e, p, p->tcp_seq, stamps[0], time)
                      : plain_cookie(e, p, p->tcp_seq, offer, (uint64_t)e->now_ns >> PERIOD_SHIFT),
        .ack = p->tcp_seq + 1,
        .flags = TCP_SYN | TCP_ACK,
        .ttl = TTL,
        .traffic_class = (uint8_t)(p->dscp << 2),
        .options = options,
        .options_len = write_options(options, own_mss(e, p), offer & OFFER_SACK, (offer & 15) == NO_SCALE ? NO_SCALE : SCALE,
                                     theirs ? stamps : NULL),
    };
    count(e, COUNTER_flow_dos_syncookie_sent);
    verdict_answer(e, h, segment_write(h->packet.data, &segment), p, tag);
    return true;
}

/* What a cookie says that asked for this ACK of a client whose first sequence number was `isn`; 0 where it did not. */
static uint32_t cookie_of(const struct engine *e, const struct packet *p, uint32_t isn, const uint8_t *stamps)
{
    uint32_t cookie = p->tcp_ack - 1;
    if (stamps) {
        uint32_t stamp = be32(stamps + 6);
        uint64_t now = (uint64_t)e->now_ns >> STAMP_SHIFT, age = (now - (stamp >> OFFER_BITS)) & STAMP_MASK;
        if (age >= OLDEST_STAMP || cookie != stamped_cookie(e, p, isn, stamp, now - age))
            return 0;
        return COOKIE_IS_RIGHT | COOKIE_HAS_STAMP | (stamp & 0xff);
    }
    uint64_t period = (uint64_t)e->now_ns >> PERIOD_SHIFT;
    period -= (period ^ cookie >> OFFER_BITS) & 1;
    return cookie == plain_cookie(e, p, isn, (uint8_t)cookie, period) ? COOKIE_IS_RIGHT | (cookie & 0xff) : 0;
}

bool cookie_accept(struct engine *e, struct packet *p)
{
    if ((p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK || p->reassembled)
        return false;
    const uint8_t *stamps = stamps_of(p);
    p->cookie = cookie_of(e, p, p->tcp_seq - 1, stamps);
    if (!p->cookie && (p->cookie = cookie_of(e, p, p->tcp_seq, stamps)))
        p->cookie |= COOKIE_IN_PROBE;
    p->cookie_timestamp = p->cookie & COOKIE_HAS_STAMP ? be32(stamps + 6) : 0;
    count(e, p->cookie ? COUNTER_flow_dos_syncookie_ack_rcv : COUNTER_flow_dos_syncookie_ack_err);
    return p->cookie;
}

/* Before it began for both ends. */
static bool has_been_reset(const struct engine *e, uint32_t slot)
{
    return e->sessions[slot].tcp_state == TCP_STATE_TIME_WAIT;
}

/* Sends the SYN to the server in the place of a packet of the client's. */
static void send_syn(struct engine *e, uint32_t slot, const struct packet *p, uint64_t tag)
{
    const struct session *s = &e->sessions[slot];
    struct held *h = p->gso || p->reassembled ? NULL : held_take(e); /* those cannot become something short */
    uint32_t ref = NONE, window = p->tcp_window;
    if (!h) {
        verdict_drop(e, tag, slot, p->gso || p->reassembled ? COUNTER_flow_dos_syncookie_wait : COUNTER_flow_dos_syncookie_full);
        return;
    }
    const uint8_t *theirs = s->proxied.options & CLIENT_STAMPS ? stamps_of(p) : NULL;
    uint32_t stamps[2] = {theirs ? be32(theirs + 2) : 0, 0};
    uint8_t options[LARGEST_TCP_OPTIONS];
    if (s->proxied.scale[C2S] != NO_SCALE)
        window <<= s->proxied.scale[C2S];
    struct segment segment = {
        .as = &p->key,
        .seq = s->window[C2S].end - 1,
        .window = window < UINT16_MAX ? (uint16_t)window : UINT16_MAX,
        .flags = TCP_SYN,
        .ttl = p->ttl,
        .traffic_class = (uint8_t)(p->dscp << 2),
        .options = options,
        .options_len = write_options(options, sizes[s->proxied.options >> SIZE_SHIFT], s->proxied.options & CLIENT_SACK,
                                     s->proxied.scale[C2S], theirs ? stamps : NULL),
    };
    struct packet *syn = &h->packet;
    uint32_t reason = packet_parse(syn->data, segment_write(syn->data, &segment), LINK_IP, PARSE_TRUSTED, syn);
    if (!reason) {
        syn->port = p->port;
        syn->egress = p->egress;
        memcpy(syn->mac, p->mac, sizeof syn->mac);
        syn->reframed = p->reframed;
        syn->rebuilt = true;
        syn->cookie = COOKIE_SYN;
        fastpath_place(e, syn);
        reason = fastpath_decide(e, syn, tag, &ref) ? 0 : COUNTER_flow_dos_syncookie_wait; /* its session has just ended */
    }
    if (reason)
        verdict_drop(e, tag, NONE, reason);
    held_finish(e, h);
}

void cookie_open(struct engine *e, uint32_t slot, struct packet *p, uint64_t tag)
{
    struct session *s = &e->sessions[slot];
    s->flags |= SESSION_SYN_COOKIE;
    s->proxied = (struct proxied){
        .sequence = p->tcp_ack - 1,
        .timestamp = p->cookie_timestamp,
        .scale = {p->cookie & 15, NO_SCALE},
        .options = (uint8_t)((p->cookie & OFFER_SACK ? CLIENT_SACK : 0) | (p->cookie & COOKIE_HAS_STAMP ? CLIENT_STAMPS : 0) |
                             (p->cookie >> OFFER_SIZE_SHIFT & 7) << SIZE_SHIFT),
    };
    if (p->cookie & COOKIE_HAS_STAMP)
        s->proxied.heard = be32(stamps_of(p) + 2);
    memcpy(s->proxied.mac, p->mac, sizeof s->proxied.mac);
    s->window[C2S].end = p->tcp_seq + !!(p->cookie & COOKIE_IN_PROBE);
    ager_look(e, slot, e->age_ns + probe_ns);
    send_syn(e, slot, p, tag);
}

void cookie_remind(struct engine *e, uint32_t slot)
{
    struct session *s = &e->sessions[slot];
    struct proxied *x = &s->proxied;
    if (x->is_open || has_been_reset(e, slot) || x->probes == PROBES || !port_takes(e, s->port[C2S]))
        return;
    x->probes++;
    ager_look(e, slot, e->age_ns + probe_ns);
    struct held *h = held_take(e);
    if (!h) {
        count(e, COUNTER_flow_emit_fail);
        return;
    }
    bool is_stamped = x->options & CLIENT_STAMPS;
    uint32_t stamps[2] = {x->timestamp, x->heard};
    uint8_t options[LARGEST_TCP_OPTIONS];
    struct flow_key as = segment_answer(&s->key[C2S]);
    struct segment segment = {
        .as = &as,
        .seq = x->sequence, /* what it has acknowledged already */
        .ack = s->window[C2S].end,
        .flags = TCP_ACK,
        .ttl = TTL,
        .options = options,
        .options_len = write_options(options, 0, false, NO_SCALE, is_stamped ? stamps : NULL),
    };
    count(e, COUNTER_flow_dos_syncookie_probe);
    verdict_emit(e, h, segment_write(h->packet.data, &segment), s->port[C2S], 0, x->mac);
}

/* The last step of the handshake with the server, in the client's name: `syn_ack` is what it answers. */
static void answer_server(struct engine *e, uint32_t slot, const struct packet *syn_ack)
{
    struct session *s = &e->sessions[slot];
    struct held *h = held_take(e);
    if (!h) {
        count(e, COUNTER_flow_emit_fail); /* the server sends its SYN-ACK again */
        return;
    }
    const uint8_t *theirs = s->proxied.options & SERVER_STAMPS ? stamps_of(syn_ack) : NULL;
    uint32_t stamps[2] = {theirs ? be32(theirs + 6) : 0, theirs ? be32(theirs + 2) : 0};
    uint32_t window = s->window[C2S].max_window;
    uint8_t options[LARGEST_TCP_OPTIONS];
    if (s->proxied.scale[S2C] != NO_SCALE)
        window >>= s->proxied.scale[C2S];
    struct flow_key as = segment_answer(&s->key[S2C]);
    struct segment segment = {
        .as = &as,
        .seq = syn_ack->tcp_ack,
        .ack = syn_ack->tcp_seq + 1,
        .window = window < UINT16_MAX ? (uint16_t)window : UINT16_MAX,
        .flags = TCP_ACK,
        .ttl = TTL,
        .traffic_class = (uint8_t)(s->dscp[C2S] ? (s->dscp[C2S] - 1) << 2 : 0),
        .options = options,
        .options_len = write_options(options, 0, false, NO_SCALE, theirs ? stamps : NULL),
    };
    struct packet *p = &h->packet;
    uint32_t len = segment_write(p->data, &segment);
    bool restart;
    if (packet_parse(p->data, len, LINK_IP, PARSE_TRUSTED | PARSE_OWN, p) || tcp_segment(e, s, C2S, p, &restart)) {
        held_finish(e, h);
        return;
    }
    session_refresh(e, slot);
    verdict_emit(e, h, len, s->port[S2C], s->mark[C2S], syn_ack->mac);
}

/* ---- translation ----------------------------------------------------------------------------------- */

/* A TCP header that is being changed. */
struct header {
    uint8_t bytes[TCP_HEADER + LARGEST_TCP_OPTIONS];
    uint32_t len;
};

static struct header header_of(const struct packet *p)
{
    struct header header = {.len = p->payload_offset - p->l4_offset};
    memcpy(header.bytes, p->data + p->l4_offset, header.len);
    return header;
}

static bool put_header(struct packet *p, const struct header *header)
{
    uint8_t *tcp = p->data + p->l4_offset;
    if (!memcmp(tcp, header->bytes, header->len))
        return false;
    uint64_t difference = checksum_replace(tcp, 0, header->bytes, header->len);
    if (p->unfinished) {
        packet_complete_checksum(p);
        p->unfinished = false;
    } else {
        checksum_adjust(tcp + 16, difference);
    }
    return true;
}

static struct tcp_options options_of(struct header *header)
{
    return (struct tcp_options){.at = header->bytes + TCP_HEADER, .end = header->bytes + header->len};
}

static void add32(uint8_t *at, uint32_t difference)
{
    put32(at, be32(at) + difference);
}

/* A window of the server's, as the client reads it. */
static uint16_t window_for_client(const struct proxied *x, uint16_t window, bool is_syn)
{
    if (x->scale[C2S] == NO_SCALE)
        return window;
    uint32_t bytes = (uint32_t)window << (is_syn || x->scale[S2C] == NO_SCALE ? 0 : x->scale[S2C]);
    return bytes >> SCALE < UINT16_MAX ? (uint16_t)(bytes >> SCALE) : UINT16_MAX;
}

static bool to_client(const struct proxied *x, struct packet *p)
{
    struct header header = header_of(p);
    struct tcp_options walk = options_of(&header);
    put32(header.bytes + 4, x->is_open ? p->tcp_seq + x->sequence : x->sequence + 1);
    put16(header.bytes + 14, window_for_client(x, p->tcp_window, p->tcp_flags & TCP_SYN));
    for (uint8_t *option; (option = tcp_option_next(&walk));)
        if (*option == TCP_OPTION_TIMESTAMPS && option[1] == 10 && x->options & SERVER_STAMPS)
            add32(option + 2, x->timestamp);
    return put_header(p, &header);
}

static bool to_server(const struct proxied *x, struct packet *p)
{
    struct header header = header_of(p);
    struct tcp_options walk = options_of(&header);
    bool has_ack = p->tcp_flags & TCP_ACK;
    if (has_ack)
        put32(header.bytes + 8, p->tcp_ack -= x->sequence);
    if (x->scale[C2S] != NO_SCALE && x->scale[S2C] == NO_SCALE && !(p->tcp_flags & TCP_SYN)) {
        uint32_t window = (uint32_t)p->tcp_window << x->scale[C2S];
        put16(header.bytes + 14, p->tcp_window = window < UINT16_MAX ? (uint16_t)window : UINT16_MAX);
    }
    for (uint8_t *option; (option = tcp_option_next(&walk));) {
        bool is_stamps = *option == TCP_OPTION_TIMESTAMPS && option[1] == 10, is_sack = *option == TCP_OPTION_SACK;
        if ((is_stamps && !(x->options & SERVER_STAMPS)) || (is_sack && !(x->options & SERVER_SACK)))
            memset(option, TCP_OPTION_NOP, option[1]);
        else if (is_stamps && has_ack)
            add32(option + 6, -x->timestamp);
        else if (is_sack)
            for (uint8_t *edge = option + 2; edge + 4 <= option + option[1]; edge += 4)
                add32(edge, -x->sequence);
    }
    return put_header(p, &header);
}

/* Makes the server's SYN-ACK what the client, to whom the connection has long begun, can make sense of. */
static bool to_window_update(const struct proxied *x, struct packet *p)
{
    struct header header = header_of(p);
    struct tcp_options walk = options_of(&header);
    put32(header.bytes + 4, p->tcp_seq + 1 + x->sequence);
    header.bytes[13] = p->tcp_flags &= TCP_ACK | TCP_PSH | TCP_URG;
    put16(header.bytes + 14, window_for_client(x, p->tcp_window, true));
    for (uint8_t *option; (option = tcp_option_next(&walk));)
        if (*option == TCP_OPTION_TIMESTAMPS && option[1] == 10 && x->options & SERVER_STAMPS)
            add32(option + 2, x->timestamp);
        else
            memset(option, TCP_OPTION_NOP, option[1]);
    return put_header(p, &header);
}

/* ---- packets of a session -------------------------------------------------------------------------- */

static bool is_syn_ack(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK);
}

/* Of the client, before the server has answered. */
static bool wait_for_server(struct engine *e, uint32_t slot, struct packet *p, uint64_t tag, bool *changed)
{
    if (p->cookie == COOKIE_SYN)
        return false;
    if (p->tcp_flags & TCP_RST) { /* what it acknowledges the server has never sent */
        struct header header = header_of(p);
        put32(header.bytes + 8, p->tcp_ack = 0);
        header.bytes[13] = p->tcp_flags = TCP_RST;
        *changed |= put_header(p, &header);
        return false;
    }
    if (p->tcp_flags & TCP_SYN || has_been_reset(e, slot))
        verdict_drop(e, tag, slot, COUNTER_flow_dos_syncookie_wait);
    else
        send_syn(e, slot, p, tag);
    return true;
}

/* The server's first packet must be an answer to the SYN. A challenge (RFC 5961 4) is answered as the client would. */
static bool is_no_answer(struct engine *e, uint32_t slot, const struct packet *p, uint64_t tag)
{
    const struct session *s = &e->sessions[slot];
    bool is_answer = is_syn_ack(p) && p->tcp_ack == s->window[C2S].end && !has_been_reset(e, slot);
    if (p->tcp_flags & TCP_RST || is_answer)
        return false;
    if (!(p->tcp_flags & TCP_SYN) && e->config.tcp_allow_challenge_ack)
        reset_sender(e, p, p->port);
    verdict_drop(e, tag, slot, COUNTER_flow_dos_syncookie_wait);
    return true;
}

bool cookie_inbound(struct engine *e, uint32_t slot, enum direction direction, struct packet *p, uint64_t tag, bool *changed)
{
    const struct proxied *x = &e->sessions[slot].proxied;
    if (!x->is_open)
        return direction == C2S ? wait_for_server(e, slot, p, tag, changed) : is_no_answer(e, slot, p, tag);
    if (direction == C2S)
        *changed |= to_server(x, p);
    return false;
}

/* What the server says of itself, once. */
static void note_answer(struct proxied *x, const struct packet *p)
{
    const uint8_t *stamps = stamps_of(p), *scale = tcp_option_find(p, TCP_OPTION_WINDOW_SCALE, 3);
    x->is_open = true;
    x->sequence -= p->tcp_seq;
    if (stamps && x->options & CLIENT_STAMPS) {
        x->options |= SERVER_STAMPS;
        x->timestamp -= be32(stamps + 2);
    }
    if (x->options & CLIENT_SACK && tcp_option_find(p, TCP_OPTION_SACK_PERMITTED, 2))
        x->options |= SERVER_SACK;
    if (scale && x->scale[C2S] != NO_SCALE)
        x->scale[S2C] = scale[2] < LARGEST_WINDOW_SCALE ? scale[2] : LARGEST_WINDOW_SCALE;
}

bool cookie_outbound(struct engine *e, uint32_t slot, enum direction direction, struct packet *p)
{
    struct proxied *x = &e->sessions[slot].proxied;
    if (direction == C2S)
        return false;
    if (!is_syn_ack(p))
        return to_client(x, p);
    if (!x->is_open)
        note_answer(x, p);
    answer_server(e, slot, p);
    return to_window_update(x, p);
}

bool cookie_quoted(const struct session *s, enum direction direction, const struct packet *p)
{
    enum { SEQUENCE = 4, ACKNOWLEDGEMENT = 8, CHECKSUM = 16 };
    uint8_t *tcp = p->data + p->quoted_l4_offset, number[4];
    uint32_t quoted = p->len - p->quoted_l4_offset, at = direction == C2S ? SEQUENCE : ACKNOWLEDGEMENT;
    if (!s->proxied.is_open || quoted < at + 4)
        return false;
    put32(number, be32(tcp + at) + (direction == C2S ? -s->proxied.sequence : s->proxied.sequence));
    uint64_t difference = checksum_replace(tcp, at, number, 4);
    if (quoted >= CHECKSUM + 2)
        checksum_adjust(tcp + CHECKSUM, difference);
    packet_complete_checksum(p);
    return true;
}

uint32_t cookie_told(const struct session *s, uint32_t sequence)
{
    if (!(s->flags & SESSION_SYN_COOKIE))
        return sequence;
    return s->proxied.is_open ? sequence + s->proxied.sequence : s->proxied.sequence + 1;
}
