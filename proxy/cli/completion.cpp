#include "proxy/cli/completion.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace evenkeel::cli {

namespace {
struct shell_choice {
    std::vector<std::string> dashed; // "-c", "--config"; empty: it stands by its place
    std::string name, says;
    bool takes_value = false;
    std::vector<std::string> values{}; // where these are all
};
struct shell_command {
    std::string path, says; // "config show"; empty: the program itself
    std::vector<shell_choice> choices;
    std::vector<shell_command> within;
};

// "TEXT:{text,json}" is how the library shows what it checks.
std::vector<std::string> values_of(const CLI::Option& of) {
    const std::string type = of.get_type_name();
    const auto from = type.find('{'), to = type.rfind('}');
    std::vector<std::string> out;
    if (from == std::string::npos || to == std::string::npos) return out;
    for (std::size_t at = from + 1; at < to;) {
        const auto end = std::min(type.find(',', at), to);
        out.push_back(type.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

shell_command described(const CLI::App& app, const std::string& path) {
    shell_command out{.path = path, .says = app.get_description(), .choices = {}, .within = {}};
    for (const CLI::Option* one : app.get_options()) {
        shell_choice found{.dashed = {}, .name = one->get_single_name(), .says = one->get_description()};
        for (const auto& each : one->get_snames()) found.dashed.push_back("-" + each);
        for (const auto& each : one->get_lnames()) found.dashed.push_back("--" + each);
        found.takes_value = one->get_items_expected_max() > 0;
        found.values = values_of(*one);
        if (one->get_positional() && !found.dashed.empty())
            out.choices.push_back({.dashed = {}, .name = one->get_name(true), .says = found.says, .takes_value = true});
        out.choices.push_back(std::move(found));
    }
    for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (each->get_group().empty()) continue; // hidden
        out.within.push_back(described(*each, path.empty() ? each->get_name() : path + " " + each->get_name()));
    }
    return out;
}

std::string last_word(const std::string& path) { return path.substr(path.rfind(' ') + 1); } // npos + 1 is 0

void walk(const shell_command& from, const auto& visit) {
    visit(from);
    for (const shell_command& each : from.within) walk(each, visit);
}

std::string with_escapes(std::string_view text, std::string_view what, std::string_view by) {
    std::string out;
    for (const char c : text) {
        if (what.find(c) != std::string_view::npos) out += by;
        out += c;
    }
    return out;
}
// Within '...' of a shell.
std::string in_quotes(std::string_view text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
    return out + "'";
}

std::string bash(const shell_command& program) {
    std::string known, with_values, with_any, words;
    walk(program, [&](const shell_command& each) {
        std::vector<std::string> offered, any;
        for (const shell_command& inner : each.within) {
            offered.push_back(last_word(inner.path));
            known += fmt::format("            {} | \\\n", in_quotes(each.path + " " + last_word(inner.path)));
        }
        for (const shell_choice& one : each.choices) {
            const auto& words_of = one.dashed.empty() ? one.values : one.dashed;
            offered.insert(offered.end(), words_of.begin(), words_of.end());
            if (one.dashed.empty() || !one.takes_value) continue;
            std::vector<std::string> cases;
            for (const auto& dashed : one.dashed) cases.push_back(in_quotes(each.path + " " + dashed));
            if (one.values.empty()) {
                any.insert(any.end(), cases.begin(), cases.end());
            } else {
                with_values +=
                    fmt::format("        {}) COMPREPLY=($(compgen -W {} -- \"$word\")); return ;;\n",
                                fmt::join(cases, " | "), in_quotes(fmt::format("{}", fmt::join(one.values, " "))));
            }
        }
        if (!any.empty()) with_any += fmt::format("        {}) return ;;\n", fmt::join(any, " | "));
        words += fmt::format("        {}) words={} ;;\n", in_quotes(each.path),
                             in_quotes(fmt::format("{}", fmt::join(offered, " "))));
    });
    if (known.size() > 4) known.resize(known.size() - 5); // the last " | \"
    return fmt::format(R"(# bash completion of evenkeel: `evenkeel completion bash`
_evenkeel() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command='' words='' each
    COMPREPLY=()
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$command $each" in
{}) command="${{command:+$command }}$each" ;;
        esac
    done
    # What takes a value that is not in a list gets files, as bash has them.
    case "$command $before" in
{}{}    esac
    case "$command" in
{}    esac
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _evenkeel evenkeel
)",
                       known, with_values, with_any, words);
}

std::string zsh_arguments(const shell_command& of) {
    std::string out;
    for (const shell_choice& one : of.choices) {
        const std::string says = with_escapes(one.says, "[]:\\", "\\");
        const std::string value = !one.takes_value      ? ""
                                  : !one.values.empty() ? fmt::format(":{}:({})", with_escapes(one.name, ":", "\\"),
                                                                      fmt::join(one.values, " "))
                                                        : fmt::format(":{}:_files", with_escapes(one.name, ":", "\\"));
        const std::string listed = one.values.empty() ? "_files" : fmt::format("({})", fmt::join(one.values, " "));
        if (one.dashed.empty())
            out += fmt::format(" \\\n                {}", in_quotes(fmt::format("*:{}:{}", says, listed)));
        for (const auto& dashed : one.dashed)
            out += fmt::format(" \\\n                {}", in_quotes(fmt::format("*{}[{}]{}", dashed, says, value)));
    }
    return out;
}

std::string zsh(const shell_command& program) {
    std::string functions;
    walk(program, [&](const shell_command& each) {
        const std::string name = each.path.empty() ? "_evenkeel" : "_evenkeel_" + with_escapes(each.path, "", "");
        std::string function = name;
        std::replace(function.begin(), function.end(), ' ', '_');
        if (each.within.empty()) {
            functions += fmt::format("{}() {{\n    _arguments -s{}\n}}\n", function, zsh_arguments(each));
            return;
        }
        std::string list, cases;
        for (const shell_command& inner : each.within) {
            std::string to = "_evenkeel_" + inner.path;
            std::replace(to.begin(), to.end(), ' ', '_');
            const std::string word = last_word(inner.path);
            list += fmt::format("            {}\n", in_quotes(word + ":" + with_escapes(inner.says, ":\\", "\\")));
            cases += fmt::format("        {}) {} ;;\n", word, to);
        }
        functions += fmt::format(R"({}() {{
    local context state state_descr line
    typeset -A opt_args
    _arguments -C{} \
                '1:command:->command' '*::argument:->rest'
    case $state in
    command)
        local -a commands=(
{}        )
        _describe command commands
        ;;
    rest)
        case $line[1] in
{}        esac
        ;;
    esac
}}
)",
                                 function, zsh_arguments(each), list, cases);
    });
    return "#compdef evenkeel\n# zsh completion of evenkeel: `evenkeel completion zsh`\n" + functions +
           "if [ \"$funcstack[1]\" = _evenkeel ]; then _evenkeel \"$@\"; else compdef _evenkeel evenkeel; fi\n";
}

