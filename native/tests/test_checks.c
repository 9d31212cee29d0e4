/* Packet-based protection: each element alone, on and off, against packets that have it and packets that have not. */
#include "build.h"
#include "check.h"
#include "state.h"

enum { PROFILE_ZONE = 1, IN = 1, OUT = 2, OTHER = 3, NEIGHBOUR = 4 }; /* ports; NEIGHBOUR is in zone 1, too */

static const struct port_config ports[] = {
    {0},
    {.zone = 1, .ipv6 = true, .mark = 0x1000, .protection = 1},
    {.zone = 2, .ipv6 = true, .mark = 0x2000},
    {.zone = 3, .ipv6 = true, .mark = 0x3000},
    {.zone = 1, .ipv6 = true, .mark = 0x1000, .protection = 1},
};

static void protect(struct engine *e, uint64_t checks)
{
    struct zone_protection protection = {.zone = PROFILE_ZONE, .checks = checks, .tcp_reject_non_syn = true};
    struct engine_config config = build_config();
    config.port_count = sizeof ports / sizeof *ports;
    config.ports = ports;
    config.protection_count = 1;
    config.protections = &protection;
    CHECK(engine_configure(e, &config) == 0);
}

static struct engine *protected_engine(uint64_t checks)
{
    struct engine *e = build_engine((struct engine_params){0});
    protect(e, checks);
    return e;
}

static uint64_t counted(struct engine *e, enum protection which)
{
    struct zone_stats stats = {0};
    CHECK(engine_zone_stats(e, PROFILE_ZONE, &stats) == 0);
    return stats.checks[which];
}

static uint64_t bit(enum protection which)
{
    return 1ull << which;
}

/* ---- traits ------------------------------------------------------------------------------------------------ */

static void every_trait_is_refused_where_the_profile_says_so(void)
{
    for (uint32_t which = 0; which < PROTECTION_COUNT; which++) {
        struct engine *e = protected_engine(bit(which));
        for (uint32_t trait = 0; trait < PROTECTION_COUNT; trait++) {
            struct packet p = {.port = IN, .traits = bit(trait)};
            uint32_t wanted = trait == which ? protection_info(which)->counter : 0;
            CHECK(checks_refuse(e, &p) == wanted);
            p.port = OUT;
            CHECK(checks_refuse(e, &p) == 0);
        }
        CHECK(counted(e, which) == 1);
        engine_free(e);
    }
}

static void of_several_the_first_is_counted(void)
{
    struct engine *e = protected_engine(bit(PROTECT_ip_frag) | bit(PROTECT_icmp_frag));
    struct packet p = {.port = IN, .traits = bit(PROTECT_icmp_frag) | bit(PROTECT_ip_frag) | bit(PROTECT_security)};
    CHECK(checks_refuse(e, &p) == COUNTER_flow_dos_pf_ipfrag);
    CHECK(counted(e, PROTECT_ip_frag) == 1 && counted(e, PROTECT_icmp_frag) == 0);
    engine_free(e);
}

static void threats_are_told_where_that_is_wanted(void)
{
    for (int is_told = 0; is_told < 2; is_told++) {
        struct engine *e = protected_engine(bit(PROTECT_security));
        e->config.log_packet_threats = is_told;
        struct packet p = {.port = IN, .traits = bit(PROTECT_security), .key = {.zone = PROFILE_ZONE, .proto = PROTO_UDP}};
        struct threat threat = {0};
        CHECK(checks_refuse(e, &p) == COUNTER_flow_dos_pf_security);
        CHECK(engine_threats(e, &threat, 1) == (uint32_t)is_told);
        CHECK(!is_told || (threat.type == THREAT_PACKET && threat.what == PROTECT_security &&
                           threat.reason == COUNTER_flow_dos_pf_security && threat.port == IN));
        engine_free(e);
    }
}

/* ---- sources ------------------------------------------------------------------------------------------------- */

