/*
 * engine.h - the only description of the C interface; the C sources and cffi read this same file.
 *
 * The engine parses packets, finds their session, keeps the session's state and timers and answers
 * with a verdict. What it cannot decide - the first packet of a session - it hands out once, parsed,
 * behind a handle; the answer to the handle installs a session or refuses the packet.
 *
 *     engine_input(burst) ----> verdicts                        known sessions, malformed packets
 *            |
 *            +--> engine_undecided() --> slowpath --> engine_install() or engine_refuse()
 *                                                            |
 *                                                            +----> verdicts
 *     engine_tick(now)    ----> events (session ended), verdicts (handles that were not answered)
 *
 * Nothing here reads a clock, opens a socket, draws randomness or keeps global state: the time is an
 * argument, the hash key is a parameter, and any number of engines live side by side. Any thread may call
 * any engine; calls on one engine take turns. Times are nanoseconds from any beginning, 230 years of them at most.
 *
 * Words: a *flow* is one direction with one key; a *session* is the two flows of a conversation,
 * c2s (as the first packet went) and s2c. A *port* is a logical ingress interface, numbered by the
 * caller; a *zone* likewise, 0 meaning none. `_be` values do not leave packet.c: everything here is
 * in host order except addresses, which are bytes as on the wire (IPv4 in the last four, the first
 * twelve as in an IPv4-mapped address).
 */
#ifndef SIXTUPLE_ENGINE_H
#define SIXTUPLE_ENGINE_H

#ifndef CDEF
#include <stdbool.h>
#include <stdint.h>
#endif

/* ---- global counters and drop reasons ------------------------------------------------------------
 * X(number, name, severity, category, aspect, text). Every drop reason is a counter of severity
 * `drop`; a verdict's reason is that number. Numbers are never reused and never renumbered.
 * Vendor names where one is known (fact sheet 4.15). */
