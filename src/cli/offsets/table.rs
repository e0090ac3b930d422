//! Columns for a terminal.

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Lines with aligned columns, the head first.
pub(super) fn aligned<const N: usize>(head: [(&str, Side); N], rows: Vec<[String; N]>) -> Vec<String> {
    let mut lines = vec![head.map(|(name, _)| name.to_owned())];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let cell = |line: &[String; N], column: usize| {
        let (text, width) = (&line[column], widths[column]);
        match head[column].1 {
            Side::Left => format!("{text:width$}"),
            Side::Right => format!("{text:>width$}"),
        }
    };
    let joined = |line: &[String; N]| {
        let cells: Vec<_> = (0..N).map(|column| cell(line, column)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let head = [("name", Side::Left), ("n", Side::Right)];
        let rows = vec![["a".to_owned(), "5".to_owned()], ["longer".to_owned(), "10".to_owned()]];
        assert_eq!(aligned(head, rows), ["name     n", "a        5", "longer  10"]);
    }
}