static struct route route(uint8_t family, uint32_t host, uint8_t length, bool leaves, uint16_t port)
{
    struct route r = {.length = length, .leaves = leaves, .port = port};
    build_key_address(r.prefix, family, host);
    return r;
}

static struct packet from(uint8_t family, uint32_t host, uint16_t port)
{
    struct packet p = {.port = port, .key = {.family = family}};
    build_key_address(p.key.src, family, host);
    return p;
}

/* 10.1/16 by IN, 10.2/16 by OUT, 10.4/16 by NEIGHBOUR, 10.5/16 by several, 10.9/16 discarded; likewise IPv6. */
static void sources_are_looked_up(void)
{
    static const struct route_hop hops[] = {{.port = OUT}, {.port = NEIGHBOUR}, {.port = OUT}, {.port = OTHER}};
    struct engine *e = protected_engine(bit(PROTECT_ip_spoof));
    struct route routes[] = {
        route(4, 0x010000, 112, true, IN),        route(4, 0x0100ff, 128, false, 0), /* its broadcast address */
        route(4, 0x020000, 112, true, OUT),       route(4, 0x040000, 112, true, NEIGHBOUR),
        route(4, 0x050000, 112, true, OUT),       route(4, 0x060000, 112, true, OUT),
        route(4, 0x090000, 112, false, 0),        route(4, 0x010001, 128, false, 0), /* the firewall's own */
        route(6, 0x010000, 112, true, IN),        route(6, 0x020000, 112, true, OUT),
    };
    routes[4].hop = 0, routes[4].hop_count = 2; /* one of them in the zone */
    routes[5].hop = 2, routes[5].hop_count = 2;
    struct fib *fib = fib_new(routes, sizeof routes / sizeof *routes, hops, 4);
    const struct fib *fibs[] = {fib};
    static const struct row {
        uint8_t family;
        uint32_t host;
        bool spoofed, strictly;
    } rows[] = {
        {4, 0x010007, false, false}, {4, 0x020007, true, true},   {4, 0x040007, false, true}, {4, 0x050007, false, true},
        {4, 0x060007, true, true},   {4, 0x080007, true, true},   {4, 0x090007, true, true},  {4, 0x0100ff, true, true},
        {4, 0x010001, true, true},   {6, 0x010007, false, false}, {6, 0x020007, true, true},  {6, 0x080007, true, true},
    };
    for (unsigned strictly = 0; strictly < 2; strictly++) {
        protect(e, bit(strictly ? PROTECT_strict_ip : PROTECT_ip_spoof));
        engine_set_fibs(e, fibs, 1);
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct packet p = from(rows[i].family, rows[i].host, IN);
            bool refused = strictly ? rows[i].strictly : rows[i].spoofed;
            uint32_t reason = strictly ? COUNTER_flow_dos_pf_strictip : COUNTER_flow_dos_pf_ipspoof;
            CHECK(checks_refuse_source(e, &p) == (refused ? reason : 0));
            p.port = OUT; /* a zone without a profile */
            CHECK(checks_refuse_source(e, &p) == 0);
        }
        struct packet link_local = from(6, 0, IN);
        memcpy(link_local.key.src, "\xfe\x80", 2);
        CHECK(checks_refuse_source(e, &link_local) == 0);
        ((struct port_config *)e->config.ports)[IN].mode = PORT_VIRTUAL_WIRE;
        struct packet p = from(4, 0x080007, IN);
        CHECK(checks_refuse_source(e, &p) == 0);
        engine_set_fibs(e, NULL, 0);
        p.port = NEIGHBOUR;
        CHECK(checks_refuse_source(e, &p) != 0); /* without a table nothing is routable */
    }
    protect(e, 0);
    struct packet p = from(4, 0x080007, IN);
    CHECK(checks_refuse_source(e, &p) == 0);
    engine_free(e);
    fib_free(fib);
}

/* ---- handshakes ---------------------------------------------------------------------------------------------- */

static const struct build opening = {.src = 0x010007, .dst = 0x020007, .sport = 4000, .dport = 80, .family = 4,
                                     .proto = PROTO_TCP, .flags = TCP_SYN};