#define COUNTER_LIST(X)                                                                                    \
    X(1, pkt_recv, info, packet, pktproc, "Packets received")                                              \
    X(2, pkt_sent, info, packet, pktproc, "Packets transmitted")                                           \
    X(3, session_allocated, info, session, resource, "Sessions allocated")                                 \
    X(4, session_installed, info, session, resource, "Sessions installed")                                 \
    X(5, session_freed, info, session, resource, "Sessions freed")                                         \
    X(6, session_discard, info, session, resource, "Sessions set to discard by policy")                    \
    X(7, flow_tcp_non_syn, info, flow, session, "Non-SYN TCP packets without session match")               \
    X(8, flow_undecided, info, flow, session, "Packets handed to the slowpath")                            \
    X(9, flow_parked, info, flow, session, "Packets parked behind an undecided packet")                    \
    X(10, flow_host_pass, info, flow, session, "Neighbour and listener discovery passed to the host")           \
    X(11, flow_action_close, info, flow, pktproc, "TCP sessions closed via injecting RST")                 \
    X(12, flow_icmp_err_pass, info, flow, session, "ICMP errors passed with the session they speak about") \
    X(13, log_event_lost, warn, log, resource, "Events lost: event ring full")                             \
    X(14, flow_emit_fail, warn, flow, resource, "Packets not generated: no buffer, or no way into a tunnel") \
    X(15, nfq_malformed, warn, packet, pktproc, "Queue messages that made no sense")                       \
    X(16, nfq_refused, warn, packet, pktproc, "Verdicts the kernel did not take")                          \
    X(17, nfq_cut, warn, packet, pktproc, "Packets too long for the queue")                                \
    X(18, nfq_send_fail, error, packet, resource, "Verdicts that could not be sent")                       \
    X(19, nfq_emit_fail, warn, packet, forward, "Generated packets the kernel did not route")              \
    X(20, session_discard_full, warn, session, resource, "Denied packets without a session: table nearly full") \
    X(21, log_traffic_lost, warn, log, resource, "Traffic log entries lost: they could not be written")    \
    X(22, session_offloaded, info, session, offload, "Sessions moved to the offload engine")               \
    X(23, session_pulled_back, info, session, offload, "Sessions taken back from the offload engine")      \
    X(24, session_offload_full, warn, session, offload, "Sessions kept in software: offload table full")   \
    X(25, pkt_offloaded, info, packet, offload, "Packets forwarded by the offload engine")                 \
    X(26, offload_report, info, session, offload, "Offload reports, each refreshing its session")          \
    X(27, tcp_rst_unverified, info, tcp, pktproc, "RST segments in window with unexpected sequence number") \
    X(28, tcp_out_of_wnd_pass, info, tcp, pktproc, "Segments out of window passed: asymmetric-path bypass") \
    X(29, session_aging_accelerated, info, session, resource, "Times accelerated aging began")             \
    X(30, flow_l4_cksm_unfinished, info, flow, parse, "Packets captured before their checksum was computed") \
    X(32, flow_no_interface, drop, flow, parse, "Packets dropped: invalid interface")                      \
    X(33, flow_rcv_dot1q_tag_err, drop, flow, parse, "Packets dropped: 802.1q tag not configured")         \
    X(34, flow_parse_l2_hdr, drop, flow, parse, "Packets dropped: link-layer header truncated")            \
    X(35, flow_parse_ethertype, drop, flow, parse, "Packets dropped: not IP")                              \
    X(36, flow_parse_ip_version, drop, flow, parse, "Packets dropped: Ethernet type and IP version differ") \
    X(37, flow_parse_ip_hdr, drop, flow, parse, "Packets dropped: IP header truncated or malformed")       \
    X(38, flow_parse_ip_len, drop, flow, parse, "Packets dropped: IP packet truncated")                    \
    X(39, flow_parse_ip_cksm, drop, flow, parse, "Packets dropped: IP checksum failure")                   \
    X(40, flow_parse_ip_proto, drop, flow, parse, "Packets dropped: IP protocol zero")                     \
    X(41, flow_parse_ip_ttl, drop, flow, parse, "Packets dropped: IP TTL is zero on arrival")              \
    X(42, flow_parse_land, drop, flow, parse, "Packets dropped: land attack")                              \
    X(43, flow_parse_martian, drop, flow, parse, "Packets dropped: martian address")                       \
    X(44, flow_parse_ping_of_death, drop, flow, parse, "Packets dropped: ping of death")                   \
    X(45, flow_parse_ip6_jumbo, drop, flow, parse, "Packets dropped: IPv6 jumbogram")                      \
    X(46, flow_parse_ip6_ext_hdr, drop, flow, parse, "Packets dropped: IPv6 extension header truncated")   \
    X(47, flow_parse_l4_hdr, drop, flow, parse, "Packets dropped: ICMP header truncated")               \
    X(48, flow_parse_l4_cksm, drop, flow, parse, "Packets dropped: layer 4 checksum failure")              \
    X(49, flow_parse_tcp_offset, drop, flow, parse, "Packets dropped: TCP data offset invalid")            \
    X(50, flow_parse_tcp_port, drop, flow, parse, "Packets dropped: TCP port zero")                        \
    X(51, flow_parse_tcp_flags, drop, flow, parse, "Packets dropped: invalid TCP flag combination")        \
    X(52, tcp_flag_zero, drop, tcp, pktproc, "Packets dropped: TCP without flags")                         \
    X(53, flow_parse_udp_len, drop, flow, parse, "Packets dropped: UDP payload truncated")                 \
    X(54, flow_ipfrag_drop, drop, flow, ipfrag, "Packets dropped: IP fragment malformed") \
    X(55, flow_ipv6_disabled, drop, flow, parse, "Packets dropped: IPv6 disabled on interface")            \
    X(56, flow_tcp_non_syn_drop, drop, flow, session, "Packets dropped: non-SYN TCP without session match") \
    X(57, flow_icmp_no_session, drop, flow, session, "Packets dropped: ICMP reply or error without session match") \
    X(58, flow_discard_drop, drop, flow, session, "Packets dropped: session in discard state")             \
    X(59, flow_undecided_full, drop, flow, resource, "Packets dropped: too many undecided packets")        \
    X(60, flow_parked_full, drop, flow, resource, "Packets dropped: too many packets parked behind one")   \
    X(61, flow_undecided_timeout, drop, flow, resource, "Packets dropped: slowpath did not answer in time") \
    X(62, session_alloc_fail, drop, session, resource, "Packets dropped: session table full")              \
    X(63, session_install_error, drop, session, session, "Packets dropped: session with the same flow exists") \
    X(64, flow_fwd_l3_noroute, drop, flow, forward, "Packets dropped: no route")                           \
    X(65, flow_fwd_l3_mcast_drop, drop, flow, forward, "Packets dropped: no route for IP multicast")       \
    X(66, flow_fwd_l3_bcast_drop, drop, flow, forward, "Packets dropped: unhandled IP broadcast")          \
    X(67, flow_policy_nofwd, drop, flow, session, "Session setup: no destination zone from forwarding")    \
    X(68, flow_policy_deny, drop, flow, session, "Session setup: denied by policy")                        \
    X(69, flow_host_service_deny, drop, flow, session, "Device management session denied")                 \
    X(70, flow_slowpath_error, drop, flow, resource, "Packets dropped: the slowpath failed on them")      \
    X(71, nfq_queue_full, drop, packet, resource, "Packets dropped by the kernel: queue full")             \
    X(72, nfq_socket_full, drop, packet, resource, "Packets dropped by the kernel: queue socket full")    \
    X(73, flow_own_source, drop, flow, session, "Packets dropped: source is an address of the firewall") \
    X(74, tcp_drop_out_of_wnd, drop, tcp, pktproc, "Packets dropped: TCP segment out of window")           \
    X(75, tcp_drop_challenge_ack, drop, tcp, pktproc, "Packets dropped: challenge ACK to a SYN")           \
    X(76, flow_fwd_zonechange, drop, flow, forward, "Packets dropped: forwarded to different zone")        \
    X(77, session_vsys_limit, drop, session, resource, "Packets dropped: session maximum of the virtual system") \
    X(78, nat_port_alloc_fail, drop, nat, resource, "Packets dropped: no translated address or port is left") \
    X(79, flow_policy_nat_land, drop, nat, session, "Session setup: translated source and destination are the same") \
    X(80, flow_fwd_l3_noroute_nat, drop, nat, forward, "Packets dropped: no route to the translated address") \
    X(81, flow_fwd_l3_ttl_zero, drop, flow, forward, "Packets dropped: IP TTL reaches zero")               \
    X(82, ip_df_drop, drop, flow, forward, "Packets dropped: exceeded MTU and must not be fragmented")     \
    X(83, flow_tap_drop, drop, flow, forward, "Packets dropped: inspected on a tap interface")             \
    X(84, flow_tunnel_no_encap, drop, flow, forward, "Packets dropped: no tunnel behind the interface")    \
    X(85, nat_dynamic_port_xlat, info, nat, resource, "Translated ports taken")                            \
    X(86, nat_dynamic_port_release, info, nat, resource, "Translated ports given back")                    \
    X(87, flow_fwd_mtu_exceeded, info, flow, forward, "Packets longer than the MTU of their egress")       \
    X(88, flow_fwd_bridge_pass, info, flow, forward, "Packets forwarded between bridged interfaces without inspection") \
    X(89, flow_icmp_err_sent, info, flow, forward, "ICMP errors sent")                                     \
    X(90, flow_icmp_err_limited, warn, flow, resource, "ICMP errors not sent: rate limit")                 \
    X(91, flow_icmp_err_host, info, flow, forward, "ICMP errors of the kernel brought to the original sender") \
    X(92, flow_host_session_pass, info, flow, session, "Packets of sessions with the firewall itself")     \
    X(93, tcp_mss_adjusted, info, tcp, pktproc, "SYN segments whose MSS was lowered")                      \
    X(94, session_rematch_deny, info, session, session, "Sessions denied by a changed policy") \
    X(95, flow_ipfrag_recv, info, flow, ipfrag, "IP fragments received") \
    X(96, flow_ipfrag_reass, info, flow, ipfrag, "IP datagrams reassembled") \
    X(97, flow_ipfrag_teardrop, drop, flow, ipfrag, "Packets dropped: overlapping IP fragments (teardrop)") \
    X(98, flow_ipfrag_timeout, drop, flow, ipfrag, "Packets dropped: IP fragments still incomplete at timeout") \
    X(99, flow_ipfrag_limit, drop, flow, ipfrag, "Packets dropped: limit of buffered IP fragments") \
    X(100, flow_ipfrag_tiny, drop, flow, ipfrag, "Packets dropped: first IP fragment without the whole layer 4 header") \
    X(101, flow_ipfrag_duplicate, drop, flow, ipfrag, "Packets dropped: IP fragment received twice") \
    X(102, flow_tunnel_decap, info, flow, tunnel, "Packets decapsulated") \
    X(103, flow_tunnel_encap, info, flow, tunnel, "Packets encapsulated") \
    X(104, flow_tunnel_decap_err, drop, flow, tunnel, "Packets dropped: tunnel header malformed") \
    X(105, flow_tunnel_nest, drop, flow, tunnel, "Packets dropped: too many tunnels within each other") \
    X(106, flow_tunnel_encap_err, drop, flow, tunnel, "Packets dropped: cannot be encapsulated") \
    X(107, flow_dos_red_tcp, drop, flow, dos, "Packets dropped: TCP SYN flood protection") \
    X(108, flow_dos_red_udp, drop, flow, dos, "Packets dropped: UDP flood protection") \
    X(109, flow_dos_red_icmp, drop, flow, dos, "Packets dropped: ICMP flood protection") \
    X(110, flow_dos_red_icmp6, drop, flow, dos, "Packets dropped: ICMPv6 flood protection") \
    X(111, flow_dos_red_ip, drop, flow, dos, "Packets dropped: flood protection of other IP protocols") \
    X(112, flow_dos_syncookie_sent, info, flow, dos, "SYN cookies sent") \
    X(113, flow_dos_syncookie_ack_rcv, info, flow, dos, "SYN cookies that came back right") \
    X(114, flow_dos_syncookie_ack_err, info, flow, dos, "ACK segments that are no SYN cookie") \
    X(115, flow_dos_syncookie_wait, drop, flow, dos, "Packets dropped: the server has not answered yet (SYN cookies)") \
    X(116, flow_dos_syncookie_full, drop, flow, dos, "Packets dropped: no buffer for a SYN cookie") \
    X(117, flow_scan_drop, drop, flow, dos, "Packets dropped: reconnaissance protection") \
    X(118, flow_dos_rule_deny, drop, flow, dos, "Packets dropped: denied by a DoS protection rule") \
    X(119, flow_dos_rule_drop_aggr, drop, flow, dos, "Packets dropped: aggregate rate of a DoS protection rule") \
    X(120, flow_dos_rule_drop_classified, drop, flow, dos, "Packets dropped: classified rate of a DoS protection rule") \
    X(121, flow_dos_ag_max_sess_limit, drop, flow, dos, "Packets dropped: aggregate session limit of a DoS protection rule") \
    X(122, flow_dos_cl_max_sess_limit, drop, flow, dos, "Packets dropped: classified session limit of a DoS protection rule") \
    X(123, flow_dos_drop_ip_blocked, drop, flow, dos, "Packets dropped: source address is in the block table") \
    X(124, flow_dos_block_full, warn, flow, dos, "Addresses not blocked for their full time: block table full") \
    X(125, flow_dos_track_full, warn, flow, dos, "Hosts no longer tracked: table of scans or classified rates full") \
    X(126, pkt_buf_protect_red, drop, packet, resource, "Packets dropped: packet buffer protection, random early drop") \
    X(127, pkt_buf_protect_discard, drop, packet, resource, "Packets dropped: packet buffer protection, source discarded") \
    X(128, pkt_buf_protect_block_ip, info, packet, resource, "Addresses blocked by packet buffer protection") \
    X(129, log_threat_lost, warn, log, resource, "Threat log entries lost") \
    X(130, tcp_option_strip, info, tcp, pktproc, "TCP segments with options removed") \
    X(131, tcp_overlap_untracked, warn, tcp, resource, "TCP segments not compared for overlaps: no buffer") \
    X(132, flow_parse_tcp_hdr, drop, flow, parse, "Packets dropped: TCP header truncated") \
    X(133, flow_parse_udp_hdr, drop, flow, parse, "Packets dropped: UDP header truncated") \
    X(134, flow_parse_ip6_ext_order, drop, flow, parse, "Packets dropped: IPv6 extension headers too many or out of place") \
    X(135, flow_parse_ip6_mcast_source, drop, flow, parse, "Packets dropped: IPv6 source is a multicast address") \
    X(136, flow_dos_syncookie_probe, info, flow, dos, "Clients probed: their server has not answered yet (SYN cookies)") \
    X(140, flow_dos_pf_ipspoof, drop, flow, dos, "Packets dropped: zone protection option 'discard-ip-spoof'") \
    X(141, flow_dos_pf_strictip, drop, flow, dos, "Packets dropped: zone protection option 'strict-ip-check'") \
    X(142, flow_dos_pf_ipfrag, drop, flow, dos, "Packets dropped: zone protection option 'discard-ip-frag'") \
    X(143, flow_dos_pf_strictsource, drop, flow, dos, "Packets dropped: zone protection option 'discard-strict-source-routing'") \
    X(144, flow_dos_pf_loosesource, drop, flow, dos, "Packets dropped: zone protection option 'discard-loose-source-routing'") \
    X(145, flow_dos_pf_timestamp, drop, flow, dos, "Packets dropped: zone protection option 'discard-timestamp'") \
    X(146, flow_dos_pf_recordroute, drop, flow, dos, "Packets dropped: zone protection option 'discard-record-route'") \
    X(147, flow_dos_pf_security, drop, flow, dos, "Packets dropped: zone protection option 'discard-security'") \
    X(148, flow_dos_pf_streamid, drop, flow, dos, "Packets dropped: zone protection option 'discard-stream-id'") \
    X(149, flow_dos_pf_unknownoption, drop, flow, dos, "Packets dropped: zone protection option 'discard-unknown-option'") \
    X(150, flow_dos_pf_badoption, drop, flow, dos, "Packets dropped: zone protection option 'discard-malformed-option'") \
    X(151, flow_dos_pf_tcpoverlappingmismatch, drop, flow, dos, "Packets dropped: zone protection option 'discard-overlapping-tcp-segment-mismatch'") \
    X(152, flow_dos_pf_tcpsplithandshake, drop, flow, dos, "Packets dropped: zone protection option 'discard-tcp-split-handshake'") \
    X(153, flow_dos_pf_tcpsyndata, drop, flow, dos, "Packets dropped: zone protection option 'discard-tcp-syn-with-data'") \
    X(154, flow_dos_pf_tcpsynackdata, drop, flow, dos, "Packets dropped: zone protection option 'discard-tcp-synack-with-data'") \
    X(155, flow_dos_pf_ping0, drop, flow, dos, "Packets dropped: zone protection option 'discard-icmp-ping-zero-id'") \
    X(156, flow_dos_pf_icmpfrag, drop, flow, dos, "Packets dropped: zone protection option 'discard-icmp-frag'") \
    X(157, flow_dos_pf_icmplpkt, drop, flow, dos, "Packets dropped: zone protection option 'discard-icmp-large-packet'") \
    X(158, flow_dos_pf_icmperr, drop, flow, dos, "Packets dropped: zone protection option 'discard-icmp-error'") \
    X(159, flow_dos_pf_noreplyttl, info, flow, dos, "Zone protection option 'suppress-icmp-timeexceeded' applied") \
    X(160, flow_dos_pf_noreplyneedfrag, info, flow, dos, "Zone protection option 'suppress-icmp-needfrag' applied") \
    X(161, flow_dos_pf_striptimestamp, info, flow, dos, "Zone protection option 'remove-tcp-timestamp' applied") \
    X(162, flow_dos_pf_striptfo, info, flow, dos, "Zone protection option 'strip-tcp-fast-open-and-data' applied") \
    X(163, flow_dos_pf_stripmptcp, info, flow, dos, "Zone protection option 'strip-mptcp-option' applied") \
    X(164, flow_dos_pf_ip6rh0, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-0'") \
    X(165, flow_dos_pf_ip6rh1, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-1'") \
    X(166, flow_dos_pf_ip6rh3, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-3'") \
    X(167, flow_dos_pf_ip6rh4, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-4-252'") \
    X(168, flow_dos_pf_ip6rh253, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-253'") \
    X(169, flow_dos_pf_ip6rh254, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-254'") \
    X(170, flow_dos_pf_ip6rh255, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 routing-header-255'") \
    X(171, flow_dos_pf_ip6v4compat, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 ipv4-compatible-address'") \
    X(172, flow_dos_pf_ip6anycast, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 anycast-source'") \
    X(173, flow_dos_pf_ip6needlessfrag, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 needless-fragment-hdr'") \
    X(174, flow_dos_pf_ip6mcastsource, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 multicast-source'") \
    X(175, flow_dos_pf_ip6reserved, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 reserved-field-set-discard'") \
    X(176, flow_dos_pf_ip6badoption, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 options-invalid-ipv6-discard'") \
    X(177, flow_dos_pf_ip6smallmtu, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 icmpv6-too-big-small-mtu-discard'") \
    X(178, flow_dos_pf_ip6hopbyhop, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 filter-ext-hdr hop-by-hop-hdr'") \
    X(179, flow_dos_pf_ip6routing, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 filter-ext-hdr routing-hdr'") \
    X(180, flow_dos_pf_ip6destopt, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 filter-ext-hdr dest-option-hdr'") \
    X(181, flow_dos_pf_ip6unreach, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 ignore-inv-pkt dest-unreach'") \
    X(182, flow_dos_pf_ip6toobig, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 ignore-inv-pkt pkt-too-big'") \
    X(183, flow_dos_pf_ip6timeexceeded, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 ignore-inv-pkt time-exceeded'") \
    X(184, flow_dos_pf_ip6paramproblem, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 ignore-inv-pkt param-problem'") \
    X(185, flow_dos_pf_ip6redirect, drop, flow, dos, "Packets dropped: zone protection option 'ipv6 ignore-inv-pkt redirect'")

