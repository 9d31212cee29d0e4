/* The Internet checksum against the sum of 16-bit words as RFC 1071 defines it (build.h). */
#include "checksum.h"

#include "build.h"
#include "check.h"
#include "random.h"

static uint16_t reference(uint32_t sum, const uint8_t *data, uint32_t len)
{
    uint8_t bytes[2];
    uint16_t result;
    build_be16(bytes, ~build_sum(sum, data, len) & 0xffff);
    memcpy(&result, bytes, 2);
    return result;
}

static void all_lengths_at_all_alignments(void)
{
    uint8_t data[80];
    struct random r = {1};
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_next(&r);
    for (uint32_t at = 0; at < 4; at++)
        for (uint32_t len = 0; len <= 70; len++)
            CHECK(checksum_finish(checksum_add(0, data + at, len)) == reference(0, data + at, len));
}

static void carries(void)
{
    static uint8_t ones[65535], zeros[64];
    memset(ones, 0xff, sizeof ones);
    CHECK(checksum_finish(checksum_add(0, ones, sizeof ones)) == reference(0, ones, sizeof ones));
    CHECK(checksum_finish(checksum_add(0, ones, 65534)) == 0);
    CHECK(checksum_finish(checksum_add(0, zeros, sizeof zeros)) == 0xffff);
}

static void pieces_add_up(void)
{
    uint8_t data[64];
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37);
    for (uint32_t cut = 0; cut <= sizeof data; cut += 2)
        CHECK(checksum_finish(checksum_add(checksum_add(0, data, cut), data + cut, sizeof data - cut)) ==
              reference(0, data, sizeof data));
}

static void pseudo_headers(void)
{
    static uint8_t bytes[BUILD_BYTES];
    static const struct build rows[] = {
        {.family = 4, .proto = PROTO_TCP, .src = 0x010203, .dst = 0x040506, .sport = 1, .dport = 2, .payload = 7},
        {.family = 4, .proto = PROTO_UDP, .src = 0xfffefd, .dst = 0xfcfbfa, .sport = 3, .dport = 4, .payload = 0},
        {.family = 6, .proto = PROTO_TCP, .src = 0x010203, .dst = 0x040506, .sport = 5, .dport = 6, .payload = 65515},
        {.family = 6, .proto = PROTO_UDP, .src = 7, .dst = 8, .sport = 7, .dport = 8, .payload = 1},
        {.family = 6, .proto = PROTO_ICMPV6, .src = 9, .dst = 10, .icmp_type = 128, .payload = 3},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t len = build_packet(bytes, &rows[i]), header = rows[i].family == 4 ? 20 : 40;
        uint32_t at = rows[i].family == 4 ? 12 : 8, size = rows[i].family == 4 ? 4 : 16;
        uint64_t sum = checksum_add_pseudo(0, rows[i].family, bytes + at, bytes + at + size, rows[i].proto, len - header);
        CHECK(checksum_finish(checksum_add(sum, bytes + header, len - header)) == 0);
    }
}

int main(void)
{
    all_lengths_at_all_alignments();
    carries();
    pieces_add_up();
    pseudo_headers();
    return check_report();
}
