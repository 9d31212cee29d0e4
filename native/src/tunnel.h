/* tunnel.h - GRE, IPIP, 6in4 and VXLAN: packets out of packets, and into them. */
#ifndef SIXTUPLE_TUNNEL_H
#define SIXTUPLE_TUNNEL_H

#include "packet.h"

struct engine;
struct tunnels;

uint64_t tunnels_bytes(void);
/* Takes over a changed configuration. */
void tunnels_configure(struct engine *e);

/* Looks whether a parsed packet has arrived for one of the tunnels. 0 and *inner.len 0: it is none of theirs. 0 and an inner packet:
 * data, length, and the tunnel's port it has come in by. Else the drop reason. May be asked before the packet's turn, so it changes nothing. */
struct inner {
    uint8_t *data;
    uint32_t len;
    enum link_type link;
    uint16_t port;
};
uint32_t tunnel_find(const struct engine *e, const struct packet *p, struct inner *inner);
/* Something for the tunnel itself that is no IP packet, like ARP in VXLAN: true where it was dealt with. */
bool tunnel_takes(struct engine *e, const struct packet *outer, const struct inner *inner);

/* Sends the packet p, as it leaves by tunnel `port`, to the tunnel's peer: one packet of the engine's own, or, of a
 * segmentation offload packet, several. 0, or the drop reason. */
uint32_t tunnel_send(struct engine *e, const struct packet *p, uint16_t port);
/* Sends a packet that cannot go back in place of what was delivered (struct packet, reframed) by a port as packets of the
 * engine's own, marked with `mark`. 0, or the drop reason. */
uint32_t tunnel_emit(struct engine *e, const struct packet *p, uint16_t port, uint16_t mark, bool to_host);
/* A port of mode PORT_TUNNEL that has a tunnel behind it. */
bool tunnel_is_behind(const struct engine *e, uint16_t port);

#endif
