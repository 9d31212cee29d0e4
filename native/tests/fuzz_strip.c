/*
 * Fuzz target: a SYN with any options, data and profile. Whatever is taken out, the segment is a right one afterwards, has
 * none of what is not to pass as far as its options can be read, and nothing else in it has changed.
 *
 *     0 checks: timestamps, fast open, MPTCP   1 family, SYN-ACK, unfinished   2 bytes of options, in words   3.. options, data
 */
#include <stdio.h>

#include "build.h"
#include "require.h"
#include "state.h"
#include "tcp_options.h"

enum { HEADER = 3, LARGEST_DATA = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct engine *protected_engine(uint64_t checks)
{
    static const struct port_config ports[] = {{0}, {.zone = 1, .protection = 1}, {.zone = 2}};
    struct engine *e = build_engine((struct engine_params){0});
    struct zone_protection protection = {.zone = 1, .checks = checks};
    struct engine_config config = build_config();
    config.port_count = 3;
    config.ports = ports;
    config.protection_count = 1;
    config.protections = &protection;
    require(engine_configure(e, &config) == 0);
    e->sessions[1].port[C2S] = 1, e->sessions[1].port[S2C] = 2;
    return e;
}

static bool is_unwanted(const uint8_t *option, uint64_t checks)
{
    bool is_experiment = option[0] == 254 && option[1] >= 4 && option[2] == 0xf9 && option[3] == 0x89;
    return (option[0] == 8 && checks >> PROTECT_strip_timestamp & 1) || (option[0] == 30 && checks >> PROTECT_strip_mptcp & 1) ||
           ((option[0] == 34 || is_experiment) && checks >> PROTECT_strip_fast_open & 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t before[BUILD_BYTES], after[BUILD_BYTES];
    if (size < HEADER)
        return 0;
    uint64_t checks = (uint64_t)(bytes[0] & 7) << PROTECT_strip_timestamp;
    uint32_t options = bytes[2] % 11 * 4u, given = (uint32_t)size - HEADER;
    uint32_t data = given > options ? given - options : 0;
    data = data < LARGEST_DATA ? data : LARGEST_DATA;
    struct build b = {.src = 1, .dst = 2, .sport = 3, .dport = 4, .proto = PROTO_TCP, .family = bytes[1] & 1 ? 6 : 4,
                      .flags = bytes[1] & 2 ? TCP_SYN | TCP_ACK : TCP_SYN, .payload = options + data};
    uint32_t len = build_packet(before, &b), header = b.family == 4 ? 20 : 40;
    uint8_t *tcp = before + header;
    memset(tcp + 20, 0, options);
    memcpy(tcp + 20, bytes + HEADER, given < options + data ? given : options + data);
    tcp[12] = (uint8_t)((20 + options) << 2);
    build_l4_checksum(before, len);
    memcpy(after, before, len);
    struct packet p;
    require(packet_parse(after, len, LINK_IP, 0, &p) == 0);
    p.port = 1;
    p.unfinished = bytes[1] & 4;
    struct engine *e = protected_engine(checks);
    bool changed = checks_pass_segment(e, 1, C2S, &p);
    require(changed || (p.len == len && !memcmp(before, after, len)));
    require(packet_parse(after, p.len, LINK_IP, 0, &p) == 0 && p.payload_offset == header + 20 + options);
    require(p.len == len || (p.len == header + 20 + options && checks >> PROTECT_strip_fast_open & 1));
    require(!memcmp(before + p.payload_offset, after + p.payload_offset, p.len - p.payload_offset));
    for (uint32_t i = header + 20; i < header + 20 + options; i++)
        require(after[i] == before[i] || after[i] == TCP_OPTION_NOP);
    struct tcp_options walk = tcp_options_of(&p);
    for (uint8_t *option; (option = tcp_option_next(&walk));)
        require(!is_unwanted(option, checks));
    p.port = 1;
    require(!checks_pass_segment(e, 1, C2S, &p));
    engine_free(e);
    return 0;
}
