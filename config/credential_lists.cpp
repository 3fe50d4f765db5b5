// What has to hold among the keys of one upstream (`upstreams.credentials`).

#include "config/credential_checks.hpp"

#include "policies/credential_lanes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace evenkeel::config {
namespace {

class key_list {
public:
    key_list(const entry& upstream, const entry& list, const credential_rules& rules, problem_list& problems)
        : upstream_(upstream), list_(list), rules_(rules), problems_(problems) {}

    void check() const {
        if (list_.children.size() > most_credentials)
            problems_.error(list_.key_at, "too-many-entries",
                            fmt::format("'credentials' of upstream '{}' has more than {} entries", upstream_.key,
                                        most_credentials));
        for (const entry& each : list_.children) {
            check_fields(each);
            check_others(each);
        }
    }

private:
    static std::string name_of(const entry& key) {
        const entry* name = key.find("name");
        return name != nullptr ? name->text() : std::string{};
    }

    void check_fields(const entry& key) const {
        const entry* set = key.find("set");
        if (set == nullptr) return;
        if (set->children.empty())
            problems_.error(set->at, "empty-value",
                            fmt::format("credential '{}' of upstream '{}' sets no field, so it shows nothing",
                                        name_of(key), upstream_.key));
        for (const entry& field : set->children) {
            if (rules_.field(field.key) == credential_kind::none)
                problems_.error(field.key_at, "no-credential",
                                fmt::format("'{0}' is no field that shows a credential, as far as is known: write it "
                                            "under `headers.set` if all keys have it, or name it in "
                                            "`credential_fields: [{0}]`",
                                            field.key));
            check_beside_headers(key, field);
        }
    }

    // A field has one value: whether it is the list's or the headers' must not be a matter of order.
    void check_beside_headers(const entry& key, const entry& field) const {
        const entry* headers = upstream_.find("headers");
        if (headers == nullptr) return;
        const entry* set = headers->find("set");
        if (const entry* both = set != nullptr ? set->find(field.key) : nullptr; both != nullptr)
            problems_.error(both->key_at, "contradiction",
                            fmt::format("'{0}' of upstream '{1}' is set here for every request and by its credential "
                                        "'{2}' ({3}); take it out of `headers.set`: if it is a key of its own, give "
                                        "it a name in `credentials`",
                                        field.key, upstream_.key, name_of(key), problems_.line(field.key_at)),
                            {{field.key_at, "the credential's"}});
        const entry* remove = headers->find("remove");
        if (remove == nullptr) return;
        for (const entry& each : remove->children) {
            if (each.text() != field.key) continue;
            problems_.error(each.at, "contradiction",
                            fmt::format("'{}' is both removed and set by credential '{}' ({}); setting alone replaces "
                                        "every field of that name",
                                        field.key, name_of(key), problems_.line(field.key_at)),
                            {{field.key_at, "set here"}});
        }
    }

    void check_others(const entry& key) const {
        for (const entry& other : list_.children) {
            if (&other == &key) return;
            if (name_of(other) == name_of(key) && !name_of(key).empty())
                problems_.error(key.find("name")->at, "duplicate-name",
                                fmt::format("upstream '{}' has two credentials '{}'", upstream_.key, name_of(key)),
                                {{other.find("name")->at, "first named here"}});
            if (shows_the_same(key, other))
                problems_.warning(key.find("set")->at, "same-credential",
                                  fmt::format("credential '{}' of upstream '{}' shows the same as '{}': it is one key, "
                                              "and what it is refused counts twice",
                                              name_of(key), upstream_.key, name_of(other)),
                                  {{other.find("set")->at, "the other"}});
        }
    }

    static bool shows_the_same(const entry& one, const entry& other) {
        const entry* mine = one.find("set");
        const entry* its = other.find("set");
        if (mine == nullptr || its == nullptr || mine->children.empty()) return false;
        return mine->children.size() == its->children.size() &&
               std::all_of(mine->children.begin(), mine->children.end(), [&](const entry& field) {
                   const entry* same = its->find(field.key);
                   return same != nullptr && same->text() == field.text();
               });
    }

    const entry& upstream_;
    const entry& list_;
    const credential_rules& rules_;
    problem_list& problems_;
};

} // namespace

void check_credential_lists(const entry& root, problem_list& problems) {
    const entry* upstreams = root.find("upstreams");
    if (upstreams == nullptr) return;
    const credential_rules rules = build_credential_rules(root);
    for (const entry& each : upstreams->children) {
        const entry* list = each.find("credentials");
        if (list != nullptr && !list->children.empty()) {
            key_list(each, *list, rules, problems).check();
            continue;
        }
        for (const char* name : {"credential_order", "quota_scope"}) {
            const entry* word = each.find(name);
            if (word == nullptr || word->from == origin::built_in || each.was_refused("credentials")) continue;
            problems.error(word->key_at, "has-no-effect",
                           fmt::format("'{}' has no effect: upstream '{}' has no list of `credentials` to choose from",
                                       name, each.key));
        }
    }
}

} // namespace evenkeel::config
