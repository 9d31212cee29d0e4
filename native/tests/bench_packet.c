/*
 * bench_packet.c - the parser by itself: packets from memory in, nothing out.
 *
 *     bench_packet                      one JSON object
 *
 * As many packets of IPv4 as of IPv6 and of TCP as of UDP, seven of 64 bytes, four of 576 and one of 1,500 in a dozen,
 * in an order nobody could have predicted; together they are larger than a core's own caches. Measured with layer 4's
 * checksum trusted, as a kernel delivers packets, and verified, as they come from a capture or a tunnel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "build.h"
#include "packet.h"
#include "random.h"

enum {
    PACKETS = 8192,
    SLOT_BYTES = 1536,
    MEASURED_PACKETS = 8000000,
    BURST = 32, /* as the engine parses them */
    ROUNDS = 5, /* the best of them counts: whatever else the machine does only takes away */
};

static struct {
    uint8_t *data;
    uint32_t len;
} packets[PACKETS];

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes a packet, on average. */
static double build_all(void)
{
    static const uint32_t sizes[12] = {64, 64, 64, 64, 64, 64, 64, 576, 576, 576, 576, 1500};
    uint8_t *memory = malloc((size_t)PACKETS * SLOT_BYTES);
    struct random r = {7};
    double bytes = 0;
    if (!memory)
        abort();
    for (uint32_t i = 0; i < PACKETS; i++) {
        bool is_v6 = random_below(&r, 2), is_tcp = random_below(&r, 2);
        struct build b = {.family = is_v6 ? 6 : 4, .proto = is_tcp ? PROTO_TCP : PROTO_UDP, .src = 1 + random_below(&r, 1 << 20),
                          .dst = 0xffff00, .sport = (uint16_t)(1024 + random_below(&r, 60000)), .dport = 443,
                          .flags = is_tcp ? TCP_ACK | TCP_PSH : 0};
        b.payload = sizes[random_below(&r, 12)] - (is_v6 ? 40 : 20) - (is_tcp ? 20 : 8);
        packets[i].data = memory + (size_t)i * SLOT_BYTES;
        packets[i].len = build_packet(packets[i].data, &b);
        bytes += packets[i].len;
    }
    return bytes / PACKETS;
}

/* Millions of packets a second. */
static double measure(uint32_t how)
{
    static struct packet parsed[BURST];
    double best_s = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double began = seconds();
        for (uint32_t i = 0; i < MEASURED_PACKETS; i++) {
            uint32_t at = i % PACKETS;
            if (packet_parse(packets[at].data, packets[at].len, LINK_IP, how, &parsed[i % BURST]))
                abort();
        }
        double took_s = seconds() - began;
        best_s = took_s < best_s ? took_s : best_s;
    }
    return MEASURED_PACKETS / best_s / 1e6;
}

int main(void)
{
    double bytes = build_all(), trusted = measure(PARSE_TRUSTED), verified = measure(0);
    printf("{\"bytes\": %.0f, \"trusted_mpps\": %.1f, \"verified_mpps\": %.1f}\n", bytes, trusted,
           verified);
    return 0;
}