#define COUNTER_ENUM(number, name, severity, category, aspect, text) COUNTER_##name = number,
enum counter { COUNTER_LIST(COUNTER_ENUM) COUNTER_LIMIT = 256 };

struct counter_info {
    uint32_t number;
    const char *name, *severity, *category, *aspect, *text;
};
/* NULL where the number names no counter. */
const struct counter_info *counter_info(uint32_t number);

/* ---- timers --------------------------------------------------------------------------------------
 * X(name, knob, default s, min s, max s, text): the session timers an administrator sets with
 * `set deviceconfig setting session <knob> <seconds>` (fact sheet 2.1). Default 0: not in force unless set.
 * scan and captive_portal are shown only: nothing here trickles or has a portal. */
#define TIMER_LIST(X)                                                                                      \
    X(default, "timeout-default", 30, 1, 15999999, "other IP protocols")                                   \
    X(icmp, "timeout-icmp", 6, 1, 15999999, "ICMP")                                                        \
    X(udp, "timeout-udp", 30, 1, 15999999, "UDP")                                                          \
    X(tcp, "timeout-tcp", 3600, 1, 15999999, "established TCP")                                            \
    X(tcp_init, "timeout-tcpinit", 5, 1, 60, "TCP before SYN-ACK received")                                \
    X(tcp_handshake, "timeout-tcphandshake", 10, 1, 60, "TCP before 3-way handshaking")                    \
    X(tcp_half_closed, "timeout-tcp-half-closed", 120, 1, 604800, "TCP after the first FIN")               \
    X(tcp_time_wait, "timeout-tcp-time-wait", 15, 1, 600, "TCP after the second FIN or a RST")             \
    X(discard_default, "timeout-discard-default", 60, 1, 15999999, "other IP protocols in discard state")  \
    X(discard_tcp, "timeout-discard-tcp", 90, 1, 15999999, "TCP in discard state")                         \
    X(discard_udp, "timeout-discard-udp", 60, 1, 15999999, "UDP in discard state")                         \
    X(tcp_unverified_rst, "timeout-tcp-unverified-rst", 30, 1, 600, "TCP after a RST that cannot be verified") \
    X(tcpwait, "timeout-tcpwait", 0, 1, 600, "TCP after any FIN or RST, instead of the two timers above")  \
    X(scan, "timeout-scan", 10, 5, 30, "idle limit of an application that trickles")                       \
    X(captive_portal, "timeout-captive-portal", 30, 1, 15999999, "authentication portal")

#define TIMER_ENUM(name, knob, default_s, min_s, max_s, text) TIMER_##name,
enum timer { TIMER_LIST(TIMER_ENUM) TIMER_COUNT };

struct timer_info {
    const char *name, *knob, *text;
    uint32_t default_s, min_s, max_s;
};
/* NULL where there is no such timer. */
const struct timer_info *timer_info(uint32_t timer);

/* ---- flows and sessions ------------------------------------------------------------------------ */

/* Hashed and compared as 40 bytes, so there is no padding. Ports stand in for other things where the
 * protocol has none (fact sheet 1.2): an ICMP echo request has identifier and sequence number, its
 * reply the two swapped; protocols without layer 4 have 0. */
struct flow_key {
    uint8_t src[16], dst[16];
    uint16_t sport, dport;
    uint16_t zone;   /* of the ingress port */
    uint8_t proto;   /* IP protocol of layer 4 */
    uint8_t family;  /* 4 or 6 */
};

enum direction { C2S, S2C };

/* As the vendor prints them (fact sheet 1.5). INIT is a free slot. */
#define SESSION_STATE_LIST(X) X(INIT) X(OPENING) X(ACTIVE) X(DISCARD) X(CLOSING) X(CLOSED) X(FREE)
#define SESSION_STATE_ENUM(name) SESSION_##name,
enum session_state { SESSION_STATE_LIST(SESSION_STATE_ENUM) SESSION_STATE_COUNT };

