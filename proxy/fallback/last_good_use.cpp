#include "proxy/fallback/last_good_use.hpp"

#include "proxy/reading/judgement.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::not_kept;

// What describes the body; everything else spoke of that one exchange.
constexpr std::array<std::string_view, 4> kept_fields{"content-type", "content-encoding", "content-language",
                                                      "content-disposition"};

bool says(const auto& head, std::string_view name, std::string_view word) noexcept {
    return std::any_of(head.fields.begin(), head.fields.end(), [&](const wire::field& one) {
        return wire::iequals(one.name, name) &&
               std::search(one.value.begin(), one.value.end(), word.begin(), word.end(),
                           [](char a, char b) { return wire::lower(a) == b; }) != one.value.end();
    });
}

// Whether it may be kept for another day, as far as its head tells.
bool is_storable(const answer& given) noexcept {
    const wire::response_head& head = *given.head;
    if (head.status < 200 || head.status > 299 || head.status == 204 || head.status == 205 || head.status == 206)
        return false;
    // An end of the connection may be the end of the answer, or not.
    if (head.body.kind != wire::body_kind::length && head.body.kind != wire::body_kind::chunked) return false;
    if (says(head, "cache-control", "no-store") || says(head, "vary", "*")) return false;
    const content_facts content = content_of(head);
    if (!given.stream) return true;
    return !content.encoded && (content.is == content_facts::kind::events || content.is == content_facts::kind::lines);
}

// Reads along; the client gets every byte as it would without.
class recorded_body final : public body_source {
public:
    recorded_body(answer& from, last_good_store& store, const last_good_key& key, memory_bound& memory,
                  wire::dialect dialect, steady_time now, wall_time wall_now)
        : inner_(std::move(from.body)), store_(store), key_(key), charge_(memory), dialect_(dialect),
          most_(store.max_entry()), copy_(std::make_shared<stored_answer>()) {
        copy_->status = from.head->status;
        copy_->stream = from.stream;
        copy_->kept = now;
        copy_->kept_at = wall_now;
        for (const std::string_view name : kept_fields) {
            if (const wire::field* const one = from.head->find(name)) copy_->fields.emplace_back(name, one->value);
        }
        lines_ = content_of(*from.head).is == content_facts::kind::lines;
        const auto& framing = from.head->body;
        if (framing.kind == wire::body_kind::length) {
            if (framing.length > most_)
                give_up(not_kept::too_large);
            else
                charge_.expect(copy_->body, framing.length);
        }
    }
    ~recorded_body() override { give_up(not_kept::not_whole); }

    std::optional<body_step> ready() override {
        auto step = inner_->ready();
        if (step) note(*step);
        return step;
    }
    net::task<body_step> next() override {
        const body_step step = co_await inner_->next();
        note(step);
        co_return step;
    }
    void cancel() noexcept override { inner_->cancel(); }
    bool may_ask_again() const noexcept override { return inner_->may_ask_again(); }

private:
    void note(const body_step& step) {
        if (!copy_) return;
        switch (step.is) {
        case body_step::kind::data:
            if (copy_->body.size() + step.data.size() > most_) return give_up(not_kept::too_large);
            if (!charge_.append(copy_->body, step.data)) return give_up(not_kept::no_memory);
            return;
        case body_step::kind::truncated: return give_up(not_kept::not_whole);
        case body_step::kind::end: break;
        }
        if (copy_->stream && !is_whole_stream(step)) return give_up(not_kept::not_whole);
        copy_->body.shrink_to_fit();
        charge_.release(); // the store has a bound of its own
        store_.put(key_, std::exchange(copy_, nullptr));
    }
    [[nodiscard]] bool is_whole_stream(const body_step& step) const {
        if (step.ended != telemetry::stream_end::complete) return false;
        wire::stream_reader reader(lines_ ? wire::stream_format::ndjson : wire::stream_format::sse, dialect_, true);
        static_cast<void>(reader.read(copy_->body));
        static_cast<void>(reader.end());
        return reader.has_terminal() && !reader.has_error();
    }
    void give_up(not_kept why) noexcept {
        if (!copy_) return;
        copy_.reset();
        charge_.release();
        store_.count_not_kept(why);
    }

    std::unique_ptr<body_source> inner_;
    last_good_store& store_;
    last_good_key key_;
    memory_charge charge_;
    wire::dialect dialect_;
    std::uint64_t most_;
    bool lines_ = false;
    std::shared_ptr<stored_answer> copy_; // null: not, or no longer, to be kept
};
} // namespace

last_good_use::last_good_use(last_good_store& store, const client_request& request, const config::fallback_step& step)
    : store_(store), step_(step) {
    // An answer to anything else would claim an effect that did not happen.
    if (request.came.head->method != "GET" && request.came.head->method != "POST") return;
    if (says(*request.came.head, "cache-control", "no-store") ||
        request.came.head->find(std::string_view{"range"}) != nullptr)
        return;
    const hash_key* const key = store.key();
    if (key == nullptr) {
        why_not_ = fallback_skip::no_entry;
        return;
    }
    const bool stream = request.facts.wants_stream();
    key_ = last_good_key_of(request, step.key, stream, *key);
    if (stream && key_ && step.key == config::last_good_key_kind::partial_key)
        whole_ = last_good_key_of(request, step.key, false, *key);
}

last_good_use::found last_good_use::look(steady_time now) const {
    if (!key_) return {nullptr, why_not_};
    auto answer = store_.find(*key_);
    if (!answer && whole_) answer = store_.find(*whole_);
    if (!answer) return {nullptr, fallback_skip::no_entry};
    if (now - answer->kept > step_.max_age) return {nullptr, fallback_skip::too_old};
    return {std::move(answer)};
}

last_good_use::found last_good_use::take(steady_time now) const {
    auto out = look(now);
    store_.count_lookup(out.answer != nullptr);
    return out;
}

answer last_good_use::keep(answer given, memory_bound& memory, wire::dialect dialect, steady_time now,
                           wall_time wall_now) const {
    if (!given.body || given.local || given.failed_as) return given;
    if (!key_) {
        if (why_not_ == fallback_skip::no_entry) store_.count_not_kept(not_kept::not_ready);
        return given;
    }
    if (!is_storable(given)) {
        if (given.head->status < 300) store_.count_not_kept(not_kept::not_storable);
        return given;
    }
    given.body = std::make_unique<recorded_body>(given, store_, *key_, memory, dialect, now, wall_now);
    return given;
}

} // namespace evenkeel::request
