#include "proxy/demo/load.hpp"

#include "proxy/provider/blocking_client.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::demo {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr unsigned most_workers = 128; // see the class

duration scaled(double document_seconds, double speed) {
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(document_seconds / speed));
}

provider::header_list fields_of(const planned_request& request) {
    if (request.speaks == api::openai_chat)
        return {{"content-type", "application/json"}, {"authorization", "Bearer demo"}};
    return {{"content-type", "application/json"}, {"x-api-key", "demo"}, {"anthropic-version", "2023-06-01"}};
}

} // namespace

load::load(load_options options, steady_time begin)
    : options_(std::move(options)), begin_(begin), total_(original::warm_up + options_.requests), samples_(total_) {
    try {
        for (unsigned i = 0; i < std::min(total_, most_workers); ++i) workers_.emplace_back([this] { work(); });
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
    return {samples_.begin() + original::warm_up, samples_.end()};
}

bool load::sleep_until(steady_time due) {
    std::unique_lock lock{mutex_};
    cancelling_.wait_until(lock, due, [this] { return cancelled_; });
    return !cancelled_;
}

void load::work() {
    for (unsigned number = next_++; number < total_; number = next_++) {
        const auto request = plan(options_.seed, number);
        const auto due = begin_ + scaled(request.due, options_.speed);
        if (!sleep_until(due)) return;
        samples_[number] = ask(request, due);
        ++done_;
    }
}

sample load::ask(const planned_request& request, steady_time due) const {
    sample out{.stream = request.stream};
    const auto deadline = due + scaled(original::deadline, options_.speed);
    // Every wait gets what is left of the deadline; a wait that comes to its end leaves an unfinished answer behind.
    const auto left = [&] {
        return std::max(std::chrono::ceil<milliseconds>(deadline - steady_clock::now()), milliseconds{1});
    };
    const auto document_seconds = [&](steady_time at) {
        return std::chrono::duration<double>(at - due).count() * options_.speed;
    };
    const auto nonce = nonce_of(options_.from, request.number);
    double first_token = original::deadline;
    try {
        provider::blocking_client client({.host = options_.host, .port = options_.port, .timeout = left()});
        // A refusal may come although not all was taken: read in any case.
        client.send_request("POST", path_of(request), fields_of(request), body_of(request, nonce));
        client.set_timeout(left());
        const auto head = client.read_head("POST");
        model::answer_judge judge(request.speaks, request.stream);
        while (steady_clock::now() < deadline) {
            client.set_timeout(left());
            const std::string piece = client.read_body_some();
            if (piece.empty()) break;
            if (judge.take(piece)) first_token = std::min(first_token, document_seconds(steady_clock::now()));
        }
        out.how = judge.judge({.status = head.status,
                               .whole = client.ended() == provider::message_end::complete,
                               .degraded = head.header_count("x-evenkeel-degraded") > 0},
                              nonce);
    } catch (const provider::client_error&) {
        out.how = model::verdict::error; // no connection
    }
    const double took = document_seconds(steady_clock::now());
    if (took >= original::deadline) out.how = model::verdict::late;
    if (out.how == model::verdict::success) {
        out.seconds = took;
        out.first_token = first_token;
    }
    return out;
}

} // namespace evenkeel::demo