/* TCP connection tracking within an ACTIVE session; NONE for every other protocol. */
#define TCP_STATE_LIST(X)                                                                             \
    X(NONE) X(INIT) X(HANDSHAKE) X(ESTABLISHED) X(HALF_CLOSED_C2S) X(HALF_CLOSED_S2C) X(TIME_WAIT)    \
    X(UNVERIFIED_RST_C2S) X(UNVERIFIED_RST_S2C)
#define TCP_STATE_ENUM(name) TCP_STATE_##name,
enum tcp_state { TCP_STATE_LIST(TCP_STATE_ENUM) TCP_STATE_COUNT };

/* X(name, log text, tracker stage text), highest priority first (fact sheet 6). `unknown` is also
 * what a live session has. */
#define END_REASON_LIST(X)                                       \
    X(threat, "threat", "mitigation tdb")                        \
    X(policy_deny, "policy-deny", "appid policy lookup deny")    \
    X(decrypt_cert_validation, "decrypt-cert-validation", "")    \
    X(decrypt_unsupport_param, "decrypt-unsupport-param", "")    \
    X(decrypt_error, "decrypt-error", "")                        \
    X(tcp_rst_from_client, "tcp-rst-from-client", "TCP RST - client") \
    X(tcp_rst_from_server, "tcp-rst-from-server", "TCP RST - server") \
    X(resources_unavailable, "resources-unavailable", "resource limit") \
    X(tcp_fin, "tcp-fin", "TCP FIN")                             \
    X(tcp_reuse, "tcp-reuse", "tcp reuse")                       \
    X(decoder, "decoder", "")                                    \
    X(aged_out, "aged-out", "Aged out")                          \
    X(unknown, "unknown", "")
#define END_REASON_ENUM(name, text, tracker) END_REASON_##name,
enum end_reason { END_REASON_LIST(END_REASON_ENUM) END_REASON_COUNT };

/* X(name, text as in configuration and log). */
#define ACTION_LIST(X)              \
    X(allow, "allow")               \
    X(deny, "deny")                 \
    X(drop, "drop")                 \
    X(reset_client, "reset-client") \
    X(reset_server, "reset-server") \
    X(reset_both, "reset-both")
#define ACTION_ENUM(name, text) ACTION_##name,
enum action { ACTION_LIST(ACTION_ENUM) ACTION_COUNT };

/* Names of the four lists above by number; NULL past the end. */
const char *session_state_name(uint32_t state);
const char *tcp_state_name(uint32_t state);
const char *end_reason_name(uint32_t reason);
const char *end_reason_tracker(uint32_t reason);
const char *action_name(uint32_t action);

enum session_flag {
    SESSION_LOG_START = 1, /* an event when it is installed */
    SESSION_LOG_END = 2,   /* the end is to be logged (the event comes in any case) */
    SESSION_SEEN_DATA = 4, /* set by the engine: a packet had a payload */
    SESSION_UNKEPT = 8,    /* if it denies: drop the packet, leave no session */
    SESSION_SERVICE_TIMEOUT = 16, /* its timeouts come from a service (for display) */
    SESSION_OFFLOADED = 32, /* set by the engine: it has been in the offload engine */
    SESSION_HOST = 64,      /* with the firewall itself: its answers do not come by here */
    SESSION_FIXED_C2S = 128, /* c2s packets keep port and path whatever the routes say (policy-based forwarding) */
    SESSION_FIXED_S2C = 256, /* likewise s2c packets (symmetric return) */
    SESSION_ICMP_UNREACHABLE = 512, /* if it denies: tell the sender */
    SESSION_SOURCE_NAT = 1024, SESSION_DESTINATION_NAT = 2048, /* set by the engine from the keys */
    SESSION_SYN_COOKIE = 16384, /* set by the engine: it began with a SYN cookie, and sequence numbers are translated */
};

/* Timers of a session's own, of its application or service; 0: the configured one of its protocol. */
struct session_timeouts {
    uint32_t established_s; /* TCP once established; every other protocol throughout */
    uint32_t half_closed_s, time_wait_s;
    uint32_t discard_s;
};

/* A session as the outside sees it: in events, in listings, in the answer to "show session id". */
struct session_view {
    uint32_t id;
    uint8_t state, tcp_state, end_reason, action;
    struct flow_key key[2];         /* s2c as the server's answer arrives: post-NAT */
    uint64_t packets[2], bytes[2];
    int64_t start_ns;
    int64_t last_ns;                /* of the last packet */
    int64_t end_ns;                 /* when it expires, or ended */
    uint32_t timeout_s;             /* the timer in force */
    uint32_t rule, application;     /* the caller's numbers */
    /* what decides whether it lives: the longest time between two packets, and the longest the timer had run when
     * it was started again, or when a packet came that did not (milliseconds, rounded down) */
    uint32_t longest_gap_ms, longest_wait_ms;
    uint16_t port[2];               /* ingress of c2s, ingress of s2c */
    uint16_t unreported[2];         /* packets the offload engine has counted since its last report */
    uint16_t flags;
    bool in_ager, offloaded;
    uint32_t nat_rule, pbf_rule, qos_rule; /* the caller's numbers */
    uint8_t qos_class;              /* 0: none was given */
    uint8_t path[2];                /* of c2s packets, of s2c packets */
};

/* ---- packets in, verdicts out ------------------------------------------------------------------ */

enum link_type { LINK_IP, LINK_ETHERNET, LINK_COOKED, LINK_COOKED2, LINK_NULL };

enum input_flag {
    INPUT_CHECKSUM_TRUSTED = 1,    /* whoever delivered it verified layer 4 */
    INPUT_CHECKSUM_UNFINISHED = 2, /* layer 4's checksum is still to be computed by the last hop of this machine */
    INPUT_CUT = 4,                 /* a capture kept only its start; the parser refuses it by what is missing */
    INPUT_CHECKSUM_MAYBE_UNFINISHED = 8, /* captured where it was sent: an unfinished checksum is not a wrong one */
    INPUT_GSO = 16,                /* several segments in one; how long each is, only the kernel knows */
    INPUT_BROADCAST = 64,          /* its frame is for every host of the link */
    INPUT_FROM_HOST = 32,          /* the machine's own: an ICMP error about a packet that was forwarded, or, with an egress,
                                    * what leaves by a tunnel */
};

struct input {
    uint64_t tag;   /* the edge's name for the packet; comes back in its verdict */
    uint8_t *data;  /* valid until the verdict, or until engine_input returns if it is held */
    uint32_t len;
    uint16_t port;
    uint8_t link;   /* enum link_type of data[0] */
    uint8_t flags;
    int64_t now_ns; /* not before the previous packet's; an earlier time counts as that one */
    uint16_t egress; /* of bridged ports: by which the bridge sends it; else 0 */
    uint8_t mac[6];  /* Ethernet address of its sender; zeros where it is not known */
};

enum verdict_action {
    VERDICT_FORWARD, /* on its way; data is what to send if `changed` */
    VERDICT_DROP,    /* reason says why */
    VERDICT_HOST,    /* for the machine itself */
    VERDICT_CONSUMED, /* goes no further: the engine has answered it, or sent it on itself */
    VERDICT_EMIT,    /* a packet of the engine's own, an IP packet in data; no tag. With a `mac` it goes there as a frame */
};

struct verdict {
    uint64_t tag;
    const uint8_t *data; /* valid until the next but one engine_verdicts */
    uint32_t len;
    uint32_t session;    /* 0 where none */
    uint16_t reason;     /* COUNTER_... for VERDICT_DROP, else 0 */
    uint16_t port;       /* egress port of VERDICT_FORWARD and VERDICT_EMIT, else 0 */
    uint32_t mark;       /* for the kernel to check: the egress port's, or that of packets for the host; with class and path */
    uint8_t action;
    bool changed;        /* data differs from what came in; every checksum in it is complete */
    uint8_t mac[6];      /* of VERDICT_EMIT by a bridged port; else zeros */
    bool is_pinned;      /* VERDICT_EMIT leaves by its port, whatever the routes say */
    /* Of a VERDICT_EMIT, and of the VERDICT_CONSUMED behind it on the packet it answers: an edge may leave the first out
     * and send its data on, with the mark of the second, in that packet's place. */
    bool is_answer;
};

/* What the slowpath is told of the first packet of a session. */
struct undecided {
    uint32_t handle;
    uint32_t len;        /* of the IP packet */
    int64_t now_ns;
    struct flow_key key;
    uint16_t port;
    uint8_t ttl, dscp;
    uint8_t tcp_flags;
    uint8_t icmp_type, icmp_code;
    uint16_t egress;     /* of bridged ports: by which the bridge sends it */
    uint8_t mac[6];
};

