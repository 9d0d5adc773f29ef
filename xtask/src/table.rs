//! Aligned tables: Markdown for files, and the same in blocks that fit a terminal.

/// A table whose first column names the row.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut table = Self::default();
        table.row(header);
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as aligned Markdown.
    pub(crate) fn markdown(&self) -> String {
        let columns: Vec<usize> = (0..self.columns()).collect();
        self.block(&columns)
    }

    /// The table in blocks of at most `width` characters, each with the first column repeated.
    pub(crate) fn blocks(&self, width: usize) -> String {
        let mut blocks = Vec::new();
        let mut columns = vec![0];
        let mut taken = self.width(0) + 4;
        for column in 1..self.columns() {
            let more = self.width(column) + 3;
            if columns.len() > 1 && taken + more > width {
                blocks.push(self.block(&columns));
                columns.truncate(1);
                taken = self.width(0) + 4;
            }
            columns.push(column);
            taken += more;
        }
        blocks.push(self.block(&columns));
        blocks.join("\n")
    }

    fn block(&self, columns: &[usize]) -> String {
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for &column in columns {
                let cell = row.get(column).map_or("", String::as_str);
                let pad = self.width(column) - cell.chars().count();
                text.push_str(&format!("| {cell}{} ", " ".repeat(pad)));
            }
            text.push_str("|\n");
            if number == 0 {
                for &column in columns {
                    text.push_str(&format!("|{}", "-".repeat(self.width(column) + 2)));
                }
                text.push_str("|\n");
            }
        }
        text
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["provider", "query", "store"]);
        table.row(["memory", "42", "7"]);
        table.row(["rest-stub", "38 +4 refused", "–"]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let expected = "\
| provider  | query         | store |
|-----------|---------------|-------|
| memory    | 42            | 7     |
| rest-stub | 38 +4 refused | –     |
";
        assert_eq!(sample().markdown(), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_blocks() {
        let blocks = sample().blocks(30);
        assert_eq!(blocks.matches("| provider").count(), 2);
        assert!(blocks.lines().all(|line| line.chars().count() <= 30), "{blocks}");
        assert_eq!(sample().blocks(100), sample().markdown());
    }
}
