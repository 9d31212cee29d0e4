/* Fragments: what becomes of their bytes and verdicts, room for both, and tunnel packets that came in them. */
#include "state.h"

#include <string.h>

#include "build.h"
#include "check.h"

enum { OUTER_PORT = 1, LAN_PORT = 2, TUNNEL = 3, PEER = 5, LOCAL = 1 };

static const struct build udp = {.family = 4, .proto = PROTO_UDP, .src = 7, .dst = 9, .sport = 1000, .dport = 53,
                                 .payload = 4000};

static struct engine *engine_with_a_tunnel(void)
{
    static const struct port_config ports[] = {
        {0}, {.zone = 1}, {.zone = 2, .mark = 0x2000}, {.zone = 3, .mode = PORT_TUNNEL, .mark = 0x3000}};
    struct tunnel_config tunnel = {.port = TUNNEL, .outer_port = OUTER_PORT, .type = TUNNEL_GRE, .ttl = 64};
    struct engine *e = build_engine((struct engine_params){.max_fragments = 128, .max_held = 256});
    struct engine_config config = build_config();
    build_key_address(tunnel.local, 4, LOCAL);
    build_key_address(tunnel.peer, 4, PEER);
    config.port_count = 4;
    config.ports = ports;
    config.tunnel_count = 1;
    config.tunnels = &tunnel;
    CHECK(engine_configure(e, &config) == 0);
    return e;
}

/* Feeds the fragments of a packet, of `size` bytes of payload each; how many. */
static uint32_t feed(struct engine *e, const uint8_t *whole, uint32_t len, uint32_t size, uint64_t first_tag)
{
    static uint8_t bytes[BUILD_BYTES];
    uint32_t total = len - 20, count = 0;
    for (uint32_t at = 0; at < total; at += size, count++) {
        uint32_t left = total - at, taken = left < size ? left : size;
        struct input in = {.tag = first_tag + count, .data = bytes, .port = OUTER_PORT, .link = LINK_IP};
        in.len = build_fragment(bytes, whole, at, taken, taken < left, 77);
        CHECK(engine_input(e, &in, 1, false) == 1);
        memset(bytes, 0xa5, sizeof bytes); /* the edge's bytes are its own again */
    }
    return count;
}

/* A GRE packet from the peer with this IP packet in it; its length. */
static uint32_t encapsulate(uint8_t *out, const uint8_t *inner, uint32_t len)
{
    struct build b = {.family = 4, .proto = 47, .src = PEER, .dst = LOCAL, .payload = 4 + len};
    uint32_t whole = build_packet(out, &b);
    memcpy(out + 20, "\0\0\x08\0", 4);
    memcpy(out + 24, inner, len);
    return whole;
}

static void answer(struct engine *e, uint16_t port)
{
    struct undecided u;
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, port, ACTION_allow);
    CHECK(engine_install(e, u.handle, &spec) == 1);
}

/* What came in fragments of a tunnel's packet goes on by itself. */
static void a_tunnel_packet(uint32_t payload, bool is_known)
{
    static uint8_t inner[BUILD_BYTES], outer[BUILD_BYTES];
    struct engine *e = engine_with_a_tunnel();
    struct build b = udp;
    uint32_t count;
    b.payload = payload;
    uint32_t len = build_packet(inner, &b), outer_len = encapsulate(outer, inner, len);
    if (is_known) { /* decided in the scratch buffer, which the next datagram overwrites */
        feed(e, outer, outer_len, 512, 100);
        answer(e, LAN_PORT);
        forget_verdicts(e);
    }
    uint32_t pieces = feed(e, outer, outer_len, 512, 0);
    if (!is_known)
        answer(e, LAN_PORT);
    inner[28] ^= 0xff; /* another datagram of the same length */
    feed(e, outer, outer_len, 512, 50);
    inner[28] ^= 0xff;
    const struct verdict *v = engine_verdicts(e, &count);
    CHECK(pieces > 1 && count == 2 * (1 + pieces));
    CHECK(v[0].action == VERDICT_EMIT && v[0].len == len && !memcmp(v[0].data + 20, inner + 20, len - 20));
    for (uint32_t i = 0; i < pieces && i < count; i++)
        CHECK(v[1 + i].tag == i && v[1 + i].action == VERDICT_CONSUMED);
    struct engine_stats stats;
    engine_stats(e, &stats);
    CHECK(!stats.fragments && !stats.fragment_bytes);
    engine_free(e);
}

