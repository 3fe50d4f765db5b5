#include "proxy/server/server.hpp"

#include "config/endpoints.hpp"
#include "proxy/admin/admin_server.hpp"
#include "proxy/coalesce/shared_flights.hpp"
#include "proxy/fallback/last_good_store.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/net/given_sockets.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/net/own_addresses.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/server/address_watch.hpp"
#include "proxy/server/chaos_control.hpp"
#include "proxy/server/descriptor_limit.hpp"
#include "proxy/server/file_watch.hpp"
#include "proxy/server/service_manager.hpp"
#include "proxy/server/successor.hpp"
#include "proxy/server/watchdog.hpp"
#include "proxy/server/worker.hpp"
#include "proxy/state/policy_registry.hpp"
#include "proxy/telemetry/access_log.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/telemetry/journal_store.hpp"
#include "proxy/telemetry/liveness.hpp"
#include "proxy/telemetry/metrics.hpp"
#include "proxy/telemetry/observer_group.hpp"
#include "proxy/telemetry/trace_exporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace evenkeel::server {

namespace {
// Other certificate files for the same sockets can be had without a restart.
bool same_sockets(const std::vector<config::listener>& now, const std::vector<config::listener>& wanted) {
    return std::equal(now.begin(), now.end(), wanted.begin(), wanted.end(),
                      [](const config::listener& one, const config::listener& other) {
                          return one.host == other.host && one.port == other.port && one.unix == other.unix &&
                                 one.tls.has_value() == other.tls.has_value();
                      });
}

net::server_contexts load_certificates(const std::vector<config::listener>& of) {
    net::server_contexts out;
    for (const auto& where : of)
        out.push_back(where.tls ? std::make_shared<const net::tls_server_context>(*where.tls) : nullptr);
    return out;
}

// In seconds since 1970, which may be further away than a `duration` goes.
template <class Context>
std::optional<double> expiry_of(const std::shared_ptr<const Context>& shown) {
    const auto when = shown ? shown->certificate_expires() : std::nullopt;
    return when ? std::optional(static_cast<double>(when->time_since_epoch().count())) : std::nullopt;
}
std::optional<double> first_to_expire(const net::server_contexts& of) {
    std::optional<double> first;
    for (const auto& one : of)
        if (const auto when = expiry_of(one)) first = first ? std::min(*first, *when) : when;
    return first;
}

// What a reload cannot change, because sockets and threads hang on it.
std::vector<std::string_view> needs_restart(const config::settings& now, const config::settings& wanted) {
    std::vector<std::string_view> keys;
    if (!same_sockets(now.listen, wanted.listen)) keys.push_back("listen");
    if (now.workers != wanted.workers) keys.push_back("workers");
    if (now.admin != wanted.admin) keys.push_back("admin");
    if (now.last_good.path != wanted.last_good.path) keys.push_back("last_good.path");
    return keys;
}

// What an operator is told of a reload.
admin::control_result result_of(const server::reloaded& found) {
    if (!found.taken) return {false, "the configuration was not taken, the old one stays in force", found.problem};
    admin::control_result told{true, "the configuration was reloaded"};
    told.restart_required.assign(found.needs_restart.begin(), found.needs_restart.end());
    return told;
}

// For the file of last good answers; then it is read meanwhile.
constexpr duration longest_store_wait = std::chrono::seconds{2};

// For the addresses of names with `resolve: each`; then their upstreams have one endpoint until they come.
constexpr duration longest_address_wait = std::chrono::seconds{1};

// After that: what is torn down, the last traces and lines of the log. (chosen)
constexpr duration longest_end = std::chrono::seconds{10};

// For the collector of traces to take what is left when the process ends. (chosen)
constexpr duration longest_last_export = std::chrono::seconds{2};

// A process that cannot write what it was told to write does not start.
void open_logs(const config::settings& with, telemetry::app_log& log, telemetry::access_log& access) {
    const auto demand = [&](std::string_view key, const std::string& path, const boost::system::error_code& failed) {
        if (failed)
            throw std::runtime_error(
                fmt::format("{}: {}: '{}' cannot be opened: {}", with.source, key, path, failed.message()));
    };
    demand("log.path", with.log.path, log.open(with.log.path));
    demand("access_log.path", with.access_log.path, access.open(with.access_log.path));
}

// Of what `evenkeel check` would print, the first line that matters.
std::string_view first_error(std::string_view problems) {
    const auto at = problems.find(": error: ");
    const auto line = at == std::string_view::npos ? at : problems.rfind('\n', at);
    problems.remove_prefix(line == std::string_view::npos ? 0 : line + 1);
    return problems.substr(0, problems.find('\n'));
}

// For a new process to read its files and to serve. (chosen: names that are looked up take seconds)
constexpr duration longest_start = std::chrono::seconds{60};
// Connections that are kept alive are to be closed by an answer: a pool comes back to each of them within that, or has
// no hurry. (chosen)
constexpr duration idle_grace = std::chrono::seconds{5};
// Beside connections, and two descriptors each of them: what the process itself has open. (chosen)
constexpr std::uint64_t own_descriptors = 128;

// A listening socket to be handed on.
struct kept_socket {
    int fd; // of its owner's, who closes it once draining has begun
    std::string name;
    std::function<void()> leave_file;
};

class duplicates {
public:
    explicit duplicates(const std::vector<kept_socket>& of) {
        for (const kept_socket& each : of) sockets_.emplace_back(::fcntl(each.fd, F_DUPFD_CLOEXEC, 0), each.name);
    }
    ~duplicates() {
        for (const auto& [fd, name] : sockets_)
            if (fd >= 0) ::close(fd);
    }
    duplicates(const duplicates&) = delete;
    duplicates& operator=(const duplicates&) = delete;
    [[nodiscard]] const std::vector<std::pair<int, std::string>>& all() const noexcept { return sockets_; }
    [[nodiscard]] bool complete() const noexcept {
        return std::all_of(sockets_.begin(), sockets_.end(), [](const auto& each) { return each.first >= 0; });
    }

private:
    std::vector<std::pair<int, std::string>> sockets_;
};

// What stood in files, without it: they hold secrets.
using file_marks = std::map<std::string, std::uint64_t>;
std::uint64_t mark_of(const std::optional<std::string>& text) { return text ? request::secret_hash(*text) : 0; }

// Reads the file again and notes what it is made of: itself, if it is no pipe, and whatever it names.
config::load_result read_noting(const server_options& how, file_marks& into) {
    config::environment noted = how.environment;
    noted.file = [&into, read = how.environment.file](const std::string& path) {
        auto text = read ? read(path) : std::nullopt;
        into[path] = mark_of(text);
        return text;
    };
    if (how.config_text) return config::load_text(*how.config_text, how.config_file, noted, how.stages);
    std::string text;
    config::load_result loaded = config::load_file(how.config_file, noted, &text, how.stages);
    std::error_code failed;
    const bool pipe = std::filesystem::is_fifo(how.config_file, failed);
    const bool unread = text.empty() && !loaded.diagnostics.empty() && loaded.diagnostics[0].code == "unreadable-file";
    if (!pipe) into[how.config_file] = mark_of(unread ? std::nullopt : std::optional{text});
    return loaded;
}

std::uint64_t random_seed() {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
}
} // namespace

