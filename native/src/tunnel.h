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
 * data, length, and the tunnel's port it has come in by; or, with is_frame, a frame of VXLAN with something else than IP.
 * Else the drop reason. May be asked before the packet's turn, so it changes nothing. */
struct inner {
    uint8_t *data;
    uint32_t len;
    enum link_type link;
    uint16_t port, tunnel; /* struct packet, tunnel and outer_ecn */
    uint8_t ecn;
    bool is_frame;
};
uint32_t tunnel_find(const struct engine *e, const struct packet *p, struct inner *inner);
/* An inner packet has its turn: what the tunnel learns from it, and what it takes over from the outer one. 0, or the drop
 * reason. */
uint32_t tunnel_arrived(struct engine *e, const struct packet *p);
/* A frame (data, len, tunnel) for the tunnel itself, which is no IP packet, like ARP in VXLAN: true where it was dealt with. */
bool tunnel_takes(struct engine *e, const struct packet *p);
/* The same for neighbour discovery in it. */
bool tunnel_discovers(struct engine *e, const struct packet *p);

/* Sends the packet p, as it leaves by tunnel `port`, to the tunnel's peer: one packet of the engine's own, or, of a
 * segmentation offload packet, several. 0, or the drop reason. */
uint32_t tunnel_send(struct engine *e, const struct packet *p, uint16_t port, uint16_t mark);
/* Sends a packet that cannot go back in place of what was delivered (struct packet, reframed) by a port as packets of the
 * engine's own, with `mark` beside the host's. 0, or the drop reason. */
uint32_t tunnel_emit(struct engine *e, const struct packet *p, uint16_t port, uint16_t mark, bool to_host);
/* A port of mode PORT_TUNNEL that has a tunnel behind it. */
bool tunnel_is_behind(const struct engine *e, uint16_t port);
/* Makes the IP packet in a buffer of HELD_BYTES, which leaves by tunnel port *port, one for the tunnel's peer, which leaves by
 * *port. False where that cannot be. */
bool tunnel_wrap(struct engine *e, uint8_t *data, uint32_t *len, uint16_t *port);
/* A packet leaves as so many of the engine's own, at most. */
enum { MOST_PIECES = 128 };

#endif
