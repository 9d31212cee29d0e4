/* ip_options.h - what the options of IPv4 and the extension headers of IPv6 say, as bits of enum protection. */
#ifndef SIXTUPLE_IP_OPTIONS_H
#define SIXTUPLE_IP_OPTIONS_H

#include "engine.h"

#define TRAIT(name) (1ull << PROTECT_##name)

/* Of the options behind the fixed header of an IPv4 packet. */
uint64_t ipv4_option_traits(const uint8_t *options, uint32_t len);

/* Where in the options the address is that a source route leads to, which hosts compute layer 4's checksum for;
 * 0: there is none, or the packet is there already. */
uint32_t ipv4_final_address(const uint8_t *options, uint32_t len);

/* Of a hop-by-hop or destination options header, whole and at least 8 bytes long. */
uint64_t ipv6_option_traits(const uint8_t *header, uint32_t len, bool is_hop_by_hop);

/* Whether a hop-by-hop header has a jumbo payload option (RFC 2675). */
bool ipv6_has_jumbo_option(const uint8_t *header, uint32_t len);

/* Of a routing header, whole and at least 8 bytes long. */
uint64_t ipv6_routing_traits(const uint8_t *header);

/* Where in a destination options header the home address is that stands for the packet's source (RFC 6275 6.3); 0: none. */
uint32_t ipv6_home_address(const uint8_t *header, uint32_t len);

/* Where in a routing header the address is that the packet is for in the end; 0: it is there already. `is_known` becomes
 * false where that is said in a way of which nothing is known here. */
uint32_t ipv6_final_address(const uint8_t *header, uint32_t len, bool *is_known);

#endif
