#include "tests/scenarios/socket_load.hpp"

#include "proxy/model/answer_text.hpp"
#include "proxy/model/judge.hpp"
#include "proxy/model/scenario_time.hpp"
#include "proxy/provider/blocking_client.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <thread>

namespace evenkeel::test {

namespace {

using namespace model;
using model::verdict;
using namespace simulate;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

sample ask(const planned_request& plan, unsigned number, std::uint16_t port, steady_time due, double deadline,
           double speed) {
    sample out{
        .due = plan.due, .seconds = deadline, .first_token = deadline, .how = verdict::error, .stream = plan.stream};
    const auto end = due + scenario_time::length(deadline / speed);
    const auto left = [&] {
        return std::max(std::chrono::ceil<milliseconds>(end - steady_clock::now()), milliseconds{1});
    };
    const auto seconds = [&] { return std::chrono::duration<double>(steady_clock::now() - due).count() * speed; };
    double first_token = deadline;
    std::string request;
    request_text(plan.stream, plan.max_tokens).append(request, number);
    const auto nonce = model::nonce_of(number);
    try {
        provider::blocking_client client({.port = port, .timeout = left()});
        client.send(request);
        client.set_timeout(left());
        const auto head = client.read_head("POST");
        answer_judge judge(plan.speaks, plan.stream);
        for (;;) {
            client.set_timeout(left());
            const std::string piece = client.read_body_some();
            if (piece.empty() || steady_clock::now() >= end) break;
            if (judge.take(piece)) first_token = std::min(first_token, seconds());
        }
        out.how = judge.judge({.status = head.status,
                               .whole = client.ended() == provider::message_end::complete,
                               .degraded = head.header_count("x-evenkeel-degraded") > 0},
                              {nonce.data(), nonce.size()});
    } catch (const provider::client_error&) {
        out.how = verdict::error; // no connection
    }
    const double took = seconds();
    if (took >= deadline) out.how = verdict::late;
    if (out.how == verdict::success) {
        out.seconds = took;
        out.first_token = first_token;
    }
    return out;
}

} // namespace

std::vector<sample> play(const traffic& what, std::uint16_t port, steady_time zero, double speed) {
    const auto& facts = what.facts();
    const scenario_time time(zero, speed);
    std::vector<sample> samples(facts.requests);
    std::atomic<unsigned> next{0};
    const auto work = [&] {
        for (unsigned number = next++; number < facts.requests; number = next++) {
            const auto plan = what.plan(number);
            const auto due = time.at(plan.due);
            std::this_thread::sleep_until(due);
            samples[number] = ask(plan, number, port, due, facts.deadline, speed);
        }
    };
    // So many are in flight if nobody is ever answered: one is always free, and the loop stays open.
    const double rate = static_cast<double>(facts.requests) / (facts.end - facts.begin);
    const auto most = std::min(facts.requests, static_cast<unsigned>(std::ceil(rate * (facts.deadline + 2))) + 8);
    {
        std::vector<std::jthread> workers;
        for (unsigned each = 0; each < most; ++each) workers.emplace_back(work);
    }
    samples.erase(samples.begin(), samples.begin() + facts.warm_up);
    return samples;
}

} // namespace evenkeel::test
