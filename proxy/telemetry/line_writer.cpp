#include "proxy/telemetry/line_writer.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <limits.h>
#include <mutex>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::telemetry {

namespace {

struct target {
    int fd = -1;
    bool owned = false;
    bool regular = false; // a file on a disk: always takes a write, if slowly

    void close() {
        if (owned) ::close(fd);
        *this = {};
    }
};

boost::system::error_code last_error() { return {errno, boost::system::system_category()}; }

// Without waiting for anybody. A FIFO is opened in both directions: its other end is always there then, so that opening
// never blocks and a reader may come, go and come again; meanwhile the pipe holds 64 KiB, then the queue, then lines
// are dropped.
boost::system::error_code open_file(const std::string& path, target& out) {
    constexpr int flags = O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    out.fd = ::open(path.c_str(), O_WRONLY | O_CREAT | flags, 0640);
    const auto failed = last_error();
    if (out.fd < 0 && errno != ENXIO) return failed; // ENXIO: a FIFO that nobody reads, or a socket
    struct stat is {};
    const bool fifo = (out.fd >= 0 ? ::fstat(out.fd, &is) : ::stat(path.c_str(), &is)) == 0 && S_ISFIFO(is.st_mode);
    if (fifo) {
        if (const int both = ::open(path.c_str(), O_RDWR | flags); both >= 0) {
            if (out.fd >= 0) ::close(out.fd);
            out.fd = both;
        }
    }
    out.owned = out.fd >= 0;
    return out.fd >= 0 ? boost::system::error_code{} : failed;
}

// systemd sets JOURNAL_STREAM=device:inode of the socket it gave as stderr (systemd.exec(5)); a stderr that was
// redirected since does not match.
bool reads_journal(int fd) {
    const char* told = std::getenv("JOURNAL_STREAM");
    struct stat is {};
    return told != nullptr && ::fstat(fd, &is) == 0 &&
           std::to_string(is.st_dev) + ':' + std::to_string(is.st_ino) == told;
}

} // namespace

struct line_writer::state : std::enable_shared_from_this<line_writer::state> {
    state(background& on, line_writer_options given) : helper(on), options(given), timer(on.context()) {}
    ~state() { to.close(); }

    // Helper thread: writes what there is; if the file takes no more, comes back later.
    void drain() {
        const std::lock_guard lock(file_mutex);
        for (int writes = 0; refill(); ++writes) {
            if (!write_some(0)) return wait();
            // The helper has other work too.
            if (writes == 64)
                return boost::asio::post(helper.context(), [self = shared_from_this()] { self->drain(); });
        }
    }

    void wait() {
        timer.expires_after(options.delay);
        timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (!error) self->drain();
        });
    }

    // Whether anything is left to write. With file_mutex.
    bool refill() {
        if (written < writing.size()) return true;
        writing.clear();
        written = 0;
        const std::lock_guard lock(queue_mutex);
        scheduled = !queued.empty();
        hurried = false;
        std::swap(queued, writing);
        return !writing.empty();
    }

    // False: the file takes nothing within `patience`. An error drops what was to be written. With file_mutex.
    bool write_some(int patience_milliseconds) {
        auto rest = std::string_view(writing).substr(written);
        if (to.fd < 0) return give_up(rest);
        if (!to.regular) {
            // A pipe that polls as writable takes PIPE_BUF bytes without blocking, and takes them in one piece.
            pollfd asked{to.fd, POLLOUT, 0};
            if (::poll(&asked, 1, patience_milliseconds) <= 0) return false;
            if (rest.size() > PIPE_BUF) {
                const auto line_end = rest.substr(0, PIPE_BUF).rfind('\n');
                rest = rest.substr(0, line_end == std::string_view::npos ? PIPE_BUF : line_end + 1);
            }
        }
        const auto done = ::write(to.fd, rest.data(), rest.size());
        if (done >= 0) {
            written += static_cast<std::size_t>(done);
            return true;
        }
        if (errno == EINTR) return true;
        if (errno == EAGAIN) return false;
        return give_up(std::string_view(writing).substr(written));
    }

    [[nodiscard]] boost::system::error_code open_path(const std::string& named);

    bool give_up(std::string_view lines) {
        dropped.fetch_add(static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n')),
                          std::memory_order_relaxed);
        written = writing.size();
        return true;
    }

    background& helper;
    const line_writer_options options;
    std::atomic<bool> open{false};
    std::atomic<bool> journal{false};
    std::atomic<bool> terminal{false};
    std::atomic<std::uint64_t> dropped{0};

    std::mutex queue_mutex; // held for a copy or a swap, never for a system call
    std::string queued;
    bool scheduled = false; // a drain is on its way
    bool hurried = false;   // one without delay is

    std::mutex opening; // taken before all others: of two that open, one after the other
    std::string path;   // by `opening`

    // Taken before queue_mutex; held while the file takes a write, which a disk that hangs may never do.
    std::mutex file_mutex;
    target to;
    std::string writing;
    std::size_t written = 0;

    boost::asio::steady_timer timer; // helper thread
};

