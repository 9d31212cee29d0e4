/* packet.h - a parsed packet; what packet.c promises the rest of the engine. */
#ifndef SIXTUPLE_PACKET_H
#define SIXTUPLE_PACKET_H

#include "engine.h"

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

enum {
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMPV6 = 58,
};

enum { LONGEST_PACKET = 40 + 65535 }; /* an IPv6 header and the most it may announce */

/* What an ICMP or ICMPv6 message is to a session firewall. */
enum icmp_kind {
    ICMP_NONE,      /* not ICMP */
    ICMP_REQUEST,   /* may open a session */
    ICMP_REPLY,     /* belongs to one */
    ICMP_ERROR,     /* speaks about one: `about` is its key */
    ICMP_DISCOVERY, /* neighbour or multicast listener discovery: for the host's own stack */
    ICMP_OTHER,
};

struct packet {
    uint8_t *data; /* the IP header */
    uint32_t len;  /* by the IP header, so without link-layer padding */
    uint32_t tcp_seq;
    struct flow_key key; /* zone still 0 */
    uint64_t hash;       /* of the key with its zone; set by fastpath_place */
    uint64_t traits;     /* bits of enum protection: what a profile may refuse about it */
    uint32_t tcp_ack;
    uint16_t l4_offset, payload_offset;
    uint16_t sum_src, sum_dst; /* where layer 4's checksum takes other addresses from than the IP header's; 0 */
    bool is_sum_unknown;       /* its destination is in a routing header that nothing is known of */
    uint16_t tcp_window;
    uint8_t ttl, dscp;
    uint8_t tcp_flags;
    uint8_t icmp_type, icmp_code, icmp_kind;
    bool dont_fragment; /* IPv6: always */
    /* A fragment: no layer 4, no ports; l4_offset is where its piece of the payload begins. */
    bool is_fragment, more_fragments;
    uint16_t fragment_offset; /* bytes */
    uint32_t fragment_id;
    uint16_t fragment_header; /* IPv6: where the fragment header is, and the field that announces it */
    uint16_t fragment_next;
    bool is_tagged;
    uint16_t tag;       /* 802.1Q VLAN identifier of its frame */
    /* set by the fastpath from what the edge says */
    bool unfinished;    /* the checksum is right as far as it goes */
    bool gso, is_broadcast;
    bool reassembled;   /* stands for fragments, which get its verdict */
    uint16_t more_packets; /* so many more packets, and bytes in them, than it is itself */
    uint32_t more_bytes;
    bool rebuilt;       /* data is not what the edge delivered: it goes back changed */
    bool reframed;      /* of another family than what the edge delivered: it cannot go back in its place */
    uint16_t port, egress;
    uint16_t tunnel;    /* place of the one it has come by, plus 1; 0: none */
    uint8_t outer_ecn;  /* ECN field of what it was in */
    uint8_t mac[6];
    /* set on its way to a session */
    uint16_t dos_rule;  /* that protects it: place of its figures, plus 1; 0: none */
    uint32_t cookie;    /* of a SYN cookie that came back: what it says (cookie.h); 0: none */
    uint32_t cookie_timestamp;
    /* ICMP_ERROR: key of the flow against which the quoted packet went, and that packet's layer 4 */
    struct flow_key about;
    uint16_t quoted_l4_offset;
};

enum parse_how {
    PARSE_TRUSTED = 1,  /* layer 4's checksum needs no check */
    PARSE_OWN = 2,      /* the machine's own packet: it may speak to itself */
};

/* Parses the packet of `link` type at data (`how`: of enum parse_how). 0, or the drop reason; `out` is valid only after 0. Every
 * offset in it lies within len, and the whole layer 4 header is there, but of a fragment.
 * Order and reasons: packet flow sequence, section 2.1. */
uint32_t packet_parse(uint8_t *data, uint32_t len, enum link_type link, uint32_t how, struct packet *out);

/* Finds the source address of a frame and judges nothing; false where there is no address to be found. */
bool packet_source(uint8_t *data, uint32_t len, enum link_type link, uint8_t out[16]);

/* Whether the checksum of a packet that parsed is what a host leaves to its network card: the sum of the pseudo
 * header alone. */
bool packet_checksum_is_unfinished(const struct packet *p);

/* The offset of the checksum in the layer 4 header of a packet with one that counts; 0 where there is none: not TCP, UDP
 * or ICMP, a UDP packet that goes without, a fragment, or one with a routing header that nothing is known of. */
uint32_t packet_checksum_at(const struct packet *p);

/* Computes the layer 4 checksum anew, over addresses and data as they are now. */
void packet_complete_checksum(const struct packet *p);

/* Computes the layer 4 checksum of the IP packet at data in full: what a packet needs that is sent back changed
 * after the kernel left its checksum unfinished. False where there is none to compute: not TCP, UDP or ICMP,
 * a UDP packet that goes without, or nothing that parses. */
bool packet_finish_checksum(uint8_t *data, uint32_t len);

#endif
