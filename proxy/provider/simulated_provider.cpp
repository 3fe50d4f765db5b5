#include "proxy/provider/simulated_provider.hpp"

#include "proxy/provider/connection.hpp"
#include "proxy/provider/core.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <thread>

namespace evenkeel::provider {

namespace asio = boost::asio;
using acceptor = asio::basic_socket_acceptor<asio::ip::tcp, provider_executor>;

struct simulated_provider::implementation {
    explicit implementation(provider_options options)
        : core(std::move(options)), listener(context), control_listener(context), refusal(context) {
        const auto& chosen = core.options();
        if (chosen.tls) configure_tls(*chosen.tls);
        port = open(listener, chosen.port);
        control_port = open(control_listener, chosen.control_port);
        accept(listener, false);
        accept(control_listener, true);
        thread = std::thread{[this] { context.run(); }};
    }
    ~implementation() { stop(); }

    void configure_tls(const provider_tls& files) {
        try {
            tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
            tls->use_certificate_chain_file(files.cert_file);
            tls->use_private_key_file(files.key_file, asio::ssl::context::pem);
            SSL_CTX_set_session_id_context(tls->native_handle(), reinterpret_cast<const unsigned char*>("sim"), 3);
            if (files.max_version != 0) {
                SSL_CTX_set_security_level(tls->native_handle(), 0);
                SSL_CTX_set_max_proto_version(tls->native_handle(), files.max_version);
            }
            if (files.client_ca_file.empty()) return;
            tls->load_verify_file(files.client_ca_file);
            tls->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
        } catch (const boost::system::system_error& error) {
            throw std::runtime_error(std::string{"simulated provider: tls: "} + error.what());
        }
    }

    std::uint16_t open(acceptor& at, std::uint16_t wanted) {
        try {
            const asio::ip::tcp::endpoint endpoint{asio::ip::make_address(core.options().host), wanted};
            at.open(endpoint.protocol());
            at.set_option(asio::socket_base::reuse_address{true});
            if (core.options().receive_buffer > 0) // inherited by what is accepted
                at.set_option(asio::socket_base::receive_buffer_size{static_cast<int>(core.options().receive_buffer)});
            at.bind(endpoint);
            at.listen(4096);
            return at.local_endpoint().port();
        } catch (const boost::system::system_error& error) {
            throw std::runtime_error("simulated provider: cannot listen on " + core.options().host + ":" +
                                     std::to_string(wanted) + ": " + error.what());
        }
    }

    void accept(acceptor& at, bool control) {
        at.async_accept(context, [this, &at, control](const boost::system::error_code& error, tcp_socket socket) {
            if (error == asio::error::operation_aborted || !at.is_open()) return;
            if (!error) begin(std::move(socket), control);
            accept(at, control);
        });
    }

    void begin(tcp_socket socket, bool control) {
        connection_setup setup{core, tls.get()};
        setup.control = control;
        if (control) setup.tls = nullptr;
        setup.number = ++accepted;
        if (!control) {
            setup.on_accept = core.on_accept();
            core.update([this] {
                auto& count = core.count;
                ++count.connections;
                count.peak_connections = std::max(count.peak_connections, ++count.open_connections);
            });
        }
        setup.on_effect = [this](const control_effect& effect) {
            if (effect.drop_idle) drop(effect.drop_with_reset);
            if (effect.refuse_for.count() > 0) refuse_for(effect.refuse_for);
        };
        setup.on_end = [this, control](provider_connection* which) {
            connections.erase(which);
            if (!control) core.update([this] { --core.count.open_connections; });
        };
        auto started = start_connection(std::move(socket), std::move(setup));
        connections.emplace(started.get(), started);
    }