struct server::inside {
    inside(server_options given, config::snapshot first)
        : options(std::move(given)), written(std::move(first)), settings(written),
          metrics({.version = options.version, .workers = settings->workers}), log(log_lines),
          access(access_lines, log), traces(log, {.version = options.version, .lookup = options.lookup}),
          everyone({&log, &access, &metrics, &health, &journal, &traces}),
          beats(settings->workers, std::chrono::steady_clock::now()) {}

    server_options options;
    std::mutex reloading;     // one reload, or change of addresses, at a time
    config::snapshot written; // by `reloading`: as the file has it, before names are looked up
    std::mutex taking;        // settings, what is told of them, server_certificate_expires
    config::snapshot settings;
    admin::configuration_state told;
    std::optional<double> server_certificate_expires;

    telemetry::background helper{"evenkeel-help"};
    // A disk may hang: not one for the other.
    telemetry::background log_lines{"evenkeel-log"}, access_lines{"evenkeel-access"};
    telemetry::metrics metrics;
    telemetry::health health;
    telemetry::app_log log;
    telemetry::access_log access;
    telemetry::journal_store journal;
    telemetry::trace_exporter traces;
    telemetry::observer_group everyone;
    telemetry::liveness beats;
    chaos_control chaos{helper, log};

    net::resolver resolver{options.lookup};
    net::tls_contexts tls;
    net::own_addresses own;
    request::memory_bound memory;
    request::policy_registry policies;
    request::last_good_store last_good{settings->last_good.max_bytes};
    request::shared_flights flights;
    std::vector<std::string> bound;
    std::vector<std::unique_ptr<worker>> workers;
    telemetry::background loading{"evenkeel-load"}; // reloads; refers to everything above
    address_watch addresses{options.lookup, options.look_up_every,
                            [this] { loading.post([this] { follow_addresses(); }); }};
    std::unique_ptr<admin::admin_server> admin; // refers to everything above
    std::optional<watchdog> signs_of_life;
    file_marks seen;                   // by `reloading`: what was read last, be it that it was not taken
    std::unique_ptr<file_watch> files; // null: has not started