/* The complete description of a session to install. Packets are translated where s2c is not c2s the other way round. */
struct session_spec {
    struct flow_key s2c;        /* the key the server's packets will have: post-NAT, egress zone */
    uint32_t rule, application; /* the caller's numbers, given back in every view */
    uint16_t egress_port;
    uint16_t flags;             /* enum session_flag */
    uint8_t action;             /* enum action; anything but allow makes a DISCARD session, of c2s alone */
    uint8_t qos_class;          /* 0..15, for the mark of its packets; 0: none */
    uint8_t path[2];            /* of c2s packets, of s2c packets: for the lowest byte of the mark; 0: by the routes */
    uint8_t dscp[2];            /* what c2s and s2c packets are marked with, plus 1; 0: they keep theirs */
    /* Where not 0, s2c.dport is chosen by the engine: a port (or an ICMP identifier) of address s2c.dst that no more
     * than so many sessions have, all with different servers. nat_port_alloc_fail where there is none. */
    uint8_t oversubscription;
    uint32_t nat_rule, pbf_rule, qos_rule; /* the caller's numbers, 0: none */
    uint16_t lease_pool;        /* the session uses the lease its source has in this pool; 0: none */
    uint16_t nat_target;        /* counted there as long as it lives (engine_nat_target); 0: nowhere */
    struct session_timeouts timeouts;
};

/* A packet as the parser reads it, for people. */
struct packet_info {
    struct flow_key key; /* zone 0 */
    uint32_t len, payload; /* bytes of the IP packet, and of it behind layer 4's header */
    uint32_t tcp_seq, tcp_ack;
    uint16_t tcp_window;
    uint8_t ttl, dscp;
    uint8_t tcp_flags;
    uint8_t icmp_type, icmp_code;
    bool is_fragment, more_fragments; /* of a fragment layer 4 is not looked at: all of it is payload */
    uint16_t fragment_offset;
    uint16_t tag;          /* 802.1Q VLAN identifier, 0: none */
    uint32_t fragment_id;
    uint64_t traits;       /* bits of enum protection */
};
/* 0, or the drop reason. */
uint32_t packet_describe(const struct input *in, struct packet_info *out);

/* ---- protection against attacks -------------------------------------------------------------------- */

/* X(number, name, element, counter): what a zone protection profile can refuse or do about single packets (fact sheet 4.4):
 * the element below the profile, and what is counted. A parsed packet has the bits of those that are about itself alone
 * (struct packet, traits). */
#define PROTECTION_LIST(X) \
    X(0, ip_spoof, "discard-ip-spoof", flow_dos_pf_ipspoof) \
    X(1, strict_ip, "strict-ip-check", flow_dos_pf_strictip) \
    X(2, ip_frag, "discard-ip-frag", flow_dos_pf_ipfrag) \
    X(3, strict_source_routing, "discard-strict-source-routing", flow_dos_pf_strictsource) \
    X(4, loose_source_routing, "discard-loose-source-routing", flow_dos_pf_loosesource) \
    X(5, timestamp, "discard-timestamp", flow_dos_pf_timestamp) \
    X(6, record_route, "discard-record-route", flow_dos_pf_recordroute) \
    X(7, security, "discard-security", flow_dos_pf_security) \
    X(8, stream_id, "discard-stream-id", flow_dos_pf_streamid) \
    X(9, unknown_option, "discard-unknown-option", flow_dos_pf_unknownoption) \
    X(10, malformed_option, "discard-malformed-option", flow_dos_pf_badoption) \
    X(11, tcp_overlap_mismatch, "discard-overlapping-tcp-segment-mismatch", flow_dos_pf_tcpoverlappingmismatch) \
    X(12, tcp_split_handshake, "discard-tcp-split-handshake", flow_dos_pf_tcpsplithandshake) \
    X(13, tcp_syn_data, "discard-tcp-syn-with-data", flow_dos_pf_tcpsyndata) \
    X(14, tcp_synack_data, "discard-tcp-synack-with-data", flow_dos_pf_tcpsynackdata) \
    X(15, icmp_ping_zero_id, "discard-icmp-ping-zero-id", flow_dos_pf_ping0) \
    X(16, icmp_frag, "discard-icmp-frag", flow_dos_pf_icmpfrag) \
    X(17, icmp_large, "discard-icmp-large-packet", flow_dos_pf_icmplpkt) \
    X(18, icmp_error, "discard-icmp-error", flow_dos_pf_icmperr) \
    X(19, suppress_time_exceeded, "suppress-icmp-timeexceeded", flow_dos_pf_noreplyttl) \
    X(20, suppress_need_frag, "suppress-icmp-needfrag", flow_dos_pf_noreplyneedfrag) \
    X(21, strip_timestamp, "remove-tcp-timestamp", flow_dos_pf_striptimestamp) \
    X(22, strip_fast_open, "strip-tcp-fast-open-and-data", flow_dos_pf_striptfo) \
    X(23, strip_mptcp, "strip-mptcp-option", flow_dos_pf_stripmptcp) \
    X(24, ip6_routing_0, "ipv6 routing-header-0", flow_dos_pf_ip6rh0) \
    X(25, ip6_routing_1, "ipv6 routing-header-1", flow_dos_pf_ip6rh1) \
    X(26, ip6_routing_3, "ipv6 routing-header-3", flow_dos_pf_ip6rh3) \
    X(27, ip6_routing_4_252, "ipv6 routing-header-4-252", flow_dos_pf_ip6rh4) \
    X(28, ip6_routing_253, "ipv6 routing-header-253", flow_dos_pf_ip6rh253) \
    X(29, ip6_routing_254, "ipv6 routing-header-254", flow_dos_pf_ip6rh254) \
    X(30, ip6_routing_255, "ipv6 routing-header-255", flow_dos_pf_ip6rh255) \
    X(31, ip6_v4_compatible, "ipv6 ipv4-compatible-address", flow_dos_pf_ip6v4compat) \
    X(32, ip6_anycast_source, "ipv6 anycast-source", flow_dos_pf_ip6anycast) \
    X(33, ip6_needless_fragment, "ipv6 needless-fragment-hdr", flow_dos_pf_ip6needlessfrag) \
    X(34, ip6_multicast_source, "ipv6 multicast-source", flow_dos_pf_ip6mcastsource) \
    X(35, ip6_reserved_field, "ipv6 reserved-field-set-discard", flow_dos_pf_ip6reserved) \
    X(36, ip6_invalid_options, "ipv6 options-invalid-ipv6-discard", flow_dos_pf_ip6badoption) \
    X(37, ip6_small_mtu, "ipv6 icmpv6-too-big-small-mtu-discard", flow_dos_pf_ip6smallmtu) \
    X(38, ip6_hop_by_hop, "ipv6 filter-ext-hdr hop-by-hop-hdr", flow_dos_pf_ip6hopbyhop) \
    X(39, ip6_routing, "ipv6 filter-ext-hdr routing-hdr", flow_dos_pf_ip6routing) \
    X(40, ip6_destination_options, "ipv6 filter-ext-hdr dest-option-hdr", flow_dos_pf_ip6destopt) \
    X(41, ip6_unreachable, "ipv6 ignore-inv-pkt dest-unreach", flow_dos_pf_ip6unreach) \
    X(42, ip6_too_big, "ipv6 ignore-inv-pkt pkt-too-big", flow_dos_pf_ip6toobig) \
    X(43, ip6_time_exceeded, "ipv6 ignore-inv-pkt time-exceeded", flow_dos_pf_ip6timeexceeded) \
    X(44, ip6_param_problem, "ipv6 ignore-inv-pkt param-problem", flow_dos_pf_ip6paramproblem) \
    X(45, ip6_redirect, "ipv6 ignore-inv-pkt redirect", flow_dos_pf_ip6redirect)
#define PROTECTION_ENUM(number, name, element, counter) PROTECT_##name = number,
enum protection { PROTECTION_LIST(PROTECTION_ENUM) PROTECTION_COUNT };

struct protection_info {
    const char *name, *element;
    uint32_t counter;
};
/* NULL where there is no such protection. */
const struct protection_info *protection_info(uint32_t protection);

/* X(name, element, threat id, threat name): floods, by what opens sessions. */
#define FLOOD_LIST(X)                              \
    X(tcp_syn, "tcp-syn", 8501, "TCP Flood")       \
    X(udp, "udp", 8502, "UDP Flood")               \
    X(icmp, "icmp", 8503, "ICMP Flood")            \
    X(icmpv6, "icmpv6", 8504, "ICMPv6 Flood")      \
    X(other_ip, "other-ip", 8505, "Other IP Flood")
#define FLOOD_ENUM(name, element, id, text) FLOOD_##name,
enum flood { FLOOD_LIST(FLOOD_ENUM) FLOOD_COUNT };