static struct build answer(uint8_t flags)
{
    struct build b = opening;
    b.src = opening.dst, b.dst = opening.src, b.sport = opening.dport, b.dport = opening.sport;
    b.flags = flags;
    return b;
}

static uint32_t fate(struct engine *e, const struct build *b, uint16_t port)
{
    build_feed(e, b, port, e->now_ns, 1);
    struct verdict v = build_last_verdict(e);
    return v.action == VERDICT_FORWARD ? 0 : v.reason;
}

static void a_handshake_has_three_parts(void)
{
    for (int profile = 0; profile < 2; profile++)
        for (int of_server = 0; of_server < 2; of_server++) { /* whose zone has the profile */
            struct engine *e = protected_engine(profile ? bit(PROTECT_tcp_split_handshake) : 0);
            uint16_t client = of_server ? OUT : IN, server = of_server ? IN : OUT;
            uint32_t refused = profile ? COUNTER_flow_dos_pf_tcpsplithandshake : 0;
            CHECK(build_session(e, &opening, client, server, ACTION_allow, 0) == 1);
            struct build syn = answer(TCP_SYN), both = answer(TCP_SYN | TCP_ACK), last = opening, again = opening;
            CHECK(fate(e, &again, client) == 0);
            CHECK(fate(e, &syn, server) == refused);
            CHECK(e->sessions[1].tcp_state == (profile ? TCP_STATE_INIT : TCP_STATE_HANDSHAKE));
            again.flags = TCP_SYN | TCP_ACK;
            CHECK(fate(e, &again, client) == refused);
            CHECK(fate(e, &both, server) == 0);
            last.flags = TCP_ACK;
            CHECK(fate(e, &last, client) == 0);
            CHECK(e->sessions[1].tcp_state == TCP_STATE_ESTABLISHED);
            CHECK(fate(e, &syn, server) == 0); /* the other end answers that with an ACK */
            CHECK(counted(e, PROTECT_tcp_split_handshake) == 2u * (unsigned)profile);
            engine_free(e);
        }
}

/* ---- overlaps ------------------------------------------------------------------------------------------------- */

static struct engine *established(uint64_t checks)
{
    struct engine *e = protected_engine(checks);
    struct build both = answer(TCP_SYN | TCP_ACK), last = opening;
    last.flags = TCP_ACK;
    CHECK(build_session(e, &opening, IN, OUT, ACTION_allow, 0) == 1);
    CHECK(fate(e, &both, OUT) == 0 && fate(e, &last, IN) == 0);
    return e;
}

/* Sends what the builder makes, with one byte of the payload another. */
static uint32_t altered(struct engine *e, const struct build *b, uint16_t port, uint32_t which)
{
    static uint8_t bytes[BUILD_BYTES];
    struct input in = {.data = bytes, .port = port, .link = LINK_IP, .now_ns = e->now_ns};
    in.len = build_packet(bytes, b);
    bytes[40 + which] ^= 0x80;
    build_l4_checksum(bytes, in.len);
    engine_input(e, &in, 1, false);
    struct verdict v = build_last_verdict(e);
    return v.action == VERDICT_FORWARD ? 0 : v.reason;
}

