#include "policies/endpoint_latency.hpp"

#include "policies/latency_window.hpp"

#include "tests/policies/latency_draws.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::test::endpoint_latency_test {

using namespace evenkeel::testing;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

hedge_options automatic() {
    hedge_options options;
    options.on = true;
    return options;
}

void record(endpoint_latency& in, const request_shape& shape, duration took, int n, steady_time now) {
    for (int i = 0; i < n; ++i) in.record(shape, took, latency_sample::answered, false, now);
}

double p95(endpoint_latency& of, const request_shape& shape, steady_time now) {
    const auto value = of.quantile(shape, 0.95, now);
    return value ? in_seconds(*value) : -1;
}
} // namespace

TEST_CASE("classes of tokens and sizes are factors of four") {
    CHECK(tokens_class_of(0) == 0);
    CHECK(tokens_class_of(1) == 1);
    CHECK(tokens_class_of(64) == 1);
    CHECK(tokens_class_of(65) == 2);
    CHECK(tokens_class_of(256) == 2);
    CHECK(tokens_class_of(257) == 3);
    CHECK(tokens_class_of(4096) == 4);
    CHECK(tokens_class_of(4097) == 5);
    CHECK(tokens_class_of(128000) == 7);
    CHECK(tokens_class_of(~0ULL) == 30);
    CHECK(size_class_of(0) == 0);
    CHECK(size_class_of(1024) == 0);
    CHECK(size_class_of(1025) == 1);
    CHECK(size_class_of(4096) == 1);
    CHECK(size_class_of(4097) == 2);
    CHECK(size_class_of(1 << 20) == 5);
    CHECK(size_class_of(~0ULL) == 27);
}

TEST_CASE("a shape is read at the deepest level that holds min_samples") {
    endpoint_latency latency(adaptive_options{});
    const request_shape exact{.stream = true, .model = 7, .tokens_class = 3, .size_class = 2};
    record(latency, exact, 8s, 10, start);

    CHECK(p95(latency, exact, start) == doctest::Approx(8).epsilon(0.01));
    // Others that share less and less with it are read from what they share.
    request_shape other = exact;
    other.size_class = 9;
    record(latency, other, 1s, 9, start);
    CHECK(p95(latency, other, start) == doctest::Approx(8).epsilon(0.01)); // its own nine are not enough
    record(latency, other, 1s, 1, start);
    CHECK(p95(latency, other, start) == doctest::Approx(1).epsilon(0.01));
    other.tokens_class = 9;
    CHECK(p95(latency, other, start) == doctest::Approx(8).epsilon(0.01)); // the model's
    other.model = 9;
    CHECK(p95(latency, other, start) == doctest::Approx(8).epsilon(0.01)); // streams'
    other.stream = false;
    CHECK(p95(latency, other, start) == doctest::Approx(8).epsilon(0.01)); // everything's
    CHECK(p95(latency, exact, start) == doctest::Approx(8).epsilon(0.01)); // its own, untouched
}

TEST_CASE("P6.4: nothing known, or nothing for longer than the window: `initial`, never 0") {
    endpoint_latency latency(adaptive_options{});
    const request_shape stream{.stream = true, .model = 7}, buffered{.stream = false, .model = 7};
    CHECK(latency.attempt_timeout(stream, start) == 30s);
    CHECK(latency.attempt_timeout(buffered, start) == 60s);
    CHECK_FALSE(latency.hedge_delay(stream, automatic(), start));
    CHECK_FALSE(latency.quantile(stream, 0.5, start));
    CHECK(latency.report(start).samples == 0);

    record(latency, stream, 2s, 100, start);
    CHECK(latency.attempt_timeout(stream, start + 1s) == 10s);
    CHECK(latency.attempt_timeout(stream, start + 16min) == 30s);
    CHECK_FALSE(latency.hedge_delay(stream, automatic(), start + 16min));
    CHECK(latency.attempt_timeout(stream, start + 1000h) == 30s);
}

TEST_CASE("P6.4: a model that fell silent is read from the models that did not") {
    endpoint_latency latency(adaptive_options{});
    const request_shape quiet{.stream = true, .model = 7}, busy{.stream = true, .model = 8};
    record(latency, quiet, 9s, 100, start);
    for (int minute = 0; minute <= 20; ++minute) record(latency, busy, 5s, 20, start + 1min * minute);
    CHECK(p95(latency, quiet, start + 20min) == doctest::Approx(5).epsilon(0.01));
}