std::string fish(const shell_command& program) {
    std::string out = "# fish completion of evenkeel: `evenkeel completion fish`\n";
    walk(program, [&](const shell_command& each) {
        std::vector<std::string> inner, conditions;
        for (const shell_command& one : each.within) inner.push_back(last_word(one.path));
        for (std::size_t at = 0; at < each.path.size();) {
            const auto end = std::min(each.path.find(' ', at), each.path.size());
            conditions.push_back("__fish_seen_subcommand_from " + each.path.substr(at, end - at));
            at = end + 1;
        }
        if (each.path.empty())
            conditions.emplace_back("__fish_use_subcommand");
        else if (!inner.empty())
            conditions.push_back(fmt::format("not __fish_seen_subcommand_from {}", fmt::join(inner, " ")));
        const std::string when =
            fmt::format("complete -c evenkeel -n {}", in_quotes(fmt::format("{}", fmt::join(conditions, "; and "))));
        for (const shell_command& one : each.within)
            out += fmt::format("{} -f -a {} -d {}\n", when, last_word(one.path), in_quotes(one.says));
        for (const shell_choice& one : each.choices) {
            if (one.dashed.empty()) {
                if (!one.values.empty())
                    out += fmt::format("{} -f -a {}\n", when, in_quotes(fmt::format("{}", fmt::join(one.values, " "))));
                continue;
            }
            std::string names;
            for (const auto& dashed : one.dashed)
                names += dashed.starts_with("--") ? " -l " + dashed.substr(2) : " -s " + dashed.substr(1);
            out +=
                fmt::format("{}{}{} -d {}\n", when, names,
                            !one.takes_value     ? ""
                            : one.values.empty() ? " -r"
                                                 : " -x -a " + in_quotes(fmt::format("{}", fmt::join(one.values, " "))),
                            in_quotes(one.says));
        }
    });
    return out;
}

// Nothing in it is markup.
std::string not_markup(std::string_view text) { return with_escapes(text, "\\_*[]<>#~|`", "\\"); }
} // namespace

std::string completion_script(const CLI::App& program, std::string_view shell) {
    const shell_command all = described(program, "");
    return shell == "bash" ? bash(all) : shell == "zsh" ? zsh(all) : fish(all);
}

std::string manual_of_commands(const CLI::App& program) {
    std::string out;
    walk(described(program, ""), [&](const shell_command& each) {
        if (each.path.empty() || !each.within.empty()) return;
        std::string places;
        for (const shell_choice& one : each.choices)
            if (one.dashed.empty()) places += " [_" + not_markup(one.name) + "_]";
        out += fmt::format("## evenkeel {}\n\n*evenkeel {}*{} [_options_]\n\n{}.\n\n", each.path, each.path, places,
                           not_markup(each.says));
        for (const shell_choice& one : each.choices) {
            if (one.dashed.empty() || one.dashed.back() == "--help" || one.dashed.back() == "--help-all") continue;
            std::string names;
            for (const auto& dashed : one.dashed) names += (names.empty() ? "*" : ", *") + not_markup(dashed) + "*";
            if (one.takes_value)
                names += one.values.empty()
                             ? " _value_"
                             : fmt::format(" {}", not_markup(fmt::format("{}", fmt::join(one.values, "|"))));
            out += fmt::format("{}\n\t{}\n\n", names, not_markup(one.says));
        }
    });
    return out;
}

} // namespace evenkeel::cli