    std::mutex handing; // draining begins, or a new process, one after the other
    std::vector<kept_socket> sockets;
    std::shared_ptr<successor> next_process; // that is starting
    std::thread upgrading;
    bool started = false;
    std::atomic<bool> draining{false}, restart_required{false};
    std::atomic<steady_time> serves_until{steady_time::max()}; // while draining
    std::atomic<bool> reload_waits{false}, reopening_waits{false},
        look_waits{false}; // for their turn, asked for by a signal

    void take(config::snapshot next) {
        memory.set_limit(next->limits.memory);
        last_good.set_limit(next->last_good.max_bytes);
        everyone.configuration_loaded(next);
        chaos.load(*next);
        const std::scoped_lock lock(taking);
        settings = std::move(next);
        told.file = settings->source;
        told.hash = settings->hash;
        told.loaded = wall_time{std::chrono::system_clock::now()};
    }
    // What came of reading the file again.
    void tell(bool taken, std::string problem, const std::vector<std::string_view>& needs_restart) {
        const std::scoped_lock lock(taking);
        told.tried = wall_time{std::chrono::system_clock::now()};
        told.last_reload_taken = taken;
        told.problem = std::move(problem);
        // Of a file that was not taken nothing is known: what waits for a restart goes on waiting.
        if (taken) told.restart_required.assign(needs_restart.begin(), needs_restart.end());
    }
    // `written`, with the endpoints that its names stand for now.
    [[nodiscard]] config::snapshot with_endpoints() {
        return config::with_addresses(*written, addresses.known(*written), *settings);
    }
    void hand_out() {
        const auto prepared = policies.prepare(*settings);
        for (auto& each : workers) each->use(settings, prepared);
    }
    // A few words, or nothing.
    [[nodiscard]] std::string why_not_ready() const {
        if (!draining) return {};
        const duration left = serves_until.load() - steady_time{std::chrono::steady_clock::now()};
        if (left <= duration::zero()) return "draining";
        return fmt::format("draining; requests are served for another {:.1f} s", in_seconds(left));
    }
    // By `reloading`.
    void follow_files() {
        if (!files) return;
        std::vector<std::string> names;
        if (written->watch)
            for (const auto& [name, mark] : seen) names.push_back(name);
        files->use(std::move(names));
    }
    // ... Empty: none is another one than it was.
    [[nodiscard]] std::string changed_file() const {
        for (const auto& [name, mark] : seen)
            if (mark_of(options.environment.file ? options.environment.file(name) : std::nullopt) != mark) return name;
        return {};
    }
    void follow_addresses() {
        const std::lock_guard lock(reloading);
        auto next = with_endpoints();
        if (next->upstreams == settings->upstreams) return;
        log.info("the addresses of upstreams have changed", {{"endpoints", std::to_string(next->upstreams.size())},
                                                             {"before", std::to_string(settings->upstreams.size())}});
        everyone.endpoints_changed(next);
        {
            const std::scoped_lock taken(taking);
            settings = std::move(next);
        }
        hand_out();
    }
    // To the service manager, whom there need not be.
    [[nodiscard]] std::string serving() const {
        return fmt::format("serving on {} with {} worker{}", fmt::join(bound, ", "), workers.size(),
                           workers.size() == 1 ? "" : "s");
    }
    void open_doors(const net::server_contexts& certificates);
    void raise_limit();
    void take_over_from(successor& next, const config::settings& now);
    [[nodiscard]] admin::control_result end_rests(const admin::rest_order& order) {
        const auto ended =
            policies.end_rests(order.upstream, order.endpoint, steady_time{std::chrono::steady_clock::now()});
        if (!ended) return {false, "no upstream or endpoint of that name rests at any time; see /health"};
        return {true, *ended == 0   ? std::string{"nothing of it rests"}
                      : *ended == 1 ? std::string{"1 rest was ended"}
                                    : fmt::format("{} rests were ended", *ended)};
    }
    // What a file before this one named is still known, and would come back with it.
    [[nodiscard]] admin::control_result set_credential(const admin::credential_word& order) {
        const auto now = current();
        const bool named = std::any_of(now->upstreams.begin(), now->upstreams.end(), [&](const auto& one) {
            return one->name == order.upstream &&
                   (order.name.empty() ? !one->credentials.empty()
                                       : std::any_of(one->credentials.begin(), one->credentials.end(),
                                                     [&](const auto& key) { return key.name == order.name; }));
        });
        using wanted = admin::credential_word::state;
        using word = request::policy_registry::credential_word;
        const steady_time at{std::chrono::steady_clock::now()};
        const word said{order.wanted == wanted::drained   ? word::kind::drained
                        : order.wanted == wanted::resting ? word::kind::resting
                                                          : word::kind::well,
                        at + order.length};
        if (!named || policies.say(order.upstream, order.name, said, at) == 0)
            return {false, "there is no credential of that name in that upstream's list; see /health"};
        return {true, "done"};
    }
    void show_certificates(const net::server_contexts& shown) {
        const std::scoped_lock lock(taking);
        server_certificate_expires = first_to_expire(shown);
    }
    void report_certificates(telemetry::process_report& to) {
        const config::snapshot now = current();
        for (const auto& upstream : now->upstreams) {
            if (upstream->tls.cert_file.empty()) continue;
            if (const auto when = expiry_of(tls.find(upstream->tls)))
                to.client_certificates_expire.emplace(upstream->name, *when);
        }
        const std::scoped_lock lock(taking);
        to.server_certificate_expires = server_certificate_expires;
    }
    // For whoever is not reload(): another thread may be taking the next one.
    [[nodiscard]] config::snapshot current() {
        const std::scoped_lock lock(taking);
        return settings;
    }
};