static void bytes_are_what_they_were(void)
{
    uint32_t refused = COUNTER_flow_dos_pf_tcpoverlappingmismatch;
    for (int profile = 0; profile < 2; profile++) {
        struct engine *e = established(profile ? bit(PROTECT_tcp_overlap_mismatch) : 0);
        struct build data = opening, fin = opening;
        data.flags = TCP_ACK;
        data.seq = 1, data.ack = 1, data.payload = 100;
        CHECK(fate(e, &data, IN) == 0);
        CHECK(fate(e, &data, IN) == 0); /* sent again */
        CHECK(altered(e, &data, IN, 50) == (profile ? refused : 0));
        fin.flags = TCP_ACK | TCP_FIN;
        fin.seq = 1, fin.ack = 1, fin.payload = 10;
        CHECK(altered(e, &fin, IN, 0) == (profile ? refused : 0));
        CHECK(e->sessions[1].tcp_state == (profile ? TCP_STATE_ESTABLISHED : TCP_STATE_HALF_CLOSED_C2S));
        CHECK(altered(e, &fin, IN, 5) == (profile ? refused : 0));
        struct build back = answer(TCP_ACK); /* that direction has other bytes, and its zone no profile */
        back.seq = 1, back.ack = 101, back.payload = 100;
        CHECK(fate(e, &back, OUT) == 0 && altered(e, &back, OUT, 3) == 0);
        struct build probe = opening; /* a keep-alive: one byte that the other end has had */
        probe.flags = TCP_ACK;
        probe.seq = 100, probe.ack = 1, probe.payload = 1;
        CHECK(altered(e, &probe, IN, 0) == 0);
        CHECK(counted(e, PROTECT_tcp_overlap_mismatch) == 3u * (unsigned)profile);
        CHECK(checks_follow(e, IN) == profile && !checks_follow(e, OUT));
        engine_free(e);
    }
}

static void a_segment_out_of_window_is_not_remembered(void)
{
    struct engine *e = established(bit(PROTECT_tcp_overlap_mismatch));
    struct build data = opening;
    data.flags = TCP_ACK;
    data.seq = 1 + 0x4567 + 20, data.ack = 1, data.payload = 10; /* behind what the server has offered */
    CHECK(fate(e, &data, IN) == COUNTER_tcp_drop_out_of_wnd);
    struct build grant = answer(TCP_ACK), more = data;
    more.seq = 1, more.payload = 100;
    grant.seq = 1, grant.ack = 101;
    CHECK(fate(e, &more, IN) == 0 && fate(e, &grant, OUT) == 0);
    CHECK(altered(e, &data, IN, 3) == 0);
    engine_free(e);
}

static void a_flow_ends_with_its_session(void)
{
    struct engine *e = established(bit(PROTECT_tcp_overlap_mismatch));
    struct build data = opening;
    data.flags = TCP_ACK;
    data.seq = 1, data.ack = 1, data.payload = 100;
    CHECK(fate(e, &data, IN) == 0);
    CHECK(engine_clear(e, 1) == 0);
    uint8_t other[4] = {0};
    struct packet p = {.port = IN, .data = other, .len = 4, .tcp_flags = TCP_ACK, .tcp_seq = 1};
    CHECK(checks_refuse_segment(e, 1, C2S, &p) == 0);
    engine_free(e);
}

static void flows_without_room_are_counted(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 400});
    protect(e, bit(PROTECT_tcp_overlap_mismatch));
    uint8_t data[8] = "12345678";
    for (uint32_t slot = 1; slot <= 300; slot++) {
        struct packet p = {.port = IN, .data = data, .len = 8, .tcp_flags = TCP_ACK, .tcp_seq = 1};
        CHECK(checks_refuse_segment(e, slot, C2S, &p) == 0);
        CHECK(!checks_pass_segment(e, slot, C2S, &p));
    }
    CHECK(e->counters[COUNTER_tcp_overlap_untracked] == 300 - 256);
    engine_free(e);
}

/* ---- TCP options ---------------------------------------------------------------------------------------------- */

struct strip_row {
    uint64_t checks;
    uint8_t flags;
    uint8_t before[20], after[20];
    bool cut;
};

