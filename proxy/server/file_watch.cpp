#include "proxy/server/file_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace evenkeel::server {

namespace {
namespace fs = std::filesystem;

constexpr int most_links = 40; // as many as the kernel follows
// Whatever gives a name another meaning, and the end of a write in place. Not the writing itself: a log in the same
// folder is written all the time.
constexpr std::uint32_t what_counts =
    IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};
} // namespace

std::vector<std::string> folders_on_the_way_to(const std::string& path) {
    std::error_code failed;
    std::set<std::string> found;
    std::deque<fs::path> left;
    const fs::path whole = fs::absolute(path, failed);
    if (failed) return {};
    for (const fs::path& part : whole.relative_path()) left.push_back(part);
    fs::path at = "/";
    for (int links = 0; !left.empty();) {
        const fs::path name = left.front();
        left.pop_front();
        if (name.empty() || name == ".") continue;
        if (name == "..") {
            at = at.parent_path();
            continue;
        }
        const fs::path next = at / name;
        const fs::file_status is = fs::symlink_status(next, failed);
        const bool link = fs::is_symlink(is);
        // A folder on the way that is no link is not replaced under somebody who uses it, as a rule; the last one holds
        // the file.
        if (link || left.empty() || !fs::exists(is)) found.insert(at.string());
        if (!fs::exists(is) || (link && ++links > most_links)) break;
        if (!link) {
            at = next;
            continue;
        }
        const fs::path to = fs::read_symlink(next, failed);
        if (failed) break;
        const fs::path tail = to.relative_path();
        std::deque<fs::path> parts;
        for (const fs::path& part : tail) parts.push_back(part);
        left.insert(left.begin(), parts.begin(), parts.end());
        if (to.is_absolute()) at = "/";
    }
    return {found.begin(), found.end()};
}

struct file_watch::state {
    state(file_watch_options given, std::function<void()> tell, std::function<void(const std::string&)> complain)
        : options(given), changed(std::move(tell)), failed(std::move(complain)) {}

    void run();
    void follow();
    void take_events();
    // Waits for an event, or a word; false: neither came in time.
    [[nodiscard]] bool wait(duration longest);
    void wake() const {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto done = ::write(word.get(), &one, sizeof one);
    }

    file_watch_options options;
    std::function<void()> changed;
    std::function<void(const std::string&)> failed;
    descriptor events{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    descriptor word{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    std::map<std::string, int> watched; // folders, of the thread alone
    bool complained = false;            // likewise
    std::mutex mutex;                   // all below
    std::vector<std::string> files;
    bool over = false;
    std::thread thread;
};

void file_watch::state::take_events() {
    alignas(inotify_event) std::array<char, 4096> room;
    if (events.get() < 0) return;
    while (::read(events.get(), room.data(), room.size()) > 0) {}
}

bool file_watch::state::wait(duration longest) {
    std::array<pollfd, 2> on{pollfd{word.get(), POLLIN, 0}, pollfd{events.get(), POLLIN, 0}};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
    const int got = ::poll(on.data(), on.size(), static_cast<int>(std::clamp<std::int64_t>(ms, 0, 3'600'000)));
    std::uint64_t said = 0;
    [[maybe_unused]] const auto read = ::read(word.get(), &said, sizeof said);
    take_events();
    return got > 0;
}

// The same folder twice is one watch, so that it costs nothing to say all of them again: one that was removed and made
// anew is another.
void file_watch::state::follow() {
    std::vector<std::string> of;
    {
        const std::scoped_lock lock(mutex);
        of = files;
    }
    std::set<std::string> wanted;
    for (const std::string& file : of) {
        for (std::string& folder : folders_on_the_way_to(file)) wanted.insert(std::move(folder));
    }
    std::optional<std::string> why;
    std::map<std::string, int> next;
    for (const std::string& folder : wanted) {
        const int watch = events.get() < 0 ? -1 : ::inotify_add_watch(events.get(), folder.c_str(), what_counts);
        const int wrong = events.get() < 0 ? ENOSYS : errno;
        if (watch >= 0)
            next[folder] = watch;
        else if (wrong != ENOENT)
            why = folder + ": " + std::generic_category().message(wrong);
    }
    std::set<int> kept;
    for (const auto& [folder, watch] : next) kept.insert(watch);
    for (const auto& [folder, watch] : watched) {
        if (!kept.contains(watch)) ::inotify_rm_watch(events.get(), watch);
    }
    watched = std::move(next);
    if (why && !std::exchange(complained, true)) failed(*why);
}

void file_watch::state::run() {
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const auto is_over = [this] {
        const std::scoped_lock lock(mutex);
        return over;
    };
    while (!is_over()) {
        const bool told = wait(options.anyway);
        const auto until = now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(options.longest);
        while (told && !is_over() && now() < until && wait(options.quiet)) {}
        // First the folders that are there now, then the contents: what changes in between is an event.
        follow();
        bool any = false;
        {
            const std::scoped_lock lock(mutex);
            any = !over && !files.empty();
        }
        if (any) changed();
    }
}

file_watch::file_watch(file_watch_options options, std::function<void()> changed,
                       std::function<void(const std::string&)> failed)
    : state_(std::make_unique<state>(options, std::move(changed), std::move(failed))) {}

file_watch::~file_watch() {
    {
        const std::scoped_lock lock(state_->mutex);
        state_->over = true;
    }
    state_->wake();
    if (state_->thread.joinable()) state_->thread.join();
}

void file_watch::use(std::vector<std::string> files) {
    const std::scoped_lock lock(state_->mutex);
    if (files == state_->files || state_->over) return;
    state_->files = std::move(files);
    state_->wake();
    if (state_->thread.joinable()) return;
    // Signals stay with the main thread.
    sigset_t every_signal, before;
    sigfillset(&every_signal);
    pthread_sigmask(SIG_SETMASK, &every_signal, &before);
    state_->thread = std::thread([all = state_.get()] { all->run(); });
    pthread_setname_np(state_->thread.native_handle(), "evenkeel-watch");
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

} // namespace evenkeel::server