TEST_CASE("first tokens say nothing of whole answers") {
    endpoint_latency latency(adaptive_options{});
    const request_shape stream{.stream = true, .model = 7}, buffered{.stream = false, .model = 7};
    record(latency, stream, 500ms, 100, start);
    CHECK(latency.attempt_timeout(buffered, start) == 60s); // not 25 s, the least of what is learned
    CHECK_FALSE(latency.hedge_delay(buffered, automatic(), start));
    record(latency, buffered, 30s, 100, start);
    CHECK(in_seconds(latency.attempt_timeout(buffered, start + 1s)) == doctest::Approx(90).epsilon(0.01));
    CHECK(latency.attempt_timeout(stream, start + 1s) == 10s);
}

TEST_CASE("the hedge delay follows the options; a fixed one needs no samples") {
    endpoint_latency latency(adaptive_options{});
    const request_shape shape{.stream = true, .model = 7};
    hedge_options options = automatic();
    options.delay = hedge_options::delay_kind::fixed;
    options.fixed = 3s;
    CHECK(latency.hedge_delay(shape, options, start) == 3s);
    record(latency, shape, 400ms, 95, start);
    record(latency, shape, 4s, 5, start);
    CHECK(in_millis(*latency.hedge_delay(shape, automatic(), start)) == doctest::Approx(400).epsilon(0.01)); // P95
    record(latency, shape, 4s, 5, start);
    hedge_options sparing = automatic();
    sparing.max_extra = 0.02;
    // 2.5 x median.
    CHECK(in_millis(*latency.hedge_delay(shape, sparing, start + 2s)) == doctest::Approx(1000).epsilon(0.01));
    options.delay = hedge_options::delay_kind::quantile;
    options.quantile = 0.96;
    CHECK(in_millis(*latency.hedge_delay(shape, options, start + 2s)) == doctest::Approx(4000).epsilon(0.01));
}

TEST_CASE("those who left make a hedge early and a timeout late") {
    adaptive_options adaptive;
    adaptive.min = {1ms, 1ms};
    endpoint_latency latency(adaptive);
    const request_shape shape{.stream = true};
    record(latency, shape, 1s, 50, start);
    for (int i = 0; i < 40; ++i) latency.record(shape, 2s, latency_sample::abandoned, false, start);
    record(latency, shape, 6s, 10, start);
    hedge_options options = automatic();
    options.delay = hedge_options::delay_kind::quantile;
    options.quantile = 0.85;
    CHECK(in_seconds(*latency.hedge_delay(shape, options, start)) == doctest::Approx(2).epsilon(0.01));
    CHECK(in_seconds(latency.attempt_timeout(shape, start)) == doctest::Approx(18).epsilon(0.01));
}

TEST_CASE("a read is kept for 250 ms, for 2 s while hardly anything is new, and not longer") {
    endpoint_latency latency(adaptive_options{});
    const request_shape shape{.stream = true, .model = 7};
    record(latency, shape, 1s, 100, start);
    CHECK(p95(latency, shape, start) == doctest::Approx(1).epsilon(0.01));
    CHECK(latency.attempt_timeout(shape, start) == 10s);
    record(latency, shape, 9s, 100, start);
    CHECK(p95(latency, shape, start + 249ms) == doctest::Approx(1).epsilon(0.01));
    CHECK(latency.attempt_timeout(shape, start + 249ms) == 10s);
    CHECK(p95(latency, shape, start + 250ms) == doctest::Approx(9).epsilon(0.01));
    CHECK(in_seconds(latency.attempt_timeout(shape, start + 250ms)) == doctest::Approx(27).epsilon(0.01));
    record(latency, shape, 20s, 12, start + 250ms); // 12 of 212
    CHECK(p95(latency, shape, start + 2249ms) == doctest::Approx(9).epsilon(0.01));
    CHECK(p95(latency, shape, start + 2250ms) == doctest::Approx(20).epsilon(0.01));
}

TEST_CASE("an attempt that ran into its timeout counts where that timeout was learned") {
    endpoint_latency latency(adaptive_options{});
    const request_shape slow{.stream = true, .model = 7}, usual{.stream = true, .model = 8},
        unknown{.stream = true, .model = 9};
    steady_time now = start;
    for (; now < start + 10s; now += 100ms) {
        latency.record(slow, 1s, latency_sample::answered, false, now);
        record(latency, usual, 1s, 10, now);
    }
    REQUIRE(latency.attempt_timeout(slow, now) == 10s);
    for (; now < start + 100s; now += 100ms) {
        latency.record(slow, latency.attempt_timeout(slow, now), latency_sample::cut_off, true, now);
        record(latency, usual, 1s, 10, now);
    }
    CHECK(latency.attempt_timeout(slow, now) >= 120s); // doubled and doubled again
    CHECK(latency.attempt_timeout(usual, now) == 10s);
    CHECK(latency.attempt_timeout(unknown, now) <= 30s);
}