#define NOP2 1, 1
#define NOP4 NOP2, NOP2
#define NOP10 NOP4, NOP4, NOP2
#define STAMPS 8, 10, 1, 2, 3, 4, 5, 6, 7, 9
static const struct strip_row strip_rows[] = {
    {1ull << PROTECT_strip_timestamp, TCP_SYN, {2, 4, 5, 180, STAMPS, 3, 3, 7, 4, 2, 0},
     {2, 4, 5, 180, NOP10, 3, 3, 7, 4, 2, 0}, false},
    {1ull << PROTECT_strip_timestamp, TCP_SYN | TCP_ACK, {1, STAMPS, 4, 2}, {1, NOP10, 4, 2}, false},
    {1ull << PROTECT_strip_mptcp, TCP_SYN, {2, 4, 5, 180, STAMPS, 30, 4, 0, 1}, {2, 4, 5, 180, STAMPS, NOP4}, false},
    {1ull << PROTECT_strip_mptcp | 1ull << PROTECT_strip_timestamp, TCP_SYN, {STAMPS, 30, 4, 0, 1}, {NOP10, NOP4}, false},
    {1ull << PROTECT_strip_fast_open, TCP_SYN, {2, 4, 5, 180, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8}, {2, 4, 5, 180, NOP10}, true},
    {1ull << PROTECT_strip_fast_open, TCP_SYN, {34, 2, 2, 4, 5, 180}, {NOP2, 2, 4, 5, 180}, true},
    {1ull << PROTECT_strip_fast_open, TCP_SYN, {254, 4, 0xf9, 0x89, 2, 4, 5, 180}, {NOP4, 2, 4, 5, 180}, true},
    {1ull << PROTECT_strip_fast_open, TCP_SYN, {254, 4, 0xf9, 0x88}, {254, 4, 0xf9, 0x88}, false}, /* another experiment */
    {1ull << PROTECT_strip_fast_open, TCP_SYN, {254, 2, 0xf9, 0x89}, {254, 2, 0xf9, 0x89}, false},
    {1ull << PROTECT_strip_fast_open, TCP_SYN, {STAMPS, 30, 4, 0, 1}, {STAMPS, 30, 4, 0, 1}, false},
    {1ull << PROTECT_strip_timestamp, TCP_ACK, {NOP2, STAMPS}, {NOP2, STAMPS}, false}, /* agreed on before the profile */
    {1ull << PROTECT_strip_timestamp, TCP_SYN, {0, STAMPS}, {0, STAMPS}, false},       /* behind the end */
    {1ull << PROTECT_strip_timestamp, TCP_SYN, {2, 0, STAMPS}, {2, 0, STAMPS}, false}, /* nobody can read on */
    {1ull << PROTECT_strip_timestamp, TCP_SYN, {[18] = 8, [19] = 10}, {[18] = 8, [19] = 10}, false},
    {0, TCP_SYN, {STAMPS, 30, 4, 0, 1}, {STAMPS, 30, 4, 0, 1}, false},
};

static void options_become_nops(void)
{
    enum { OPTIONS = 20, DATA = 9 };
    static uint8_t bytes[BUILD_BYTES], wanted[BUILD_BYTES];
    for (unsigned i = 0; i < sizeof strip_rows / sizeof *strip_rows; i++)
        for (int variant = 0; variant < 8; variant++) {
            const struct strip_row *row = &strip_rows[i];
            uint8_t family = variant & 1 ? 6 : 4;
            bool of_server = variant & 2, unfinished = variant & 4; /* whose zone has the profile */
            uint32_t header = family == 4 ? 20 : 40, data = row->cut ? 0 : DATA;
            struct engine *e = protected_engine(row->checks);
            struct build b = opening;
            b.family = family, b.flags = row->flags, b.payload = OPTIONS + data;
            for (int after = 0; after < 2; after++) {
                uint8_t *packet = after ? wanted : bytes;
                b.payload = OPTIONS + (after ? data : DATA);
                uint32_t len = build_packet(packet, &b);
                memcpy(packet + header + 20, after ? row->after : row->before, OPTIONS);
                memset(packet + header + 40, 'x', len - header - 40);
                packet[header + 12] = 0xa0;
                build_l4_checksum(packet, len);
            }
            struct packet p;
            CHECK(packet_parse(bytes, header + 40 + DATA, LINK_IP, 0, &p) == 0);
            p.port = of_server ? OUT : IN;
            e->sessions[1].port[C2S] = IN, e->sessions[1].port[S2C] = OUT;
            bool changes = memcmp(row->before, row->after, OPTIONS);
            if (unfinished && changes)
                memset(bytes + header + 16, 0x55, 2);
            CHECK(checks_pass_segment(e, 1, of_server ? S2C : C2S, &p) == changes);
            CHECK(p.len == header + 40 + data && !memcmp(bytes, wanted, p.len));
            CHECK(e->counters[COUNTER_tcp_option_strip] == changes);
            for (enum protection which = PROTECT_strip_timestamp; which <= PROTECT_strip_mptcp; which++) {
                bool done = changes && row->checks >> which & 1;
                CHECK(counted(e, which) == done && e->counters[protection_info(which)->counter] == done);
            }
            engine_free(e);
        }
}

