#include "proxy/simulate/simulation.hpp"

#include "proxy/attempt/ask_plainly.hpp"
#include "proxy/model/answer_text.hpp"
#include "proxy/model/model_transport.hpp"
#include "proxy/serve/serve.hpp"
#include "proxy/simulate/no_client.hpp"
#include "proxy/state/policy_registry.hpp"
#include "proxy/wire/gate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace evenkeel::simulate {

using namespace model;

namespace {

constexpr steady_time loop_begins{std::chrono::seconds{1000}};
constexpr std::chrono::minutes winding_down{10}; // behind the last deadline, for whatever still runs

struct tally final : telemetry::observer {
    std::int64_t under_way = 0;
    std::uint64_t wasted_events = 0;
    void request_event(const telemetry::event_origin&, const telemetry::any_happening& what) noexcept override {
        under_way += std::holds_alternative<telemetry::happened::launched>(what);
    }
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        --under_way;
        if (!record.committed) wasted_events += record.events;
    }
};

class simulation;

// One request under way; used again for later ones. Its timer is the client's patience.
class session final : private net::timer_entry {
public:
    session(simulation& owner, request::buffer_pool& buffers) : owner_(owner), input_(buffers) {}
    ~session() override = default;
    void begin(unsigned number);

private:
    static net::task<void> ask(session& me);
    net::task<void> ask_proxy();
    net::task<void> ask_provider();
    [[nodiscard]] const std::string& write_question();
    [[nodiscard]] wire::request_head& read_head();
    void take(std::string_view piece); // of the answer
    void on_timer() override;          // the client leaves
    void finish(int status, bool whole, bool degraded);

    simulation& owner_;
    unsigned number_ = 0;
    planned_request plan_;
    steady_time came_{};
    std::optional<steady_time> first_content_;
    bool late_ = false;
    std::string question_;
    answer_judge judge_;
    request::io_buffer input_;
    wire::request_head head_;
    std::optional<request::client_request> request_;
    request::body_source* reading_ = nullptr;
    std::unique_ptr<net::exchange> direct_;
};

class simulation final : private net::timer_entry {
public:
    simulation(const traffic& what, const config::snapshot& settings, std::uint64_t seed)
        : traffic_(what), facts_(what.facts()), settings_(settings), transport_(loop_, what, time_) {
        services_.chance.seed(seed);
        if (settings) {
            policies_ = registry_.prepare(*settings);
            memory_.set_limit(settings->limits.memory);
            const auto& upstreams = settings->routes.at(0)->upstreams;
            for (std::size_t at = 0; at < upstreams.size(); ++at) {
                transport_.place(*upstreams[at], at == 0 ? 0 : facts_.servers - 1);
            }
        }
        result_.samples.resize(facts_.requests - facts_.warm_up);
    }
    ~simulation() override = default;

    run_result run();

private:
    friend class session;
    void on_timer() override; // a request comes
    void wait_for_next();
    [[nodiscard]] const nonce_text& text_for(const planned_request& request);

    const traffic& traffic_;
    const traffic_facts& facts_;
    config::snapshot settings_;
    net::loop loop_{loop_begins};
    scenario_time time_{loop_begins + scenario_time::length(std::ceil(1 - facts_.begin))};
    model_transport transport_;
    tally seen_;
    request::memory_bound memory_;
    request::policy_registry registry_;
    std::shared_ptr<const request::policy_set> policies_;
    request::worker_services services_{loop_, transport_, seen_, memory_, [] { return std::string{"{}"}; }};
    no_client nobody_{loop_};
    std::map<std::pair<bool, int>, nonce_text> texts_; // of requests, by stream and max_tokens
    std::vector<std::unique_ptr<session>> sessions_;
    std::vector<session*> free_;
    unsigned next_ = 0;
    std::size_t under_way_ = 0;
    bool too_many_ = false;
    run_result result_;
    request::virtual_end end_{services_};
};

void simulation::wait_for_next() {
    if (next_ < facts_.requests) loop_.timers().arm(*this, time_.at(traffic_.plan(next_).due));
}

void simulation::on_timer() {
    if (under_way_ == max_under_way) { // ends in order all the same: only then it is said
        too_many_ = true;
        return;
    }
    if (free_.empty()) {
        sessions_.push_back(std::make_unique<session>(*this, services_.buffers));
        free_.push_back(sessions_.back().get());
    }
    session& one = *free_.back();
    free_.pop_back();
    ++under_way_;
    one.begin(next_++);
    wait_for_next();
}

const nonce_text& simulation::text_for(const planned_request& request) {
    const auto key = std::pair{request.stream, request.max_tokens};
    const auto known = texts_.find(key);
    if (known != texts_.end()) return known->second;
    return texts_.emplace(key, request_text(request.stream, request.max_tokens)).first->second;
}

run_result simulation::run() {
    wait_for_next();
    loop_.run_virtual(time_.at(facts_.end + facts_.deadline) + winding_down);
    if (too_many_)
        throw std::runtime_error(fmt::format(
            "more than {} requests are under way at the same time: a lower rate can be simulated", max_under_way));
    result_.refused = transport_.refused();
    result_.wasted_events = seen_.wasted_events;
    result_.left = {.coroutines = loop_.nursery().size(),
                    .timers = loop_.timers().armed(),
                    .exchanges = transport_.open_now(),
                    .requests = under_way_,
                    .held_bytes = memory_.used(),
                    .attempts = seen_.under_way};
    return std::move(result_);
}