TEST_CASE("silences of streams widen the idle timeout: 1.5 x the longest, at most 3 x, for 5 to 10 minutes") {
    endpoint_latency latency(adaptive_options{});
    CHECK(latency.widened_idle(60s, start) == 60s);
    latency.note_gap(30s, start);
    CHECK(latency.widened_idle(60s, start) == 60s);
    latency.note_gap(50s, start);
    latency.note_gap(20s, start);
    CHECK(latency.widened_idle(60s, start) == 75s);
    CHECK(latency.widened_idle(60s, start + 299s) == 75s);
    CHECK(latency.widened_idle(60s, start + 301s) == 75s);
    CHECK(latency.widened_idle(60s, start + 601s) == 60s);
    latency.note_gap(3h, start + 700s);
    CHECK(latency.widened_idle(60s, start + 700s) == 180s);
    CHECK(latency.widened_idle(60s, start + 700s + 1h) == 60s);
}

TEST_CASE("levels share a window until there is another shape: told apart as if each had had its own") {
    const adaptive_options options;
    // A window for each level of each shape, as the documentation has it.
    struct level {
        int depth;
        request_shape of;
        bool operator==(const level&) const = default;
    };
    const auto levels_of = [](request_shape shape) {
        std::vector<level> all;
        for (int depth = 4; depth >= 0; --depth) {
            all.push_back({depth, shape});
            if (depth == 4) shape.size_class = 0;
            if (depth == 3) shape.tokens_class = 0;
            if (depth == 2) shape.model = 0;
            if (depth == 1) shape.stream = false;
        }
        return all;
    };
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        draws random(seed);
        endpoint_latency latency(options);
        std::vector<std::pair<level, latency_window>> each;
        const auto window_of = [&](const level& at) -> latency_window& {
            const auto found = std::find_if(each.begin(), each.end(), [&](const auto& one) { return one.first == at; });
            if (found != each.end()) return found->second;
            return each.emplace_back(at, latency_window(options.window, options.min_samples)).second;
        };
        std::vector<request_shape> shapes;
        steady_time now = start;
        for (int step = 0; step < 300; ++step) {
            now += 2s + duration{1ms} * random.below(seed % 2 == 0 ? 500 : 20000);
            if (shapes.empty() || random.chance(0.03))
                shapes.push_back({.stream = random.chance(0.5),
                                  .model = 7u + random.below(2),
                                  .tokens_class = static_cast<std::uint8_t>(random.below(2)),
                                  .size_class = static_cast<std::uint8_t>(random.below(2))});
            const request_shape& shape = shapes[random.below(shapes.size())];
            const duration took = std::chrono::milliseconds{1 + random.below(20000)};
            const auto kind = random.chance(0.8) ? latency_sample::answered : latency_sample::cut_off;
            latency.record(shape, took, kind, false, now);
            for (const level& at : levels_of(shape)) window_of(at).add(took, kind, now);
            std::optional<duration> expected;
            for (const level& at : levels_of(shape)) {
                latency_window& window = window_of(at);
                if (window.samples(now) < options.min_samples) continue;
                expected = window.quantile(0.95, abandoned_as::cut_off, now);
                if (!expected) expected = window.last_answer(now);
                break;
            }
            CHECK(latency.quantile(shape, 0.95, now) == expected);
        }
    }
}

TEST_CASE("shapes are bounded: the longest unused goes, what is in use stays known") {
    endpoint_latency latency(adaptive_options{});
    const request_shape mine{.stream = true, .model = 7, .tokens_class = 2, .size_class = 2};
    draws random(5);
    record(latency, mine, 3s, 30, start);
    // A client names a thousand models, one after another; mine goes on now and then.
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const request_shape stranger{
            .stream = random.chance(0.5), .model = 1000 + i, .tokens_class = 1, .size_class = 1};
        latency.record(stranger, 1s, latency_sample::answered, false, start + 10ms * i);
        if (i % 20 == 0) latency.record(mine, 3s, latency_sample::answered, false, start + 10ms * i);
    }
    CHECK(p95(latency, mine, start + 11s) == doctest::Approx(3).epsilon(0.01));
    CHECK(latency.shapes() <= endpoint_latency::max_shapes);
    CHECK(latency.memory_bytes() < 2 * 1024 * 1024);
    MESSAGE("256 thin shapes: ", latency.memory_bytes(), " bytes");
    // A model that was forgotten is a new one.
    CHECK(p95(latency, {.stream = true, .model = 1000, .tokens_class = 1, .size_class = 1}, start + 11s) > 0);
}

