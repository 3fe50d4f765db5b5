#pragma once
// Every metric is one row: its name, what it says, whose it is, its labels with their words, which counter or reported
// value it shows, and which of its series exist before anything happened. /metrics is these rows walked over what was
// counted (metrics.cpp), the table in deploy/README.md is the same rows as text (metrics_reference.cpp): nothing is
// shown and not documented, or documented and not shown.

#include "proxy/telemetry/metric_cells.hpp"
#include "proxy/telemetry/metrics.hpp"
#include "proxy/telemetry/process_sample.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace evenkeel::telemetry {

// What is read once for a scrape.
struct scrape {
    wall_time now{}; // the wall time of policies.at
    policy_report policies{};
    last_good_report last_good{};
    std::optional<process_report> process{}; // empty: nobody reports
    process_sample sample{};
    config::snapshot in_force{}; // null: none yet
    std::string_view version{};
    bool reload_successful = false;
    double reload_success_seconds = 0;
};

// Whom a series is about. `configured` is that of the configuration in force, null of what has vanished; `reported`: of
// the policies, null where nobody reports it.
struct subject {
    const scrape* at = nullptr;
    std::string_view route_name{}, upstream_name{}, endpoint_name{}, credential_name{}, client_name{};
    bool in_force = true;
    const counted::route* route = nullptr;
    const counted::pair* pair = nullptr;
    const counted::upstream* upstream = nullptr;
    const counted::credential* credential = nullptr;
    const sharded<client_cells>* client = nullptr;
    const sharded<process_cells>* process = nullptr;
    const config::route* configured_route = nullptr;
    const config::upstream* configured_upstream = nullptr;
    const route_report* reported_route = nullptr;
    const endpoint_report* reported_endpoint = nullptr;
    const credential_report* reported_credential = nullptr;
    const client_report* reported_client = nullptr;
};

// Each has the labels of its subjects: none, `route`, `route` and `upstream`, `upstream`; with `upstream` an
// `endpoint`, where there are several, but where it is about a `credential`, which all of them are shown. Requests
// without a route have the route `none`. What is open is about upstreams and about clients, with `side`. `client`: one
// of `clients`, by its name.
enum class about : unsigned char { process, route, pair, upstream, connections, credential, client };
inline constexpr std::size_t about_count = 7;
enum class metric_type : unsigned char { counter, gauge, histogram };
[[nodiscard]] std::string_view to_string(metric_type) noexcept;

// Which of a row's series: a number for each of the first two labels that have lists.
using series_place = std::array<std::size_t, 2>;

struct label {
    std::string_view name{};
    // A view of nothing: this series has no such label.
    std::string_view (*word)(const subject&, std::size_t number) = nullptr;
    std::size_t first = 0, end = 0; // of a closed list: the numbers that are shown; both 0: the subject's own word
    bool same_number = false;       // as the label before it: they go together
};

// Empty: there is no such series now.
using value_reader = std::optional<double> (*)(const subject&, const series_place&);
using histogram_reader = histogram_view (*)(const subject&, const series_place&);

struct presence {
    std::string_view when{}; // as the table says it
    bool (*from_the_start)(const subject&, const series_place&) = nullptr;
    bool some = false; // of the places of its labels: the table lists them
};

struct metric_row {
    about of;
    metric_type type;
    std::string_view name; // without `evenkeel_`, which all but process_* have
    std::string_view help; // one line, no backslash
    std::vector<label> labels;
    std::variant<value_reader, histogram_reader> read;
    presence exists;
    std::string_view more{}; // for the table alone
};

[[nodiscard]] const std::vector<metric_row>& metric_rows(); // in the order of /metrics
[[nodiscard]] const std::vector<label>& labels_of(about);

// Calls with each place of a row's labels, in their order.
template <class Function>
void for_each_place(const metric_row& row, Function function) {
    const label* lists[2] = {nullptr, nullptr};
    std::size_t count = 0;
    for (const label& one : row.labels)
        if (one.end != 0 && !one.same_number) lists[count++] = &one;
    static constexpr label single{.first = 0, .end = 1};
    for (auto*& list : lists)
        if (list == nullptr) list = &single;
    for (std::size_t i = lists[0]->first; i < lists[0]->end; ++i)
        for (std::size_t j = lists[1]->first; j < lists[1]->end; ++j) function(series_place{i, j});
}
// ... and with each label and its word at a place.
template <class Function>
void for_each_word(const metric_row& row, const subject& of, const series_place& at, Function function) {
    for (const label& one : labels_of(row.of)) function(one, one.word(of, 0));
    std::size_t next = 0, number = 0;
    for (const label& one : row.labels) {
        if (one.end != 0 && !one.same_number) number = at[next++];
        function(one, one.word(of, number));
    }
}

} // namespace evenkeel::telemetry
