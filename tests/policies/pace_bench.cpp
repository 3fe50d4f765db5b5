#include "tests/policies/pace_bench.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <queue>
#include <random>

namespace evenkeel::pace_bench {

namespace {
constexpr double service = 1.0; // seconds to the head, on average
constexpr steady_time origin{std::chrono::hours{1000}};

steady_time at(double seconds) { return origin + scaled(std::chrono::seconds{1}, seconds); }
duration lasting(double seconds) { return scaled(std::chrono::seconds{1}, seconds); }

class provider {
public:
    explicit provider(const scenario& in) : in_(in), requests_(in.per_minute), tokens_(in.tokens_per_minute) {}

    bool lets_in(double tokens, double now) {
        fill(now);
        const bool room = requests_ >= 1 && (in_.tokens_per_minute <= 0 || tokens_ >= tokens);
        if (room || (in_.refused_count && requests_ >= 1)) requests_ -= 1;
        if (room && in_.tokens_per_minute > 0) tokens_ -= tokens;
        return room;
    }
    double room(double now) {
        fill(now);
        return requests_;
    }
    double until_room(double tokens, double now) {
        fill(now);
        if (in_.fills == kind::window) return window_end_ - now + 1e-6;
        double wait = std::max(0.0, 1 - requests_) / (in_.per_minute / 60);
        if (in_.tokens_per_minute > 0)
            wait = std::max(wait, std::max(0.0, tokens - tokens_) / (in_.tokens_per_minute / 60));
        return std::max(wait, 1e-6);
    }
    // As they are when its request is let in.
    quota_fields told(double now) {
        fill(now);
        quota_fields all;
        if (in_.family == fields::none) return all;
        const auto put = [&](quota_unit unit, double limit, double left) {
            quota_field& one = all.at(unit);
            one.remaining = std::floor(left);
            const double reset = in_.fills == kind::window ? window_end_ - now : (limit - left) / limit * 60;
            if (in_.family != fields::azure) {
                one.limit = limit;
                one.reset =
                    lasting(in_.family == fields::anthropic || in_.family == fields::ietf ? std::ceil(reset) : reset);
            }
            if (in_.family == fields::ietf) one.window = std::chrono::minutes{1};
        };
        put(quota_unit::requests, in_.per_minute, requests_);
        if (in_.tokens_per_minute > 0) put(quota_unit::tokens, in_.tokens_per_minute, tokens_);
        return all;
    }

private:
    void fill(double now) {
        if (in_.fills == kind::window) {
            if (now < window_end_) return;
            window_end_ = (std::floor(now / 60) + 1) * 60;
            requests_ = in_.per_minute;
            tokens_ = in_.tokens_per_minute;
            return;
        }
        const double passed = now - filled_;
        filled_ = now;
        requests_ = std::min(in_.per_minute, requests_ + passed * in_.per_minute / 60);
        tokens_ = std::min(in_.tokens_per_minute, tokens_ + passed * in_.tokens_per_minute / 60);
    }
    scenario in_;
    double requests_, tokens_, filled_ = 0, window_end_ = 0;
};

struct asking {
    int client = 0;
    double came = 0, tokens = 0;
    bool batch = false;
    int tries = 0;
    paced_quota::place place{};
    double since = 0;
};

class game {
public:
    game(player who, const scenario& in) : who_(who), in_(in), at_provider_(in), dice_(in.seed) {
        for (int i = 0; i < in.sidecars; ++i) {
            auto& quota = quotas_.emplace_back(std::make_shared<paced_quota>(1, "m", pace_options{}));
            pace_options options{.on = true, .max_wait = in.patience + lasting(1)};
            quota->configure(options, at(0));
        }
        rests_.assign(static_cast<std::size_t>(in.sidecars), 0);
        refusals_.assign(static_cast<std::size_t>(in.sidecars), 0);
        seen_.by_client.assign(static_cast<std::size_t>(in.sidecars), 0);
        seen_.asked_by_client.assign(static_cast<std::size_t>(in.sidecars), 0);
        arrivals();
    }

    outcome play() {
        while (!events_.empty()) {
            const event next = events_.top();
            events_.pop();
            now_ = next.when;
            next.what();
        }
        const auto p99 = [](std::vector<double>& of) {
            if (of.empty()) return 0.0;
            std::sort(of.begin(), of.end());
            return of[static_cast<std::size_t>(0.99 * static_cast<double>(of.size() - 1))];
        };
        double sum = 0;
        for (const double one : took_) sum += one;
        seen_.mean = took_.empty() ? 0 : sum / static_cast<double>(took_.size());
        seen_.p99 = p99(took_);
        seen_.interactive_p99 = p99(interactive_);
        return seen_;
    }

private:
    struct event {
        double when;
        std::uint64_t number;
        std::function<void()> what;
        bool operator<(const event& other) const {
            return when != other.when ? when > other.when : number > other.number;
        }
    };
    void after(double wait, std::function<void()> what) {
        events_.push({now_ + std::max(wait, 0.0), ++number_, std::move(what)});
    }
    double uniform() { return std::uniform_real_distribution<double>(0, 1)(dice_); }
    double exponential(double mean) { return -mean * std::log(1 - uniform()); }