/* X(name, threat id and name of the entry, threat name, default interval s, default threshold): reconnaissance. */
#define SCAN_LIST(X)                                            \
    X(tcp_port, 8001, "SCAN: TCP Port Scan", 2, 100)            \
    X(host_sweep, 8002, "SCAN: Host Sweep", 10, 100)            \
    X(udp_port, 8003, "SCAN: UDP Port Scan", 2, 100)            \
    X(ip_protocol, 8006, "SCAN: IP Protocol Scan", 2, 100)
#define SCAN_ENUM(name, id, text, interval_s, threshold) SCAN_##name,
enum scan { SCAN_LIST(SCAN_ENUM) SCAN_COUNT };

struct threat_info {
    const char *name, *element, *text; /* element: of a scan "" */
    uint32_t id;
};
/* NULL past the end. */
const struct threat_info *flood_info(uint32_t flood);
const struct threat_info *scan_info(uint32_t scan);

/* Packets a second that match no session. From `activate` on they are dropped, the more the nearer to `maximal`, above it
 * all; or, of SYN cookies, answered from `activate` on, and dropped above `maximal`. An alarm is a threat. */
struct flood_limits {
    bool enabled, syn_cookies;
    uint32_t alarm, activate, maximal;
};

#define SCAN_ACTION_LIST(X) X(allow, "allow") X(alert, "alert") X(block, "block") X(block_ip, "block-ip")
#define SCAN_ACTION_ENUM(name, text) SCAN_ACTION_##name,
enum scan_action { SCAN_ACTION_LIST(SCAN_ACTION_ENUM) SCAN_ACTION_COUNT };

/* So many different ports, hosts or protocols within the interval are a scan. */
struct scan_limits {
    bool enabled, by_pair;    /* block-ip: the source for this destination alone */
    uint8_t action;           /* enum scan_action */
    uint32_t interval_s, threshold, block_s;
};

/* A piece of one of the tables of struct engine_config. */
struct list {
    uint32_t first, count;
};

struct zone_protection {
    uint16_t zone;
    uint64_t checks;          /* bits of enum protection */
    bool tcp_reject_non_syn, tcp_asymmetric_bypass; /* for packets of this zone */
    bool buffer_protection;
    struct flood_limits flood[FLOOD_COUNT];
    struct scan_limits scan[SCAN_COUNT];
    struct list scan_exempt;  /* of ranges: sources that may scan */
};

struct address_range {
    uint8_t first[16], last[16]; /* both included */
};

struct service_range {
    uint8_t proto;
    uint16_t sport_first, sport_last, dport_first, dport_last;
};

enum dos_action { DOS_DENY, DOS_ALLOW, DOS_PROTECT };
enum dos_classified_by { DOS_BY_SOURCE, DOS_BY_DESTINATION, DOS_BY_BOTH };

struct dos_limits {
    bool enabled;
    struct flood_limits flood[FLOOD_COUNT];
    uint32_t block_s[FLOOD_COUNT]; /* how long the source is blocked that went above `maximal`; 0: not */
    uint32_t max_sessions;         /* at once; 0: any number */
};

/* A DoS protection rule (fact sheet 4.9), matched on the original packet and the zone its destination routes to. Of lists
 * an empty one matches everything. */
struct dos_rule {
    uint32_t number;          /* the caller's; a rule keeps its figures by it */
    uint8_t action, classified_by;
    bool negate_source, negate_destination;
    struct list from_zones, from_ports, to_zones, to_ports; /* of numbers */
    struct list source, destination; /* of ranges */
    struct list services;
    struct dos_limits aggregate, classified;
};

/* Packets that wait for the slowpath are what a source can fill: from `activate` on those of sources that hold the most are
 * dropped at random; who goes on for hold_s is blocked. */
struct buffer_protection {
    bool enabled, monitor_only;
    uint32_t alert_percent, activate_percent;
    uint32_t block_hold_s, block_duration_s;
};

enum tunnel_type { TUNNEL_GRE, TUNNEL_IPIP, TUNNEL_VXLAN };

/* What arrives from peer for local is decapsulated and has come in by `port`; what leaves by `port` is encapsulated. */
struct tunnel_config {
    uint16_t port;            /* of mode PORT_TUNNEL */
    uint16_t outer_port;      /* whose address `local` is: packets to the peer leave there */
    uint8_t type;             /* enum tunnel_type */
    uint8_t local[16], peer[16];
    uint8_t ttl;
    bool copy_tos;
    uint16_t udp_port;        /* of VXLAN */
    uint32_t vni;
    uint8_t mac[6], peer_mac[6]; /* of VXLAN's inner frames; peer_mac zeros: learnt */
};

enum threat_type { THREAT_FLOOD = 1, THREAT_SCAN, THREAT_PACKET, THREAT_SESSION_LIMIT, THREAT_BUFFER };

/* For the threat log: at most one a second of each kind, zone or rule and, of scans, source. */
struct threat {
    int64_t now_ns;
    struct flow_key key;      /* of the packet that made it, its zone included */
    uint32_t rule;            /* number of the DoS rule, 0: the zone's profile */
    uint32_t repeat;          /* so many packets since the last one */
    uint16_t port;
    uint16_t reason;          /* counter of what became of the packet, 0 where it went on */
    uint8_t type;             /* enum threat_type */
    uint8_t what;             /* enum flood, scan or protection */
    uint8_t action;           /* enum scan_action */
};

/* ---- configuration -----------------------------------------------------------------------------
 * One immutable table, swapped whole between two packets. */
enum { MAX_PROTECTIONS = 256, MAX_DOS_RULES = 1024, MAX_TUNNELS = 64, MAX_TUNNEL_DEPTH = 4 };
enum { MAX_PORTS = 1024, MAX_VIRTUAL_ROUTERS = 64, MAX_NAT_TARGETS = 4096, MAX_BURST = 256, MAX_PARKED = 16, MAX_PACKET_BYTES = 65536 };

enum port_mode { PORT_LAYER3, PORT_LAYER2, PORT_VIRTUAL_WIRE, PORT_TAP, PORT_LOOPBACK, PORT_TUNNEL };

struct port_config {
    uint16_t zone; /* 0: packets of this port are dropped as flow_no_interface, and none leave by it */
    bool ipv6;
    uint8_t mode;  /* enum port_mode */
    bool multicast_firewalling; /* of a virtual wire: multicast and broadcast are inspected */
    uint32_t mark; /* of packets that may leave by it */
    uint32_t mtu;  /* bytes; 0: no limit */
    uint16_t largest_mss[2]; /* of IPv4 and IPv6 SYN segments that enter or leave by it; 0: any */
    uint16_t virtual_router; /* whose forwarding table its packets are looked up in */
    uint8_t address[2][16];  /* from which it sends ICMP errors, IPv4 and IPv6; zeros: none */
    uint16_t protection;     /* index of its zone's protection; 0: what holds for zones without a profile */
    uint16_t parent, tag;    /* of a sub-interface: whose frames with this 802.1Q tag are its own */
};

/* What the emulated hardware does (fact sheet 3.1). It reports a flow, which refreshes the session's timer and
 * statistics, when so many packets of that flow were forwarded since the last report, or, with scan_ms, that
 * long after the first of them. */
struct offload_profile {
    uint32_t udp_packets, packets; /* of a UDP flow, of any other; 0: this device has no offload engine */
    uint32_t scan_ms;              /* 0: never */
    uint32_t max_sessions;         /* no more than engine_params.max_offloaded are used */
};

struct accelerated_aging {
    uint32_t threshold_percent; /* of the session table in use, or of vsys_max_sessions where that is less */
    uint32_t factor;            /* idle sessions age that much faster from there on; 1: no acceleration */
};

struct engine_config {
    uint32_t timeout_s[TIMER_COUNT];
    bool tcp_reject_non_syn;
    bool tcp_asymmetric_bypass;   /* windows and sequence numbers are not enforced */
    bool tcp_allow_challenge_ack;
    bool no_refresh_on_discard;
    bool ipv6_firewalling;
    bool offload;                 /* switched on; what it does is up to the profile */
    struct offload_profile offload_profile;
    struct accelerated_aging accelerated_aging;
    uint32_t vsys_max_sessions;   /* 0: no limit but the table's */
    uint32_t icmp_unreachable_per_s; /* to senders that were denied, together */
    uint32_t nat_reserve_s;       /* how long a lease outlives its last session */
    uint32_t host_mark;           /* of packets for the machine itself */
    uint32_t port_count;          /* at most MAX_PORTS; port 0 is nobody's */
    const struct port_config *ports;
    uint32_t local_count;         /* the firewall's own addresses, sorted as bytes */
    const uint8_t *local;         /* local_count * 16 bytes */
    bool log_packet_threats;      /* packet-based protection is told as threats, too */
    struct buffer_protection buffer_protection;
    bool strip_mptcp;             /* of zones without a profile, as are the two of tcp_ above that profiles have, too */
    uint32_t protection_count;    /* at most MAX_PROTECTIONS, one of a zone; a port's `protection` 1 is the first */
    const struct zone_protection *protections;
    uint32_t dos_rule_count;
    const struct dos_rule *dos_rules; /* the first that matches and is in force holds */
    uint32_t tunnel_count;
    const struct tunnel_config *tunnels;
    uint32_t number_count, range_count, service_count; /* the tables that lists are of */
    const uint16_t *numbers;
    const struct address_range *ranges;
    const struct service_range *services;
};

