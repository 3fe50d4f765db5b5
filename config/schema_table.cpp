#include "config/schema_table.hpp"

namespace evenkeel::config {

const std::vector<key_row>& key_table() {
    static const std::vector<key_row> table = [] {
        std::vector<key_row> rows;
        add_listening_keys(rows);
        add_upstream_keys(rows);
        add_route_keys(rows);
        add_policy_keys(rows);
        add_process_keys(rows);
        return rows;
    }();
    return table;
}

void add_policies(std::vector<key_row>& table, std::initializer_list<key_row> rows) {
    for (key_row row : rows) {
        row.policy = true;
        table.push_back(row);
    }
}

void add_later(std::vector<key_row>& table, std::initializer_list<key_row> rows) {
    for (key_row row : rows) {
        row.available = false;
        table.push_back(row);
    }
}

} // namespace evenkeel::config
