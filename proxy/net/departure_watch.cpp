#include "proxy/net/departure_watch.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <sys/epoll.h>

namespace evenkeel::net {

struct departure_watch::set {
    set(loop& worker, int epoll) : failures(worker.failures()), descriptor(worker.executor(), epoll) {}

    static void wait(const std::shared_ptr<set>& self) {
        self->descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read, [self](error_code error) {
            if (error || !self->alive) return;
            // One at a time: what is told may end another that is watched.
            for (epoll_event one; self->alive && ::epoll_wait(self->descriptor.native_handle(), &one, 1, 0) == 1;) {
                const watched& told = *static_cast<watched*>(one.data.ptr);
                const bool left = (one.events & (EPOLLHUP | EPOLLERR)) != 0;
                if (!left) { // what is left to wait for is reported without being asked for
                    one.events = EPOLLONESHOT;
                    static_cast<void>(
                        ::epoll_ctl(self->descriptor.native_handle(), EPOLL_CTL_MOD, told.stream_.descriptor(), &one));
                }
                self->failures.guard(
                    [&] { told.on_departure_(told.context_, left ? departure::left : departure::sends_no_more); });
            }
            if (self->alive) wait(self);
        });
    }

    failure_sink& failures;
    boost::asio::posix::basic_stream_descriptor<executor> descriptor;
    bool alive = true;
};

departure_watch::~departure_watch() {
    if (!set_) return;
    set_->alive = false;
    error_code ignored;
    set_->descriptor.close(ignored);
}

departure_watch::watched::watched(departure_watch& watch, const client_stream& stream, callback on_departure,
                                  void* context)
    : watch_(watch), stream_(stream), on_departure_(on_departure), context_(context) {
    const int descriptor = stream.descriptor();
    if (descriptor < 0) return;
    if (!watch.set_) {
        const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
        if (epoll < 0) return; // out of descriptors: this client's leaving shows when its answer cannot be written
        watch.set_ = std::make_shared<set>(watch.loop_, epoll);
        set::wait(watch.set_);
    }
    epoll_event wanted{};
    wanted.events = EPOLLRDHUP | EPOLLONESHOT; // errors and hang-ups are reported without being asked for
    wanted.data.ptr = this;
    static_cast<void>(::epoll_ctl(watch.set_->descriptor.native_handle(), EPOLL_CTL_ADD, descriptor, &wanted));
}

departure_watch::watched::~watched() {
    // A closed descriptor has left the set by itself, and its number may be another's.
    const int descriptor = stream_.descriptor();
    if (descriptor < 0 || !watch_.set_) return;
    static_cast<void>(::epoll_ctl(watch_.set_->descriptor.native_handle(), EPOLL_CTL_DEL, descriptor, nullptr));
}

} // namespace evenkeel::net
