#pragma once
// The vocabulary of every coroutine in the proxy: one concrete executor (no type erasure), one task type, one way to
// report I/O. An I/O operation completes with an `io_result`; a coroutine awaits it and tests `error`. Nothing throws
// for what a peer can do.

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <utility>

namespace evenkeel::net {

using executor = boost::asio::io_context::executor_type;
template <class T>
using task = boost::asio::awaitable<T, executor>;
using error_code = boost::system::error_code;

struct io_result {
    error_code error;
    std::size_t bytes = 0;
    [[nodiscard]] bool ok() const noexcept { return !error; }
};

inline constexpr boost::asio::use_awaitable_t<executor> use_task{};

// The handler a coroutine hands to an operation that completes with a T: movable, called once, and a concrete type, so
// that a virtual `start_...` function can take it without an extra coroutine frame per operation.
template <class T>
using completion = typename boost::asio::async_result<boost::asio::use_awaitable_t<executor>, void(T)>::handler_type;

// co_await await_completion<T>([&](completion<T> done) { start(std::move(done)); })
template <class T, class Start>
[[nodiscard]] task<T> await_completion(Start start) {
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<executor>, void(T)>(
        [](completion<T> done, Start run) { run(std::move(done)); }, use_task, std::move(start));
}

// Room for bytes, asked for when they are there: whoever waits for them holds none.
class room_for_bytes {
public:
    [[nodiscard]] virtual boost::asio::mutable_buffer room() = 0; // until the read has completed

protected:
    ~room_for_bytes() = default;
};

// Adapts a completion<io_result> to Asio's (error_code, size_t) and (error_code) operations.
struct io_handler {
    completion<io_result> done;

    using executor_type = typename completion<io_result>::executor_type;
    [[nodiscard]] executor_type get_executor() const noexcept { return done.get_executor(); }

    void operator()(error_code error, std::size_t bytes = 0) { std::move(done)(io_result{error, bytes}); }
};

} // namespace evenkeel::net