TEST_CASE("a reload keeps what was learned and takes the new options") {
    endpoint_latency latency(adaptive_options{});
    const request_shape shape{.stream = true, .model = 7};
    for (int i = 0; i < 100; ++i) latency.record(shape, 8s, latency_sample::answered, false, start + 100ms * i);
    REQUIRE(in_seconds(latency.attempt_timeout(shape, start + 10s)) == doctest::Approx(24).epsilon(0.01));
    adaptive_options options;
    options.multiplier = 5;
    options.window = 30s;
    latency.configure(options);
    CHECK(in_seconds(latency.attempt_timeout(shape, start + 10s)) == doctest::Approx(40).epsilon(0.01));
    options.min_samples = 200;
    latency.configure(options);
    CHECK(latency.attempt_timeout(shape, start + 10s) == 30s);
}

TEST_CASE("the report: medians of everything, timeouts of both kinds") {
    endpoint_latency latency(adaptive_options{});
    record(latency, {.stream = true, .model = 7}, 1s, 95, start);
    record(latency, {.stream = false, .model = 7}, 30s, 10, start);
    const auto report = latency.report(start);
    CHECK(report.samples == 105);
    CHECK(in_seconds(*report.p50) == doctest::Approx(1).epsilon(0.01));
    CHECK(in_seconds(*report.p95) == doctest::Approx(30).epsilon(0.01));
    CHECK(report.current_timeout_stream == 10s);
    CHECK(in_seconds(report.current_timeout_buffered) == doctest::Approx(90).epsilon(0.01));
}

TEST_CASE("several threads record and ask at once") {
    endpoint_latency latency(adaptive_options{});
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (std::uint64_t i = 0; i < 3000; ++i) {
                const request_shape shape{.stream = true, .model = i % 100 + t, .tokens_class = 1, .size_class = 1};
                const steady_time now = start + 1ms * i;
                latency.record(shape, 500ms, latency_sample::answered, false, now);
                static_cast<void>(latency.attempt_timeout(shape, now));
                static_cast<void>(latency.hedge_delay(shape, automatic(), now));
                latency.note_gap(1s, now);
                if (i == 1500) latency.configure(adaptive_options{.min_samples = 20});
            }
        });
    }
    for (auto& one : threads) one.join();
    CHECK(latency.report(start + 3s).samples == 12000);
}

TEST_CASE(
    "what is usual is known from one answer on, of its kind, and for ever; of other questions at least a second") {
    endpoint_latency latency{adaptive_options{}};
    const request_shape brief{.model = 7, .tokens_class = 1};
    const request_shape large{.model = 7, .tokens_class = 1, .size_class = endpoint_latency::large_size};
    const request_shape other_model{.model = 8, .tokens_class = 1};
    const request_shape stream{.stream = true, .model = 7, .tokens_class = 1};
    const request_shape much{.model = 7, .tokens_class = 5};
    CHECK_FALSE(latency.usual(brief, start));
    latency.record(brief, 60s, latency_sample::cut_off, true, start);
    CHECK_FALSE(latency.usual(brief, start));
    latency.record(brief, 200ms, latency_sample::answered, false, start);
    steady_time now = start + 24h;
    CHECK(latency.usual(brief, now) == 200ms);
    CHECK(latency.usual({.model = 7, .tokens_class = 1, .size_class = 2}, now) == 200ms);
    for (const auto& shape : {large, other_model, much}) CHECK(latency.usual(shape, now) == 1s);
    CHECK_FALSE(latency.usual(stream, now));
    latency.record(much, 4s, latency_sample::answered, false, now);
    now += 10s;
    CHECK(latency.usual(much, now) == 4s);
    CHECK(latency.usual(brief, now) == 200ms);
    CHECK(latency.usual(other_model, now) == 4s);                        // longer than a second as it is
    latency.record(large, 100ms, latency_sample::abandoned, false, now); // no answer yet
    now += 10s;
    CHECK(latency.usual(large, now) == 1s);
    latency.record(large, 300ms, latency_sample::answered, false, now);
    now += 10s;
    CHECK(latency.usual(large, now) == 300ms);
    latency.record(brief, 50s, latency_sample::answered, false, now, false); // known not to be usual
    now += 10s;
    CHECK(latency.usual(brief, now) == 300ms);
}

} // namespace evenkeel::test::endpoint_latency_test
