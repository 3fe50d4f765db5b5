#pragma once
// What the endpoints of the admin listener say and do, without the wire: an order that access_rules.hpp has let through
// comes in, a reply goes out. All but a reload, which takes a while. On the helper thread.

#include "proxy/admin/access_rules.hpp"
#include "proxy/admin/admin_server.hpp"
#include "proxy/admin/reply.hpp"
#include "proxy/telemetry/scrape_cache.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace evenkeel::admin {

struct order {
    endpoint asked;
    std::string_view subject, query, body;
    bool change = false;
};

class resources {
public:
    resources(const admin_sources& sources, const admin_callbacks& callbacks) // both outlive it
        : sources_(sources), callbacks_(callbacks), scrapes_(sources.metrics) {}

    [[nodiscard]] reply perform(const access_rules& rules, const order& given);

    [[nodiscard]] std::string overview() const;        // the document, in one line
    [[nodiscard]] std::string latest_requests() const; // the last disturbed ones with their tries, in one line
    // Changes with every request that the journal keeps.
    [[nodiscard]] std::uint64_t requests_kept() const;

private:
    [[nodiscard]] reply force_circuit(const order& given);
    [[nodiscard]] reply end_rests(const order& given);
    [[nodiscard]] reply set_credential(const order& given);
    [[nodiscard]] reply log_level(const order& given);
    [[nodiscard]] reply show_configuration() const;
    [[nodiscard]] reply list_requests(const order& given) const;
    [[nodiscard]] reply tell_request(const order& given) const;
    [[nodiscard]] reply control(std::string_view what, const std::function<control_result()>& call);

    const admin_sources& sources_;
    const admin_callbacks& callbacks_;
    telemetry::scrape_cache scrapes_;
};

} // namespace evenkeel::admin