server::server(server_options options, config::snapshot settings)
    : inside_(std::make_unique<inside>(std::move(options), std::move(settings))) {
    inside& all = *inside_;
    open_logs(*all.settings, all.log, all.access);
    all.tls.use(net::tls_contexts::load(*all.settings));
    const net::server_contexts certificates = load_certificates(all.settings->listen);
    all.show_certificates(certificates);
    std::unique_lock building(all.reloading); // addresses that change meanwhile reach the workers when all are there
    all.addresses.use(*all.written, longest_address_wait);
    all.take(all.with_endpoints());
    const telemetry::policy_reporter reporter = [&all] {
        const steady_time now{std::chrono::steady_clock::now()};
        telemetry::policy_report report = all.policies.report(*all.current(), now);
        report.chaos_rules = all.chaos.rules().report(now).rules.size();
        return report;
    };
    all.metrics.report_from(reporter);
    all.health.report_from(reporter);
    if (!all.settings->last_good.path.empty())
        all.last_good.open_file(all.settings->last_good.path, all.log, longest_store_wait);
    all.metrics.report_last_good_from([&all] { return all.last_good.report(); });
    all.metrics.report_process_from([&all] {
        const auto kept = all.journal.summary();
        telemetry::process_report report{.access_log_dropped = all.access.dropped(),
                                         .memory_held = all.memory.used(),
                                         .memory_limit = all.memory.limit(),
                                         .journal_requests = kept.requests,
                                         .journal_bytes = kept.bytes,
                                         .journal_evicted = kept.evicted,
                                         .traces = all.traces.summary(),
                                         .restart_required = all.restart_required};
        all.report_certificates(report);
        return report;
    });
    const shared_parts shared{all.resolver,
                              all.tls,
                              all.own,
                              all.everyone,
                              all.memory,
                              [&all] {
                                  const telemetry::health_view view = all.health.view();
                                  return request::health_text{telemetry::health_json(view, false), view.healthy};
                              },
                              all.last_good,
                              all.flights,
                              all.chaos.rules(),
                              all.options.look_for_dead_ways_every};
    for (unsigned number = 0; number < all.settings->workers; ++number) {
        all.workers.push_back(std::make_unique<worker>(shared, all.settings, all.policies.prepare(*all.settings),
                                                       all.options.seed ? *all.options.seed + number : random_seed()));
        all.workers.back()->beat_for(all.beats, number);
    }
    building.unlock();
    all.open_doors(certificates);
    if (all.settings->admin.listen || all.settings->admin.metrics_listen) {
        all.admin = std::make_unique<admin::admin_server>(
            all.helper, all.settings->admin,
            admin::admin_sources{all.metrics, all.health, all.beats, all.log, &all.journal},
            admin::admin_callbacks{
                .why_not_ready = [&all] { return all.why_not_ready(); },
                .reload =
                    [this](admin::admin_callbacks::answer_later answer) {
                        request_reload(
                            [answer = std::move(answer)](const reloaded& found) { answer(result_of(found)); });
                    },
                .drain =
                    [this] {
                        drain();
                        return admin::control_result{true, "draining: the process ends when its requests have"};
                    },
                .force_circuit =
                    [&all](const admin::circuit_order& order) {
                        // What a file before this one named is still known, and would come back with it.
                        const auto now = all.current();
                        const bool named = std::any_of(now->upstreams.begin(), now->upstreams.end(),
                                                       [&](const auto& one) { return one->name == order.upstream; });
                        const bool found =
                            named && all.policies.force(order.route, order.upstream, order.endpoint, order.state,
                                                        steady_time{std::chrono::steady_clock::now()});
                        return found ? admin::control_result{true, "done"}
                                     : admin::control_result{
                                           false, "there is no circuit of that upstream on that route; see /health"};
                    },
                .end_rests = [&all](const admin::rest_order& order) { return all.end_rests(order); },
                .set_credential = [&all](const admin::credential_word& order) { return all.set_credential(order); },
                .chaos_rules =
                    [&all] { return all.chaos.rules().report(steady_time{std::chrono::steady_clock::now()}); },
                .set_chaos = [&all](std::string_view json) { return all.chaos.set(json, *all.current()); },
                .chaos_off = [&all] { return all.chaos.off(*all.current()); },
                .configuration = [&all] { return all.current(); },
                .configuration_state =
                    [&all] {
                        const std::scoped_lock lock(all.taking);
                        return all.told;
                    },
            });
        net::given_sockets none;
        if (const auto failure = all.admin->start(all.options.sockets != nullptr ? *all.options.sockets : none)) {
            throw std::runtime_error(
                fmt::format("cannot listen on {}: {}", failure->address, failure->error.message()));
        }
        for (auto& [socket, name] : all.admin->sockets())
            all.sockets.push_back({socket->native_handle(), std::move(name), socket->file_to_leave()});
    }
    if (const auto left = all.options.sockets != nullptr ? all.options.sockets->left() : std::vector<std::string>{};
        !left.empty()) {
        // Clients would wait there for ever, as the service manager goes on listening.
        if (!all.options.takes_over)
            throw std::runtime_error(
                fmt::format("{}: sockets were given that neither `listen` nor `admin` has: {}; it has {}",
                            all.settings->source, fmt::join(left, ", "), fmt::join(all.bound, ", ")));
        for (const std::string& each : left)
            all.log.info("the process before this one listened there, and this one does not", {{"address", each}});
        *all.options.sockets = {}; // nobody is to wait there
    }
    all.options.sockets = nullptr;
}