/* ---- ICMP errors ----------------------------------------------------------------------------------------------- */

static void errors_are_suppressed(void)
{
    for (enum protection which = PROTECT_suppress_time_exceeded; which <= PROTECT_suppress_need_frag; which++) {
        struct engine *e = protected_engine(bit(which));
        enum protection other = which == PROTECT_suppress_need_frag ? PROTECT_suppress_time_exceeded : PROTECT_suppress_need_frag;
        CHECK(checks_suppress(e, IN, which) && !checks_suppress(e, OUT, which) && !checks_suppress(e, IN, other));
        CHECK(counted(e, which) == 1 && e->counters[protection_info(which)->counter] == 1);
        engine_free(e);
    }
}

/* The kernel's own errors about what it could not forward. */
static void errors_of_the_kernel_are_suppressed_too(void)
{
    static const struct row {
        uint8_t family, type, code;
        enum protection which;
    } rows[] = {
        {4, 11, 0, PROTECT_suppress_time_exceeded}, {4, 3, 4, PROTECT_suppress_need_frag},
        {6, 3, 0, PROTECT_suppress_time_exceeded},  {6, 2, 0, PROTECT_suppress_need_frag},
        {4, 3, 1, PROTECTION_COUNT},                {6, 1, 0, PROTECTION_COUNT},
    };
    uint64_t both = bit(PROTECT_suppress_time_exceeded) | bit(PROTECT_suppress_need_frag);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int of_client = 0; of_client < 2; of_client++) {
            const struct row *row = &rows[i];
            struct engine *e = protected_engine(both);
            struct build b = {.src = 0x010007, .dst = 0x020007, .sport = 4000, .dport = 53, .family = row->family,
                              .proto = PROTO_UDP, .payload = 30};
            static uint8_t packet[BUILD_BYTES], error[BUILD_BYTES];
            CHECK(build_session(e, &b, of_client ? IN : OUT, of_client ? OUT : IN, ACTION_allow, 0) == 1);
            build_last_verdict(e);
            uint32_t len = build_packet(packet, &b), header = row->family == 4 ? 20 : 40;
            struct input in = {.data = error, .link = LINK_IP, .flags = INPUT_FROM_HOST};
            in.len = build_icmp_error(error, 0x0100fe, row->type, packet, len);
            error[header + 1] = row->code;
            build_l4_checksum(error, in.len);
            engine_input(e, &in, 1, false);
            struct verdict v = build_last_verdict(e);
            bool suppressed = of_client && row->which != PROTECTION_COUNT;
            CHECK(v.action == (suppressed ? VERDICT_CONSUMED : VERDICT_HOST));
            if (suppressed)
                CHECK(counted(e, row->which) == 1);
            engine_free(e);
        }
}

int main(void)
{
    every_trait_is_refused_where_the_profile_says_so();
    of_several_the_first_is_counted();
    threats_are_told_where_that_is_wanted();
    sources_are_looked_up();
    a_handshake_has_three_parts();
    bytes_are_what_they_were();
    a_segment_out_of_window_is_not_remembered();
    a_flow_ends_with_its_session();
    flows_without_room_are_counted();
    options_become_nops();
    errors_are_suppressed();
    errors_of_the_kernel_are_suppressed_too();
    return check_report();
}
