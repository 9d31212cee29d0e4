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
    return check_report();
}