void server::inside::open_doors(const net::server_contexts& certificates) {
    net::given_sockets none;
    net::given_sockets& given = options.sockets != nullptr ? *options.sockets : none;
    const bool some = given.any();
    for (std::size_t at = 0; at < settings->listen.size(); ++at) {
        auto from = given.take(settings->listen[at], net::socket_use::data, settings->workers);
        const bool was_given = !from.empty();
        if (!was_given) from = net::bind_listener(settings->listen[at], settings->workers);
        bound.push_back(from.front().address());
        own.add(bound.back());
        if (some && !was_given)
            log.warning("no socket was given for this address; it was bound here", {{"address", bound.back()}});
        const auto share =
            std::max<std::uint32_t>(1, settings->limits.max_connections / static_cast<std::uint32_t>(from.size()));
        for (std::size_t number = 0; number < from.size(); ++number) {
            sockets.push_back({from[number].native_handle(), "listen", from[number].file_to_leave()});
            workers[number % workers.size()]->add_listener(at, std::move(from[number]), certificates[at],
                                                           {.max_connections = share});
        }
    }
}

void server::inside::raise_limit() {
    const descriptor_limit limit = raise_descriptor_limit();
    log.info("descriptors", {{"limit", std::to_string(limit.now)}, {"before", std::to_string(limit.before)}});
    const std::uint64_t wanted = 2 * std::uint64_t{settings->limits.max_connections} + own_descriptors;
    if (limit.now < wanted)
        log.warning("the system allows fewer descriptors than limits.max_connections may need, two each",
                    {{"limit", std::to_string(limit.now)}, {"wanted", std::to_string(wanted)}});
}