    void arrivals() {
        const double mean = in_.per_minute / 60 * in_.load, end = in_seconds(in_.length);
        for (double t = 0; t < end;) {
            const bool burst = std::fmod(t, 60) < 20;
            const double rate = !in_.bursts ? mean : burst ? mean * 1.8 : mean * 0.6;
            t += exponential(1 / rate);
            auto one = std::make_shared<asking>();
            one->client = std::min(static_cast<int>(uniform() * in_.sidecars), in_.sidecars - 1);
            one->came = one->since = t;
            one->tokens = std::max(50.0, exponential(in_.tokens));
            one->batch = uniform() < in_.batch;
            ++seen_.asked;
            ++seen_.asked_by_client[static_cast<std::size_t>(one->client)];
            events_.push({t, ++number_, [this, one] { ask(one); }});
        }
    }

    void ask(const std::shared_ptr<asking>& one) {
        if (now_ - one->came > in_seconds(in_.patience) - 0.05) {
            ++seen_.given_up;
            one->place.leave();
            return;
        }
        if (who_ == player::sdk) return send(one, {});
        if (who_ == player::perfect) {
            line_.push_back(one);
            return serve_line();
        }
        const auto client = static_cast<std::size_t>(one->client);
        if (rests_[client] > now_) return after(rests_[client] - now_ + uniform() * 0.2, [this, one] { ask(one); });
        paced_quota::receipt taken;
        const pace_ask wanted{.tokens = {one->tokens / 2, one->tokens / 2},
                              .priority = one->batch ? pace_priority::batch : pace_priority::interactive,
                              .tenant = 1,
                              .since = at(one->came),
                              .deadline = at(one->came + in_seconds(in_.patience) + 4)};
        if (const auto again = quotas_[client]->take(wanted, one->place, at(now_), taken)) {
            paced_quota::wait(quotas_[client], wanted, one->place);
            return after(in_seconds(again->again - at(now_)), [this, one] { ask(one); });
        }
        send(one, taken);
    }

    void serve_line() {
        while (!line_.empty()) {
            const auto one = line_.front();
            if (now_ - one->came > in_seconds(in_.patience)) {
                ++seen_.given_up;
                line_.pop_front();
                continue;
            }
            if (!at_provider_.lets_in(one->tokens, now_)) {
                if (!waiting_) {
                    waiting_ = true;
                    after(at_provider_.until_room(one->tokens, now_), [this] {
                        waiting_ = false;
                        serve_line();
                    });
                }
                return;
            }
            line_.pop_front();
            answer_after(one, service * (0.5 + uniform()));
        }
    }

    void answer_after(const std::shared_ptr<asking>& one, double wait) {
        after(wait, [this, one] { served(*one); });
    }
    void served(const asking& one) {
        ++seen_.served;
        ++seen_.by_client[static_cast<std::size_t>(one.client)];
        took_.push_back(now_ - one.came);
        if (!one.batch) interactive_.push_back(now_ - one.came);
    }

    void send(const std::shared_ptr<asking>& one, paced_quota::receipt taken) {
        ++one->tries;
        after(0.02, [this, one, taken] {
            const bool in = at_provider_.lets_in(one->tokens, now_);
            const quota_fields told = at_provider_.told(now_);
            const double hint = at_provider_.until_room(one->tokens, now_);
            after(in ? service * (0.5 + uniform()) : 0.02,
                  [this, one, taken, in, told, hint] { in ? good(one, taken, told) : bad(one, taken, told, hint); });
        });
    }
    void good(const std::shared_ptr<asking>& one, paced_quota::receipt taken, const quota_fields& told) {
        served(*one);
        if (who_ != player::paced) return;
        const auto client = static_cast<std::size_t>(one->client);
        refusals_[client] = 0;
        quotas_[client]->told(taken, told, at(now_));
        quotas_[client]->let_in(taken, at(now_));
        quotas_[client]->settle(taken, {one->tokens / 2, one->tokens / 2});
    }
    void bad(const std::shared_ptr<asking>& one, const paced_quota::receipt& taken, const quota_fields& told,
             double hint) {
        ++seen_.refused;
        if (who_ == player::sdk) {
            if (one->tries > 2) {
                ++seen_.given_up;
                return;
            }
            const double pause = std::min(8.0, 0.5 * std::pow(2, one->tries - 1)) * (1 - 0.25 * uniform());
            return after(pause, [this, one] { ask(one); });
        }
        const auto client = static_cast<std::size_t>(one->client);
        quotas_[client]->told(taken, told, at(now_));
        quotas_[client]->limited(taken, told.any(), at(now_));
        // A rest, as without a hint: a second, then two, ...
        const double rest = std::min(30.0, std::pow(2, refusals_[client]++)) * (0.5 + 0.5 * uniform());
        static_cast<void>(hint);
        rests_[client] = std::max(rests_[client], now_ + rest);
        ask(one);
    }

    player who_;
    scenario in_;
    provider at_provider_;
    std::mt19937_64 dice_;
    std::vector<std::shared_ptr<paced_quota>> quotas_;
    std::vector<double> rests_;
    std::vector<int> refusals_;
    std::priority_queue<event> events_;
    std::uint64_t number_ = 0;
    double now_ = 0;
    std::deque<std::shared_ptr<asking>> line_;
    bool waiting_ = false;
    std::vector<double> took_, interactive_;
    outcome seen_;
};
} // namespace

double outcome::least_share() const {
    const double fair = static_cast<double>(served) / static_cast<double>(by_client.size());
    double least = 1;
    for (std::size_t i = 0; i < by_client.size(); ++i) {
        const double due = std::min(fair, static_cast<double>(asked_by_client[i]));
        if (due > 0) least = std::min(least, by_client[i] / due);
    }
    return least;
}

outcome play(player who, const scenario& in) { return game(who, in).play(); }

} // namespace evenkeel::pace_bench
