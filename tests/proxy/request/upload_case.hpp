#pragma once
// One interleaving of uploads that are still coming: a few clients of one worker, upstreams of different pace, one
// configuration, all drawn from a seed, on the whole path of a request in virtual time.
//
// Each client's body says at every place whose it is and which place that is. An upstream that reads slowly copies what
// it takes out of the proxy's own memory at the moment it takes it; so bytes that were moved, freed or written over
// meanwhile show as what they are, another client's mostly.

#include "proxy/coalesce/shared_flights.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test {

// What came up in the cases so far.
struct upload_tally {
    // unasked: of a connection that was closed before.
    int requests = 0, whole = 0, refused = 0, cut = 0, left = 0, unasked = 0;
    int exchanges = 0, whole_uploads = 0, cut_uploads = 0, retries = 0, hedges = 0, reloads = 0, drains = 0;
    std::uint64_t bytes = 0, steps = 0;
};

class upload_case {
public:
    explicit upload_case(std::uint32_t seed);
    ~upload_case();
    upload_case(const upload_case&) = delete;
    upload_case& operator=(const upload_case&) = delete;

    // What was broken, in words; empty: every promise held. After a failure the case had better never be destroyed:
    // what was left over refers to it.
    [[nodiscard]] std::vector<std::string> run(upload_tally& sum);
    [[nodiscard]] std::uint64_t order() const noexcept { return turns_.order(); }

private:
    enum class arrangement : unsigned char { plain, ladder, shared, fan_out, queued };
    struct asked;
    struct visitor;
    struct planned;

    [[nodiscard]] std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
    [[nodiscard]] bool one_in(std::uint32_t n) { return below(n) == 0; }
    [[nodiscard]] duration grid();
    [[nodiscard]] std::size_t size();

    void configure();
    void draw_route(config::route& route);
    void reload();
    void draw_visitors();
    [[nodiscard]] static std::string body_of(const std::string& tag, std::size_t size, bool stream);
    [[nodiscard]] std::string wire_of(const asked& what);
    [[nodiscard]] std::string as_sent_to(std::string_view upstream, const std::string& body) const;

    [[nodiscard]] exchange_script draw_script(std::size_t place);
    void draw_pace(exchange_script& script);
    void answer_well(exchange_script& script, std::size_t place);
    void answer_badly(exchange_script& script, std::size_t place);

    [[nodiscard]] net::task<void> visit(visitor& one);
    [[nodiscard]] net::task<void> leave_at(visitor& one, steady_time when, bool half);
    [[nodiscard]] net::task<void> stall(visitor& one, steady_time from, duration length);
    [[nodiscard]] net::task<void> disturb(steady_time when, bool drain);

    void complain(std::string what) { wrong_.push_back(std::move(what)); }
    void check_upload(std::size_t place, upload_tally& sum);
    void check_answers(const visitor& one, upload_tally& sum);
    void check_leftovers();

    std::mt19937 random_;
    std::uint32_t seed_;
    turns turns_;
    fixture f_;
    request::shared_flights flights_;
    net::nursery actors_{f_.loop.executor(), f_.loop.failures()};
    arrangement how_ = arrangement::plain;
    std::vector<std::unique_ptr<visitor>> visitors_;
    std::map<std::string, std::string, std::less<>> bodies_; // by tag
    std::vector<planned> plans_;                             // by place among the exchanges
    std::vector<std::string> wrong_;
    std::size_t largest_ = 0;
    bool drained_ = false, over_ = false;
    int reloads_ = 0, drains_ = 0;
};

} // namespace evenkeel::test
