#include "proxy/provider/connection.hpp"

#include "proxy/provider/answers.hpp"
#include "proxy/provider/text.hpp"
#include "proxy/provider/wire.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <vector>

namespace evenkeel::provider {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
template <class T>
using task = asio::awaitable<T, provider_executor>;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable_t<provider_executor>{});

struct io_result {
    error_code error;
    std::size_t bytes = 0;
    [[nodiscard]] bool ok() const noexcept { return !error; }
};

// How much a peer may send ahead before reading stops; more than any request head or pipelined probe needs.
constexpr std::size_t read_ahead_bytes = 1024 * 1024;
// After an answer the peer has not read the body for: how long it may go on sending before the connection is closed.
constexpr std::chrono::seconds lingering{2};
constexpr auto forever = std::chrono::steady_clock::time_point::max();

using timer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                         provider_executor>;

// A request on its way in: what Beast's parser has made of it, and what became of its body.
struct incoming {
    explicit incoming(std::function<void(std::uint64_t position, std::string_view data)> told)
        : reader([this, told = std::move(told)](std::string_view data) {
              told(bytes, data);
              hash.add(data);
              bytes += data.size();
              if (keep) body.append(data);
          }) {}
    bool keep = true; // the body; otherwise counted and hashed only
    std::uint64_t bytes = 0;
    std::string body;
    sha256 hash;
    message_reader<true> reader;
};

class connection final : public provider_connection, public std::enable_shared_from_this<connection> {
public:
    connection(tcp_socket socket, connection_setup setup)
        : core_(setup.core), setup_(std::move(setup)), socket_(std::move(socket)), changed_(socket_.get_executor()),
          accepted_ns_(monotonic_ns()) {
        error_code ignored;
        socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
    }

    void start() { asio::co_spawn(socket_.get_executor(), run(shared_from_this()), asio::detached); }

    void abort(bool with_reset) noexcept override {
        if (with_reset)
            reset_socket();
        else
            close_socket();
    }
    void drop_if_idle(bool with_reset) noexcept override {
        if (!idle_) return;
        if (with_reset || !secure_) return abort(with_reset);
        dropped_ = true; // ends as after any other idleness
        changed_.cancel();
    }
    void say_if_idle(const std::string& bytes) override {
        if (idle_) asio::co_spawn(socket_.get_executor(), say(shared_from_this(), bytes), asio::detached);
    }

private:
    static task<void> run(std::shared_ptr<connection> self) {
        co_await self->serve();
        self->close_socket();
        while (self->reading_) co_await self->wait_until(forever); // the reader refers to this object
        self->setup_.on_end(self.get());
    }

    static task<void> say(std::shared_ptr<connection> self, std::string bytes) { co_await self->write_all(bytes); }