struct engine_params {
    uint32_t max_sessions;        /* slots 1..max_sessions */
    uint32_t max_offloaded;       /* sessions the offload engine has memory for */
    uint32_t max_undecided;       /* handles outstanding at once */
    uint32_t max_held;            /* packets held for undecided handles, parked ones included */
    uint32_t max_fragments;       /* IP fragments held until their datagram is complete */
    uint32_t max_events;          /* a power of two */
    uint32_t answer_timeout_ms;   /* how long the slowpath may take */
    uint8_t hash_key[16];         /* secret and random: outsiders choose what is hashed */
    int64_t now_ns;
};

/* A forwarding table: longest prefix match. Immutable once made, so several engines may use one. */
struct route {
    uint8_t prefix[16]; /* as in a flow key: an IPv4 prefix of n bits has length 96 + n */
    uint8_t length;
    bool leaves;        /* by `port`; else nothing is forwarded there: local, broadcast, discard, ... */
    uint16_t port;      /* 0: by none of the engine's */
    uint32_t hop, hop_count; /* of several next hops: where they are in the list of hops; sessions stay with theirs */
};
struct route_hop {
    uint16_t port;
    uint8_t path;       /* 0: not through a way of its own */
};
struct fib;
/* Of several routes with one prefix the first wins. NULL with errno set (EINVAL, ENOMEM). */
struct fib *fib_new(const struct route *routes, uint32_t count, const struct route_hop *hops, uint32_t hop_count);
void fib_free(struct fib *fib);
/* The index of the route to a 16-byte address, as given to fib_new; -1 where there is none. */
int64_t fib_lookup(const struct fib *fib, const uint8_t *address);

struct engine;

/* NULL with errno set (EINVAL, ENOMEM). All memory is taken here. */
struct engine *engine_new(const struct engine_params *params);
void engine_free(struct engine *engine);

/* -EINVAL where a figure is out of range; the old configuration stays then. */
int engine_configure(struct engine *engine, const struct engine_config *config);

/* Where packets of live sessions go from now on, a table for each virtual router (at most MAX_VIRTUAL_ROUTERS); the
 * tables are borrowed until the next call or engine_free. Without any, sessions keep the port they were installed with. A session whose way now leaves by another zone has its packets
 * dropped with flow_fwd_zonechange. */
void engine_set_fibs(struct engine *engine, const struct fib *const *fibs, uint32_t count);

/* ---- the packet path --------------------------------------------------------------------------- */

/* Takes packets of a burst (at most MAX_BURST at once) in order and returns how many it took: fewer than
 * `count` when the verdict list has no room for more, or, with stop_when_undecided, right after the
 * first packet that needs the slowpath - so that virtual time does not run past a decision. */
uint32_t engine_input(struct engine *engine, const struct input *burst, uint32_t count, bool stop_when_undecided);

/* Takes the verdicts reached since the last call, in order. They and what they point to stay valid until the
 * next call. */
const struct verdict *engine_verdicts(struct engine *engine, uint32_t *count);
bool engine_has_verdicts(struct engine *engine);

/* Takes the undecided packets not handed out yet, oldest first. */
uint32_t engine_undecided(struct engine *engine, struct undecided *out, uint32_t max);

/* Whether somebody should look: packets were not handed out yet, or a quarter of the event ring is full. */
bool engine_wants_attention(struct engine *engine);

/* Answers a handle. Both give verdicts for the packet and everything parked behind it, in order.
 * install returns the session id (> 0), 0 where the session could not be made (the packets are dropped
 * with session_alloc_fail or session_install_error, or, where it would only have denied and four fifths of the
 * sessions there may be are in use, with flow_policy_deny), -ENOENT where the handle is not outstanding and
 * -EINVAL where the spec makes no sense. refuse counts and drops: -ENOENT, -EINVAL (not a drop reason) or 0. */
int64_t engine_install(struct engine *engine, uint32_t handle, const struct session_spec *spec);
int engine_refuse(struct engine *engine, uint32_t handle, uint32_t reason);

/* Runs the timers up to now. */
void engine_tick(struct engine *engine, int64_t now_ns);

/* When engine_tick has work to do at the earliest; INT64_MAX where there is no session. */
int64_t engine_next_timer_ns(struct engine *engine);

/* ---- events ------------------------------------------------------------------------------------ */

enum event_type { EVENT_SESSION_START = 1, EVENT_SESSION_END };

struct event {
    uint32_t type;
    struct session_view session;
};
/* Takes events, oldest first. A full ring loses new events and counts them (log_event_lost). */
uint32_t engine_events(struct engine *engine, struct event *out, uint32_t max);

/* Takes threats. A full ring loses new ones and counts them (log_threat_lost). */
uint32_t engine_threats(struct engine *engine, struct threat *out, uint32_t max);

/* ---- protection: looking and clearing ----------------------------------------------------------- */

struct flood_stats {
    uint32_t rate;    /* packets a second now */
    uint64_t dropped, cookies; /* since the engine was made */
};
struct zone_stats {
    struct flood_stats flood[FLOOD_COUNT];
    uint64_t scans[SCAN_COUNT];          /* packets dropped */
    uint64_t checks[PROTECTION_COUNT];   /* packets refused or changed */
};
/* Of a zone with a protection: 0, or -ENOENT. */
int engine_zone_stats(struct engine *engine, uint16_t zone, struct zone_stats *out);

struct dos_stats {
    struct flood_stats flood[FLOOD_COUNT]; /* aggregate rates; what was dropped for either */
    uint32_t sessions, tracked;            /* live sessions; hosts with rates of their own */
    uint64_t denied, allowed, limited;     /* packets; limited: by a number of sessions */
};
int engine_dos_stats(struct engine *engine, uint32_t number, struct dos_stats *out);
/* A rule out of its schedule is passed over. Until told else all are in force. */
void engine_dos_in_force(struct engine *engine, uint32_t number, bool in_force);

struct blocked_source {
    uint8_t source[16], destination[16]; /* destination zeros: any */
    uint16_t zone;       /* by which it came */
    uint8_t why;         /* enum threat_type */
    uint32_t rule;       /* number of the DoS rule */
    int64_t until_ns;
    uint64_t dropped;
};
/* Entries in force from *cursor on; moves it on, to 0 at the end. */
uint32_t engine_blocks(struct engine *engine, uint32_t *cursor, struct blocked_source *out, uint32_t max);
/* Takes entries of a source out (NULL: all); how many. */
uint32_t engine_unblock(struct engine *engine, const uint8_t *source);

/* ---- looking and clearing ---------------------------------------------------------------------- */

/* A zero or NULL-like field matches everything; `fields` says which are set. */
enum filter_field {
    FILTER_SOURCE = 1, FILTER_DESTINATION = 2, FILTER_SOURCE_PORT = 4, FILTER_DESTINATION_PORT = 8,
    FILTER_PROTOCOL = 16, FILTER_FROM = 32, FILTER_TO = 64, FILTER_STATE = 128, FILTER_RULE = 256,
    FILTER_APPLICATION = 512, FILTER_NAT_RULE = 1024, FILTER_NAT = 2048,
};
struct session_filter {
    uint32_t fields;
    uint8_t source[16], destination[16]; /* of the c2s flow */
    uint16_t source_port, destination_port, from, to;
    uint8_t protocol, state;
    uint32_t rule, application, nat_rule;
    uint16_t nat; /* of SESSION_SOURCE_NAT and SESSION_DESTINATION_NAT exactly these */
};

/* Fills `out` with live sessions of slots >= *cursor that match, looking at no more than `scan` slots;
 * moves *cursor on, to 0 at the end. */
uint32_t engine_sessions(struct engine *engine, uint32_t *cursor, uint32_t scan,
                         const struct session_filter *filter, struct session_view *out, uint32_t max);

/* 0, or -ENOENT where the slot was never used. A slot that is free again shows its last session. */
int engine_session(struct engine *engine, uint32_t id, struct session_view *out);

/* What TCP tracking knows of one direction (tcp.c); nothing is enforced before both SYNs were seen. */
struct tcp_limits {
    uint32_t highest_end;  /* behind the last byte it may send */
    uint32_t lowest_end;   /* before which everything it sends is too old */
    uint32_t highest_ack, lowest_ack;
    bool enforced;
};
/* 0, or -ENOENT where the session is not a live one of TCP. */
int engine_tcp_limits(struct engine *engine, uint32_t id, struct tcp_limits out[2]);

