#include "proxy/model/load.hpp"

#include "proxy/provider/blocking_client.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace evenkeel::model {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

load::load(const traffic& what, scenario_time clock, load_options options)
    : traffic_(what), time_(clock), options_(std::move(options)), samples_(what.facts().requests) {
    const auto& facts = what.facts();
    const double in_flight = facts.requests / (facts.end - facts.begin) * (facts.deadline + 2) + 8;
    const auto most = static_cast<unsigned>(std::min(std::ceil(in_flight), static_cast<double>(facts.requests)));
    try {
        for (unsigned i = 0; i < most; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) { // no more threads to be had: those that run refer to this object
        cancel();
        static_cast<void>(wait());
        throw;
    }
}

load::~load() {
    cancel();
    static_cast<void>(wait());
}

void load::cancel() {
    const std::lock_guard lock{mutex_};
    cancelled_ = true;
    cancelling_.notify_all();
}

std::vector<sample> load::wait() {
    for (auto& each : workers_)
        if (each.joinable()) each.join();
    return {samples_.begin() + traffic_.facts().warm_up, samples_.end()};
}

bool load::sleep_until(steady_time due) {
    std::unique_lock lock{mutex_};
    cancelling_.wait_until(lock, due, [this] { return cancelled_; });
    return !cancelled_;
}

void load::work() {
    for (unsigned number = next_++; number < total(); number = next_++) {
        const auto plan = traffic_.plan(number);
        if (!sleep_until(time_.at(plan.due))) return;
        samples_[number] = ask(plan, number);
        ++done_;
    }
}

sample load::ask(const planned_request& plan, unsigned number) const {
    const double patience = traffic_.facts().deadline;
    sample out{.due = plan.due, .seconds = patience, .first_token = patience, .stream = plan.stream};
    const auto deadline = time_.at(plan.due + patience);
    // Every wait gets what is left of the deadline; a wait that comes to its end leaves an unfinished answer behind.
    const auto left = [&] {
        return std::max(std::chrono::ceil<milliseconds>(deadline - steady_clock::now()), milliseconds{1});
    };
    const auto seconds = [&] { return time_.seconds(steady_clock::now()) - plan.due; };
    double first_token = patience;
    try {
        const auto [request, nonce] = options_.asks(number, plan);
        provider::blocking_client client({.host = options_.host, .port = options_.port, .timeout = left()});
        client.send(request); // a refusal may come although not all was taken: read in any case
        client.set_timeout(left());
        const auto head = client.read_head("POST");
        answer_judge judge(plan.speaks, plan.stream);
        while (steady_clock::now() < deadline) {
            client.set_timeout(left());
            const std::string piece = client.read_body_some();
            if (piece.empty()) break;
            if (judge.take(piece)) first_token = std::min(first_token, seconds());
        }
        out.how = judge.judge({.status = head.status,
                               .whole = client.ended() == provider::message_end::complete,
                               .degraded = head.header_count("x-evenkeel-degraded") > 0},
                              nonce);
    } catch (const provider::client_error&) {
        out.how = verdict::error; // no connection
    }
    const double took = seconds();
    if (took >= patience) out.how = verdict::late;
    if (out.how == verdict::success) {
        out.seconds = took;
        out.first_token = first_token;
    }
    return out;
}

} // namespace evenkeel::model
