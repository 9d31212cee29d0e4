/* protect.h - protection against attacks: zone protection, DoS rules, blocked addresses, packet buffers.
 *
 * Who asks when: of every packet block_hit and checks_refuse; of one that matches no session, and may open one,
 * zone_admits and dos_admits; of a segment of a session checks_refuse_segment and checks_pass_segment. */
#ifndef SIXTUPLE_PROTECT_H
#define SIXTUPLE_PROTECT_H

#include "packet.h"

struct engine;
struct session;
struct undecided_slot;

/* Each part has memory of its own, zeros at first, and takes over a changed configuration; figures of zones and rules
 * stay. */
uint64_t blocks_bytes(void);
uint64_t threats_bytes(void);
uint64_t checks_bytes(void);
void checks_configure(struct engine *e);
uint64_t zones_bytes(void);
void zones_configure(struct engine *e);
uint64_t dos_bytes(void);
void dos_configure(struct engine *e);
uint64_t buffers_bytes(void);

/* ---- block.c: the block table of the emulated hardware ---------------------------------------------- */

/* Whether the packet's source is blocked; it is counted. Asked by block_hit (state.h), which is cheap while nobody is. */
bool block_finds(struct engine *e, const struct packet *p);
/* Blocks the source of p, for its destination alone with by_pair; where it is blocked already, no shorter. */
void block_add(struct engine *e, const struct packet *p, bool by_pair, uint32_t seconds, enum threat_type why, uint32_t rule);

/* ---- threat.c: the ring of threats ------------------------------------------------------------------ */

/* One a second of each type, what, zone, rule and (of scans) source; more are counted with the next. */
void threat_note(struct engine *e, const struct packet *p, enum threat_type type, uint32_t what, enum scan_action action,
                 uint32_t rule, uint32_t reason);

/* ---- checks.c: packet-based protection -------------------------------------------------------------- */

/* Why the profile of a packet's zone refuses it, by what it is itself: these of its traits. checks_refuse in state.h asks. */
uint32_t checks_refuse_traits(struct engine *e, const struct packet *p, uint64_t which);
/* The same by where its source is routed: discard-ip-spoof, strict-ip-check. Asked of packets without a session. 0, or the
 * drop reason. */
uint32_t checks_refuse_source(struct engine *e, const struct packet *p);
/* A segment of a session, before anything has followed it: discard-tcp-split-handshake, and, against what the same bytes
 * were before, discard-overlapping-tcp-segment-mismatch. 0, or the drop reason. checks_concern in state.h says of whom. */
uint32_t checks_refuse_segment(struct engine *e, uint32_t slot, enum direction direction, const struct packet *p);
/* The same segment when it passes: its bytes are remembered; options the profile does not let pass are replaced by NOPs, data
 * in a SYN with fast open is cut. Whether anything was changed; checksums are complete then. */
bool checks_pass_segment(struct engine *e, uint32_t slot, enum direction direction, struct packet *p);
void checks_session_ends(struct engine *e, uint32_t slot);
/* Whether sessions of this port's zone must stay in software for their segments to be compared. */
bool checks_follow(const struct engine *e, uint16_t port);
/* The profile says that no such ICMP error is sent from a port; it is counted. */
bool checks_suppress(struct engine *e, uint16_t port, enum protection which);

/* ---- zone.c (with flood.c and scan.c), dos.c ------------------------------------------------------------------------- */

enum admission { ADMIT, ADMIT_WITH_COOKIE, ADMIT_NOT };
/* A packet that matches no session and may open one. On ADMIT_NOT *reason is set. zone: floods, scans, spoofed sources;
 * dos: the rules, which also leave in p what the session is to be counted by. */
enum admission zone_admits(struct engine *e, struct packet *p, uint32_t *reason);
enum admission dos_admits(struct engine *e, struct packet *p, uint32_t *reason);
/* What was refused before it could open anything (flags no handshake has, no SYN) may be a scan as well. */
void scan_note_refused(struct engine *e, const struct packet *p);
/* Counts what checks.c has refused or changed, for the figures of the port's zone. */
void zone_count_check(struct engine *e, uint16_t port, enum protection which);
/* Whether cookies may be out that packets like this ACK answer. */
bool uses_cookies(const struct engine *e, const struct packet *p);

/* Whether some rule for packets that enter by a port answers with cookies. */
bool dos_uses_cookies(const struct engine *e, uint16_t port);
/* Whether one more session of an admitted packet is too many: 0, or the drop reason. */
uint32_t dos_refuses_session(struct engine *e, const struct packet *p);
void dos_session_begins(struct engine *e, struct session *s, const struct packet *p);
void dos_session_ends(struct engine *e, struct session *s);

/* ---- buffer.c: packets that wait for the slowpath --------------------------------------------------- */

/* Whether one more packet of this source may wait: 0, or the drop reason. */
uint32_t buffer_refuses(struct engine *e, const struct packet *p);
void buffer_holds(struct engine *e, const struct packet *p);
void buffer_releases(struct engine *e, const struct packet *p);

#endif