server::~server() {
    {
        const std::scoped_lock lock(inside_->handing);
        inside_->draining = true;
        if (inside_->next_process) inside_->next_process->give_up();
    }
    if (inside_->upgrading.joinable()) inside_->upgrading.join();
    inside_->signs_of_life.reset();
    if (inside_->admin) inside_->admin->stop();
    inside_->loading.stop(); // which uses what is here
    inside_->files.reset();
    stop_now();
    static_cast<void>(wait());
}

void server::start() {
    inside_->raise_limit();
    for (auto& each : inside_->workers) each->start();
    inside_->started = true;
    inside_->files = std::make_unique<file_watch>(
        inside_->options.watching,
        [this] {
            if (!inside_->look_waits.exchange(true))
                inside_->loading.post([this] {
                    inside_->look_waits = false;
                    look_at_files();
                });
        },
        [this](const std::string& why) {
            inside_->log.warning("a folder cannot be watched; its files are looked at now and then", {{"error", why}});
        });
    inside_->loading.post([this] { watch_files(); });
    for (const auto& address : inside_->bound) inside_->log.info("listening", {{"address", address}});
    for (const auto& address : admin_addresses()) inside_->log.info("listening for operators", {{"address", address}});
}

void server::tell_ready() {
    inside& all = *inside_;
    if (!all.options.manager) return;
    all.options.manager->ready(all.serving());
    if (const auto every = all.options.manager->sign_of_life_every())
        all.signs_of_life.emplace(all.helper, all.beats, *all.options.manager, *every);
}

server::reloaded server::read_again() {
    inside& all = *inside_;
    const std::lock_guard lock(all.reloading);
    const bool tells = all.options.manager && !all.draining;
    if (tells) all.options.manager->reloading();
    reloaded found = take_file();
    if (tells)
        all.options.manager->ready(
            !found.taken
                ? fmt::format("the file was not taken, the old one stays in force: {}", first_error(found.problem))
            : found.needs_restart.empty() ? all.serving()
                                          : fmt::format("{}; not in force before a restart: {}", all.serving(),
                                                        fmt::join(found.needs_restart, ", ")));
    return found;
}

