#pragma once
// Sends requests and tokens of one quota no faster than its provider allows: what is a 429 and a pause without it is a
// short wait in line with it. A quota is that of (upstream or credential, model); what is known of it comes from the
// rate-limit fields of the answers (quota_level.hpp) or, where there are none, from what is refused
// (guessed_rate.hpp). Tokens are estimated before they are sent, and settled by what `usage` says.
//
// It never refuses. Who cannot go now is told when to ask again, and stands in line meanwhile (pace_line.hpp); after
// max_wait, or where its own time is nearly over, it goes through: what it meets then is what it would have met
// without us. Nobody knows anything before the first answer: a few go at once, the next four a second, and after five
// seconds all. What comes in the way is asked in vain: then whoever asks goes elsewhere, or waits.
//
// A fan-out's part, a retry, a hedge and a rescue each are one request to a provider, and so they are here; those that
// share a flight are one.
//
// Thread-safe: a mutex held for one call.

#include "policies/guessed_rate.hpp"
#include "policies/pace_line.hpp"
#include "policies/pace_options.hpp"
#include "policies/quota_fields.hpp"
#include "policies/quota_level.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"
#include "policies/token_estimates.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel {

// What an attempt wants to send, and how it stands in line for it.
struct pace_ask {
    token_estimates::tokens tokens{};
    pace_priority priority = pace_priority::interactive;
    std::uint64_t tenant = 0;
    steady_time since{}; // it has been wanted
    steady_time deadline = steady_time::max();
};

class paced_quota {
public:
    static constexpr duration last_call = std::chrono::seconds{2}; // before its deadline (chosen)
    static constexpr duration asks_again = std::chrono::seconds{1};
    static constexpr int at_once = 4; // before anything is known (chosen)
    static constexpr duration then_every = std::chrono::milliseconds{250}, unknown_for = std::chrono::seconds{5};

    using amounts = std::array<double, quota_units>;
    // What one attempt has taken.
    struct receipt {
        amounts cost{}, mark{};
        steady_time sent{};
        std::uint8_t short_of = 0; // units of which nothing was left for it
        bool went_through = false; // it had waited for long enough
    };
    // A place in its line; left when this goes.
    class place {
    public:
        place() noexcept = default;
        place(const place&) = delete;
        place& operator=(const place&) = delete;
        ~place() { leave(); }
        void leave() noexcept;
        [[nodiscard]] bool in(const paced_quota& of) const noexcept { return of_.get() == &of; }
        explicit operator bool() const noexcept { return of_ != nullptr; }

    private:
        friend class paced_quota;
        std::shared_ptr<paced_quota> of_;
        pace_line::ticket ticket_;
    };

    paced_quota(std::uint64_t key, std::string name, const pace_options& options)
        : key_(key), name_(std::move(name)), options_(options) {}
    void configure(const pace_options& options, steady_time now);

    // Not now.
    struct delay {
        steady_time again;    // when to ask
        bool in_vain = false; // it is not likely to be let in before it goes through
    };
    // Empty: it may go now. `at`: its place, wherever that is.
    [[nodiscard]] std::optional<delay> look(const pace_ask& ask, const place& at, steady_time now);
    // ... and does: its place is left.
    [[nodiscard]] std::optional<delay> take(const pace_ask& ask, place& at, steady_time now, receipt& into);
    // Stands in line, if it does in none yet.
    static void wait(const std::shared_ptr<paced_quota>& in, const pace_ask& ask, place& at);

    // What came of it.
    void told(const receipt& of, const quota_fields& fields, steady_time now);
    void let_in(const receipt& of, steady_time now);                 // a good answer
    void limited(const receipt& of, bool told, steady_time now);     // a 429; `told`: with fields
    void settle(receipt& of, token_estimates::tokens took) noexcept; // by what `usage` said
    void never_sent(receipt& of) noexcept;

    struct unit_report {
        quota_unit unit = quota_unit::requests;
        double limit = 0, left = 0, pace = 0; // a window; a second
        duration window{};
        double share = 1;
    };
    struct summary {
        std::string name;
        std::vector<unit_report> units{};
        std::optional<double> guessed{}; // requests a second
        std::size_t waiting = 0;
    };
    [[nodiscard]] summary report(steady_time now);
    [[nodiscard]] std::uint64_t key() const noexcept { return key_; }
    [[nodiscard]] const pace_options& options() const noexcept { return options_; }
    // Since then nothing was sent, and nobody waits.
    [[nodiscard]] bool idle_since(steady_time then) noexcept;

private:
    [[nodiscard]] static amounts cost_of(const pace_ask& ask) noexcept;
    [[nodiscard]] steady_time through_at(const pace_ask& ask) const noexcept;
    // With the mutex held. 0: now.
    [[nodiscard]] duration until(const pace_ask& ask, std::size_t ahead, steady_time now) noexcept;
    [[nodiscard]] std::optional<delay> when(const pace_ask& ask, const place& at, steady_time now) noexcept;
    [[nodiscard]] bool knows_any(steady_time now) const noexcept;
    [[nodiscard]] pace_line::ticket ticket_of(const pace_ask& ask, const place& at) const noexcept;

    const std::uint64_t key_;
    const std::string name_;
    small_mutex mutex_;
    pace_options options_;
    std::array<quota_level, quota_units> levels_{};
    guessed_rate guess_;
    pace_line line_;
    bool heard_ = false; // of any answer
    int unheard_ = 0;
    steady_time first_sent_{}, last_sent_{}, told_at_{};
};

// As an attempt asks whichever quota it is sent against.
struct pace_wish {
    pace_ask ask;
    std::uint64_t key = 0;   // of the model, and of the caller where it is a caller's quota
    std::string_view name{}; // of the model; may be empty
    paced_quota::place& at;  // in line
    bool may_stand = true;   // ... if it has to
};

// What an attempt holds of a quota that it was sent against.
struct pace_pass {
    std::shared_ptr<paced_quota> of;
    paced_quota::receipt taken{};
    bool told = false; // its answer said something of limits
};

// The quotas of one owner, by model (and by caller, where it is a caller's own credential that is shown). Bounded: what
// finds no place is not paced.
class pace {
public:
    static constexpr std::size_t most_places = 64;

    explicit pace(const pace_options& options) : options_(options) {}
    void configure(const pace_options& options);
    // Null: there is no room for another one.
    [[nodiscard]] std::shared_ptr<paced_quota> of(std::uint64_t key, std::string_view name, steady_time now);
    [[nodiscard]] std::vector<paced_quota::summary> report(steady_time now);

private:
    [[nodiscard]] std::shared_ptr<paced_quota> find(std::uint64_t key, steady_time now) noexcept;
    [[nodiscard]] std::shared_ptr<paced_quota> make(std::uint64_t key, std::string name, steady_time now);

    small_mutex mutex_;
    pace_options options_;
    std::vector<std::shared_ptr<paced_quota>> places_;
};

} // namespace evenkeel
