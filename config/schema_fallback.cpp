// Keys of the fallback ladder, and of the store of last good answers that it takes from.

#include "config/schema_table.hpp"

namespace evenkeel::config {
namespace {
void is_last_good(const entry&, fallback_step& to) { to.is = fallback_kind::last_good; }
void is_route(const entry&, fallback_step& to) { to.is = fallback_kind::route; }
} // namespace

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off

void add_fallback_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    add_policies(table, {
        {.path = "fallback", .kind = block, .shape = list, .words = "off",
         .documentation = "What answers when no attempt had a good answer: a list of steps, tried in the order "
                          "last_good, route, respond. The answer is labelled (x-evenkeel-degraded). A route's list "
                          "replaces that of `defaults`; [] or off: none.",
         .price = "Clients get an answer that is old, another model's, or canned, instead of an error."},
        {.path = "fallback.last_good", .kind = block,
         .documentation = "The last good answer to the same principal: a complete 2xx to GET or POST, kept in the "
                          "store `last_good`.",
         .price = "Answers of this route are copied and kept in memory.", .optional_block = true,
         .fills = by<is_last_good>},
        {.path = "fallback.last_good.key", .kind = value_kind::word, .fallback = "request",
         .words = "request|partial_key",
         .documentation = "What makes two requests the same: method, target and body; or the client's header "
                          "x-evenkeel-partial-key (requests without it have no last good answer).",
         .price = "partial_key: whoever sends one key for different questions gets the answer to another of its own.",
         .fills = member<&fallback_step::key>},
        {.path = "fallback.last_good.max_age", .kind = duration, .fallback = "1h", .min = "1s", .max = "8760h",
         .documentation = "The oldest answer that is given.", .price = "How old an answer may be.",
         .fills = member<&fallback_step::max_age>},
        {.path = "fallback.route", .kind = name,
         .documentation = "Sends the request to the upstreams of another route, under that route's policies, within "
                          "what is left of timeout.total. That route's own fallback is not used.",
         .price = "Its upstreams get this route's traffic while it is down.", .fills = by<is_route>},
        {.path = "fallback.respond", .kind = block,
         .documentation = "A canned answer. A client that asked for a stream gets a JSON body as a stream of one "
                          "event.",
         .optional_block = true},
        {.path = "fallback.respond.status", .kind = integer, .fallback = "200", .min = "200", .max = "599",
         .documentation = "Its status.", .fills = member<&fallback_step::respond, &canned_answer::status>},
        {.path = "fallback.respond.body", .kind = text, .documentation = "Its body, written here; excludes body_file."},
        {.path = "fallback.respond.body_file", .kind = file,
         .documentation = "A file that holds its body, relative to this file; read when the configuration is; at "
                          "most 1 MiB."},
        {.path = "fallback.respond.content_type", .kind = header_value, .fallback = "application/json",
         .documentation = "Its content-type; a body of application/json is checked.",
         .fills = member<&fallback_step::respond, &canned_answer::content_type>},
    });
    const std::initializer_list<key_row> store{
        {.path = "last_good", .kind = block, .words = "off",
         .documentation = "The store of last good answers, shared by all routes and workers."},
        {.path = "last_good.max_bytes", .kind = size, .fallback = "64MiB", .min = "64KiB", .max = "64GiB",
         .documentation = "Its size; the least recently used answers go first. One answer may take an eighth of it.",
         .price = "Resident memory; with a path as much on disk, and longer to read at the start.",
         .fills = member<&settings::last_good, &last_good_options::max_bytes>},
        {.path = "last_good.path", .kind = log_file,
         .documentation = "A file that keeps it across restarts (SQLite, mode 0600); empty: in memory only. Holds "
                          "bodies of answers, no request and no credential. Changing it needs a restart.",
         .can_be_empty = true, .fills = member<&settings::last_good, &last_good_options::path>},
    };
    table.insert(table.end(), store.begin(), store.end());
}

} // namespace evenkeel::config
// clang-format on
