#pragma once
// Tells that a file may have changed, whichever way it was done: written in place, another one renamed over it
// (editors, deployments), or a link swapped that it lies behind. Kubernetes does the last: what a pod sees as
// evenkeel.yaml is a link to ..data/evenkeel.yaml, and ..data a link to a folder of a date; an update writes a new
// folder, renames a new link over ..data and removes the old folder. So what is watched is every folder on the way in
// which a name could come to mean something else, links followed, and no file: a file that is replaced takes its watch
// with it.
//
// What happened is not looked at, only when: a burst of it counts once it has been quiet for a moment. Whoever is told
// compares contents, since a folder holds other files too. He is told now and then without a reason as well, for file
// systems that report nothing (NFS, FUSE).

#include "policies/time.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::server {

// The folders in which a change may change what `path` stands for. Of what is not there, as far as the way goes.
[[nodiscard]] std::vector<std::string> folders_on_the_way_to(const std::string& path);

struct file_watch_options {
    duration quiet = std::chrono::milliseconds{100}; // after the last event of a burst (chosen)
    duration longest = std::chrono::seconds{1};      // ... that does not end (chosen)
    duration anyway = std::chrono::seconds{30};      // without an event (chosen)
};

class file_watch {
public:
    // Both are called on a thread of the watch. `failed`: what does not work, in words; then it is `anyway` alone.
    file_watch(file_watch_options options, std::function<void()> changed,
               std::function<void(const std::string&)> failed);
    ~file_watch(); // nobody is called any more
    file_watch(const file_watch&) = delete;
    file_watch& operator=(const file_watch&) = delete;

    // From now on these and no others; none: there is nothing to be told. What changed in between, or changes from now
    // on, is told. From any thread.
    void use(std::vector<std::string> files);

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace evenkeel::server