server::reloaded server::take_file() {
    inside& all = *inside_;
    const server_options& told = all.options;
    file_marks seen;
    config::load_result loaded = read_noting(told, seen);
    std::string failure;
    net::tls_contexts::loaded contexts;
    net::server_contexts certificates;
    std::vector<config::listener> listen = all.settings->listen;
    if (!loaded.ok()) {
        std::ostringstream text;
        config::print_text(text, loaded.diagnostics);
        failure = text.str();
    } else {
        if (same_sockets(listen, loaded.settings->listen)) listen = loaded.settings->listen;
        try {
            contexts = net::tls_contexts::load(*loaded.settings);
            certificates = load_certificates(listen);
        } catch (const std::exception& error) {
            failure = error.what();
        }
    }
    if (!failure.empty()) {
        // Whatever the one in force is made of counts still: the next change may be there.
        seen.insert(all.seen.begin(), all.seen.end());
        all.seen = std::move(seen);
        all.follow_files();
        all.everyone.configuration_failed();
        all.tell(false, failure, {});
        all.log.error("the configuration was not taken; the old one stays in force",
                      {{"file", all.options.config_file}, {"problem", failure}});
        return {.taken = false, .problem = std::move(failure)};
    }
    reloaded found{.needs_restart = needs_restart(*all.settings, *loaded.settings)};
    for (const std::string_view key : found.needs_restart) {
        all.log.warning("a change of this key takes effect with a restart only", {{"key", key}});
    }
    all.restart_required = !found.needs_restart.empty();
    auto next = std::make_shared<config::settings>(*loaded.settings);
    next->listen = std::move(listen);
    next->workers = all.settings->workers;
    next->admin = all.settings->admin;
    next->last_good.path = all.settings->last_good.path;
    if (next->shown != nullptr && !found.needs_restart.empty())
        next->shown = std::make_shared<const std::string>(
            fmt::format("# not in force before a restart: {}\n{}", fmt::join(found.needs_restart, ", "), *next->shown));
    all.tls.use(std::move(contexts));
    all.written = std::move(next);
    all.seen = std::move(seen);
    all.follow_files();
    all.addresses.use(*all.written, longest_address_wait);
    all.take(all.with_endpoints());
    all.show_certificates(certificates);
    all.tell(true, {}, found.needs_restart);
    for (auto& each : all.workers) each->use(certificates);
    all.hand_out();
    all.log.info("configuration reloaded", {{"file", all.options.config_file}, {"hash", all.settings->hash}});
    return found;
}

// What the process began with was read by somebody else, a moment ago.
void server::watch_files() {
    inside& all = *inside_;
    bool same = true;
    {
        const std::lock_guard lock(all.reloading);
        if (!all.written->watch || !all.seen.empty()) return;
        const config::load_result now = read_noting(all.options, all.seen);
        same = now.ok() && now.settings->hash == all.written->hash;
        all.follow_files();
    }
    if (!same) read_again();
}

void server::look_at_files() {
    inside& all = *inside_;
    std::string file;
    {
        const std::lock_guard lock(all.reloading);
        if (all.draining || !all.written->watch) return;
        file = all.changed_file();
    }
    if (file.empty()) return;
    all.log.info("a file has changed, and the configuration is read again", {{"file", file}});
    read_again();
}

void server::request_reload(std::function<void(const reloaded&)> told) {
    // A signal's is one with the one that is about to begin, so that a hundred of them make no queue behind a disk that
    // hangs.
    if (!told && inside_->reload_waits.exchange(true)) return;
    inside_->loading.post([this, told = std::move(told)] {
        if (!told) inside_->reload_waits = false;
        const reloaded found = read_again();
        if (told) told(found);
    });
}

void server::drain() {
    const config::snapshot settings = inside_->current();
    const duration delay = settings->drain_delay, within = settings->drain_timeout;
    const steady_time until = steady_time{std::chrono::steady_clock::now()} + delay;
    {
        const std::scoped_lock lock(inside_->handing);
        if (until < inside_->serves_until.load()) inside_->serves_until = until;
        inside_->draining = true;
        if (inside_->next_process) inside_->next_process->give_up();
    }
    if (inside_->options.manager)
        inside_->options.manager->stopping(delay + within + longest_end,
                                           fmt::format("draining: {} s at most", in_seconds(delay + within)));
    inside_->log.info("draining", {{"delay", fmt::format("{}s", in_seconds(delay))},
                                   {"timeout", fmt::format("{}s", in_seconds(within))}});
    for (auto& each : inside_->workers) each->drain(delay, within);
}

