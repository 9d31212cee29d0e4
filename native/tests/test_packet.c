/* The parser's fields and promises; its drop reasons, row by row, are in tests/native/test_packet.py. */
#include "packet.h"

#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "promises.h"
#include "random.h"

static const struct build samples[] = {
    {.family = 4, .proto = PROTO_TCP, .src = 0x010203, .dst = 0x040506, .sport = 0x1122, .dport = 0x3344,
     .seq = 0x55667788, .ack = 0x99aabbcc, .flags = TCP_SYN, .payload = 5},
    {.family = 6, .proto = PROTO_TCP, .src = 0x010203, .dst = 0x040506, .sport = 0x1122, .dport = 0x3344,
     .seq = 0x55667788, .ack = 0x99aabbcc, .flags = TCP_ACK | TCP_PSH, .payload = 6},
    {.family = 4, .proto = PROTO_UDP, .src = 0x010203, .dst = 0x040506, .sport = 0x1122, .dport = 0x3344, .payload = 7},
    {.family = 6, .proto = PROTO_UDP, .src = 0x010203, .dst = 0x040506, .sport = 0x1122, .dport = 0x3344, .payload = 8},
    {.family = 4, .proto = PROTO_ICMP, .src = 0x010203, .dst = 0x040506, .sport = 0x1122, .dport = 0x3344,
     .icmp_type = 8, .payload = 9},
    {.family = 6, .proto = PROTO_ICMPV6, .src = 0x010203, .dst = 0x040506, .sport = 0x1122, .dport = 0x3344,
     .icmp_type = 128, .payload = 10},
    {.family = 4, .proto = 47, .src = 0x010203, .dst = 0x040506, .payload = 11},
    {.family = 6, .proto = 132, .src = 0x010203, .dst = 0x040506, .payload = 12},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static const uint32_t link_bytes[] = {
    [LINK_IP] = 0, [LINK_ETHERNET] = 14, [LINK_COOKED] = 16, [LINK_COOKED2] = 20, [LINK_NULL] = 4};

/* A frame around a sample, exactly as long as its allocation, so that one byte too far is seen. */
static uint8_t *frame(const struct build *b, enum link_type link, uint32_t *len)
{
    static uint8_t ip[BUILD_BYTES];
    uint32_t ip_len = build_packet(ip, b), skip = link_bytes[link], ethertype = b->family == 4 ? 0x0800 : 0x86dd;
    uint8_t *data = malloc(skip + ip_len);
    if (!data)
        abort();
    memset(data, 0xa5, skip);
    if (link == LINK_ETHERNET)
        build_be16(data + 12, ethertype);
    else if (link == LINK_COOKED)
        build_be16(data + 14, ethertype);
    else if (link == LINK_COOKED2)
        build_be16(data, ethertype);
    memcpy(data + skip, ip, ip_len);
    *len = skip + ip_len;
    return data;
}

static void fields(void)
{
    for (int i = 0; i < SAMPLES; i++)
        for (enum link_type link = LINK_IP; link <= LINK_NULL; link++) {
            const struct build *b = &samples[i];
            struct packet p;
            uint32_t len, header = b->family == 4 ? 20 : 40;
            uint8_t *data = frame(b, link, &len);
            memset(&p, 0xa5, sizeof p);
            if (!CHECK(packet_parse(data, len, link, false, &p) == 0)) {
                free(data);
                continue;
            }
            struct flow_key key = build_key(b, 0);
            CHECK(!memcmp(&p.key, &key, sizeof key));
            CHECK(promise_broken(&p, data, len) == NULL);
            CHECK(p.data == data + link_bytes[link] && p.len == len - link_bytes[link]);
            CHECK(p.l4_offset == header && p.payload_offset == p.len - b->payload);
            CHECK(p.ttl == (b->family == 4 ? 57 : 58) && p.dscp == 11);
            CHECK(p.tcp_flags == b->flags && p.tcp_seq == b->seq && p.tcp_ack == b->ack);
            CHECK(p.tcp_window == (b->proto == PROTO_TCP ? 0x4567 : 0));
            CHECK(p.icmp_type == b->icmp_type && (p.icmp_kind == ICMP_REQUEST) == !!b->icmp_type);
            free(data);
        }
}

static void every_truncation_is_refused(void)
{
    for (int i = 0; i < SAMPLES; i++)
        for (enum link_type link = LINK_IP; link <= LINK_NULL; link++) {
            uint32_t len;
            uint8_t *whole = frame(&samples[i], link, &len);
            for (uint32_t cut = 0; cut < len; cut++) {
                struct packet p;
                uint8_t *data = malloc(cut ? cut : 1);
                memcpy(data, whole, cut);
                CHECK(packet_parse(data, cut, link, false, &p) != 0);
                free(data);
            }
            free(whole);
        }
}

static void trailing_bytes_are_not_the_packet(void)
{
    for (int i = 0; i < SAMPLES; i++) {
        uint32_t len;
        uint8_t *whole = frame(&samples[i], LINK_ETHERNET, &len);
        uint8_t *padded = calloc(1, len + 9);
        struct packet p;
        memcpy(padded, whole, len);
        CHECK(packet_parse(padded, len + 9, LINK_ETHERNET, false, &p) == 0 && p.len == len - 14);
        free(padded);
        free(whole);
    }
}

/* Whatever a byte becomes: refused, or every promise kept. */
static void single_bytes_changed(void)
{
    for (int i = 0; i < SAMPLES; i++)
        for (int trusted = 0; trusted < 2; trusted++) {
            uint32_t len;
            uint8_t *data = frame(&samples[i], LINK_ETHERNET, &len);
            for (uint32_t at = 0; at < len; at++)
                for (unsigned value = 0; value < 256; value++) {
                    struct packet p;
                    uint8_t before = data[at];
                    data[at] = (uint8_t)value;
                    uint32_t reason = packet_parse(data, len, LINK_ETHERNET, trusted, &p);
                    if (reason)
                        CHECK(counter_info(reason) && counter_info(reason)->severity[0] == 'd');
                    else
                        CHECK(promise_broken(&p, data, len) == NULL);
                    data[at] = before;
                }
            free(data);
        }
}

static void many_bytes_changed(void)
{
    struct random r = {7};
    uint32_t parsed = 0;
    for (int round = 0; round < 200000; round++) {
        const struct build *b = &samples[random_below(&r, SAMPLES)];
        enum link_type link = random_below(&r, LINK_NULL + 1);
        uint32_t len, changes = random_below(&r, 4);
        uint8_t *data = frame(b, link, &len);
        while (changes--)
            data[random_below(&r, len)] = (uint8_t)random_next(&r);
        if (b->family == 4) { /* a right header checksum lets more of them in */
            uint8_t *ip = data + link_bytes[link];
            build_be16(ip + 10, 0);
            build_be16(ip + 10, ~build_sum(0, ip, 20) & 0xffff);
        }
        struct packet p;
        if (!packet_parse(data, len, link, true, &p)) {
            parsed++;
            CHECK(promise_broken(&p, data, len) == NULL);
        }
        free(data);
    }
    CHECK(parsed > 50000);
}

static void link_types_nobody_knows(void)
{
    uint32_t len;
    struct packet p;
    uint8_t *data = frame(&samples[0], LINK_IP, &len);
    for (unsigned link = LINK_NULL + 1; link < 256; link++)
        CHECK(packet_parse(data, len, link, false, &p) == COUNTER_flow_parse_l2_hdr);
    free(data);
}

/* The longest packet there is: its offsets and length do not wrap. */
static void longest_packet(void)
{
    struct build b = samples[3];
    b.payload = 65535 - 8;
    uint32_t len;
    struct packet p;
    uint8_t *data = frame(&b, LINK_IP, &len);
    CHECK(packet_parse(data, len, LINK_IP, false, &p) == 0 && p.len == 65575 && p.payload_offset == 48);
    free(data);
}

/* Whatever the checksum field held, the computed one is what a builder writes. */
static void checksums_are_finished(void)
{
    for (int i = 0; i < SAMPLES; i++)
        for (uint32_t payload = 0; payload < 40; payload++) {
            struct build b = samples[i];
            b.payload = payload;
            uint32_t len, header = b.family == 4 ? 20 : 40;
            uint8_t *data = frame(&b, LINK_IP, &len), *whole = frame(&b, LINK_IP, &len);
            bool has_one = b.proto != 47 && b.proto != 132;
            uint32_t at = header + (b.proto == PROTO_TCP ? 16 : b.proto == PROTO_UDP ? 6 : 2);
            if (has_one)
                build_be16(data + at, 0x1234);
            CHECK(packet_finish_checksum(data, len) == has_one && !memcmp(data, whole, len));
            CHECK(!packet_finish_checksum(data, len - 1)); /* one byte short is no packet */
            free(data);
            free(whole);
        }
}

/* RFC 768: a UDP packet without a checksum keeps none, and a computed zero is written as ones. */
static void checksums_of_udp(void)
{
    uint32_t len, zeros = 0;
    struct build b = samples[2];
    uint8_t *data = frame(&b, LINK_IP, &len);
    build_be16(data + 26, 0);
    CHECK(!packet_finish_checksum(data, len) && !data[26] && !data[27]);
    free(data);
    for (uint32_t port = 1; port < 65536; port++) {
        b.sport = (uint16_t)port;
        data = frame(&b, LINK_IP, &len);
        if (data[26] == 0xff && data[27] == 0xff) {
            zeros++;
            build_be16(data + 26, 1);
            CHECK(packet_finish_checksum(data, len) && data[26] == 0xff && data[27] == 0xff);
        }
        free(data);
    }
    CHECK(zeros == 1);
}

/* ---- fragments ----------------------------------------------------------------------------------- */

/* The sample UDP packet as one piece: `offset` and `more` as in the header, `bytes` of payload behind it, of IPv6
 * with so many destination options headers before the fragment header. */
static uint32_t build_piece(uint8_t *out, uint8_t family, uint32_t offset, bool more, uint32_t bytes, uint32_t options)
{
    struct build b = samples[family == 4 ? 2 : 3];
    uint32_t header = family == 4 ? 20 : 40, at = header;
    build_packet(out, &b);
    if (family == 4) {
        build_be16(out + 6, offset / 8 | (more ? 0x2000 : 0));
        build_be16(out + 2, header + bytes);
        build_be16(out + 10, 0);
        build_be16(out + 10, ~build_sum(0, out, 20) & 0xffff);
    } else {
        uint32_t next_at = 6;
        for (uint32_t i = 0; i < options; i++, at += 8) {
            out[next_at] = 60;
            memcpy(out + at, "\0\0\1\4\0\0\0\0", 8);
            next_at = at;
        }
        out[next_at] = 44;
        out[at] = PROTO_UDP, out[at + 1] = 0;
        build_be16(out + at + 2, offset | more);
        build_be32(out + at + 4, 0xa1b2c3d4);
        at += 8;
        build_be16(out + 4, at - header + bytes);
    }
    memset(out + at, 0x5a, bytes);
    return at + bytes;
}

static void fragments(void)
{
    static uint8_t bytes[BUILD_BYTES];
    static const struct {
        uint32_t offset, bytes;
        bool more;
    } rows[] = {{0, 8, true}, {8, 16, true}, {8, 1, false}, {65504, 8, false}, {32768, 1480, true}, {16, 7, false}};
    for (uint8_t family = 4; family <= 6; family += 2)
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
            for (uint32_t options = 0; options < (family == 6 ? 3 : 1); options++) {
                struct packet p;
                struct flow_key key = build_key(&samples[family == 4 ? 2 : 3], 0);
                uint32_t len = build_piece(bytes, family, rows[i].offset, rows[i].more, rows[i].bytes, options);
                memset(&p, 0xa5, sizeof p);
                if (!CHECK(packet_parse(bytes, len, LINK_IP, 0, &p) == 0))
                    continue;
                key.sport = key.dport = 0;
                CHECK(!memcmp(&p.key, &key, sizeof key) && promise_broken(&p, bytes, len) == NULL);
                CHECK(p.is_fragment && p.more_fragments == rows[i].more && p.fragment_offset == rows[i].offset);
                CHECK(p.len == len && p.l4_offset == len - rows[i].bytes && p.payload_offset == p.l4_offset);
                CHECK(p.fragment_id == (family == 4 ? 0x3344 : 0xa1b2c3d4) && p.dont_fragment == (family == 6));
                CHECK(p.fragment_header == (family == 6 ? 40 + 8 * options : 0));
                CHECK(p.fragment_next == (family == 4 ? 0 : options ? 32 + 8 * options : 6));
                CHECK(!packet_checksum_at(&p) && !packet_checksum_is_unfinished(&p));
            }
}

/* Whether a piece of a datagram of the greatest length may end there. */
static void overlong_fragments(void)
{
    static uint8_t bytes[BUILD_BYTES];
    struct packet p;
    for (uint32_t extra = 0; extra < 20; extra++) {
        uint32_t len = build_piece(bytes, 4, 65504, false, 1 + extra, 0); /* 65535 with the header */
        CHECK(packet_parse(bytes, len, LINK_IP, 0, &p) == (extra <= 10 ? 0 : COUNTER_flow_parse_ping_of_death));
        len = build_piece(bytes, 6, 65512, false, 1 + extra, 1); /* 65535 with the header before */
        CHECK(packet_parse(bytes, len, LINK_IP, 0, &p) == (extra <= 14 ? 0 : COUNTER_flow_parse_ping_of_death));
    }
}

/* DF forbids only what others do (RFC 791 2.3): a fragment may have it. */
static void fragment_that_must_not_be_fragmented(void)
{
    static uint8_t bytes[BUILD_BYTES];
    struct packet p;
    uint32_t len = build_piece(bytes, 4, 8, true, 8, 0);
    bytes[6] |= 0x40;
    build_be16(bytes + 10, 0);
    build_be16(bytes + 10, ~build_sum(0, bytes, 20) & 0xffff);
    CHECK(packet_parse(bytes, len, LINK_IP, 0, &p) == 0 && p.is_fragment && p.dont_fragment);
}

/* RFC 6946: a fragment header on a whole packet. */
static void atomic_fragment(void)
{
    static uint8_t bytes[BUILD_BYTES];
    uint32_t len = build_piece(bytes, 6, 0, false, 8, 1);
    struct packet p;
    build_be32(bytes + 56, 0x11223344);
    build_be16(bytes + 60, 8);
    CHECK(packet_parse(bytes, len, LINK_IP, PARSE_TRUSTED, &p) == 0 && !p.is_fragment && p.key.sport == 0x1122);
    CHECK(p.traits == (TRAIT(ip6_needless_fragment) | TRAIT(ip6_destination_options)) && promise_broken(&p, bytes, len) == NULL);
}

/* ---- 802.1Q ---------------------------------------------------------------------------------------- */

static uint32_t build_tagged(uint8_t *out, enum link_type link, uint32_t outer, uint32_t tag, uint32_t inner)
{
    uint32_t skip = link_bytes[link], len = build_packet(out + skip + 4, &samples[0]);
    memset(out, 0xa5, skip);
    build_be16(out + (link == LINK_COOKED2 ? 0 : skip - 2), outer);
    build_be16(out + skip, tag);
    build_be16(out + skip + 2, inner);
    return skip + 4 + len;
}

static void tags(void)
{
    static uint8_t out[BUILD_BYTES];
    for (enum link_type link = LINK_ETHERNET; link <= LINK_COOKED2; link++) {
        struct packet p;
        for (uint32_t tag = 0; tag < 65536; tag++) { /* priority and drop eligibility included */
            uint32_t len = build_tagged(out, link, 0x8100, tag, 0x0800), id = tag & 0xfff;
            uint32_t reason = packet_parse(out, len, link, 0, &p);
            CHECK(reason == (id == 0xfff ? COUNTER_flow_rcv_dot1q_tag_err : 0));
            CHECK(reason || (p.is_tagged == (id != 0) && p.tag == id && p.data == out + link_bytes[link] + 4));
        }
        uint32_t len = build_tagged(out, link, 0x8100, 7, 0x86dd);
        CHECK(packet_parse(out, len, link, 0, &p) == COUNTER_flow_parse_ip_version);
        for (uint32_t cut = link_bytes[link]; cut < link_bytes[link] + 4; cut++)
            CHECK(packet_parse(out, cut, link, 0, &p) == COUNTER_flow_parse_l2_hdr);
        static const uint32_t stacked[] = {0x8100, 0x88a8, 0x9100};
        for (int i = 0; i < 3; i++) {
            len = build_tagged(out, link, 0x8100, 7, stacked[i]);
            CHECK(packet_parse(out, len, link, 0, &p) == COUNTER_flow_rcv_dot1q_tag_err);
            len = build_tagged(out, link, stacked[i], 7, i ? 0x0800 : 0x8100);
            CHECK(packet_parse(out, len, link, 0, &p) == COUNTER_flow_rcv_dot1q_tag_err);
        }
        len = build_tagged(out, link, 0x8100, 7, 0x0806);
        CHECK(packet_parse(out, len, link, 0, &p) == COUNTER_flow_parse_ethertype);
    }
}

int main(void)
{
    fields();
    every_truncation_is_refused();
    trailing_bytes_are_not_the_packet();
    single_bytes_changed();
    many_bytes_changed();
    link_types_nobody_knows();
    longest_packet();
    checksums_are_finished();
    checksums_of_udp();
    fragments();
    overlong_fragments();
    fragment_that_must_not_be_fragmented();
    atomic_fragment();
    tags();
    return check_report();
}