    void drop(bool with_reset) {
        for (const auto& entry : connections)
            if (const auto alive = entry.second.lock()) alive->drop_if_idle(with_reset);
    }
    void say(const std::string& bytes) {
        for (const auto& entry : connections)
            if (const auto alive = entry.second.lock()) alive->say_if_idle(bytes);
    }
    void close_listener() {
        boost::system::error_code ignored;
        listener.close(ignored);
    }
    void reopen_listener() {
        if (listener.is_open()) return;
        open(listener, port);
        accept(listener, false);
    }
    void refuse_for(std::chrono::milliseconds time) {
        close_listener();
        refusal.expires_after(time);
        refusal.async_wait([this](const boost::system::error_code& error) {
            if (!error) reopen_listener();
        });
    }

    void stop() {
        if (!thread.joinable()) return;
        asio::post(context, [this] {
            close_listener();
            boost::system::error_code ignored;
            control_listener.close(ignored);
            refusal.cancel();
            for (const auto& entry : connections)
                if (const auto alive = entry.second.lock()) alive->abort(false);
        });
        thread.join(); // run() returns when the last connection is gone
    }

    // Runs `work` on the provider's thread and waits for it.
    template <class Work>
    void run_there(Work work) {
        if (!thread.joinable()) return;
        std::promise<void> done;
        asio::post(context, [&] {
            try {
                work();
                done.set_value();
            } catch (...) {
                done.set_exception(std::current_exception());
            }
        });
        done.get_future().get();
    }

    provider_core core;
    asio::io_context context{1};
    std::unique_ptr<asio::ssl::context> tls;
    acceptor listener, control_listener;
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                               provider_executor>
        refusal;
    std::uint16_t port = 0, control_port = 0;
    std::uint64_t accepted = 0;
    std::map<provider_connection*, std::weak_ptr<provider_connection>> connections;
    std::thread thread;
};

simulated_provider::simulated_provider(provider_options options)
    : implementation_(std::make_unique<implementation>(std::move(options))) {}
simulated_provider::~simulated_provider() = default;

std::uint16_t simulated_provider::port() const noexcept { return implementation_->port; }
std::uint16_t simulated_provider::control_port() const noexcept { return implementation_->control_port; }
std::string simulated_provider::url() const {
    const auto& options = implementation_->core.options();
    return (options.tls ? "https://" : "http://") + options.host + ":" + std::to_string(port());
}

void simulated_provider::stop() { implementation_->stop(); }
void simulated_provider::script(provider_rule rule) { implementation_->core.add_rule(std::move(rule)); }
void simulated_provider::play(std::string script) {
    const script_choice checked{script}; // before anything is forgotten
    reset();
    implementation_->core.add_rule({.script = std::move(script)});
}
void simulated_provider::clear_scripts() { implementation_->core.clear_rules(); }
void simulated_provider::reset() { implementation_->core.reset(); }
void simulated_provider::refuse() {
    implementation_->run_there([this] { implementation_->close_listener(); });
}
void simulated_provider::accept_again() {
    implementation_->run_there([this] { implementation_->reopen_listener(); });
}
void simulated_provider::drop_idle(bool with_reset) {
    implementation_->run_there([this, with_reset] { implementation_->drop(with_reset); });
}

void simulated_provider::say_to_idle(const std::string& bytes) {
    implementation_->run_there([this, &bytes] { implementation_->say(bytes); });
}

std::vector<attempt_record> simulated_provider::records() const { return implementation_->core.records(); }
provider_counters simulated_provider::counters() const { return implementation_->core.counters(); }
std::uint64_t simulated_provider::turns(const std::string& nonce) const { return implementation_->core.turns(nonce); }
bool simulated_provider::wait_for(const std::function<bool(const provider_counters&)>& holds,
                                  std::chrono::milliseconds timeout) const {
    return implementation_->core.wait_for(holds, timeout);
}
std::optional<attempt_record> simulated_provider::wait_for_record(
    const std::function<bool(const attempt_record&)>& matches, std::chrono::milliseconds timeout) const {
    return implementation_->core.wait_for_record(matches, timeout);
}

} // namespace evenkeel::provider