void session::begin(unsigned number) {
    number_ = number;
    plan_ = owner_.traffic_.plan(number);
    came_ = owner_.loop_.now();
    first_content_.reset();
    late_ = false;
    judge_.begin(plan_.speaks, plan_.stream);
    owner_.loop_.timers().arm(*this, came_ + scenario_time::length(owner_.facts_.deadline));
    owner_.loop_.nursery().spawn(ask(*this));
}

net::task<void> session::ask(session& me) {
    if (me.owner_.settings_) {
        co_await me.ask_proxy();
    } else {
        co_await me.ask_provider();
    }
    --me.owner_.under_way_;
    me.owner_.free_.push_back(&me);
}

void session::on_timer() {
    late_ = true;
    if (request_) request_->gone.request();
    if (reading_ != nullptr) reading_->cancel();
    if (direct_) direct_->close();
}

const std::string& session::write_question() {
    question_.clear();
    owner_.text_for(plan_).append(question_, number_);
    return question_;
}

// The same bytes, through the same gate, as a client's connection would read.
wire::request_head& session::read_head() {
    const std::string& bytes = write_question();
    input_.clear();
    const auto room = input_.space(bytes.size(), bytes.size());
    std::copy(bytes.begin(), bytes.end(), static_cast<char*>(room.data()));
    input_.commit(bytes.size());
    std::size_t scanned = 0;
    const auto result = wire::read_request_head(input_.unread(), {}, scanned, head_);
    if (result.is != wire::head_result::state::complete) throw std::logic_error("a simulated request was refused");
    input_.consume(result.consumed);
    return head_;
}

net::task<void> session::ask_proxy() {
    const wire::request_head& head = read_head();
    request::client_request& request = request_.emplace(request::incoming{.settings = owner_.settings_,
                                                                          .policies = owner_.policies_,
                                                                          .head = &head,
                                                                          .client_address = owner_.nobody_.peer(),
                                                                          .received = came_,
                                                                          .started = owner_.loop_.wall_now()},
                                                        owner_.loop_, owner_.nobody_, input_, owner_.services_.buffers);
    const auto& limits = owner_.settings_->limits;
    request.body.begin(
        head.body,
        {.max_body = limits.max_body, .max_held = owner_.settings_->replay_buffer, .silence = limits.body_timeout},
        false);

    request::answer given = co_await request::serve(owner_.services_, request);
    int status = 0;
    bool whole = false, degraded = false;
    if (given.body && !late_) {
        status = given.head->status;
        degraded = telemetry::to_string(given.service) == "degraded";
        reading_ = given.body.get();
        for (;;) {
            auto step = given.body->ready();
            if (!step) step = co_await given.body->next();
            whole = step->is == request::body_step::kind::end;
            if (step->is != request::body_step::kind::data) break;
            take(step->data);
        }
        reading_ = nullptr;
    }
    given.body.reset();
    given.permit = {};
    if (request.body.in_use()) co_await request.body.released();
    request_.reset();
    input_.release();
    finish(status, whole, degraded);
}

net::task<void> session::ask_provider() {
    direct_ = owner_.transport_.connect(static_cast<int>(number_ % static_cast<unsigned>(owner_.facts_.servers)));
    request::plain_answer answer;
    if (direct_) {
        answer = co_await request::ask_plainly(*direct_, write_question(), [this](std::string_view piece) {
            take(piece);
            return true;
        });
    }
    direct_.reset();
    finish(answer.status, answer.whole, false);
}

void session::take(std::string_view piece) {
    if (judge_.take(piece) && !first_content_) first_content_ = owner_.loop_.now();
}

void session::finish(int status, bool whole, bool degraded) {
    cancel();
    if (number_ < owner_.facts_.warm_up) return;
    const auto nonce = nonce_of(number_);
    const double deadline = owner_.facts_.deadline;
    sample& one = owner_.result_.samples[number_ - owner_.facts_.warm_up];
    one.due = plan_.due;
    one.stream = plan_.stream;
    one.attempts = static_cast<std::uint16_t>(owner_.transport_.attempts(number_));
    one.how = late_ ? model::verdict::late : judge_.judge({status, whole, degraded}, {nonce.data(), nonce.size()});
    one.seconds = one.first_token = deadline;
    if (one.how != model::verdict::success) return;
    const auto seconds = [&](steady_time at) { return in_seconds(at - came_); };
    one.seconds = seconds(owner_.loop_.now());
    one.first_token = first_content_ ? seconds(*first_content_) : one.seconds;
}

} // namespace

leftovers& leftovers::operator+=(const leftovers& more) noexcept {
    coroutines += more.coroutines;
    timers += more.timers;
    exchanges += more.exchanges;
    requests += more.requests;
    held_bytes += more.held_bytes;
    attempts += more.attempts;
    return *this;
}

run_result simulate(const traffic& what, const config::snapshot& settings, std::uint64_t seed) {
    return std::make_unique<simulation>(what, settings, seed)->run();
}

} // namespace evenkeel::simulate
