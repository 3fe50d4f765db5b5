#include "config/client_checks.hpp"

#include "config/client_keys.hpp"
#include "config/expand.hpp"
#include "config/grammar.hpp"
#include "config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::config {

namespace {
// Below that a key can be guessed at the rate at which a data port answers. (chosen: 20 characters of base64 are 120
// bits)
constexpr std::size_t short_key = 20;

std::string client_named(const entry& block) {
    const entry* name = block.find("name");
    return name != nullptr ? name->text() : std::string{};
}

class client_list {
public:
    client_list(const entry& root, const entry& list, problem_list& problems, const environment& env,
                const std::string& directory)
        : list_(list), problems_(problems), env_(env), directory_(directory) {
        if (const entry* routes = root.find("routes")) {
            for (const entry& each : routes->children) routes_.push_back(client_named(each));
        }
    }

    void check() {
        if (list_.children.size() > most_clients)
            problems_.error(list_.key_at, "too-many-entries",
                            fmt::format("'clients' has more than {} entries", most_clients));
        for (const entry& each : list_.children) {
            const entry* name = each.find("name");
            if (name != nullptr && !names_.emplace(name->text(), name->at).second)
                problems_.error(name->at, "duplicate-name", fmt::format("there are two clients '{}'", name->text()),
                                {{names_.at(name->text()), "first named here"}});
            check_file(each);
            check_digests(each);
            check_routes(each);
        }
    }

private:
    void add(const entry& client, const entry& at, const key_digest& digest) {
        const auto [found, is_new] = keys_.emplace(digest, std::pair{&client, &at});
        if (is_new) return;
        const auto& [other, where] = found->second;
        if (other == &client)
            problems_.warning(at.at, "same-credential",
                              fmt::format("client '{}' has this key twice", client_named(client)),
                              {{where->at, "the other"}});
        else
            problems_.error(at.at, "same-credential",
                            fmt::format("clients '{}' and '{}' have the same key, so that neither is known by it",
                                        client_named(*other), client_named(client)),
                            {{where->at, "the other"}});
    }

    void check_file(const entry& client) {
        const entry* file = client.find("key_file");
        if (file == nullptr) return;
        const auto wrong = [&](std::string code, std::string_view what) {
            problems_.error(file->at, std::move(code),
                            fmt::format("'key_file' of client '{}' {}", client_named(client), what));
        };
        const auto text = env_.file ? env_.file(resolve_path(directory_, file->text())) : std::nullopt;
        if (!text) return wrong("unreadable-file", "cannot be read");
        const auto keys = keys_in(*text);
        if (keys.empty()) return wrong("empty-value", "holds no key: one a line");
        if (keys.size() > most_keys_of_client)
            wrong("too-many-entries", fmt::format("holds more than {} keys", most_keys_of_client));
        bool is_short = false;
        for (const std::string_view key : keys) {
            if (!check_token(key).empty()) return wrong("bad-key", "holds a line that is no key: visible ASCII");
            is_short = is_short || key.size() < short_key;
            add(client, *file, digest_of(key));
        }
        if (is_short)
            problems_.warning(file->at, "short-key",
                              fmt::format("'key_file' of client '{}' holds a key of less than {} characters, which may "
                                          "be guessed; `openssl rand -hex 32` makes a good one",
                                          client_named(client), short_key));
    }

    void check_digests(const entry& client) {
        const entry* digests = client.find("key_sha256");
        if (digests == nullptr) return;
        if (digests->children.size() > most_keys_of_client)
            problems_.error(
                digests->at, "too-many-entries",
                fmt::format("client '{}' has more than {} keys", client_named(client), most_keys_of_client));
        for (const entry& each : digests->children) {
            const auto read = read_digest(each.text());
            if (read)
                add(client, each, *read);
            else
                problems_.error(each.at, "bad-digest",
                                fmt::format("'key_sha256' of client '{}' is 64 hexadecimal digits: `printf %s KEY | "
                                            "sha256sum`",
                                            client_named(client)));
        }
    }

    void check_routes(const entry& client) {
        const entry* routes = client.find("routes");
        if (routes == nullptr) return;
        if (routes->children.empty())
            problems_.error(routes->at, "empty-value",
                            fmt::format("'routes' of client '{}' names none; without this key it may ask all",
                                        client_named(client)));
        for (const entry& each : routes->children) {
            if (std::find(routes_.begin(), routes_.end(), each.text()) != routes_.end()) continue;
            const auto near = nearest(each.text(), {routes_.begin(), routes_.end()});
            problems_.error(each.at, "unknown-route",
                            fmt::format("there is no route '{}' for client '{}'{}", each.text(), client_named(client),
                                        near ? fmt::format(" (did you mean '{}'?)", *near) : ""));
        }
    }

    const entry& list_;
    problem_list& problems_;
    const environment& env_;
    const std::string& directory_;
    std::vector<std::string> routes_;
    std::map<std::string, span> names_;
    std::map<key_digest, std::pair<const entry*, const entry*>> keys_; // whose, and where
};
} // namespace

void check_clients(const entry& root, problem_list& problems, const environment& env, const std::string& directory) {
    if (const entry* list = root.find("clients")) client_list(root, *list, problems, env, directory).check();
}

} // namespace evenkeel::config
