#include "proxy/simulate/no_client.hpp"

#include <boost/asio/defer.hpp>
#include <boost/asio/error.hpp>

#include <utility>

namespace evenkeel::simulate {

void no_client::refuse(net::completion<net::io_result> done) {
    boost::asio::defer(loop_.executor(), [done = std::move(done)]() mutable {
        std::move(done)(net::io_result{boost::asio::error::eof});
    });
}

} // namespace evenkeel::simulate
