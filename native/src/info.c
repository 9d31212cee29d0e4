/* info.c - the lists of engine.h as tables with texts. */
#include <stddef.h>

#include "engine.h"

#define COUNTER_INFO(number, name, severity, category, aspect, text) \
    [number] = {number, #name, #severity, #category, #aspect, text},
static const struct counter_info counters[COUNTER_LIMIT] = {COUNTER_LIST(COUNTER_INFO)};

#define TIMER_INFO(name, knob, default_s, min_s, max_s, text) {#name, knob, text, default_s, min_s, max_s},
static const struct timer_info timers[] = {TIMER_LIST(TIMER_INFO)};

#define PLAIN_NAME(name) #name,
static const char *const session_states[] = {SESSION_STATE_LIST(PLAIN_NAME)};
static const char *const tcp_states[] = {TCP_STATE_LIST(PLAIN_NAME)};

#define REASON_NAME(name, text, tracker) text,
#define REASON_TRACKER(name, text, tracker) tracker,
static const char *const end_reasons[] = {END_REASON_LIST(REASON_NAME)};
static const char *const end_reason_trackers[] = {END_REASON_LIST(REASON_TRACKER)};

#define ACTION_NAME(name, text) text,
static const char *const actions[] = {ACTION_LIST(ACTION_NAME)};

#define PROTECTION_INFO(number, name, element, counter) [number] = {#name, element, COUNTER_##counter},
static const struct protection_info protections[] = {PROTECTION_LIST(PROTECTION_INFO)};

#define FLOOD_INFO(name, element, id, text) {#name, element, text, id},
static const struct threat_info floods[] = {FLOOD_LIST(FLOOD_INFO)};

#define SCAN_INFO(name, id, text, interval_s, threshold) {#name, "", text, id},
static const struct threat_info scans[] = {SCAN_LIST(SCAN_INFO)};

#define AT(list, index) ((index) < sizeof(list) / sizeof *(list) ? (list)[index] : NULL)

const struct counter_info *counter_info(uint32_t number)
{
    return number < COUNTER_LIMIT && counters[number].name ? &counters[number] : NULL;
}

const struct timer_info *timer_info(uint32_t timer)
{
    return timer < TIMER_COUNT ? &timers[timer] : NULL;
}

const char *session_state_name(uint32_t state) { return AT(session_states, state); }
const char *tcp_state_name(uint32_t state) { return AT(tcp_states, state); }
const char *end_reason_name(uint32_t reason) { return AT(end_reasons, reason); }
const char *end_reason_tracker(uint32_t reason) { return AT(end_reason_trackers, reason); }
const char *action_name(uint32_t action) { return AT(actions, action); }

const struct protection_info *protection_info(uint32_t protection)
{
    return protection < PROTECTION_COUNT ? &protections[protection] : NULL;
}

const struct threat_info *flood_info(uint32_t flood)
{
    return flood < FLOOD_COUNT ? &floods[flood] : NULL;
}

const struct threat_info *scan_info(uint32_t scan)
{
    return scan < SCAN_COUNT ? &scans[scan] : NULL;
}