/* Without its data a SYN is one packet, in place of the fragment that came first. */
static void a_syn_whose_data_are_taken_away(void)
{
    static const struct port_config ports[] = {{0}, {.zone = 1, .protection = 1}, {.zone = 2}};
    static uint8_t whole[BUILD_BYTES];
    struct zone_protection profile = {.zone = 1, .checks = 1ull << PROTECT_strip_fast_open};
    struct engine *e = build_engine((struct engine_params){0});
    struct engine_config config = build_config();
    struct build b = {.family = 4, .proto = PROTO_TCP, .src = 7, .dst = 9, .sport = 1000, .dport = 80, .flags = TCP_SYN,
                      .payload = 1200};
    struct packet p;
    uint32_t count, len = build_packet(whole, &b), header = 20 + 32;
    config.port_count = 3;
    config.ports = ports;
    config.protection_count = 1;
    config.protections = &profile;
    CHECK(engine_configure(e, &config) == 0);
    whole[32] = 0x80; /* twelve bytes of options */
    memcpy(whole + 40, "\x22\x0a" "cookie!!" "\1\1", 12);
    build_l4_checksum(whole, len);
    uint32_t pieces = feed(e, whole, len, 512, 0);
    answer(e, LAN_PORT);
    const struct verdict *v = engine_verdicts(e, &count);
    CHECK(pieces == 3 && count == pieces);
    CHECK(v[0].action == VERDICT_FORWARD && v[0].tag == 0 && v[0].changed && v[0].len == header);
    CHECK(packet_parse((uint8_t *)v[0].data, v[0].len, LINK_IP, 0, &p) == 0 && !p.is_fragment);
    for (uint32_t i = 1; i < count; i++)
        CHECK(v[i].action == VERDICT_CONSUMED && v[i].tag == i);
    engine_free(e);
}

static void a_fragment_in_fragments(void)
{
    static uint8_t whole[BUILD_BYTES], inner[BUILD_BYTES], outer[BUILD_BYTES];
    struct engine *e = engine_with_a_tunnel();
    uint32_t count;
    build_packet(whole, &udp);
    uint32_t len = build_fragment(inner, whole, 0, 1200, true, 3), outer_len = encapsulate(outer, inner, len);
    uint32_t pieces = feed(e, outer, outer_len, 512, 0);
    const struct verdict *v = engine_verdicts(e, &count);
    CHECK(count == pieces);
    for (uint32_t i = 0; i < count; i++)
        CHECK(v[i].action == VERDICT_DROP && v[i].reason == COUNTER_flow_tunnel_nest && v[i].tag == i);
    engine_free(e);
}

/* Their bytes stay until the verdicts after them are taken, however many fragments come in the meantime. */
static void bytes_of_verdicts(void)
{
    static uint8_t whole[BUILD_BYTES], expected[BUILD_BYTES];
    struct engine *e = build_engine((struct engine_params){.max_fragments = 8});
    uint32_t count, len = build_packet(whole, &udp);
    uint32_t pieces = feed(e, whole, len, 1024, 0);
    answer(e, LAN_PORT);
    const struct verdict *v = engine_verdicts(e, &count);
    CHECK(count == pieces && pieces == 4);
    for (uint64_t tag = 10; tag < 90; tag += pieces)
        feed(e, whole, len, 1024, tag); /* half of the room is left: each pushes the one before out, or is decided */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = i < 3 ? 1024 : 4008 - 3 * 1024;
        CHECK(v[i].len == build_fragment(expected, whole, i * 1024, bytes, i < 3, 77));
        CHECK(!memcmp(v[i].data, expected, v[i].len));
    }
    engine_free(e);
}

/* Every fragment that waits has a verdict in the end, with the list as full as it may be. */
static void room_for_verdicts(void)
{
    enum { FRAGMENTS = 1000, HELD = 4 };
    static uint8_t whole[BUILD_BYTES], bytes[BUILD_BYTES];
    struct engine *e = build_engine((struct engine_params){.max_fragments = FRAGMENTS, .max_held = HELD});
    struct input in = {.data = bytes, .port = OUTER_PORT, .link = LINK_IP};
    uint32_t count, taken = 0;
    build_packet(whole, &udp);
    for (; taken < FRAGMENTS; taken++) {
        in.len = build_fragment(bytes, whole, 0, 64, true, taken);
        in.tag = taken;
        CHECK(engine_input(e, &in, 1, false) == 1);
    }
    in.len = 0; /* nothing: dropped at once */
    while (engine_input(e, &in, 1, false))
        in.tag = ++taken;
    CHECK(taken == FRAGMENTS + MAX_BURST + HELD);
    engine_tick(e, FRAGMENT_TIMEOUT_S * SECOND);
    CHECK(engine_counters(e)[COUNTER_flow_ipfrag_timeout] == FRAGMENTS);
    engine_verdicts(e, &count);
    CHECK(count == taken);
    engine_free(e);
}

int main(void)
{
    a_tunnel_packet(1000, false);
    a_tunnel_packet(1000, true);
    a_syn_whose_data_are_taken_away();
    a_fragment_in_fragments();
    bytes_of_verdicts();
    room_for_verdicts();
    return check_report();
}