/* Ends a session with end reason unknown: 0 or -ENOENT. */
int engine_clear(struct engine *engine, uint32_t id);

/* A live session that a changed policy denies: it goes on in DISCARD, for `rule`; a reset action tells the ends.
 * Gives verdicts (the resets). 0, -ENOENT where it is not active, -EINVAL. */
int engine_deny(struct engine *engine, uint32_t id, enum action action, uint32_t rule);

/* ---- address translation ------------------------------------------------------------------------- */

/* The number, below `size`, that this source (16 bytes) has in a pool of dynamic addresses: the one it has already, or
 * the next free one, its own until its last session has ended and nat_reserve_s have passed. -ENOSPC where all
 * are taken. A pool's size never changes; numbers of pools are below 65536 and not 0. */
int64_t engine_nat_lease(struct engine *engine, uint16_t pool, uint32_t size, const uint8_t *source);
/* Leases in force of a pool; sessions that have a port of an address (16 bytes) by oversubscription; live sessions of
 * a target. */
uint32_t engine_nat_leases(struct engine *engine, uint16_t pool);
uint32_t engine_nat_ports(struct engine *engine, const uint8_t *address);
uint32_t engine_nat_target(struct engine *engine, uint16_t target);

struct engine_stats {
    uint32_t max_sessions, allocated, tcp, udp, icmp, other, discard;
    uint32_t offloaded;              /* sessions in the offload engine */
    uint32_t undecided, held;        /* handles outstanding, packets waiting behind them */
    uint32_t translated;             /* live sessions whose packets are rewritten */
    uint64_t installed;              /* since the engine was made */
    bool aging_accelerated;
    uint32_t fragments, fragment_bytes; /* held until their datagrams are complete */
    uint64_t packets, bytes;         /* forwarded */
};
void engine_stats(struct engine *engine, struct engine_stats *out);

/* COUNTER_LIMIT values, indexed by counter number. */
const uint64_t *engine_counters(const struct engine *engine);
void engine_count(struct engine *engine, uint32_t counter, uint64_t by);

/* ---- NFQUEUE ------------------------------------------------------------------------------------
 * A loop in a thread of its own, without the GIL: takes bursts from the kernel, feeds the engine, gives the
 * verdicts. It needs Python for nothing: when packets wait for the slowpath, or events have piled up, it rings
 * a bell (an eventfd) and goes on with the packets of known sessions. Only this thread sends verdicts, so
 * packets never overtake each other; whoever reaches verdicts elsewhere (answers, ticks) wakes it. */

enum nfqueue_mode {
    NFQUEUE_ENGINE,  /* ask the engine */
    NFQUEUE_ACCEPT,  /* accept everything: what the queue alone costs */
    NFQUEUE_REWRITE, /* accept everything and return the payload with its checksum computed */
};

struct nfqueue_params {
    uint16_t queue;
    uint8_t mode;
    bool fail_open;         /* a full queue accepts instead of dropping */
    uint32_t queue_packets; /* the kernel keeps at most this many */
    uint32_t opening_packets; /* and so many in the next queue, of segments that open connections; 0: there is none */
    uint32_t socket_bytes;  /* of the netlink socket's buffers */
};

struct nfqueue_port {
    uint32_t ifindex;
    uint16_t port;
    bool own_table; /* its virtual router is not the kernel's main table: packets for its hosts must name it */
};

struct nfqueue_stats {
    uint64_t packets, bursts;
    uint64_t malformed;     /* netlink messages that made no sense */
    uint64_t refused;       /* verdicts the kernel had no packet for */
    uint64_t cut;           /* packets longer than an attribute holds */
    uint64_t send_failed;
    uint64_t emit_failed;   /* generated packets without a way to go */
};

struct nfqueue;
/* NULL with a message in error (256 bytes) where the queue cannot be had. `engine` is NULL in the other modes. */
struct nfqueue *nfqueue_open(const struct nfqueue_params *params, struct engine *engine, char *error);
void nfqueue_close(struct nfqueue *queue);
/* Which Linux interface is which port; swapped whole. 0 or -ENOMEM. */
int nfqueue_set_ports(struct nfqueue *queue, const struct nfqueue_port *ports, uint32_t count);
/* Switches fail-open. 0 or -errno. */
int nfqueue_set_fail_open(struct nfqueue *queue, bool fail_open);
/* Runs until nfqueue_stop: 0; or -errno where the queue broke, with a message in error (256 bytes). */
int nfqueue_run(struct nfqueue *queue, char *error);
void nfqueue_stop(struct nfqueue *queue);
/* Has the loop send verdicts reached by other threads, if there are any. */
void nfqueue_wake(struct nfqueue *queue);
/* The bell's file descriptor: readable when Python has something to do. nfqueue_hear silences it; call it
 * before looking, so that no ring is missed. */
int nfqueue_bell(const struct nfqueue *queue);
void nfqueue_hear(struct nfqueue *queue);
void nfqueue_stats(const struct nfqueue *queue, struct nfqueue_stats *out);

/* ---- capture files (libpcap) -------------------------------------------------------------------- */

struct capture;
/* Opens a pcap or pcapng file, the standard input where path is "-"; NULL with a message in error (256 bytes). */
struct capture *capture_open(const char *path, char *error);
/* Up to max packets, valid until the next call. 0 at the end; -1 on a damaged file, with the message in
 * capture_error; packets before the damage have been given. Ports are not set. */
int32_t capture_read(struct capture *capture, struct input *out, uint32_t max);
/* Packets left out because their time is not between 1970 and 2200. */
uint64_t capture_untimed(const struct capture *capture);
/* Why the file could not be read to its end; empty as long as it could. */
const char *capture_error(const struct capture *capture);
/* Bytes of the file read so far, -1 where it is a pipe. */
int64_t capture_offset(const struct capture *capture);
void capture_close(struct capture *capture);

struct capture_writer;
/* Raw IP packets with nanosecond times. */
struct capture_writer *capture_writer_open(const char *path, char *error);
void capture_writer_write(struct capture_writer *writer, const uint8_t *data, uint32_t len, int64_t now_ns);
/* 0, or -1 where something could not be written. */
int capture_writer_close(struct capture_writer *writer);

/* ---- replay -------------------------------------------------------------------------------------
 * Captures go through an engine at their own times, merged by time; of packets at one time, those of the capture
 * named first go first. No packet is looked at before the slowpath has decided the one before it. */

struct replay_source {
    struct capture *capture;
    bool by_source; /* each packet comes in by the port by which the route to its source leaves */
    uint16_t port;  /* else all of them by this one */
};

enum replay_stop {
    REPLAY_END,       /* no packet is left up to that time */
    REPLAY_UNDECIDED, /* a packet waits for the slowpath */
    REPLAY_EVENTS,    /* events have piled up */
    REPLAY_PAUSE,     /* so many packets were fed */
};

struct replay_stats {
    uint64_t packets;  /* fed */
    uint64_t forwarded, dropped, host, consumed, emitted;
    uint64_t late;     /* earlier than a packet before them, and taken at its time */
    uint64_t cut;      /* of which the capture has only the start */
    uint64_t unrouted; /* whose source no route leads to: dropped with flow_no_interface */
    uint8_t unrouted_source[16]; /* of the first of them */
    int64_t first_ns, last_ns;   /* times of the first packet and the last; 0 without any */
    int64_t now_ns;              /* of the engine's clock */
};

struct replay;
/* The captures are borrowed. NULL where memory is short. */
struct replay *replay_new(const struct replay_source *sources, uint32_t count);
void replay_free(struct replay *replay);
/* Has what leaves by a port written, the engine's own packets included; the writer is borrowed. */
void replay_write(struct replay *replay, uint16_t port, struct capture_writer *writer);
/* Feeds packets until one waits for the slowpath, events have piled up, or `pause_at` were fed in all; none that is
 * later than until_ns. Always the same engine. */
enum replay_stop replay_run(struct replay *replay, struct engine *engine, int64_t until_ns, uint64_t pause_at);
/* Runs the timers, one after the other, until events have piled up or until_ns has come. With INT64_MAX that is when no
 * session lives any more, and the clock stays there. */
enum replay_stop replay_run_timers(struct replay *replay, struct engine *engine, int64_t until_ns);
const struct replay_stats *replay_stats(const struct replay *replay);
/* For who looks at packets one by one: the packet that is fed next, valid until it is (NULL at the end), and the last
 * verdict on one, its data not to be looked at. */
const struct input *replay_next(struct replay *replay, struct engine *engine);
struct verdict replay_last(const struct replay *replay);

#endif
