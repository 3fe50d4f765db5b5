#pragma once
// What was decided for one request and what became of it, in order. Bounded: where a request comes to more than is
// kept, its beginning and its end are, which say the most. What repeats itself (a request that waits asks again and
// again, and is told the same) is one entry with a count.
//
// Belongs to the request_account, and is written by the worker of its request alone.

#include "policies/time.hpp"
#include "proxy/events/happened.hpp"

#include <boost/container/small_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace evenkeel::telemetry {

class journal {
public:
    static constexpr std::size_t most_entries = 64; // about 5 KB (chosen: three attempts and all they meet take twenty)

    struct entry {
        steady_time at{};                           // of the first, where it is several
        const config::upstream* upstream = nullptr; // lives as long as the settings of the request; null: none
        attempt_number attempt = 0;
        std::uint16_t times = 1; // saturates
        any_happening what{};
    };

    // Where there is no memory for it, it is left out: who listens is told all the same.
    void add(steady_time at, const config::upstream* upstream, attempt_number attempt,
             const any_happening& what) noexcept;

    // Of another request's what came behind its first `known` entries, whose attempts are `before` later ones here.
    void append(const journal& of, std::size_t known, attempt_number before) noexcept;

    [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
    [[nodiscard]] auto end() const noexcept { return entries_.end(); }
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    [[nodiscard]] std::size_t added() const noexcept { return entries_.size() + left_out_; }
    [[nodiscard]] std::size_t left_out() const noexcept { return left_out_; } // between the two halves

private:
    void push(const entry& one) noexcept;

    boost::container::small_vector<entry, 3> entries_; // launched, committed, ended
    std::size_t left_out_ = 0;
};

// For people: "+0.000s launched first attempt=1 upstream=a; +2.500s ...", the times since `began`.
[[nodiscard]] std::string text_of(const journal& of, steady_time began);

} // namespace evenkeel::telemetry