line_writer::line_writer(background& on, line_writer_options options) : state_(std::make_shared<state>(on, options)) {}

line_writer::~line_writer() { flush(); }

boost::system::error_code line_writer::open(const std::string& path) {
    const std::lock_guard opening(state_->opening);
    return state_->open_path(path);
}

boost::system::error_code line_writer::reopen() {
    const std::lock_guard opening(state_->opening);
    return state_->path.empty() ? boost::system::error_code{} : state_->open_path(std::string{state_->path});
}

std::string line_writer::path() const {
    const std::lock_guard opening(state_->opening);
    return state_->path;
}

// With `opening`.
boost::system::error_code line_writer::state::open_path(const std::string& named) {
    target next;
    if (named == "stdout") {
        next.fd = STDOUT_FILENO;
    } else if (named == "stderr") {
        next.fd = STDERR_FILENO;
    } else if (named != "off") {
        if (const auto failed = open_file(named, next)) return failed;
    }
    struct stat is {};
    next.regular = next.fd >= 0 && ::fstat(next.fd, &is) == 0 && S_ISREG(is.st_mode);

    const std::lock_guard file(file_mutex);
    {
        // The room is taken once, so that no producer pays for growth; pages are touched as they are used.
        const std::lock_guard queue(queue_mutex);
        if (next.fd >= 0) queued.reserve(options.capacity_bytes);
    }
    if (next.fd >= 0) writing.reserve(options.capacity_bytes);
    while (refill()) // what was meant for the old target
        if (!write_some(0)) break;
    to.close();
    to = next;
    journal = next.fd == STDERR_FILENO && reads_journal(next.fd);
    terminal = next.fd >= 0 && ::isatty(next.fd) == 1;
    open = next.fd >= 0;
    path = named;
    return {};
}

bool line_writer::push(std::string_view line, bool urgent) noexcept {
    auto& to = *state_;
    bool schedule = false, hurry = false;
    {
        const std::lock_guard lock(to.queue_mutex);
        if (to.queued.size() + line.size() > to.options.capacity_bytes || !to.open.load(std::memory_order_relaxed)) {
            to.dropped.fetch_add(1, std::memory_order_relaxed);
            return false;
        }
        to.queued.append(line);
        schedule = !std::exchange(to.scheduled, true);
        // A quarter full: the delay would cost lines. Once per round, however stalled the file is.
        hurry = !to.hurried && (urgent || to.queued.size() > to.options.capacity_bytes / 4);
        if (hurry) to.hurried = true;
    }
    if (hurry)
        boost::asio::post(to.helper.context(), [self = state_] { self->drain(); });
    else if (schedule)
        boost::asio::post(to.helper.context(), [self = state_] { self->wait(); });
    return true;
}

void line_writer::flush() {
    using namespace std::chrono;
    const auto give_up_at = steady_clock::now() + state_->options.last_flush;
    // Tried again and again: the thread sanitizer of g++ 12 knows no timed mutex.
    std::unique_lock lock(state_->file_mutex, std::try_to_lock);
    while (!lock) {
        if (steady_clock::now() >= give_up_at) return; // the disk hangs
        std::this_thread::sleep_for(milliseconds{1});
        static_cast<void>(lock.try_lock());
    }
    while (state_->refill()) {
        const auto left = duration_cast<milliseconds>(give_up_at - steady_clock::now()).count();
        if (!state_->write_some(static_cast<int>(std::max<std::int64_t>(left, 0)))) break;
    }
}

bool line_writer::is_open() const noexcept { return state_->open.load(std::memory_order_relaxed); }
bool line_writer::is_journal() const noexcept { return state_->journal.load(std::memory_order_relaxed); }
bool line_writer::is_terminal() const noexcept { return state_->terminal.load(std::memory_order_relaxed); }
std::uint64_t line_writer::dropped() const noexcept { return state_->dropped.load(std::memory_order_relaxed); }

} // namespace evenkeel::telemetry
