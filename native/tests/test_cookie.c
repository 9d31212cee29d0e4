/* SYN cookies where Python does not reach: checksums the kernel left unfinished, segments in one, options at odd places, and
 * how many guesses are taken for a cookie. */
#include "build.h"
#include "checksum.h"
#include "random.h"
#include "state.h"
#include "tcp_options.h"

#include "check.h"

enum { CLIENT = 1, SERVER = 2 };

static struct engine *guarded(void)
{
    static const struct port_config ports[] = {
        {0}, {.zone = 1, .ipv6 = true, .protection = 1}, {.zone = 2, .ipv6 = true}};
    static const struct zone_protection protection = {
        .zone = 1, .tcp_reject_non_syn = true,
        .flood[FLOOD_tcp_syn] = {.enabled = true, .syn_cookies = true, .alarm = 1 << 30, .maximal = 1 << 30}};
    struct engine *e = build_engine((struct engine_params){0});
    struct engine_config config = build_config();
    config.ports = ports;
    config.port_count = 3;
    config.protections = &protection;
    config.protection_count = 1;
    CHECK(engine_configure(e, &config) == 0);
    return e;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A segment of the connection with these options, a multiple of four bytes. */
static uint32_t write(uint8_t *out, bool from_client, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t payload,
                      const uint8_t *options, uint32_t options_len)
{
    struct build b = {.family = 6, .proto = PROTO_TCP, .src = from_client ? 1 : 2, .dst = from_client ? 2 : 1,
                      .sport = from_client ? 1000 : 80, .dport = from_client ? 80 : 1000, .flags = flags, .seq = seq,
                      .ack = ack, .payload = payload};
    uint32_t len = build_packet(out, &b);
    memmove(out + 60 + options_len, out + 60, payload);
    if (options_len)
        memcpy(out + 60, options, options_len);
    out[52] = (uint8_t)((20 + options_len) / 4 << 4);
    len += options_len;
    build_be16(out + 4, len - 40);
    build_l4_checksum(out, len);
    return len;
}

/* Feeds bytes, answers a handle with a session, and gives the packet's own verdict; *emitted the one before it. */
static struct verdict feed(struct engine *e, uint8_t *bytes, uint32_t len, uint16_t port, uint8_t flags, struct verdict *emitted)
{
    struct input in = {.data = bytes, .len = len, .port = port, .link = LINK_IP, .flags = flags, .now_ns = e->now_ns};
    struct undecided u;
    uint32_t count;
    engine_input(e, &in, 1, false);
    if (engine_undecided(e, &u, 1)) {
        struct session_spec spec = build_spec(&u.key, SERVER, ACTION_allow);
        engine_install(e, u.handle, &spec);
    }
    const struct verdict *all = engine_verdicts(e, &count);
    CHECK(count == 1 || count == 2);
    if (emitted)
        *emitted = all[0];
    return all[count - 1];
}

/* An open connection of a client with these options; what is added to the server's numbers. */
static uint32_t open_connection(struct engine *e, const uint8_t *options, uint32_t len)
{
    static uint8_t bytes[BUILD_BYTES];
    struct verdict emitted;
    CHECK(feed(e, bytes, write(bytes, true, TCP_SYN, 100, 0, 0, options, len), CLIENT, 0, &emitted).action == VERDICT_CONSUMED);
    uint32_t told = be32(emitted.data + 44);
    CHECK(feed(e, bytes, write(bytes, true, TCP_ACK, 101, told + 1, 0, NULL, 0), CLIENT, 0, NULL).action == VERDICT_FORWARD);
    CHECK(feed(e, bytes, write(bytes, false, TCP_SYN | TCP_ACK, 5000, 101, 0, options, len), SERVER, 0, &emitted).action ==
          VERDICT_FORWARD);
    CHECK(emitted.action == VERDICT_EMIT && emitted.port == SERVER);
    return told - 5000;
}

static bool is_right(const struct verdict *v)
{
    struct packet p;
    return v->action == VERDICT_FORWARD && v->changed && !packet_parse((uint8_t *)v->data, v->len, LINK_IP, 0, &p);
}

static const uint8_t sack_permitted[] = {2, 4, 5, 0xb4, 1, 1, 4, 2};

/* A SACK block at every place there is for one. */
static void options_at_odd_places(void)
{
    static uint8_t bytes[BUILD_BYTES];
    struct engine *e = guarded();
    uint32_t added = open_connection(e, sack_permitted, sizeof sack_permitted);
    for (uint32_t before = 0; before <= 30; before++) {
        uint8_t options[40];
        memset(options, TCP_OPTION_NOP, sizeof options);
        options[before] = TCP_OPTION_SACK;
        options[before + 1] = 10;
        build_be32(options + before + 2, 5011 + added);
        build_be32(options + before + 6, 5021 + added);
        uint32_t len = write(bytes, true, TCP_ACK, 101, 5001 + added, 0, options, sizeof options);
        struct verdict v = feed(e, bytes, len, CLIENT, 0, NULL);
        CHECK(is_right(&v));
        CHECK(be32(v.data + 62 + before) == 5011 && be32(v.data + 66 + before) == 5021 && be32(v.data + 48) == 5001);
    }
    engine_free(e);
}

/* What the kernel leaves to the network card, whole trains of segments included. */
static void unfinished_checksums(void)
{
    static uint8_t bytes[BUILD_BYTES];
    struct engine *e = guarded();
    uint32_t added = open_connection(e, sack_permitted, sizeof sack_permitted), at[2] = {101, 5001};
    for (uint32_t payload = 0; payload < 16000; payload = payload * 5 + 1)
        for (int from_client = 0; from_client <= 1; from_client++) {
            uint32_t seq = from_client ? at[0] : at[1], ack = from_client ? at[1] + added : at[0];
            uint32_t len = write(bytes, from_client, TCP_ACK, seq, ack, payload, NULL, 0);
            build_be16(bytes + 56, 0xbeef);
            struct verdict v = feed(e, bytes, len, from_client ? CLIENT : SERVER,
                                    INPUT_CHECKSUM_UNFINISHED | (payload > 1400 ? INPUT_GSO : 0), NULL);
            CHECK(is_right(&v) && v.len == len);
            CHECK(be32(v.data + 44) == (from_client ? at[0] : at[1] + added));
            CHECK(be32(v.data + 48) == (from_client ? at[1] : at[0]));
            at[!from_client] += payload;
        }
    engine_free(e);
}

/* A train of segments cannot become a SYN. */
static void segments_in_one_before_the_server_has_answered(void)
{
    static uint8_t bytes[BUILD_BYTES];
    struct engine *e = guarded();
    struct verdict emitted;
    feed(e, bytes, write(bytes, true, TCP_SYN, 100, 0, 0, NULL, 0), CLIENT, 0, &emitted);
    uint32_t told = be32(emitted.data + 44);
    feed(e, bytes, write(bytes, true, TCP_ACK, 101, told + 1, 0, NULL, 0), CLIENT, 0, NULL);
    uint32_t len = write(bytes, true, TCP_ACK, 101, told + 1, 3000, NULL, 0);
    CHECK(feed(e, bytes, len, CLIENT, INPUT_GSO, NULL).reason == COUNTER_flow_dos_syncookie_wait);
    struct verdict v = feed(e, bytes, len, CLIENT, 0, NULL);
    CHECK(is_right(&v) && v.len == 60 + 4 && v.data[53] == TCP_SYN);
    engine_free(e);
}

/* One in 2^22 may be right: of 2^18 none is, but for one series of numbers in sixteen. */
static void guesses(void)
{
    struct engine *e = guarded();
    struct random numbers = {.state = 0x1234567};
    uint32_t taken = 0;
    for (uint32_t i = 0; i < 1 << 18; i++) {
        uint8_t bytes[60];
        uint32_t len = write(bytes, true, TCP_ACK, (uint32_t)random_next(&numbers), (uint32_t)random_next(&numbers), 0, NULL, 0);
        struct packet p;
        CHECK(packet_parse(bytes, len, LINK_IP, 0, &p) == 0);
        p.port = CLIENT;
        fastpath_place(e, &p);
        taken += cookie_accept(e, &p);
    }
    CHECK(taken == 0);
    CHECK(engine_counters(e)[COUNTER_flow_dos_syncookie_ack_err] == 1 << 18);
    engine_free(e);
}

/* Without a buffer the SYN is dropped. */
static void no_buffer(void)
{
    static uint8_t bytes[64][60];
    struct engine *e = guarded();
    uint32_t answered = 0, full = 0, count;
    for (uint32_t i = 0; i < 64; i++) { /* nobody takes the verdicts meanwhile */
        struct input in = {.tag = i, .data = bytes[i], .port = CLIENT, .link = LINK_IP};
        in.len = write(bytes[i], true, TCP_SYN, 100 + i, 0, 0, NULL, 0);
        engine_input(e, &in, 1, false);
    }
    const struct verdict *all = engine_verdicts(e, &count);
    for (uint32_t i = 0; i < count; i++) {
        answered += all[i].action == VERDICT_CONSUMED;
        full += all[i].action == VERDICT_DROP && all[i].reason == COUNTER_flow_dos_syncookie_full;
    }
    CHECK(answered == 16 && full == 48);
    forget_verdicts(e);
    CHECK(e->held_count == 0);
    engine_free(e);
}

/* Every replacement at every place, against the sum over all. */
static void checksum_differences(void)
{
    struct random numbers = {.state = 99};
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[40], with[40];
        for (uint32_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)random_next(&numbers), with[j] = (uint8_t)random_next(&numbers);
        memset(bytes, 0, 2);
        uint16_t sum = checksum_finish(checksum_add(0, bytes, sizeof bytes));
        memcpy(bytes, &sum, 2);
        uint32_t at = 2 + random_below(&numbers, 38), len = 1 + random_below(&numbers, 40 - at);
        checksum_adjust(bytes, checksum_replace(bytes, at, with, len));
        CHECK(checksum_finish(checksum_add(0, bytes, sizeof bytes)) == 0 && !memcmp(bytes + at, with, len));
    }
}

int main(void)
{
    options_at_odd_places();
    unfinished_checksums();
    segments_in_one_before_the_server_has_answered();
    guesses();
    no_buffer();
    checksum_differences();
    return check_report();
}
