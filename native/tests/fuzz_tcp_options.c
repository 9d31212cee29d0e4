/*
 * Fuzz target: TCP options, and connections that begin with a SYN cookie. The first byte says the family, the rest is
 * segments, from either end: how it is made, numbers relative to what fits, window, options as they are. The client's ACK has
 * the cookie's number and echoes its timestamp, unless the bytes say otherwise.
 *
 * Whatever the options, the walker stays within them and passes over all of them once; every packet has one verdict; what is
 * sent is as long as what came, or a SYN in its place, with right checksums; and what the translation adds to a number is
 * the same for a session's whole life, there and back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "require.h"
#include "state.h"
#include "tcp_options.h"

enum { CLIENT = 1, SERVER = 2, MOST_SEGMENTS = 40 };
static const uint32_t CLIENT_ISN = 0x10, SERVER_ISN = 0xfffffff0; /* the server's soon wraps */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct history {
    const uint8_t *at, *end;
    struct engine *engine;
    uint8_t family;
    uint64_t tags;
    uint32_t cookie, stamp; /* what the client was told */
    uint32_t added;         /* to the server's sequence numbers */
    bool is_told, is_added;
};

static uint8_t next(struct history *h)
{
    return h->at < h->end ? *h->at++ : 0;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void walk_all(const struct packet *p)
{
    struct tcp_options walk = tcp_options_of(p);
    const uint8_t *behind = walk.at;
    for (uint8_t *option; (option = tcp_option_next(&walk)); behind = option + option[1]) {
        require(option >= behind && option[1] >= 2 && option + option[1] <= p->data + p->payload_offset);
        require(*option != TCP_OPTION_END && *option != TCP_OPTION_NOP);
        for (; behind < option; behind++)
            require(*behind == TCP_OPTION_NOP);
        const uint8_t *found = tcp_option_find(p, *option, option[1]);
        require(found && found <= option && *found == *option && found[1] == option[1]);
    }
    require(!tcp_option_next(&walk));
}

/* What left for the client, or the server. */
static void look(struct history *h, const struct verdict *v, const struct packet *in)
{
    struct packet out;
    if (v->action == VERDICT_CONSUMED || v->action == VERDICT_DROP)
        return;
    require(packet_parse((uint8_t *)v->data, v->len, LINK_IP, 0, &out) == 0);
    if (v->action == VERDICT_EMIT) {
        if (v->port == CLIENT && (out.tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
            const uint8_t *stamps = tcp_option_find(&out, TCP_OPTION_TIMESTAMPS, 10);
            require(!out.tcp_window);
            h->is_told = true;
            h->cookie = out.tcp_seq;
            h->stamp = stamps ? be32(stamps + 2) : 0;
        }
        return;
    }
    const struct session *s = &h->engine->sessions[v->session];
    if (!(s->flags & SESSION_SYN_COOKIE))
        return;
    if (v->port == SERVER && !s->proxied.is_open) {
        require(out.tcp_flags == TCP_SYN || out.tcp_flags == TCP_RST);
        require(out.tcp_flags == TCP_RST || out.tcp_seq == s->window[C2S].end - 1);
        return;
    }
    require(out.len == in->len && out.payload_offset == in->payload_offset);
    require(!memcmp(out.data + out.payload_offset, in->data + in->payload_offset, in->len - in->payload_offset));
    if (!s->proxied.is_open)
        return;
    bool was_syn_ack = v->port == CLIENT && in->tcp_flags & TCP_SYN && !(out.tcp_flags & TCP_SYN);
    uint32_t added = v->port == CLIENT ? out.tcp_seq - in->tcp_seq - was_syn_ack : in->tcp_ack - out.tcp_ack;
    if (v->port == SERVER) {
        require(out.tcp_seq == in->tcp_seq);
        if (!(in->tcp_flags & TCP_ACK)) {
            require(out.tcp_ack == in->tcp_ack);
            return;
        }
    } else {
        require(out.tcp_ack == in->tcp_ack);
    }
    require(!h->is_added || added == h->added);
    h->added = added;
    h->is_added = true;
}

static void send(struct history *h)
{
    static uint8_t bytes[BUILD_BYTES], sent[BUILD_BYTES];
    uint8_t how = next(h), flags = next(h), window = next(h), words = next(h) % 11;
    bool from_client = how & 1;
    struct build b = {.family = h->family, .proto = PROTO_TCP, .src = 1, .dst = 2, .sport = 1000, .dport = 80,
                      .payload = how >> 6, .flags = flags & 31};
    uint32_t told = h->is_added ? SERVER_ISN + h->added : h->cookie;
    b.seq = (from_client ? CLIENT_ISN : SERVER_ISN) + !(flags & TCP_SYN) + (how & 2 ? next(h) : 0);
    b.ack = (from_client ? told : CLIENT_ISN) + 1 + (how & 4 ? next(h) : 0);
    if (!from_client)
        b.src = 2, b.dst = 1, b.sport = 80, b.dport = 1000;
    uint32_t header = b.family == 4 ? 20 : 40, len = build_packet(bytes, &b), taken;
    uint8_t *tcp = bytes + header;
    build_be16(tcp + 14, (uint32_t)window << (how & 8));
    memmove(tcp + 20 + words * 4, tcp + 20, len - header - 20);
    for (int i = 0; i < words * 4; i++)
        tcp[20 + i] = next(h);
    tcp[12] = (uint8_t)((5 + words) << 4);
    len += words * 4u;
    if (b.family == 4) {
        build_be16(bytes + 2, len);
        build_be16(bytes + 10, 0);
        build_be16(bytes + 10, ~build_sum(0, bytes, 20) & 0xffff);
    } else {
        build_be16(bytes + 4, len - header);
    }
    struct packet p;
    uint8_t *copy = malloc(len); /* one byte too far is seen */
    if (!copy)
        abort();
    memcpy(copy, bytes, len);
    if (!packet_parse(copy, len, LINK_IP, PARSE_TRUSTED, &p)) {
        uint8_t *stamps = tcp_option_find(&p, TCP_OPTION_TIMESTAMPS, 10);
        walk_all(&p);
        if (stamps && from_client && how & 16)
            build_be32(stamps + 6, h->stamp);
    }
    build_l4_checksum(copy, len);
    memcpy(sent, copy, len);
    struct input in = {.tag = ++h->tags, .data = copy, .len = len, .port = from_client ? CLIENT : SERVER, .link = LINK_IP,
                       .now_ns = h->engine->now_ns + ((int64_t)(how >> 5 & 1) << 32)};
    if (how & 32 && window & 1) { /* as the kernel leaves it */
        in.flags = INPUT_CHECKSUM_UNFINISHED;
        build_be16(copy + header + 16, 0x1234);
    }
    engine_input(h->engine, &in, 1, false);
    struct undecided u;
    if (engine_undecided(h->engine, &u, 1)) {
        struct session_spec spec = build_spec(&u.key, u.port == CLIENT ? SERVER : CLIENT, ACTION_allow);
        if (how & 64 && window & 2)
            build_key_address(spec.s2c.dst, h->family, 200); /* translated */
        require(engine_install(h->engine, u.handle, &spec) >= 0);
        h->is_added = false; /* another session, another number */
    }
    bool is_sound = !packet_parse(sent, len, LINK_IP, 0, &p);
    const struct verdict *all = engine_verdicts(h->engine, &taken);
    uint32_t of_packet = 0;
    for (uint32_t i = 0; i < taken; i++) {
        of_packet += all[i].action != VERDICT_EMIT;
        require(all[i].action == VERDICT_EMIT || all[i].tag == h->tags);
        if (is_sound && (all[i].action == VERDICT_EMIT || all[i].changed))
            look(h, &all[i], &p);
    }
    require(of_packet == 1);
    engine_verdicts(h->engine, &taken); /* the packet is used no more */
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct port_config ports[] = {
        {0}, {.zone = 1, .ipv6 = true, .protection = 1}, {.zone = 2, .ipv6 = true}};
    static const struct zone_protection protection = {
        .zone = 1, .tcp_reject_non_syn = true,
        .flood[FLOOD_tcp_syn] = {.enabled = true, .syn_cookies = true, .alarm = 1 << 20, .maximal = 1 << 20}};
    struct history h = {.at = bytes, .end = bytes + size};
    uint32_t count;
    h.engine = build_engine((struct engine_params){.max_sessions = 4});
    struct engine_config config = build_config();
    config.ports = ports;
    config.port_count = 3;
    config.protections = &protection;
    config.protection_count = 1;
    config.tcp_allow_challenge_ack = size & 1;
    require(!engine_configure(h.engine, &config));
    h.family = next(&h) & 1 ? 6 : 4;
    for (int i = 0; i < MOST_SEGMENTS && h.at < h.end; i++)
        send(&h);
    for (uint32_t slot = 1; slot <= 4; slot++)
        engine_clear(h.engine, slot);
    engine_verdicts(h.engine, &count);
    engine_verdicts(h.engine, &count);
    require(!h.engine->stats.allocated && !h.engine->held_count && !h.engine->undecided_count);
    engine_free(h.engine);
    return 0;
}
