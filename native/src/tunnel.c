/* tunnel.c - packets out of packets, and into them. */
#include "state.h"

struct tunnels {
    uint32_t count;
};

uint64_t tunnels_bytes(void)
{
    return sizeof(struct tunnels);
}

void tunnels_configure(struct engine *e)
{
    (void)e;
}

uint32_t tunnel_find(const struct engine *e, const struct packet *p, struct inner *inner)
{
    (void)e, (void)p;
    inner->len = 0;
    return 0;
}

bool tunnel_takes(struct engine *e, const struct packet *outer, const struct inner *inner)
{
    (void)e, (void)outer, (void)inner;
    return false;
}

uint32_t tunnel_send(struct engine *e, const struct packet *p, uint16_t port)
{
    (void)e, (void)p, (void)port;
    return COUNTER_flow_tunnel_no_encap;
}

uint32_t tunnel_emit(struct engine *e, const struct packet *p, uint16_t port, uint16_t mark, bool to_host)
{
    (void)e, (void)p, (void)port, (void)mark, (void)to_host;
    return COUNTER_flow_tunnel_encap_err;
}

bool tunnel_is_behind(const struct engine *e, uint16_t port)
{
    (void)e, (void)port;
    return false;
}
