// A table for people: columns as wide as their widest cell, UTF-8 aware, coloured where wanted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/display.hpp"

namespace qkd::engine {

enum class Align : unsigned char { left, right };

struct Column {
    std::string header;
    Align align = Align::left;
};

/// Text of a cell; made safe for the screen with one_line() when it is added.
struct Cell {
    Cell(std::string text_, Style style_ = Style::plain) : text(std::move(text_)), style(style_) {}
    Cell(const char* text_, Style style_ = Style::plain) : text(text_), style(style_) {}
    std::string text;
    Style style;
};

class TextTable {
  public:
    explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
    /// Missing cells are empty, surplus ones are dropped. An empty cell is shown as "-".
    void add_row(std::vector<Cell> cells);
    [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
    /// Header and rows, two spaces between columns, `indent` spaces before each line, no space at the end of one.
    [[nodiscard]] std::string render(bool colour, std::size_t indent = 0) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

}  // namespace qkd::engine
