#include "proxy/telemetry/kept_request.hpp"

#include "proxy/events/disturbed.hpp"

#include <algorithm>
#include <string_view>

namespace evenkeel::telemetry {

namespace {
constexpr std::size_t longest_path = 512, longest_word = 256, longest_parts = 8192;

std::string cut(std::string_view text, std::size_t most = longest_word) { return std::string{text.substr(0, most)}; }

// Beyond what lies within the string itself.
std::size_t apart(const std::string& of) noexcept { return of.capacity() > 15 ? of.capacity() + 1 : 0; }

std::int16_t place_of(const config::upstream* where, std::vector<const config::upstream*>& known,
                      std::vector<kept_request::endpoint>& into) {
    if (where == nullptr) return -1;
    auto found = std::find(known.begin(), known.end(), where);
    if (found == known.end()) {
        known.push_back(where);
        into.push_back({where->name, std::string{where->endpoint.label()}, where->address.host, where->address.port});
        found = known.end() - 1;
    }
    return static_cast<std::int16_t>(found - known.begin());
}

// By its name: an index would outlive the list that it is of.
std::int16_t key_of(const journal::entry& one, std::vector<std::string>& into) {
    const auto* launched = std::get_if<happened::launched>(&one.what);
    if (launched == nullptr || one.upstream == nullptr || launched->credential >= one.upstream->credentials.size())
        return -1;
    const std::string& name = one.upstream->credentials[launched->credential].name;
    auto found = std::find(into.begin(), into.end(), name);
    if (found == into.end()) found = into.insert(into.end(), name);
    return static_cast<std::int16_t>(found - into.begin());
}
} // namespace

std::size_t kept_request::bytes() const noexcept {
    std::size_t all = sizeof *this + journal.capacity() * sizeof(happening) + endpoints.capacity() * sizeof(endpoint);
    all += keys.capacity() * sizeof(std::string);
    for (const std::string& one : keys) all += apart(one);
    for (const endpoint& one : endpoints) all += apart(one.upstream) + apart(one.label) + apart(one.host);
    for (const auto* text :
         {&id, &trace_id, &upstream_request_id, &client, &client_name, &method, &path, &model, &upstream_model, &route,
          &upstream, &part_of, &reason, &proxy_error, &parts, &degraded_route})
        all += apart(*text);
    return all;
}

kept_request keep(const request_account& what) {
    kept_request kept;
    kept.id = cut(what.request_id);
    kept.upstream_request_id = cut(what.upstream_request_id);
    kept.client = cut(what.client);
    if (what.by != nullptr) kept.client_name = what.by->name;
    kept.method = cut(what.method);
    // A query may hold a credential; the account has none, and if it had, it would end here.
    kept.path = cut(what.path.substr(0, what.path.find('?')), longest_path);
    kept.model = cut(what.model);
    kept.upstream_model = cut(what.upstream_model);
    if (what.witness != nullptr) {
        kept.trace_id = cut(what.witness->trace_id());
        kept.credential = what.witness->credential();
    }
    if (what.route != nullptr) kept.route = what.route->name;
    if (what.upstream != nullptr) kept.upstream = what.upstream->name;
    if (what.part_of != nullptr) kept.part_of = what.part_of->name;
    kept.reason = cut(what.reason);
    kept.proxy_error = cut(what.proxy_error);
    if (what.parts.size() <= longest_parts) kept.parts = what.parts;
    kept.started = what.started;
    kept.status = what.status;
    kept.ending = what.ending();
    kept.left = what.departed();
    kept.effort = what.effort;
    kept.denied = what.denied;
    kept.ended = what.ended;
    kept.coalesced = what.coalesced;
    kept.degraded = what.degraded.is;
    kept.degraded_by = what.degraded.by;
    kept.degraded_age = what.degraded.age;
    kept.degraded_route = cut(what.degraded.route);
    kept.stream = what.stream;
    kept.upcast = what.upcast;
    kept.probe = what.probe;
    kept.disturbed = is_disturbed(what);
    kept.total = what.total;
    kept.first_byte = what.first_byte;
    kept.first_token = what.first_token;
    kept.overhead = what.overhead;
    kept.lost = what.lost;
    kept.paused = what.paused;
    kept.silent = what.silent;
    kept.bytes_in = what.bytes_in;
    kept.bytes_out = what.bytes_out;

    const steady_time came = what.at - what.total;
    std::vector<const config::upstream*> known;
    kept.journal.reserve(what.journal.size());
    for (const journal::entry& one : what.journal)
        kept.journal.push_back({.after = std::max(one.at - came, duration::zero()),
                                .where = place_of(one.upstream, known, kept.endpoints),
                                .key = key_of(one, kept.keys),
                                .attempt = one.attempt,
                                .times = one.times,
                                .what = one.what});
    kept.left_out = what.journal.left_out();
    kept.left_out_at = journal::most_entries / 2;
    return kept;
}

} // namespace evenkeel::telemetry
