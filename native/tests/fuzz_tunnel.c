/*
 * Fuzz target: tunnels. The first byte chooses tunnel and flags, the second what becomes of the inner packet, the rest is what is
 * in the outer packet. Whatever it is, it is dropped with a reason, or what leaves is a right packet that fits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "packet.h"
#include "tunnel.h"

enum { INSIDE = 1, OUTSIDE, FIRST_TUNNEL, TUNNELS = 6, PORTS = FIRST_TUNNEL + TUNNELS, MTU = 1280, VXLAN_PORT = 4789 };
enum { OWN = 0x010101, PEER = 0x020202 };
enum { IS_GSO = 16, IS_UNFINISHED = 32, MENDS = 64 }; /* of the first byte: right checksums get the rest of a packet looked at */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct {
    uint8_t type, family;
} kinds[TUNNELS] = {{TUNNEL_GRE, 4}, {TUNNEL_IPIP, 4}, {TUNNEL_VXLAN, 4}, {TUNNEL_GRE, 6}, {TUNNEL_IPIP, 6}, {TUNNEL_VXLAN, 6}};

static struct engine *new_engine(void)
{
    static const struct engine_params params = {.max_sessions = 16, .max_undecided = 4, .max_held = 256, .max_fragments = 16,
                                                .max_events = 16, .answer_timeout_ms = 1000};
    struct port_config ports[PORTS] = {{0}};
    struct tunnel_config tunnels[TUNNELS] = {{0}};
    uint8_t local[2 * 16];
    struct engine_config config = build_config();
    struct engine *e = engine_new(&params);
    if (!e)
        abort();
    for (uint16_t port = INSIDE; port < PORTS; port++) {
        ports[port] = (struct port_config){.zone = port, .ipv6 = true, .mtu = MTU,
                                           .mode = port < FIRST_TUNNEL ? PORT_LAYER3 : PORT_TUNNEL};
        build_key_address(ports[port].address[0], 4, OWN);
        build_key_address(ports[port].address[1], 6, OWN);
    }
    for (uint16_t i = 0; i < TUNNELS; i++) {
        tunnels[i] = (struct tunnel_config){.port = FIRST_TUNNEL + i, .outer_port = OUTSIDE, .type = kinds[i].type, .ttl = 64,
                                            .copy_tos = i & 1, .udp_port = VXLAN_PORT, .vni = 7, .mac = {2, [5] = 1}};
        build_key_address(tunnels[i].local, kinds[i].family, OWN);
        build_key_address(tunnels[i].peer, kinds[i].family, PEER);
    }
    build_key_address(local, 4, OWN);
    build_key_address(local + 16, 6, OWN);
    config.port_count = PORTS;
    config.ports = ports;
    config.tunnel_count = TUNNELS;
    config.tunnels = tunnels;
    config.local_count = 2;
    config.local = local;
    if (engine_configure(e, &config))
        abort();
    return e;
}

static void mend(uint8_t *ip, uint32_t len)
{
    uint32_t header = len ? (ip[0] & 15) * 4u : 0;
    if (len && ip[0] >> 4 == 4 && header >= 20 && header <= len) {
        build_be16(ip + 10, 0);
        build_be16(ip + 10, ~build_sum(0, ip, header) & 0xffff);
    }
    packet_finish_checksum(ip, len);
}

/* Puts the payload behind an outer header; the length of all. */
static uint32_t build_outer(uint8_t *out, const uint8_t *payload, uint32_t size, uint32_t kind, bool mends)
{
    static const uint8_t protocols[] = {[TUNNEL_GRE] = 47, [TUNNEL_IPIP] = 4, [TUNNEL_VXLAN] = PROTO_UDP};
    uint8_t type = kinds[kind].type, family = kinds[kind].family;
    struct build b = {.src = PEER, .dst = OWN, .sport = 50000, .dport = VXLAN_PORT, .family = family, .proto = protocols[type],
                      .payload = size};
    if (type == TUNNEL_IPIP && size && payload[0] >> 4 == 6)
        b.proto = 41;
    uint32_t len = build_packet(out, &b), header = len - size, skip = type == TUNNEL_GRE ? 4 : type == TUNNEL_VXLAN ? 22 : 0;
    memcpy(out + header, payload, size);
    if (mends && size > skip)
        mend(out + header + skip, size - skip);
    if (type == TUNNEL_VXLAN)
        build_l4_checksum(out, len);
    return len;
}

static void answer(struct engine *e, uint8_t choice)
{
    struct undecided u;
    while (engine_undecided(e, &u, 1)) {
        uint16_t egress = (uint16_t)(INSIDE + choice % (PORTS - 1));
        struct session_spec spec = build_spec(&u.key, egress, ACTION_allow);
        spec.flags |= choice & 128 ? SESSION_HOST : 0;
        engine_install(e, u.handle, &spec);
    }
}

static void check_verdicts(struct engine *e)
{
    uint32_t count;
    const struct verdict *verdicts = engine_verdicts(e, &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct verdict *v = &verdicts[i];
        struct packet p;
        if (v->action == VERDICT_DROP) {
            if (!counter_info(v->reason) || strcmp(counter_info(v->reason)->severity, "drop"))
                abort();
            continue;
        }
        if (v->action == VERDICT_EMIT && (v->port >= FIRST_TUNNEL || v->len > MTU))
            abort();
        if (v->action == VERDICT_FORWARD && v->port >= FIRST_TUNNEL)
            abort();
        if (v->action == VERDICT_CONSUMED || !v->changed)
            continue;
        uint8_t *data = malloc(v->len);
        if (!data)
            abort();
        memcpy(data, v->data, v->len);
        uint32_t reason = packet_parse(data, v->len, LINK_IP, PARSE_OWN, &p);
        if (reason || p.len != v->len) {
            fprintf(stderr, "what leaves would be refused: %s\n", reason ? counter_info(reason)->name : "length");
            abort();
        }
        free(data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t whole[BUILD_BYTES + 64];
    if (size < 2 || size > 20000)
        return 0;
    uint32_t kind = (bytes[0] & 15) % TUNNELS;
    uint32_t len = build_outer(whole, bytes + 2, (uint32_t)size - 2, kind, bytes[0] & MENDS);
    uint8_t flags = (uint8_t)((bytes[0] & IS_GSO ? INPUT_GSO : 0) | (bytes[0] & IS_UNFINISHED ? INPUT_CHECKSUM_UNFINISHED : 0));
    struct engine *e = new_engine();
    for (int round = 0; round < 2; round++) { /* the second one finds a session */
        uint8_t *data = malloc(len); /* as long as it says: one byte too far is seen */
        if (!data)
            abort();
        memcpy(data, whole, len);
        struct input in = {.tag = 1, .data = data, .len = len, .port = OUTSIDE, .link = LINK_IP, .flags = flags};
        engine_input(e, &in, 1, false);
        answer(e, bytes[1]);
        check_verdicts(e);
        free(data);
    }
    engine_free(e);
    return 0;
}