    task<void> serve() {
        const auto accept = setup_.on_accept.accept;
        if (accept == accept_action::reset) co_return reset_socket();
        if (accept == accept_action::close) co_return close_socket();
        if (accept == accept_action::garbage) {
            const auto bytes = setup_.on_accept.raw.value_or("\x16\x03garbage, and neither TLS nor HTTP\r\n\r\n");
            co_await write_all(bytes);
            error_code ignored;
            socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
        }
        const bool deaf = accept == accept_action::silence || accept == accept_action::garbage;
        if (accept == accept_action::tunnel && !co_await grant_tunnel()) co_return;
        if (setup_.tls != nullptr && !deaf) {
            tls_.emplace(socket_, *setup_.tls);
            auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, as_result);
            if (error) {
                core_.update([this] { ++core_.count.handshake_failures; });
                co_return;
            }
            secure_ = true;
            const char* name = SSL_get_servername(tls_->native_handle(), TLSEXT_NAMETYPE_host_name);
            server_name_ = name != nullptr ? name : "";
        }
        reading_ = true;
        asio::co_spawn(socket_.get_executor(), read_on(), asio::detached);
        if (deaf) {
            while (!gone()) {
                input_.clear();
                wake_reader();
                co_await wait_until(forever);
            }
            co_return;
        }
        while (co_await serve_one()) {}
        if (!gone()) co_await close_politely();
    }

    // The client waits for the grant before it goes on, so nothing is read ahead.
    task<bool> grant_tunnel() {
        message_reader<true> reader{{}};
        std::array<char, 4096> block; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the read
        while (reader.read_head(input_) == message_part::head) {
            const auto read = co_await read_some(asio::buffer(block));
            if (!read.ok()) co_return false;
            input_.append(block.data(), read.bytes);
        }
        if (!reader.error.empty()) co_return false;
        const auto record = core_.begin(record_of(reader));
        const auto granted = response_head_text(200, {{"via", "sim"}});
        const auto written = co_await write_all(granted);
        core_.finish(record, [&](attempt_record& r) {
            r.status = 200;
            r.finished_ns = monotonic_ns();
            r.complete = written.ok();
        });
        co_return written.ok();
    }

    [[nodiscard]] attempt_record record_of(message_reader<true>& reader) const {
        attempt_record out;
        out.accepted_ns = accepted_ns_;
        out.connection = setup_.number;
        out.head_ns = monotonic_ns();
        out.method = std::move(reader.head.method);
        out.target = std::move(reader.head.target);
        out.minor_version = reader.head.minor_version;
        out.headers = std::move(reader.head.headers);
        out.bytes_in = reader.taken;
        return out;
    }

    // How much may lie here unread before the peer has to wait.
    [[nodiscard]] std::size_t room() const noexcept {
        return script_.reads_bytes > 0 ? readable_ + script_.reads_bytes : read_ahead_bytes;
    }

    task<void> read_on() {
        auto self = shared_from_this();
        std::array<char, 65536> block; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the read
        for (;;) {
            while (input_.size() >= room() && open_) {
                timer room{socket_.get_executor(), forever};
                reader_pause_ = &room;
                co_await room.async_wait(as_result);
                reader_pause_ = nullptr;
            }
            if (!open_) break;
            const auto read = co_await read_some(asio::buffer(block));
            if (!read.ok()) {
                if (open_) note_peer_gone(read.error);
                break;
            }
            input_.append(block.data(), read.bytes);
            changed_.cancel();
        }
        reading_ = false;
        changed_.cancel();
    }

    task<io_result> read_some(asio::mutable_buffer into) {
        if (secure_) {
            const auto [error, size] = co_await tls_->async_read_some(into, as_result);
            co_return io_result{error, size};
        }
        const auto [error, size] = co_await socket_.async_read_some(into, as_result);
        co_return io_result{error, size};
    }
    task<io_result> write_all(std::string_view bytes) {
        const auto buffer = asio::buffer(bytes.data(), bytes.size());
        if (secure_) {
            const auto [error, size] = co_await asio::async_write(*tls_, buffer, as_result);
            co_return io_result{error, size};
        }
        const auto [error, size] = co_await asio::async_write(socket_, buffer, as_result);
        co_return io_result{error, size};
    }

    void wake_reader() noexcept {
        if (reader_pause_ != nullptr) reader_pause_->cancel();
    }

    void note_peer_gone(const error_code& error) {
        if (peer_gone_) return;
        peer_gone_ = true;
        if (secure_ && error == asio::error::eof) core_.update([this] { ++core_.count.goodbyes; });
        changed_.cancel();
        if (record_ == nullptr) return;
        core_.quietly([&] {
            record_->peer_closed_ns = monotonic_ns();
            record_->peer_reset = error == asio::error::connection_reset || error == asio::error::broken_pipe;
        });
    }

    // No more can come from the peer (or this side closed).
    [[nodiscard]] bool gone() const noexcept { return peer_gone_ || !open_; }
    // The answer has nobody to go to.
    [[nodiscard]] bool abandoned() const noexcept { return !open_ || (peer_gone_ && !script_.keep_going); }

    task<void> wait_until(std::chrono::steady_clock::time_point due) {
        changed_.expires_at(due);
        co_await changed_.async_wait(as_result);
    }

    // False if the answer was abandoned meanwhile.
    task<bool> pause(std::int64_t ns) {
        const auto due = std::chrono::steady_clock::now() + std::chrono::nanoseconds{std::max<std::int64_t>(ns, 0)};
        while (!abandoned() && std::chrono::steady_clock::now() < due) co_await wait_until(due);
        co_return !abandoned();
    }
    task<bool> pause(const script_time& time) { // `time` is a member of script_, which stays while this waits
        if (time.none()) co_return !abandoned();
        co_return co_await pause(drawn(time));
    }
    std::int64_t drawn(const script_time& time) {
        const auto serial = record_ != nullptr ? record_->serial : 0;
        const auto n = draws_++;
        return time.draw(core_.draw(serial, 2 * n), core_.draw(serial, 2 * n + 1));
    }

    void close_socket() noexcept {
        open_ = false;
        error_code ignored;
        socket_.close(ignored);
        changed_.cancel();
        wake_reader();
    }
    void reset_socket() noexcept {
        error_code ignored;
        socket_.set_option(asio::socket_base::linger{true, 0}, ignored);
        close_socket();
    }

    // FIN; with TLS close_notify before it unless the script truncates.
    task<void> end_sending() {
        if (secure_ && !script_.tls_truncate && open_) {
            // With the peer's close_notify taken for granted, OpenSSL sends ours and does not wait.
            SSL_set_shutdown(tls_->native_handle(), SSL_RECEIVED_SHUTDOWN);
            co_await tls_->async_shutdown(as_result);
        }
        error_code ignored;
        socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    }
    task<void> close_politely() {
        co_await end_sending();
        // Closing with unread bytes would send RST and could take the answer with it.
        if (unread_body_) {
            const auto due = std::chrono::steady_clock::now() + lingering;
            while (!gone() && std::chrono::steady_clock::now() < due) {
                input_.clear();
                wake_reader();
                co_await wait_until(due);
            }
        }
        close_socket();
    }

    task<bool> serve_one() {
        in_.emplace([this](std::uint64_t at, std::string_view data) {
            const auto& told = core_.options().on_body;
            if (told && record_ != nullptr) told(*record_, at, data);
        });
        auto& reader = in_->reader;
        for (;;) {
            const auto next = reader.read_head(input_);
            if (next == message_part::malformed) co_return co_await refuse_malformed();
            if (next != message_part::head) break;
            if (gone()) co_return false;
            if (!co_await wait_for_request(reader.taken == 0)) co_return false;
        }
        wake_reader();
        attempt_record head = record_of(reader);
        const std::string path = head.target.substr(0, head.target.find('?'));
        if (path.starts_with("/__sim/") || setup_.control) co_return co_await serve_control(head.method, path);

        head.on_connection = ++served_;
        head.server_name = server_name_;
        head.resumed = secure_ && SSL_session_reused(tls_->native_handle()) == 1;
        std::shared_ptr<const script_choice> choice;
        try {
            choice = core_.choose(head);
            head.script = choice->text();
        } catch (const script_error& error) {
            choice = nullptr;
            head.script = error.what();
        }
        script_ = provider_script{};
        draws_ = 0;
        record_ = core_.begin(std::move(head));
        const bool go_on = co_await answer(choice);
        core_.finish(record_, [this](attempt_record& r) {
            r.finished_ns = monotonic_ns();
            r.complete = whole_;
            r.cancelled = !whole_ && r.peer_closed_ns != 0;
            if (r.cancelled && r.input_tokens == 0) r.input_tokens = owed_;
        });
        record_.reset();
        in_.reset();
        if (go_on && script_.idle_close) idle_limit_ns_ = drawn(*script_.idle_close);
        co_return go_on&& open_;
    }

    // Waits for bytes; false once the connection was idle for too long.
    task<bool> wait_for_request(bool nothing_taken) {
        const auto& options = core_.options();
        auto limit = idle_limit_ns_;
        // A connection that has carried nothing yet is not idle: closing it would be a fault of another kind.
        if (limit < 0 && served_ > 0 && options.idle_random.count() > 0)
            limit = static_cast<std::int64_t>(core_.draw(setup_.number, served_) * 1e6 *
                                              static_cast<double>(options.idle_random.count()));
        if (limit < 0 && options.idle_timeout.count() > 0)
            limit = std::chrono::nanoseconds{options.idle_timeout}.count();
        const auto due =
            limit < 0 || setup_.control ? forever : std::chrono::steady_clock::now() + std::chrono::nanoseconds{limit};
        const auto before = input_.size();
        idle_ = nothing_taken && before == 0;
        while (input_.size() == before && !gone() && std::chrono::steady_clock::now() < due && !dropped_)
            co_await wait_until(due);
        idle_ = false;
        co_return input_.size() != before;
    }

    task<bool> refuse_malformed() {
        static const std::string answer = response_head_text(400, {{"content-length", "0"}, {"connection", "close"}});
        co_await write_raw(answer);
        co_return false;
    }

    task<bool> serve_control(const std::string& method, const std::string& path) {
        if (!co_await read_body()) co_return false;
        control_effect effect;
        const auto [status, told] = core_.control(method, path, in_->body, effect);
        const header_list fields{{"content-type", "application/json"}, {"content-length", std::to_string(told.size())}};
        const std::string out = response_head_text(status, fields) + told;
        const bool written = co_await write_raw(out);
        setup_.on_effect(effect);
        co_return written;
    }

    task<bool> read_body(std::uint64_t until = std::numeric_limits<std::uint64_t>::max()) {
        const bool slowly = script_.reads_bytes > 0;
        for (;;) {
            const auto before = in_->bytes;
            const auto unread = input_.size();
            readable_ = slowly ? std::min(readable_ + script_.reads_bytes, unread) : unread;
            const auto next = in_->reader.read_body(input_, readable_);
            readable_ -= unread - input_.size();
            wake_reader();
            if (next == message_part::nothing) co_return true;
            if (next == message_part::malformed || gone()) co_return false;
            if (in_->bytes >= until) co_return true;
            if (slowly && in_->bytes > before) {
                if (!co_await pause(script_.reads_interval)) co_return false;
            } else if (readable_ == input_.size()) {
                co_await wait_until(forever);
            }
        }
    }

    [[nodiscard]] bool expects_continue() const {
        return boost::beast::iequals(record_->header("expect"), "100-continue");
    }

    // True if the connection may carry another request.
    task<bool> answer(std::shared_ptr<const script_choice> choice) {
        whole_ = false;
        unread_body_ = false;
        readable_ = 0;
        const auto path = std::string{api_path(record_->target)};
        in_->keep = path.starts_with("/v1/") || core_.options().record_body_bytes > 0;
        // An early answer, and how the body is read, must be known before there is a body to take a nonce from.
        const bool picked = choice && choice->is_about_reading();
        if (picked) script_ = core_.pick(*choice, path, core_.count_turn(path));
        const bool early = script_.early != early_end::none;
        if (early && script_.early_after > 0 && !co_await read_body(script_.early_after)) co_return false;
        if (!early) {
            if (expects_continue()) {
                const auto go_on = response_head_text(100, {});
                co_await write_raw(go_on);
            }
            const bool read = co_await read_body();
            core_.quietly([&] {
                record_->bytes_in = in_->reader.taken;
                record_->body_bytes = in_->bytes;
                if (!read) return;
                record_->body_ns = monotonic_ns();
                record_->body_sha256 = in_->hash.hex();
                record_->nonce = find_nonce(in_->body);
                record_->body = in_->body.substr(0, core_.options().record_body_bytes);
            });
            if (!read) {
                if (!gone()) co_await refuse_malformed();
                co_return false;
            }
            if (choice && !picked) {
                const std::string& key = record_->nonce.empty() ? path : record_->nonce;
                core_.quietly([this, turn = core_.count_turn(key)] { record_->turn = turn; });
                if (const auto text = script_by_owner()) {
                    choice = std::make_shared<const script_choice>(*text);
                    core_.quietly([&] { record_->script = choice->text(); });
                }
                script_ = core_.pick(*choice, key, record_->turn);
            }
        }
        if (!choice) {
            script_.status = 400;
            script_.body = "text:" + record_->script;
        }
        const provider_request request{record_->method, record_->target, in_->body, record_->serial};
        provider_answer out = make_answer(request, script_);
        describe(path, out);
        co_await respond(out);
        if (early && ended_) co_return co_await after_early_answer();
        co_return ended_ && !closing_;
    }

    [[nodiscard]] std::optional<std::string> script_by_owner() const {
        const auto& script_for = core_.options().script_for;
        if (!script_for || !record_->header("x-sim").empty()) return std::nullopt;
        return script_for(*record_);
    }

    task<bool> after_early_answer() {
        if (script_.early == early_end::reset) {
            reset_socket();
            co_return false;
        }
        unread_body_ = true;
        if (script_.early == early_end::close) co_return false;
        const bool read = co_await read_body();
        core_.quietly([&] {
            record_->bytes_in = in_->reader.taken;
            record_->body_bytes = in_->bytes;
        });
        co_return read && !closing_;
    }

    // /echo and /upload tell what was received, which only the connection knows.
    void describe(const std::string& path, provider_answer& out) const {
        if ((path != "/echo" && path != "/upload") || script_.status >= 300 || script_.error != error_kind::none ||
            script_.body)
            return;
        out.status = script_.status != 0 ? script_.status : 200;
        out.content_type = "application/json";
        out.body = path == "/upload" ? "{\"bytes\":" + std::to_string(record_->body_bytes) + ",\"sha256\":\"" +
                                           record_->body_sha256 + "\"}"
                                     : echo();
    }
    std::string echo() const;

    // Writes all, dripped if the script says so. False if the peer is gone.
    task<bool> write_raw(std::string_view bytes) {
        if (script_.drip) {
            for (bool first = true; !bytes.empty(); first = false) {
                const auto size = std::min(script_.drip_bytes, bytes.size());
                if (!first) {
                    if (!co_await pause(*script_.drip)) co_return false;
                }
                if (!co_await write_now(bytes.substr(0, size))) co_return false;
                bytes.remove_prefix(size);
            }
            co_return true;
        }
        co_return co_await write_now(bytes);
    }
    task<bool> write_now(std::string_view bytes) {
        if (abandoned()) co_return false;
        if (bytes.empty()) co_return true;
        if (record_ != nullptr && record_->first_byte_ns == 0)
            core_.quietly([this] { record_->first_byte_ns = monotonic_ns(); });
        const auto written = co_await write_all(bytes);
        if (record_ != nullptr) core_.quietly([this, n = written.bytes] { record_->bytes_out += n; });
        if (!written.ok() && open_) note_peer_gone(written.error);
        co_return written.ok();
    }

    [[nodiscard]] bool is_at(const std::optional<script_place>& place, const script_place& here) const {
        return place && place->is == here.is && place->count == here.count;
    }

    enum class break_off : unsigned char { none, reset, close, end, stall };
    [[nodiscard]] break_off due_at(const script_place& here) const {
        if (is_at(script_.reset_after, here)) return break_off::reset;
        if (is_at(script_.close_after, here)) return break_off::close;
        if (is_at(script_.end_after, here)) return break_off::end;
        return is_at(script_.stall_after, here) ? break_off::stall : break_off::none;
    }

    // The script's breaking off at one place: false if nothing more is to be sent (ended_ says whether formally).
    task<bool> at_place(script_place::at at, std::uint64_t count) {
        const auto due = due_at({at, count});
        if (due == break_off::none) co_return true;
        co_return co_await perform(due);
    }
    task<bool> perform(break_off due) {
        switch (due) {
        case break_off::none: co_return true;
        case break_off::reset: reset_socket(); break;
        case break_off::close:
            co_await end_sending();
            close_socket();
            break;
        case break_off::end:
            co_await send_encoding_end();
            co_await send_last_chunk();
            if (!chunked_) closing_ = true; // nothing else tells the end
            break;
        case break_off::stall: co_return co_await stall();
        }
        co_return false;
    }
    task<bool> stall() {
        if (script_.stall) co_return co_await pause(*script_.stall);
        while (!abandoned()) co_await wait_until(forever);
        co_return false;
    }

    task<void> respond(provider_answer& out) {
        ended_ = false;
        closing_ = false;
        chunked_ = false;
        passed_byte_place_ = false;
        body_sent_ = 0;
        streaming_ = out.stream;
        gzip_ = {};
        shortened_ = false;
        const bool success = out.status < 300;
        owed_ = success && !script_.raw ? out.input_tokens : 0;
        if (!co_await pause(script_.delay)) co_return;
        // A whole answer takes as long as its tokens would.
        if (!out.stream && success) {
            if (!co_await pause(generation_ns())) co_return;
        }
        if (!co_await at_place(script_place::at::request, 0)) co_return;
        if (script_.raw) {
            ended_ = co_await write_raw(*script_.raw);
            closing_ = script_.close_connection;
            co_return;
        }
        for (const int status : script_.informational) {
            header_list fields;
            if (status == 103) fields.emplace_back("link", "</style.css>; rel=preload");
            const std::string head = response_head_text(status, fields);
            if (!co_await write_raw(head)) co_return;
        }
        if (script_.unasked_switch) {
            const auto head = response_head_text(101, {{"connection", "upgrade"}, {"upgrade", "x-sim"}});
            const std::string switched = head + "no HTTP from here on";
            co_await write_raw(switched);
            co_await end_sending();
            co_return;
        }
        if (script_.gzip) {
            out.headers.emplace_back("content-encoding", "gzip");
            if (!out.stream) {
                encoded_blanks_.clear();
                for (int i = 0; i < script_.keepalives; ++i) encoded_blanks_.push_back(gzip_.block("\n"));
                out.body = compressed(out.body);
            }
        }
        if (!out.stream) place_in_buffered(out);
        const std::string head = make_head(out);
        core_.quietly([&] {
            record_->status = out.status;
            if (out.stream || !success) return;
            record_->input_tokens = out.input_tokens;
            record_->output_tokens = out.output_tokens;
        });
        if (breaks_at(script_place::at::status_line)) {
            if (!co_await write_raw(std::string_view{head}.substr(0, 10))) co_return;
            if (!co_await at_place(script_place::at::status_line, 0)) co_return;
        }
        const bool bodiless = record_->method == "HEAD" || out.status == 204 || out.status == 304;
        if (is_plain(out) && !bodiless) {
            // The usual buffered answer: head and body in one write.
            const std::string whole = head + out.body;
            if (co_await write_raw(whole)) finish_message();
            co_return;
        }
        const std::string_view rest = std::string_view{head}.substr(breaks_at(script_place::at::status_line) ? 10 : 0);
        if (!co_await write_raw(rest)) co_return;
        if (!co_await at_place(script_place::at::head, 0)) co_return;
        if (bodiless) {
            finish_message();
            co_return;
        }
        if (!co_await send_keepalives(out)) co_return;
        if (out.stream) {
            if (!co_await send_events(out)) co_return;
        } else {
            if (!co_await send_buffered(out)) co_return;
        }
        co_await send_last_chunk();
        if (!ended_) co_return;
        finish_message();
        co_await send_extras(head, out);
    }

    // In a body that is no stream, places counted in events become bytes: event k of n is k/n of the body. A formal end
    // there means a shorter body under a matching length.
    void place_in_buffered(provider_answer& out) {
        const auto keepalive_bytes = static_cast<std::uint64_t>(std::max(script_.keepalives, 0));
        for (auto* place : {&script_.reset_after, &script_.close_after, &script_.end_after, &script_.stall_after}) {
            if (!*place || (*place)->is != script_place::at::events || out.body.empty()) continue;
            const auto n = static_cast<std::uint64_t>(std::max(script_.events, 1));
            const auto at = std::min<std::uint64_t>(out.body.size() * (*place)->count / n, out.body.size() - 1);
            **place = {script_place::at::bytes, keepalive_bytes + at};
        }
        if (!script_.end_after || script_.end_after->is != script_place::at::bytes) return;
        out.body.resize(std::min<std::size_t>(out.body.size(), script_.end_after->count));
        script_.end_after.reset();
        shortened_ = true;
    }

    [[nodiscard]] bool breaks_at(script_place::at at) const noexcept {
        for (const auto* place : {&script_.reset_after, &script_.close_after, &script_.end_after, &script_.stall_after})
            if (*place && (*place)->is == at) return true;
        return false;
    }
    [[nodiscard]] bool is_plain(const provider_answer& out) const noexcept {
        return !out.stream && !chunked_ && script_.keepalives == 0 && !script_.reset_after && !script_.close_after &&
               !script_.end_after && !script_.stall_after && script_.extra_bytes == 0 && !script_.extra_response &&
               script_.content_length_error == 0 && !script_.split;
    }

    void finish_message() noexcept {
        ended_ = true;
        whole_ = script_.content_length_error == 0 && !script_.conflict && !shortened_ &&
                 script_.terminal == terminal_part::all;
        if (script_.content_length_error > 0) closing_ = true; // FIN, short of what was announced
    }

    std::string compressed(std::string_view data) {
        std::string out = gzip_.block(data); // before finish(): the order of a sum's operands is the compiler's
        return out + gzip_.finish();
    }

    // Text of a stream, as its encoding has it.
    task<bool> send_text(std::string_view text) {
        if (!script_.gzip) co_return co_await send_body(text);
        const auto block = gzip_.block(text);
        co_return co_await send_body(block);
    }
    // A stream that ends formally does so in each of its layers.
    task<void> send_encoding_end() {
        if (!streaming_ || !script_.gzip) co_return;
        const auto trailer = gzip_.finish();
        co_await send_body(trailer);
    }

    // The formal end of the body.
    task<void> send_last_chunk() {
        ended_ = true;
        if (chunked_) ended_ = co_await write_raw(last_chunk);
    }

    // More than the message: what a client must not take for a part of it, nor of the next one.
    task<void> send_extras(const std::string& head, const provider_answer& out) {
        std::string extra(script_.extra_bytes, 'x');
        if (script_.extra_response) extra = (head + out.body).append(chunked_ ? last_chunk : "");
        co_await write_raw(extra);
    }

    std::int64_t generation_ns() {
        std::int64_t total = script_.first.none() ? 0 : drawn(script_.first);
        if (!script_.gap.none())
            for (int i = 1; i < script_.events; ++i) total += drawn(script_.gap);
        return total;
    }

    std::string make_head(const provider_answer& out) {
        const bool http_1_0 = script_.http_1_0;
        auto framing = script_.framing;
        if (framing == script_framing::automatic && script_.content_length_error != 0) framing = script_framing::length;
        if (framing == script_framing::automatic) {
            const bool unknown_length = out.stream || script_.keepalives > 0;
            if (http_1_0 || (record_->minor_version == 0 && unknown_length))
                framing = script_framing::close;
            else
                framing = unknown_length ? script_framing::chunked : script_framing::length;
        }
        header_list fields;
        const auto add = [&fields](std::string_view name, std::string_view value) { fields.emplace_back(name, value); };
        add("date", http_date(0));
        if (!out.content_type.empty()) add("content-type", out.content_type);
        for (const auto& [name, value] : out.headers) add(name, value);
        if (script_.retry_after.starts_with("date:"))
            add("retry-after", http_date(std::stoll(script_.retry_after.substr(5))));
        else if (!script_.retry_after.empty())
            add("retry-after", script_.retry_after);

        chunked_ = framing == script_framing::chunked || script_.conflict;
        if (chunked_) add("transfer-encoding", "chunked");
        if (framing == script_framing::length || script_.conflict) {
            std::size_t size = out.body.size();
            for (const auto& event : out.events) size += event.text.size();
            const auto announced =
                std::max<std::int64_t>(0, static_cast<std::int64_t>(size) + script_.content_length_error);
            if (out.status != 204) add("content-length", std::to_string(announced));
        }
        if (framing == script_framing::close) closing_ = true;
        const auto asked = record_->header("connection");
        if (script_.close_connection || boost::beast::iequals(asked, "close") ||
            (record_->minor_version == 0 && !boost::beast::iequals(asked, "keep-alive")))
            closing_ = true;
        if (script_.early == early_end::close) closing_ = true;
        if (script_.announce_close || (closing_ && !http_1_0))
            add("connection", "close");
        else if (record_->minor_version == 0 && !http_1_0)
            add("connection", "keep-alive");
        if (!script_.keep_alive.empty()) add("keep-alive", "timeout=" + script_.keep_alive);
        return response_head_text(out.status, fields, http_1_0 ? 0 : 1);
    }

    // Body bytes through the framing; breaks off where the script names a byte.
    task<bool> send_body(std::string_view data) {
        std::optional<std::uint64_t> stop;
        for (const auto* place : {&script_.reset_after, &script_.close_after, &script_.end_after, &script_.stall_after})
            if (*place && (*place)->is == script_place::at::bytes && (*place)->count >= body_sent_ &&
                (*place)->count < body_sent_ + data.size() && !passed_byte_place_)
                stop = (*place)->count - body_sent_;
        if (!stop) {
            body_sent_ += data.size();
            if (data.empty()) co_return true;
            if (chunked_) {
                framed_ = chunk_of(data);
                data = framed_;
            }
            const bool written = co_await write_raw(data);
            co_return written;
        }
        // A formal end needs whole chunks; any other break goes through the middle of one.
        passed_byte_place_ = true;
        const auto place = body_sent_ + *stop;
        const bool formal = script_.end_after && script_.end_after->is == script_place::at::bytes;
        const std::string whole = chunked_ && !(formal && *stop == 0)
                                      ? chunk_of(formal ? data.substr(0, *stop) : data)
                                      : std::string{formal ? data.substr(0, *stop) : data};
        const auto until = formal ? whole.size() : (chunked_ ? whole.find("\r\n") + 2 : 0) + *stop;
        if (!co_await write_raw(std::string_view{whole}.substr(0, until))) co_return false;
        if (!co_await at_place(script_place::at::bytes, place)) co_return false;
        if (!co_await write_raw(std::string_view{whole}.substr(until))) co_return false; // after a stall
        body_sent_ += data.size();
        co_return true;
    }

    task<bool> send_keepalives(const provider_answer& out) {
        for (int i = 0; i < script_.keepalives; ++i) {
            if (!co_await pause(script_.keepalive_interval)) co_return false;
            std::string_view text = "\n";
            if (out.stream) {
                switch (script_.keepalive) {
                case keepalive_form::comment: text = ": keep-alive\n\n"; break;
                case keepalive_form::processing: text = ": OPENROUTER PROCESSING\n\n"; break;
                case keepalive_form::blank: text = "\n"; break;
                case keepalive_form::ping: text = "event: ping\ndata: {\"type\": \"ping\"}\n\n"; break;
                }
            }
            const bool encoded = script_.gzip && !out.stream;
            if (encoded) text = encoded_blanks_[static_cast<std::size_t>(i)];
            const bool sent = encoded ? co_await send_body(text) : co_await send_text(text);
            if (!sent) co_return false;
        }
        co_return true;
    }

    task<bool> send_buffered(provider_answer& out) {
        if (!chunked_ || out.body.size() < 2) co_return co_await send_body(out.body);
        // Chunks that are not the body's structure: a third, then the rest.
        const auto third = out.body.size() / 3;
        if (third > 0)
            if (!co_await send_body(std::string_view{out.body}.substr(0, third))) co_return false;
        co_return co_await send_body(std::string_view{out.body}.substr(third));
    }

    task<bool> send_event(stream_event& event) {
        stamp_event(event, monotonic_ns());
        if (script_.gzip) {
            const auto block = gzip_.block(event.text);
            co_return co_await send_body(block);
        }
        if (script_.split) {
            const auto wide = std::find_if(event.text.begin(), event.text.end(),
                                           [](char c) { return static_cast<unsigned char>(c) >= 0xC0; });
            const auto at = wide != event.text.end() ? static_cast<std::size_t>(wide - event.text.begin()) + 1
                                                     : event.text.size() / 2;
            if (!co_await send_body(std::string_view{event.text}.substr(0, at))) co_return false;
            if (!co_await pause(*script_.split)) co_return false;
            co_return co_await send_body(std::string_view{event.text}.substr(at));
        }
        co_return co_await send_body(event.text);
    }

    // What the script puts before content event number `count`, or after the last one.
    task<bool> before_content(const provider_answer& out, int count) {
        if (!co_await at_place(script_place::at::events, static_cast<std::uint64_t>(count))) co_return false;
        if (script_.malformed_after == count) {
            constexpr std::string_view broken =
                "data: {\"id\":\"broken\",\"choices\":[{\"delta\":{\"content\":\"unterm\n\n";
            if (!co_await send_text(broken)) co_return false;
        }
        if (script_.bad_chunk_after == count) {
            co_await write_raw("zz\r\nnot a chunk\r\n");
            co_await end_sending();
            co_return false;
        }
        if (script_.error_after != count) co_return true;
        const auto error = stream_error(out.dialect, script_.error, script_.error_as_data);
        if (!co_await send_text(error)) co_return false;
        switch (script_.error_then) {
        case error_sequel::go_on: co_return true;
        case error_sequel::close: co_await end_sending(); co_return false;
        case error_sequel::done:
            if (!co_await send_text("data: [DONE]\n\n")) co_return false;
            break;
        case error_sequel::end: break;
        }
        co_await send_encoding_end();
        co_await send_last_chunk();
        co_return false;
    }

    // Puts what was held back before `event`, to leave in one write with it.
    static void prepend(std::vector<stream_event*>& held, stream_event& event) {
        std::string before;
        for (auto* each : held) {
            stamp_event(*each, monotonic_ns());
            before += each->text;
        }
        held.clear();
        event.text.insert(0, before);
        if (event.stamp_at != std::string::npos) event.stamp_at += before.size();
    }

    task<bool> send_events(provider_answer& out) {
        if (script_.merge) {
            std::string all;
            const auto now = monotonic_ns();
            for (auto& event : out.events) {
                stamp_event(event, now);
                all += event.text;
            }
            if (!co_await pause(script_.first)) co_return false;
            if (script_.gzip) all = compressed(all);
            core_.quietly([&] {
                record_->input_tokens = out.input_tokens;
                record_->output_tokens = out.output_tokens;
            });
            co_return co_await send_body(all);
        }
        int sent = 0;
        bool content_over = false;
        std::vector<stream_event*> held;
        for (auto& event : out.events) {
            if (event.role == event_role::preamble && script_.late_preamble) {
                held.push_back(&event);
                continue;
            }
            if (event.role == event_role::content || (!content_over && event.role != event_role::preamble)) {
                if (!co_await before_content(out, sent)) co_return false;
                content_over = event.role != event_role::content;
                if (!content_over) {
                    if (!co_await pause(sent == 0 ? script_.first : script_.gap)) co_return false;
                }
                prepend(held, event);
            }
            if (!co_await send_event(event)) co_return false;
            if (event.role != event_role::content) continue;
            core_.quietly([&, n = ++sent] {
                record_->events_out = n;
                record_->input_tokens = out.input_tokens;
                record_->output_tokens = std::min<std::uint64_t>(static_cast<std::uint64_t>(n), out.output_tokens);
            });
        }
        if (!content_over) // the script dropped all that follows the content
            if (!co_await before_content(out, sent)) co_return false;
        co_await send_encoding_end();
        co_return !abandoned();
    }

    provider_core& core_;
    connection_setup setup_;
    tcp_socket socket_;
    std::optional<asio::ssl::stream<tcp_socket&>> tls_;
    bool secure_ = false;
    std::string server_name_;
    timer changed_; // wakes the server coroutine: bytes came, the peer left, or closed here
    std::int64_t accepted_ns_;

    std::string input_;
    std::size_t readable_ = 0; // of it, where a body is read slowly
    bool open_ = true;
    bool reading_ = false;
    bool peer_gone_ = false;
    timer* reader_pause_ = nullptr;
    bool idle_ = false, dropped_ = false;
    std::int64_t idle_limit_ns_ = -1;
    std::uint64_t served_ = 0;

    // Of the current request.
    std::optional<incoming> in_;
    std::shared_ptr<attempt_record> record_;
    provider_script script_;
    stored_gzip gzip_;
    std::vector<std::string> encoded_blanks_; // in front of a compressed body
    bool streaming_ = false;
    std::uint64_t draws_ = 0;
    bool chunked_ = false;
    bool ended_ = false;   // the response is formally over; the connection may be used again
    bool closing_ = false; // ... but is to be closed
    bool unread_body_ = false;
    std::uint64_t owed_ = 0; // tokens of its input, should the peer leave
    bool shortened_ = false;
    bool whole_ = false; // the answer was sent as the API would
    bool passed_byte_place_ = false;
    std::uint64_t body_sent_ = 0;
    std::string framed_;
};

std::string connection::echo() const {
    std::string out = "{\"method\":" + quoted(record_->method) + ",\"target\":" + quoted(record_->target) +
                      ",\"version\":\"1." + std::to_string(record_->minor_version) + "\",\"headers\":[";
    for (std::size_t i = 0; i < record_->headers.size(); ++i)
        out +=
            (i == 0 ? "[" : ",[") + quoted(record_->headers[i].first) + "," + quoted(record_->headers[i].second) + "]";
    return out + "],\"body_bytes\":" + std::to_string(record_->body_bytes) + ",\"body_sha256\":\"" +
           record_->body_sha256 + "\"}";
}

} // namespace

std::shared_ptr<provider_connection> start_connection(tcp_socket socket, connection_setup setup) {
    auto out = std::make_shared<connection>(std::move(socket), std::move(setup));
    out->start();
    return out;
}

} // namespace evenkeel::provider