void server::upgrade() {
    inside& all = *inside_;
    const auto refuse = [&](std::string_view why) {
        all.log.warning("there will be no new process; this one goes on", {{"reason", why}});
    };
    if (all.options.command.empty()) return refuse("this process cannot be started again");
    // Everything in a container ends with its first process.
    if (::getpid() == 1) return refuse("this is the first process of its container, which is what to replace");
    const std::scoped_lock lock(all.handing);
    if (all.draining) return refuse("this process is draining");
    if (all.next_process) return refuse("there is one starting already");
    if (all.upgrading.joinable()) all.upgrading.join(); // that of a former attempt, which has ended
    const config::snapshot now = all.current();
    all.last_good.lend_file(longest_store_wait);
    try {
        const duplicates handed(all.sockets);
        if (!handed.complete()) throw std::runtime_error("there are no descriptors left");
        all.next_process = std::make_shared<successor>(all.options.command, handed.all());
    } catch (const std::exception& failed) {
        all.last_good.take_file_back();
        return refuse(failed.what());
    }
    all.log.info("another process of this program is starting", {{"program", all.options.command.front()}});
    all.upgrading = std::thread([&all, now, next = all.next_process] { all.take_over_from(*next, *now); });
}

// On a thread of its own.
void server::inside::take_over_from(successor& next, const config::settings& now) {
    std::string why = next.wait(longest_start);
    std::unique_lock lock(handing);
    next_process.reset();
    if (why.empty() && draining) why = "this process is to end";
    if (!why.empty()) {
        last_good.take_file_back();
        log.error("the new process does not take over; this one goes on", {{"reason", why}});
        return;
    }
    draining = true;
    serves_until = steady_time{std::chrono::steady_clock::now()};
    for (const kept_socket& each : sockets) each.leave_file();
    lock.unlock();
    signs_of_life.reset();
    if (options.manager) options.manager->succeeded_by(next.id());
    next.let_go();
    log.info("another process has taken over; this one ends when its requests have",
             {{"process", std::to_string(next.id())}, {"timeout", fmt::format("{}s", in_seconds(now.drain_timeout))}});
    if (admin) admin->stop(); // what is asked from now on is asked of the new one
    for (auto& each : workers) each->leave_doors(idle_grace, now.drain_timeout);
}

void server::reopen_logs() {
    if (inside_->reopening_waits.exchange(true)) return; // one with that which is about to begin
    inside_->loading.post([all = inside_.get()] {
        all->reopening_waits = false;
        if (all->log.reopen()) all->log.info("the log files were opened anew");
        all->access.reopen();
    });
}

void server::stop_now() {
    for (auto& each : inside_->workers) each->stop_now();
}

bool server::wait() {
    if (!inside_->started) return true;
    bool clean = true;
    for (auto& each : inside_->workers) {
        each->join();
        const auto left = each->remaining();
        if (left.tasks + left.connections + left.timers + left.upstream_connections != 0) {
            clean = false;
            inside_->log.error("something was left over at the end: please report this",
                               {{"tasks", std::to_string(left.tasks)},
                                {"connections", std::to_string(left.connections)},
                                {"timers", std::to_string(left.timers)},
                                {"upstream_connections", std::to_string(left.upstream_connections)}});
        }
    }
    inside_->started = false;
    inside_->traces.finish(longest_last_export);
    inside_->access.flush();
    inside_->log.flush();
    return clean;
}

std::vector<std::string> server::addresses() const { return inside_->bound; }
std::vector<std::string> server::admin_addresses() const {
    std::vector<std::string> addresses;
    if (!inside_->admin) return addresses;
    const config::snapshot settings = inside_->current();
    const config::admin& wanted = settings->admin;
    if (wanted.listen) addresses.push_back(fmt::format("{}:{}", wanted.listen->host, inside_->admin->port()));
    if (wanted.metrics_listen)
        addresses.push_back(fmt::format("{}:{}", wanted.metrics_listen->host, inside_->admin->metrics_port()));
    return addresses;
}

} // namespace evenkeel::server
